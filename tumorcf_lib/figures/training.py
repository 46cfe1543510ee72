"""Figures of a classifier: its training, its errors, its calibration."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from tumorcf_lib.figures.style import FAINT, INK, SOFT, WIDTH, PlotInputError, figure, letter

TRAIN_COLOR, VALIDATION_COLOR = "#8C8C8C", "#0072B2"


@figure
def learning_curves(history):
    """Loss and accuracy of the training and the validation slices over the epochs.

    Parameters
    ----------
    history : DataFrame or dict of str to list
        One row per epoch with pairs such as loss and val_loss, accuracy and val_accuracy; a
        column "epoch" (else 1, 2, ...); "fold" draws one line each; a boolean "best" marks
        the epoch whose weights were kept.
    """
    history = pd.DataFrame(history)
    metrics = [name[4:] for name in history if name.startswith("val_") and name[4:] in history]
    if not metrics:
        raise PlotInputError(
            f"Expected pairs of columns such as loss and val_loss, got {list(history)}."
        )
    folds = history.groupby("fold") if "fold" in history else [(None, history)]
    fig, axes = plt.subplots(1, len(metrics), figsize=(WIDTH, 2.7), squeeze=False)
    for ax, name in zip(axes[0], metrics, strict=True):
        for _, rows in folds:
            epochs = rows["epoch"] if "epoch" in rows else np.arange(1, len(rows) + 1)
            ax.plot(epochs, rows[name], color=TRAIN_COLOR, linewidth=1.2)
            ax.plot(epochs, rows[f"val_{name}"], color=VALIDATION_COLOR)
            if "best" in rows:
                kept = rows["best"].to_numpy(bool)
                ax.plot(np.asarray(epochs)[kept], rows.loc[kept, f"val_{name}"], "o",
                        color=VALIDATION_COLOR, markersize=6, markeredgecolor="white",
                        clip_on=False)
        ax.set(title=name.replace("_", " "), xlabel="epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
    handles = [plt.Line2D([], [], color=TRAIN_COLOR, label="training slices"),
               plt.Line2D([], [], color=VALIDATION_COLOR, label="validation slices")]
    if "best" in history:
        handles.append(plt.Line2D([], [], color=VALIDATION_COLOR, marker="o", linestyle="",
                                  label="kept epoch"))
    fig.legend(handles=handles, loc="outside upper center", ncols=3)
    letter(axes[0])
    return fig


@figure
def confusion(matrix, classes):
    """True against predicted class: counts, and the share of each true class.

    Parameters
    ----------
    matrix : array of int, shape (n_classes, n_classes)
        Row: the true class; column: the predicted one.
    """
    matrix = np.asarray(matrix)
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    size = 1.1 * len(classes)
    fig, ax = plt.subplots(figsize=(size + 1.9, size + 0.9))
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), n in np.ndenumerate(matrix):
        share = shares[row, column]
        ax.text(column, row, f"{n}\n{share:.1%}", ha="center", va="center",
                color="white" if share > 0.55 else INK)
    ax.set_xticks(range(len(classes)), classes)
    rows = [f"{name}\n({n})" for name, n in zip(classes, totals[:, 0], strict=True)]
    ax.set_yticks(range(len(classes)), rows)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set(xlabel="predicted class", ylabel="true class (slices)")
    fig.colorbar(image, ax=ax, label="share of the true class", shrink=0.8)
    return fig


@figure
def reliability(table):
    """Accuracy against confidence, and how many predictions there are at each confidence.

    Parameters
    ----------
    table : DataFrame
        Columns kind (such as "slices" and "persons": one column of panels each), ece, low,
        high, n, confidence, accuracy; one row per bin. ``temperature`` is shown if there.
    """
    kinds = list(dict.fromkeys(table["kind"]))
    fig, axes = plt.subplots(2, len(kinds), figsize=(WIDTH, 3.6), squeeze=False, sharex=True,
                             sharey="row", height_ratios=(2.6, 1))
    start = min(0.3, table.loc[table["n"] > 0, "low"].min())
    for (top, below), kind in zip(axes.T, kinds, strict=True):
        bins = table[(table["kind"] == kind) & (table["n"] > 0)]
        width = bins["high"] - bins["low"]
        top.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle="--")
        top.bar(bins["low"], bins["accuracy"], width, align="edge", color="#9CC3E0",
                edgecolor="white")
        top.plot(bins["confidence"], bins["accuracy"], "o", color="#0072B2", markersize=4)
        temperature = bins["temperature"].iloc[0] if "temperature" in bins else 1.0
        name, _, scaled = kind.partition(", ")
        told = f"{scaled} {temperature:.2f}\n" if scaled else ""
        top.set(title=name, xlim=(start, 1), ylim=(0, 1.02))
        top.text(0.96, 0.03, f"{told}ECE {bins['ece'].iloc[0]:.3f}\nn = {bins['n'].sum()}",
                 transform=top.transAxes, ha="right", va="bottom", fontsize=8)
        below.bar(bins["low"], bins["n"] / bins["n"].sum(), width, align="edge", color=FAINT,
                  edgecolor=SOFT, linewidth=0.6)
        below.set_xlabel("confidence")
    axes[0, 0].set_ylabel("accuracy")
    axes[1, 0].set_ylabel("share")
    letter(axes[0])
    return fig
