"""Figures of the controls: infills, dilations, and what else gives the class away."""

import matplotlib.pyplot as plt
import numpy as np

from tumorcf_lib.figures.marks import (
    INFILL_NAMES,
    group_colors,
    groups_of,
    handles_of,
    interval,
    nothing,
    row_names,
    rows_only,
    with_n,
)
from tumorcf_lib.figures.style import INK, SOFT, WIDTH, figure, letter, order_classes
from tumorcf_lib.stats.claims import ALL

SCORE_LOOKS = {
    "delta_drop": ("Delta-Drop", "o", "--"), "sham_drop": ("Sham-Drop", "s", ":"),
    "net_drop": ("Net-Drop", "D", "-"),
}  # fmt: skip
QUALITY_TITLES = {"mae": "Error (MAE)", "ssim": "SSIM"}
PROBE_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", SOFT)


@figure
def infill_comparison(scores, quality=None, detector=None):
    """Each infill's Net-Drop, its error where the truth is known, and whether it can be seen.

    Parameters
    ----------
    scores : DataFrame
        infill, score, group, effect, low, high; only net_drop is shown. With a column
        ``slices`` ("own", "common"), the common slices if an infill has them.
    quality : DataFrame, optional
        infill, score, group, effect, low, high, on sham places; error and SSIM are shown,
        of the common places as above.
    detector : DataFrame, optional
        infill, view, group, auc, low, high: telling edited from untouched slices.
    """
    scores = _of_common_slices(scores[scores["score"] == "net_drop"], "infill")
    infills = list(dict.fromkeys(scores["infill"]))
    if not infills:
        return nothing()
    panels = [("Net-Drop", 0.0, _by_class(scores, infills))]
    for score, title in QUALITY_TITLES.items() if quality is not None else ():
        own = _of_common_slices(quality[quality["score"] == score], "infill")
        panels.append((title, None, _by_class(own, infills)))
    if detector is not None:
        detector = detector[detector["group"] == ALL]
        panels.append(("AUC: is it edited?", 0.5, _by_view(detector, infills)))
    fig, axes = plt.subplots(1, len(panels), squeeze=False, sharey=True,
                             figsize=(WIDTH, 0.5 * len(infills) + 1.3))
    for ax, (title, line, marks) in zip(axes[0], panels, strict=True):
        if line is not None:
            ax.axvline(line, color=SOFT, linewidth=0.8, linestyle="--" if line else "-", zorder=0)
        for y, row, looks in marks:
            interval(ax, y, row, **looks)
        ax.set_title(title)
        rows_only(ax)
    row_names(axes[0, 0], [_infill_label(scores, infill) for infill in infills])
    handles = handles_of(_class_looks(scores["group"]))
    if detector is not None:
        handles += handles_of(_view_looks(detector))
    fig.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 6))
    letter(axes[0])
    return fig


def _by_class(table, infills):
    looks = _class_looks(table["group"])
    offsets = np.linspace(-0.27, 0.27, len(looks)) if len(looks) > 1 else [0]
    for offset, (group, look) in zip(offsets, looks.items(), strict=True):
        for row in table[table["group"] == group].to_dict("records"):
            if row["infill"] in infills:
                yield infills.index(row["infill"]) + offset, row, look


def _by_view(table, infills):
    looks = _view_looks(table)
    offsets = np.linspace(-0.15, 0.15, len(looks)) if len(looks) > 1 else [0]
    table = table.rename(columns={"auc": "effect"})
    for offset, (view, look) in zip(offsets, looks.items(), strict=True):
        for row in table[table["view"] == view].to_dict("records"):
            if row["infill"] in infills:
                yield infills.index(row["infill"]) + offset, row, look


def _view_looks(table):
    views = dict.fromkeys(table["view"])
    return {view: {"color": SOFT, "marker": mark, "filled": k == 0}
            for k, (view, mark) in enumerate(zip(views, "s^vP", strict=False))}


def _infill_label(scores, infill):
    own = scores[(scores["infill"] == infill) & (scores["group"] == ALL)]
    n = f"\n{int(own['n_slices'].iloc[0])} slices" if "n_slices" in own and len(own) else ""
    return INFILL_NAMES.get(infill, infill.replace("_", " ")) + n


