"""Forests show the numbers they print, with a color for the verdict and no other."""

import figure_cases as cases
import numpy as np
import pytest

from tumorcf_lib.config import CLASSES
from tumorcf_lib.controls import covariates
from tumorcf_lib.figures import controls, forests, style
from tumorcf_lib.tables import classifiers


def _shown(ax, table):
    """All effects of a table are marks of the panel, and no others."""
    found = sorted(x for x, _ in cases.marks(ax))
    assert found == pytest.approx(sorted(table["effect"]))


def _numbers(fig):
    return [text for text in cases.texts(fig) if "[" in text and text[-1] == "]"]


def test_primary_claims_stand_beside_the_band_of_networks_that_know_nothing():
    table = cases.primary()
    ax = forests.primary(table).axes[0]
    _shown(ax, table)
    bands = [
        band.get_paths()[0].get_extents().intervalx
        for band in ax.collections
        if band.get_paths() and np.isfinite(band.get_paths()[0].vertices).all()
    ]
    assert [-0.05, 0.05] in [pytest.approx(list(band)) for band in bands]


def test_an_interval_that_holds_the_network_fixed_does_not_claim_to_be_over_networks():
    table = cases.primary()
    assert "over patients and networks" in " ".join(cases.texts(forests.primary(table)))
    alone = table.assign(network_error=np.nan, null_low=np.nan, null_high=np.nan)
    assert "over patients and networks" not in " ".join(cases.texts(forests.primary(alone)))


def test_headline_dots_are_the_means_and_the_text_is_the_net_drop():
    means = cases.means()
    fig = forests.headline(means)
    wide = means.pivot(index="group", columns="score", values="effect")
    wanted = [wide.loc[g, s] for g in (*CLASSES, "all") for s in ("delta_drop", "sham_drop")]
    assert [x for x, _ in cases.marks(fig.axes[0])] == pytest.approx(wanted)
    net = means.set_index(["score", "group"]).loc[("net_drop", "all")]
    assert f"{net['effect']:+.3f} [{net['low']:.3f}, {net['high']:.3f}]" in cases.texts(fig)


def test_headline_of_a_class_without_shams_shows_its_drop_and_says_so():
    means = cases.means()
    lost = (means["group"] == "glioma") & means["score"].isin(["sham_drop", "net_drop"])
    empty = means.copy()
    empty.loc[lost, ["effect", "low", "high"]] = np.nan
    no_shams = means[means["score"] == "delta_drop"]
    for table, n_lost in ((means[~lost], 1), (empty, 1), (no_shams, 4)):
        fig = forests.headline(table)
        assert cases.texts(fig).count("no sham") == n_lost
        assert len(cases.marks(fig.axes[0])) == 8 - n_lost


def test_energy_prints_the_three_net_drops_of_each_group():
    table = cases.energy()
    fig = controls.energy(table)
    own = table[table["scale"] == "probability"]
    _shown(fig.axes[0], own)
    assert sorted(_numbers(fig)) == sorted(
        [*map(forests.number, own.to_dict("records")), "effect [95 %]"]
    )
    ratio = table[(table["quantity"] == "rms_ratio") & (table["group"] == "glioma")]["effect"]
    assert any(f"glioma (removal: {ratio.iloc[0]:.1f} ×" in text for text in cases.texts(fig))


def test_probes_show_one_metric_of_all_slices_beside_chance():
    table = cases.probes()
    ax = controls.probes(table).axes[0]
    own = table[(table["metric"] == "balanced accuracy") & (table["group"] == "all")]
    _shown(ax, own.rename(columns={"value": "effect"}))
    assert 1 / 3 in [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"]


def test_three_networks_show_seen_and_unseen_infills_but_no_single_other_one():
    table = cases.networks()
    axes = controls.networks(table).axes
    own = table[(table["score"] == "net_drop") & table["infill"].isin(("navier_stokes", "unseen"))]
    _shown(axes[1], own)
    faces = [container[0].get_markerfacecolor() for container in axes[1].containers]
    assert faces.count("white") == 12
    _shown(axes[0], table[table["score"] == "accuracy"])


def test_other_classes_and_networks_get_colors_of_their_own():
    table = cases.networks().replace({"glioma": "no tumor", "hardened": "mine"})
    said = cases.texts(controls.networks(table))
    assert "mine" in said and any(text.startswith("no tumor") for text in said)
    assert list(style.groups_of(table)) == ["all", "meningioma", "pituitary", "no tumor"]


def test_infills_are_compared_on_common_slices_where_there_are_any():
    table, quality, detector = cases.infills(), cases.quality(), cases.detector()
    axes = controls.infills(table, quality, detector).axes
    own = table[table["score"] == "net_drop"]
    _shown(axes[0], own[(own["slices"] == "common") | (own["infill"] == "mirror")])
    error = quality[quality["score"] == "mae"]
    _shown(axes[1], error)
    for x, y in cases.marks(axes[1]):
        assert cases.INFILLS[round(y)] == error.loc[np.isclose(error["effect"], x), "infill"].item()
    seen = detector[detector["group"] == "all"].rename(columns={"auc": "effect"})
    _shown(axes[2], seen)
    assert len(controls.infills(table).axes) == 1


def test_covariates_show_both_estimates():
    table = cases.covariates()
    own = table[(table["score"] == "net_drop") & (table["covariate"] == "contrast")]
    found = sorted(x for x, _ in cases.marks(controls.covariates(table).axes[1]))
    assert found == pytest.approx(sorted([*own["effect"], *own["ols"]]))


def test_every_variant_has_its_mark_in_the_row_of_its_kind():
    table = cases.variants()
    fig = controls.robustness(table)
    names = [label.get_text() for label in fig.axes[0].get_yticklabels()]
    assert names == [
        "as the study does it",
        "other infills (2)",
        "hardened network",
        "looking network",
    ]
    for ax, group in zip(fig.axes, cases.GROUPS, strict=True):
        own = table[(table["group"] == group) & (table["scale"] == "probability")]
        _shown(ax, own)
        looks = {float(c[0].get_xdata()[0]): c[0] for c in ax.containers}
        for row in own.to_dict("records"):
            mark = looks[row["effect"]]
            word = {"above 0": "supported", "below 0": "refuted"}.get(row["lies"], "undecided")
            assert mark.get_color() == style.VERDICT_COLORS[word]


def test_the_figures_know_the_tables_names():
    rows = {"headline", "slices", "shams", "energy", "infill", "dilation", "scale"}
    assert rows | {classifiers.HARDENED, classifiers.LOOKING} == set(controls.FAMILY_NAMES)
    assert tuple(controls.COVARIATE_TITLES) == covariates.COVARIATES
