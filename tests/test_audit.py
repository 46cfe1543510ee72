import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pictures import cohort as make_cohort

from tumorcf_lib.config import CLASSES
from tumorcf_lib.edits import audit, plan
from tumorcf_lib.edits.audit import InvalidAuditError, PredictionError
from tumorcf_lib.edits.scores import slice_scores

TUMOR = np.s_[:, 18:25, 26:33]


def tumor_reader(slices):
    """p of class 0 rises with the tumor's brightness; the others share the rest."""
    p = 1 / (1 + np.exp(2 - slices[TUMOR].mean(axis=(1, 2))))
    return np.column_stack([p, (1 - p) / 2, (1 - p) / 2]).astype(np.float32)


def uniform(slices):
    return np.full((len(slices), 3), 1 / 3, np.float32)


def test_equal_seeds_give_equal_rows_whatever_the_batch_and_the_other_slices(monkeypatch):
    cohort = make_cohort()
    first = audit.audit(tumor_reader, cohort, seed=3)
    monkeypatch.setattr(audit, "MAX_TUPLES", 20)
    for batch_size in (1, 7, 1000):
        again = audit.audit(tumor_reader, cohort, seed=3, batch_size=batch_size)
        pd.testing.assert_frame_equal(first, again, check_exact=True)
    part = audit.audit(tumor_reader, cohort.subset([4, 1]), seed=3)
    wanted = pd.concat([first[first["slice_id"] == name] for name in ("104", "101")])
    pd.testing.assert_frame_equal(part, wanted.reset_index(drop=True))
    other = audit.audit(tumor_reader, cohort, seed=4)
    assert (first["offset_y"] != other["offset_y"]).any()


def test_several_classifiers_asked_in_one_pass_answer_as_each_alone():
    cohort = make_cohort()
    with_no_tumor = replace(cohort, classes=(*cohort.classes, "no tumor"))
    asked = (tumor_reader, cohort), (lambda slices: np.eye(4)[[3] * len(slices)], with_no_tumor)
    together = audit.audit_all(asked, plan.HEADLINE_EDITS, 2, 3, 5)
    for (predict, own), rows in zip(asked, together, strict=True):
        alone = audit.audit(predict, own, n_places=2, seed=3, batch_size=5)
        pd.testing.assert_frame_equal(rows, alone)


def test_every_row_carries_the_prediction_of_its_own_edit():
    cohort = make_cohort()
    rows = audit.audit(tumor_reader, cohort, batch_size=5)
    for row in rows.to_dict("records"):
        i = int(row["slice_id"]) - 100
        edited = plan.recreate(cohort.slices[i], cohort.masks[i], row)
        np.testing.assert_array_equal(
            [row[f"p_{name}"] for name in CLASSES], tumor_reader(edited[None])[0]
        )
        assert row["label"] == CLASSES[i // 2] and row["person_id"] == f"P{i // 2}"
        p = row[f"p_{row['label']}"]
        assert row["log_odds"] == pytest.approx(np.log(p / (1 - p)), rel=1e-5)


def test_every_batch_is_full_and_the_last_filled_up():
    sizes = []

    def predict(slices):
        sizes.append(len(slices))
        assert slices.dtype == np.float32 and slices.shape[1:] == (64, 64)
        return uniform(slices)

    rows = audit.audit(predict, make_cohort(), batch_size=16)
    n = 6 * (len(plan.HEADLINE_EDITS) - 2 + 5 + 5)  # two of them at five places each
    assert len(rows) == n and sizes == [16] * -(-n // 16)


def test_a_predict_that_reuses_its_output_or_spoils_its_input_does_no_harm():
    cohort, memory = make_cohort(), np.empty((16, 3), np.float32)

    def predict(slices):
        out = memory[: len(slices)]
        out[:] = tumor_reader(slices)
        slices[:] = np.nan
        return out

    rows = audit.audit(predict, cohort, batch_size=16)
    pd.testing.assert_frame_equal(rows, audit.audit(tumor_reader, cohort))
    assert np.isfinite(cohort.slices).all()


def test_memory_does_not_grow_with_the_cohort():
    def peak(cohort):
        tracemalloc.start()
        audit.audit(uniform, cohort, batch_size=8)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    few, many = make_cohort(3, size=128), make_cohort(12, size=128)
    peak(few)  # imports and caches
    # 9 more slices make 153 more edited slices; less than four may be held at a time.
    assert peak(many) - peak(few) < 4 * 128 * 128 * 4


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda p: p[:, :2], r"shape \(8, 3\).*got \(8, 2\)"),
        (lambda p: np.where(p == p[0, 0], np.nan, p), "24 NaN or infinite"),
        (lambda p: 5 * p, "sums off by up to 4.*If these are logits, apply a softmax"),
        (lambda p: p + [[1, -1, 0]], "numbers from -0.6667 to 1.333"),
        (lambda p: None, "got NoneType"),
    ],
)
def test_anything_but_probabilities_is_refused_with_what_came(change, message):
    with pytest.raises(PredictionError, match=message):
        audit.audit(lambda slices: change(uniform(slices)), make_cohort(), batch_size=8)


def test_impossible_edits_keep_a_row_with_a_reason_and_the_others_go_on():
    cohort = make_cohort(4)
    cohort.masks[1] = False
    cohort.masks[2] = True
    edits = plan.HEADLINE_EDITS + plan.matched_shams()
    rows = audit.audit(uniform, cohort, edits=edits, batch_size=8)
    numbers = rows[[*(f"p_{name}" for name in CLASSES), "log_odds"]]
    impossible = rows["reason"] != ""
    assert numbers[impossible].isna().all(axis=None) and numbers[~impossible].notna().all(axis=None)
    assert rows[impossible].groupby(["slice_id", "reason"]).size().to_dict() == {
        ("101", "empty mask"): sum(plan.ACTIONS[edit.name].uses_region for edit in edits),
        ("102", "no legal place"): 2,
        ("102", "nothing to inpaint from"): 3,  # remove, remove_refit and sham_matched
    }
    assert slice_scores(rows)["net_drop"].isna().tolist() == [False, True, True, False]


def test_what_is_not_prepared_is_refused_by_name():
    cohort = make_cohort(3)
    broken = cohort.slices.copy()
    broken[1, 0, 0] = np.nan
    ragged = [cohort.slices[0], cohort.slices[1][:60], cohort.slices[2]]
    for changed, message in (
        ({"slices": cohort.slices.astype(float)}, "'100' is float64.*preprocess.prepare"),
        ({"slices": broken}, "finite float32.*'101'"),
        ({"slices": ragged}, r"'101' is float32 \(60, 64\)"),
        ({"masks": cohort.masks.astype(np.uint8)}, "'100' has uint8"),
        ({"table": cohort.table.assign(slice_id="1")}, "'1' comes twice"),
        ({"classes": ("a",)}, "indices from 0 to 0"),
    ):
        with pytest.raises(InvalidAuditError, match=message):
            audit.audit(uniform, replace(cohort, **changed))
