"""Figures of scores per slice."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from tumorcf_lib.figures.style import (
    FAINT,
    INK,
    SCORE_NAMES,
    SOFT,
    WIDTH,
    class_colors,
    class_ticks,
    figure,
    letter,
    order_classes,
    reach,
)

CORRECT_COLORS = {True: "#8C8C8C", False: "#D55E00"}
HEADLINE_SCORES = ("delta_drop", "sham_drop", "net_drop", "delta_focus")


@figure
def delta_by_class(scores, means, *, columns=HEADLINE_SCORES):
    """Every slice's scores by class, with the mean and its interval over persons.

    Parameters
    ----------
    scores : DataFrame
        One row per slice: label (class name), person_id and the columns.
    means : DataFrame
        From ``findings.score_means``: score, group, effect, low, high.
    columns : sequence of str
        One panel each.
    """
    classes = order_classes(scores["label"])
    n_rows = -(-len(columns) // 2)
    fig, axes = plt.subplots(n_rows, 2, figsize=(WIDTH, 2.55 * n_rows), squeeze=False,
                             sharey=True)
    for ax, column in zip(axes.flat, columns, strict=False):
        rows = scores[np.isfinite(scores[column].to_numpy(float))]
        if rows.empty:
            ax.text(0.5, 0.5, "no values", transform=ax.transAxes, ha="center", color=SOFT)
            continue
        _guides(ax, column, len(classes))
        _violins(ax, rows, column, classes)
        _overlay(ax, means[means["score"] == column], classes)
        class_ticks(ax, classes, rows)
        ax.set_title(SCORE_NAMES.get(column, column))
    for ax in axes.flat[len(columns):]:
        ax.set_visible(False)
    letter(axes.flat[:len(columns)])
    chance = "; dashed: chance" if "delta_focus" in columns else ""
    fig.supxlabel("slices / persons below each class; dot and bar: mean, 95 % interval "
                  f"over persons{chance}", fontsize=7, color=SOFT)
    return fig


def _guides(ax, column, n_classes):
    """Zero for differences; chance for probabilities."""
    if "focus" in column and "net" not in column:
        ax.axhline(1 / n_classes, color=SOFT, linewidth=0.8, linestyle="--", zorder=0)
    else:
        ax.axhline(0, color=SOFT, linewidth=0.8, zorder=0)


def _violins(ax, rows, column, classes):
    colors = class_colors(classes)
    sns.violinplot(rows, x="label", y=column, hue="label", order=classes, hue_order=classes,
                   palette=colors, inner=None, cut=0, density_norm="width", width=0.8,
                   linewidth=0, alpha=0.3, legend=False, ax=ax)
    rng = np.random.default_rng(0)  # the jitter only
    for x, name in enumerate(classes):
        values = rows.loc[rows["label"] == name, column].to_numpy(float)
        jitter = rng.uniform(-0.16, 0.16, len(values))
        ax.scatter(x + jitter, values, s=4, color=colors[name], alpha=0.5, linewidths=0)
    ax.set(xlabel="", ylabel="", xlim=(-0.5, len(classes) - 0.4))


def _overlay(ax, means, classes):
    """Mean with interval beside the points, its value in words."""
    for x, name in enumerate(classes):
        for row in means[means["group"] == name].itertuples():
            ax.errorbar(x, row.effect, reach(row.effect, row.low, row.high), fmt="o",
                        color=INK, markersize=4.5, capsize=3, linewidth=1.4, zorder=5,
                        markeredgecolor="white", markeredgewidth=0.6)
            ax.annotate(f"{row.effect:.2f}", (x, row.effect), (7, 0), textcoords="offset points",
                        fontsize=7.5, va="center", fontweight="bold", zorder=6,
                        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75,
                              "pad": 0.6})


@figure
def correct_vs_wrong(scores, *, columns=("p_orig", "delta_drop", "delta_focus")):
    """Scores of correctly classified slices beside those of misclassified ones.

    Parameters
    ----------
    scores : DataFrame
        One row per slice: label, person_id, correct and the columns. Keep ``p_orig`` among
        them: the true class's probability bounds what can drop.
    """
    classes = order_classes(scores["label"])
    columns = [name for name in columns if name in scores]
    fig, axes = plt.subplots(1, len(columns), figsize=(WIDTH, 2.9), squeeze=False, sharey=True)
    rng = np.random.default_rng(0)  # the jitter only
    correct = scores["correct"].to_numpy(bool)
    for ax, column in zip(axes[0], columns, strict=True):
        ax.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
        for x, name in enumerate(classes):
            for side, is_correct in ((-0.2, True), (0.2, False)):
                own = (scores["label"] == name).to_numpy() & (correct == is_correct)
                values = scores.loc[own, column].dropna().to_numpy(float)
                _column(ax, x + side, values, CORRECT_COLORS[is_correct], rng)
        ax.set_title(SCORE_NAMES.get(column, column))
        counts = [f"{name}\n{(correct & own).sum()} / {(~correct & own).sum()}"
                  for name in classes for own in [(scores["label"] == name).to_numpy()]]
        ax.set_xticks(range(len(classes)), counts, fontsize=7)
        ax.tick_params(axis="x", length=0)
    handles = [plt.Line2D([], [], marker="o", linestyle="", color=CORRECT_COLORS[kind],
                          label=name, markersize=5)
               for kind, name in ((True, "correct"), (False, "misclassified"))]
    fig.legend(handles=handles, loc="outside upper center", ncols=2)
    fig.supxlabel("correct / misclassified slices below each class; bar: median", fontsize=7,
                  color=SOFT)
    letter(axes[0])
    return fig


def _column(ax, x, values, color, rng):
    if not len(values):
        return
    ax.scatter(x + rng.uniform(-0.14, 0.14, len(values)), values, s=6, color=color, alpha=0.5,
               linewidths=0)
    ax.hlines(np.median(values), x - 0.17, x + 0.17, color=INK, linewidth=1.6, zorder=4)
