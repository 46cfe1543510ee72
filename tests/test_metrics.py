"""Claims about the table of scores per slice, against a slow loop over rows."""

import io
import math

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib.stats import metrics

CLASSES = ("glioma", "none", "pituitary")
WHOLE = ("original", "original_refit", "blank")
SINGLE = (*WHOLE, "remove", "remove_refit", "only", "background", "silhouette")


def make_rows(n_slices=12, seed=0):
    """Rows as an audit writes them; slice 2 lacks shams, slice 5 all that needs a mask."""
    rng = np.random.default_rng(seed)
    rows = []

    def add(i, edit, place, reason=""):
        p = rng.dirichlet([1, 1, 1])
        label = i % 3
        infill = "navier_stokes" if edit in ("remove", "remove_refit", "sham") else ""
        row = {
            "slice_id": f"s{i}", "patient_id": f"P{i // 2}", "person_id": f"p{i // 4}",
            "label": CLASSES[label], "edit": edit, "place": place, "infill": infill,
            "dilation_px": 0,
        }  # fmt: skip
        for name, value in zip(CLASSES, p, strict=True):
            row[f"p_{name}"] = np.nan if reason else value
        row["log_odds"] = np.nan if reason else math.log(p[label] / (1 - p[label]))
        rows.append({**row, "reason": reason})

    for i in range(n_slices):
        for edit in SINGLE:
            lost = i == 5 and edit not in WHOLE
            add(i, edit, -1, "empty mask" if lost else "")
        for edit in ("sham", "sham_only"):
            if i == 2 or i == 5:
                add(i, edit, -1, "no legal place" if i == 2 else "empty mask")
            else:
                for place in range(1 + i % 3):
                    add(i, edit, place)
    return pd.DataFrame(rows)


def slow_scores(rows):
    """One dict per slice, row by row."""
    found = {}
    for row in rows.to_dict("records"):
        slice = found.setdefault(row["slice_id"], {"label": row["label"]})
        p = [row[f"p_{name}"] for name in CLASSES]
        values = slice.setdefault(row["edit"], [])
        if not any(math.isnan(value) for value in p):
            winner = CLASSES[p.index(max(p))]
            values.append((dict(zip(CLASSES, p, strict=True)), row["log_odds"], winner))
    return found


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else math.nan


@pytest.mark.parametrize("source", ["fresh", "csv"])
def test_scores_agree_with_a_loop_over_rows(source):
    rows = make_rows()
    tolerance = 1e-12
    if source == "csv":
        text = rows.to_csv(index=False, float_format="%.5g")
        rows, tolerance = pd.read_csv(io.StringIO(text)), 2e-4
        assert rows["reason"].isna().any() and rows["infill"].isna().any()
    scores = metrics.slice_scores(rows).set_index("slice_id")
    for slice_id, slow in slow_scores(rows).items():
        score = scores.loc[slice_id]
        predicted = slow["original"][0][2]
        assert score["predicted"] == predicted
        assert score["correct"] == (predicted == slow["label"])
        p, lo, pred = (
            {
                edit: mean(value(row) for row in slow[edit])
                for edit in (*SINGLE, "sham", "sham_only")
            }
            for value in (
                lambda row, label=slow["label"]: row[0][label],
                lambda row: row[1],
                lambda row, predicted=predicted: row[0][predicted],
            )
        )
        wanted = {"n_sham": len(slow["sham"])}
        for edit in p:
            name = "orig" if edit == "original" else edit
            wanted |= {f"p_{name}": p[edit], f"lo_{name}": lo[edit], f"p_pred_{name}": pred[edit]}
        for suffix, of in (("", p), ("_lo", lo), ("_pred", pred)):
            wanted[f"delta_drop{suffix}"] = of["original"] - of["remove"]
            wanted[f"delta_focus{suffix}"] = of["only"]
            wanted[f"sham_drop{suffix}"] = of["original"] - of["sham"]
            wanted[f"net_drop{suffix}"] = of["sham"] - of["remove"]
            wanted[f"net_focus{suffix}"] = of["only"] - of["sham_only"]
        wanted["delta_drop_refit"] = p["original_refit"] - p["remove_refit"]
        wanted["sham_flip_rate"] = mean(float(row[2] != predicted) for row in slow["sham"])
        for name, value in wanted.items():
            assert score[name] == pytest.approx(value, abs=tolerance, nan_ok=True), name
        if slow["remove"]:
            assert score["removed_to"] == slow["remove"][0][2]
            assert score["flipped"] == (slow["remove"][0][2] != predicted)
        else:
            assert pd.isna(score["removed_to"]) and pd.isna(score["flipped"])


