"""Figures that show slices: examples, steps, errors, edits side by side."""

import matplotlib.pyplot as plt
import numpy as np

from tumorcf_lib.figures.style import (
    EDIT_NAMES,
    INK,
    WIDTH,
    PlotInputError,
    bare,
    class_colors,
    figure,
    outline,
    show_slice,
    window,
)


@figure
def examples(cohort, *, captions=None):
    """Slices chosen by a rule, a row a class, tumors outlined.

    Parameters
    ----------
    cohort : Cohort
        The chosen slices only; those of a class are shown in their order.
    captions : sequence of str, optional
        Why each slice was chosen, such as "95th percentile of tumor area".

    Returns
    -------
    Figure
        One gray window a row.
    """
    rows = [np.flatnonzero(cohort.labels == k) for k in range(len(cohort.classes))]
    n_columns = max(len(row) for row in rows)
    size = WIDTH / max(n_columns, 3)
    fig, axes = plt.subplots(len(rows), n_columns, squeeze=False,
                             figsize=(size * n_columns, (size + 0.15) * len(rows)))
    colors = class_colors(cohort.classes)
    for panels, row, name in zip(axes, rows, cohort.classes, strict=True):
        for ax in panels[len(row):]:
            ax.set_visible(False)
        limits = window([cohort.slices[i] for i in row]) if len(row) else None
        for ax, i in zip(panels, row, strict=False):
            mask = np.asarray(cohort.masks[i])
            show_slice(ax, cohort.slices[i], limits, mask)
            ax.set_xlabel(f"tumor {mask.mean():.1%} of the slice", fontsize=8)
            if captions is not None:
                ax.set_title(captions[i], loc="center", fontsize=8)
        panels[0].set_ylabel(name, color=colors[name], fontweight="bold")
    return fig


@figure
def preprocessing_steps(steps, titles=None, *, masks=None):
    """Slices after each step of preprocessing, and the histograms of each step.

    Parameters
    ----------
    steps : list of dict of str to (height, width) array
        One dictionary a slice, from ``preprocess.steps``. Each step has its own intensity
        scale and therefore its own window.
    titles : sequence of str, optional
        One a slice; class names color the slice's histogram.
    masks : sequence of (height, width) bool, optional
        Outlined in every step, at the step's size.
    """
    titles = titles if titles is not None else [f"slice {i + 1}" for i in range(len(steps))]
    names = list(steps[0])
    size = WIDTH / len(names)
    fig, axes = plt.subplots(
        len(steps) + 1, len(names), squeeze=False, height_ratios=[size] * len(steps) + [0.9],
        figsize=(WIDTH, (size + 0.08) * len(steps) + 1.55),
    )
    colors = class_colors(dict.fromkeys(titles))
    for i, (panels, images, title) in enumerate(zip(axes, steps, titles, strict=False)):
        for ax, below, name in zip(panels, axes[-1], names, strict=True):
            image = np.asarray(images[name], float)
            mask = None if masks is None else _nearest(np.asarray(masks[i]), image.shape)
            show_slice(ax, image, (image.min(), image.max()), mask)
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


def _nearest(mask, shape):
    """A mask at another size."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(shape, mask.shape, strict=True)
    )
    return mask[np.ix_(rows, columns)]


@figure
def errors_gallery(cohort, errors, *, n_columns=4):
    """Misclassified slices with the truth, the answer and its probability.

    Parameters
    ----------
    cohort : Cohort
        The misclassified slices only.
    errors : DataFrame
        One row per slice, in the same order: label and predicted (class names), confidence
        (the predicted class's probability), person_id.

    Returns
    -------
    Figure
        A gray window each, since these slices are not compared with each other. Without
        errors, a figure that says so.
    """
    n = len(errors)
    if len(cohort) != n:
        raise PlotInputError(f"Got {len(cohort)} slices but {n} rows of errors.")
    if not n:
        fig, ax = plt.subplots(figsize=(WIDTH, 1))
        bare(ax)
        ax.text(0.5, 0.5, "No slice was misclassified.", ha="center", va="center")
        return fig
    n_rows = -(-n // n_columns)
    size = WIDTH / n_columns
    fig, axes = plt.subplots(n_rows, n_columns, squeeze=False,
                             figsize=(WIDTH, (size + 0.5) * n_rows))
    fig.get_layout_engine().set(w_pad=0.05, h_pad=0.06)
    colors = class_colors([*cohort.classes])
    for i, row in enumerate(errors.itertuples()):
        ax = axes.flat[i]
        show_slice(ax, cohort.slices[i], mask=cohort.masks[i])
        ax.set_title(f"true: {row.label}", loc="center", fontsize=8.5, color=colors[row.label],
                     fontweight="bold", pad=3)
        ax.set_xlabel(f"called {row.predicted}, p = {row.confidence:.2f}\n"
                      f"person {row.person_id}", fontsize=7.5, labelpad=2)
    for ax in axes.flat[n:]:
        ax.set_visible(False)
    return fig


@figure
def edits_side_by_side(rows, *, differences=("remove",)):
    """A slice and its edits in one row, with the probability that each one gets.

    Parameters
    ----------
    rows : list of dict
        One a slice, all with the same edits: "title" (such as class and percentile),
        "images" (edit name to (height, width) array, the original first), "p" (edit name to
        probability of the true class) and "masks" (edit name to the outline to draw).
    differences : sequence of str
        Edits that get a further column: edited minus original, red where brighter, white
        at zero, the ends of the scale written below.

    Returns
    -------
    Figure
        One gray window a row, that of its original.
    """
    edits = list(rows[0]["images"])
    differences = [edit for edit in differences if edit in edits]
    n_columns = len(edits) + len(differences)
    size, font = WIDTH / n_columns, 7 if n_columns > 6 else 8
    fig, axes = plt.subplots(len(rows), n_columns, squeeze=False,
                             figsize=(WIDTH, (size + 0.22) * len(rows) + 0.2))
    fig.get_layout_engine().set(w_pad=0.01, wspace=0.02, h_pad=0.02)
    for panels, row in zip(axes, rows, strict=True):
        original = np.asarray(row["images"][edits[0]], float)
        limits = window([original])
        for ax, edit in zip(panels, edits, strict=False):
            show_slice(ax, row["images"][edit], limits, row.get("masks", {}).get(edit))
            if edit in row.get("p", {}):
                ax.set_xlabel(f"P = {row['p'][edit]:.2f}", fontsize=7.5, labelpad=2)
        _changes(panels[len(edits):], row, differences, original)
        panels[0].set_ylabel(row.get("title", ""), fontsize=font)
    names = [EDIT_NAMES.get(e, e) for e in edits]
    names += [f"{EDIT_NAMES.get(e, e)},\nchange" for e in differences]
    for ax, name in zip(axes[0], names, strict=True):
        ax.set_title(name.replace(" ", "\n", 1) if n_columns > 6 else name, loc="center",
                     fontsize=font)
    return fig


def _changes(panels, row, edits, original):
    """Edited minus original, all edits of the slice on one scale around zero."""
    changes = [np.asarray(row["images"][edit], float) - original for edit in edits]
    reach = max([np.abs(change).max() for change in changes], default=0) or 1.0
    for ax, edit, change in zip(panels, edits, changes, strict=True):
        ax.imshow(change, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest")
        if edit in row.get("masks", {}):
            outline(ax, row["masks"][edit], color=INK)
        bare(ax)
        ax.set_xlabel(f"± {reach:.1f}", fontsize=7.5, labelpad=2)
