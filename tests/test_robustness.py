"""Claims about the specification curve: every variant is what it says."""

import pandas as pd
import pytest
from fake_rows import audit_rows

from tumorcf_lib.config import CLASSES
from tumorcf_lib.edits.scores import slice_scores
from tumorcf_lib.stats import estimates
from tumorcf_lib.tables import robustness

DROPS = {"meningioma": 0.4, "glioma": 0.0, "pituitary": 0.02}


def edited(drops, **options):
    rows = audit_rows(drops, **options)
    return rows[rows["edit"].isin(("remove", "sham"))]


@pytest.fixture(scope="module")
def table():
    """Headline, another infill, two dilations, and two more networks with two infills."""
    rows = [audit_rows(DROPS), edited(DROPS, infill="telea", seed=1, sham_drop=0.1)]
    rows += [edited(DROPS, dilation_px=dilation, seed=dilation + 9) for dilation in (4, -1)]
    networks = []
    for name, drops in (("hardened", DROPS), ("looking", dict.fromkeys(CLASSES, 0.5))):
        own = audit_rows(drops, seed=10), edited(drops, seed=20, infill="telea")
        networks += [rows.assign(network=name) for rows in own]
    rows, networks = (pd.concat(parts, ignore_index=True) for parts in (rows, networks))
    return robustness.robustness_table(rows, networks, n_resamples=100)


def _line(table, variant, group="meningioma"):
    return table[(table["variant"] == variant) & (table["group"] == group)].iloc[0]


def test_the_headline_and_another_infill_are_means_of_net_drop_by_their_own_shams(table):
    own = {"headline": audit_rows(DROPS)}
    own["telea"] = audit_rows(DROPS, infill="telea", seed=1, sham_drop=0.1)
    for name, rows in own.items():
        infill = "telea" if name == "telea" else "navier_stokes"
        scores = slice_scores(rows, infill=infill).query("label == 'meningioma'")
        e, row = estimates.mean(scores, "net_drop", n_resamples=100), _line(table, name)
        assert (row["effect"], row["low"], row["high"]) == pytest.approx((e.value, e.low, e.high))
    assert _line(table, "headline")["lies"] == robustness.ABOVE
    assert _line(table, "telea")["effect"] < _line(table, "headline")["effect"] - 0.05


def test_flagged_shams_do_not_count_among_those_in_the_brain():
    rows = audit_rows(DROPS, n_places=3)
    flagged = (rows["edit"] == "sham") & (rows["place"] == 0)
    rows.loc[flagged, "flag"] = "scalp"
    rows.loc[flagged, "p_meningioma"] = 0.0
    table = robustness.robustness_table(rows, n_resamples=20)
    clean = robustness.robustness_table(rows[~flagged], n_resamples=20)
    wanted = _line(clean, "headline")["effect"]
    assert _line(table, "shams off the skull")["effect"] == pytest.approx(wanted)
    assert _line(table, "headline")["effect"] < wanted - 0.1


def test_how_far_the_variants_go_leaves_out_the_network_made_to_look(table):
    row = robustness.survival(table).set_index("group").loc["glioma"]
    own = table[(table["group"] == "glioma") & (table["scale"] == "probability")]
    is_looking = own["variant"].str.startswith("looking")
    looking, rest = own[is_looking], own[~is_looking]
    assert looking["effect"].min() > rest["effect"].max() == row["largest"]
    assert row["smallest"] == rest["effect"].min() and row["n_variants"] == len(rest)
    assert (row["n_above"], row["n_below"]) == ((rest["low"] > 0).sum(), (rest["high"] < 0).sum())
    assert f"over {row['n_variants']} variants" in row["sentence"]
