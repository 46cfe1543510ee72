"""Numbers with intervals, with patients, not slices, as the unit.

Slices of one patient resemble each other, so a bootstrap over slices would promise far too
narrow intervals. Here whole patients are drawn, with replacement, within their stratum (the
class), so that every resample holds as many patients of each class as the sample did.

Intervals are expanded percentile intervals (Hesterberg 2015): with 10 to 13 patients they cover
the truth in 94 of 100 samples of the normal law (92 of a skewed one), plain percentiles in 87 to
91. They count patients, in a comparison those of the smaller group, never slices.
"""

from dataclasses import dataclass, replace

import numpy as np

from tumorcf_lib.stats import persons
from tumorcf_lib.stats.persons import exact_interval, interval


@dataclass(frozen=True)
class Estimate:
    """A number with its bootstrap interval over patients.

    ``low`` and ``high`` are the expanded percentile interval of 95 %, NaN where patients are too
    few to show how far they differ. ``n_persons`` counts the patients, of the smaller group when
    two are compared.
    """

    value: float
    low: float
    high: float
    n_slices: int
    n_persons: int

    def columns(self, name="effect", *, ends=""):
        """As columns of a table: the value, and low and high."""
        return {name: self.value, f"{ends}low": self.low, f"{ends}high": self.high}


NOTHING = Estimate(np.nan, np.nan, np.nan, 0, 0)


def mean(table, column, *, n_resamples=2000):
    """Mean over slices with an interval over patients.

    Parameters
    ----------
    table : DataFrame
        One row a slice: person_id, label (the stratum that the patient is drawn within), and
        the column. Slices without a finite value are left out.
    column : str
        Numbers, or booleans, which give a share.
    n_resamples : int

    Returns
    -------
    Estimate
        The interval has as many degrees of freedom as patients less strata; with none (one patient
        a stratum) there is none. ``NOTHING`` without values.

    Raises
    ------
    StatsInputError
        A patient that is in two strata.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"x": [0.2, 0.4, 0.9, 0.5], "person_id": list("aabc"), "label": 0})
    >>> e = mean(table, "x")
    >>> round(e.value, 3), e.n_slices, e.n_persons
    (0.5, 4, 3)
    """
    own = table[np.isfinite(table[column].astype(float))]
    if own.empty:
        return NOTHING
    values, people = own[column].to_numpy(float), persons.people_of(own)
    sums, sizes = people.total(values), people.total(np.ones_like(values))  # (n_persons,)
    counts = people.draw(n_resamples)  # (n_resamples, n_persons)
    return from_replicates([values.mean(), *((counts @ sums) / (counts @ sizes))], people)


