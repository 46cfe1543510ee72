"""Figures of a classifier: its training, its errors, its calibration."""

import matplotlib.pyplot as plt

from tumorcf_lib.figures import style

TRAIN_COLOR, VALIDATION_COLOR = "#9A9A9A", style.INK


@style.figure
def learning_curves(history):
    """Loss and accuracy of the training and the validation slices over the epochs.

    ``history``: one row per epoch with epoch, loss, val_loss, accuracy, val_accuracy, perhaps fold,
    and whether its weights were kept ("best"); a line a fold.
    """
    metrics = [name for name in ("loss", "accuracy") if name in history]
    folds = history.groupby("fold") if "fold" in history else [(0, history)]
    fig, axes = style.panels(len(metrics), 2.7)
    look = {"markersize": 6, "markeredgecolor": "white", "clip_on": False}
    for ax, name in zip(axes, metrics, strict=True):
        for _, rows in folds:
            kept = rows[rows["best"]]
            ax.plot(rows["epoch"], rows[name], color=TRAIN_COLOR, linewidth=1.2)
            ax.plot(rows["epoch"], rows[f"val_{name}"], color=VALIDATION_COLOR)
            ax.plot(kept["epoch"], kept[f"val_{name}"], "o", color=VALIDATION_COLOR, **look)
        ax.set(title=name, xlabel="epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
    line = {"marker": "", "line": "-"}
    handles = [style.dot("training slices", TRAIN_COLOR, **line)]
    handles += [style.dot("validation slices", VALIDATION_COLOR, **line)]
    style.legend(fig, [*handles, style.dot("kept epoch", VALIDATION_COLOR)])
    style.letter(axes)
    return fig


@style.figure
def confusion(table):
    """True against predicted class: counts, and the share of each true class.

    ``table``: a row a true class, named in "true"; then a column a predicted class, in that order.
    """
    import seaborn  # takes a second

    counts = table.set_index("true")
    totals = counts.sum(axis=1)
    shares = counts.div(totals, axis=0).fillna(0.0)
    size = 1.1 * len(counts)
    fig, ax = plt.subplots(figsize=(size + 1.9, size + 0.9))
    rows = [f"{name}\n({n})" for name, n in totals.items()]
    words = counts.astype(str) + "\n" + shares.map("{:.1%}".format)
    bar = {"label": "share of the true class", "shrink": 0.8}
    how = {"vmin": 0, "vmax": 1, "cmap": "Blues", "fmt": "", "cbar_kws": bar}
    how |= {"annot": words, "xticklabels": counts.index, "yticklabels": rows}
    seaborn.heatmap(shares, ax=ax, **how)
    ax.tick_params(length=0, rotation=0)
    ax.set(xlabel="predicted class", ylabel="true class (slices)")
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
        edges = {"width": bins["high"] - bins["low"], "align": "edge", "edgecolor": "white"}
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
