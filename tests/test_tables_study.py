"""Claims about the study's tables, against counts by hand."""

import numpy as np
import pandas as pd
import pytest
from fake_rows import audit_rows

from tumorcf_lib.config import CLASSES
from tumorcf_lib.stats.classification import apply_temperature, fit_temperature
from tumorcf_lib.tables import study

P = [f"p_{name}" for name in CLASSES]


@pytest.fixture(scope="module")
def predictions():
    rng = np.random.default_rng(3)
    label = rng.integers(0, 3, 120)
    p = rng.dirichlet([1, 1, 1], 120) + np.eye(3)[label]
    who = [f"{k}-{i % 12}" for i, k in enumerate(label)]
    rows = pd.DataFrame({"slice_id": np.arange(120), "person_id": who})
    return rows.assign(label=np.array(CLASSES)[label], **dict(zip(P, p.T / 2)))


def test_slice_accuracy_counts_slices_and_person_accuracy_counts_persons(predictions):
    table = study.performance(predictions, n_resamples=50).set_index(["level", "metric"])
    right = np.array(CLASSES)[predictions[P].to_numpy().argmax(axis=1)] == predictions["label"]
    mean = predictions.groupby(["person_id", "label"])[P].mean()
    by_person = mean.idxmax(axis=1).str[2:] == mean.index.get_level_values("label")
    for level, of in (("slice", right), ("person", by_person)):
        found = table.loc[(level, "accuracy"), ["value", "n"]]
        assert tuple(found) == pytest.approx((np.mean(of), len(of)))


def test_temperature_scaling_is_fitted_on_the_validation_rows_only(predictions):
    sharper = predictions.copy()
    sharper[P] = apply_temperature(predictions[P].to_numpy(), 0.5)
    by_kind = study.reliability(predictions, sharper).groupby("kind")["temperature"].first()
    fitted = fit_temperature(pd.Index(CLASSES).get_indexer(sharper["label"]), sharper[P].to_numpy())
    assert by_kind["slices, temperature"] == pytest.approx(fitted)
    assert by_kind["slices"] == by_kind["persons"] == 1


def test_confident_errors_come_one_a_person_first_and_most_confident_first(predictions):
    errors = study.confident_errors(predictions, 4)
    assert (errors["predicted"] != errors["label"]).all() and errors["person_id"].is_unique
    assert errors["confidence"].is_monotonic_decreasing


def test_where_slices_fall_is_counted_in_shares_of_their_class():
    table = study.fall_to(audit_rows({"glioma": 0.7})).set_index(["edit", "label", "to"])
    assert np.allclose(table.groupby(["edit", "label"])["share"].sum(), 1)
    # a removal leaves 0.2 of 1; of the other classes, which share the rest, the first wins
    assert table.loc[("remove", "glioma", "meningioma"), ["n", "share"]].tolist() == [36, 1]
    assert table.loc[("remove", "pituitary", "pituitary"), "share"] == 1


def test_drops_of_slices_with_shams_add_up_and_a_class_without_shams_keeps_its_drop():
    drops = {"delta_drop": [0.1, 0.3, 0.8, 0.4], "sham_drop": [0, 0.1, np.nan, np.nan]}
    labels = ["glioma"] * 3 + ["pituitary"]
    scores = pd.DataFrame({"label": labels, "person_id": list("abcd"), **drops})
    scores["net_drop"] = scores["delta_drop"] - scores["sham_drop"]
    table = study.scores_by_class(scores, n_resamples=10).set_index(["group", "score"])["effect"]
    wanted = {"delta_drop": 0.2, "sham_drop": 0.05, "net_drop": 0.15}
    assert table["all"].to_dict() == table["glioma"].to_dict() == pytest.approx(wanted)
    assert table["pituitary"].to_dict() == {"delta_drop": 0.4}


def test_edits_are_counted_with_their_reasons_and_their_energy():
    rows = audit_rows({}).assign(reason="")  # a removal changes 0.2, shams 0.1 and 0.2
    first_sham = rows.index[rows["edit"] == "sham"][0]
    rows.loc[first_sham, ["reason", "edit_rms"]] = ["no legal place", np.nan]
    table = study.edits(rows).set_index(["edit", "infill", "dilation_px", "label"])
    sham = table.loc[("sham", "navier_stokes", 0, rows.loc[first_sham, "label"])]
    assert sham[["made", "not_made", "why_not"]].tolist() == [71, 1, "no legal place"]
    removal = table.loc[("remove", "navier_stokes", 0, "glioma")]
    assert removal["rms_to_sham"] == pytest.approx(0.2 / 0.15) and np.isnan(sham["rms_to_sham"])


def test_where_no_patient_or_every_patient_failed_the_interval_is_the_exact_one(predictions):
    one_hot = {f"p_{name}": 1.0 * (predictions["label"] == name) for name in CLASSES}
    perfect = predictions.assign(**one_hot)
    failed = perfect.assign(**{p: perfect[other] for p, other in zip(P, P[1:] + P[:1])})
    n = perfect.groupby("label")["person_id"].nunique()["glioma"]
    for rows, share in ((perfect, 1), (failed, 0)):
        table = study.performance_by_class(rows, n_resamples=50)
        recall = table[(table["group"] == "glioma") & (table["metric"] == "recall")]
        assert len(recall) == 2  # of persons and of slices
        for value, low, high in recall[["value", "low", "high"]].to_numpy():
            # n of n patients: the lowest share p with p ** n = 0.025; of none, one less the highest
            inner, outer = (low, high) if share else (1 - high, 1 - low)
            assert (value, outer) == (share, 1) and inner**n == pytest.approx(0.025)
