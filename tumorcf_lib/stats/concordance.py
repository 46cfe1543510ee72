"""Do several rankings of the same items agree? Kendall's W, and for all resamples at once."""

import numpy as np
from scipy.stats import rankdata


def kendall_w(values) -> float:
    """Kendall's coefficient of concordance, corrected for ties.

    Parameters
    ----------
    values : array of float, shape (n, m)
        What each of m raters (columns) gives to each of n items.

    Returns
    -------
    float in [0, 1]
        1 if all raters rank alike, 1 / m on average if their rankings are unrelated; NaN with
        fewer than two items or raters, or if every rater gives all items the same.

    Notes
    -----
    12 S / (m^2 (n^3 - n) - m T), where S sums the squared distances of the items' rank sums
    from their mean, and T sums t^3 - t over every rater's groups of t tied items. Source:
    Kendall and Gibbons, Rank Correlation Methods, 1990, chapter 6.

    Examples
    --------
    >>> kendall_w([[1, 10], [2, 20], [3, 30]])
    1.0
    >>> kendall_w([[1, 30], [2, 20], [3, 10]])
    0.0
    """
    values = np.asarray(values, np.float64)
    return float(rank_agreement(values, np.eye(len(values)), np.ones((1, len(values))))[0][0])


def rank_agreement(values, owner, counts):
    """Kendall's W and the mean pairwise Spearman correlation for all resamples at once.

    Parameters
    ----------
    values : array of float, shape (n, m)
        As for :func:`kendall_w`.
    owner : array of float, shape (n, n_persons)
        1 where an item belongs to a person, else 0.
    counts : array of float, shape (n_resamples, n_persons)
        How often each person is drawn.

    Returns
    -------
    w, spearman : ndarray of float, each (n_resamples,)
        Of the items as often as their person is drawn; NaN where undefined.

    Notes
    -----
    An item's rank counts the drawn items below it and half of those level with it, so the
    ranks of all resamples are one matrix product. Items drawn twice are ties, in every
    ranking alike.
    """
    n = counts @ owner.sum(axis=0)  # slices, (n_resamples,)
    m = values.shape[1]
    most, rankings, standard_sums = 0.0, 0.0, 0.0
    for column in values.T:
        ranking, level_sizes = _ranking(column, owner)  # (n_slices or n_levels, n_persons)
        rankings = rankings + ranking
        ties = counts @ level_sizes.T
        squares = (n**3 - n - (ties**3 - ties).sum(axis=1)) / 12  # of the centered ranks
        most = most + m * squares
        with np.errstate(divide="ignore"):
            scale = 1 / np.sqrt(squares)
        with np.errstate(invalid="ignore"):
            standard_sums = standard_sums + (counts * scale[:, None]) @ ranking.T
    weight = counts @ owner.T  # how often each slice is drawn, (n_resamples, n_slices)
    spread, standard_spread = (
        np.einsum("rn,rn,rn->r", weight, sums, sums)
        for sums in (counts @ rankings.T, standard_sums)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        w = np.where((most > 0) & (m > 1), spread / most, np.nan)
        # The variance of a sum of m standardized rankings is m + m (m - 1) mean correlation.
        return w, (standard_spread - m) / (m * (m - 1))


def _ranking(column, owner):
    """What each person adds to a slice's mid-rank, less the mean rank; and to each level.

    A slice's mid-rank is that of drawn slices below it, half of those level with it, and 1/2.
    """
    level = rankdata(column, method="dense").astype(int) - 1  # (n_slices,)
    sizes = np.zeros((level.max() + 1, owner.shape[1]))
    np.add.at(sizes, level, owner)  # (n_levels, n_persons)
    below = np.cumsum(sizes, axis=0) - sizes
    return (below + sizes / 2 - owner.sum(axis=0) / 2)[level], sizes
