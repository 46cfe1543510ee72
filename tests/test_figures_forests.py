"""Forests show the numbers they print, with a color for the verdict and no other."""

import figure_cases as cases
import numpy as np
import pytest

from tumorcf_lib.config import CLASSES
from tumorcf_lib.controls import covariates
from tumorcf_lib.figures import controls, forests, style
from tumorcf_lib.tables import classifiers


def pick(table, value="effect", **keys):
    """Values of the rows that have these, or one of these, in their columns."""
    for name, wanted in keys.items():
        table = table[table[name].isin(wanted if isinstance(wanted, tuple) else (wanted,))]
    return table[value].tolist()


def marked(fig):
    """Of each panel, all effects that have a mark."""
    return [sorted(x for x, _ in cases.marks(ax)) for ax in fig.axes]


def test_every_forest_marks_the_effects_of_its_table_and_no_others():
    table = cases.energy()
    assert marked(controls.energy(table)) == [sorted(pick(table, scale="probability"))]
    table = cases.probes()
    own = pick(table, "value", metric="balanced accuracy", group="all")
    assert marked(controls.probes(table)) == [sorted(own)]
    table = cases.networks()  # seen and unseen infills, but no single other one
    accuracy, drop, _ = marked(controls.networks(table))
    assert accuracy == sorted(pick(table, score="accuracy"))
    assert drop == sorted(pick(table, score="net_drop", infill=("navier_stokes", "unseen")))
    table = cases.covariates()
    own = {"score": "net_drop", "covariate": "contrast"}
    both = pick(table, **own) + pick(table, "ols", **own)
    assert marked(controls.covariates(table))[1] == sorted(both)
    table = cases.variants()
    wanted = [sorted(pick(table, group=group, scale="probability")) for group in cases.GROUPS]
    assert marked(controls.robustness(table)) == wanted
    # infills are compared on common slices, where an infill has them
    table, quality, detector = cases.infills(), cases.quality(), cases.detector()
    fig = controls.infills(table, quality, detector)
    drops, errors, seen = marked(fig)
    common = pick(table, score="net_drop", slices="common")
    assert drops == sorted(common + pick(table, score="net_drop", infill="mirror"))
    assert errors == sorted(pick(quality, score="mae"))
    assert seen == sorted(pick(detector, "auc", group="all"))
    for x, y in cases.marks(fig.axes[1]):
        assert [x] == pick(quality, effect=x, score="mae", infill=cases.INFILLS[round(y)])


def test_primary_claims_stand_beside_the_band_of_networks_that_know_nothing():
    table = cases.primary()
    fig = forests.primary(table)
    assert marked(fig) == [sorted(table["effect"])]
    bands = [
        band.get_paths()[0].get_extents().intervalx
        for band in fig.axes[0].collections
        if band.get_paths() and np.isfinite(band.get_paths()[0].vertices).all()
    ]
    assert [-0.05, 0.05] in [pytest.approx(list(band)) for band in bands]
    assert "over patients and networks" in " ".join(cases.texts(fig))
    alone = table.assign(network_error=np.nan, null_low=np.nan, null_high=np.nan)
    assert "over patients and networks" not in " ".join(cases.texts(forests.primary(alone)))


def test_headline_dots_are_the_means_and_the_text_is_the_net_drop_or_that_there_is_no_sham():
    means = cases.means()
    fig = forests.headline(means)
    wide = means.pivot(index="group", columns="score", values="effect")
    wanted = [wide.loc[g, s] for g in (*CLASSES, "all") for s in ("delta_drop", "sham_drop")]
    assert [x for x, _ in cases.marks(fig.axes[0])] == pytest.approx(wanted)
    net = means.set_index(["score", "group"]).loc[("net_drop", "all")]
    assert f"{net['effect']:+.3f} [{net['low']:.3f}, {net['high']:.3f}]" in cases.texts(fig)
    lost = (means["group"] == "glioma") & means["score"].isin(["sham_drop", "net_drop"])
    empty = means.copy()
    empty.loc[lost, ["effect", "low", "high"]] = np.nan
    for table, n_lost in ((empty, 1), (means[means["score"] == "delta_drop"], 4)):
        fig = forests.headline(table)
        assert cases.texts(fig).count("no sham") == n_lost
        assert len(cases.marks(fig.axes[0])) == 8 - n_lost


def test_energy_prints_the_three_net_drops_of_each_group_and_probes_their_chance():
    table = cases.energy()
    said = cases.texts(controls.energy(table))
    own = table[table["scale"] == "probability"].to_dict("records")
    printed = [text for text in said if "[" in text and text[-1] == "]"]
    assert sorted(printed) == sorted([*map(forests.number, own), "effect [95 %]"])
    (ratio,) = pick(table, quantity="rms_ratio", group="glioma")
    assert any(f"glioma (removal: {ratio:.1f} ×" in text for text in said)
    lines = controls.probes(cases.probes()).axes[0].lines
    assert 1 / 3 in [line.get_xdata()[0] for line in lines if line.get_linestyle() == "--"]


def test_unseen_infills_are_open_and_other_networks_and_classes_have_names():
    axes = controls.networks(cases.networks()).axes
    faces = [container[0].get_markerfacecolor() for container in axes[1].containers]
    assert faces.count("white") == 12
    others = cases.networks().replace({"glioma": "no tumor", "hardened": "mine"})
    said = cases.texts(controls.networks(others))
    assert "mine" in said and any(text.startswith("no tumor") for text in said)


def test_a_variant_stands_in_the_row_of_its_kind_in_the_color_of_its_interval():
    table = cases.variants()
    fig = controls.robustness(table)
    names = [label.get_text() for label in fig.axes[0].get_yticklabels()]
    assert names[:2] == ["as the study does it", "other infills (2)"]
    assert names[2:] == ["hardened network", "looking network"]
    looks = {float(c[0].get_xdata()[0]): c[0] for ax in fig.axes for c in ax.containers}
    for row in table[table["scale"] == "probability"].to_dict("records"):
        word = {"above 0": "supported", "below 0": "refuted"}.get(row["lies"], "undecided")
        assert looks[row["effect"]].get_color() == style.VERDICT_COLORS[word]


def test_the_figures_know_the_tables_names():
    rows = {"headline", "slices", "shams", "energy", "infill", "dilation", "scale"}
    assert rows | {classifiers.HARDENED, classifiers.LOOKING} == set(controls.FAMILY_NAMES)
    assert tuple(controls.COVARIATE_TITLES) == covariates.COVARIATES