@figure
def dilation_curves(table):
    """Delta-, Sham- and Net-Drop against the dilation of the mask, a panel a group.

    Parameters
    ----------
    table : DataFrame
        dilation_px, score, group, effect, low, high; with a column ``slices``, the common
        slices are shown.
    """
    table = _of_common_slices(table, "dilation_px").sort_values("dilation_px", kind="stable")
    if table.empty:
        return nothing()
    groups = groups_of(table)
    colors = group_colors(groups)
    fig, axes = plt.subplots(1, len(groups), figsize=(WIDTH, 2.7), squeeze=False, sharey=True)
    for ax, group in zip(axes[0], groups, strict=True):
        ax.axhline(0, color=INK, linewidth=0.8, zorder=0)
        for score, (_, marker, style) in SCORE_LOOKS.items():
            own = table[(table["group"] == group) & (table["score"] == score)]
            own = own[np.isfinite(own["effect"].to_numpy(float))]
            ax.plot(own["dilation_px"], own["effect"], style, marker=marker, color=colors[group],
                    markersize=4, markerfacecolor=colors[group] if style == "-" else "white")
            if style == "-":
                ax.fill_between(own["dilation_px"].to_numpy(float), own["low"].to_numpy(float),
                                own["high"].to_numpy(float), color=colors[group], alpha=0.18,
                                linewidth=0)
        first = table[(table["group"] == group)].head(1)
        ax.set_title(with_n(group, first.iloc[0]), fontsize=8.5)
        ax.set_xticks(sorted(set(table["dilation_px"])))
        ax.tick_params(axis="x", labelsize=7)
    axes[0, 0].set_ylabel("fall in probability")
    fig.supxlabel("dilation of the removed region (px); band: 95 % interval of Net-Drop",
                  fontsize=8)
    handles = [plt.Line2D([], [], linestyle=style, marker=marker, color=SOFT, label=name,
                          markersize=4, markerfacecolor=SOFT if style == "-" else "white")
               for name, marker, style in SCORE_LOOKS.values()]
    fig.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    letter(axes[0])
    return fig


@figure
def probe_bars(table):
    """How well the class is told by networks and statistics that see less than the slice.

    Parameters
    ----------
    table : DataFrame
        From ``probe_tables.probe_table``: probe, network, group, metric, value, low, high,
        chance; group "all" is shown.

    Returns
    -------
    Figure
        One panel a metric, one bar a probe and network; dashed: chance.
    """
    table = table[table["group"] == ALL]
    if table.empty:
        return nothing()
    networks = list(dict.fromkeys(table["network"]))
    probes = list(dict.fromkeys(table["probe"]))
    colors = dict(zip(networks, PROBE_COLORS, strict=False))
    panels = [(name, table[table["metric"] == name]) for name in dict.fromkeys(table["metric"])]
    fig, axes = plt.subplots(1, len(panels), squeeze=False, sharey=True,
                             figsize=(WIDTH, 0.36 * len(probes) + 1.3))
    height = 0.8 / len(networks)
    for ax, (metric, own) in zip(axes[0], panels, strict=True):
        for row in own.to_dict("records"):
            beside = [n for n in networks if n in set(own.loc[own["probe"] == row["probe"],
                                                              "network"])]
            k = beside.index(row["network"]) - (len(beside) - 1) / 2
            y = probes.index(row["probe"]) + k * height
            _bar(ax, y, row, height, colors.get(row["network"], SOFT))
        ax.set_title(metric)
        ax.set_xlim(0, 1.02)
        rows_only(ax)
    row_names(axes[0, 0], [str(probe).replace("_", " ") for probe in probes])
    handles = [plt.Rectangle((0, 0), 1, 1, color=colors.get(n, SOFT), label=n) for n in networks]
    handles.append(plt.Line2D([], [], color=INK, linestyle=":", label="chance"))
    fig.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    letter(axes[0])
    return fig


def _bar(ax, y, row, height, color):
    if np.isfinite(row["value"]):
        ax.barh(y, row["value"], height=0.9 * height, color=color, alpha=0.85)
    if np.isfinite(row["low"]):
        ax.plot([row["low"], row["high"]], [y, y], color=INK, linewidth=1.1)
    if np.isfinite(row["chance"]):
        ax.plot([row["chance"]] * 2, [y - height / 2, y + height / 2], ":", color=INK,
                linewidth=1.4)


def _class_looks(groups):
    colors = group_colors([ALL, *order_classes(g for g in groups if g != ALL)])
    return {g: {"color": c} for g, c in colors.items() if g in set(groups)}


def _of_common_slices(table, level):
    """One line per level, score and group: of the common slices, else of the level's own."""
    if "slices" not in table:
        return table
    known = table[np.isfinite(table["effect"].to_numpy(float))]
    kinds = {"common": 0, "own": 1}
    known = known[known["slices"].isin(kinds)]
    order = known["slices"].map(kinds)
    known = known.assign(order=order).sort_values("order", kind="stable")
    chosen = known.drop_duplicates([level, "score", "group"]).drop(columns="order")
    return chosen.sort_index()