def matched_difference(table, column, in_first, cells, *, n_resamples=2000):
    """First minus second group within cells of similar slices, averaged over the first group.

    Slices are compared only with slices of the same cell; each cell's difference counts as often
    as it holds slices of the first group. Cells without slices of both groups are left out, in
    every resample again. A patient may have slices in both groups: drawing the patient moves
    both means together, as it should.

    Parameters
    ----------
    table, column, n_resamples
        As in :func:`mean`; every value is finite.
    in_first : array of bool, shape (n,)
        True for slices of the first group, False for slices of the second.
    cells : array, shape (n,)
        Cell of each slice.

    Returns
    -------
    Estimate
        Positive when the first group is higher. The interval has the degrees of freedom of the
        smaller group alone, its patients less one, and so rather promises too little than too
        much. ``n_slices`` and ``n_persons`` are of the usable cells only. ``value`` is NaN when no
        cell holds both groups.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"x": [9, 5, 4, 2], "person_id": list("abcd"), "label": 0})
    >>> first = np.array([True, False, True, True])
    >>> e = matched_difference(table, "x", first, [1, 1, 2, 1])
    >>> e.value, e.n_slices  # cell 2 has no partner: (9 + 2) / 2 - 5
    (0.5, 3)
    """
    people, counts = drawn(table, n_resamples)
    values = table[column].to_numpy(float)
    in_cell = np.asarray(cells)[:, None] == np.unique(cells)  # (n, n_cells)

    def total(group, weights=1.0):  # (1 + n_resamples, n_cells)
        by_cell = [people.total(here * group * weights) for here in in_cell.T]
        return counts @ np.stack(by_cell, axis=1)

    n_1, n_2 = total(in_first), total(~in_first)
    both = (n_1 > 0) & (n_2 > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = np.where(both, total(in_first, values) / n_1 - total(~in_first, values) / n_2, 0.0)
        replicates = (apart * n_1).sum(axis=1) / (n_1 * both).sum(axis=1)
    used = (in_cell & both[0]).any(axis=1)  # (n,)
    n_smallest = min(len(np.unique(people.owner[used & g])) for g in (in_first, ~in_first))
    ends = interval(replicates[1:], n_smallest)
    return Estimate(float(replicates[0]), *ends, int(used.sum()), n_smallest)


def auc(table, scores, first, *, n_resamples):
    """Chance that a score of the first kind lies above one of the second; ties count half.

    ``scores`` (n,) and ``first``, bool (n,), belong to the rows of the table (person_id, label);
    patients are drawn with all their rows. If no resample has an error, the lower bound is the
    exact (Clopper-Pearson) one for the share of patients that are told apart, with all of them
    told apart: if a share q is, and the others no worse than by chance, the AUC is at least
    q^2 + (1 - q^2) / 2, above q.
    """
    people, counts = drawn(table, n_resamples)
    e = from_replicates(weighted_auc(scores, first, counts[:, people.owner]), people)
    if e.low == 1:
        e = replace(e, low=exact_interval(1.0, e.n_persons)[0])
    return e


def weighted_auc(scores, first, weights):
    """:func:`auc` of rows that count as often as each row of weights says; NaN without pairs.

    ``scores``, float (n,), and ``first``, bool (n,); ``weights``, (n_resamples, n).

    >>> weighted_auc([2, 0, 1, 1], [True, True, False, False], [[1, 1, 1, 1], [2, 0, 2, 0]])
    array([0.5, 1. ])
    """
    order = np.argsort(scores, kind="stable")
    is_first, drawn = np.asarray(first)[order], np.asarray(weights)[:, order]
    _, starts = np.unique(np.asarray(scores)[order], return_index=True)  # of each level
    n_first = np.add.reduceat(drawn * is_first, starts, axis=1)  # (n_resamples, n_levels)
    n_second = np.add.reduceat(drawn * ~is_first, starts, axis=1)
    below = np.cumsum(n_second, axis=1) - n_second / 2
    pairs, wins = n_first.sum(axis=1) * n_second.sum(axis=1), (n_first * below).sum(axis=1)
    return np.divide(wins, pairs, out=np.full(len(drawn), np.nan), where=pairs > 0)


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
    by_person = table.groupby(["person_id", "label"], as_index=False)[column].mean()
    e = mean(by_person, column, n_resamples=n_resamples)
    return replace(e, n_slices=int(table[column].count()))


def share(table, column, *, n_resamples):
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
    e = mean(table, column, n_resamples=n_resamples)
    if not e.n_slices or (e.n_slices > e.n_persons and e.value not in (0, 1)):
        return e
    low, high = exact_interval(e.value, e.n_persons)
    return replace(e, low=low, high=high)


def drawn(table, n_resamples):
    """``Persons`` of a slice table, and how often each is drawn, (1 + n_resamples, n_persons).

    The first row is the sample itself: every patient once.
    """
    people = persons.people_of(table)
    return people, np.vstack([np.ones(len(people.names)), people.draw(n_resamples)])


def from_replicates(values, people):
    """An Estimate of any statistic: its value of the sample, then of every resample."""
    ends = interval(np.asarray(values[1:]), *people.free)
    return Estimate(float(values[0]), *ends, len(people.owner), len(people.names))


def rank_agreement(values, owner, counts):
    """Do several rankings of the same items agree? Kendall's W of every resample at once.

    Parameters
    ----------
    values : array of float, shape (n, m)
        What each of m raters (columns) gives to each of n items.
    owner : array of float, shape (n, n_persons)
        1 where an item belongs to a patient, else 0.
    counts : array of float, shape (n_resamples, n_persons)
        How often each patient is drawn.

    Returns
    -------
    ndarray of float, (n_resamples,)
        W is 1 if all raters rank alike, 1 / m on average if their rankings are unrelated. NaN where
        undefined.

    Notes
    -----
    W is corrected for ties: 12 S / (m^2 (n^3 - n) - m T), where S sums the squared distances of
    the items' rank sums from their mean, and T sums t^3 - t over every rater's groups of t
    tied items (Kendall and Gibbons, Rank Correlation Methods, 1990, chapter 6). An item's
    rank counts the drawn items below it and half of those level with it, so the ranks of all
    resamples are one matrix product. Items drawn twice are ties, in every ranking alike.

    Examples
    --------
    >>> rank_agreement([[1, 10], [2, 20], [3, 30]], np.eye(3), np.ones((1, 3)))
    array([1.])
    """
    values = np.asarray(values, np.float64)
    n, m = counts @ owner.sum(axis=0), values.shape[1]  # items, (n_resamples,)
    most, rankings = 0.0, 0.0
    for column in values.T:
        _, level = np.unique(column, return_inverse=True)  # (n,)
        sizes = np.zeros((level.max() + 1, owner.shape[1]))
        np.add.at(sizes, level, owner)  # (n_levels, n_persons)
        # What each patient adds to an item's mid-rank, less the mean rank, (n, n_persons).
        below = np.cumsum(sizes, axis=0) - sizes
        rankings = rankings + (below + sizes / 2 - owner.sum(axis=0) / 2)[level]
        ties = counts @ sizes.T
        most = most + m * (n**3 - n - (ties**3 - ties).sum(axis=1)) / 12
    weight = counts @ owner.T  # how often each item is drawn, (n_resamples, n)
    squares = (weight * (counts @ rankings.T) ** 2).sum(axis=1)
    return np.divide(squares, most, out=np.full(len(counts), np.nan), where=most > 0)
