"""Claims about the table of three networks: paired differences, unseen infills, accuracy."""

import numpy as np
import pandas as pd
import pytest
from fake_rows import audit_rows

from tumorcf_lib import rowfiles
from tumorcf_lib.stats import metrics
from tumorcf_lib.tables import three_networks

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
    return pd.concat([_with_infills(DROPS, 1).assign(network="hardened"),
                      looking.assign(network="looking")], ignore_index=True)


@pytest.fixture(scope="module")
def table(rows, others):
    return three_networks.networks_table(rows, others, n_resamples=100)


def _line(table, network, score, infill="navier_stokes", group="glioma"):
    own = table[(table["network"] == network) & (table["score"] == score)
                & (table["infill"] == infill) & (table["group"] == group)]
    assert len(own) == 1
    return own.iloc[0]


def test_every_line_comes_once(table):
    assert not table.duplicated(["network", "score", "infill", "group"]).any()
    assert list(dict.fromkeys(table["network"])) == ["plain", "hardened", "looking"]


def test_accuracy_counts_slices_and_persons(table):
    assert _line(table, "looking", "accuracy", "")["effect"] == pytest.approx(35 / 36)
    assert _line(table, "looking", "accuracy", "", "all")["effect"] == pytest.approx(107 / 108)
    persons = _line(table, "looking", "person_accuracy", "")
    assert (persons["effect"], persons["n_persons"]) == (1, 12)


def test_a_perfect_accuracy_has_an_exact_interval(table):
    row = _line(table, "plain", "accuracy", "")
    assert (row["low"], row["high"]) == pytest.approx((0.025 ** (1 / 12), 1))


def test_change_is_the_mean_difference_slice_by_slice(rows, others, table):
    own = metrics.slice_scores(three_networks.of_network(others, "looking")).set_index("slice_id")
    plain = metrics.slice_scores(rows).set_index("slice_id")
    gap = (own["net_drop"] - plain["net_drop"])[own["label"] == "glioma"]
    row = _line(table, "looking", "net_drop")
    assert (row["change"], row["n_paired"]) == (pytest.approx(gap.mean()), 36)
    assert row["change_low"] < row["change"] < row["change_high"]
    assert np.isnan(_line(table, "plain", "net_drop")["change"])


def test_a_network_that_changes_nothing_has_no_interval_of_change(rows):
    table = three_networks.networks_table(rows, rows.assign(network="copy"), n_resamples=50)
    own = table[table["network"] == "copy"]
    assert own["change"].eq(0).all() and own["change_low"].isna().all()
    assert own["change_p"].eq(1).all()


def test_delta_less_sham_is_net_in_the_table(table):
    for network in ("plain", "hardened", "looking"):
        delta, sham, net = (_line(table, network, f"{name}_drop")["effect"]
                            for name in ("delta", "sham", "net"))
        assert delta - sham == pytest.approx(net)


def test_delta_counts_only_slices_with_shams():
    rows = audit_rows(DROPS)
    rows = rows[~((rows["edit"] == "sham") & (rows["slice_id"] == "glioma0-0"))]
    table = three_networks.networks_table(rows, n_resamples=20)
    for name in ("delta_drop", "sham_drop", "net_drop"):
        assert _line(table, "plain", name)["n_slices"] == 35


def test_unseen_is_the_mean_over_the_infills_that_a_slice_has(rows, table):
    own = {i: metrics.slice_scores(rows, infill=i).set_index("slice_id")
           for i in ("telea", "mirror", "navier_stokes")}
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


def test_without_other_networks_or_infills_the_plain_one_stands_alone():
    table = three_networks.networks_table(audit_rows(DROPS), n_resamples=20)
    assert set(table["network"]) == {"plain"} and "unseen" not in set(table["infill"])


def test_the_wide_table_has_a_column_for_each_network(table):
    wide = three_networks.beside_plain(table, group="meningioma")
    assert list(wide.columns) == ["plain", "hardened", "looking"]
    row = _line(table, "looking", "net_drop", group="meningioma")
    text = f"{row['effect']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
    assert wide.loc[("net_drop", "navier_stokes"), "looking"] == text


def test_published_rows_give_the_same_table(rows, others, table):
    again = three_networks.networks_table(rowfiles.round_trip(rows), rowfiles.round_trip(others),
                                    n_resamples=100)
    np.testing.assert_allclose(again["effect"], table["effect"], atol=5e-4)
