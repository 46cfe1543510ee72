"""One self-contained HTML page of a run's notebooks, for people without Python.

Code is hidden until asked for, pictures lie inside the file, formulas are drawn, and nothing is
loaded from anywhere: the page can be mailed, and read on a phone or offline.
"""

import base64
import functools
import html
import io
import re
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.edits import edits, scores
from tumorcf_lib.figures import readings
from tumorcf_lib.publish import PublishError, sections, texts
from tumorcf_lib.study import notebooks as runner, reference, runtime, stages

PAGE = "report.html"
TITLE = "Does a brain-tumor classifier look at the tumor?"
FORMULA_PT = 12
FIRST_OPEN = "06"  # earlier notebooks are collapsed: the page is at most 12 screens
MAX_SLICES = 48  # in the gallery, evenly by rank of Net-Drop
SLICES, ROWS = "01_data/slices.csv", "05_counterfactuals/rows_edits.csv.gz"
INPUTS, MASKS = "02_preprocessing/inputs.npy", "02_preprocessing/masks.npy"


def write(study) -> Path:
    """Write ``runs/<profile>/report.html`` from the executed notebooks of a run.

    Nothing is run for it; what is out of date is shown as it is, and named on the page. Equal
    runs give equal pages.
    """
    not_run = {reference.STAGE} if reference.is_installed(study) else set()
    copies = {
        name: runner.executed_copy(study, name) for name in stages.NAMES if name not in not_run
    }
    if missing := [name for name, copy in copies.items() if not copy.is_file()]:
        raise PublishError(
            f"Expected the executed notebooks of profile {study.profile.name!r} in "
            f"{config.shown(study.folder / 'notebooks')}; missing: {', '.join(missing)}. "
            f"Make them with\n    ./run_all.sh {stages.options(study)}"
        )
    notebooks = {name: nbformat.read(copy, 4) for name, copy in copies.items()}
    shown, target = of_run(study), study.folder / PAGE
    text = document(notebooks, _notes(study), warnings=_stale(study), **shown)
    steps.write_whole(target, text)
    print(f"One page, {target.stat().st_size / 1e6:.1f} MB: {config.shown(target)}")
    print("It needs no Python and no network: open it in a browser, or send it to somebody.")
    return target


def document(notebooks, notes, *, warnings=(), answer=(), **slices) -> str:
    """The page of some executed notebooks, by name; they are left as they are.

    ``notes`` are sentences about the run, of which the first says whose slices these are;
    ``warnings`` are to be seen first. ``answer`` (else the last notebook's words) and ``slices``
    are of :func:`of_run`.
    """
    bar = tqdm(notebooks.items(), "one page", unit="notebook", leave=False, disable=None)
    parts = []
    for name, notebook in bar:
        shown = {"body": _body(notebook), "found": _found(notebook), **_opening(notebook)}
        parts.append({"name": name, "is_open": name >= FIRST_OPEN, **shown})
    told = {"notes": notes, "warnings": warnings, "answer": answer or parts[-1]["found"]}
    return sections.render("page.html.j2", title=TITLE, parts=parts, slices=slices, **told)


