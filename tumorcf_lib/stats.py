"""Intervals, p-values and verdicts with persons, not slices, as the unit.

Slices of one person resemble each other, so a bootstrap over slices would promise far too
narrow intervals. Here whole persons are drawn, with replacement, within their stratum (the
class), so that every resample holds as many persons of each class as the sample did.
What an interval says about a claim is decided in :mod:`tumorcf_lib.verdicts`, whose names
can be used from here.
"""

from collections.abc import Callable

import numpy as np

from tumorcf_lib._resampling import (
    StatsInputError,
    cell_tables,
    checked,
    interval,
    matched,
    mean_of_person_means,
    same_length,
    spread,
)
from tumorcf_lib.verdicts import (
    MIN_PERSONS,
    REFUTED,
    ROUNDING,
    SUPPORTED,
    UNDECIDED,
    Estimate,
    holm,
    verdict,
    why_undecided,
)

__all__ = [
    "MIN_PERSONS", "REFUTED", "ROUNDING", "SUPPORTED", "UNDECIDED", "Estimate",
    "StatsInputError", "bootstrap", "bootstrap_difference", "bootstrap_matched_difference",
    "bootstrap_mean", "bootstrap_p", "bootstrap_spread_difference", "holm", "verdict",
    "why_undecided",
]  # fmt: skip


def bootstrap_mean(values, persons, strata, *, rng, n_resamples=2000, null=None):
    """Mean over slices with an interval over persons.

    Parameters
    ----------
    values : array of float or bool, shape (n,)
        One finite number per slice; booleans give a share.
    persons, strata : array, shape (n,)
        Person of each slice, and the stratum (class) that the person is drawn within.
    rng : numpy.random.Generator
    n_resamples : int
    null : float, optional
        Value that ``p`` tests the mean against.

    Returns
    -------
    Estimate

    Raises
    ------
    StatsInputError
        No slices, arrays of different length, NaN or infinite values, or a person that is in
        two strata.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> drops = [0.2, 0.4, 0.9, 0.5]
    >>> e = bootstrap_mean(drops, ["a", "a", "b", "c"], [0, 0, 0, 0], rng=rng)
    >>> round(e.value, 3), round(e.mean_of_person_means, 3), e.n_slices, e.n_persons
    (0.5, 0.567, 4, 3)
    """
    values, people = checked(values, persons, strata)
    sums, sizes = people.total(values), people.total(np.ones_like(values))  # (n_persons,)
    counts = people.draw(rng, n_resamples)  # (n_resamples, n_persons)
    replicates = (counts @ sums) / (counts @ sizes)  # (n_resamples,)
    n_persons = len(people.names)
    return Estimate(
        float(values.mean()), *interval(replicates), len(values), n_persons, n_persons,
        mean_of_person_means(sums, sizes), bootstrap_p(replicates, null),
    )


def bootstrap_difference(values, in_first, persons, strata, *, rng, n_resamples=2000, null=None):
    """Mean of the first group minus mean of the second, persons drawn once for both.

    A person may have slices in both groups (some classified correctly, some not): drawing
    the person moves both means together, as it should.

    Parameters
    ----------
    values : array of float, shape (n,)
    in_first : array of bool, shape (n,)
        True for slices of the first group, False for slices of the second.
    persons, strata, rng, n_resamples, null
        As in :func:`bootstrap_mean`.

    Returns
    -------
    Estimate
        Positive when the first group is higher. Resamples in which a group is empty are
        left out.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> first = [True, True, False, False]
    >>> e = bootstrap_difference([3, 5, 1, 1], first, list("abcd"), [0, 0, 1, 1], rng=rng)
    >>> e.value, e.n_persons, e.n_persons_smallest
    (3.0, 4, 2)
    """
    one_cell = np.zeros(len(values), dtype=int)
    return bootstrap_matched_difference(values, in_first, one_cell, persons, strata, rng=rng,
                                        n_resamples=n_resamples, null=null)


