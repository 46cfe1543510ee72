"""Claims about other networks, probes and detectors, against counts by hand."""

import numpy as np
import pandas as pd
import pytest
from fake_rows import audit_rows

from tumorcf_lib.edits.scores import slice_scores
from tumorcf_lib.stats import estimates
from tumorcf_lib.tables import classifiers

DROPS = {"meningioma": 0.4, "glioma": 0.0, "pituitary": 0.1}


def _with_infills(drops, seed, infills=("telea", "mirror")):
    parts = [audit_rows(drops, seed=seed)]
    for k, infill in enumerate(infills):
        rows = audit_rows(drops, seed=seed + 50 + k, infill=infill)
        rows = rows[rows["edit"].isin(("remove", "sham"))]
        parts.append(rows[~rows["slice_id"].str.endswith("-0")] if infill == "mirror" else rows)
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def rows():
    return _with_infills(DROPS, 0)


@pytest.fixture(scope="module")
def others():
    looking = _with_infills(dict.fromkeys(DROPS, 0.6), 2)
    wrong = looking["slice_id"].eq("glioma0-0") & looking["edit"].eq("original")
    looking.loc[wrong, ["p_glioma", "p_meningioma"]] = [0.1, 0.85]
    return pd.concat(
        [_with_infills(DROPS, 1).assign(network="hardened"), looking.assign(network="looking")],
        ignore_index=True,
    )


@pytest.fixture(scope="module")
def table(rows, others):
    return classifiers.networks_table(rows, others, n_resamples=100)


def _line(table, network, score, infill="navier_stokes", group="glioma"):
    own = table[
        (table["network"] == network)
        & (table["score"] == score)
        & (table["infill"] == infill)
        & (table["group"] == group)
    ]
    assert len(own) == 1
    return own.iloc[0]


def test_accuracy_counts_slices_and_persons(table):
    assert _line(table, "looking", "accuracy", "")["effect"] == pytest.approx(35 / 36)
    assert _line(table, "looking", "accuracy", "", "all")["effect"] == pytest.approx(107 / 108)
    persons = _line(table, "looking", "person_accuracy", "")
    assert (persons["effect"], persons["n_persons"]) == (1, 12)


def test_change_is_the_mean_difference_slice_by_slice(rows, others, table):
    own = slice_scores(classifiers.of_network(others, "looking")).set_index("slice_id")
    plain = slice_scores(rows).set_index("slice_id")
    gap = (own["net_drop"] - plain["net_drop"])[own["label"] == "glioma"]
    row = _line(table, "looking", "net_drop")
    assert (row["change"], row["n_paired"]) == (pytest.approx(gap.mean()), 36)
    assert row["change_low"] < row["change"] < row["change_high"]
    assert np.isnan(_line(table, "plain", "net_drop")["change"])


def test_delta_counts_only_slices_with_shams():
    rows = audit_rows(DROPS)
    rows = rows[~((rows["edit"] == "sham") & (rows["slice_id"] == "glioma0-0"))]
    table = classifiers.networks_table(rows, n_resamples=20)
    for name in ("delta_drop", "sham_drop", "net_drop"):
        assert _line(table, "plain", name)["n_slices"] == 35


def test_unseen_is_the_mean_over_the_infills_that_a_slice_has(rows, table):
    own = {
        i: slice_scores(rows, infill=i).set_index("slice_id")
        for i in ("telea", "mirror", "navier_stokes")
    }
    means = []
    for slice_id, label in own["telea"]["label"].items():
        drops = [own[i]["net_drop"].get(slice_id, np.nan) for i in ("telea", "mirror")]
        if label == "glioma":
            means.append((np.nanmean(drops), own["navier_stokes"]["net_drop"][slice_id]))
    unseen, seen = np.transpose(means)
    assert _line(table, "plain", "net_drop", "unseen")["effect"] == pytest.approx(unseen.mean())
    gap = _line(table, "plain", "net_drop_gap", "unseen")
    assert gap["effect"] == pytest.approx((unseen - seen).mean())
    assert _line(table, "plain", "net_drop", "mirror")["n_slices"] == 24


