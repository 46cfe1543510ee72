import math

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib.edits import scores
from tumorcf_lib.edits.scores import InvalidRowsError, slice_scores


def test_class_log_odds_are_those_of_the_normalized_class_and_keep_what_single_precision_loses():
    rng = np.random.default_rng(0)
    p, labels = rng.dirichlet([1, 1, 1, 1], size=50), rng.integers(4, size=50)
    found = scores.class_log_odds(p * rng.uniform(0.5, 2, (50, 1)), labels)  # not normalized
    np.testing.assert_allclose(found, scores.log_odds(p[np.arange(50), labels]), rtol=1e-9)
    p = np.array([[1.0, 3e-7, 2e-7]], np.float32)  # 1 - p of the first class is exactly 0
    assert scores.class_log_odds(p, [0])[0] == pytest.approx(math.log(1 / 5e-7), rel=1e-5)


CLASSES = ("glioma", "none", "pituitary")
WHOLE = ("original", "original_refit", "blank")
SINGLE = (*WHOLE, "remove", "remove_refit", "only", "background", "silhouette")


def make_rows(n_slices=12, seed=0):
    """Rows as an audit writes them; slice 2 lacks shams, slice 5 all that needs a mask."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n_slices):
        n_places = {2: 0, 5: 0}.get(i, 1 + i % 3)
        shams = [(edit, k) for edit in ("sham", "sham_only") for k in range(n_places) or [-1]]
        for edit, place in [(edit, -1) for edit in SINGLE] + shams:
            lost = (i == 5 and edit not in WHOLE) or (i == 2 and "sham" in edit)
            p = np.full(3, np.nan) if lost else rng.dirichlet([1, 1, 1])
            who = {"slice_id": f"s{i}", "patient_id": f"P{i // 2}", "person_id": f"p{i // 4}"}
            what = {"label": CLASSES[i % 3], "edit": edit, "place": place}
            what["infill"] = "navier_stokes" if edit in scores.INFILLED_EDITS else ""
            said = {f"p_{name}": value for name, value in zip(CLASSES, p)}
            said["log_odds"] = np.log(p[i % 3] / (1 - p[i % 3]))
            rows.append(who | what | said | {"reason": "not possible" if lost else ""})
    return pd.DataFrame(rows).assign(dilation_px=0)


def slow_scores(rows):
    """One dict per slice, row by row: of each edit what its rows say."""
    found = {}
    for row in rows.to_dict("records"):
        slice = found.setdefault(row["slice_id"], {"label": row["label"]})
        p = [row[f"p_{name}"] for name in CLASSES]
        values = slice.setdefault(row["edit"], [])
        if not any(math.isnan(value) for value in p):
            winner = CLASSES[p.index(max(p))]
            values.append((dict(zip(CLASSES, p, strict=True)), row["log_odds"], winner))
    return found


def means(slow, value):
    """Of each edit the mean over its rows."""
    edits = (*SINGLE, "sham", "sham_only")
    return {edit: np.mean([*map(value, slow[edit])]) if slow[edit] else math.nan for edit in edits}


def test_scores_agree_with_a_loop_over_rows():
    rows = make_rows()
    by_slice = slice_scores(rows).set_index("slice_id")
    for slice_id, slow in slow_scores(rows).items():
        score = by_slice.loc[slice_id]
        predicted = slow["original"][0][2]
        assert score["predicted"] == predicted
        assert score["correct"] == (predicted == slow["label"])
        p = means(slow, lambda row, label=slow["label"]: row[0][label])
        lo = means(slow, lambda row: row[1])
        wanted = {"n_sham": len(slow["sham"])}
        for edit in p:
            name = "orig" if edit == "original" else edit
            wanted |= {f"p_{name}": p[edit], f"lo_{name}": lo[edit]}
        for suffix, of in (("", p), ("_lo", lo)):
            wanted[f"delta_drop{suffix}"] = of["original"] - of["remove"]
            wanted[f"delta_focus{suffix}"] = of["only"]
            wanted[f"sham_drop{suffix}"] = of["original"] - of["sham"]
            wanted[f"net_drop{suffix}"] = of["sham"] - of["remove"]
            wanted[f"net_focus{suffix}"] = of["only"] - of["sham_only"]
        wanted["delta_drop_refit"] = p["original_refit"] - p["remove_refit"]
        for name, value in wanted.items():
            assert score[name] == pytest.approx(value, abs=1e-12, nan_ok=True), name


def test_one_dilation_and_one_infill_are_scored_at_a_time():
    rows, columns = make_rows(), [f"p_{name}" for name in CLASSES]
    other = rows[rows["edit"].isin(["remove", "sham"])].assign(dilation_px=5)
    other[columns] = [0.0, 0.0, 1.0]
    third = rows[rows["edit"] == "remove"].assign(infill="ring_mean")
    third[columns] = [1.0, 0.0, 0.0]
    table = pd.concat([rows, other, third], ignore_index=True)
    pd.testing.assert_frame_equal(slice_scores(table), slice_scores(rows))
    dilated, ring = slice_scores(table, dilation_px=5), slice_scores(table, infill="ring_mean")
    for made, name in ((dilated, "pituitary"), (ring, "glioma")):
        own = made.dropna(subset="p_remove")
        assert (own["p_remove"] == (own["label"] == name)).all() and len(own)
    assert dilated["p_only"].isna().all() and dilated["p_blank"].notna().all()
    assert ring["p_sham"].isna().all()


def test_tables_that_cannot_be_scored_are_refused_with_the_reason():
    rows = make_rows()
    twice = pd.concat([rows, rows[rows["edit"] == "only"].iloc[[0]]])
    lost = rows[(rows["edit"] != "original") | (rows["slice_id"] != "s4")]
    for table, message in (
        (twice, "1 come again.*'only'.*one classifier"),
        (lost, "1 slices .*'original' .*'s4'"),
        (rows.assign(label="glioblastoma"), "glioblastoma.*glioma, none, pituitary"),
        (rows.assign(p_none=np.nan), "12 slices have no .*'original' with probabilities"),
    ):
        with pytest.raises(InvalidRowsError, match=message):
            slice_scores(table)
