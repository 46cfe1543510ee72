"""Intervals, p-values and verdicts with persons, not slices, as the unit.

Slices of one person resemble each other, so a bootstrap over slices would promise far too
narrow intervals. Here whole persons are drawn, with replacement, within their stratum (the
class), so that every resample holds as many persons of each class as the sample did.

Intervals are expanded percentile intervals (Hesterberg 2015): with 10 to 13 persons they cover
the truth in 94 of 100 samples of the normal law (92 of a skewed one), plain percentiles in 87 to
91. p-values are Student's, from the standard error of the resamples. Both count persons, in a
comparison those of the smaller group, never slices.

What an interval says about a claim is decided in :mod:`stats.verdicts`, whose names
can be used from here.
"""

from collections.abc import Callable

import numpy as np

from tumorcf_lib.stats.persons import (
    ROUNDING,
    SEED,
    StatsInputError,
    cell_tables,
    checked,
    interval,
    matched,
    mean_of_person_means,
    p_value,
    same_length,
    spread,
    spread_tables,
)
from tumorcf_lib.stats.verdicts import (
    MIN_PERSONS,
    NEGLIGIBLE,
    REFUTED,
    RELEVANT,
    SUPPORTED,
    UNDECIDED,
    Estimate,
    holm,
    relevance,
    verdict,
    why_undecided,
)

__all__ = [
    "MIN_PERSONS", "NEGLIGIBLE", "REFUTED", "RELEVANT", "ROUNDING", "SUPPORTED", "UNDECIDED",
    "SEED", "Estimate", "StatsInputError", "bootstrap", "bootstrap_difference",
    "bootstrap_matched_difference", "bootstrap_mean", "bootstrap_p",
    "bootstrap_spread_difference", "holm", "relevance", "verdict", "why_undecided",
]  # fmt: skip


def bootstrap_mean(values, persons, strata, *, rng=None, n_resamples=2000, null=None):
    """Mean over slices with an interval over persons.

    Parameters
    ----------
    values : array of float or bool, shape (n,)
        One finite number per slice; booleans give a share.
    persons, strata : array, shape (n,)
        Person of each slice, and the stratum (class) that the person is drawn within.
    rng : numpy.random.Generator, optional
        By default one of :data:`SEED`, made anew.
    n_resamples : int
    null : float, optional
        Value that ``p`` tests the mean against.

    Returns
    -------
    Estimate
        Interval and p have as many degrees of freedom as persons less strata; with none
        (one person a stratum) they are NaN.

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
    counts = people.draw(n_resamples, rng)  # (n_resamples, n_persons)
    replicates = (counts @ sums) / (counts @ sizes)  # (n_resamples,)
    n_persons = len(people.names)
    free = n_persons, n_persons - len(np.unique(people.stratum))
    value = float(values.mean())
    return Estimate(
        value, *interval(replicates, *free), len(values), n_persons, n_persons,
        mean_of_person_means(sums, sizes), p_value(replicates, value, null, *free),
    )


def bootstrap_difference(
    values, in_first, persons, strata, *, rng=None, n_resamples=2000, null=None
):
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
        left out. Interval and p have the degrees of freedom of the smaller group alone, its
        persons less one, and so rather promise too little than too much.

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
    values, in_first, cells, persons, strata, *, rng=None, n_resamples=2000, null=None
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
    replicates = matched(people.draw(n_resamples, rng), tables)  # (n_resamples,)

    n_in_cell = [sizes.sum(axis=0) for _, sizes in tables]  # 2 x (n_cells,)
    usable = (n_in_cell[0] > 0) & (n_in_cell[1] > 0)
    used = usable[cells]  # (n,)
    n_smallest = min(len(np.unique(people.owner[used & g])) for g in (in_first, ~in_first))
    person_means = np.nan
    if len(usable) == 1 and usable[0]:
        first, second = (mean_of_person_means(sums[:, 0], n[:, 0]) for sums, n in tables)
        person_means = first - second
    return Estimate(
        observed, *interval(replicates, n_smallest), int(used.sum()),
        len(np.unique(people.owner[used])), n_smallest, person_means,
        p_value(replicates, observed, null, n_smallest),
    )


def bootstrap_spread_difference(
    values, in_first, persons, strata, *, rng=None, n_resamples=2000, null=None
):
    """Spread between the persons of the first group minus that of the second.

    Spread is the standard deviation between persons. That of the person means would be
    too large where persons have few slices, because the slices of a person scatter its mean. So
    this scatter is taken off, as in a one-way analysis of variance with random persons:
    variance of the person means (n - 1) less the pooled variance within persons times the mean
    of 1 / slices, floored at 0 before the root.

    Parameters and return are those of :func:`bootstrap_difference`; negative means that
    the first group is the more even one. A group needs two persons, and one with two
    slices, else NaN.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> first = [True] * 4 + [False] * 4
    >>> values = [0, 2, 4, 6, 1, 1, 9, 9]  # within persons: 2 and 0, half of it scatters a mean
    >>> e = bootstrap_spread_difference(values, first, list("aabbccdd"), first, rng=rng)
    >>> round(e.value, 4)  # sqrt(8 - 1) - sqrt(32)
    -3.0111
    """
    values, people = checked(values, persons, strata)
    in_first = same_length(np.asarray(in_first, dtype=bool), values, "in_first")
    tables = [spread_tables(group, values, people) for group in (in_first, ~in_first)]
    counts = people.draw(n_resamples, rng)  # (n_resamples, n_persons)
    once = np.ones((1, len(people.names)))
    observed = float(spread(once, *tables[0])[0] - spread(once, *tables[1])[0])
    replicates = spread(counts, *tables[0]) - spread(counts, *tables[1])  # (n_resamples,)
    n_smallest = min(int(has.sum()) for *_, has in tables)
    return Estimate(observed, *interval(replicates, n_smallest), len(values),
                    len(people.names), n_smallest,
                    p=p_value(replicates, observed, null, n_smallest))


def bootstrap(statistic: Callable, persons, strata, *, rng=None, n_resamples=2000):
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
    for counts in people.draw(n_resamples, rng).astype(int):
        drawn = np.repeat(np.arange(len(counts)), counts)  # persons, with repeats
        results.append(statistic(np.concatenate([slices_of[k] for k in drawn])))
    return np.asarray(results)  # (n_resamples, ...)


def bootstrap_p(replicates, null, *, value, n_persons):
    """Two-sided p-value of a null: Student's t with the standard error of the resamples.

    The standard error is the resamples' standard deviation times sqrt(n / (n - 1)), t has
    n - 1 degrees of freedom. However far off the null, p is never below 2 ** (1 - n), the
    smallest that an exact sign test of n persons can give: ten persons who all agree are no
    stronger evidence than ten coins. A value within ``ROUNDING`` of the null gives 1.

    Parameters
    ----------
    replicates : array of float, shape (n_resamples,)
        NaN resamples are left out.
    null : float or None
        None gives NaN.
    value : float
        The estimate itself.
    n_persons : int
        Persons, in a comparison those of the smaller group. One gives NaN.

    Examples
    --------
    >>> round(bootstrap_p([1, 3, 2, 4], null=0, value=2.5, n_persons=5), 3)  # t 2.5 / 1.443
    0.158
    >>> bootstrap_p([2, 2, 2], null=0, value=2, n_persons=5)  # 1 / 16
    0.0625
    """
    return p_value(np.asarray(replicates, dtype=float), value, null, n_persons)
