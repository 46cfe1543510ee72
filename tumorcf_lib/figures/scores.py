"""Figures of scores: the answer in one chart, scores by slice, and where slices fall."""

import textwrap

import numpy as np
from matplotlib.patches import Patch

from tumorcf_lib.figures import style
from tumorcf_lib.figures.controls import of_common_slices
from tumorcf_lib.stats.rows import classes_of


@style.figure
def answer(table):
    """The answer in one chart: the share of slices still called right after each edit.

    Parameters
    ----------
    table : DataFrame
        label, edit, share, low, high, n_slices, n_persons, n_seeds; one row a class and edit.
        Edits are drawn in their order in the table; intervals where there are any. With a column
        ``networks``, a panel for each of its names.

    Returns
    -------
    Figure
        The number above a bar is its height in percent. No line for chance: of slices that show
        no tumor, a network calls most by one class, its default.
    """
    colors = style.class_colors(classes_of(table["label"]))
    kinds = table.groupby("networks", sort=False) if "networks" in table else [("", table)]
    fig, axes = style.panels(len(kinds), 3.3, sharey=True)
    for ax, (name, own) in zip(axes, kinds, strict=True):
        _bars(ax, own, colors)
        ax.set_title(f"networks {name}" if name else "")
    axes[0].set(ylabel="still called right, %", ylim=(0, 108), yticks=range(0, 101, 20))
    first = table.drop_duplicates("label").set_index("label").to_dict("index")
    names = {style.with_n(name, first[name], between=", "): name for name in colors}
    style.legend(fig, [Patch(color=colors[name], label=label) for label, name in names.items()])
    note = (
        "slices / patients of each group; a few slices have no place for the same shape elsewhere"
    )
    is_single = "n_seeds" in table and table["n_seeds"].min() < 2
    one = "; of one network a fold: over patients" if is_single else ""
    note += f"\nerror bars: 95 % intervals over patients and networks{one}"
    fig.supxlabel(note, fontsize=7.5, color=style.SOFT)
    if len(kinds) > 1:
        style.letter(axes)
    return fig


def _bars(ax, table, colors):
    """A bar a class and edit, in percent."""
    edits, width = list(dict.fromkeys(table["edit"])), 0.8 / len(colors)
    over = {"ha": "center", "textcoords": "offset points"}
    for k, (name, color) in enumerate(colors.items()):
        own = table[table["label"] == name]
        x = own["edit"].map(edits.index) + (k - (len(colors) - 1) / 2) * width
        share, low, high = (100 * own[key] for key in ("share", "low", "high"))
        ax.bar(x, share, 0.94 * width, color=color)
        ends = style.reach(share, low, high)
        ax.errorbar(x, share, ends, color=style.INK, linewidth=0.9, capsize=1.5, fmt="none")
        for at, value, top in zip(x, share, np.fmax(share, high), strict=True):
            ax.annotate(f"{value:.0f}", (at, top), (0, 3), **over)
    names = [textwrap.fill(style.EDIT_NAMES.get(edit, edit), 11) for edit in edits]
    ax.set_xticks(range(len(edits)), names)
    ax.tick_params(axis="x", length=0)
    ax.set_xlim(-0.5, len(edits) - 0.5)


RIGHT_AND_WRONG = style.dot("correct"), style.dot("misclassified", marker="x")


@style.figure
def correct_vs_wrong(scores):
    """Scores of correctly classified slices beside those of misclassified ones.

    ``scores``: one row per slice with label, person_id, correct and the three scores, one of them
    ``p_orig``: the true class's probability bounds what can drop.
    """
    colors = style.class_colors(classes_of(scores["label"]))
    fig, axes = style.panels(3, 3.1, sharey=True)
    rng = np.random.default_rng(0)  # the jitter only
    for ax, column in zip(axes, ("p_orig", "delta_drop", "delta_focus"), strict=True):
        ax.axhline(0, color=style.FAINT, linewidth=0.8, zorder=0)
        labels = []
        for x, (name, color) in enumerate(colors.items()):
            ns, means = [], []
            for is_correct, at, look in (
                (True, x - 0.23, {"s": 5, "marker": "o", "linewidths": 0}),
                (False, x + 0.23, {"s": 10, "marker": "x", "linewidths": 0.9}),
            ):
                is_own = (scores["label"] == name) & (scores["correct"] == is_correct)
                values = scores.loc[is_own, column].dropna()
                n, mean = len(values), np.round(values.mean(), 2) + 0.0
                look |= {"color": color, "alpha": 0.5, "rasterized": n > style.MANY}
                ax.scatter(at + rng.uniform(-0.13, 0.13, n), values, **look)
                ax.hlines(values.mean(), at - 0.19, at + 0.19, color=style.INK, lw=1.6, zorder=4)
                ns.append(str(n))
                means.append(f"{mean:.2f}" if n else "none")
            labels.append(f"{name}\n{' / '.join(ns)}\n{' / '.join(means)}")
        ax.set_title(style.SCORE_NAMES[column])
        ax.set_xticks(range(len(colors)), labels, fontsize=7)
        ax.tick_params(axis="x", length=0)
        ax.set_xlim(-0.55, len(colors) - 0.45)
    style.legend(fig, RIGHT_AND_WRONG)
    note = "below each class, correct / misclassified: slices, then mean (the bar)"
    fig.supxlabel(note, fontsize=7.5, color=style.SOFT)
    style.letter(axes)
    return fig


