"""Numbers with intervals and p-values, with patients, not slices, as the unit.

Slices of one patient resemble each other, so a bootstrap over slices would promise far too
narrow intervals. Here whole patients are drawn, with replacement, within their stratum (the
class), so that every resample holds as many patients of each class as the sample did.

Intervals are expanded percentile intervals (Hesterberg 2015): with 10 to 13 patients they cover
the truth in 94 of 100 samples of the normal law (92 of a skewed one), plain percentiles in 87 to
91. p-values are Student's, from the standard error of the resamples. Both count patients, in a
comparison those of the smaller group, never slices.
"""

from dataclasses import dataclass, replace

import numpy as np

from tumorcf_lib.stats.persons import (
    cell_tables,
    checked,
    exact_interval,
    interval,
    matched,
    mean_of_person_means,
    p_value,
    same_length,
)


@dataclass(frozen=True)
class Estimate:
    """A number with its bootstrap interval over patients.

    ``low`` and ``high`` are the expanded percentile interval of 95 %, NaN where patients are too
    few to show how far they differ. ``n_persons_smallest`` counts the patients of the smaller
    group when two are compared and equals ``n_persons`` otherwise. ``mean_of_person_means``
    weighs every patient alike; far from ``value``, it says that a few patients with many slices
    drive the mean. ``p`` is two-sided against the null that was given, else NaN.
    """

    value: float
    low: float
    high: float
    n_slices: int
    n_persons: int
    n_persons_smallest: int
    mean_of_person_means: float = np.nan
    p: float = np.nan


NOTHING = Estimate(np.nan, np.nan, np.nan, 0, 0, 0)


def bootstrap_mean(values, persons, strata, *, n_resamples=2000, null=None):
    """Mean over slices with an interval over patients.

    Parameters
    ----------
    values : array of float or bool, shape (n,)
        One finite number per slice; booleans give a share.
    persons, strata : array, shape (n,)
        Patient of each slice, and the stratum (class) that the patient is drawn within.
    n_resamples : int
    null : float, optional
        Value that ``p`` tests the mean against.

    Returns
    -------
    Estimate
        Interval and p have as many degrees of freedom as patients less strata; with none
        (one patient a stratum) they are NaN.

    Raises
    ------
    StatsInputError
        No slices, arrays of different length, NaN or infinite values, or a patient that is in
        two strata.

    Examples
    --------
    >>> e = bootstrap_mean([0.2, 0.4, 0.9, 0.5], ["a", "a", "b", "c"], [0, 0, 0, 0])
    >>> round(e.value, 3), round(e.mean_of_person_means, 3), e.n_slices, e.n_persons
    (0.5, 0.567, 4, 3)
    """
    values, people = checked(values, persons, strata)
    sums, sizes = people.total(values), people.total(np.ones_like(values))  # (n_persons,)
    counts = people.draw(n_resamples)  # (n_resamples, n_persons)
    return from_replicates(
        values.mean(),
        (counts @ sums) / (counts @ sizes),
        people,
        null=null,
        person_means=mean_of_person_means(sums, sizes),
    )


