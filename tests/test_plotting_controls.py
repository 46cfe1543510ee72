"""Claims about the figures of the controls: they show the numbers they were given."""

import numpy as np
import pandas as pd
import pytest
from fake_rows import audit_rows
from figure_checks import assert_tag_stands_below_all_else
from matplotlib import colors as mpl_colors
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tumorcf_lib.config import CLASSES
from tumorcf_lib.controls import covariates
from tumorcf_lib.figures import controls, marks, style
from tumorcf_lib.figures import robustness as plots
from tumorcf_lib.tables import energy, robustness, three_networks

GROUPS = ("all", *CLASSES)
INFILLS = ("navier_stokes", "telea", "mirror")
TAG = "phantom"


def _lines(keys, seed=0, **more):
    """One row for each of the keys, with an interval around a random effect."""
    rng = np.random.default_rng(seed)
    rows = []
    for key in keys:
        effect = round(rng.uniform(-0.2, 0.8), 4)
        rows.append({**key, "effect": effect, "low": effect - 0.1, "high": effect + 0.05,
                     "n_slices": 30, "n_persons": 12, **more})
    return pd.DataFrame(rows)


def _forest():
    variants = [("headline", "headline"), ("telea", "infill"), ("mirror", "infill"),
                ("log-odds", "scale"), ("hardened", "network"), ("looking (gaussian blur)",
                                                                 "network")]
    table = _lines([{"variant": v, "family": f, "group": g, "verdict": "undecided",
                     "relevance": "", "scale": "log-odds" if v == "log-odds" else "probability"}
                    for v, f in variants for g in GROUPS])
    table.loc[::3, "verdict"] = "supported"
    table.loc[1, "relevance"] = "negligible"
    return table


def _infills():
    keys = [{"infill": i, "score": s, "group": g, "slices": k} for i in INFILLS
            for s in ("net_drop", "delta_drop") for g in GROUPS for k in ("own", "common")
            if not (i == "mirror" and k == "common")]
    return _lines(keys, seed=1)


def _quality():
    return _lines([{"infill": i, "score": m, "group": g, "slices": "own"}
                   for i in INFILLS for m in ("mae", "rmse", "ssim") for g in GROUPS], seed=2)


def _detector():
    table = _lines([{"infill": i, "view": v, "group": g} for i in INFILLS
                    for v in ("slice", "patch") for g in ("all", "glioma")], seed=3)
    return table.rename(columns={"effect": "auc"})


def _dilations():
    return _lines([{"dilation_px": d, "score": s, "group": g} for d in (4, -1, 0, 9)
                   for s in ("delta_drop", "sham_drop", "net_drop") for g in GROUPS], seed=4)


def _probes():
    return _lines([{"probe": p, "network": n, "metric": m, "chance": 1 / 3, "group": g}
                   for p in ("background", "mask") for n in ("as it is", "retrained")
                   for m, g in (("accuracy", "all"), ("ROC AUC", "all"), ("recall", "glioma"))
                   if (p, n) != ("mask", "as it is")],
                  seed=5).rename(columns={"effect": "value"})


def _networks():
    scores = [("accuracy", ""), ("net_drop", "navier_stokes"), ("net_drop", "unseen"),
              ("net_drop", "telea"), ("delta_focus", ""), ("net_focus", "")]
    return _lines([{"network": n, "score": s, "infill": i, "group": g}
                   for n in ("plain", "hardened", "looking") for s, i in scores for g in GROUPS],
                  seed=6)


def _energy():
    keys = [{"quantity": q, "scale": s, "group": g} for g in GROUPS
            for q, s in (("rms_ratio", "ratio"), ("net_drop", "probability"),
                         ("net_drop_matched", "probability"),
                         ("net_drop_residual", "probability"), ("net_drop", "log-odds"))]
    return _lines(keys, seed=7)


def _covariates():
    keys = [{"score": s, "group": g, "covariate": c} for s in ("net_drop", "net_drop_lo")
            for g in GROUPS for c in ("area", "contrast", "depth")]
    return _lines(keys, seed=8).assign(ols=0.123, boot_low=0.1, boot_high=0.15, reason="")


ALL_FIGURES = {
    "robustness_forest": (4, plots.robustness_forest, (_forest,)),
    "infill_comparison": (4, controls.infill_comparison, (_infills, _quality, _detector)),
    "dilation_curves": (4, controls.dilation_curves, (_dilations,)),
    "probe_bars": (2, controls.probe_bars, (_probes,)),
    "three_networks": (4, plots.three_networks, (_networks,)),
    "energy": (2, plots.energy, (_energy,)),
    "covariates": (3, plots.covariates, (_covariates,)),
}


