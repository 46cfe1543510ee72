"""Claims about infills, dilations, fillings of known tissue, and drifts between classes."""

import itertools

import numpy as np
import pandas as pd
import pytest
from fake_rows import one_slice, with_classes

from tumorcf_lib.edits.scores import slice_scores
from tumorcf_lib.stats.verdicts import rank_agreement
from tumorcf_lib.tables import controls

INFILLS = ("navier_stokes", "telea", "ring_mean")


def rows_of(i, p_orig, p_remove, p_shams, **at):
    """Rows of slice i at one setting; person and class (the first or the second) follow from i."""
    edits = [] if p_orig is None else [("original", -1, p_orig, 0.0)]
    edits += [("remove", -1, p_remove, 0.1), *(("sham", k, p, 0.1) for k, p in enumerate(p_shams))]
    who = {"slice_id": i, "person": f"p{i // 2}{'ab'[i % 2]}", "label": "ab"[i % 2]}
    return one_slice(edits, **who, **at)


def table_of(rows):
    return with_classes(pd.DataFrame(rows), ("a", "b"))


def line(table, **wanted):
    keep = np.all([table[name] == value for name, value in wanted.items()], axis=0)
    assert keep.sum() == 1
    return table[keep].iloc[0]


@pytest.fixture(scope="module")
def random_rows():
    """24 slices, 3 infills and a mirror on half of them, a dilation; 3 and 2 places."""
    rng = np.random.default_rng(5)
    made = []
    for i in range(24):
        made += rows_of(i, rng.uniform(0.5, 1), rng.uniform(), rng.uniform(size=3))
        for infill in (*INFILLS[1:], "mirror")[: 3 if i < 12 else 2]:
            made += rows_of(i, None, rng.uniform(), rng.uniform(size=2), infill=infill)
        made += rows_of(i, None, rng.uniform(), rng.uniform(size=2), dilation_px=4)
    return table_of(made)


def test_infills_are_compared_at_as_many_places_each():
    rows = rows_of(0, 0.9, 0.2, [0.8, 0.6, 0.1]) + rows_of(0, None, 0.4, [0.7, 0.5], infill="telea")
    table = controls.infill_scores(table_of(rows), n_resamples=10)
    # Navier-Stokes: shams 0.8 and 0.6 (not 0.1), so net 0.7 - 0.2; Telea: 0.6 - 0.4.
    for infill, net in (("navier_stokes", 0.5), ("telea", 0.2)):
        own = line(table, infill=infill, slices="own", score="net_drop", group="all")
        assert own["effect"] == pytest.approx(net) and own["n_places"] == 2


def test_means_are_over_own_and_over_common_slices(random_rows):
    table = controls.infill_scores(random_rows, n_resamples=20)
    for infill in INFILLS:
        own = table[(table["infill"] == infill) & (table["score"] == "net_drop")]
        n_slices = own[own["group"] == "all"].set_index("slices")["n_slices"]
        assert n_slices.to_dict() == {"own": 24, "common": 24, "common, mirror too": 12}
    assert not ((table["infill"] == "mirror") & (table["slices"] == "common")).any()
    scores = slice_scores(random_rows, infill="telea")
    own = scores[(scores["slice_id"] < 12) & (scores["label"] == "b")]
    found = line(table, infill="telea", slices="common, mirror too", score="net_drop_lo", group="b")
    assert found["effect"] == pytest.approx(own["net_drop_lo"].mean())


def test_rankings_are_compared_over_the_slices_that_all_infills_have(random_rows):
    table = controls.infill_agreement(random_rows, n_resamples=50)
    common = line(table, score="net_drop", slices="common", group="all")
    assert (common["n_infills"], common["n_slices"]) == (3, 24)
    assert common["chance"] == pytest.approx(1 / 3)
    values = [controls.drops_per_slice(random_rows, infill=name)["net_drop"] for name in INFILLS]
    kendall_w = rank_agreement(np.column_stack(values), np.eye(24), np.ones((1, 24)))[0][0]
    # But for differences below 1e-4, which are ties.
    assert common["kendall_w"] == pytest.approx(kendall_w, abs=0.02)
    assert common["low"] <= common["kendall_w"] <= common["high"]
    mirror = line(table, score="net_drop", slices="common, mirror too", group="all")
    assert (mirror["n_infills"], mirror["n_slices"]) == (4, 12)


