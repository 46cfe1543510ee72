"""Figures that show slices: examples, steps of preprocessing, errors, edits."""

import matplotlib.pyplot as plt
import numpy as np

from tumorcf_lib.data.preprocess import resize_mask
from tumorcf_lib.figures import style

BARS = {"original": "original", "remove": "tumor out", "sham": "control", "only": "tumor alone"}
BAR_COLOR = "#8C8C8C"
N_COLUMNS = 4  # of misclassified slices
CLOSE_UP_PX = 10  # the least half side of a close-up


@style.figure
def examples(cohort, *, captions):
    """Slices chosen by a rule, a row a class with one gray window, tumors outlined.

    ``cohort``: the chosen slices only, those of a class in their order. ``captions``: why each was
    chosen, such as "95th percentile of tumor area".
    """
    rows = [np.flatnonzero(cohort.labels == k) for k in range(len(cohort.classes))]
    n_columns = max(len(row) for row in rows)
    size = style.WIDTH / max(n_columns, 3)
    figsize = (size * n_columns, (size + 0.15) * len(rows))
    fig, axes = plt.subplots(len(rows), n_columns, squeeze=False, figsize=figsize)
    colors = style.class_colors(cohort.classes)
    for panels, row, name in zip(axes, rows, cohort.classes, strict=True):
        for ax in panels[len(row) :]:
            ax.set_visible(False)
        limits = style.window([cohort.slices[i] for i in row]) if len(row) else None
        for ax, i in zip(panels, row, strict=False):
            style.show_slice(ax, cohort.slices[i], limits, cohort.masks[i])
            ax.set_xlabel(f"tumor {cohort.masks[i].mean():.1%} of the slice", fontsize=8)
            ax.set_title(captions[i], loc="center", fontsize=8)
        panels[0].set_ylabel(name, color=colors[name], fontweight="bold")
    return fig


@style.figure
def preprocessing(steps, titles, *, masks):
    """Slices after each step of preprocessing, and the histograms of each step.

    ``steps``: a dictionary a slice, from ``preprocess.steps``; each step has a window of its own.
    ``titles``: class names color the slice's histogram. ``masks`` are outlined in every step.
    """
    names = list(steps[0])
    size = style.WIDTH / len(names)
    shape = {"figsize": (style.WIDTH, (size + 0.08) * len(steps) + 1.55)}
    shape["height_ratios"] = [size] * len(steps) + [0.9]
    fig, axes = plt.subplots(len(steps) + 1, len(names), squeeze=False, **shape)
    colors = style.class_colors(dict.fromkeys(titles))
    for i, (panels, images, title) in enumerate(zip(axes, steps, titles, strict=False)):
        for ax, below, name in zip(panels, axes[-1], names, strict=True):
            image = np.asarray(images[name], float)
            mask = masks[i] if image.shape == masks[i].shape else resize_mask(masks[i], len(image))
            style.show_slice(ax, image, (image.min(), image.max()), mask)
            below.hist(image.ravel(), bins=60, log=True, histtype="step", color=colors[title])
        panels[0].set_ylabel(title, color=colors[title], fontweight="bold")
    for k, (top, below, name) in enumerate(zip(axes[0], axes[-1], names, strict=True)):
        top.set_title(f"{k + 1}. {name}", fontsize=8)
        below.set(yticks=[], xlabel="intensity")
        below.minorticks_off()
        below.spines["left"].set_visible(False)
        below.locator_params(axis="x", nbins=4)
        below.tick_params(axis="x", labelsize=7)
    axes[-1, 0].set_ylabel("pixels (log)")
    return fig