@pytest.fixture(scope="module")
def figures():
    """Each figure, drawn once."""
    before, settings = plt.get_fignums(), dict(plt.rcParams)
    drawn = {name: draw(*(make() for make in tables), tag=TAG)
             for name, (_, draw, tables) in ALL_FIGURES.items()}
    assert plt.get_fignums() == before and dict(plt.rcParams) == settings
    return drawn


def _texts(fig):
    return [text.get_text() for text in fig.findobj(plt.Text) if text.get_text()]


def _marks(ax):
    """(x, y) of every mark with one point."""
    return [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in ax.lines
            if len(line.get_xdata()) == 1]


def _ends(ax):
    """Horizontal lines as (low, high)."""
    return [tuple(line.get_xdata()) for line in ax.lines if len(line.get_xdata()) == 2
            and len(set(line.get_ydata())) == 1]


def _shown(ax, table):
    """All effects of a table are marks of the panel, and no others; so are the intervals."""
    assert sorted(x for x, _ in _marks(ax)) == pytest.approx(sorted(table["effect"]))
    ends = sorted(zip(table["low"], table["high"], strict=True))
    np.testing.assert_allclose(sorted(_ends(ax)), ends)


@pytest.mark.parametrize("name", list(ALL_FIGURES))
def test_every_figure_has_its_panels_and_carries_its_tag(figures, name):
    fig = figures[name]
    assert isinstance(fig, Figure) and len(fig.axes) == ALL_FIGURES[name][0]
    assert TAG in _texts(fig)
    assert_tag_stands_below_all_else(fig)


@pytest.mark.parametrize("name", list(ALL_FIGURES))
def test_text_stays_inside_the_figure_and_panels_titles_apart(figures, name):
    fig = figures[name]
    fig.draw_without_rendering()
    renderer = FigureCanvasAgg(fig).get_renderer()
    box = fig.get_tightbbox(renderer)
    width, height = fig.get_size_inches()
    assert box.x0 > -0.02 and box.y0 > -0.02
    assert box.x1 < width + 0.02 and box.y1 < height + 0.02
    titles = [ax._left_title.get_window_extent(renderer) for ax in fig.axes]
    for left, right in zip(titles, titles[1:], strict=False):
        assert left.x1 < right.x0
    names = [label.get_window_extent(renderer) for label in fig.axes[0].get_yticklabels()
             if label.get_text()]
    for upper, lower in zip(names, names[1:], strict=False):
        assert not upper.overlaps(lower)


@pytest.mark.parametrize("name", list(ALL_FIGURES))
def test_missing_numbers_and_empty_tables_are_drawn_without_a_crash(name):
    _, draw, tables = ALL_FIGURES[name]
    made = [make() for make in tables]
    for table in made:
        numbers = [c for c in ("effect", "value", "auc", "low", "high", "ols") if c in table]
        table.loc[::2, numbers] = np.nan
    assert isinstance(draw(*made), Figure)
    fig = draw(*(table.iloc[:0] for table in made))
    assert "no values" in _texts(fig)


def test_network_colors_are_apart_also_without_hue():
    rgb = np.array([mpl_colors.to_rgb(c) for c in plots.NETWORK_COLORS.values()])
    gaps = np.linalg.norm(rgb[:, None] - rgb[None], axis=-1)
    assert gaps[np.triu_indices(len(rgb), 1)].min() > 0.25
    names = three_networks.PLAIN, three_networks.HARDENED, three_networks.LOOKING
    assert names == tuple(plots.NETWORK_COLORS)


def test_the_figures_know_the_tables_names():
    assert tuple(plots.FAMILY_TITLES) == robustness.FAMILIES
    assert tuple(plots.COVARIATE_TITLES) == covariates.COVARIATES
    rows = audit_rows({}, n_persons=2, n_slices=1)
    quantities = set(energy.energy_table(rows, n_resamples=5)["quantity"])
    assert set(plots.ENERGY_LOOKS) <= quantities


def test_the_forest_has_a_mark_for_every_variant_but_log_odds(figures):
    table = _forest()
    for ax, group in zip(figures["robustness_forest"].axes, GROUPS, strict=True):
        own = table[(table["group"] == group) & (table["scale"] == "probability")]
        _shown(ax, own)
        assert ax.get_title(loc="left") == f"{group}\n30 / 12"
    log_odds = table[(table["scale"] == "log-odds") & (table["group"] == "glioma")].iloc[0]
    assert any(f"{log_odds['effect']:.2f}" in t.get_text()
               for t in figures["robustness_forest"].axes[2].texts)


