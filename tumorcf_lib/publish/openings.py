"""Committed notebooks: their generated openings, and the outputs of the published run.

An opening has badges, the answer in two sentences, measured minutes, and the setup cell.
"""

import base64
import io
import re

import nbformat
from PIL import Image

from tumorcf_lib import config, steps
from tumorcf_lib.figures import readings
from tumorcf_lib.publish import PublishError, sections
from tumorcf_lib.publish.texts import BRANCH, badges, minutes_of, repository_address
from tumorcf_lib.study import reading, side_studies
from tumorcf_lib.study.notebooks import PROCESSOR
from tumorcf_lib.tables import study

SETUP = "setup"  # tag of the cell that installs on Colab
SETUP_ENDS = '    sys.path.insert(0, "tumorcf")'
WIDGET = "application/vnd.jupyter.widget-view+json"  # shows nothing without a kernel
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
EXTRAS = {"audit_your_model": "[study,onnx]"}  # of the package; other notebooks need "study"


def update() -> None:
    """Rebuild every notebook's opening."""
    for path in sorted(config.NOTEBOOKS.glob("*.ipynb")):
        notebook = steps.read_json(path)
        write_notebook(path, with_opening(notebook, path.stem))
    print("Rebuilt: the openings of the notebooks.")


def with_opening(notebook: dict, name: str) -> dict:
    """A notebook whose opening cells have its badges, its setup and its measured minutes.

    Prose around them is left as it is; so is an opening that has no such places.
    """
    cells = notebook["cells"]
    opening = "".join(cells[0]["source"])
    opening = re.sub(r"\*\*Runtime\*\*.*", lambda _: runtime_line(name), opening)
    own = badges(f"notebooks/{name}.ipynb")
    opening = re.sub(r"^\[!\[Open in Binder\].*", lambda _: own, opening, flags=re.M)
    if told := answer(name):
        opening = re.sub(r"^\*\*Answer\.\*\*.*", lambda _: told, opening, flags=re.M)
    cells[0]["source"] = opening
    for cell in cells:
        if SETUP in cell["metadata"].get("tags", []):
            rest = "".join(cell["source"]).partition(SETUP_ENDS)[2]  # imports, and what begins
            cell["source"] = setup_cell(name) + rest
    return notebook


def write_notebook(path, made: dict) -> None:
    """Write a committed notebook, as a whole: a half one would stop every command."""
    steps.write_whole(path, nbformat.writes(nbformat.from_dict(made)) + "\n")


def setup_cell(name: str) -> str:
    """Source of a notebook's second cell: on Colab it fetches and installs this repository.

    Colab's TensorFlow, Keras and NumPy keep their versions: they fit its drivers, and a kernel
    that has begun cannot change them. Run again, the cell takes the clone that is there.
    """
    address, extras = repository_address(), EXTRAS.get(name, "[study]")
    own = {"branch": BRANCH, "address": address, "extras": extras, "end": SETUP_ENDS}
    return sections.render("setup.py.j2", **own).rstrip("\n")


def runtime_line(notebook: str) -> str:
    """Measured minutes of one notebook, for its opening cell."""
    words = [
        f"{name} {own[notebook]:.1f} min ({own.get(PROCESSOR, 'unknown processor')})"
        for name in config.PROFILES
        if notebook in (own := minutes_of(name))
    ]
    return f"**Runtime** {', '.join(words) or 'not measured yet'}"


def with_outputs(notebook: dict, executed: dict) -> dict:
    """A notebook with the outputs of its executed copy, without times and progress bars.

    Prose and code come from ``notebook``, so that a later correction of a text is kept.
    """
    own, ran = (
        [cell for cell in one["cells"] if cell["cell_type"] == "code" and not _is_injected(cell)]
        for one in (notebook, executed)
    )
    if ["".join(c["source"]) for c in ran] != ["".join(c["source"]) for c in own]:
        raise PublishError(
            "The executed notebook has other code than the committed one; run it again."
        )
    for cell, source in zip(own, ran, strict=True):
        failed = any(output["output_type"] == "error" for output in source["outputs"])
        if failed or source["execution_count"] is None:
            raise PublishError("A cell of the executed notebook was not run, or ended in an error.")
        cell["outputs"] = [output for output in source["outputs"] if is_read(output)]
        for output in cell["outputs"]:
            output.get("metadata", {}).clear()
            if "image/png" in output.get("data", {}):
                output["data"]["image/png"] = smaller_png(output["data"]["image/png"])
        cell["execution_count"] = source["execution_count"]
    for cell in notebook["cells"]:
        cell["metadata"] = {k: v for k, v in cell["metadata"].items() if k == "tags" and v}
    return {"cells": notebook["cells"], "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}


def _is_injected(cell):
    """Parameters of a run, which Papermill put into its copy."""
    return "injected-parameters" in cell["metadata"].get("tags", [])


def is_read(output) -> bool:
    """Not stderr (progress bars, messages that name folders), nor a widget."""
    return output.get("name") != "stderr" and WIDGET not in output.get("data", {})


def smaller_png(data: str) -> str:
    """A notebook's picture in at most 256 colors, if that makes it smaller; base64 text."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        picture.convert("RGB").quantize(256).save(buffer, "PNG", optimize=True)
    small = base64.b64encode(buffer.getvalue()).decode()
    return small if len(small) < len(data) else data


def answer(name: str) -> str | None:
    """The answer in a notebook's opening; None for one without, or where nothing is published."""
    read = side_studies.published(study.REFERENCE)
    if not (read and side_studies.published(study.POOLED)):
        return None
    known = {"readings": readings, "patients": reading.patients}
    told = sections.render("answers.md.j2", name=name, read=read, **known)
    return f"**Answer.** {told.strip()}" if told.strip() else None
