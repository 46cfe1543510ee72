"""Figures of a classifier: its training, its errors, its calibration."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from tumorcf_lib.figures import style

TRAIN_COLOR, VALIDATION_COLOR = "#9A9A9A", style.INK


@style.figure
def learning_curves(history):
    """Loss and accuracy of the training and the validation slices over the epochs.

    ``history``: one row per epoch with pairs such as loss and val_loss; "epoch" (else 1, 2, ...);
    "fold" draws one line each; a boolean "best" marks the epoch whose weights were kept.
    """
    history = pd.DataFrame(history)
    metrics = [name[4:] for name in history if name.startswith("val_") and name[4:] in history]
    folds = history.groupby("fold") if "fold" in history else [(None, history)]
    fig, axes = plt.subplots(1, len(metrics), figsize=(style.WIDTH, 2.7), squeeze=False)
    for ax, name in zip(axes[0], metrics, strict=True):
        for _, rows in folds:
            epochs = np.asarray(rows.get("epoch", np.arange(1, len(rows) + 1)))
            ax.plot(epochs, rows[name], color=TRAIN_COLOR, linewidth=1.2)
            ax.plot(epochs, rows[f"val_{name}"], color=VALIDATION_COLOR)
            if "best" in rows:
                kept = rows["best"].to_numpy(bool)
                look = {"markersize": 6, "markeredgecolor": "white", "clip_on": False}
                values = rows.loc[kept, f"val_{name}"]
                ax.plot(epochs[kept], values, "o", color=VALIDATION_COLOR, **look)
        ax.set(title=name.replace("_", " "), xlabel="epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
    handles = [
        style.dot(TRAIN_COLOR, "training slices", marker="", line="-"),
        style.dot(VALIDATION_COLOR, "validation slices", marker="", line="-"),
    ]
    if "best" in history:
        handles.append(style.dot(VALIDATION_COLOR, "kept epoch"))
    style.legend(fig, handles)
    style.letter(axes[0])
    return fig


@style.figure
def confusion(table):
    """True against predicted class: counts, and the share of each true class.

    ``table``: a row a true class, named in "true"; then a column a predicted class, in that order.
    """
    classes, matrix = list(table["true"]), table.drop(columns="true").to_numpy()
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    size = 1.1 * len(classes)
    fig, ax = plt.subplots(figsize=(size + 1.9, size + 0.9))
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), n in np.ndenumerate(matrix):
        share = shares[row, column]
        color = "white" if share > 0.55 else style.INK
        ax.text(column, row, f"{n}\n{share:.1%}", ha="center", va="center", color=color)
    ax.set_xticks(range(len(classes)), classes)
    rows = [f"{name}\n({n})" for name, n in zip(classes, totals[:, 0], strict=True)]
    ax.set_yticks(range(len(classes)), rows)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set(xlabel="predicted class", ylabel="true class (slices)")
    fig.colorbar(image, ax=ax, label="share of the true class", shrink=0.8)
    return fig


@style.figure
def reliability(table):
    """Accuracy against confidence, and how many predictions there are at each confidence.

    ``table``: one row per bin with kind (such as "slices" or "persons, temperature": one column
    of panels each), temperature, ece, low, high, n, confidence, accuracy.
    """
    kinds = list(dict.fromkeys(table["kind"]))
    shape = {"figsize": (style.WIDTH, 3.8), "height_ratios": (2.6, 1)}
    fig, axes = plt.subplots(2, len(kinds), squeeze=False, sharex=True, sharey="row", **shape)
    start = min(0.3, table.loc[table["n"] > 0, "low"].min())
    for (top, below), kind in zip(axes.T, kinds, strict=True):
        bins = table[(table["kind"] == kind) & (table["n"] > 0)]
        width = bins["high"] - bins["low"]
        edges = {"width": width, "align": "edge", "edgecolor": "white"}
        top.bar(bins["low"], bins["accuracy"], color=style.FAINT, **edges)
        top.plot([0, 1], [0, 1], color=style.SOFT, linewidth=1, linestyle="--")
        points = {"color": style.INK, "markersize": 4, "clip_on": False}
        top.plot(bins["confidence"], bins["accuracy"], "o", **points)
        name, _, scaled = kind.partition(", ")
        how = f"{scaled} {bins['temperature'].iloc[0]:.2f}" if scaled else "as predicted"
        name = name.replace("persons", "patients")
        ece, n = bins["ece"].iloc[0], bins["n"].sum()
        top.set_title(f"{name}\n{how}\nECE {ece:.3f}, n = {n}", fontsize=8)
        top.set(xlim=(start, 1), ylim=(0, 1.02))
        below.bar(bins["low"], bins["n"] / n, color="#B5B5B5", **edges)
        below.set_xlabel("confidence")
    axes[0, 0].set_ylabel("accuracy")
    axes[1, 0].set_ylabel("share")
    style.letter(axes[0])
    return fig
