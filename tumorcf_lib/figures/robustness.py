"""Figures of how robust Net-Drop is: every variant, other networks, energy, covariates."""

import matplotlib.pyplot as plt
import numpy as np

from tumorcf_lib.figures.marks import (
    BAND,
    group_colors,
    groups_of,
    interval,
    nothing,
    row_names,
    rows_only,
    with_n,
)
from tumorcf_lib.figures.style import FAINT, INK, SOFT, VERDICT_COLORS, WIDTH, figure, letter
from tumorcf_lib.stats.verdicts import NEGLIGIBLE, RELEVANT
from tumorcf_lib.tables.three_networks import PLAIN, UNSEEN

ROW_HEIGHT = 0.165  # inches of a row of the forest
FAMILY_TITLES = {
    "headline": "As the study does it", "slices": "Slices", "shams": "Shams",
    "energy": "Energy of the edit", "infill": "Infill", "dilation": "Dilation", "scale": "Scale",
    "model": "Model", "network": "Network",
}  # fmt: skip
"""Families of variants in the forest's order."""

ENERGY_LOOKS = {
    "net_drop": ("all shams", "o", True), "net_drop_matched": ("energy-matched shams", "D", True),
    "net_drop_residual": ("residual on log RMS", "s", False),
}  # fmt: skip
COVARIATE_TITLES = {
    "area": "larger (log area)", "contrast": "brighter than its ring", "depth": "deeper",
}  # fmt: skip
NETWORK_COLORS = {"plain": INK, "hardened": "#56B4E9", "looking": "#CC79A7"}
OTHER_NETWORKS = ("#009E73", "#D55E00", "#999999")


@figure
def robustness_forest(table):
    """Net-Drop under every control, a panel for all slices and one for each class.

    Parameters
    ----------
    table : DataFrame
        From ``robustness.robustness_table``.

    Returns
    -------
    Figure
        Colored by verdict; open: negligible, the interval lies within the gray band of
        +-0.05. Log-odds have no place on this axis and are written out.
    """
    if table.empty:
        return nothing()
    groups = groups_of(table)
    lines = _forest_lines(table)
    fig, axes = plt.subplots(1, len(groups), figsize=(WIDTH, ROW_HEIGHT * len(lines) + 1.25),
                             squeeze=False, sharey=True, sharex=True)
    for ax, group in zip(axes[0], groups, strict=True):
        own = table[table["group"] == group].set_index("variant")
        ax.axvspan(-RELEVANT, RELEVANT, color=BAND, linewidth=0, zorder=0)
        ax.axvline(0, color=INK, linewidth=0.8, zorder=1)
        for y, (variant, is_heading) in enumerate(lines):
            if not is_heading and variant in own.index:
                _forest_row(ax, y, own.loc[variant])
        ax.set_title(with_n(group, own.iloc[0]), fontsize=8.5)
        ax.grid(axis="x", color=FAINT, linewidth=0.5)
        ax.set_axisbelow(True)
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
    axes[0, 0].set_ylim(len(lines) - 0.4, -0.6)
    axes[0, 0].set_yticks(range(len(lines)), [text for text, _ in lines], fontsize=7)
    for (_, is_heading), label in zip(lines, axes[0, 0].get_yticklabels(), strict=True):
        label.set_fontweight("bold" if is_heading else "normal")
    fig.supxlabel("Net-Drop (probability), 95 % interval over persons; slices and persons of the "
                  "headline", fontsize=8)
    handles = [plt.Line2D([], [], marker="o", markersize=4, color=c, label=v)
               for v, c in VERDICT_COLORS.items()]
    handles.append(plt.Line2D([], [], marker="o", linestyle="", color=SOFT, markersize=4,
                              markerfacecolor="white", label=f"within ±{RELEVANT}: negligible"))
    fig.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return fig


