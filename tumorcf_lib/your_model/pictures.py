"""The pictures of an audit's page: for any number of classes, with names of any length."""

import numpy as np
from matplotlib.figure import Figure

from tumorcf_lib.edits import plan, sites
from tumorcf_lib.your_model.page import plain

WITHOUT, SHAM = "#D55E00", "#0072B2"
N_EXAMPLES = 6
SHOWN = ("original", "remove", "sham", "only")
TITLES = {"original": "as it is", "remove": "tumor removed", "sham": "sham removed",
          "only": "tumor alone"}  # fmt: skip


def shares(table):
    """Share of slices that keep their answer, by group: without their tumor, and with a sham.

    Parameters
    ----------
    table : DataFrame
        group, slices, kept, kept_sham.
    """
    n = len(table)
    fig = Figure(figsize=(7, 1.1 + 0.5 * n), layout="constrained")
    axes = fig.subplots()
    y = np.arange(n)[::-1]
    axes.barh(y - 0.18, 100 * table["kept"], 0.34, color=WITHOUT, label="tumor removed")
    axes.barh(y + 0.18, 100 * table["kept_sham"], 0.34, color=SHAM, label="sham removed")
    names = [plain(f"{g} (n = {k})") for g, k in zip(table["group"], table["slices"], strict=True)]
    axes.set_yticks(y, names, fontsize=8)
    axes.set_xlim(0, 100)
    axes.set_xlabel("slices that keep their answer (%)")
    axes.spines[["top", "right"]].set_visible(False)
    fig.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=8)
    return fig


def examples(cohort, rows, chosen):
    """Some slices and their edits, side by side; P of the true class above each.

    Parameters
    ----------
    cohort : Cohort
        Those slices, prepared.
    rows : DataFrame
        Of the audit, with p_true.
    chosen : list of int
        Which slices of the cohort.
    """
    fig = Figure(figsize=(8, 2.6 * len(chosen)), layout="constrained")
    fig.get_layout_engine().set(rect=(0, 0, 1, 0.96), hspace=0.12)
    axes = fig.subplots(len(chosen), len(SHOWN), squeeze=False)
    for line, i in zip(axes, chosen, strict=True):
        slice, mask = cohort.slices[i], cohort.masks[i]
        low, high = np.percentile(sites.gray(slice), [0, 99.5])
        own = rows[rows["slice_id"] == cohort.table["slice_id"].iloc[i]]
        for ax, edit in zip(line, SHOWN, strict=True):
            ax.set_axis_off()
            row = own[(own["edit"] == edit) & (own["dilation_px"] == 0) & (own["reason"] == "")]
            if row.empty:
                continue
            row = row.iloc[0]
            edited = sites.gray(plan.recreate(slice, mask, row))
            if slice.ndim == 3:
                low, high = np.percentile(edited, [0, 99.5])
            ax.imshow(edited, cmap="gray", vmin=low, vmax=high)
            if edit == "original":
                ax.contour(mask, [0.5], colors=WITHOUT, linewidths=0.8)
            ax.set_title(f"{TITLES[edit]}: {row['p_true']:.2f}", fontsize=8)
        name = cohort.classes[cohort.labels[i]]
        words = line[0].text(0, 1.14, plain(name, 90), transform=line[0].transAxes, fontsize=8)
        words.set_in_layout(False)  # it may reach over the other columns
    return fig


def contact_sheet(cohort, n=24):
    """Slices of a sample with the outlines of their masks."""
    n = min(n, len(cohort.slices))
    columns = min(6, n)
    lines = -(-n // columns)
    fig = Figure(figsize=(1.5 * columns, 1.7 * lines), layout="constrained")
    for k, ax in enumerate(fig.subplots(lines, columns, squeeze=False).flat):
        ax.set_axis_off()
        if k >= n:
            continue
        ax.imshow(sites.gray(cohort.slices[k]), cmap="gray")
        if cohort.masks[k].any():
            ax.contour(cohort.masks[k], [0.5], colors=WITHOUT, linewidths=0.8)
        ax.set_title(plain(str(cohort.table["slice_id"].iloc[k])[-24:]), fontsize=6)
    return fig


def occlusion(maps, cohort):
    """Where hiding a square moves the answer most, over some slices."""
    fig = Figure(figsize=(2.2 * len(maps), 2.4), layout="constrained")
    for ax, (i, values) in zip(fig.subplots(1, len(maps), squeeze=False)[0], maps, strict=True):
        ax.set_axis_off()
        image = sites.gray(cohort.slices[i])
        ax.imshow(image, cmap="gray")
        height, width = image.shape
        ax.imshow(values, cmap="magma", alpha=0.45, extent=(-0.5, width - 0.5, height - 0.5, -0.5))
        if cohort.masks[i].any():
            ax.contour(cohort.masks[i], [0.5], colors="w", linewidths=0.8)
    return fig
