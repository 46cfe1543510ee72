"""Claims about the formulas of the scores, against hand calculations and loops."""

import math

import numpy as np
import pytest

from tumorcf_lib.edits import scores


def test_log_odds_agree_with_a_loop_and_are_clipped_at_both_ends():
    p = np.array([0.5, 0.2, 0.999, 0.0, 1.0, 1e-9])
    for value, found in zip(p, scores.log_odds(p), strict=True):
        kept = min(max(value, 1e-7), 1 - 1e-7)
        assert found == pytest.approx(math.log(kept / (1 - kept)))
    assert np.isnan(scores.log_odds([np.nan])).all()


def test_class_log_odds_equal_the_log_odds_of_the_normalized_true_class():
    rng = np.random.default_rng(0)
    p = rng.dirichlet([1, 1, 1, 1], size=50)
    labels = rng.integers(4, size=50)
    found = scores.class_log_odds(p * rng.uniform(0.5, 2, (50, 1)), labels)  # not normalized
    np.testing.assert_allclose(found, scores.log_odds(p[np.arange(50), labels]), rtol=1e-9)


def test_class_log_odds_keep_what_single_precision_loses():
    p = np.array([[1.0, 3e-7, 2e-7]], np.float32)  # 1 - p of the first class is exactly 0
    assert scores.class_log_odds(p, [0])[0] == pytest.approx(math.log(1 / 5e-7), rel=1e-5)


def test_class_log_odds_are_clipped_like_log_odds_and_keep_missing_rows():
    found = scores.class_log_odds([[1.0, 0.0], [1.0, 0.0], [np.nan, np.nan]], [0, 1, 0])
    limit = math.log(1e7)
    np.testing.assert_allclose(found, [limit, -limit, np.nan])


def test_inputs_are_not_modified():
    p = np.array([[0.6, 0.6]])
    scores.class_log_odds(p, [1])
    focus = scores.delta_focus(p)
    focus[:] = 0
    assert (p == 0.6).all()


def test_shams_are_averaged_over_the_places_that_exist():
    rng = np.random.default_rng(1)
    p_orig, p_remove, p_only = rng.uniform(size=(3, 30))
    p_sham, p_sham_only = rng.uniform(size=(2, 30, 4))
    p_sham[rng.uniform(size=p_sham.shape) < 0.4] = np.nan
    p_sham[3] = np.nan
    mean, n = scores.mean_over_places(p_sham)
    drop = scores.sham_drop(p_orig, p_sham)
    net = scores.net_drop(p_orig, p_remove, p_sham)
    focus = scores.net_focus(p_only, p_sham_only)
    for i in range(30):
        known = [value for value in p_sham[i] if not math.isnan(value)]
        assert n[i] == len(known)
        if not known:
            assert math.isnan(mean[i]) and math.isnan(drop[i]) and math.isnan(net[i])
            continue
        assert mean[i] == pytest.approx(sum(known) / len(known))
        assert drop[i] == pytest.approx(p_orig[i] - sum(known) / len(known))
        assert net[i] == pytest.approx(sum(known) / len(known) - p_remove[i])
        assert focus[i] == pytest.approx(p_only[i] - sum(p_sham_only[i]) / 4)


def test_signs_say_what_their_docstrings_say():
    # Removing the tumor costs 0.6, removing anything costs 0.1.
    assert scores.delta_drop([0.9], [0.3])[0] == pytest.approx(0.6)
    assert scores.sham_drop([0.9], [0.8])[0] == pytest.approx(0.1)
    assert scores.net_drop([0.9], [0.3], [0.8])[0] == pytest.approx(0.5)
    assert scores.delta_focus([0.7])[0] == pytest.approx(0.7)
    assert scores.net_focus([0.7], [0.2])[0] == pytest.approx(0.5)


def test_a_flip_is_a_change_of_the_predicted_class_by_index_or_name():
    assert scores.flips([0, 1], [0, 2]).tolist() == [False, True]
    assert scores.flips(["a", "b"], ["b", "b"]).tolist() == [True, False]