@style.figure
def errors(cohort, table):
    """Misclassified slices with the truth, the answer and its probability; a gray window each.

    ``table``: one row per slice of ``cohort``, in its order: label and predicted (class names),
    confidence (the predicted class's probability), person_id.
    """
    n = len(table)
    if not n:
        return style.nothing("No slice was misclassified.")
    n_rows = -(-n // N_COLUMNS)
    figsize = (style.WIDTH, (style.WIDTH / N_COLUMNS + 0.5) * n_rows)
    fig, axes = plt.subplots(n_rows, N_COLUMNS, squeeze=False, figsize=figsize)
    fig.get_layout_engine().set(w_pad=0.05, h_pad=0.06)
    colors = style.class_colors([*cohort.classes])
    for i, (ax, row) in enumerate(zip(axes.flat, table.itertuples(), strict=False)):
        style.show_slice(ax, cohort.slices[i], mask=cohort.masks[i])
        words = {"loc": "center", "fontsize": 8.5, "fontweight": "bold", "pad": 3}
        ax.set_title(f"true: {row.label}", color=colors[row.label], **words)
        answer = f"called {row.predicted}, p = {row.confidence:.2f}\npatient {row.person_id}"
        ax.set_xlabel(answer, fontsize=7.5, labelpad=2)
    for ax in axes.flat[n:]:
        ax.set_visible(False)
    return fig


@style.figure
def edits(rows, *, note=""):
    """Slices before and after their tumor is painted out, close up, and what the network says.

    Parameters
    ----------
    rows : list of dict
        One a slice: "label" (class name), "images" (edit name to (height, width) array; original,
        remove and, where one has a place, sham), "masks" (of "original" the tumor, of "sham" the
        shape elsewhere) and "p" (edit name to the true class's probability).
    note : str
        How the slices were chosen; written below.

    Returns
    -------
    Figure
        One gray window a row, that of its original. The edited slice has no outline.
    """
    colors = style.class_colors(dict.fromkeys(row["label"] for row in rows))
    shape = {"figsize": (style.WIDTH, 1.62 * len(rows) + 0.5)}
    shape["width_ratios"] = (1, 1, 0.56, 1, 0.92)
    fig, axes = plt.subplots(len(rows), 5, squeeze=False, **shape)
    fig.get_layout_engine().set(w_pad=0.02, wspace=0.02, h_pad=0.03)
    for (before, after, close, control, bars), row in zip(axes, rows, strict=True):
        images, masks = row["images"], row["masks"]
        limits = style.window([images["original"]])
        style.show_slice(before, images["original"], limits, masks["original"])
        style.show_slice(after, images["remove"], limits)
        style.show_slice(close, close_up(images, masks["original"]), limits)
        if "sham" in images:
            style.show_slice(control, images["sham"], limits, masks["sham"])
        else:
            control.axis("off")
            control.text(0.5, 0.5, "no legal place", ha="center", va="center", color=style.SOFT)
        _bars(bars, row["p"], colors[row["label"]])
        before.set_ylabel(row["label"], color=colors[row["label"]], fontweight="bold", fontsize=10)
    heads = ("original", "tumor painted out", "close-up:\nbefore, after")
    heads += ("control: same shape\npainted out elsewhere", "probability of\nthe true class")
    for ax, head in zip(axes[0], heads, strict=True):
        ax.set_title(head, loc="center", fontsize=8)
    if note:
        fig.supxlabel(note, fontsize=8, color=style.SOFT)
    return fig


def close_up(images, mask):
    """The tumor's surroundings before and, below, after the edit, at one scale."""
    rows, columns = np.nonzero(mask)
    half = int(max(np.ptp(rows), np.ptp(columns)) * 0.85) + CLOSE_UP_PX
    half = min(half, min(mask.shape) // 2)
    centers = ((rows.min() + rows.max()) // 2, (columns.min() + columns.max()) // 2)
    starts = np.clip(np.subtract(centers, half), 0, np.subtract(mask.shape, 2 * half))
    crop = tuple(slice(start, start + 2 * half) for start in starts)
    before, after = (np.asarray(images[edit], float)[crop] for edit in ("original", "remove"))
    line = np.full((max(1, half // 20), 2 * half), np.nan)  # white between them
    return np.vstack([before, line, after])


def _bars(ax, p, color):
    shown = [edit for edit in BARS if edit in p]
    for y, edit in enumerate(shown):
        ax.barh(y, p[edit], color=color if edit == "original" else BAR_COLOR, height=0.76)
        inside = p[edit] > 0.4
        words = {"va": "center", "fontsize": 7.5, "fontweight": "bold"}
        words |= {"color": "white" if inside else style.INK, "ha": "right" if inside else "left"}
        ax.text(p[edit] + (-0.03 if inside else 0.03), y, f"{p[edit]:.2f}", **words)
    ax.yaxis.tick_right()
    ax.set_yticks(range(len(shown)), [BARS[edit] for edit in shown], fontsize=7.5)
    ax.set(xlim=(0, 1), ylim=(len(shown) - 0.4, -0.6))
    ax.set_xticks([0, 1], ["0", "1"])
    ax.spines["right"].set_visible(True)
    ax.tick_params(length=0)
