"""Claims about the specification curve: every variant is what it says."""

import numpy as np
import pandas as pd
import pytest
from fake_rows import audit_rows

from tumorcf_lib.config import CLASSES
from tumorcf_lib.edits.scores import slice_scores
from tumorcf_lib.stats import estimates
from tumorcf_lib.tables import robustness

DROPS = {"meningioma": 0.4, "glioma": 0.0, "pituitary": 0.02}


def _rows(**options):
    return audit_rows(DROPS, **options)


def _everything():
    """Headline, another infill, two dilations, and two more networks with two infills."""
    others = [
        _rows(infill="telea", seed=1, sham_drop=0.1),
        _rows(dilation_px=4, seed=2),
        _rows(dilation_px=-1, seed=3),
    ]
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


def test_the_headline_is_the_mean_net_drop_with_the_bootstraps_interval(table):
    scores = slice_scores(_rows())
    own = scores[scores["label"] == "meningioma"]
    e = estimates.mean(own, "net_drop", n_resamples=200)
    row = _line(table, "headline")
    assert (row["effect"], row["low"], row["high"]) == pytest.approx((e.value, e.low, e.high))
    assert row["lies"] == robustness.ABOVE


def test_another_infill_is_held_against_its_own_shams(table):
    scores = slice_scores(audit_rows(DROPS, infill="telea", seed=1, sham_drop=0.1), infill="telea")
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
        _line(clean, "headline")["effect"]
    )
    assert _line(table, "headline")["effect"] < _line(clean, "headline")["effect"] - 0.1


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
    assert (row["smallest"], row["largest"]) == (
        own.loc[~looking, "effect"].min(),
        own.loc[~looking, "effect"].max(),
    )
    assert row["n_variants"] == (~looking).sum()
    assert row["n_above"] == (own.loc[~looking, "low"] > 0).sum()
    assert row["n_below"] == (own.loc[~looking, "high"] < 0).sum()
    assert f"over {row['n_variants']} variants" in row["sentence"]
