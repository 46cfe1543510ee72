"""Figures of scores: the answer in one chart, scores by slice, and where slices fall."""

import matplotlib.pyplot as plt
import numpy as np

from tumorcf_lib.figures import style
from tumorcf_lib.figures.controls import of_common_slices
from tumorcf_lib.stats.rows import classes_of


@style.figure
def answer(table, *, chance=None):
    """The answer in one chart: the share of slices still called right after each edit.

    Parameters
    ----------
    table : DataFrame
        label, edit, share, low, high, n_slices, n_persons; one row a class and edit. Edits are
        drawn in their order in the table; intervals where there are any. With a column
        ``networks``, a panel for each of its names.
    chance : float, optional
        Share that is right by chance; default: one of the labels.

    Returns
    -------
    Figure
        The number above a bar is its height in percent; dashed: chance.
    """
    classes = classes_of(table["label"].astype(str))
    kinds = (
        dict(list(table.groupby("networks", sort=False))) if "networks" in table else {"": table}
    )
    size = (style.WIDTH, 3.0)
    fig, axes = plt.subplots(1, len(kinds), figsize=size, squeeze=False, sharey=True)
    chance = 100 * (chance or 1 / len(classes))
    for ax, (name, own) in zip(axes[0], kinds.items(), strict=True):
        ax.axhline(chance, color=style.SOFT, linewidth=0.8, linestyle="--", zorder=0)
        _bars(ax, own, style.class_colors(classes))
        ax.set_title(name if len(kinds) > 1 else "")
    at = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points", "va": "center"}
    ax.annotate("chance", (1, chance), (3, 0), fontsize=7.5, color=style.SOFT, **at)
    axes[0, 0].set(ylabel="still called right, %", ylim=(0, 108))
    axes[0, 0].set_yticks(range(0, 101, 20))
    first = table.drop_duplicates("label").set_index("label").to_dict("index")
    handles = [
        plt.Rectangle(
            (0, 0), 1, 1, color=color, label=style.with_n(name, first[name], between=", ")
        )
        for name, color in style.class_colors(classes).items()
    ]
    style.legend(fig, handles)
    note = "slices / patients of each class; bars: 95 % intervals"
    fig.supxlabel(note, fontsize=7.5, color=style.SOFT)
    if len(kinds) > 1:
        style.letter(axes[0])
    return fig


def _bars(ax, table, colors):
    """A bar a class and edit, in percent."""
    edits, width = list(dict.fromkeys(table["edit"])), 0.8 / len(colors)
    places = {name: k - (len(colors) - 1) / 2 for k, name in enumerate(colors)}
    for row in table.sort_values("label", key=lambda of: of.map(places), kind="stable").to_dict(
        "records"
    ):
        x = edits.index(row["edit"]) + places[row["label"]] * width
        share, low, high = (100 * row[key] for key in ("share", "low", "high"))
        ax.bar(x, share, 0.94 * width, color=colors[row["label"]])
        known = np.isfinite([low, high]).all()
        if known:
            ends = style.reach(share, low, high)
            ax.errorbar(x, share, ends, color=style.INK, linewidth=0.9, capsize=1.5, fmt="none")
        at = max(share, high) if known else share
        white = {"facecolor": "white", "edgecolor": "none", "pad": 0.4}
        over = {"ha": "center", "textcoords": "offset points", "bbox": white, "zorder": 1}
        ax.annotate(f"{share:.0f}", (x, at), (0, 3), **over)
    names = [style.EDIT_NAMES.get(edit, edit) for edit in edits]
    ax.set_xticks(range(len(edits)), [name.replace(" ", "\n", 1) for name in names])
    ax.tick_params(axis="x", length=0)
    ax.set_xlim(-0.5, len(edits) - 0.5)


def _cloud(ax, x, values, color, rng, *, marker="o", half=0.2):
    """Values as jittered points around x."""
    jitter = rng.uniform(-half, half, len(values))
    many = {"rasterized": len(values) > style.MANY, "linewidths": 0 if marker == "o" else 0.9}
    size = 5 if marker == "o" else 10
    ax.scatter(x + jitter, values, s=size, marker=marker, color=color, alpha=0.5, **many)


