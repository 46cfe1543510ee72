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
from tumorcf_lib.figures import forests, slices, style

KEPT = {"kept": style.EDIT_NAMES["remove"], "kept_sham": style.EDIT_NAMES["sham"]}
LOOKS = {KEPT["kept"]: {"color": "#D55E00"}, KEPT["kept_sham"]: {"color": "#0072B2"}}
N_SQUARES, N_LOOKED_AT, N_ON_SHEET = 8, 4, 24


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


@style.figure
def shares(table):
    """Share of slices that keep their answer, from the rows of a table of means in `KEPT`."""
    first = table.drop_duplicates("group")
    names = [plain(f"{row.group} (n = {row.n_slices})", 50) for row in first.itertuples()]
    marks = forests.marks(table.replace({"score": KEPT}), list(first["group"]), "group", "score")
    panel = forests.Panel("slices that keep their answer", marks, line=None)
    return forests.forest(names, [panel], LOOKS, height=0.45)


def examples(cohort, rows, chosen):
    """Some prepared slices and their edits, as the study shows its own."""
    shown = []
    for i in chosen:
        image, mask, name = cohort.slices[i], cohort.masks[i], cohort.classes[cohort.labels[i]]
        own = rows[rows["slice_id"] == cohort.table["slice_id"].iloc[i]]
        own = own[own["edit"].isin(slices.BARS)].drop_duplicates("edit")
        own = {row["edit"]: row for row in own.to_dict("records")}
        shown.append(
            {
                "label": plain(name, 18),
                "images": {e: sites.gray(plan.recreate(image, mask, r)) for e, r in own.items()},
                "masks": {edit: plan.region_of(mask, row) for edit, row in own.items()},
                "p": {edit: row[f"p_{name}"] for edit, row in own.items()},
            }
        )
    return slices.edits(shown)


def contact_sheet(cohort):
    """Slices of a sample with the outlines of their masks."""
    n = min(N_ON_SHEET, len(cohort.slices))
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
        p = predict(np.stack([image, *hidden]))
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