def bootstrap_matched_difference(
    values, in_first, cells, persons, strata, *, n_resamples=2000, null=None
):
    """First minus second group within cells of similar slices, averaged over the first group.

    Slices are compared only with slices of the same cell; each cell's difference counts as often
    as it holds slices of the first group. Cells without slices of both groups are left out, in
    every resample again. A patient may have slices in both groups: drawing the patient moves
    both means together, as it should.

    Parameters
    ----------
    values, persons, strata, n_resamples, null
        As in :func:`bootstrap_mean`.
    in_first : array of bool, shape (n,)
        True for slices of the first group, False for slices of the second.
    cells : array, shape (n,)
        Cell of each slice.

    Returns
    -------
    Estimate
        Positive when the first group is higher. Interval and p have the degrees of freedom of the
        smaller group alone, its patients less one, and so rather promise too little than too
        much. ``n_slices`` and the patient counts are of the usable cells only. ``value`` is NaN
        when no cell holds both groups. ``mean_of_person_means`` is NaN when there are several
        cells.

    Examples
    --------
    >>> values, first, cells = [9, 5, 4, 2], [True, False, True, True], [1, 1, 2, 1]
    >>> e = bootstrap_matched_difference(values, first, cells, list("abcd"), [0] * 4)
    >>> e.value, e.n_slices  # cell 2 has no partner: (9 + 2) / 2 - 5
    (0.5, 3)
    """
    values, people = checked(values, persons, strata)
    in_first = same_length(in_first, values, "in_first").astype(bool)
    _, cells = np.unique(same_length(cells, values, "cells"), return_inverse=True)
    tables = [cell_tables(group, values, cells, people) for group in (in_first, ~in_first)]
    observed = float(matched(np.ones((1, len(people.names))), tables)[0])
    replicates = matched(people.draw(n_resamples), tables)  # (n_resamples,)

    n_in_cell = [sizes.sum(axis=0) for _, sizes in tables]  # 2 x (n_cells,)
    usable = (n_in_cell[0] > 0) & (n_in_cell[1] > 0)
    used = usable[cells]  # (n,)
    n_smallest = min(len(np.unique(people.owner[used & g])) for g in (in_first, ~in_first))
    person_means = np.nan
    if len(usable) == 1 and usable[0]:
        first, second = (mean_of_person_means(sums[:, 0], n[:, 0]) for sums, n in tables)
        person_means = first - second
    return Estimate(
        observed,
        *interval(replicates, n_smallest),
        int(used.sum()),
        len(np.unique(people.owner[used])),
        n_smallest,
        person_means,
        p_value(replicates, observed, null, n_smallest),
    )


def mean(table, column, *, n_resamples, null=0.0):
    """Mean of a column of a slice table; slices without a value are left out.

    As :func:`bootstrap_mean`, of a table with person_id and label; ``NOTHING`` without values.
    """
    own = table[np.isfinite(table[column].astype(float))]
    if own.empty:
        return NOTHING
    return bootstrap_mean(
        own[column], own["person_id"], own["label"], n_resamples=n_resamples, null=null
    )


def mean_of_persons(table, column, *, n_resamples):
    """Mean of the patients' means, every patient alike; else as :func:`mean`.

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
    return replace(e, n_slices=len(own), mean_of_person_means=e.value)


def share(table, column, *, n_resamples, null=0.0):
    """Share of slices (a column of 0 and 1), as :func:`mean`.

    Where every patient has one row, as in a table of patients, the interval is the exact
    (Clopper-Pearson) one. So it is where every slice agrees, for as many patients who all do:
    resampling can only spread what the sample has.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"x": [1, 1], "person_id": ["a", "b"], "label": "glioma"})
    >>> e = share(table, "x", n_resamples=10)
    >>> round(e.low, 3), e.high
    (0.158, 1.0)
    """
    e = mean(table, column, n_resamples=n_resamples, null=null)
    if not e.n_slices or (e.n_slices > e.n_persons and e.value not in (0, 1)):
        return e
    low, high = exact_interval(e.value, e.n_persons)
    return replace(e, low=low, high=high)


def drawn(table, n_resamples):
    """``Persons`` of a slice table, and how often each is drawn, (1 + n_resamples, n_persons).

    The first row is the sample itself: every patient once.
    """
    _, people = checked(np.zeros(len(table)), table["person_id"], table["label"])
    return people, np.vstack([np.ones(len(people.names)), people.draw(n_resamples)])


def from_replicates(value, replicates, people, *, null=None, person_means=np.nan):
    """An Estimate of any statistic from its value, its resamples and the drawn ``Persons``."""
    n = len(people.names)
    return Estimate(
        float(value),
        *interval(replicates, *people.free),
        len(people.owner),
        n,
        n,
        float(person_means),
        p_value(replicates, float(value), null, *people.free),
    )
