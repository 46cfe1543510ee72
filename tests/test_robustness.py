"""Claims about the specification curve: every variant is what it says."""

import numpy as np
import pandas as pd
import pytest
from fake_rows import audit_rows, with_classes

from tumorcf_lib.config import CLASSES
from tumorcf_lib.edits.scores import slice_scores
from tumorcf_lib.stats.estimates import bootstrap_mean
from tumorcf_lib.tables import robustness

DROPS = {"meningioma": 0.4, "glioma": 0.0, "pituitary": 0.02}


def _rows(**options):
    return audit_rows(DROPS, **options)


def _everything():
    """Headline, another infill, two dilations, and two more networks with two infills."""
    others = [_rows(infill="telea", seed=1, sham_drop=0.1), _rows(dilation_px=4, seed=2),
              _rows(dilation_px=-1, seed=3)]
    others = [rows[rows["edit"].isin(("remove", "sham"))] for rows in others]
    networks = []
    for k, name in enumerate(("hardened", "looking")):
        drops = DROPS if name == "hardened" else dict.fromkeys(CLASSES, 0.5)
        own = audit_rows(drops, seed=10 + k)
        telea = audit_rows(drops, seed=20 + k, infill="telea")
        own = pd.concat([own, telea[telea["edit"].isin(("remove", "sham"))]])
        networks.append(own.assign(network=name))
    return pd.concat([_rows(), *others], ignore_index=True), pd.concat(networks, ignore_index=True)


@pytest.fixture(scope="module")
def everything():
    return _everything()


@pytest.fixture(scope="module")
def table(everything):
    return robustness.robustness_table(*everything, n_resamples=200)


def _line(table, variant, group="meningioma"):
    return table[(table["variant"] == variant) & (table["group"] == group)].iloc[0]


def test_every_variant_has_one_row_for_every_group(table):
    assert not table.duplicated(["variant", "group"]).any()
    assert table.groupby("variant").size().eq(4).all()
    assert set(table["family"]) <= set(robustness.FAMILIES)
    assert set(table["variant"]) == {
        "headline", "correct slices only", "every patient alike", "shams off the skull",
        "energy-matched shams", "energy residual", "telea", "mask shrunk by 1 px",
        "mask grown by 4 px", "log-odds", "hardened", "hardened (telea)",
        "looking", "looking (telea)"}


def test_the_headline_is_the_mean_net_drop_with_the_bootstraps_interval(table):
    scores = slice_scores(_rows())
    own = scores[scores["label"] == "meningioma"]
    e = bootstrap_mean(own["net_drop"], own["person_id"], own["label"], null=0,
                       n_resamples=200)
    row = _line(table, "headline")
    assert (row["effect"], row["low"], row["high"]) == pytest.approx((e.value, e.low, e.high))
    assert row["lies"] == robustness.ABOVE


def test_another_infill_is_held_against_its_own_shams(table):
    scores = slice_scores(audit_rows(DROPS, infill="telea", seed=1, sham_drop=0.1),
                                  infill="telea")
    own = scores[scores["label"] == "meningioma"]
    assert _line(table, "telea")["effect"] == pytest.approx(own["net_drop"].mean())
    assert _line(table, "telea")["effect"] < _line(table, "headline")["effect"] - 0.05


def test_flagged_shams_do_not_count_among_those_in_the_brain():
    rows = _rows(n_places=3)
    flagged = (rows["edit"] == "sham") & (rows["place"] == 0)
    rows.loc[flagged, "flag"] = "scalp"
    rows.loc[flagged, "p_meningioma"] = 0.0
    table = robustness.robustness_table(rows, n_resamples=20)
    clean = robustness.robustness_table(rows[~flagged], n_resamples=20)
    assert _line(table, "shams off the skull")["effect"] == pytest.approx(
        _line(clean, "headline")["effect"])
    assert _line(table, "headline")["effect"] < _line(clean, "headline")["effect"] - 0.1


def test_wrongly_classified_slices_are_left_out_of_the_correct_ones():
    rows = _rows()
    wrong = rows["slice_id"].str.endswith("-0") & (rows["edit"] == "original")
    swapped = with_classes(rows[wrong].assign(p=0.1).drop(
        columns=[c for c in rows if c.startswith("p_") or c == "log_odds"]))
    rows = pd.concat([rows[~wrong], swapped], ignore_index=True)
    table = robustness.robustness_table(rows, n_resamples=20)
    assert _line(table, "headline")["n_slices"] == 36
    assert _line(table, "correct slices only")["n_slices"] == 24


def test_a_variant_without_slices_of_a_class_stays_visible():
    mirror = _rows(infill="mirror")
    mirror = mirror[mirror["edit"].isin(("remove", "sham")) & (mirror["label"] != "glioma")]
    rows = pd.concat([_rows(), mirror], ignore_index=True)
    row = _line(robustness.robustness_table(rows, n_resamples=20), "mirror", "glioma")
    assert np.isnan(row["effect"]) and row["n_slices"] == 0
    assert (row["lies"], row["note"]) == ("", "no slices")


def test_a_refitted_map_is_a_variant_where_the_rows_have_it():
    rows = _rows()
    refit = rows[rows["edit"].isin(("original", "remove"))].copy()
    refit["infill"] = refit["infill"].where(refit["edit"] != "original", "")
    refit["edit"] = refit["edit"] + "_refit"
    table = robustness.robustness_table(pd.concat([rows, refit]), n_resamples=20)
    assert _line(table, "map refitted")["effect"] == pytest.approx(
        _line(table, "headline")["effect"])


def test_no_row_depends_on_which_other_variants_there_are(everything, table):
    alone = robustness.robustness_table(_rows(), n_resamples=200)
    both = alone.merge(table, on=["variant", "group"], suffixes=("", "_all"))
    assert len(both) == len(alone)
    for name in ("effect", "low", "high"):
        np.testing.assert_array_equal(both[name], both[f"{name}_all"])


def test_how_far_the_variants_go_leaves_out_the_network_made_to_look(table):
    row = robustness.survival(table).set_index("group").loc["glioma"]
    own = table[(table["group"] == "glioma") & (table["scale"] == "probability")]
    looking = own["variant"].str.startswith("looking")
    assert own.loc[looking, "effect"].min() > own.loc[~looking, "effect"].max()
    assert (row["smallest"], row["largest"]) == (own.loc[~looking, "effect"].min(),
                                                 own.loc[~looking, "effect"].max())
    assert row["n_variants"] == (~looking).sum()
    assert row["n_above"] == (own.loc[~looking, "low"] > 0).sum()
    assert row["n_below"] == (own.loc[~looking, "high"] < 0).sum()
    assert f"over {row['n_variants']} variants" in row["sentence"]
