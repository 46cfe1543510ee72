"""Claims about other networks, probes and detectors, against counts by hand."""

import numpy as np
import pandas as pd
import pytest
from fake_rows import audit_rows

from tumorcf_lib.edits.scores import slice_scores
from tumorcf_lib.tables import classifiers

DROPS = {"meningioma": 0.4, "glioma": 0.0, "pituitary": 0.1}


def _with_infills(drops, seed, infills=("telea", "mirror", "ring_mean")):
    parts = [audit_rows(drops, seed=seed)]
    for k, infill in enumerate(infills):
        rows = audit_rows(drops, seed=seed + 50 + k, infill=infill)
        rows = rows[rows["edit"].isin(("remove", "sham"))]
        parts.append(rows[~rows["slice_id"].str.endswith("-0")] if infill == "mirror" else rows)
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def rows():
    """A slice a patient lacks the infill "mirror", and one slice has no sham."""
    rows = _with_infills(DROPS, 0)
    return rows[~((rows["edit"] == "sham") & (rows["slice_id"] == "pituitary0-0"))]


@pytest.fixture(scope="module")
def others():
    looking = _with_infills(dict.fromkeys(DROPS, 0.6), 2)
    wrong = looking["slice_id"].eq("glioma0-0") & looking["edit"].eq("original")
    looking.loc[wrong, ["p_glioma", "p_meningioma"]] = [0.1, 0.85]
    return looking.assign(network="looking")


@pytest.fixture(scope="module")
def table(rows, others):
    made = classifiers.networks_table(rows, others, n_resamples=100)
    return made.set_index(["network", "score", "infill", "group"]).sort_index()


def test_accuracy_counts_slices_and_persons(table):
    accuracy = table.loc["looking", "accuracy", ""]["effect"]
    assert accuracy["glioma"] == pytest.approx(35 / 36)
    assert accuracy["all"] == pytest.approx(107 / 108)
    persons = table.loc["looking", "person_accuracy", "", "glioma"]
    assert (persons["effect"], persons["n_persons"]) == (1, 12)


def test_change_is_the_mean_difference_slice_by_slice(rows, others, table):
    own = slice_scores(classifiers.of_network(others, "looking")).set_index("slice_id")
    plain = slice_scores(rows).set_index("slice_id")
    gap = (own["net_drop"] - plain["net_drop"])[own["label"] == "glioma"]
    row = table.loc["looking", "net_drop", "navier_stokes", "glioma"]
    assert (row["change"], row["n_paired"]) == (pytest.approx(gap.mean()), 36)
    assert row["change_low"] < row["change"] < row["change_high"]
    for name in ("delta_drop", "sham_drop", "net_drop"):  # of slices with shams only
        assert table.loc["plain", name, "navier_stokes", "pituitary"]["n_slices"] == 35


def test_unseen_is_the_mean_over_the_infills_that_a_slice_has(rows, table):
    infills = ("telea", "mirror", "navier_stokes")  # not "ring_mean", which others were shown
    by_slice = (slice_scores(rows, infill=i).set_index("slice_id")["net_drop"] for i in infills)
    own = pd.concat(by_slice, axis=1, keys=infills)
    own = own[own.index.str.startswith("glioma")]
    unseen = own[["telea", "mirror"]].mean(axis=1)  # of those that are not NaN
    of_glioma = table.xs("glioma", level="group").loc["plain"]
    found = of_glioma.loc["net_drop", "unseen"]["effect"]
    assert found == pytest.approx(unseen.mean())
    gap = of_glioma.loc["net_drop_gap", "unseen"]["effect"]
    assert gap == pytest.approx((unseen - own["navier_stokes"]).mean())
    assert of_glioma.loc["net_drop", "mirror"]["n_slices"] == 24


def rows_of(predicted, labels, **columns):
    """One slice a person; the predicted class has probability 0.9."""
    p = np.where(np.array(list(predicted))[:, None] == np.array(["a", "b"]), 0.9, 0.1)
    rows = pd.DataFrame({"slice_id": range(len(labels)), "label": list(labels)})
    rows["person_id"] = [f"p{i}" for i in rows["slice_id"]]
    return rows.assign(p_a=p[:, 0], p_b=p[:, 1], **columns)


HALF = ("a" * 10 + "b" * 10, "ab" * 10)  # right for every second slice
RIGHT = ("ab" * 10, "ab" * 10)


def probe_table(*parts):
    made = {"infill": "navier_stokes", "dilation_px": 0}
    edits = pd.concat([rows_of(*RIGHT, edit="original"), rows_of(*HALF, edit="remove")])
    table = classifiers.probe_table(pd.concat(parts), edits.assign(**made), n_resamples=200)
    return table.set_index(["probe", "network", "group", "metric"]).sort_index()


def test_accuracies_and_chance_are_those_counted_by_hand():
    # 12 slices of a, 9 right; 4 of b, 2 right
    rows = rows_of("a" * 9 + "b" * 3 + "b" * 2 + "a" * 2, "a" * 12 + "b" * 4, probe="mask")
    table = probe_table(rows).loc["mask", "retrained"]
    assert table.loc[("all", "accuracy"), ["value", "chance"]].tolist() == [11 / 16, 12 / 16]
    balanced = table.loc[("all", "balanced accuracy")]
    assert balanced["value"] == pytest.approx((9 / 12 + 2 / 4) / 2) and balanced["chance"] == 0.5
    assert table.loc[("a", "recall"), "value"] == 9 / 12
    assert table.loc[("b", "recall"), ["value", "n_slices"]].tolist() == [2 / 4, 4]
    # of 12 x 4 pairs: right a over right b 18, ties 9 x 2 and 3 x 2 count half
    assert table.loc[("all", "ROC AUC"), "value"] == pytest.approx((18 + 12) / 48)


def test_few_patients_keep_their_line_and_a_full_separation_has_an_exact_bound():
    table = probe_table(rows_of("ab" * 9, "ab" * 9, probe="few")).loc["few", "retrained"]
    assert table.loc[[("a", "recall"), ("all", "accuracy")], "n_persons"].tolist() == [9, 18]
    assert np.isnan(table.loc[("all", "ROC AUC"), ["low", "high"]].astype(float)).all()
    for n in (10, 9):
        rows = pd.DataFrame({"slice_id": np.repeat(range(n), 2), "edited": [0, 1] * n})
        rows = rows.assign(person_id=rows["slice_id"], score=rows["edited"], infill="telea")
        found = classifiers.detector_table(rows.assign(label="a", view="x"), n_resamples=50)
        assert found.loc[0, ["auc", "high", "n_persons"]].tolist() == [1, 1, n]
        assert found.loc[0, "low"] ** n == pytest.approx(0.025)
