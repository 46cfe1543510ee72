"""Figures of the study's results: where slices fall, the verdicts, the headline."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from tumorcf_lib.figures.style import (
    CLASS_COLORS,
    EDIT_NAMES,
    FAINT,
    INK,
    SOFT,
    VERDICT_COLORS,
    WIDTH,
    class_colors,
    figure,
    order_classes,
    reach,
)
from tumorcf_lib.stats.claims import ALL, FORMS, TITLES, margin_text
from tumorcf_lib.stats.verdicts import NEGLIGIBLE, RELEVANT

ROW_HEIGHT = 0.185  # inches of a row of the forest
MARKERS = {"paper": "o", "net": "D", "log-odds": "o"}
MARKED_AS = {"paper": "as stated", "net": "net of controls"}


@figure
def drop_vs_focus(scores):
    """Delta-Drop against Delta-Focus: is the tumor necessary, is it sufficient?

    Parameters
    ----------
    scores : DataFrame
        One row per slice: label, correct, delta_drop, delta_focus.

    Returns
    -------
    Figure
        Scatter with a marginal density above and to the right.
    """
    classes = order_classes(scores["label"])
    colors = class_colors(classes)
    fig = plt.figure(figsize=(4.6, 4.6))
    grid = fig.add_gridspec(2, 2, width_ratios=(4, 1), height_ratios=(1, 4))
    ax = fig.add_subplot(grid[1, 0])
    top = fig.add_subplot(grid[0, 0], sharex=ax)
    right = fig.add_subplot(grid[1, 1], sharey=ax)
    ax.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
    ax.axhline(1 / len(classes), color=SOFT, linewidth=0.8, linestyle="--", zorder=0)
    correct = scores["correct"].to_numpy(bool)
    for name in classes:
        own = (scores["label"] == name).to_numpy()
        for kind, marker, size in ((correct, "o", 12), (~correct, "x", 18)):
            rows = scores[own & kind]
            ax.scatter(rows["delta_drop"], rows["delta_focus"], s=size, marker=marker,
                       color=colors[name], alpha=0.65, linewidths=0 if marker == "o" else 1)
    for panel, axis in ((top, "x"), (right, "y")):
        column = {"x": "delta_drop", "y": "delta_focus"}[axis]
        sns.kdeplot(scores, **{axis: column}, hue="label", hue_order=classes, palette=colors,
                    common_norm=False, clip=(-1 if axis == "x" else 0, 1), fill=True,
                    alpha=0.25, legend=False, ax=panel, warn_singular=False)
        panel.axis("off")
    ax.set(xlabel="Delta-Drop  (necessary: P falls without the tumor)",
           ylabel="Delta-Focus  (sufficient: P of the tumor alone)", ylim=(-0.02, 1.02),
           xlim=(min(-0.05, scores["delta_drop"].min()) - 0.05, 1.02))
    handles = [plt.Line2D([], [], marker="o", linestyle="", color=c, label=name, markersize=5)
               for name, c in colors.items()]
    handles.append(plt.Line2D([], [], marker="x", linestyle="", color=SOFT, markersize=5,
                              label="misclassified"))
    fig.legend(handles=handles, loc="outside upper center", ncols=len(handles),
               columnspacing=1, handletextpad=0.2)
    return fig


@figure
def fall_to(table):
    """Which class slices are given before and after an edit, by true class.

    Parameters
    ----------
    table : DataFrame
        Columns edit, label (true class), to (class given), n, share (of the label's slices).

    Returns
    -------
    Figure
        One panel per edit, one bar per true class.
    """
    edits = [e for e in EDIT_NAMES if e in set(table["edit"])]
    edits += [e for e in dict.fromkeys(table["edit"]) if e not in EDIT_NAMES]
    classes = order_classes(table["label"].astype(str))
    goals = class_colors(order_classes(table["to"].astype(str)))
    fig, axes = plt.subplots(1, len(edits), figsize=(WIDTH, 0.42 * len(classes) + 1.15),
                             squeeze=False, sharey=True, sharex=True)
    for ax, edit in zip(axes[0], edits, strict=True):
        rows = table[table["edit"] == edit]
        for y, label in enumerate(classes):
            own = rows[rows["label"] == label].set_index("to")
            left = 0.0
            for goal, color in goals.items():
                share = float(own["share"].get(goal, 0.0))
                ax.barh(y, share, left=left, color=color, height=0.72)
                if share >= 0.14:
                    ax.text(left + share / 2, y, f"{100 * share:.0f}", ha="center", va="center",
                            color="white", fontsize=7.5, fontweight="bold")
                left += share
        ax.set_title(EDIT_NAMES.get(edit, edit))
        ax.set_xticks([0, 0.5, 1], ["0", "50", "100 %"])
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
    axes[0, 0].set_yticks(range(len(classes)), classes)
    axes[0, 0].invert_yaxis()
    axes[0, 0].set(ylabel="true class", xlim=(0, 1))
    handles = [plt.Rectangle((0, 0), 1, 1, color=c, label=f"called {g}") for g, c in goals.items()]
    fig.legend(handles=handles, loc="outside upper center", ncols=len(goals))
    return fig


@figure
def findings_forest(table, *, form=None):
    """The claims with their intervals, colored by verdict.

    Parameters
    ----------
    table : DataFrame
        From ``findings.findings``.
    form : {"paper", "net", "log-odds"}, optional
        All claims of this form. Without it the claims about all classes together and
        between classes, as the paper states them (dots) and net of controls (diamonds).

    Returns
    -------
    Figure
        Right of the line means as claimed: claims of a value below a margin are mirrored.
        The numbers at the right are the untouched effects. An open mark is a negligible
        effect, whatever its verdict.
    """
    if form is None:
        rows = table[table["form"].isin(("paper", "net")) & ~table["group"].isin(CLASS_COLORS)]
    else:
        rows = table[table["form"] == form]
    lines = _forest_lines(rows)
    height = ROW_HEIGHT * len(lines) + 0.9
    fig, (left, ax, right) = plt.subplots(1, 3, figsize=(WIDTH, height), sharey=True,
                                          width_ratios=(2.85, 2.4, 2.0))
    ax.axvline(0, color=INK, linewidth=0.9)
    ax.set_ylim(len(lines) - 0.4, -0.8)
    for y, (text, row) in enumerate(lines):
        if row is None:
            left.text(0, y, text, va="center", fontsize=8, fontweight="bold")
            continue
        left.text(0.03, y, text, va="center", fontsize=7.5)
        _forest_row(ax, right, y, row)
    right.text(0.02, -0.75, "as measured [95 %]", va="bottom", fontsize=7, color=SOFT)
    right.text(1.0, -0.75, "persons", va="bottom", ha="right", fontsize=7, color=SOFT)
    for panel in (left, right):
        panel.set(xlim=(0, 1))
        panel.axis("off")
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", left=False, labelleft=False)
    ax.grid(axis="x", color=FAINT, linewidth=0.5)
    ax.set_axisbelow(True)
    unit = "log-odds" if form == "log-odds" else "probability or share"
    ax.set_xlabel(f"distance from the margin ({unit});\nright of the line: as claimed")
    handles = [plt.Line2D([], [], linestyle="-", linewidth=2, color=c, label=v)
               for v, c in VERDICT_COLORS.items()]
    handles += [plt.Line2D([], [], marker=MARKERS[f], linestyle="", color=INK, markersize=4.5,
                           label=MARKED_AS[f]) for f in MARKED_AS if form is None]
    if "relevance" in rows and (rows["relevance"] == NEGLIGIBLE).any():
        handles.append(plt.Line2D([], [], marker="o", linestyle="", color=INK, markersize=4.5,
                                  markerfacecolor="white", label=f"within ±{RELEVANT}"))
    fig.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return fig


def _forest_lines(rows):
    """Text and row of each line, findings with a heading line in front."""
    lines = []
    for finding, own in rows.groupby("finding", sort=True):
        lines.append((f"{finding}  {TITLES[finding]}", None))
        own = own.sort_values("form", key=lambda forms: forms.map(FORMS.index), kind="stable")
        for _, alike in own.groupby(["form", "quantity", "margin"], sort=False):
            for row in alike.itertuples():
                margin = f" vs {margin_text(row.margin)}" if row.margin else ""
                lines.append((f"{row.quantity}{margin}, {row.group}", row))
    return lines


def _forest_row(ax, right, y, row):
    color = VERDICT_COLORS[row.verdict]
    if not np.isfinite(row.effect):
        right.text(0.02, y, "no estimate", va="center", fontsize=7, color=SOFT)
        return
    sign = 1 if row.side == "above" else -1
    ends = sorted((sign * (row.low - row.margin), sign * (row.high - row.margin)))
    ax.plot(ends, [y, y], color=color, linewidth=1.6, solid_capstyle="round")
    small = getattr(row, "relevance", "") == NEGLIGIBLE
    ax.plot(sign * (row.effect - row.margin), y, MARKERS[row.form], color=color,
            markersize=4.2, markerfacecolor="white" if small else color)
    # + 0.0 turns a rounded -0.0 into 0.0
    effect, low, high = (round(value, 3) + 0.0 for value in (row.effect, row.low, row.high))
    text = f"{effect:.3f} [{low:.3f}, {high:.3f}]" if np.isfinite(low) else f"{effect:.3f}"
    right.text(0.02, y, text, va="center", fontsize=7)
    right.text(1.0, y, f"{row.n_persons}", va="center", ha="right", fontsize=7, color=SOFT)


@figure
def headline(means):
    """Delta-Drop beside Sham-Drop for each class: does removing the *tumor* matter?

    Parameters
    ----------
    means : DataFrame
        From ``findings.score_means`` of delta_drop, sham_drop and net_drop: score, group,
        effect, low, high.

    Returns
    -------
    Figure
        Filled: tumor removed. Open: the same shape removed elsewhere. The number is
        the difference, Net-Drop; "no sham" where no slice of a class has a legal place.
    """
    groups = [*order_classes(g for g in means["group"] if g != ALL), ALL]
    colors = {**class_colors(groups[:-1]), ALL: INK}
    fig, ax = plt.subplots(figsize=(WIDTH, 0.52 * len(groups) + 1.15))
    ax.axvline(0, color=SOFT, linewidth=0.8)
    known = means[np.isfinite(means["effect"].to_numpy(float))]
    for y, group in enumerate(groups):
        own = known[known["group"] == group].set_index("score").to_dict("index")
        delta, sham, net = (own.get(f"{name}_drop") for name in ("delta", "sham", "net"))
        if delta and sham:
            ax.plot([sham["effect"], delta["effect"]], [y, y], color=colors[group],
                    alpha=0.25, linewidth=7, solid_capstyle="butt", zorder=1)
        for row, filled in ((delta, True), (sham, False)):
            if row:
                _dot(ax, row, y, colors[group], filled=filled)
        text = "no sham"
        if net:
            text = f"{net['effect']:+.3f}"
            text += f" [{net['low']:.3f}, {net['high']:.3f}]" if np.isfinite(net["low"]) else ""
        ax.text(1.02, y, text, transform=ax.get_yaxis_transform(), va="center", fontsize=8.5,
                color=colors[group], fontweight="bold")
    ax.text(1.02, 1.02, "Net-Drop [95 %]", transform=ax.transAxes, fontsize=8, color=SOFT,
            va="bottom")
    ax.set_yticks(range(len(groups)), [g if g != ALL else "all slices" for g in groups])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_ylim(len(groups) - 0.5, -0.5)
    ax.set_xlabel("fall in the probability of the true class")
    marks = ((SOFT, "tumor removed (Delta-Drop)"), ("white", "sham removed (Sham-Drop)"))
    handles = [plt.Line2D([], [], marker="o", linestyle="", markersize=7, markerfacecolor=face,
                          markeredgecolor=SOFT, label=label) for face, label in marks]
    fig.legend(handles=handles, loc="outside upper left", ncols=2)
    return fig


def _dot(ax, row, y, color, *, filled):
    ax.errorbar(row["effect"], y, xerr=reach(row["effect"], row["low"], row["high"]), fmt="o",
                color=color, markersize=7.5, capsize=3, markeredgewidth=1.5, zorder=3,
                markerfacecolor=color if filled else "white")
