"""The figure of the leak: what a split is worth, and whether IDs of one stem look alike."""

import matplotlib.pyplot as plt
import numpy as np

from tumorcf_lib.figures.marks import row_names, rows_only
from tumorcf_lib.figures.style import INK, SOFT, WIDTH, figure, letter, reach
from tumorcf_lib.tables.near_duplicates_tables import KINDS, N_BITS

LEAK_COLOR, KEPT_COLOR, CANARY_COLOR = "#D55E00", "#0072B2", "#8C8C8C"
ARM_NAMES = {
    "slice": "slices dealt", "patient": "patient IDs kept", "author": "author's folds",
    "person": "persons kept", "canary slice": "canary, slices dealt",
    "canary person": "canary, persons kept",
}  # fmt: skip
KIND_COLORS = dict(
    zip(KINDS, ("#009E73", "#D55E00", "#0072B2", "#999999"), strict=True)
)


@figure
def leak_and_duplicates(table, duplicates, summary):
    """Balanced accuracy by arm with chance, and how near the nearest slice of another ID is.

    Parameters
    ----------
    table : DataFrame
        ``table_leak``.
    duplicates : DataFrame
        ``rows_duplicates``; may be empty.
    summary : DataFrame
        ``table_duplicates``.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.3), width_ratios=(1.1, 1))
    _arms(left, table)
    _distances(right, duplicates, summary)
    letter([left, right])
    return fig


def _arms(ax, table):
    """One row an arm: balanced accuracy with its interval, accuracy as an open mark."""
    own = table[table["level"] == "slice"].set_index(["arm", "metric"])
    arms = list(dict.fromkeys(table["arm"]))
    chance = own["chance"].dropna().iloc[0]
    ax.axvline(chance, color=SOFT, linestyle="--", linewidth=0.9, zorder=0)
    ax.text(chance, -0.48, " chance", color=SOFT, fontsize=7, va="top")
    for y, arm in enumerate(arms):
        row = own.loc[(arm, "balanced accuracy")]
        color = _color(arm, row["share_person_trained"])
        ax.errorbar(row["value"], y, xerr=reach(row["value"], row["low"], row["high"]),
                    fmt="D" if arm.startswith("canary") else "o", color=color, markersize=4.5,
                    capsize=2.5)
        ax.plot(own.loc[(arm, "accuracy"), "value"], y, "|", color=color, markersize=11)
        ax.text(1.06, y, f"{row['value']:.2f}", va="center", fontsize=7.5, color=INK)
    row_names(ax, [
        f"{ARM_NAMES[arm]}\n{own.loc[(arm, 'balanced accuracy'), 'share_person_trained']:.0%} known"
        for arm in arms
    ])  # fmt: skip
    rows_only(ax)
    ax.set(xlim=(0, 1.18), xlabel="balanced accuracy, 95 % over persons (bar: accuracy)\n"
           "known: tested slices of persons in training",
           title="One recipe, several splits")
    ax.set_xticks(np.arange(0, 1.01, 0.2))


def _color(arm, share_trained):
    if arm.startswith("canary"):
        return CANARY_COLOR
    return LEAK_COLOR if share_trained > 0 else KEPT_COLOR


def _distances(ax, duplicates, summary):
    """Share of comparisons whose nearest slice is at most so far, by kind of the other ID."""
    ax.set_title("Nearest slice of one ID")
    if not len(duplicates):
        ax.text(0.5, 0.5, "no two IDs share a stem", ha="center", va="center", color=SOFT)
        ax.axis("off")
        return
    for kind in (kind for kind in KINDS if (duplicates["kind"] == kind).any()):
        distances = np.sort(duplicates.loc[duplicates["kind"] == kind, "distance"])
        ax.step(np.r_[0, distances], np.arange(len(distances) + 1) / len(distances),
                where="post", color=KIND_COLORS[kind], label=kind)
    threshold = summary["threshold"].iloc[0]
    if threshold >= 0:
        ax.plot([threshold] * 2, [0, 1], color=SOFT, linestyle=":", linewidth=0.9)
        ax.text(threshold, 0.5, "near ", fontsize=7, color=SOFT, ha="right", va="center")
    ax.set(xlabel=f"bits of {N_BITS} that differ",
           ylabel="share at most so far", xlim=(0, None), ylim=(0, 1.36))
    ax.set_yticks(np.arange(0, 1.01, 0.2))
    ax.legend(fontsize=7, loc="upper left", handlelength=1.2)
