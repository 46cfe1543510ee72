import numpy as np
import pandas as pd
import pytest

from tumorcf_lib import rowfiles
from tumorcf_lib.edits.scores import class_log_odds
from tumorcf_lib.stats import concordance, metrics
from tumorcf_lib.tables import controls

INFILLS = ("navier_stokes", "telea", "ring_mean")


def row(slice_id, edit, p, *, infill="", dilation_px=0, place=-1, reason=""):
    """One audit row of a slice: person and class (the first or the second) follow from its ID."""
    label = slice_id % 2
    probabilities = np.array([p, 1 - p] if label == 0 else [1 - p, p])
    return {
        "slice_id": slice_id, "patient_id": f"p{slice_id // 2}{label}",
        "person_id": f"p{slice_id // 2}{label}", "label": ("a", "b")[label], "edit": edit,
        "place": place, "infill": infill, "dilation_px": dilation_px,
        "p_a": probabilities[0], "p_b": probabilities[1],
        "log_odds": class_log_odds(probabilities[None], [label])[0], "reason": reason,
    }  # fmt: skip


def setting(slice_id, p_remove, p_shams, *, infill="navier_stokes", dilation_px=0):
    at = {"infill": infill, "dilation_px": dilation_px}
    shams = [row(slice_id, "sham", p, place=k, **at) for k, p in enumerate(p_shams)]
    return [row(slice_id, "remove", p_remove, **at), *shams]


def impossible(slice_id, edit, reason, **at):
    return row(slice_id, edit, np.nan, reason=reason, **at)


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
        for infill in INFILLS[1:]:
            made += setting(i, rng.uniform(), rng.uniform(size=2), infill=infill)
        if i < 12:
            made += setting(i, rng.uniform(), rng.uniform(size=2), infill="mirror")
        else:
            made.append(impossible(i, "remove", "not symmetric", infill="mirror"))
            made.append(impossible(i, "sham", "not symmetric", infill="mirror", place=0))
        made += setting(i, rng.uniform(), rng.uniform(size=2), dilation_px=4)
    return pd.DataFrame(made)


def test_infills_are_compared_at_as_many_places_each():
    rows = pd.DataFrame([
        row(0, "original", 0.9), *setting(0, 0.2, [0.8, 0.6, 0.1]),
        *setting(0, 0.4, [0.7, 0.5], infill="telea"),
    ])  # fmt: skip
    assert controls.control_places(rows) == 2
    table = controls.infill_scores(rows, n_resamples=10)
    # Navier-Stokes: shams 0.8 and 0.6 (not 0.1), so net 0.7 - 0.2; Telea: 0.6 - 0.4.
    ns, telea = (
        line(table, infill=infill, slices="own", score="net_drop", group="all")
        for infill in ("navier_stokes", "telea")
    )
    assert ns["effect"] == pytest.approx(0.5) and telea["effect"] == pytest.approx(0.2)
    assert (table["n_places"] == 2).all()


def test_rows_of_the_headline_alone_keep_all_its_places_and_have_no_agreement():
    rows = pd.DataFrame([row(0, "original", 0.9), *setting(0, 0.2, [0.8, 0.6, 0.1])])
    table = controls.infill_scores(rows, n_resamples=10)
    net = line(table, score="net_drop", group="a")
    assert net["effect"] == pytest.approx(0.3) and net["n_places"] == 3
    assert set(table["slices"]) == {"own"}
    agreement = controls.infill_agreement(rows, n_resamples=10)
    assert agreement.empty and "kendall_w" in agreement


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
    first = line(
        table, infill="telea", slices="common, mirror too", score="net_drop_lo", group="b"
    )
    own = scores[(scores["slice_id"] < 12) & (scores["label"] == "b")]
    assert first["effect"] == pytest.approx(own["net_drop_lo"].mean())


def test_delta_less_sham_is_net_in_every_line(random_rows):
    table = controls.infill_scores(random_rows, n_resamples=20)
    wide = table.pivot(index=["infill", "slices", "group"], columns="score", values="effect")
    np.testing.assert_allclose(wide["delta_drop"] - wide["sham_drop"], wide["net_drop"])


def test_missing_slices_come_with_their_reason(random_rows):
    table = controls.infill_scores(random_rows, n_resamples=20)
    mirror = line(table, infill="mirror", slices="own", score="net_drop", group="a")
    assert mirror["share_with_shams"] == 0.5 and mirror["note"] == "not symmetric: 6"
    telea = line(table, infill="telea", slices="own", score="net_drop", group="a")
    assert telea["share_with_shams"] == 1 and telea["note"] == ""