def _right_and_wrong():
    return [style.dot(style.SOFT, "correct"), style.dot(style.SOFT, "misclassified", marker="x")]


@style.figure
def correct_vs_wrong(scores):
    """Scores of correctly classified slices beside those of misclassified ones.

    ``scores``: one row per slice with label, person_id, correct and the three scores, one of them
    ``p_orig``: the true class's probability bounds what can drop.
    """
    classes = classes_of(scores["label"])
    fig, axes = plt.subplots(1, 3, figsize=(style.WIDTH, 3.1), squeeze=False, sharey=True)
    rng = np.random.default_rng(0)  # the jitter only
    correct = scores["correct"].to_numpy(bool)
    for ax, column in zip(axes[0], ("p_orig", "delta_drop", "delta_focus"), strict=True):
        ax.axhline(0, color=style.FAINT, linewidth=0.8, zorder=0)
        labels = []
        for x, (name, color) in enumerate(style.class_colors(classes).items()):
            parts = []
            for side, marker, kind in ((-0.23, "o", correct), (0.23, "x", ~correct)):
                own = scores.loc[(scores["label"] == name).to_numpy() & kind, column].dropna()
                values = own.to_numpy(float)
                _cloud(ax, x + side, values, color, rng, marker=marker, half=0.13)
                if len(values):
                    ends = x + side - 0.19, x + side + 0.19
                    ax.hlines(values.mean(), *ends, color=style.INK, linewidth=1.6, zorder=4)
                mean = f"{round(values.mean(), 2) + 0.0:.2f}" if len(values) else "none"
                parts.append((f"{len(values)}", mean))
            n, mean = (" / ".join(pair) for pair in zip(*parts, strict=True))
            labels.append(f"{name}\n{n}\n{mean}")
        ax.set_title(style.SCORE_NAMES[column])
        ax.set_xticks(range(len(classes)), labels, fontsize=7)
        ax.tick_params(axis="x", length=0)
        ax.set_xlim(-0.55, len(classes) - 0.45)
    style.legend(fig, _right_and_wrong())
    note = "below each class, correct / misclassified: slices, then mean (the bar)"
    fig.supxlabel(note, fontsize=7.5, color=style.SOFT)
    style.letter(axes[0])
    return fig


@style.figure
def drop_vs_focus(scores):
    """Delta-Drop against Delta-Focus: is the tumor necessary, is it sufficient?

    ``scores``: one row per slice with label, person_id, correct, delta_drop and delta_focus.
    """
    classes = classes_of(scores["label"])
    size = (style.WIDTH, 0.5 + style.WIDTH / max(len(classes), 2) * 1.15)
    fig, axes = plt.subplots(1, len(classes), figsize=size, squeeze=False, sharex=True, sharey=True)
    for ax, (name, color) in zip(axes[0], style.class_colors(classes).items(), strict=True):
        rows = scores[scores["label"] == name]
        ax.axvline(0, color=style.FAINT, linewidth=0.8, zorder=0)
        ax.axhline(1 / len(classes), color=style.SOFT, linewidth=0.8, linestyle="--", zorder=0)
        for is_correct, marker, width in ((True, "o", 0), (False, "x", 1)):
            own = rows[rows["correct"].to_numpy(bool) == is_correct]
            points = own["delta_drop"], own["delta_focus"]
            look = {"marker": marker, "linewidths": width, "rasterized": len(own) > style.MANY}
            ax.scatter(*points, s=11, color=color, alpha=0.55, **look)
        mean = rows["delta_drop"].mean(), rows["delta_focus"].mean()
        ax.plot(*mean, "+", color=style.INK, markersize=11, markeredgewidth=1.8)
        n = f"{len(rows)} slices, {rows['person_id'].nunique()} patients"
        ax.set_title(f"{name}\n{n}\nmean {round(mean[0], 2) + 0.0:.2f}, {mean[1]:.2f}", fontsize=8)
    lowest = min(-0.05, scores["delta_drop"].min()) - 0.05
    axes[0, 0].set(ylim=(-0.02, 1.02), xlim=(lowest, 1.02))
    axes[0, 0].set_ylabel("Delta-Focus: P of the tumor alone\n(is it sufficient?)")
    note = "Delta-Drop: fall of P without the tumor (is it necessary?); dashed: chance"
    fig.supxlabel(note, fontsize=9)
    style.legend(fig, [*_right_and_wrong(), style.dot(style.INK, "mean", marker="+", size=9)])
    return fig


