"""One self-contained HTML page: a template, tables and pictures; what users wrote is escaped."""

import base64
import io
import textwrap

import jinja2
import markupsafe
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tumorcf_lib.edits import plan, sites
from tumorcf_lib.figures import style
from tumorcf_lib.your_model.adapter import answers_to

WITHOUT, SHAM = "#D55E00", "#0072B2"
N_SQUARES, N_LOOKED_AT = 8, 4
SHOWN = ("original", "remove", "sham", "only")


def write(path, template, **values):
    """A template of this package as a file of its own: tables are HTML, figures PNG inside it."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tumorcf_lib.your_model"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"table": _table, "png": _png}
    text = environment.get_template(template).render(values)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _table(frame):
    """A DataFrame without its index, every cell whole."""
    how = {"index": False, "border": 0, "justify": "left", "na_rep": ""}
    with pd.option_context("display.max_colwidth", None):
        made = frame.rename_axis(columns=None).to_html(float_format="{:.3f}".format, **how)
    return markupsafe.Markup(made)


def _png(fig):
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return base64.b64encode(buffer.getvalue()).decode()


def plain(text, width=34) -> str:
    """A name as Matplotlib shall write it: no formula, wrapped.

    >>> plain("a$_$")
    'a\\\\$_\\\\$'
    """
    return textwrap.fill(str(text), width).replace("$", r"\$")


# -- Pictures, for any number of classes with names of any length ------------


def shares(table):
    """Share of slices that keep their answer, from a table of group, n_slices, kept, kept_sham."""
    fig = Figure(figsize=(5, 1.1 + 0.45 * len(table)), layout="constrained")
    axes, y = fig.subplots(), np.arange(len(table))[::-1]
    axes.barh(y - 0.18, 100 * table["kept"], 0.34, color=WITHOUT, label=style.EDIT_NAMES["remove"])
    axes.barh(y + 0.18, 100 * table["kept_sham"], 0.34, color=SHAM, label=style.EDIT_NAMES["sham"])
    names = [plain(f"{g} (n = {n})") for g, n in zip(table["group"], table["n_slices"])]
    axes.set_yticks(y, names)
    axes.set(xlim=(0, 100), ylim=(-0.6, len(table) - 0.4))
    axes.set_xlabel("slices that keep their answer (%)", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    fig.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=8)
    return fig


def examples(cohort, rows, chosen):
    """Some prepared slices and their edits, side by side; p_true of the rows above each."""
    fig = Figure(figsize=(8, 2.6 * len(chosen)), layout="constrained")
    fig.get_layout_engine().set(rect=(0, 0, 1, 0.96), hspace=0.12)
    axes = fig.subplots(len(chosen), len(SHOWN), squeeze=False)
    for line, i in zip(axes, chosen, strict=True):
        image, mask = cohort.slices[i], cohort.masks[i]
        window = style.window([image]) if image.ndim == 2 else None
        own = rows[rows["slice_id"] == cohort.table["slice_id"].iloc[i]]
        for ax, edit in zip(line, SHOWN, strict=True):
            ax.set_axis_off()
            for _, row in own[own["edit"] == edit].head(1).iterrows():
                edited = sites.gray(plan.recreate(image, mask, row))
                style.show_slice(ax, edited, window, mask if edit == "original" else None)
                ax.set_title(f"{style.EDIT_NAMES[edit]}: {row['p_true']:.2f}", fontsize=8)
        name = plain(cohort.classes[cohort.labels[i]], 90)
        words = line[0].text(0, 1.14, name, transform=line[0].transAxes, fontsize=8)
        words.set_in_layout(False)  # it may reach over the other columns
    return fig


def contact_sheet(cohort, n=24):
    """Slices of a sample with the outlines of their masks."""
    n = min(n, len(cohort.slices))
    columns, lines = min(6, n), -(-n // 6)
    fig = Figure(figsize=(1.5 * columns, 1.7 * lines), layout="constrained")
    for k, ax in enumerate(fig.subplots(lines, columns, squeeze=False).flat):
        ax.set_axis_off()
        if k < n:
            style.show_slice(ax, sites.gray(cohort.slices[k]), mask=cohort.masks[k])
            ax.set_title(plain(str(cohort.table["slice_id"].iloc[k])[-24:]), fontsize=6)
    return fig


# -- Where a classifier looks: a square is hidden, and the answer is asked for again ----------


def looks(cohort, predict):
    """A picture of some prepared slices, and in words where hiding moves the answer most.

    A square of an eighth of the slice's side is filled from its surroundings; its value is how far
    the probability of the class given on the whole slice falls. None without a tumor.
    """
    drawn = np.flatnonzero(cohort.masks.any(axis=(1, 2)))[:N_LOOKED_AT]
    if not len(drawn):
        return None
    fig, shares = Figure(figsize=(2.2 * len(drawn), 2.4), layout="constrained"), []
    height, width = cohort.masks.shape[1:]
    rows, columns = (np.arange(n) * N_SQUARES // n for n in (height, width))
    square = N_SQUARES * rows[:, None] + columns  # (height, width), which one a pixel is in
    every = np.arange(N_SQUARES**2)
    over = {"cmap": "magma", "alpha": 0.45, "extent": (-0.5, width - 0.5, height - 0.5, -0.5)}
    for ax, i in zip(fig.subplots(1, len(drawn), squeeze=False)[0], drawn, strict=True):
        image, mask = cohort.slices[i], cohort.masks[i]
        about = sites.About(image, mask)
        hidden = [about.removed(square == k, "navier_stokes") for k in every]
        p = answers_to(predict, np.stack([image, *hidden]))
        fall = np.maximum(p[0].max() - p[1:, p[0].argmax()], 0)
        inside = np.array([about.head.mask[square == k].mean() > 0.5 for k in every])
        where = np.where(np.isin(every, square[mask]), 0, np.where(inside, 1, 2))
        shares.append(np.bincount(where, fall, minlength=3))
        style.show_slice(ax, sites.gray(image), mask=mask)
        ax.imshow(fall.reshape(N_SQUARES, N_SQUARES), **over)
    shares = [falls / falls.sum() for falls in shares if falls.sum() > 0]
    if not shares:
        return fig, "Hiding a square of an eighth of the side moves no answer."
    tumor, elsewhere, outside = np.mean(shares, axis=0)
    return fig, (
        f"Squares were hidden one after the other on {len(drawn)} slices. Of all falls of the "
        f"answer's probability, {tumor:.0%} come from squares that hold tumor, {elsewhere:.0%} "
        f"from the rest of the head, {outside:.0%} from outside it. Bright: hiding this square "
        "moves the answer."
    )