def test_drops_of_a_slice_are_those_of_the_audit_at_its_first_places(random_rows):
    ours = controls.drops_per_slice(random_rows, dilation_px=4)
    assert (ours["n_sham"] == 2).all()
    theirs = metrics.slice_scores(random_rows, dilation_px=4)
    pd.testing.assert_series_equal(ours["net_drop"], theirs["net_drop"])
    headline = metrics.slice_scores(random_rows[random_rows["place"] < 2])
    pd.testing.assert_series_equal(
        controls.drops_per_slice(random_rows)["net_drop"], headline["net_drop"]
    )


def test_rankings_are_compared_over_the_slices_that_all_infills_have(random_rows):
    table = controls.infill_agreement(random_rows, n_resamples=50)
    common = line(table, score="net_drop", slices="common", group="all")
    assert common["n_infills"] == 3 and common["n_slices"] == 24
    assert common["chance"] == pytest.approx(1 / 3)
    values = np.column_stack([
        controls.drops_per_slice(random_rows, infill=infill)["net_drop"] for infill in INFILLS
    ])  # fmt: skip
    # But for differences below 1e-4, which are ties.
    assert common["kendall_w"] == pytest.approx(concordance.kendall_w(values), abs=0.02)
    assert common["low"] <= common["kendall_w"] <= common["high"]
    mirror = line(table, score="net_drop", slices="common, mirror too", group="all")
    assert mirror["n_infills"] == 4 and mirror["n_slices"] == 12
    assert mirror["infills"].split() == [*INFILLS, "mirror"]


def test_infills_that_rank_alike_agree_fully_in_each_class(random_rows):
    headline = random_rows[random_rows["infill"].isin(("", "navier_stokes"))]
    headline = headline[(headline["dilation_px"] == 0) & (headline["place"] < 2)]
    copy = headline[headline["edit"] != "original"].assign(infill="telea")
    table = controls.infill_agreement(pd.concat([headline, copy]), n_resamples=50)
    assert len(table) == 4 * 3  # scores by groups
    np.testing.assert_allclose(table[["kendall_w", "low", "high", "spearman"]], 1)


def test_the_dilation_curve_says_how_many_slices_have_shams_and_why_others_have_none():
    made = []
    for i in range(6):
        made += [row(i, "original", 0.9), *setting(i, 0.5, [0.8, 0.8])]
        if i < 4:
            made += setting(i, 0.3, [0.7, 0.7], dilation_px=9)
        else:
            made.append(row(i, "remove", 0.3, infill="navier_stokes", dilation_px=9))
            made.append(
                impossible(i, "sham", "no legal place", infill="navier_stokes", dilation_px=9)
            )
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


def test_a_class_without_any_sham_keeps_its_line_and_its_reason():
    made = []
    for i in range(4):
        made += [row(i, "original", 0.9), *setting(i, 0.5, [0.8])]
        at = {"infill": "navier_stokes", "dilation_px": 9}
        made.append(row(i, "remove", 0.3, **at))
        made.append(
            impossible(i, "sham", "no legal place", **at)
            if i % 2 else row(i, "sham", 0.6, place=0, **at)
        )  # fmt: skip
    table = controls.dilation_curve(pd.DataFrame(made), n_resamples=10)
    gone = line(table, dilation_px=9, slices="own", score="net_drop", group="b")
    assert gone["n_slices"] == 0 and gone["share_with_shams"] == 0 and np.isnan(gone["effect"])
    assert gone["note"] == "no legal place: 2"


def test_one_person_a_class_gives_numbers_without_intervals():
    rows = pd.DataFrame([
        entry for i in range(2) for entry in (
            row(i, "original", 0.9), *setting(i, 0.5, [0.8]),
            *setting(i, 0.4, [0.8], infill="telea"),
        )
    ])  # fmt: skip
    table = controls.infill_scores(rows, n_resamples=10)
    assert table["effect"].notna().all() and table["low"].isna().all()
    agreement = controls.infill_agreement(rows, n_resamples=10)
    assert agreement["low"].isna().all()


def test_published_rows_give_the_same_tables(random_rows):
    published = rowfiles.round_trip(random_rows)
    for make in (controls.infill_scores, controls.dilation_curve):
        fresh, read = (make(rows, n_resamples=50) for rows in (random_rows, published))
        pd.testing.assert_frame_equal(fresh, read, rtol=1e-3, atol=1e-4)
    published = rowfiles.round_trip(published)
    twice = [controls.infill_agreement(published, n_resamples=50) for _ in range(2)]
    pd.testing.assert_frame_equal(*twice)
    fresh = controls.infill_agreement(random_rows, n_resamples=50)
    np.testing.assert_allclose(fresh["kendall_w"], twice[0]["kendall_w"], atol=0.02)


def test_tables_are_read_back_as_they_were_written(random_rows):
    for make in (controls.infill_scores, controls.dilation_curve):
        table = make(random_rows, n_resamples=10)
        read = rowfiles.round_trip(table)
        pd.testing.assert_frame_equal(read, table, rtol=1e-4, check_dtype=False)
