"""Whether several rankings agree."""

import numpy as np


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