def _forest_lines(table):
    """(text, is a heading) of each line; families in their order."""
    lines = []
    present = list(dict.fromkeys(table["family"]))
    families = [f for f in FAMILY_TITLES if f in present]
    families += [f for f in present if f not in FAMILY_TITLES]
    for family in families:
        own = table[table["family"] == family]
        lines.append((FAMILY_TITLES.get(family, family), True))
        lines += [(variant, False) for variant in dict.fromkeys(own["variant"])]
    return lines


def _forest_row(ax, y, row):
    color = VERDICT_COLORS[row["verdict"]]
    if not np.isfinite(row["effect"]):
        ax.text(0, y, " no estimate", va="center", fontsize=6, color=SOFT)
    elif row["scale"] != "probability":
        text = f" {row['effect']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
        ax.text(0, y, text, va="center", fontsize=6, color=color, fontweight="bold")
    else:
        interval(ax, y, row, color=color, filled=row["relevance"] != NEGLIGIBLE, size=3.6)


@figure
def three_networks(table):
    """The study's network beside the hardened and the looking one: accuracy, drops, focus.

    Parameters
    ----------
    table : DataFrame
        From ``networks.networks_table``.
    """
    if table.empty:
        return nothing()
    networks = list(dict.fromkeys(table["network"]))
    colors = _network_colors(networks)
    groups = groups_of(table)
    panels = (("accuracy", "Accuracy (slices)", None), ("net_drop", "Net-Drop", 0.0),
              ("delta_focus", "Delta-Focus", 1 / max(len(groups) - 1, 1)),
              ("net_focus", "Net-Focus", 0.0))
    fig, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 0.62 * len(groups) + 1.3),
                             sharey=True)
    step = 0.72 / len(networks)
    for ax, (score, title, line) in zip(axes, panels, strict=True):
        if line is not None:
            ax.axvline(line, color=SOFT, linewidth=0.8, linestyle="--" if line else "-", zorder=0)
        for row in table[table["score"] == score].to_dict("records"):
            if row["infill"] not in ("", "navier_stokes", UNSEEN):
                continue
            unseen = row["infill"] == UNSEEN
            k = networks.index(row["network"]) - (len(networks) - 1) / 2
            y = groups.index(row["group"]) + k * step + unseen * 0.36 * step
            interval(ax, y, row, color=colors[row["network"]], filled=not unseen,
                      marker="D" if unseen else "o", size=4)
        ax.set_title(title)
        rows_only(ax)
    plain = table[(table["network"] == PLAIN) & (table["score"] == "accuracy")]
    n = plain.set_index("group").to_dict("index")
    row_names(axes[0], [with_n(g, n[g]) if g in n else g for g in groups])
    handles = [plt.Line2D([], [], marker="o", color=colors[k], label=k, markersize=5)
               for k in networks]
    if (table["infill"] == UNSEEN).any():
        handles.append(plt.Line2D([], [], marker="D", linestyle="", color=SOFT, markersize=4,
                                  markerfacecolor="white", label="under unseen infills"))
    fig.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    fig.supxlabel("95 % intervals over persons; slices / persons below each group; "
                  "dashed: chance", fontsize=8)
    letter(axes)
    return fig


