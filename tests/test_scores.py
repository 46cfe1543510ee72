import math

import numpy as np
import pandas as pd
import pytest
from pictures import cohort as make_cohort

from tumorcf_lib.config import CLASSES
from tumorcf_lib.edits import audit, scores
from tumorcf_lib.edits.scores import InvalidRowsError, slice_scores


def test_class_log_odds_are_those_of_the_normalized_class_and_keep_what_single_precision_loses():
    rng = np.random.default_rng(0)
    p, labels = rng.dirichlet([1, 1, 1, 1], size=50), rng.integers(4, size=50)
    found = scores.class_log_odds(p * rng.uniform(0.5, 2, (50, 1)), labels)  # not normalized
    np.testing.assert_allclose(found, scores.log_odds(p[np.arange(50), labels]), rtol=1e-9)
    p = np.array([[1.0, 3e-7, 2e-7]], np.float32)  # 1 - p of the first class is exactly 0
    assert scores.class_log_odds(p, [0])[0] == pytest.approx(math.log(1 / 5e-7), rel=1e-5)


@pytest.fixture
def rows():
    """An audit by chance; slice 101 has no room for shams, 102 two places, slice 104 no mask."""
    cohort, rng = make_cohort(), np.random.default_rng(0)
    cohort.masks[1, 12:52, 12:52] = True
    cohort.masks[4] = False
    rows = audit.audit(lambda slices: rng.dirichlet([1, 1, 1], len(slices)), cohort, n_places=3)
    return rows[(rows["slice_id"] != "102") | (rows["place"] < 2)]


def test_scores_agree_with_a_loop_over_slices(rows):
    by_slice = slice_scores(rows).set_index("slice_id")
    for slice_id, own in rows.groupby("slice_id"):
        score, label = by_slice.loc[slice_id], own["label"].iloc[0]
        original = own[own["edit"] == "original"].iloc[0]
        predicted = max(CLASSES, key=lambda name: original[f"p_{name}"])
        wanted = {"predicted": predicted, "correct": predicted == label}
        wanted["n_sham"] = {"101": 0, "102": 2, "104": 0}.get(slice_id, 3)
        assert score[[*wanted]].to_dict() == wanted
        p, lo = (own.groupby("edit")[column].mean() for column in (f"p_{label}", "log_odds"))
        wanted = {"delta_drop_refit": p["original_refit"] - p["remove_refit"]}
        for prefix, suffix, of in (("p", "", p), ("lo", "_lo", lo)):
            wanted |= {f"{prefix}_{edit}": of[edit] for edit in of.index.drop("original")}
            wanted[f"{prefix}_orig"] = of["original"]
            wanted[f"delta_drop{suffix}"] = of["original"] - of["remove"]
            wanted[f"delta_focus{suffix}"] = of["only"]
            wanted[f"sham_drop{suffix}"] = of["original"] - of["sham"]
            wanted[f"net_drop{suffix}"] = of["sham"] - of["remove"]
            wanted[f"net_focus{suffix}"] = of["only"] - of["sham_only"]
        for name, value in wanted.items():
            assert score[name] == pytest.approx(value, abs=1e-12, nan_ok=True), name


def test_one_dilation_and_one_infill_are_scored_at_a_time(rows):
    columns = [f"p_{name}" for name in CLASSES]
    other = rows[rows["edit"].isin(["remove", "sham"])].assign(dilation_px=5)
    other[columns] = [0.0, 0.0, 1.0]
    third = rows[rows["edit"] == "remove"].assign(infill="ring_mean")
    third[columns] = [1.0, 0.0, 0.0]
    table = pd.concat([rows, other, third], ignore_index=True)
    pd.testing.assert_frame_equal(slice_scores(table), slice_scores(rows))
    dilated, ring = slice_scores(table, dilation_px=5), slice_scores(table, infill="ring_mean")
    for made, name in ((dilated, "pituitary"), (ring, "meningioma")):
        own = made.dropna(subset="p_remove")
        assert (own["p_remove"] == (own["label"] == name)).all() and len(own)
    assert dilated["p_only"].isna().all() and dilated["p_blank"].notna().all()
    assert ring["p_sham"].isna().all()


def test_tables_that_cannot_be_scored_are_refused_with_the_reason(rows):
    twice = pd.concat([rows, rows[rows["edit"] == "only"].iloc[[0]]])
    lost = rows[(rows["edit"] != "original") | (rows["slice_id"] != "103")]
    for table, message in (
        (twice, "1 come again.*'only'.*one classifier"),
        (lost, "1 slices .*'original' .*'103'"),
        (rows.assign(label="glioblastoma"), "glioblastoma.*meningioma, glioma, pituitary"),
        (rows.assign(p_glioma=np.nan), "6 slices have no .*'original' with probabilities"),
    ):
        with pytest.raises(InvalidRowsError, match=message):
            slice_scores(table)


def test_the_floor_of_log_odds_is_one_of_probabilities_that_sum_to_1():
    assert scores.class_log_odds([[8e-8, 2e-8]], [0])[0] == pytest.approx(math.log(4))
