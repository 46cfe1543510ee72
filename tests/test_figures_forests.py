"""Forests show the numbers they print, with a color for the verdict and no other."""

import figure_cases as cases
import numpy as np
import pytest

from tumorcf_lib.config import CLASSES
from tumorcf_lib.controls import covariates
from tumorcf_lib.figures import controls, forests, style
from tumorcf_lib.tables import classifiers


def pick(table, value="effect", **keys):
    """Known values of the rows that have these, or one of these, in their columns."""
    for name, wanted in keys.items():
        table = table[table[name].isin(wanted if isinstance(wanted, tuple) else (wanted,))]
    return sorted(table[value].dropna())


def marked(fig):
    """Of each panel, all effects that have a mark."""
    return [sorted(x for x, _ in cases.marks(ax)) for ax in fig.axes]


def test_every_forest_marks_the_effects_of_its_tables_and_no_others():
    (table,) = cases.tables("energy")
    own = pick(table, scale="probability", quantity=tuple(controls.ENERGY_NAMES))
    assert marked(cases.draw("energy")) == [own]
    (table,) = cases.tables("probes")
    own = pick(table, "value", metric=table["metric"].iloc[0], group="all")
    assert marked(cases.draw("probes")) == [own]
    (table,) = cases.tables("networks")  # seen and unseen infills, but no single other one
    accuracy, drop, focus = marked(cases.draw("networks"))
    assert accuracy == pick(table, score="accuracy")
    assert drop == pick(table, score="net_drop", infill=("navier_stokes", "unseen"))
    assert focus == pick(table, score="delta_focus")
    (table,) = cases.tables("covariates")
    for found, name in zip(marked(cases.draw("covariates")), covariates.COVARIATES, strict=True):
        own = {"score": "net_drop", "covariate": name}
        assert found == sorted(pick(table, **own) + pick(table, "ols", **own))
    (table,) = cases.tables("robustness")
    wanted = [pick(table, group=group, scale="probability") for group in cases.GROUPS]
    assert marked(cases.draw("robustness")) == wanted
    # infills are compared on common slices, where an infill has them
    table, quality, detector = cases.tables("infills")
    drops, _, seen = marked(cases.draw("infills"))
    shared = pick(
        table, score="net_drop", slices="common", infill=("navier_stokes", "noisy_linear")
    )
    assert drops == sorted(shared + pick(table, score="net_drop", slices="own", infill="mirror"))
    assert seen == pick(detector, "auc", group="all")


def test_primary_claims_stand_beside_the_band_of_networks_that_know_nothing():
    (table,) = cases.tables("primary")
    fig = cases.draw("primary")
    assert marked(fig) == [pick(table)]
    bands = [
        band.get_paths()[0].get_extents().intervalx
        for band in fig.axes[0].collections
        if band.get_paths() and np.isfinite(band.get_paths()[0].vertices).all()
    ]
    for row in table[table["null_low"].notna()].itertuples():
        assert [row.null_low, row.null_high] in [pytest.approx(list(band)) for band in bands]
    assert "over patients and networks" in " ".join(cases.texts(fig))
    alone = table.assign(network_error=np.nan, null_low=np.nan, null_high=np.nan)
    assert "over patients and networks" not in " ".join(cases.texts(forests.primary(alone)))


def test_headline_dots_are_the_means_and_the_text_is_the_net_drop_or_that_there_is_no_sham():
    (means,) = cases.tables("headline")
    fig = cases.draw("headline")
    by = means.set_index(["group", "score"])
    wanted = [
        by.loc[(g, f"{s}_drop"), "effect"] for g in (*CLASSES, "all") for s in ("delta", "sham")
    ]
    assert [x for x, _ in cases.marks(fig.axes[0])] == pytest.approx(wanted)
    net = by.loc[("all", "net_drop")]
    assert f"{net['effect']:+.3f} [{net['low']:.3f}, {net['high']:.3f}]" in cases.texts(fig)
    lost = (means["group"] == "glioma") & means["score"].isin(["sham_drop", "net_drop"])
    empty = means.copy()
    empty.loc[lost, ["effect", "low", "high"]] = np.nan
    for table, n_lost in ((empty, 1), (means[means["score"] == "delta_drop"], 4)):
        fig = forests.headline(table)
        assert cases.texts(fig).count("no sham") == n_lost
        assert len(cases.marks(fig.axes[0])) == 8 - n_lost


def test_energy_prints_the_three_net_drops_of_each_group_and_probes_their_chance():
    (table,) = cases.tables("energy")
    said = cases.texts(cases.draw("energy"))
    own = table[(table["scale"] == "probability") & table["quantity"].isin(controls.ENERGY_NAMES)]
    assert {*map(forests.number, own.to_dict("records"))} <= set(said)
    (ratio,) = pick(table, quantity="rms_ratio", group="glioma")
    assert any(f"glioma (removal: {ratio:.1f} ×" in text for text in said)
    chance = cases.tables("probes")[0]["chance"].iloc[0]
    lines = cases.draw("probes").axes[0].lines
    assert chance in [line.get_xdata()[0] for line in lines if line.get_linestyle() == "--"]


def test_unseen_infills_are_open_and_other_networks_and_classes_have_names():
    (table,) = cases.tables("networks")
    axes = cases.draw("networks").axes
    faces = [container[0].get_markerfacecolor() for container in axes[1].containers]
    assert faces.count("white") == len(pick(table, score="net_drop", infill="unseen")) > 0
    said = cases.texts(controls.networks(table.replace({"glioma": "no tumor", "hardened": "mine"})))
    assert "mine" in said and any(text.startswith("no tumor") for text in said)


def test_a_variant_stands_in_the_row_of_its_kind_in_the_color_of_its_interval():
    (table,) = cases.tables("robustness")
    fig = cases.draw("robustness")
    names = [label.get_text() for label in fig.axes[0].get_yticklabels()]
    assert names[0] == "as the study does it" and "other infills (2)" in names
    looks = {float(c[0].get_xdata()[0]): c[0] for ax in fig.axes for c in ax.containers}
    for row in table[table["scale"] == "probability"].to_dict("records"):
        word = {"above 0": "holds", "below 0": "does not hold"}.get(row["lies"])
        if word:
            assert looks[row["effect"]].get_color() == style.VERDICT_COLORS[word]


def test_the_figures_know_the_tables_names():
    rows = {"headline", "slices", "shams", "energy", "infill", "dilation", "scale"}
    assert rows | {classifiers.HARDENED, classifiers.LOOKING} == set(controls.FAMILY_NAMES)
    assert tuple(controls.COVARIATE_TITLES) == covariates.COVARIATES