def test_the_dilation_curve_says_how_many_slices_have_shams_and_why_others_have_none():
    made = []
    for i in range(6):
        made += rows_of(i, 0.9, 0.5, [0.8, 0.8])
        made += rows_of(i, None, 0.3, [0.7, 0.7] if i < 4 else [np.nan], dilation_px=9)
    rows = table_of(made)
    rows.loc[rows["log_odds"].isna(), "reason"] = "no legal place"
    table = controls.dilation_curve(rows, n_resamples=10)
    assert table["dilation_px"].unique().tolist() == [0, 9]
    table = table[(table["score"] == "net_drop") & (table["group"] == "all")]
    wide = line(table, dilation_px=9, slices="own")
    assert wide["effect"] == pytest.approx(0.4) and wide["n_slices"] == 4
    assert wide["share_with_shams"] == pytest.approx(4 / 6) and wide["note"] == "no legal place: 2"
    headline = table[table["dilation_px"] == 0].set_index("slices")["n_slices"]
    assert headline.to_dict() == {"own": 6, "common": 4}


def test_the_mirror_is_compared_at_its_own_places_only():
    entries = [("telea", 0, 0.1), ("telea", 1, 0.3), ("ring_mean", 0, 0.2), ("ring_mean", 1, 0.2)]
    rows = pd.DataFrame([*entries, ("mirror", 1, 0.5)], columns=["infill", "place", "mae"])
    rows = rows.assign(slice_id=1, person_id="p", label="a", rmse=0.0, ssim=0.0)
    table = controls.quality_table(rows, n_resamples=20)
    mae = table[(table["score"] == "mae") & (table["group"] == "a")]
    effects = mae.set_index(["infill", "slices"])["effect"]
    assert effects["telea"].to_dict() == pytest.approx(
        {"own": 0.2, "common": 0.2, "common, mirror too": 0.3}
    )
    assert effects["mirror"].to_dict() == {"own": 0.5, "common, mirror too": 0.5}


def drifting_rows(falls):
    """Rows of 12 patients a class, 2 slices each: P(a) falls by falls[label], to c's profit."""
    rows, rng = [], np.random.default_rng(1)
    for label, person, k in itertools.product("abc", range(12), range(2)):
        base = 0.5 + rng.uniform(-0.05, 0.05)
        shams = [("sham", 0, base, 0.1), ("sham", 1, base + 0.01, 0.1)]
        edits = [("original", -1, base, 0), ("remove", -1, base - falls[label], 0.1), *shams]
        who = {"slice_id": f"{label}{person}-{k}", "person": f"{label}{person}", "label": label}
        rows += one_slice(edits, **who)
    rows = pd.DataFrame(rows).rename(columns={"p": "p_a"})
    return rows.assign(p_b=0.1, p_c=0.9 - rows["p_a"], log_odds=0.0)


def test_a_fall_on_all_slices_alike_shows_on_those_of_other_classes():
    rows = drifting_rows({"a": 0.3, "b": 0.3, "c": 0.3})
    lines = controls.drift_table(rows, n_resamples=50).set_index(["group", "slices"]).loc["a"]
    # Shams at places 0 and 1 lie at +0 and +0.01 of the original: their mean is 0.005 above it
    assert lines["effect"].to_dict() == pytest.approx({"own": 0.305, "others": 0.305})
    assert lines["n_slices"].to_dict() == {"own": 24, "others": 48}
    assert lines["n_persons"].to_dict() == {"own": 12, "others": 24}


def test_the_fall_on_own_slices_is_net_drop_of_those_with_a_sham_and_a_removal():
    rows = drifting_rows({"a": 0.3, "b": 0.2, "c": 0.1})
    rows = rows[~((rows["slice_id"] == "a0-0") & (rows["edit"] == "sham"))]
    unmade = (rows["slice_id"] == "a0-1") & (rows["edit"] == "remove")
    rows.loc[unmade, ["p_a", "p_b", "p_c"]] = np.nan
    own = controls.drift_table(rows, n_resamples=20).query("slices == 'own'").set_index("group")
    net = slice_scores(rows).groupby("label")["net_drop"].mean()
    assert own["effect"].to_dict() == pytest.approx(net.to_dict())
    assert own["n_slices"].to_dict() == {"a": 22, "b": 24, "c": 24}