TWO = ("a", "b")


def rows_of(predicted, labels, *, persons=None, **columns):
    """One slice a person; the predicted class has probability 0.9."""
    n = len(labels)
    p = np.where(np.array(list(predicted))[:, None] == np.array(TWO), 0.9, 0.1)
    rows = pd.DataFrame({"slice_id": range(n), "label": list(labels)})
    rows["person_id"] = persons or [f"p{i}" for i in range(n)]
    return rows.assign(p_a=p[:, 0], p_b=p[:, 1], **columns)


def edited(edits):
    rows = [
        rows_of(predicted, labels, edit=edit, infill="navier_stokes", dilation_px=0)
        for edit, (predicted, labels) in edits.items()
    ]
    return pd.concat(rows, ignore_index=True)


HALF = ("a" * 10 + "b" * 10, "ab" * 10)  # right for every second slice
RIGHT = ("ab" * 10, "ab" * 10)
EDITS = edited({"original": RIGHT, "remove": HALF})


def probe_table(rows_probes, rows_edits=EDITS, n_resamples=200):
    table = classifiers.probe_table(rows_probes, rows_edits, n_resamples=n_resamples)
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


def test_a_perfect_probe_is_above_chance_and_a_coin_is_not():
    rows = pd.concat([rows_of(*RIGHT, probe="mask"), rows_of(*HALF, probe="area")])
    table = probe_table(rows)["verdict"]
    assert table["mask", "retrained", "all", "accuracy"] == "above chance"
    assert table["area", "statistics", "all", "accuracy"] == "not above chance"
    assert table["area", "statistics", "all", "balanced accuracy"] == "not above chance"
    assert table["area", "statistics", "a", "recall"] == "no claim"


def test_under_ten_persons_of_a_class_nothing_is_decided():
    rows = rows_of("ab" * 9, "ab" * 9, probe="mask")
    verdicts = probe_table(rows).loc["mask", "retrained"].loc["all", "verdict"]
    assert set(verdicts) == {"undecided"}


COLUMNS = ["slice_id", "person_id", "label", "infill", "edited", "view", "score"]


def slow_auc(scores, edited):
    wins = 0.0
    for a in scores[edited]:
        for b in scores[~edited]:
            wins += 1 if a > b else 0.5 if a == b else 0
    return wins / (edited.sum() * (~edited).sum())


def test_auc_of_resampled_persons_equals_the_slow_loop_over_their_slices():
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 8, 20).astype(float)  # with ties
    edited = rng.random(20) < 0.5
    owner = np.arange(20) % 5
    counts = np.array([[1.0, 1, 1, 1, 1], [2, 0, 0, 3, 0], [0, 1, 2, 1, 1]])
    aucs = estimates.auc_between(scores, edited, owner, counts)
    for k, drawn in enumerate(counts.astype(int)):
        index = np.repeat(np.arange(20), drawn[owner])
        assert aucs[k] == pytest.approx(slow_auc(scores[index], edited[index]))


def toy_rows(scores_by_person, infill="telea"):
    """One slice a person: (untouched, edited) scores."""
    return pd.DataFrame(
        [
            (i, f"p{i}", "a", infill, edited, "slice", score)
            for i, pair in enumerate(scores_by_person)
            for edited, score in enumerate(pair)
        ],
        columns=COLUMNS,
    )


def test_full_separation_is_visible_from_ten_persons_on_with_an_exact_bound():
    ten = classifiers.detector_table(toy_rows([(0, 1)] * 10), n_resamples=50).iloc[0]
    assert (ten["auc"], ten["high"], ten["verdict"]) == (1, 1, "visible")
    assert ten["low"] ** 10 == pytest.approx(0.025)
    nine = classifiers.detector_table(toy_rows([(0, 1)] * 9), n_resamples=50).iloc[0]
    assert nine["verdict"] == "undecided"
