"""Claims about verdicts, equivalence and the agreement of rankings."""

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr
from statsmodels.stats.weightstats import DescrStatsW

from tumorcf_lib.stats.estimates import Estimate
from tumorcf_lib.stats.verdicts import judge, rank_agreement, relevance, tost


def test_verdict_follows_the_stated_rule_and_gives_a_reason():
    for low, high, side, p_holm, n, expected in (
        (0.1, 0.3, "above", 0.01, 10, "supported"),
        (-0.3, -0.1, "below", 0.01, 10, "supported"),
        (-0.3, -0.1, "above", 0.01, 10, "refuted"),
        (0.1, 0.3, "below", 0.9, 10, "refuted"),
        (9e-7, 0.3, "above", 0.01, 10, "undecided"),  # within rounding
        (-0.1, 0.3, "above", 0.01, 10, "undecided"),
        (0.1, 0.3, "above", 0.05, 10, "undecided"),
        (0.1, 0.3, "above", np.nan, 10, "undecided"),
        (-0.3, -0.1, "above", 0.01, 9, "undecided"),
        (np.nan, np.nan, "above", 0.01, 10, "undecided"),
    ):
        verdict, reason = judge(Estimate(0.2, low, high, 99, 50, n), 0, side, p_holm)
        assert verdict == expected and bool(reason) == (expected == "undecided")


def test_an_interval_within_5_points_of_0_is_negligible():
    for low, high, n, expected in (
        (-0.05, 0.05, 10, "negligible"),
        (0.01, 0.051, 10, ""),
        (-0.051, 0.0, 10, ""),
        (0.01, 0.04, 9, ""),  # too few patients to say that nothing is there
        (np.nan, np.nan, 10, ""),
    ):
        assert relevance(Estimate(0.02, low, high, 99, 50, n)) == expected


def test_equivalence_agrees_with_statsmodels_and_with_its_interval():
    for shift in (-0.03, 0.0, 0.02):
        values = np.random.default_rng(0).normal(shift, 0.02, 12)
        p, found = DescrStatsW(values).ttost_mean(-0.02, 0.02)[0], tost(values, 0.02)
        assert found["p"] == pytest.approx(p, rel=1e-9)
        assert found["verdict"] == ("equivalent" if p < 0.05 else "not shown")
        inside = -0.02 < found["low"] and found["high"] < 0.02
        assert (found["verdict"] == "equivalent") == inside


def slow_w(values):
    """Kendall's W as in the textbook, item by item."""
    n, m = values.shape
    sums = rankdata(values, axis=0).sum(axis=1)
    s = sum((total - sum(sums) / n) ** 2 for total in sums)
    levels = [t for column in values.T for t in np.unique(column, return_counts=True)[1]]
    ties = sum(t**3 - t for t in levels)
    return 12 * s / (m**2 * (n**3 - n) - m * ties)


def test_agreement_of_a_resample_is_that_of_its_slices_written_out():
    rng = np.random.default_rng(2)
    values = rng.integers(0, 6, size=(9, 3)).astype(float)
    person = np.array([0, 0, 1, 1, 1, 2, 3, 3, 3])
    counts = np.array([[1.0, 1, 1, 1], [2, 0, 1, 1], [0, 3, 0, 1]])
    w, rho = rank_agreement(values, np.eye(4)[person], counts)
    for k, drawn in enumerate(counts.astype(int)):
        written_out = values[np.repeat(np.arange(9), drawn[person])]
        assert w[k] == pytest.approx(slow_w(written_out))
        pairs = [(0, 1), (0, 2), (1, 2)]
        mean = np.mean([spearmanr(written_out[:, i], written_out[:, j])[0] for i, j in pairs])
        assert rho[k] == pytest.approx(mean)
