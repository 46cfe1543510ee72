"""Claims about the audit, with predictors whose answer is known."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib.data.cohort import Cohort
from tumorcf_lib.edits import audit, plan
from tumorcf_lib.edits.audit import InvalidAuditError, PredictionError
from tumorcf_lib.edits.scores import slice_scores

CLASSES = ("meningioma", "glioma", "pituitary")
TUMOR = (slice(18, 25), slice(26, 33))


def make_cohort(n=6, size=64, classes=CLASSES, seed=0):
    """Noisy round heads; every tumor in the same place, so that a predictor can find it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    inside = np.hypot(y - size / 2, x - size / 2) < 0.42 * size
    slices = np.where(inside, 1 + rng.normal(0, 0.1, (n, size, size)), -1.5).astype(np.float32)
    masks = np.zeros((n, size, size), bool)
    masks[:, *TUMOR] = True
    masks[:, 18, 26] = False
    slices[masks] += 2
    patients = [f"P{i // 2}" for i in range(n)]
    table = pd.DataFrame(
        {
            "slice_id": [str(100 + i) for i in range(n)],
            "patient_id": patients,
            "person_id": patients,
            "label": np.arange(n) % len(classes),
        }
    )
    return Cohort("toy", slices, masks, table, tuple(classes), "drawn in this test")


def subset(cohort, indices):
    table = cohort.table.iloc[indices].reset_index(drop=True)
    return Cohort("part", cohort.slices[indices], cohort.masks[indices], table, CLASSES, "part")


def sigmoid_rows(score, n_classes=3):
    """p of class 0 rises with the score; the others share the rest."""
    p = 1 / (1 + np.exp(-score))
    rest = np.repeat(((1 - p) / (n_classes - 1))[:, None], n_classes - 1, axis=1)
    return np.column_stack([p, rest]).astype(np.float32)


def tumor_reader(slices):
    return sigmoid_rows(slices[:, *TUMOR].mean(axis=(1, 2)) - 2)


def corner_reader(slices):
    return sigmoid_rows(slices[:, :3, :3].mean(axis=(1, 2)))


def uniform(slices, n_classes=3):
    return np.full((len(slices), n_classes), 1 / n_classes, np.float32)


def test_rows_are_the_same_however_many_are_kept_as_tuples(monkeypatch):
    cohort = make_cohort(5)
    whole = audit.audit(tumor_reader, cohort)
    monkeypatch.setattr(audit, "MAX_TUPLES", 20)
    pd.testing.assert_frame_equal(audit.audit(tumor_reader, cohort), whole, check_exact=True)


def test_a_tumor_reader_scores_above_zero_net_of_shams():
    cohort = subset(make_cohort(), [0, 3])  # class 0: the one the reader gives to bright tumors
    scores = slice_scores(audit.audit(tumor_reader, cohort))
    assert (scores["delta_drop"] > 0.3).all()
    assert (scores["sham_drop"] == 0).all()  # no sham comes near what the reader looks at
    assert (scores["net_drop"] > 0.3).all() and (scores["net_focus"] > 0.3).all()
    assert (scores["net_drop_lo"] > 1).all()


def test_a_corner_reader_scores_exactly_zero():
    scores = slice_scores(audit.audit(corner_reader, make_cohort()))
    for column in ("delta_drop", "sham_drop", "net_drop", "net_drop_lo", "net_focus"):
        assert (scores[column] == 0).all(), column
    assert not scores["flipped"].any() and (scores["sham_flip_rate"] == 0).all()


def test_two_runs_are_identical_whatever_the_batch_size():
    cohort = make_cohort()
    first = audit.audit(tumor_reader, cohort, seed=3)
    pd.testing.assert_frame_equal(first, audit.audit(tumor_reader, cohort, seed=3))
    for batch_size in (1, 7, 1000):
        again = audit.audit(tumor_reader, cohort, seed=3, batch_size=batch_size)
        pd.testing.assert_frame_equal(first, again)


def test_a_subset_in_another_order_gets_the_same_rows():
    cohort = make_cohort()
    whole = audit.audit(tumor_reader, cohort)
    part = audit.audit(tumor_reader, subset(cohort, [4, 1]))
    wanted = pd.concat([whole[whole["slice_id"] == name] for name in ("104", "101")])
    pd.testing.assert_frame_equal(part, wanted.reset_index(drop=True))


def test_rows_have_stable_columns_and_types():
    rows = audit.audit(uniform, make_cohort(2), n_places=2, seed=5)
    assert list(rows.columns) == [
        "slice_id",
        "patient_id",
        "person_id",
        "label",
        "edit",
        "place",
        "infill",
        "dilation_px",
        "offset_y",
        "offset_x",
        "mirrored",
        "seed",
        "flag",
        "depth_px",
        "n_pixels",
        "edit_rms",
        "p_meningioma",
        "p_glioma",
        "p_pituitary",
        "log_odds",
        "reason",
    ]
    kinds = {name: dtype.kind for name, dtype in rows.dtypes.items() if dtype.kind != "O"}
    assert {name for name, kind in kinds.items() if kind == "i"} == {
        "place",
        "dilation_px",
        "offset_y",
        "offset_x",
        "seed",
        "n_pixels",
    }
    assert kinds["mirrored"] == "b"
    assert kinds["log_odds"] == kinds["edit_rms"] == kinds["depth_px"] == "f"
    assert (rows["seed"] == 5).all()
    assert rows["edit"].tolist()[:12] == [
        "original",
        "remove",
        "original_refit",
        "remove_refit",
        "only",
        "background",
        "silhouette",
        "blank",
        "sham",
        "sham",
        "sham_only",
        "sham_only",
    ]


