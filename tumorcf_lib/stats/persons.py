"""The machinery under :mod:`stats.estimates`: drawing patients, sums per patient.

A resample is a row of counts (how often each patient was drawn), so the means, shares and
spreads of all resamples are a few matrix products, ``counts @ sums per person``.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, ndtr, stdtrit

CONFIDENCE = 0.95
SEED = 0
"""Of every published bootstrap. Each estimate draws its patients from it afresh, so that no row of
a table depends on which other rows it has, and two rows about the same patients draw the same."""

ROUNDING = 1e-6
"""A smaller difference is none: float32 probabilities differ by less between runs, and a network
that answers every slice alike must not pass for one that moved."""


class StatsInputError(ValueError):
    """Slices whose patients cannot be drawn as they are."""


@dataclass(frozen=True)
class Persons:
    """Who owns which slice, and how patients are drawn."""

    names: np.ndarray  # (n_persons,)
    owner: np.ndarray  # (n_slices,) index into names
    stratum: np.ndarray  # (n_persons,) index of the stratum

    @property
    def free(self):
        """Number of patients, and the degrees of freedom that strata leave them."""
        return len(self.names), len(self.names) - len(np.unique(self.stratum))

    def draw(self, n_resamples):
        """How often each patient is in each resample, float64 (n_resamples, n_persons)."""
        rng = np.random.default_rng(SEED)
        counts = np.zeros((n_resamples, len(self.names)))
        for stratum in np.unique(self.stratum):
            members = np.flatnonzero(self.stratum == stratum)
            n = len(members)
            drawn = rng.integers(n, size=(n_resamples, n), dtype=np.int32)
            cells = drawn + n * np.arange(n_resamples, dtype=np.int64)[:, None]
            tally = np.bincount(cells.ravel(), minlength=n_resamples * n)
            counts[:, members] = tally.reshape(n_resamples, n)
        return counts  # (n_resamples, n_persons)

    def total(self, values):
        """Sum of a slice-wise array for each patient, (n_persons,)."""
        return np.bincount(self.owner, weights=values, minlength=len(self.names))


def people_of(table):
    """The :class:`Persons` of a table with one row a slice: person_id, and label as stratum."""
    names, first, owner = np.unique(table["person_id"], return_index=True, return_inverse=True)
    _, stratum = np.unique(table["label"], return_inverse=True)
    people = Persons(names, owner, stratum[first])
    torn = names[np.unique(owner[people.stratum[owner] != stratum])]
    if len(torn):
        raise StatsInputError(
            f"{len(torn)} patients are in more than one stratum (first: {str(torn[0])!r}); a "
            "patient is drawn as a whole, and needs one class."
        )
    return people


def interval(replicates, n_persons, df=None):
    """Expanded percentile interval of the finite resamples; NaN if there is none.

    Plain percentiles are too narrow for few patients: resampling n of them spreads
    sqrt((n - 1) / n) too little, and its tails are those of the normal law, not of t. So the
    percentiles are taken further out, at Phi(-sqrt(n / df) t), with t the 97.5 % quantile of
    Student's law with df degrees of freedom (Hesterberg, "What Teachers Should Know About
    the Bootstrap", The American Statistician 2015, section 3.2: df = n - 1, one stratum).

    Parameters
    ----------
    replicates : array of float, shape (n_resamples,)
    n_persons : int
    df : int, optional
        Patients less the number of strata that they are drawn within; n_persons - 1 by
        default. Below 1 there is no interval: nothing shows how far patients differ.
    """
    df = n_persons - 1 if df is None else df
    replicates = replicates[np.isfinite(replicates)]
    if not len(replicates) or df < 1:
        return np.nan, np.nan
    t = stdtrit(df, (1 + CONFIDENCE) / 2)
    tail = 100 * ndtr(-np.sqrt(n_persons / df) * t)
    low, high = np.percentile(replicates, [tail, 100 - tail])
    return float(low), float(high)


def exact_interval(share, n_persons):
    """Clopper-Pearson interval of a share of patients; of 0 or 1 it is known without resampling.

    >>> [round(end, 3) for end in exact_interval(1.0, 33)]
    [0.894, 1.0]
    """
    tail = (1 - CONFIDENCE) / 2
    n_right = round(share * n_persons)
    low = 0.0 if n_right == 0 else betaincinv(n_right, n_persons - n_right + 1, tail)
    high = 1.0 if n_right == n_persons else betaincinv(n_right + 1, n_persons - n_right, 1 - tail)
    return float(low), float(high)
