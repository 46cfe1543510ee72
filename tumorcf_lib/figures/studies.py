"""Figures about the cohort as a whole."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from tumorcf_lib.figures.style import (
    INK,
    SOFT,
    WIDTH,
    class_colors,
    class_ticks,
    figure,
    letter,
    lighten,
    order_classes,
)

PART_SHADES = {"train": 0.0, "validation": 0.45, "test": 0.75}  # share of white


@figure
def cohort_overview(slices, split=None):
    """How many slices and persons, slices per person, and how large the tumors are.

    Parameters
    ----------
    slices : DataFrame
        One row per slice: slice_id, person_id, label (class name), tumor_share (of the
        slice's pixels, in [0, 1]).
    split : DataFrame, optional
        slice_id, fold, part ("train", "validation" or "test"); bars are then split by part,
        that of the first fold.
    """
    classes = order_classes(slices["label"])
    colors = class_colors(classes)
    slices = slices.assign(part="train")
    if split is not None:
        first = split[split["fold"] == split["fold"].min()].set_index("slice_id")["part"]
        slices["part"] = slices["slice_id"].map(first)
    groups = [slices[slices["label"] == name] for name in classes]
    fig, axes = plt.subplots(2, 2, figsize=(WIDTH, 4.6))
    _stacked(axes[0, 0], [[(own["part"] == part).sum() for part in PART_SHADES]
                          for own in groups], colors, "slices")
    _stacked(axes[0, 1], [[own.loc[own["part"] == part, "person_id"].nunique()
                           for part in PART_SHADES] for own in groups], colors, "persons")
    if split is not None:
        fold = " (first fold)" if split["fold"].nunique() > 1 else ""
        shades = [Patch(color=lighten(SOFT, shade), label=part + fold)
                  for part, shade in PART_SHADES.items()]
        fig.legend(handles=shades, loc="outside upper center", ncols=len(shades))
    _dots(axes[1, 0], [own["person_id"].value_counts() for own in groups], colors,
          "slices per person")
    _dots(axes[1, 1], [100 * own["tumor_share"] for own in groups], colors,
          "tumor area (% of the slice)", log=True)
    for ax in axes.flat:
        class_ticks(ax, classes)
    letter(axes.flat)
    return fig


def _stacked(ax, counts, colors, title):
    for x, (own, color) in enumerate(zip(counts, colors.values(), strict=True)):
        bottoms = np.cumsum([0, *own[:-1]])
        for n, bottom, shade in zip(own, bottoms, PART_SHADES.values(), strict=True):
            ax.bar(x, n, bottom=bottom, color=lighten(color, shade), width=0.65,
                   edgecolor=color, linewidth=0.6)
        ax.annotate(f"{sum(own)}", (x, sum(own)), (0, 2), textcoords="offset points",
                    ha="center", va="bottom", fontsize=8)
    ax.set(title=title, ylim=(0, 1.15 * max(sum(own) for own in counts)))
    ax.yaxis.get_major_locator().set_params(integer=True)


def _dots(ax, groups, colors, title, *, log=False):
    """Jittered points with a bar at the median, one column a class."""
    rng = np.random.default_rng(0)  # the jitter only
    for x, (values, color) in enumerate(zip(groups, colors.values(), strict=True)):
        if not len(values):
            continue
        jitter = rng.uniform(-0.26, 0.26, len(values))
        ax.scatter(x + jitter, values, s=5, color=color, alpha=0.45, linewidths=0)
        ax.hlines(np.median(values), x - 0.34, x + 0.34, color=INK, linewidth=1.6)
        ax.text(x + 0.37, np.median(values), f"{np.median(values):.3g}", fontsize=7, va="center")
    ax.set_xlim(-0.5, len(groups) - 0.3)
    if log:
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    ax.set(title=f"{title}, bar: median")


@figure
def intensity_histograms(raw, inputs, labels=None):
    """Intensities of some slices, as stored and as the network gets them.

    Parameters
    ----------
    raw, inputs : sequence of (height, width) arrays
        The same slices before and after preprocessing; one thin line a slice.
    labels : sequence of str, optional
        Class names, for the lines' colors.
    """
    names = ["slice"] * len(raw) if labels is None else list(labels)
    colors = {"slice": SOFT} if labels is None else class_colors(order_classes(names))
    fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 2.8))
    for ax, images, title in ((axes[0], raw, "as stored"), (axes[1], inputs, "network input")):
        low = min(float(np.min(image)) for image in images)
        high = max(float(np.percentile(image, 99.9)) for image in images)
        edges = np.linspace(low, high, 61)
        centers = (edges[1:] + edges[:-1]) / 2
        for image, name in zip(images, names, strict=True):
            share = np.histogram(image, edges)[0] / np.size(image)
            share[share == 0] = np.nan  # no drop to minus infinity
            ax.plot(centers, share, color=colors[name], linewidth=0.7, alpha=0.6)
        ax.set_yscale("log")
        ax.set(title=title, xlabel="intensity")
    axes[0].set_ylabel("share of pixels (log)")
    if labels is not None:
        lines = [plt.Line2D([], [], color=color, label=name) for name, color in colors.items()]
        fig.legend(handles=lines, loc="outside upper center", ncols=len(lines))
    letter(axes)
    return fig