def test_slices_keep_their_order_and_identity_and_none_is_dropped():
    rows = make_rows()
    scores = metrics.slice_scores(rows)
    assert scores["slice_id"].tolist() == [f"s{i}" for i in range(12)]
    assert scores["patient_id"].tolist() == [f"P{i // 2}" for i in range(12)]
    assert scores["person_id"].tolist() == [f"p{i // 4}" for i in range(12)]
    assert scores["n_sham"].tolist() == [1, 2, 0, 1, 2, 0, 1, 2, 3, 1, 2, 3]
    assert np.flatnonzero(scores["net_drop"].isna()).tolist() == [2, 5]
    assert np.flatnonzero(scores["delta_drop"].isna()).tolist() == [5]


def test_flipped_counts_only_slices_that_have_a_removal():
    scores = metrics.slice_scores(make_rows())
    as_numbers = scores["flipped"].astype(float)
    assert np.isnan(as_numbers[5]) and scores["flipped"].mean() == np.nanmean(as_numbers)


def test_edits_that_were_not_audited_leave_their_scores_missing():
    rows = make_rows()
    scores = metrics.slice_scores(rows[rows["edit"].isin(["original", "only"])])
    assert scores["delta_focus"].notna().sum() == 11
    for name in ("delta_drop", "net_drop", "net_focus", "flipped", "removed_to", "sham_flip_rate"):
        assert scores[name].isna().all(), name
    assert (scores["n_sham"] == 0).all()


def test_the_refitted_drop_holds_refit_against_refit_and_never_falls_back_to_the_original():
    rows = make_rows(3)
    true = rows["label"].map(dict(zip(CLASSES, range(3), strict=True)))
    for edit, p_true in (("original", 0.9), ("original_refit", 0.5), ("remove_refit", 0.25)):
        for k, name in enumerate(CLASSES):
            own = rows["edit"] == edit
            rows.loc[own, f"p_{name}"] = np.where(true[own] == k, p_true, (1 - p_true) / 2)
    assert (metrics.slice_scores(rows)["delta_drop_refit"] == 0.5 - 0.25).all()
    without = metrics.slice_scores(rows[rows["edit"] != "original_refit"])
    assert without["delta_drop_refit"].isna().all() and without["p_remove_refit"].notna().all()


def test_the_refitted_original_counts_at_every_dilation():
    scores = metrics.slice_scores(make_rows(3), dilation_px=5)
    assert scores["p_original_refit"].notna().all() and scores["p_remove_refit"].isna().all()


def test_one_dilation_and_one_infill_are_scored_at_a_time():
    rows = make_rows()
    other = rows[rows["edit"].isin(["remove", "sham"])].assign(dilation_px=5)
    third = rows[rows["edit"] == "remove"].assign(infill="ring_mean")
    columns = [f"p_{name}" for name in CLASSES]
    other[columns] = [0.0, 0.0, 1.0]
    third[columns] = [1.0, 0.0, 0.0]
    table = pd.concat([rows, other, third], ignore_index=True)
    pd.testing.assert_frame_equal(metrics.slice_scores(table), metrics.slice_scores(rows))
    dilated = metrics.slice_scores(table, dilation_px=5)
    assert set(dilated["removed_to"].dropna()) == {"pituitary"}
    assert dilated["p_only"].isna().all() and dilated["p_blank"].notna().all()
    ring = metrics.slice_scores(table, infill="ring_mean")
    assert set(ring["removed_to"].dropna()) == {"glioma"} and ring["p_sham"].isna().all()


def test_tables_that_cannot_be_scored_are_refused_with_the_reason():
    rows = make_rows()
    wrong = [
        (pd.concat([rows, rows[rows["edit"] == "only"].iloc[[0]]]),
         "1 come again.*'only'.*one classifier"),
        (rows[(rows["edit"] != "original") | (rows["slice_id"] != "s4")], "1 slices .*'s4'"),
        (rows.assign(label="glioblastoma"), "glioblastoma.*glioma, none, pituitary"),
        (rows.assign(p_none=np.nan), "12 rows of edit 'original' have no probabilities"),
    ]
    for table, message in wrong:
        with pytest.raises(metrics.InvalidRowsError, match=message):
            metrics.slice_scores(table)


def test_whole_numbers_as_slice_ids_work_too():
    rows = make_rows(4)
    rows["slice_id"] = rows["slice_id"].str[1:].astype(int)
    assert metrics.slice_scores(rows)["slice_id"].tolist() == [0, 1, 2, 3]


def test_every_score_can_be_called_from_metrics():
    for name in metrics.__all__:
        assert callable(getattr(metrics, name)) and getattr(metrics, name).__doc__
