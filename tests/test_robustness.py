"""Claims about the specification curve: every variant is what it says, no verdict is kind."""

import numpy as np
import pandas as pd
import pytest
from fake_rows import audit_rows, with_classes

from tumorcf_lib.config import CLASSES
from tumorcf_lib.edits.scores import slice_scores
from tumorcf_lib.stats.estimates import bootstrap_mean
from tumorcf_lib.stats.verdicts import holm
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


def _outcomes(*outcomes, n_persons=20):
    """A table of one class: "supported", "negligible", ...; the first is the headline."""
    ends = {"supported": (0.2, 0.4), "negligible": (-0.01, 0.02), "undecided": (-0.2, 0.2),
            "refuted": (-0.4, -0.2), "small": (-0.2, 0.04)}
    rows = []
    for k, outcome in enumerate(outcomes):
        low, high = ends[outcome]
        verdict = outcome if outcome in ("supported", "refuted") else "undecided"
        rows.append({
            "variant": f"v{k}", "family": "infill" if k else "headline", "group": "glioma",
            "scale": "probability", "low": low, "high": high, "n_persons": n_persons,
            "verdict": verdict, "relevance": "negligible" if outcome == "negligible" else ""})
    return pd.DataFrame(rows)


def test_every_variant_has_one_row_for_every_group(table):
    assert not table.duplicated(["variant", "group"]).any()
    assert table.groupby("variant").size().eq(4).all()
    assert set(table["family"]) <= set(robustness.FAMILIES)
    assert set(table["variant"]) == {
        "headline", "correct slices only", "every person alike", "shams off the skull",
        "energy-matched shams", "energy residual", "telea", "mask shrunk by 1 px",
        "mask grown by 4 px", "log-odds", "mixed model", "hardened", "hardened (telea)",
        "looking", "looking (telea)"}


def test_the_headline_is_the_mean_net_drop_with_the_bootstraps_interval(table):
    scores = slice_scores(_rows())
    own = scores[scores["label"] == "meningioma"]
    e = bootstrap_mean(own["net_drop"], own["person_id"], own["label"], null=0,
                       n_resamples=200)
    row = _line(table, "headline")
    assert (row["effect"], row["low"], row["high"], row["p"]) == pytest.approx(
        (e.value, e.low, e.high, e.p))


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


def test_holm_runs_over_the_variants_of_a_group_and_family(table):
    for _, rows in table.groupby(["group", "family"]):
        np.testing.assert_allclose(rows["p_holm"], holm(rows["p"]))


def test_verdict_and_relevance_follow_from_the_interval(table):
    for row in table.to_dict("records"):
        if row["verdict"] == "supported":
            assert row["low"] > 0 and row["p_holm"] < 0.05
        if row["relevance"]:
            assert row["scale"] == "probability"
            assert -0.05 <= row["low"] and row["high"] <= 0.05
    assert _line(table, "headline", "pituitary")["relevance"] == "negligible"
    assert _line(table, "log-odds", "pituitary")["relevance"] == ""


def test_under_ten_persons_everything_is_undecided():
    table = robustness.robustness_table(_rows(n_persons=9), n_resamples=50)
    own = table[table["group"] == "meningioma"]
    assert (own["low"] > 0).all() and set(own["verdict"]) == {"undecided"}
    assert own["note"].str.contains("10 needed").all()
    assert robustness.survival(table).set_index("group").loc["meningioma", "conclusion"] == (
        "undecided")


def test_a_variant_without_slices_of_a_class_stays_visible():
    mirror = _rows(infill="mirror")
    mirror = mirror[mirror["edit"].isin(("remove", "sham")) & (mirror["label"] != "glioma")]
    rows = pd.concat([_rows(), mirror], ignore_index=True)
    row = _line(robustness.robustness_table(rows, n_resamples=20), "mirror", "glioma")
    assert np.isnan(row["effect"]) and row["n_slices"] == 0
    assert (row["verdict"], row["note"]) == ("undecided", "no slices")


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
    for name in ("effect", "low", "high", "p"):
        np.testing.assert_array_equal(both[name], both[f"{name}_all"])


@pytest.mark.parametrize("outcomes, conclusion", [
    (["supported"] * 4, "holds under every control"),
    (["supported"] * 3 + ["undecided"], "holds except"),
    (["supported"] * 3 + ["negligible"], "holds except"),
    (["supported"] * 3 + ["refuted"], "depends on the control"),
    (["supported"] * 2 + ["undecided"] * 2, "depends on the control"),
    (["negligible"] * 4, "no drop beyond 0.05 under any control"),
    (["negligible"] * 3 + ["small"], "no drop beyond 0.05 under any control"),
    (["negligible"] * 3 + ["supported"], "no drop beyond 0.05 except"),
    (["negligible"] * 3 + ["undecided"], "no drop beyond 0.05 except"),
    (["refuted"] * 3 + ["supported"], "no fall of the probability, it rises"),
    (["negligible"] + ["supported"] * 3, "undecided"),
    (["undecided"] + ["supported"] * 3, "undecided"),
    (["refuted"] * 4, "no fall of the probability, it rises"),
])
def test_the_conclusion_is_never_kinder_than_the_variants(outcomes, conclusion):
    row = robustness.survival(_outcomes(*outcomes)).iloc[0]
    assert row["conclusion"] == conclusion
    assert row["n_variants"] == len(outcomes)


def test_a_variant_below_the_margin_does_not_break_a_negligible_drop_however_far_it_falls():
    table = _outcomes(*["negligible"] * 3, "undecided", "undecided")
    table.loc[3, ["low", "high"]] = -0.2, 0.03  # wide, but not beyond 0.05
    table.loc[4, ["low", "high"]] = -0.01, 0.08
    row = robustness.survival(table).iloc[0]
    assert row["breaks"] == "the interval reaches beyond 0.05: v4" and row["agree"] == 4
    assert row["sentence"] == (
        "Glioma: no drop beyond 0.05 except (the interval reaches beyond 0.05: v4); "
        "4 of 5 variants agree.")


def test_the_network_made_to_look_is_told_but_does_not_count():
    table = _outcomes(*["negligible"] * 3, "supported", "supported")
    table.loc[3:, "family"] = "network"
    table.loc[3:, "variant"] = ["looking", "looking (telea)"]
    row = robustness.survival(table).iloc[0]
    assert row["conclusion"] == "no drop beyond 0.05 under any control"
    assert row["supported"] == 0 and row["not_counted"] == "2 supported"
    assert "looking network, not counted: 2 supported" in row["sentence"]


def test_log_odds_alone_do_not_break_a_negligible_drop():
    table = _outcomes(*["negligible"] * 3, "undecided")
    table.loc[3, "scale"] = "log-odds"
    row = robustness.survival(table).iloc[0]
    assert row["conclusion"] == "no drop beyond 0.05 under any control"
    assert row["breaks"] == "" and row["n_variants"] == row["agree"] == 3


def test_all_classes_together_do_not_hide_one_without_a_drop(table):
    sentence = robustness.survival(table).set_index("group").loc["all", "sentence"]
    assert sentence.endswith("it does not hold for glioma, pituitary alone.")
    alike = pd.concat([_outcomes("supported").assign(group=g) for g in ("all", "glioma")])
    assert "average" not in robustness.survival(alike)["sentence"].iloc[0]


def test_planted_classes_end_as_planted(table):
    ends = robustness.survival(table).set_index("group")["conclusion"]
    assert ends["meningioma"] == "holds under every control"
    assert ends["pituitary"].startswith("no drop beyond 0.05")
