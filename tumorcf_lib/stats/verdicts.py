"""From an estimate to a verdict: supported, refuted or undecided; or equivalent to nothing."""

import numpy as np
from scipy.special import stdtr, stdtrit

from tumorcf_lib.stats.persons import ROUNDING

ALPHA = 0.05
MIN_PERSONS = 10
"""Fewer patients than this in a group: no verdict, whatever the interval says."""

RELEVANT = 0.05
"""Smallest shift of a probability that we call an effect: 5 points of 100. Our choice, nothing
derives it; it is no part of the verdict and stands beside it."""

NEGLIGIBLE = "negligible"
SUPPORTED, REFUTED, UNDECIDED = "supported", "refuted", "undecided"


def holm(p_values):
    """Holm's adjustment of one family of p-values; NaN stays NaN and is not counted.

    Examples
    --------
    >>> holm([0.01, 0.04, np.nan, 0.03])
    array([0.03, 0.06,  nan, 0.06])
    """
    p_values = np.asarray(p_values, dtype=float)
    adjusted = np.full(p_values.shape, np.nan)
    known = np.isfinite(p_values)
    p = p_values[known]
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))  # m, m - 1, ..., 1
    found = np.empty(len(p))
    found[order] = np.minimum(steps, 1)
    adjusted[known] = found
    return adjusted


def judge(estimate, margin, side, p_holm):
    """Whether an estimate supports or refutes that the truth lies beyond a margin, and why not.

    Supported: the interval lies wholly on the claimed side of the margin and ``p_holm`` is
    below 0.05. Refuted: wholly on the other side. Undecided: else, or with fewer than 10
    patients in a group. A bound within ``ROUNDING`` of the margin touches it.

    Parameters
    ----------
    estimate : estimates.Estimate, or a row of a table
        Read are low, high and n_persons_smallest.
    margin : float
    side : {"above", "below"}
        The claimed side.
    p_holm : float

    Returns
    -------
    verdict, reason : str
        The reason of an undecided verdict in words; empty for the other two.

    Examples
    --------
    >>> from tumorcf_lib.stats.estimates import Estimate
    >>> judge(Estimate(0.3, 0.2, 0.4, 50, 20, 20), 0, "above", 0.01)
    ('supported', '')
    >>> judge(Estimate(0.3, -0.2, 0.8, 50, 20, 20), 0, "above", 0.4)
    ('undecided', 'the interval holds the margin')
    """
    if estimate.n_persons_smallest < MIN_PERSONS:
        n = estimate.n_persons_smallest
        return UNDECIDED, f"{n} persons in the smallest group, {MIN_PERSONS} needed"
    if not np.isfinite([estimate.low, estimate.high]).all():
        return UNDECIDED, "no interval"
    above, below = estimate.low > margin + ROUNDING, estimate.high < margin - ROUNDING
    claimed, other = (above, below) if side == "above" else (below, above)
    if other:
        return REFUTED, ""
    if not claimed:
        return UNDECIDED, "the interval holds the margin"
    if not p_holm < ALPHA:
        return UNDECIDED, f"on the claimed side, but Holm p is not below {ALPHA}"
    return SUPPORTED, ""


def relevance(estimate):
    """The word "negligible" if the interval lies wholly within +-0.05, else "".

    For estimates on the probability scale whose null is 0. With fewer than 10 patients, as
    without an interval, nothing is said.

    Examples
    --------
    >>> from tumorcf_lib.stats.estimates import Estimate
    >>> relevance(Estimate(0.01, -0.02, 0.04, 50, 20, 20))
    'negligible'
    """
    known = estimate.n_persons_smallest >= MIN_PERSONS
    inside = -RELEVANT <= estimate.low and estimate.high <= RELEVANT
    return NEGLIGIBLE if known and inside else ""


