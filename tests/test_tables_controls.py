"""Claims about infills, dilations, fillings of known tissue, and drifts between classes."""

import itertools

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib.edits.scores import class_log_odds, slice_scores
from tumorcf_lib.stats.verdicts import rank_agreement
from tumorcf_lib.tables import controls

INFILLS = ("navier_stokes", "telea", "ring_mean")


def row(slice_id, edit, p, *, infill="", dilation_px=0, place=-1, reason=""):
    """One audit row of a slice: person and class (the first or the second) follow from its ID."""
    label = slice_id % 2
    probabilities = np.array([p, 1 - p] if label == 0 else [1 - p, p])
    return {
        "slice_id": slice_id,
        "patient_id": f"p{slice_id // 2}{label}",
        "person_id": f"p{slice_id // 2}{label}",
        "label": ("a", "b")[label],
        "edit": edit,
        "place": place,
        "infill": infill,
        "dilation_px": dilation_px,
        "p_a": probabilities[0],
        "p_b": probabilities[1],
        "log_odds": class_log_odds(probabilities[None], [label])[0],
        "reason": reason,
    }


def setting(slice_id, p_remove, p_shams, *, infill="navier_stokes", dilation_px=0):
    at = {"infill": infill, "dilation_px": dilation_px}
    shams = [row(slice_id, "sham", p, place=k, **at) for k, p in enumerate(p_shams)]
    return [row(slice_id, "remove", p_remove, **at), *shams]


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
        made.append(row(i, "original", rng.uniform(0.5, 1)))
        made += setting(i, rng.uniform(), rng.uniform(size=3))
        for infill in (*INFILLS[1:], "mirror"):
            if infill != "mirror" or i < 12:
                made += setting(i, rng.uniform(), rng.uniform(size=2), infill=infill)
        made += setting(i, rng.uniform(), rng.uniform(size=2), dilation_px=4)
    return pd.DataFrame(made)


def test_infills_are_compared_at_as_many_places_each():
    rows = pd.DataFrame(
        [
            row(0, "original", 0.9),
            *setting(0, 0.2, [0.8, 0.6, 0.1]),
            *setting(0, 0.4, [0.7, 0.5], infill="telea"),
        ]
    )
    assert controls.control_places(rows) == 2
    table = controls.infill_scores(rows, n_resamples=10)
    # Navier-Stokes: shams 0.8 and 0.6 (not 0.1), so net 0.7 - 0.2; Telea: 0.6 - 0.4.
    ns, telea = (
        line(table, infill=infill, slices="own", score="net_drop", group="all")
        for infill in ("navier_stokes", "telea")
    )
    assert ns["effect"] == pytest.approx(0.5) and telea["effect"] == pytest.approx(0.2)
    assert (table["n_places"] == 2).all()


def test_means_are_over_own_and_over_common_slices(random_rows):
    table = controls.infill_scores(random_rows, n_resamples=20)
    for infill in INFILLS:
        n_slices = {
            name: line(table, infill=infill, slices=name, score="net_drop", group="all")["n_slices"]
            for name in ("own", "common", "common, mirror too")
        }
        assert n_slices == {"own": 24, "common": 24, "common, mirror too": 12}
    assert not ((table["infill"] == "mirror") & (table["slices"] == "common")).any()
    scores = controls.drops_per_slice(random_rows, infill="telea")
    first = line(table, infill="telea", slices="common, mirror too", score="net_drop_lo", group="b")
    own = scores[(scores["slice_id"] < 12) & (scores["label"] == "b")]
    assert first["effect"] == pytest.approx(own["net_drop_lo"].mean())


def test_rankings_are_compared_over_the_slices_that_all_infills_have(random_rows):
    table = controls.infill_agreement(random_rows, n_resamples=50)
    common = line(table, score="net_drop", slices="common", group="all")
    assert common["n_infills"] == 3 and common["n_slices"] == 24
    assert common["chance"] == pytest.approx(1 / 3)
    values = np.column_stack(
        [controls.drops_per_slice(random_rows, infill=infill)["net_drop"] for infill in INFILLS]
    )
    kendall_w = rank_agreement(values, np.eye(24), np.ones((1, 24)))[0][0]
    # But for differences below 1e-4, which are ties.
    assert common["kendall_w"] == pytest.approx(kendall_w, abs=0.02)
    assert common["low"] <= common["kendall_w"] <= common["high"]
    mirror = line(table, score="net_drop", slices="common, mirror too", group="all")
    assert mirror["n_infills"] == 4 and mirror["n_slices"] == 12
    assert mirror["infills"].split() == [*INFILLS, "mirror"]


