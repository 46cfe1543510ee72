"""Figures of one slice and what is done to it: a strip of pictures, and pairs by percentile."""

import matplotlib.pyplot as plt
import numpy as np

from tumorcf_lib.figures.slices import close_up
from tumorcf_lib.figures.style import WIDTH, class_colors, figure, show_slice, window
from tumorcf_lib.stats.rows import classes_of

MAP_COLORS = "inferno"


@figure
def strip(pictures, *, like=None):
    """Pictures of one slice side by side, in the gray window of the first (or of ``like``).

    Parameters
    ----------
    pictures : list of dict
        "image" (height, width); "title" above and "note" below it; "mask" to outline; "map", from
        0 up, laid over it in color.
    """
    limits = window([pictures[0]["image"] if like is None else like])
    width = WIDTH / max(len(pictures), 4)
    size = (width * len(pictures), width + 0.55)
    fig, axes = plt.subplots(1, len(pictures), squeeze=False, figsize=size)
    for ax, one in zip(axes[0], pictures, strict=True):
        show_slice(ax, one["image"], limits, one.get("mask"))
        if one.get("map") is not None and np.max(one["map"]) > 0:
            alpha = 0.75 * one["map"] / np.max(one["map"])
            ax.imshow(one["map"], cmap=MAP_COLORS, alpha=alpha, vmin=0)
        ax.set_title(one.get("title", ""), loc="center", fontsize=8)
        ax.set_xlabel(one.get("note", ""), fontsize=8)
    return fig


def before_after(before, after, mask, *, tag=""):
    """A slice before and after an edit, and the edited place close up, one above the other."""
    close = close_up({"original": before, "remove": after}, mask)
    shown = {"before": before, "after": after, "close-up:\nbefore, after": close}
    return strip([{"title": title, "image": image} for title, image in shown.items()], tag=tag)


@figure
def gallery(examples):
    """Each slice before and after its removal, a row a class, a column a percentile.

    ``examples``: "label", "percentile", "images" and "p" of original and remove, and "value", the
    score whose percentile it is.
    """
    classes = classes_of(one["label"] for one in examples)
    columns = sorted({one["percentile"] for one in examples})
    colors, size = class_colors(classes), WIDTH / len(columns)
    figsize = (WIDTH, (size / 2 + 0.25) * len(classes) + 0.3)
    fig, axes = plt.subplots(len(classes), len(columns), squeeze=False, figsize=figsize)
    for one in examples:
        ax = axes[classes.index(one["label"]), columns.index(one["percentile"])]
        before, after = (np.asarray(one["images"][name], float) for name in ("original", "remove"))
        gap = np.full((len(before), max(1, len(before) // 40)), np.nan)
        show_slice(ax, np.hstack([before, gap, after]), window([before]))
        p = [one["p"][name] for name in ("original", "remove")]
        ax.set_xlabel(f"P {p[0]:.2f} to {p[1]:.2f}; Net-Drop {one['value']:.2f}", fontsize=7.5)
    for ax, percentile in zip(axes[0], columns, strict=True):
        ax.set_title(f"{percentile}th percentile", loc="center", fontsize=8)
    for ax, name in zip(axes[:, 0], classes, strict=True):
        ax.set_ylabel(name, color=colors[name], fontweight="bold")
    return fig