@functools.cache
def formula(latex: str) -> str:
    """A formula as a picture inside the page, on the line of the words around it.

    Drawn by Matplotlib, which knows enough of LaTeX; what it does not know is shown as typed.

    >>> formula("P").startswith('<img class="math" alt="P" style="height: ')
    True
    >>> formula(r"\\nosuchsymbol")
    '<code>\\\\nosuchsymbol</code>'
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties
    from matplotlib.mathtext import MathTextParser

    text, font = f"${latex}$", FontProperties(size=FORMULA_PT)
    try:
        width, height, depth, *_ = MathTextParser("path").parse(text, dpi=72, prop=font)
    except ValueError:
        return f"<code>{html.escape(latex)}</code>"
    fig, buffer = Figure(figsize=(width / 72, height / 72)), io.BytesIO()
    fig.text(0, depth / height, text, fontproperties=font)
    with rc_context({"svg.hashsalt": "one"}):  # equal formulas, equal bytes
        fig.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    data = base64.b64encode(buffer.getvalue()).decode()
    style = f"height: {height / FORMULA_PT:.3f}em; vertical-align: {-depth / FORMULA_PT:.3f}em"
    return (
        f'<img class="math" alt="{html.escape(latex)}" style="{style}" '
        f'src="data:image/svg+xml;base64,{data}">'
    )


def _notes(study):
    """What a reader of the whole page has to know."""
    profile = study.profile
    notes = [runtime.describe(profile)]
    notes.append(f"Profile {profile.name} ({profile.purpose}), seed {study.seed}.")
    if not profile.is_phantom:
        notes.append("Pictures show slices of the dataset (CC BY 4.0): keep its credit with them.")
    if reference.is_installed(study):
        notes.append("Training (03) was not run here: the published weights took its place.")
    return notes


def _stale(study):
    """What is out of date, in a sentence; nothing if all holds."""
    stale = {}
    for name in stages.NAMES:
        stale.setdefault(stages.why_stale(study, name), []).append(name)
    reasons = [f"{', '.join(names)} ({why})" for why, names in stale.items() if why]
    again = f"./run_all.sh {stages.options(study)} rebuilds them."
    return [f"Out of date: {'; '.join(reasons)}. {again}"] if reasons else []


def _found(notebook):
    """Sentences that a notebook's last code cell displayed, without marks."""
    (*_, last) = (cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    text = "\n".join(out.get("data", {}).get("text/markdown", "") for out in last["outputs"])
    lines = (re.sub(r"^[-*] |[*`]", "", line.strip()) for line in text.splitlines())
    return [line for line in lines if line]


def _opening(notebook):
    """Title and question of a notebook, from its first cell."""
    words = notebook["cells"][0]["source"]
    title = re.search(r"^# (.+)$", words, re.M)
    question = re.search(r"^\*\*(.+?)\*\*$", words, re.M | re.S)
    return {"title": title[1] if title else "", "question": question[1] if question else ""}


def _body(notebook):
    """A notebook's cells as HTML, by nbconvert."""
    from jinja2 import PackageLoader
    from nbconvert import HTMLExporter

    cells = [made for cell in notebook["cells"] if (made := _cell(cell))]
    exporter = HTMLExporter(
        extra_loaders=[PackageLoader("tumorcf_lib.publish")],
        template_file="notebook.html.j2",
        exclude_anchor_links=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    metadata = {k: v for k, v in notebook["metadata"].items() if k != "widgets"}  # a script
    shown = nbformat.from_dict({**notebook, "cells": cells, "metadata": metadata})
    return exporter.from_notebook_node(shown)[0]


def _cell(cell):
    """A cell as the page shows it; None if it is of use to programs only."""
    if texts.SETUP in cell["metadata"].get("tags", []):
        return None
    if cell["cell_type"] == "markdown":
        return {**cell, "source": _prose(cell["source"])}
    shown = filter(texts.is_read, cell["outputs"])
    return {**cell, "outputs": [_output(output, cell["source"]) for output in shown]}


def _output(output, source):
    if output["output_type"] == "stream":
        return {**output, "metadata": {"lines": output["text"].count("\n")}}
    if "image/png" not in output.get("data", {}):
        return output
    data = texts.smaller_png(output["data"]["image/png"].replace("\n", ""))
    figure = re.search(r"save_figure\(\w+, \"(\w+)\"", source)
    alt = f"Figure {figure[1]}; the text below reads it out" if figure else "Figure"
    return {**output, "data": {"text/html": chart(base64.b64decode(data), alt)}}


def _prose(words):
    """Markdown for a page of several notebooks: headings one level down, links inside the page."""
    words = re.sub(r"^\[!\[Open in Binder\].*$", "", words, flags=re.M)  # badges are fetched
    words = re.sub(r"\]\((\d\w+)\.ipynb\)", r"](#\1)", words)
    words = re.sub(r"\]\((\w+\.ipynb)\)", r"](../notebooks/\1)", words)  # not on the page
    address = f"{texts.repository_address()}/blob/{texts.BRANCH}"
    words = re.sub(r"\]\(\.\./([^)]+)\)", rf"]({address}/\1)", words)
    words = re.sub(r"^## ", "### ", words, flags=re.M)
    words = re.sub(r"^# .+$", "", words, flags=re.M)  # it is the summary's
    words = re.sub(r"\$\$(.+?)\$\$", lambda m: f"\n\n{_lines(m[1])}\n\n", words, flags=re.S)
    # A dollar sign within code is no formula's.
    return re.sub(r"`[^`]+`|\$([^$\n]+)\$", lambda m: formula(m[1]) if m[1] else m[0], words)


def _lines(latex):
    """A displayed formula; its parts go one below the other where the page is narrow."""
    parts = re.split(r"\\q?quad", latex.replace("\n", " "))
    return f'<div class="formula">{" ".join(formula(part.strip()) for part in parts)}</div>'


# -- beside the notebooks: the answer, its chart, and slices with edits ------------------------


def of_run(study) -> dict:
    """What the page shows of a run: the answer read from its tables, its chart, the slice in the
    middle of all by Net-Drop, and the gallery; each empty where the run lacks it."""
    folder, told = study.folder / "06_metrics", []
    for name, say in (("table_fall_to", readings.fall_to), ("table_scores", readings.headline)):
        path = folder / f"{name}.csv"
        told += [say(rowfiles.read_table(path))] if path.is_file() else []
    headline, found = folder / "figures" / "fig18_headline.png", slice_scores(study)
    return {
        "answer": told,
        "chart": chart(headline.read_bytes()) if headline.is_file() else "",
        "middle": with_edits(found.iloc[len(found) // 2 :].head(1), study),
        "gallery": gallery(found, study),
        "n_tested": len(found),
    }


def gallery(found, study) -> list[dict]:
    """Slices of the run, evenly by Net-Drop, each with its edit and its place among classes."""
    at = np.linspace(0, max(len(found) - 1, 0), min(MAX_SLICES, len(found))).round()
    chosen = found.iloc[np.unique(at).astype(int)].reset_index(drop=True)
    if len(chosen):
        order = chosen.sort_values(["label", "net_drop"], ascending=[True, False]).index
        chosen["by_class"] = pd.Series(range(len(chosen)), index=order)
    return with_edits(chosen, study)


def slice_scores(study):
    """slice_id, label, p, p_remove and net_drop of each tested slice, the largest first.

    Empty where the run lacks a file of 01, 02 or 05.
    """
    if not all((study.folder / name).is_file() for name in (SLICES, INPUTS, MASKS, ROWS)):
        return pd.DataFrame()
    found = scores.slice_scores(rowfiles.read_table(study.folder / ROWS))
    found = found.dropna(subset="net_drop").rename(columns={"p_orig": "p"})
    found = found[["slice_id", "label", "p", "p_remove", "net_drop"]]
    return found.sort_values("net_drop", ascending=False, kind="stable", ignore_index=True)


def with_edits(chosen, study) -> list[dict]:
    """Rows of :func:`slice_scores` with two pictures: the slice, and without its tumor."""
    if chosen.empty:
        return []
    ids = list(rowfiles.read_table(study.folder / SLICES)["slice_id"])
    slices, masks = (np.load(study.folder / name, mmap_mode="r") for name in (INPUTS, MASKS))
    shown = []
    for row in chosen.to_dict("records"):
        at = ids.index(row["slice_id"])
        slice, mask = np.asarray(slices[at]), np.asarray(masks[at])
        edited = edits.remove(slice, mask)
        shown.append(row | {"picture": _jpeg(slice, slice), "edited": _jpeg(edited, slice)})
    return shown


def chart(png: bytes, alt="The answer in one chart") -> str:
    """A figure that fits the page, and has its own size on a tap."""
    with Image.open(io.BytesIO(png)) as picture:
        width = picture.width
    data = base64.b64encode(png).decode()
    return (
        f'<figure class="plot" style="--natural: {width}px"><label class="zoom">'
        f'<input type="checkbox"><img alt="{html.escape(alt)}" '
        f'src="data:image/png;base64,{data}"></label></figure>'
    )


def _jpeg(image, like):
    """A slice in the window of another, inside the page."""
    low, high = float(like.min()), float(like.max())
    gray = np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255
    buffer = io.BytesIO()
    Image.fromarray(gray.round().astype(np.uint8)).save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