def test_the_dilation_curve_says_how_many_slices_have_shams_and_why_others_have_none():
    made = []
    for i in range(6):
        made += [row(i, "original", 0.9), *setting(i, 0.5, [0.8, 0.8])]
        made += setting(i, 0.3, [0.7, 0.7] if i < 4 else [], dilation_px=9)
    at = {"infill": "navier_stokes", "dilation_px": 9, "reason": "no legal place"}
    made += [row(i, "sham", np.nan, **at) for i in (4, 5)]
    table = controls.dilation_curve(pd.DataFrame(made), n_resamples=10)
    assert table["dilation_px"].unique().tolist() == [0, 9]
    wide = line(table, dilation_px=9, slices="own", score="net_drop", group="all")
    assert wide["effect"] == pytest.approx(0.4) and wide["n_slices"] == 4
    assert wide["share_with_shams"] == pytest.approx(4 / 6) and wide["note"] == "no legal place: 2"
    own, common = (
        line(table, dilation_px=0, slices=name, score="net_drop", group="all")
        for name in ("own", "common")
    )
    assert (own["n_slices"], common["n_slices"]) == (6, 4)


def test_the_mirror_is_compared_at_its_own_places_only():
    entries = [("telea", 0, 0.1), ("telea", 1, 0.3), ("ring_mean", 0, 0.2), ("ring_mean", 1, 0.2)]
    rows = pd.DataFrame([*entries, ("mirror", 1, 0.5)], columns=["infill", "place", "mae"])
    rows = rows.assign(slice_id=1, person_id="p", label="a", rmse=0.0, ssim=0.0)
    table = controls.quality_table(rows, n_resamples=20)
    mae = table[(table["score"] == "mae") & (table["group"] == "a")]
    assert mae.set_index(["infill", "slices"])["effect"].to_dict() == pytest.approx(
        {
            ("telea", "own"): 0.2,
            ("telea", "common"): 0.2,
            ("telea", "common, mirror too"): 0.3,
            ("ring_mean", "own"): 0.2,
            ("ring_mean", "common"): 0.2,
            ("ring_mean", "common, mirror too"): 0.2,
            ("mirror", "own"): 0.5,
            ("mirror", "common, mirror too"): 0.5,
        }
    )


def drifting_rows(falls):
    """Rows of 12 patients a class, 2 slices each: P(a) falls by falls[label], to c's profit."""
    rows, rng = [], np.random.default_rng(1)
    for label, person, k in itertools.product("abc", range(12), range(2)):
        base = 0.5 + rng.uniform(-0.05, 0.05)
        shams = [("sham", 0, base), ("sham", 1, base + 0.01)]
        for edit, place, p in (("original", -1, base), ("remove", -1, base - falls[label]), *shams):
            about = {"slice_id": f"{label}{person}-{k}", "person_id": f"{label}{person}"}
            about |= {"label": label, "edit": edit, "place": place}
            infill = "" if edit == "original" else "navier_stokes"
            rows.append(about | {"infill": infill, "p_a": p, "p_b": 0.1, "p_c": 0.9 - p})
    return pd.DataFrame(rows).assign(patient_id="", dilation_px=0, log_odds=0.0)


def test_a_fall_on_all_slices_alike_shows_on_those_of_other_classes():
    rows = drifting_rows({"a": 0.3, "b": 0.3, "c": 0.3})
    lines = controls.drift_table(rows, n_resamples=50).set_index(["group", "slices"])
    # Shams at places 0 and 1 lie at +0 and +0.01 of the original: their mean is 0.005 above it
    own, others = lines.loc[("a", "own")], lines.loc[("a", "others")]
    assert own["effect"] == pytest.approx(0.305) and others["effect"] == pytest.approx(0.305)
    assert (own["n_slices"], own["n_persons"]) == (24, 12)
    assert (others["n_slices"], others["n_persons"]) == (48, 24)


def test_the_fall_on_own_slices_is_net_drop_of_those_with_a_sham_and_a_removal():
    rows = drifting_rows({"a": 0.3, "b": 0.2, "c": 0.1})
    rows = rows[~((rows["slice_id"] == "a0-0") & (rows["edit"] == "sham"))]
    unmade = (rows["slice_id"] == "a0-1") & (rows["edit"] == "remove")
    rows.loc[unmade, ["p_a", "p_b", "p_c"]] = np.nan
    scores = slice_scores(rows)
    own = controls.drift_table(rows, n_resamples=20).query("slices == 'own'").set_index("group")
    assert own["effect"].to_dict() == pytest.approx(
        scores.groupby("label")["net_drop"].mean().to_dict()
    )
    assert own["n_slices"].to_dict() == {"a": 22, "b": 24, "c": 24}