def bootstrap_matched_difference(
    values, in_first, cells, persons, strata, *, rng, n_resamples=2000, null=None
):
    """First minus second group within cells of alike slices, averaged over the first group.

    Slices are compared only with slices of the same cell (for example a bin of ``p_orig``);
    each cell's difference counts as often as it holds slices of the first group. Cells
    without slices of both groups say nothing and are left out, in every resample anew.

    Parameters
    ----------
    values, in_first, persons, strata, rng, n_resamples, null
        As in :func:`bootstrap_difference`.
    cells : array, shape (n,)
        Cell of each slice.

    Returns
    -------
    Estimate
        ``n_slices`` and the person counts tell of the usable cells only. ``value`` is NaN
        when no cell holds both groups. ``mean_of_person_means`` is NaN when there are several
        cells.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> values, first, cells = [9, 5, 4, 2], [True, False, True, True], [1, 1, 2, 1]
    >>> e = bootstrap_matched_difference(values, first, cells, list("abcd"), [0] * 4, rng=rng)
    >>> e.value, e.n_slices  # cell 2 has no partner: (9 + 2) / 2 - 5
    (0.5, 3)
    """
    values, people = checked(values, persons, strata)
    in_first = same_length(np.asarray(in_first, dtype=bool), values, "in_first")
    _, cells = np.unique(same_length(np.asarray(cells), values, "cells"), return_inverse=True)
    tables = [cell_tables(group, values, cells, people) for group in (in_first, ~in_first)]
    observed = float(matched(np.ones((1, len(people.names))), tables)[0])
    replicates = matched(people.draw(rng, n_resamples), tables)  # (n_resamples,)

    n_in_cell = [sizes.sum(axis=0) for _, sizes in tables]  # 2 x (n_cells,)
    usable = (n_in_cell[0] > 0) & (n_in_cell[1] > 0)
    used = usable[cells]  # (n,)
    n_smallest = min(len(np.unique(people.owner[used & g])) for g in (in_first, ~in_first))
    person_means = np.nan
    if len(usable) == 1 and usable[0]:
        first, second = (mean_of_person_means(sums[:, 0], n[:, 0]) for sums, n in tables)
        person_means = first - second
    return Estimate(
        observed, *interval(replicates), int(used.sum()), len(np.unique(people.owner[used])),
        n_smallest, person_means, bootstrap_p(replicates, null),
    )


def bootstrap_spread_difference(
    values, in_first, persons, strata, *, rng, n_resamples=2000, null=None
):
    """Spread between the persons of the first group minus that of the second.

    Spread is the standard deviation (n - 1) of the person means. Persons with few slices
    have noisier means, so compare groups with alike numbers of slices per person.

    Parameters and return are those of :func:`bootstrap_difference`; negative means
    that the first group is the more even one. A group needs two persons, else NaN.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> first = [True, True, False, False]
    >>> e = bootstrap_spread_difference([1, 3, 0, 8], first, list("abcd"), [0, 0, 1, 1], rng=rng)
    >>> round(e.value, 4)  # sqrt(2) - sqrt(32)
    -4.2426
    """
    values, people = checked(values, persons, strata)
    in_first = same_length(np.asarray(in_first, dtype=bool), values, "in_first")
    groups = (in_first, ~in_first)
    tables = [(people.total(values * group), people.total(group)) for group in groups]
    counts = people.draw(rng, n_resamples)  # (n_resamples, n_persons)
    once = np.ones((1, len(people.names)))
    observed = float(spread(once, *tables[0])[0] - spread(once, *tables[1])[0])
    replicates = spread(counts, *tables[0]) - spread(counts, *tables[1])  # (n_resamples,)
    n_smallest = min(int((sizes > 0).sum()) for _, sizes in tables)
    return Estimate(observed, *interval(replicates), len(values), len(people.names), n_smallest,
                    p=bootstrap_p(replicates, null))


def bootstrap(statistic: Callable, persons, strata, *, rng, n_resamples=2000):
    """Resamples of any statistic: the general, slower form.

    Parameters
    ----------
    statistic : callable
        Gets slice indices, int64 (m,), with repeats, and returns a float or an array.
    persons, strata, rng, n_resamples
        As in :func:`bootstrap_mean`.

    Returns
    -------
    ndarray, shape (n_resamples, ...)
        One result per resample; take ``np.percentile(result, [2.5, 97.5], axis=0)``.

    Examples
    --------
    >>> y = np.array([1.0, 2.0, 4.0])
    >>> draws = bootstrap(lambda i: np.median(y[i]), list("abc"), [0, 0, 0],
    ...                   rng=np.random.default_rng(0), n_resamples=50)
    >>> draws.shape
    (50,)
    """
    _, people = checked(np.zeros(len(persons)), persons, strata)
    slices_of = [np.flatnonzero(people.owner == k) for k in range(len(people.names))]
    results = []
    for counts in people.draw(rng, n_resamples).astype(int):
        drawn = np.repeat(np.arange(len(counts)), counts)  # persons, with repeats
        results.append(statistic(np.concatenate([slices_of[k] for k in drawn])))
    return np.asarray(results)  # (n_resamples, ...)


def bootstrap_p(replicates, null):
    """Two-sided p-value of a null from resamples of the estimate.

    Twice the share of resamples on the rarer side of the null, the sample itself counted in
    (+1), so that it is never 0: its floor is 2 / (n_resamples + 1). It inverts the percentile
    interval (Davison and Hinkley, 1997, section 5.5; the +1 as in their section 4.2).

    Parameters
    ----------
    replicates : array of float, shape (n_resamples,)
        NaN resamples are left out.
    null : float or None
        None gives NaN.

    Examples
    --------
    >>> round(bootstrap_p(np.arange(1, 100), null=0), 3)
    0.02
    """
    replicates = np.asarray(replicates, dtype=float)
    replicates = replicates[np.isfinite(replicates)]
    if null is None or not len(replicates):
        return np.nan
    rarer = min(np.sum(replicates <= null + ROUNDING), np.sum(replicates >= null - ROUNDING))
    return float(min(1.0, 2 * (rarer + 1) / (len(replicates) + 1)))
