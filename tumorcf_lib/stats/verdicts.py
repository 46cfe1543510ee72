"""From an estimate to a verdict: supported, refuted or undecided."""

from dataclasses import dataclass

import numpy as np

from tumorcf_lib.stats.persons import ROUNDING, StatsInputError

ALPHA = 0.05
MIN_PERSONS = 10
"""Fewer persons than this in a group: no verdict, whatever the interval says."""

RELEVANT = 0.05
"""Smallest shift of a probability that we call an effect: 5 points of 100. Our choice, nothing
derives it; it is no part of the verdict and stands beside it."""

NEGLIGIBLE = "negligible"
SIDES = ("above", "below")
SUPPORTED, REFUTED, UNDECIDED = "supported", "refuted", "undecided"


@dataclass(frozen=True)
class Estimate:
    """A number with its person-bootstrap interval.

    ``low`` and ``high`` are the expanded percentile interval of 95 %, see
    :mod:`stats.stats`; NaN where persons are too few to tell how far they differ.
    ``n_persons_smallest`` counts the persons of the smaller group when two are compared and
    equals ``n_persons`` otherwise. ``mean_of_person_means`` weighs every person alike; far
    from ``value``, it says that a few persons with many slices drive the mean. ``p`` is
    two-sided against the null that was given, else NaN.
    """

    value: float
    low: float
    high: float
    n_slices: int
    n_persons: int
    n_persons_smallest: int
    mean_of_person_means: float = np.nan
    p: float = np.nan

    def __str__(self):
        return (f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] "
                f"({self.n_slices} slices, {self.n_persons} persons)")


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


def verdict(estimate, margin, side, p_holm):
    """Whether an estimate supports or refutes that the truth lies beyond a margin.

    Supported: the interval lies wholly on the claimed side of the margin and ``p_holm`` is
    below 0.05. Refuted: wholly on the other side. Undecided: else, or with fewer than 10
    persons in a group. A bound within ``ROUNDING`` of the margin touches it.

    Parameters
    ----------
    estimate : Estimate
    margin : float
    side : {"above", "below"}
        The claimed side.
    p_holm : float

    Examples
    --------
    >>> verdict(Estimate(0.3, 0.2, 0.4, 50, 20, 20), 0, "above", 0.01)
    'supported'
    >>> verdict(Estimate(0.3, 0.2, 0.4, 50, 20, 20), 0, "below", 0.01)
    'refuted'
    >>> verdict(Estimate(0.3, 0.2, 0.4, 50, 20, 8), 0, "above", 0.01)
    'undecided'
    """
    return _judge(estimate, margin, side, p_holm)[0]


def why_undecided(estimate, margin, side, p_holm):
    """The reason of an undecided verdict in words; empty for the other two.

    Examples
    --------
    >>> why_undecided(Estimate(0.3, -0.2, 0.8, 50, 20, 20), 0, "above", 0.4)
    'the interval holds the margin'
    """
    return _judge(estimate, margin, side, p_holm)[1]


def relevance(estimate):
    """"negligible" if the interval lies wholly within +-0.05, else "".

    For estimates on the probability scale whose null is 0. With fewer than 10 persons, as
    without an interval, nothing is said.

    Examples
    --------
    >>> relevance(Estimate(0.01, -0.02, 0.04, 50, 20, 20))
    'negligible'
    >>> relevance(Estimate(0.04, 0.02, 0.06, 50, 20, 20))
    ''
    """
    known = estimate.n_persons_smallest >= MIN_PERSONS
    inside = -RELEVANT <= estimate.low and estimate.high <= RELEVANT
    return NEGLIGIBLE if known and inside else ""


def _judge(estimate, margin, side, p_holm):
    if side not in SIDES:
        raise StatsInputError(f"A claim's side is one of {SIDES}, got {side!r}.")
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