def tost(values, margin):
    """Two one-sided t-tests that a mean lies within +-margin of 0 (Schuirmann 1987).

    Parameters
    ----------
    values : array of float, shape (n,)
        One per network; finite.
    margin : float
        NaN: no test, the interval only.

    Returns
    -------
    dict
        n_networks, effect, low, high (90 %), sd, smallest, largest, margin, p, verdict.

    Examples
    --------
    >>> found = tost([-0.01, 0.0, 0.01, 0.0], 0.02)
    >>> found["verdict"], round(found["high"], 4)
    ('equivalent', 0.0096)
    """
    values = np.asarray(values, np.float64)
    n, mean = len(values), float(values.mean())
    sd = float(values.std(ddof=1)) if n > 1 else np.nan
    error = sd / n**0.5
    reach = float(stdtrit(n - 1, 1 - ALPHA)) * error if n > 1 else np.nan
    p = np.nan
    if n > 1 and np.isfinite(margin):
        gap = margin - abs(mean)  # to the nearer margin, which gives the larger p
        p = float(stdtr(n - 1, -gap / error)) if error > 0 else float(gap <= 0)
    verdict = "" if np.isnan(margin) else "equivalent" if p < ALPHA else "not shown"
    return {
        "n_networks": n,
        "effect": mean,
        "low": mean - reach,
        "high": mean + reach,
        "sd": sd,
        "smallest": float(values.min()),
        "largest": float(values.max()),
        "margin": margin,
        "p": p,
        "verdict": verdict,
    }


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
    w, spearman : ndarray of float, each (n_resamples,)
        W is 1 if all raters rank alike, 1 / m on average if their rankings are unrelated;
        spearman is the mean correlation of pairs. NaN where undefined.

    Notes
    -----
    W is corrected for ties: 12 S / (m^2 (n^3 - n) - m T), where S sums the squared distances of
    the items' rank sums from their mean, and T sums t^3 - t over every rater's groups of t
    tied items (Kendall and Gibbons, Rank Correlation Methods, 1990, chapter 6). An item's
    rank counts the drawn items below it and half of those level with it, so the ranks of all
    resamples are one matrix product. Items drawn twice are ties, in every ranking alike.

    Examples
    --------
    >>> w, _ = rank_agreement([[1, 10], [2, 20], [3, 30]], np.eye(3), np.ones((1, 3)))
    >>> w
    array([1.])
    """
    values = np.asarray(values, np.float64)
    n, m = counts @ owner.sum(axis=0), values.shape[1]  # items, (n_resamples,)
    most, rankings, standard_sums = 0.0, 0.0, 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        for column in values.T:
            ranking, level_sizes = _ranking(column, owner)  # (n or n_levels, n_persons)
            rankings = rankings + ranking
            ties = counts @ level_sizes.T
            squares = (n**3 - n - (ties**3 - ties).sum(axis=1)) / 12  # of the centered ranks
            most = most + m * squares
            scale = 1 / np.sqrt(squares)
            standard_sums = standard_sums + (counts * scale[:, None]) @ ranking.T
        weight = counts @ owner.T  # how often each item is drawn, (n_resamples, n)
        sums, standard = (
            np.einsum("rn,rn,rn->r", weight, x, x) for x in (counts @ rankings.T, standard_sums)
        )
        w = np.where((most > 0) & (m > 1), sums / most, np.nan)
        # The variance of a sum of m standardized rankings is m + m (m - 1) mean correlation.
        return w, (standard - m) / (m * (m - 1))


def _ranking(column, owner):
    """What each patient adds to an item's mid-rank, less the mean rank; and to each level.

    An item's mid-rank is that of drawn items below it, half of those level with it, and 1/2.
    """
    _, level = np.unique(column, return_inverse=True)  # (n,)
    sizes = np.zeros((level.max() + 1, owner.shape[1]))
    np.add.at(sizes, level, owner)  # (n_levels, n_persons)
    below = np.cumsum(sizes, axis=0) - sizes
    return (below + sizes / 2 - owner.sum(axis=0) / 2)[level], sizes
