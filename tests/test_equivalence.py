"""Two one-sided t-tests, against hand calculations and statsmodels."""

import numpy as np
import pytest
from statsmodels.stats.weightstats import DescrStatsW

from tumorcf_lib.stats.equivalence import tost


def test_the_interval_and_p_are_those_of_a_hand_calculation():
    """Mean 0.005, sd sqrt(5 / 3) / 100, n = 4; t(0.95, 3) = 2.3534."""
    found = tost([-0.01, 0.0, 0.01, 0.02], 0.02)
    error = np.sqrt(5 / 3) / 100 / 2
    assert found["n_networks"] == 4 and found["effect"] == pytest.approx(0.005)
    assert found["low"] == pytest.approx(0.005 - 2.3534 * error, abs=1e-6)
    assert found["high"] == pytest.approx(0.005 + 2.3534 * error, abs=1e-6)
    assert (found["smallest"], found["largest"]) == (-0.01, 0.02)


@pytest.mark.parametrize("shift", [-0.03, -0.01, 0.0, 0.015, 0.02, 0.05])
def test_p_and_verdict_agree_with_statsmodels(shift):
    values = np.random.default_rng(0).normal(shift, 0.02, 12)
    p = DescrStatsW(values).ttost_mean(-0.02, 0.02)[0]
    found = tost(values, 0.02)
    assert found["p"] == pytest.approx(p, rel=1e-9)
    assert found["verdict"] == ("equivalent" if p < 0.05 else "not shown")


@pytest.mark.parametrize("shift", np.linspace(-0.03, 0.03, 13))
def test_equivalent_means_that_the_90_percent_interval_lies_within_the_margin(shift):
    values = np.random.default_rng(1).normal(0, 0.01, 10) + shift
    found = tost(values, 0.02)
    inside = -0.02 < found["low"] and found["high"] < 0.02
    assert (found["verdict"] == "equivalent") == inside


def test_networks_that_all_agree_are_equivalent_only_within_the_margin():
    assert tost([0.01] * 3, 0.02)["verdict"] == "equivalent"
    assert tost([0.02] * 3, 0.02)["verdict"] == "not shown"


def test_one_network_shows_nothing():
    found = tost([0.0], 0.02)
    assert found["verdict"] == "not shown" and np.isnan([found["low"], found["p"]]).all()


def test_without_a_margin_there_is_an_interval_and_no_verdict():
    found = tost([0.1, 0.2, 0.4], np.nan)
    assert found["verdict"] == "" and np.isnan(found["p"]) and found["low"] < found["high"]