@figure
def energy(table):
    """How much more a removal changes than a sham, and Net-Drop adjusted for it.

    Parameters
    ----------
    table : DataFrame
        From ``energy.energy_table``.
    """
    if table.empty:
        return nothing()
    groups = groups_of(table)
    colors = group_colors(groups)
    fig, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 0.55 * len(groups) + 1.4),
                                      sharey=True, width_ratios=(1, 1.6))
    left.axvline(1, color=SOFT, linewidth=0.8, zorder=0)
    for row in table[table["quantity"] == "rms_ratio"].to_dict("records"):
        interval(left, groups.index(row["group"]), row, color=colors[row["group"]], size=6)
    left.set_title("RMS, removal to sham")
    right.axvspan(-RELEVANT, RELEVANT, color=BAND, linewidth=0, zorder=0)
    right.axvline(0, color=SOFT, linewidth=0.8, zorder=1)
    own = table[table["scale"] == "probability"]
    n = own[own["quantity"] == "net_drop"].set_index("group").to_dict("index")
    all_slices = {group: entry["n_slices"] for group, entry in n.items()}
    for offset, (quantity, (_, marker, filled)) in zip((-0.22, 0, 0.22), ENERGY_LOOKS.items(),
                                                       strict=True):
        for row in own[own["quantity"] == quantity].to_dict("records"):
            interval(right, groups.index(row["group"]) + offset, row, filled=filled,
                      color=colors[row["group"]], marker=marker, size=5)
            if row["n_slices"] < all_slices.get(row["group"], 0) and np.isfinite(row["effect"]):
                y = groups.index(row["group"]) + offset
                n_here = f"{row['n_slices']} / {row['n_persons']}"
                right.annotate(n_here, (row["effect"], y), (7, 3), textcoords="offset points",
                               fontsize=6.5, color=SOFT)
    right.set_title(f"Net-Drop (band: ±{RELEVANT})")
    for ax in (left, right):
        rows_only(ax)
    row_names(left, [with_n(g, n[g]) if g in n else g for g in groups])
    handles = [plt.Line2D([], [], marker=marker, linestyle="", color=SOFT, label=name,
                          markersize=5, markerfacecolor=SOFT if filled else "white")
               for name, marker, filled in ENERGY_LOOKS.values()]
    fig.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    fig.supxlabel("95 % intervals over persons; slices / persons below each group, "
                  "and at points with fewer", fontsize=8)
    letter((left, right))
    return fig


@figure
def covariates(table, *, score="net_drop"):
    """Change of Net-Drop per standard deviation of a tumor's area, contrast and depth.

    Parameters
    ----------
    table : DataFrame
        From ``covariates.covariate_table``.
    score : {"net_drop", "net_drop_lo"}
    """
    table = table[table["score"] == score]
    if table.empty:
        return nothing()
    groups = groups_of(table)
    colors = group_colors(groups)
    names = list(dict.fromkeys(table["covariate"]))
    fig, axes = plt.subplots(1, len(names), squeeze=False, sharey=True, sharex=True,
                             figsize=(WIDTH, 0.5 * len(groups) + 1.4))
    for ax, name in zip(axes[0], names, strict=True):
        ax.axvline(0, color=SOFT, linewidth=0.8, zorder=0)
        for row in table[table["covariate"] == name].to_dict("records"):
            y = groups.index(row["group"])
            least = {"effect": row["ols"], "low": row["boot_low"], "high": row["boot_high"]}
            interval(ax, y - 0.14, row, color=colors[row["group"]], size=5)
            interval(ax, y + 0.14, least, color=colors[row["group"]], filled=False, marker="s",
                      size=4.5)
        ax.set_title(COVARIATE_TITLES.get(name, name))
        rows_only(ax)
    n = table.drop_duplicates("group").set_index("group").to_dict("index")
    row_names(axes[0, 0], [with_n(g, n[g]) for g in groups])
    unit = "log-odds" if score.endswith("_lo") else "probability"
    fig.supxlabel(f"change of Net-Drop ({unit}) per standard deviation; association, not cause",
                  fontsize=8)
    handles = [plt.Line2D([], [], marker=marker, linestyle="", color=SOFT, label=label,
                          markersize=5, markerfacecolor=face)
               for marker, face, label in (("o", SOFT, "mixed model, 95 % Wald"),
                                           ("s", "white", "least squares, persons resampled"))]
    fig.legend(handles=handles, loc="outside upper center", ncols=2)
    letter(axes[0])
    return fig


def _network_colors(networks):
    others = iter(OTHER_NETWORKS)
    return {name: NETWORK_COLORS.get(name) or next(others) for name in networks}
