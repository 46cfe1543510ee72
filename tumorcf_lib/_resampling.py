"""The machinery under :mod:`tumorcf_lib.stats`: drawing persons, sums per person.

A resample is a row of counts (how often each person was drawn), so the means, shares and
spreads of all resamples are a few matrix products, ``counts @ sums per person``.
"""

from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95


class StatsInputError(ValueError):
    """Arrays that cannot be resampled as they are."""


@dataclass(frozen=True)
class Persons:
    """Who owns which slice, and how persons are drawn."""

    names: np.ndarray  # (n_persons,)
    owner: np.ndarray  # (n_slices,) index into names
    stratum: np.ndarray  # (n_persons,) index of the stratum

    def draw(self, rng, n_resamples):
        """How often each person is in each resample, float64 (n_resamples, n_persons)."""
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
        """Sum of a slice-wise array for each person, (n_persons,)."""
        return np.bincount(self.owner, weights=values, minlength=len(self.names))


def checked(values, persons, strata):
    """Values as float64 and the index of persons, after the checks of every bootstrap."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise StatsInputError(f"Expected one value per slice, got an array {values.shape}.")
    persons = same_length(np.asarray(persons), values, "persons")
    strata = same_length(np.asarray(strata), values, "strata")
    n_bad = int((~np.isfinite(values)).sum())
    if n_bad:
        raise StatsInputError(
            f"{n_bad} of {len(values)} values are NaN or infinite (a slice without legal "
            "sham places?): leave those slices out and say how many."
        )
    names, first, owner = np.unique(persons, return_index=True, return_inverse=True)
    _, stratum = np.unique(strata, return_inverse=True)
    people = Persons(names, owner, stratum[first])
    torn = names[np.unique(owner[people.stratum[owner] != stratum])]
    if len(torn):
        raise StatsInputError(
            f"{len(torn)} persons are in more than one stratum (first: {str(torn[0])!r}); a "
            "person is drawn as a whole, so it needs one class."
        )
    return values, people


def same_length(array, values, name):
    """The array itself, if it has one entry per value."""
    if array.shape != values.shape:
        raise StatsInputError(
            f"`{name}` has shape {array.shape}, but there are {len(values)} values."
        )
    return array


def interval(replicates):
    """Percentile interval of the finite resamples, NaN if there are none."""
    replicates = replicates[np.isfinite(replicates)]
    if not len(replicates):
        return np.nan, np.nan
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(replicates, [tail, 100 - tail])
    return float(low), float(high)


def cell_tables(group, values, cells, people):
    """Sums and counts of a group's slices by person and cell, each (n_persons, n_cells)."""
    shape = (len(people.names), cells.max() + 1)
    flat = people.owner[group] * shape[1] + cells[group]
    sums = np.bincount(flat, weights=values[group], minlength=shape[0] * shape[1])
    sizes = np.bincount(flat, minlength=shape[0] * shape[1])
    return sums.reshape(shape), sizes.reshape(shape).astype(float)


def matched(counts, tables):
    """Difference within cells, weighed by the first group's slices, for each resample."""
    (sums_1, n_1), (sums_2, n_2) = [(counts @ sums, counts @ n) for sums, n in tables]
    both = (n_1 > 0) & (n_2 > 0)  # (n_resamples, n_cells)
    with np.errstate(invalid="ignore", divide="ignore"):
        differences = np.where(both, sums_1 / n_1 - sums_2 / n_2, 0.0)
        return (differences * n_1).sum(axis=1) / (n_1 * both).sum(axis=1)  # (n_resamples,)


def spread(counts, sums, sizes):
    """Standard deviation of person means for each resample, (n_resamples,)."""
    has = sizes > 0
    counts, means = counts[:, has], sums[has] / sizes[has]
    if not has.any():
        return np.full(len(counts), np.nan)
    means = means - means.mean()  # keeps the difference of squares below exact enough
    n = counts.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = (counts @ means**2 - (counts @ means) ** 2 / n) / (n - 1)
    return np.sqrt(np.where(n > 1, np.maximum(variance, 0), np.nan))


def mean_of_person_means(sums, sizes):
    """Each person's mean, averaged over the persons that have slices here."""
    has = sizes > 0
    return float((sums[has] / sizes[has]).mean())
