"""Claims about other networks, probes and detectors, against counts by hand."""

import numpy as np
import pandas as pd
import pytest
from fake_rows import audit_rows

from tumorcf_lib.edits.scores import slice_scores
from tumorcf_lib.tables import classifiers

DROPS = {"meningioma": 0.4, "glioma": 0.0, "pituitary": 0.1}


@pytest.fixture(scope="module")
def rows():
    """A slice a patient lacks the infill "biharmonic", and one slice has no sham."""
    infills = enumerate(("telea", "biharmonic", "ring_mean"))
    others = pd.concat(audit_rows(DROPS, seed=50 + k, infill=infill) for k, infill in infills)
    rows = pd.concat([audit_rows(DROPS), others[others["edit"].isin(("remove", "sham"))]])
    lacks = (rows["infill"] == "biharmonic") & rows["slice_id"].str.endswith("-0")
    lacks |= (rows["edit"] == "sham") & (rows["slice_id"] == "pituitary0-0")
    return rows[~lacks].reset_index(drop=True)


@pytest.fixture(scope="module")
def table(rows):
    looking = audit_rows(dict.fromkeys(DROPS, 0.6), seed=2).assign(network="looking")
    wrong = looking["slice_id"].eq("glioma0-0") & looking["edit"].eq("original")
    looking.loc[wrong, ["p_glioma", "p_meningioma"]] = [0.1, 0.85]
    made = classifiers.networks_table(rows, looking, n_resamples=100)
    return made.set_index(["network", "score", "infill", "group"]).sort_index()


def test_accuracy_counts_slices_and_persons_and_drops_are_of_slices_with_shams(table):
    accuracy = table.loc["looking", "accuracy", ""]["effect"]
    assert accuracy["glioma"] == pytest.approx(35 / 36)
    assert accuracy["all"] == pytest.approx(107 / 108)
    persons = table.loc["looking", "person_accuracy", "", "glioma"]
    assert (persons["effect"], persons["n_persons"]) == (1, 12)
    for name in ("sham_drop", "net_drop"):
        assert table.loc["plain", name, "navier_stokes", "pituitary"]["n_slices"] == 35


def test_unseen_is_the_mean_over_the_infills_that_a_slice_has(rows, table):
    infills = ("telea", "biharmonic")  # others were shown "navier_stokes" and "ring_mean"
    by_slice = (slice_scores(rows, infill=i).set_index("slice_id")["net_drop"] for i in infills)
    own = pd.concat(by_slice, axis=1)
    wanted = own[own.index.str.startswith("glioma")].mean(axis=1).mean()  # of what is not NaN
    assert table.loc["plain", "net_drop", "unseen", "glioma"]["effect"] == pytest.approx(wanted)


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


def test_a_full_separation_has_an_exact_bound():
    table = probe_table(rows_of(*RIGHT, probe="plane"))
    for key in (("plane", "statistics"), ("original", "as it is")):
        right = table.loc[(*key, "all", "accuracy")]
        assert (right["value"], right["high"]) == (1, 1)
        assert right["low"] ** 20 == pytest.approx(0.025)
    for n in (10, 9):
        rows = pd.DataFrame({"slice_id": np.repeat(range(n), 2), "edited": [0, 1] * n})
        rows = rows.assign(person_id=rows["slice_id"], score=rows["edited"], infill="telea")
        found = classifiers.detector_table(rows.assign(label="a", view="x"), n_resamples=50)
        assert found.loc[0, ["auc", "high", "n_persons"]].tolist() == [1, 1, n]
        assert found.loc[0, "low"] ** n == pytest.approx(0.025)
