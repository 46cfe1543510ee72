"""From resamples to rows of a table: what the tables of controls share."""

from dataclasses import replace

import numpy as np

from tumorcf_lib.config import CLASSES
from tumorcf_lib.edits.infills import HEADLINE_INFILL
from tumorcf_lib.stats import persons as _resampling
from tumorcf_lib.stats import stats
from tumorcf_lib.stats.claims import ALL
from tumorcf_lib.stats.stats import Estimate

NOTHING = Estimate(np.nan, np.nan, np.nan, 0, 0, 0)
PROBABILITY, LOG_ODDS = "probability", "log-odds"
SUFFIXES = {PROBABILITY: "", LOG_ODDS: "_lo"}
"""Scales of a score, and what a score's column ends with on each."""

NO_SLICES = "no slices"


def headline_rows(rows):
    """Rows at the headline infill and dilation, and all that have neither."""
    return rows[rows["infill"].isin(("", HEADLINE_INFILL)) & (rows["dilation_px"] == 0)]


def classes_of(labels):
    """The classes that occur: those of the study in their order, then any others by name.

    Examples
    --------
    >>> classes_of(["none", "glioma", "meningioma", "glioma"])
    ['meningioma', 'glioma', 'none']
    """
    present = set(labels)
    return [name for name in CLASSES if name in present] + sorted(present - set(CLASSES))


def groups(table):
    """"all" and each class that has rows."""
    return [ALL, *classes_of(table["label"])]


def of_group(table, group):
    """The rows of a class, or all of them."""
    return table if group == ALL else table[table["label"] == group]


def mean(table, column, *, n_resamples, null=0.0):
    """Mean of a column with an interval over persons; slices without a value are left out.

    Parameters
    ----------
    table : DataFrame
        One row per slice: person_id, label and the column.
    column : str
    n_resamples : int
    null : float
        What ``p`` tests the mean against.

    Returns
    -------
    Estimate
        ``NOTHING`` if no slice has a value.
    """
    own = table[np.isfinite(table[column].astype(float))]
    if own.empty:
        return NOTHING
    return stats.bootstrap_mean(
        own[column], own["person_id"], own["label"], n_resamples=n_resamples, null=null
    )


def mean_of_persons(table, column, *, n_resamples):
    """Mean of the persons' means, every person alike; else as :func:`mean`.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"x": [0, 0, 0, 1], "person_id": list("aaab"), "label": "glioma"})
    >>> e = mean_of_persons(table, "x", n_resamples=10)
    >>> float(e.value), e.n_slices, e.n_persons
    (0.5, 4, 2)
    """
    own = table[np.isfinite(table[column].astype(float))]
    persons = own.groupby(["person_id", "label"], as_index=False, sort=True)[column].mean()
    e = mean(persons, column, n_resamples=n_resamples)
    return Estimate(e.value, e.low, e.high, len(own), e.n_persons, e.n_persons_smallest,
                    e.value, e.p)


def share(table, column, *, n_resamples):
    """Share of slices (a column of 0 and 1), as :func:`mean`.

    Where every person has one row, as in a table of persons, the interval is the exact
    (Clopper-Pearson) one. So it is where every slice agrees, for as many persons who all do:
    resampling can only spread what the sample has.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"x": [1, 1], "person_id": ["a", "b"], "label": "glioma"})
    >>> e = share(table, "x", n_resamples=10)
    >>> round(e.low, 3), e.high
    (0.158, 1.0)
    """
    e = mean(table, column, n_resamples=n_resamples)
    if not e.n_slices or (e.n_slices > e.n_persons and e.value not in (0, 1)):
        return e
    low, high = _resampling.exact_interval(e.value, e.n_persons)
    return replace(e, low=low, high=high)


def drawn(table, n_resamples):
    """Persons of a table of slices, and how often each is in each resample.

    Returns
    -------
    people : _resampling.Persons
    counts : ndarray of float64, shape (n_resamples, n_persons)
    """
    _, people = _resampling.checked(
        np.zeros(len(table)), table["person_id"].to_numpy(), table["label"].to_numpy()
    )
    return people, people.draw(n_resamples)


def from_replicates(value, replicates, people, *, null=None, person_means=np.nan):
    """An Estimate from a statistic's value and its resamples, as ``stats.bootstrap_mean`` does.

    Parameters
    ----------
    value : float
    replicates : ndarray, shape (n_resamples,)
    people : _resampling.Persons
        Who was drawn.
    null, person_means : float, optional
    """
    n = len(people.names)
    free = n, n - len(np.unique(people.stratum))
    return Estimate(
        float(value), *_resampling.interval(replicates, *free), len(people.owner), n, n,
        float(person_means), _resampling.p_value(replicates, value, null, *free),
    )


def columns_of(estimate):
    """An Estimate as the columns of a table."""
    return {
        "effect": estimate.value, "low": estimate.low, "high": estimate.high,
        "mean_of_person_means": estimate.mean_of_person_means,
        "n_slices": estimate.n_slices, "n_persons": estimate.n_persons,
    }  # fmt: skip
