"""Claims about Holm's adjustment and the rule of the verdicts."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from tumorcf_lib.stats import verdicts
from tumorcf_lib.stats.persons import StatsInputError
from tumorcf_lib.stats.verdicts import Estimate


def test_holm_by_hand():
    # sorted .01 .02 .03 .2 times 4 3 2 1, made monotone
    assert verdicts.holm([0.03, 0.2, 0.01, 0.02]) == pytest.approx([0.06, 0.2, 0.04, 0.06])


def test_holm_agrees_with_statsmodels():
    rng = np.random.default_rng(0)
    for n in (1, 2, 17):
        p = rng.random(n).round(1) ** 2  # with ties
        assert verdicts.holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_holm_of_no_p_values_is_nan():
    assert np.isnan(verdicts.holm([np.nan, np.nan])).all()
    assert len(verdicts.holm([])) == 0


@pytest.mark.parametrize("low, high, side, p_holm, n, expected", [
    (0.1, 0.3, "above", 0.01, 10, "supported"),
    (-0.3, -0.1, "below", 0.01, 10, "supported"),
    (-0.3, -0.1, "above", 0.01, 10, "refuted"),
    (0.1, 0.3, "below", 0.9, 10, "refuted"),
    (0.0, 0.3, "above", 0.01, 10, "undecided"),  # touching the margin is not wholly beyond it
    (-0.1, 0.3, "above", 0.01, 10, "undecided"),
    (0.1, 0.3, "above", 0.05, 10, "undecided"),
    (0.1, 0.3, "above", np.nan, 10, "undecided"),
    (0.1, 0.3, "above", 0.01, 9, "undecided"),
    (-0.3, -0.1, "above", 0.01, 9, "undecided"),
])
def test_verdict_follows_the_stated_rule(low, high, side, p_holm, n, expected):
    estimate = Estimate((low + high) / 2, low, high, 99, 50, n)
    assert verdicts.verdict(estimate, 0, side, p_holm) == expected
    reason = verdicts.why_undecided(estimate, 0, side, p_holm)
    assert bool(reason) == (expected == "undecided")


def test_the_reason_names_the_number_of_persons():
    reason = verdicts.why_undecided(Estimate(0.2, 0.1, 0.3, 99, 50, 7), 0, "above", 0.01)
    assert reason == "7 persons in the smallest group, 10 needed"


def test_an_unknown_side_is_refused():
    with pytest.raises(StatsInputError, match="above"):
        verdicts.verdict(Estimate(0, 0, 0, 20, 20, 20), 0, "greater", 0.01)


@pytest.mark.parametrize("dust", [1e-8, 9e-7])
def test_a_bound_within_rounding_of_the_margin_touches_it(dust):
    for side, low, high in (("above", dust, 0.2), ("below", -0.2, -dust)):
        estimate = Estimate((low + high) / 2, low, high, 99, 50, 50)
        assert verdicts.verdict(estimate, 0, side, 0.001) == "undecided"


@pytest.mark.parametrize("low, high, n, expected", [
    (-0.05, 0.05, 10, "negligible"),
    (0.01, 0.04, 10, "negligible"),
    (-0.04, -0.01, 10, "negligible"),
    (0.0, 0.0, 10, "negligible"),
    (0.01, 0.051, 10, ""),
    (-0.051, 0.0, 10, ""),
    (0.1, 0.3, 10, ""),
    (0.01, 0.04, 9, ""),  # too few persons to say that nothing is there
    (np.nan, np.nan, 10, ""),
])
def test_an_interval_within_5_points_of_0_is_negligible(low, high, n, expected):
    assert verdicts.relevance(Estimate(0.02, low, high, 99, 50, n)) == expected


def test_relevance_does_not_touch_the_verdict():
    estimate = Estimate(0.02, 0.01, 0.03, 99, 50, 50)
    assert verdicts.verdict(estimate, 0, "above", 0.001) == "supported"
    assert verdicts.relevance(estimate) == "negligible"