def test_every_row_carries_the_prediction_of_its_own_edit():
    cohort = make_cohort()
    rows = audit.audit(tumor_reader, cohort, batch_size=5)
    for row in rows.to_dict("records"):
        i = int(row["slice_id"]) - 100
        edited = plan.recreate(cohort.slices[i], cohort.masks[i], row)
        np.testing.assert_array_equal(
            [row[f"p_{name}"] for name in CLASSES], tumor_reader(edited[None])[0]
        )
        assert row["label"] == CLASSES[i % 3] and row["person_id"] == f"P{i // 2}"
        p = row[f"p_{row['label']}"]
        assert row["log_odds"] == pytest.approx(np.log(p / (1 - p)), rel=1e-5)


@pytest.mark.parametrize("n_classes", [2, 5])
def test_any_number_of_classes_is_kept_and_reported(n_classes):
    classes = [f"c{k}" for k in range(n_classes)]
    rows = audit.audit(lambda s: uniform(s, n_classes), make_cohort(3, classes=classes))
    np.testing.assert_allclose(rows[[f"p_{name}" for name in classes]], 1 / n_classes, rtol=1e-6)
    np.testing.assert_allclose(rows["log_odds"], np.log(1 / (n_classes - 1)), atol=1e-6)


def test_every_batch_is_full_and_the_last_filled_up():
    sizes = []

    def predict(slices):
        sizes.append(len(slices))
        assert slices.dtype == np.float32 and slices.shape[1:] == (64, 64)
        return uniform(slices)

    rows = audit.audit(predict, make_cohort(), batch_size=16)
    assert len(rows) == 6 * 18 and sizes == [16] * 7
    sizes.clear()
    audit.audit(predict, make_cohort(), batch_size=1000)
    assert sizes == [6 * 18]


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
    one_slice = 128 * 128 * 4
    # 9 more slices make 153 more edited slices; less than four may be held at a time.
    assert peak(many) - peak(few) < 4 * one_slice


def bad(change):
    def predict(slices):
        return change(uniform(slices))

    return predict


@pytest.mark.parametrize(
    "predict, message",
    [
        (bad(lambda p: p[:, :2]), r"shape \(8, 3\).*got \(8, 2\)"),
        (bad(lambda p: p[0]), r"shape \(8, 3\).*got \(3,\)"),
        (bad(lambda p: p[1:]), r"got \(7, 3\)"),
        (bad(lambda p: np.where(p == p[0, 0], np.nan, p)), "24 NaN or infinite"),
        (bad(lambda p: 5 * p), "sums off by up to 4.*If these are logits, apply a softmax"),
        (bad(lambda p: p + [[1, -1, 0]]), "numbers from -0.6667 to 1.333"),
        (bad(lambda p: None), "got NoneType"),
        (bad(lambda p: [["a"] * 3] * len(p)), "got list, which is no array of numbers"),
        (bad(lambda p: [[1.0], [0.5, 0.5]]), "got list, which is no array of numbers"),
    ],
)
def test_anything_but_probabilities_is_refused_with_what_came(predict, message):
    with pytest.raises(PredictionError, match=message):
        audit.audit(predict, make_cohort(), batch_size=8)


def test_impossible_edits_keep_a_row_with_a_reason_and_the_others_go_on():
    cohort = make_cohort(4)
    cohort.masks[1] = False
    cohort.masks[2] = True
    rows = audit.audit(uniform, cohort, batch_size=8)
    for _, row in rows.iterrows():
        p = row[["p_meningioma", "p_glioma", "p_pituitary", "log_odds"]].to_numpy(float)
        assert np.isnan(p).all() if row["reason"] else np.isfinite(p).all()
    count = rows[rows["reason"] != ""].groupby(["slice_id", "reason"]).size()
    assert count.to_dict() == {
        ("101", "empty mask"): 7,
        ("102", "no legal place"): 2,
        ("102", "nothing to inpaint from"): 2,
    }
    assert slice_scores(rows)["net_drop"].isna().tolist() == [False, True, True, False]


def test_what_is_not_prepared_is_refused_by_name():
    cohort = make_cohort(3)

    def changed(**fields):
        return Cohort(**{**vars(cohort), **fields})

    broken = cohort.slices.copy()
    broken[1, 0, 0] = np.nan
    ragged = [cohort.slices[0], cohort.slices[1][:60], cohort.slices[2]]
    wrong = [
        (changed(slices=cohort.slices.astype(float)), "'100' is float64.*preprocess.prepare"),
        (changed(slices=broken), "finite float32.*'101'"),
        (changed(slices=ragged), r"'101' is float32 \(60, 64\)"),
        (changed(masks=cohort.masks.astype(np.uint8)), "'100' has uint8"),
        (changed(table=cohort.table.assign(slice_id="1")), "'1' comes twice"),
        (changed(classes=("a", "b")), "indices from 0 to 1"),
    ]
    for bad_cohort, message in wrong:
        with pytest.raises(InvalidAuditError, match=message):
            audit.audit(lambda s, k=len(bad_cohort.classes): uniform(s, k), bad_cohort)
    with pytest.raises(InvalidAuditError, match="batch_size"):
        audit.audit(uniform, cohort, batch_size=0)
