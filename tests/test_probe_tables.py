"""Tables of what gives the class away, held against counts by hand."""

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib import rowfiles
from tumorcf_lib.tables import probe_tables as tables

NAMES = ("a", "b")


def rows_of(predicted, labels, *, persons=None, **columns):
    """One slice a person; the predicted class has probability 0.9."""
    n = len(labels)
    p = np.where(np.array(list(predicted))[:, None] == np.array(NAMES), 0.9, 0.1)
    rows = pd.DataFrame({"slice_id": range(n), "label": list(labels)})
    rows["person_id"] = persons or [f"p{i}" for i in range(n)]
    return rows.assign(p_a=p[:, 0], p_b=p[:, 1], **columns)


def edit_rows(edits):
    rows = [
        rows_of(predicted, labels, edit=edit, infill="navier_stokes", dilation_px=0)
        for edit, (predicted, labels) in edits.items()
    ]
    return pd.concat(rows, ignore_index=True)


HALF = ("a" * 10 + "b" * 10, "ab" * 10)  # right for every second slice
ALL = ("ab" * 10, "ab" * 10)
EDITS = edit_rows({"original": ALL, "remove": HALF})


def probe_table(rows_probes, rows_edits=EDITS, n_resamples=200):
    table = tables.probe_table(rows_probes, rows_edits, n_resamples=n_resamples)
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
    rows = pd.concat([rows_of(*ALL, probe="mask"), rows_of(*HALF, probe="area")])
    table = probe_table(rows)["verdict"]
    assert table["mask", "retrained", "all", "accuracy"] == "above chance"
    assert table["area", "statistics", "all", "accuracy"] == "not above chance"
    assert table["area", "statistics", "all", "balanced accuracy"] == "not above chance"
    assert table["area", "statistics", "a", "recall"] == "no claim"


def test_where_all_are_right_the_interval_is_the_exact_one():
    table = probe_table(rows_of(*ALL, probe="mask"))
    low, high = table.loc[("mask", "retrained", "all", "accuracy"), ["low", "high"]]
    assert low == pytest.approx(0.025 ** (1 / 20)) and high == 1


def test_under_ten_persons_of_a_class_nothing_is_decided():
    rows = rows_of("ab" * 9, "ab" * 9, probe="mask")
    verdicts = probe_table(rows).loc["mask", "retrained"].loc["all", "verdict"]
    assert set(verdicts) == {"undecided"}


def test_our_network_stands_beside_the_retrained_one_on_the_same_edit():
    rows = rows_of(*ALL, probe="remove")
    value = probe_table(rows)["value"]
    assert value["remove", "as it is", "all", "accuracy"] == 0.5
    assert value["remove", "retrained", "all", "accuracy"] == 1
    assert value["original", "as it is", "all", "accuracy"] == 1


def test_removals_by_other_infills_and_dilations_do_not_count_for_our_network():
    others = [
        edit_rows({"remove": ALL}).assign(infill="telea"),
        edit_rows({"remove": ALL}).assign(dilation_px=4),
    ]
    table = probe_table(rows_of(*ALL, probe="mask"), pd.concat([*others, EDITS]))
    assert table.loc[("remove", "as it is", "all", "accuracy"), "value"] == 0.5


def test_edits_that_could_not_be_made_are_left_out_and_counted():
    rows = EDITS.copy()
    rows.loc[(rows["edit"] == "remove") & (rows["slice_id"] < 5), ["p_a", "p_b"]] = np.nan
    table = probe_table(rows_of(*ALL, probe="mask"), rows)
    assert table.loc[("remove", "as it is", "all", "accuracy"), "n_slices"] == 15


def test_a_person_of_many_slices_is_drawn_as_a_whole():
    """Twelve persons a class, one of them always wrong: the more slices it has, the wider."""
    def low(n_slices):
        labels = "ab" * 12 + "a" * n_slices
        persons = [f"p{i}" for i in range(24)] + ["p0"] * n_slices
        rows = rows_of("b" + "ba" * 11 + "b" + "b" * n_slices, labels, persons=persons)
        rows = rows.assign(probe="mask")
        entry = probe_table(rows, n_resamples=500).loc[("mask", "retrained", "a", "recall")]
        return entry["high"] - entry["low"]

    assert low(40) > 1.3 * low(1)


def test_published_rows_give_the_same_tables():
    rng = np.random.default_rng(2)
    n = 60
    probes = rows_of(rng.choice(NAMES, n), rng.choice(NAMES, n), probe="mask")
    probes[["p_a", "p_b"]] = rng.dirichlet([1, 1], n).round(3)
    table = tables.probe_table(probes, EDITS, n_resamples=40)
    again = tables.probe_table(
        rowfiles.round_trip(probes), rowfiles.round_trip(EDITS), n_resamples=40
    )
    pd.testing.assert_frame_equal(table, again)
    pd.testing.assert_frame_equal(table, rowfiles.round_trip(table), rtol=1e-4, check_dtype=False)
