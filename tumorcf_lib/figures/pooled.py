"""The figure of the cross-validation."""

import matplotlib.pyplot as plt
import numpy as np

from tumorcf_lib.figures.style import INK, SOFT, WIDTH, figure, letter, reach

SEED_COLORS = ("#0072B2", "#D55E00", "#009E73")


@figure
def pooled_folds(table, elsewhere):
    """Accuracy of every fold and seed, and the pooled one beside those published elsewhere.

    Parameters
    ----------
    table : DataFrame
        From ``pooled.folds_table``: training_seed, fold, slice_accuracy, person_accuracy.
    elsewhere : DataFrame
        From ``pooled.elsewhere_table``: source, slices, persons and ends of their intervals.
    """
    height = 1.3 + 0.26 * len(elsewhere)
    fig, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, max(2.8, height)),
                                      width_ratios=(1, 1.15))
    _units(left, table)
    _sources(right, elsewhere)
    letter((left, right))
    return fig


def _units(ax, table):
    seeds = sorted(table["training_seed"].unique())
    for k, seed in enumerate(seeds):
        own = table[table["training_seed"] == seed]
        x = own["fold"] + 0.16 * (k - (len(seeds) - 1) / 2)
        color = SEED_COLORS[k % len(SEED_COLORS)]
        label = f"seed {seed}" if len(seeds) > 1 else None
        ax.plot(x, own["slice_accuracy"], "o", color=color, markersize=5, label=label)
        ax.plot(x, own["person_accuracy"], "D", color=color, markersize=5,
                markerfacecolor="white")
    ax.set(xlabel="fold", ylabel="accuracy")
    ax.set_xticks(sorted(table["fold"].unique()))
    ax.plot([], [], "o", color=INK, markersize=5, label="slices")
    ax.plot([], [], "D", color=INK, markersize=5, markerfacecolor="white", label="persons")
    ax.legend(fontsize=7, ncols=2, loc="lower left")
    lowest = table[["slice_accuracy", "person_accuracy"]].to_numpy().min()
    ax.set_ylim(top=1.005, bottom=lowest - 0.4 * (1.005 - lowest))  # the legend's room


def _sources(ax, elsewhere):
    for y, row in enumerate(elsewhere.itertuples()):
        color = "#0072B2" if row.source.startswith("this project") else SOFT
        for name, marker, shift in (("slices", "o", -0.14), ("persons", "D", 0.14)):
            value = getattr(row, name)
            if not np.isfinite(value):
                continue
            low, high = getattr(row, f"{name}_low"), getattr(row, f"{name}_high")
            error = reach(value, low, high) if np.isfinite(low) else None
            ax.errorbar(value, y + shift, xerr=error, fmt=marker, color=color, markersize=4.5,
                        markerfacecolor=color if name == "slices" else "white", capsize=2)
    ax.set_yticks(range(len(elsewhere)), [source.replace(": ", ":\n", 1)
                                          for source in elsewhere["source"]], fontsize=6.5)
    ax.set(xlabel="accuracy, patients kept apart", ylim=(len(elsewhere) - 0.5, -0.5))