@style.figure
def fall_to(table):
    """Which class slices are given before and after an edit, by true class.

    ``table``: edit, label (true class), to (class given), n, share (of the label's slices).
    """
    edits = [e for e in style.EDIT_NAMES if e in set(table["edit"])]
    classes = classes_of(table["label"].astype(str))
    goals = style.class_colors(classes_of(table["to"].astype(str)))
    size = (style.WIDTH, 0.42 * len(classes) + 1.15)
    fig, axes = plt.subplots(1, len(edits), figsize=size, squeeze=False, sharey=True, sharex=True)
    for ax, edit in zip(axes[0], edits, strict=True):
        rows = table[table["edit"] == edit]
        for y, label in enumerate(classes):
            own = rows[rows["label"] == label].set_index("to")
            left = 0.0
            for goal, color in goals.items():
                share = float(own["share"].get(goal, 0.0))
                ax.barh(y, share, left=left, color=color, height=0.72)
                if share >= 0.16:
                    inside = {"ha": "center", "va": "center", "color": "white", "fontsize": 7.5}
                    text = f"{100 * share:.0f}"
                    ax.text(left + share / 2, y, text, fontweight="bold", **inside)
                left += share
        ax.set_title(style.EDIT_NAMES[edit])
        ax.set_xticks([0, 0.5, 1], ["0", "50", "100 %"])
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
    first = table[table["edit"] == edits[0]]
    n = [f"{label} ({first.loc[first['label'] == label, 'n'].sum()})" for label in classes]
    axes[0, 0].set_yticks(range(len(classes)), n)
    axes[0, 0].invert_yaxis()
    axes[0, 0].set(ylabel="true class (slices)", xlim=(0, 1))
    called = [plt.Rectangle((0, 0), 1, 1, color=c, label=f"called {g}") for g, c in goals.items()]
    style.legend(fig, called)
    return fig


@style.figure
def dilations(table):
    """Net-Drop and Sham-Drop against the dilation of the mask, a panel a group.

    ``table`` is ``table_dilations``; its common slices are shown.
    """
    table = of_common_slices(table, "dilation_px").sort_values("dilation_px", kind="stable")
    table = table[np.isfinite(table["effect"].to_numpy(float))]
    colors = style.groups_of(table)
    fig, axes = plt.subplots(1, len(colors), figsize=(style.WIDTH, 2.7), squeeze=False, sharey=True)
    for ax, (group, color) in zip(axes[0], colors.items(), strict=True):
        ax.axhline(0, color=style.SOFT, linewidth=0.8, zorder=0)
        own = table[table["group"] == group]
        sham, net = (own[own["score"] == f"{name}_drop"] for name in ("sham", "net"))
        ax.plot(sham["dilation_px"], sham["effect"], ":s", color=color, markersize=3.5, mfc="white")
        ends = np.hstack([style.reach(r.effect, r.low, r.high) for r in net.itertuples()])
        look = {"fmt": "-o", "color": color, "markersize": 4, "capsize": 2}
        ax.errorbar(net["dilation_px"], net["effect"], ends, **look)
        ax.set_title(style.with_n(group, own.iloc[0]), fontsize=8.5)
        ax.set_xticks(sorted(set(table["dilation_px"])))
        ax.tick_params(axis="x", labelsize=7)
    axes[0, 0].set_ylabel("fall in probability")
    note = "dilation of the mask (px); bars: 95 % intervals; slices / patients in the titles"
    fig.supxlabel(note, fontsize=8)
    sham = style.dot(style.SOFT, "Sham-Drop", marker="s", filled=False, line=":", size=4)
    style.legend(fig, [style.dot(style.SOFT, "Net-Drop", line="-", size=4), sham])
    style.letter(axes[0])
    return fig