@style.figure
def drop_vs_focus(scores):
    """Delta-Drop against Delta-Focus: is the tumor necessary, is it sufficient?

    ``scores``: one row per slice with label, person_id, correct, delta_drop and delta_focus.
    """
    colors = style.class_colors(classes_of(scores["label"]))
    height = 0.5 + style.WIDTH / max(len(colors), 2) * 1.15
    fig, axes = style.panels(len(colors), height, sharex=True, sharey=True)
    for ax, (name, color) in zip(axes, colors.items(), strict=True):
        rows = scores[scores["label"] == name]
        ax.axvline(0, color=style.FAINT, linewidth=0.8, zorder=0)
        for line in (ax.axhline, ax.axvline):
            line(0.5, color=style.FAINT, linewidth=0.8, zorder=0)
        for is_correct, marker, width in ((True, "o", 0), (False, "x", 1)):
            own = rows[rows["correct"] == is_correct]
            look = {"marker": marker, "linewidths": width, "rasterized": len(own) > style.MANY}
            ax.scatter(own["delta_drop"], own["delta_focus"], s=11, color=color, alpha=0.55, **look)
        mean = rows["delta_drop"].mean(), rows["delta_focus"].mean()
        ax.plot(*mean, "+", color=style.INK, markersize=11, markeredgewidth=1.8)
        n = f"{len(rows)} slices, {rows['person_id'].nunique()} patients"
        ax.set_title(f"{name}\n{n}\nmean {round(mean[0], 2) + 0.0:.2f}, {mean[1]:.2f}", fontsize=8)
    lowest = min(-0.05, scores["delta_drop"].min()) - 0.05
    axes[0].set(ylim=(-0.02, 1.02), xlim=(lowest, 1.02))
    axes[0].set_ylabel("Delta-Focus: P of the tumor alone\n(is it sufficient?)")
    note = "Delta-Drop: fall of P without the tumor (is it necessary?)\nlines: 0 and 1/2"
    fig.supxlabel(note, fontsize=9)
    style.legend(fig, [*RIGHT_AND_WRONG, style.dot("mean", style.INK, marker="+", size=9)])
    return fig


@style.figure
def fall_to(table):
    """Which class slices are given before and after an edit, by true class.

    ``table``: edit, label (true class), to (class given), n, share (of the label's slices).
    """
    edits = [edit for edit in style.EDIT_NAMES if edit in set(table["edit"])]
    classes, goals = classes_of(table["label"]), style.class_colors(classes_of(table["to"]))
    height = 0.42 * len(classes) + 1.15
    fig, axes = style.panels(len(edits), height, sharey=True, sharex=True)
    by = table.set_index(["edit", "to", "label"])["share"].unstack(fill_value=0.0)[classes]
    inside = {"color": "white", "fontsize": 7.5, "fontweight": "bold"}
    for ax, edit in zip(axes, edits, strict=True):
        left = np.zeros(len(classes))
        for goal, share in by.loc[edit].reindex(list(goals), fill_value=0.0).iterrows():
            bars = ax.barh(range(len(share)), share, left=left, color=goals[goal], height=0.72)
            told = [f"{100 * one:.0f}" if one >= 0.16 else "" for one in share]
            ax.bar_label(bars, told, label_type="center", **inside)
            left += share
        ax.set_title(style.EDIT_NAMES[edit])
        ax.set_xticks([0, 0.5, 1], ["0", "50", "100 %"])
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
    n = table[table["edit"] == edits[0]].groupby("label")["n"].sum()
    axes[0].set_yticks(range(len(classes)), [f"{name} ({n[name]})" for name in classes])
    axes[0].invert_yaxis()
    axes[0].set(ylabel="true class (slices)", xlim=(0, 1))
    style.legend(fig, [Patch(color=c, label=f"called {goal}") for goal, c in goals.items()])
    return fig


@style.figure
def dilations(table):
    """Net-Drop and Sham-Drop against the dilation of the mask, a panel a group.

    ``table`` is ``table_dilations``; its common slices are shown.
    """
    table = of_common_slices(table, "dilation_px").sort_values("dilation_px", kind="stable")
    colors = style.groups_of(table)
    fig, axes = style.panels(len(colors), 2.9, sharey=True)
    for ax, (group, color) in zip(axes, colors.items(), strict=True):
        ax.axhline(0, color=style.SOFT, linewidth=0.8, zorder=0)
        own = table[table["group"] == group]
        sham, net = (own[own["score"] == f"{name}_drop"] for name in ("sham", "net"))
        ax.plot(sham["dilation_px"], sham["effect"], ":s", color=color, markersize=3.5, mfc="white")
        ends = style.reach(net["effect"], net["low"], net["high"])
        look = {"fmt": "-o", "color": color, "markersize": 4, "capsize": 2}
        ax.errorbar(net["dilation_px"], net["effect"], ends, **look)
        ax.set_title(style.with_n(group, own.iloc[0]), fontsize=8.5)
        ax.set_xticks(sorted(set(table["dilation_px"])))
        ax.tick_params(axis="x", labelsize=7)
    axes[0].set_ylabel("fall in probability")
    note = "dilation of the mask (px); bars: 95 % intervals over patients\n"
    note += "above each panel, slices that have shams at every dilation / patients"
    fig.supxlabel(note, fontsize=8)
    sham = style.dot("Sham-Drop", marker="s", filled=False, line=":", size=4)
    style.legend(fig, [style.dot("Net-Drop", line="-", size=4), sham])
    style.letter(axes)
    return fig
