"""Marks with intervals, rows of groups: what the figures of the controls share."""

import matplotlib.pyplot as plt
import numpy as np

from tumorcf_lib.figures.style import FAINT, INK, SOFT, WIDTH, class_colors, order_classes
from tumorcf_lib.stats.claims import ALL

BAND = "#F0F0F0"
INFILL_NAMES = {"navier_stokes": "Navier-Stokes", "telea": "Telea"}


def interval(ax, y, row, *, color, filled=True, marker="o", size=4.5):
    """A mark with its interval along x; nothing for a missing value."""
    if not np.isfinite(row["effect"]):
        return
    if np.isfinite(row["low"]) and np.isfinite(row["high"]):
        ax.plot([row["low"], row["high"]], [y, y], color=color, linewidth=1.4, zorder=2,
                solid_capstyle="round")
    ax.plot(row["effect"], y, marker, color=color, markersize=size, zorder=3,
            markerfacecolor=color if filled else "white")


def groups_of(table):
    """"all", then the classes of a table in their fixed order."""
    groups = list(dict.fromkeys(table["group"]))
    return [g for g in groups if g == ALL] + order_classes(g for g in groups if g != ALL)


def group_colors(groups):
    """Ink for "all", the classes' own colors."""
    return {ALL: INK, **class_colors([g for g in groups if g != ALL])}


def handles_of(looks):
    """Legend entries of looks: name -> color, and marker and filled if not a full dot."""
    return [plt.Line2D([], [], linestyle="", color=look["color"], markersize=5,
                       marker=look.get("marker", "o"), label=name,
                       markerfacecolor=look["color"] if look.get("filled", True) else "white")
            for name, look in looks.items()]


def with_n(group, row):
    """A group's name over its slices and persons, if the row tells."""
    if "n_slices" not in row or "n_persons" not in row:
        return group
    return f"{group}\n{int(row['n_slices'])} / {int(row['n_persons'])}"


def rows_only(ax):
    """No axis where rows have names; a faint grid to read values by."""
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color=FAINT, linewidth=0.5)
    ax.set_axisbelow(True)


def row_names(ax, names):
    """Names of rows along y, the first one on top."""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)


def nothing(text="no values"):
    """A figure that says so, for a table without rows."""
    fig, ax = plt.subplots(figsize=(WIDTH, 1.2))
    ax.text(0.5, 0.5, text, ha="center", va="center", color=SOFT)
    ax.axis("off")
    return fig