def test_the_forest_is_colored_by_verdict_and_open_where_negligible(figures):
    table = _forest()
    for ax, group in zip(figures["robustness_forest"].axes, GROUPS, strict=True):
        looks = {float(line.get_xdata()[0]): line for line in ax.lines
                 if len(line.get_xdata()) == 1}
        for row in table[(table["group"] == group) & (table["scale"] == "probability")].to_dict(
                "records"):
            line = looks[row["effect"]]
            assert line.get_color() == style.VERDICT_COLORS[row["verdict"]]
            is_open = line.get_markerfacecolor() == "white"
            assert is_open == (row["relevance"] == "negligible")


def test_families_head_their_variants(figures):
    labels = [t.get_text() for t in figures["robustness_forest"].axes[0].get_yticklabels()]
    assert labels == ["As the study does it", "headline", "Infill", "telea", "mirror", "Scale",
                      "log-odds", "Network", "hardened", "looking (gaussian blur)"]


def test_infills_are_compared_on_common_slices_where_there_are_any(figures):
    table = _infills()
    table = table[table["score"] == "net_drop"]
    common = table[(table["slices"] == "common") | (table["infill"] == "mirror")]
    fig = figures["infill_comparison"]
    _shown(fig.axes[0], common)
    _shown(fig.axes[1], _quality().query("score == 'mae'"))
    auc = _detector().query("group == 'all'").rename(columns={"auc": "effect"})
    _shown(fig.axes[3], auc)


def test_an_infill_keeps_its_row_in_every_panel(figures):
    fig = figures["infill_comparison"]
    quality = _quality().query("score == 'ssim'")
    for x, y in _marks(fig.axes[2]):
        row = quality[np.isclose(quality["effect"], x)].iloc[0]
        assert INFILLS[round(y)] == row["infill"]


def test_without_quality_and_detector_only_the_drops_are_shown():
    assert len(controls.infill_comparison(_infills()).axes) == 1


def test_dilation_curves_run_from_small_to_large(figures):
    table = _dilations()
    for ax, group in zip(figures["dilation_curves"].axes, GROUPS, strict=True):
        curves = [line for line in ax.lines if len(line.get_xdata()) == 4]
        for line, score in zip(curves, ("delta_drop", "sham_drop", "net_drop"), strict=True):
            own = table[(table["group"] == group) & (table["score"] == score)]
            own = own.sort_values("dilation_px")
            assert line.get_xdata().tolist() == [-1, 0, 4, 9]
            assert line.get_ydata().tolist() == own["effect"].tolist()


def test_probe_bars_are_as_long_as_their_values_and_mark_chance(figures):
    table = _probes()
    for ax, metric in zip(figures["probe_bars"].axes, ("accuracy", "ROC AUC"),
                          strict=True):
        own = table[table["metric"] == metric]
        bars = [bar.get_width() for bar in ax.patches]
        assert sorted(bars) == pytest.approx(sorted(own["value"]))
        chance = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"]
        assert chance == pytest.approx([1 / 3] * len(own))
    only = [bar for bar in figures["probe_bars"].axes[0].patches if bar.get_y() > 0.5]
    assert only[0].get_y() + only[0].get_height() / 2 == pytest.approx(1)  # alone: centered


def test_three_networks_show_seen_and_unseen_infills_but_no_single_other_one(figures):
    table = _networks()
    ax = figures["three_networks"].axes[1]
    own = table[(table["score"] == "net_drop") & table["infill"].isin(("navier_stokes", "unseen"))]
    _shown(ax, own)
    n_open = sum(line.get_markerfacecolor() == "white" for line in ax.lines
                 if len(line.get_xdata()) == 1)
    assert n_open == 12
    _shown(figures["three_networks"].axes[0], table[table["score"] == "accuracy"])


def test_energy_shows_ratios_and_the_three_net_drops(figures):
    table = _energy()
    left, right = figures["energy"].axes
    _shown(left, table[table["quantity"] == "rms_ratio"])
    _shown(right, table[table["scale"] == "probability"])


def test_covariates_show_both_estimates(figures):
    table = _covariates()
    own = table[(table["score"] == "net_drop") & (table["covariate"] == "contrast")]
    found = sorted(x for x, _ in _marks(figures["covariates"].axes[1]))
    assert found == pytest.approx(sorted([*own["effect"], *own["ols"]]))


def test_other_classes_and_networks_get_colors_of_their_own():
    table = _networks().replace({"glioma": "no tumor", "hardened": "mine"})
    fig = plots.three_networks(table)
    assert "mine" in _texts(fig) and any(t.startswith("no tumor") for t in _texts(fig))
    assert marks.groups_of(table) == ["all", "meningioma", "pituitary", "no tumor"]
