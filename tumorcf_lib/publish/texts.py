"""README.md, RESULTS.md, CITATION.cff and the notebooks' openings, rebuilt from templates and
published tables; and the outputs of the published run in committed notebooks.

No number is typed. The public address is in ``pyproject.toml`` only. An opening has badges, the
answer in two sentences, measured minutes, and the setup cell.
"""

import base64
import io
import re
import tomllib

import pandas as pd
from PIL import Image

from tumorcf_lib import __version__, config, rowfiles, steps
from tumorcf_lib.figures.style import infill_name
from tumorcf_lib.publish import PublishError, sections
from tumorcf_lib.stats.rows import of_patients
from tumorcf_lib.study import stages
from tumorcf_lib.study.notebooks import AT_ONCE, MEMORY, MINUTES, PROCESSOR
from tumorcf_lib.study.side_studies import published
from tumorcf_lib.tables import study
from tumorcf_lib.tables.controls import grown_px
from tumorcf_lib.tables.symmetric import ALL_IDS, WHOSE, WITHOUT_MR

MARK = "<!-- {name}: made by `python -m tumorcf_lib readme` -->"
COLAB = "https://colab.research.google.com"
BRANCH = "main"  # whose notebooks the badges open, and whose code their setup cells take
SPEEDS = {
    ("reader", "later, and every pixel looked at"): "reading the dataset again / every .mat",
    ("phantom", "phantom.make_cohort"): "drawing phantoms / resampling volumes slice by slice",
    ("inpainting", "edits.remove"): "removing tumors / inpainting the whole slice",
    ("sham places", "shams.legal_places"): "all places of a sham / trying each place",
    ("network", "norms folded"): "prediction with norms folded / as built",
    ("training", "as the profile trains"): "a training step as the profile does / of all layers",
}
SETUP = "setup"  # tag of the cell that installs on Colab
SETUP_ENDS = '    sys.path.insert(0, "tumorcf")'
WIDGET = "application/vnd.jupyter.widget-view+json"  # shows nothing without a kernel
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
EXTRAS = {"audit_your_model": "[study,onnx]"}  # of the package; other notebooks need "study"


def update() -> None:
    """Rebuild README's generated parts, RESULTS.md, CITATION.cff and the notebooks' openings."""
    path = config.ROOT / "README.md"
    steps.write_whole(path, with_generated_parts(path.read_text(encoding="utf-8")))
    steps.write_whole(config.ROOT / "RESULTS.md", results())
    path = config.ROOT / "CITATION.cff"
    steps.write_whole(path, with_address(path.read_text(encoding="utf-8")))
    for path in sorted(config.NOTEBOOKS.glob("*.ipynb")):
        write_notebook(path, with_opening(steps.read_json(path), path.stem))
    print("Rebuilt: README.md, RESULTS.md, CITATION.cff and the openings of the notebooks.")


def with_address(citation: str) -> str:
    """CITATION.cff with the public address and this version."""
    for name, value in (("repository-code", f'"{repository_address()}"'), ("version", __version__)):
        citation = re.sub(rf"^{name}: .*$", f"{name}: {value}", citation, flags=re.M)
    return citation


def with_generated_parts(text: str) -> str:
    """README's text with every generated part rebuilt."""
    parts = {
        "badges": badges("notebooks/01_data.ipynb"),
        "answer": sections.part("answer"),
        "findings": sections.part("findings"),
        "clone": f"```bash\ngit clone {repository_address()}\ncd tumorcf\n```",
    }
    for name, content in parts.items():
        opening, closing = MARK.format(name=name), f"<!-- end of {name} -->"
        block = f"{opening}\n{content}\n{closing}"
        pattern = re.escape(opening) + ".*?" + re.escape(closing)
        text, n_found = re.subn(pattern, lambda _, block=block: block, text, flags=re.DOTALL)
        if n_found != 1:
            raise PublishError(f"README.md has {n_found} places for its generated part {name!r}.")
    return text


def results() -> str:
    """RESULTS.md: all that is published, from its tables."""
    text = sections.render(
        "RESULTS.md.j2",
        sections=sections,
        cv=published(study.POOLED),
        lite=published(study.REFERENCE),
        kept_apart=(ALL_IDS, WITHOUT_MR),
        removed=WHOSE,
        grown_px=grown_px,
        infill_name=infill_name,
        took=took,
        total=total,
        stages=stages.NAMES,
        minutes={name: own for name in config.PROFILES if (own := minutes_of(name))},
        speed=speed(),
    )
    return of_patients(text)


# -- openings of the notebooks --------------------------------------------------------------------


def repository_address() -> str:
    """The public address, which is written in ``pyproject.toml`` only."""
    text = (config.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["project"]["urls"]["Repository"]


def badges(path: str) -> str:
    """Binder and Colab badges of a notebook."""
    address = repository_address().removeprefix("https://github.com/")
    binder = f"https://mybinder.org/v2/gh/{address}/HEAD?urlpath=lab/tree/{path}"
    return (
        f"[![Open in Binder](https://mybinder.org/badge_logo.svg)]({binder}) "
        f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]"
        f"({COLAB}/github/{address}/blob/{BRANCH}/{path})"
    )


# -- minutes and speed ----------------------------------------------------------------------------


def minutes_of(profile) -> dict:
    """Minutes of each notebook in a published run; empty if it is not published."""
    path = config.published(profile) / MINUTES
    return steps.read_json(path) if path.is_file() else {}


def total(minutes, names=stages.NAMES):
    """Minutes of several notebooks together, of those that ran side by side the longest."""
    groups = stages.groups(names, minutes.get(AT_ONCE, 1))
    return sum(max(minutes.get(name, 0) for name in group) for group in groups)


def took(level) -> str:
    """Measured time and memory of a level of reproduction, ending in a comma; or nothing."""
    if level == "reference" and (own := minutes_of("paper-lite")):
        return f"{total(own, stages.NAMES[3:]):.0f} minutes ({own[PROCESSOR]}), "
    if own := minutes_of(level):
        memory = f"{own[MEMORY]:.1f} GB of memory, " if MEMORY in own else ""
        return f"{total(own):.0f} minutes ({own[PROCESSOR]}), {memory}"
    units = config.published(level) / "units.csv"
    if units.is_file():
        each = rowfiles.read_table(units).query("network == 'plain'")["minutes"]
        return f"{each.min():.0f} to {each.max():.0f} minutes a fold, 2 cores, "
    return ""


def speed():
    """How much faster than the obvious way, from the committed benchmarks."""
    path = config.ROOT / "benchmarks" / "results.csv"
    found = pd.read_csv(path, keep_default_na=False, na_values=[""])
    rows = []
    for (benchmark, case), words in SPEEDS.items():
        named = found["case"].str.partition(":")[0] == case
        own = found[(found["benchmark"] == benchmark) & named]
        told = [f"{float(f'{ratio:.2g}'):.10g}" for ratio in own["ratio"]]
        if len(own) > 1:
            settings = own["setting"].str.split(", ").str[-1]
            told = [f"{ratio} ({setting})" for ratio, setting in zip(told, settings, strict=True)]
        rows.append([*words.split(" / "), ", ".join(told)])
    lines = [["what", "beside the obvious way", "times as fast"], ["---"] * 3, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# -- committed notebooks: openings, and outputs of the published run ------------------------------


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
    import nbformat  # which verify need not, nor figures below

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
    from tumorcf_lib.figures import readings
    from tumorcf_lib.study import reading

    read = published(study.REFERENCE)
    if not (read and published(study.POOLED)):
        return None
    known = {"readings": readings, "patients": reading.patients}
    told = sections.render("answers.md.j2", name=name, read=read, **known)
    return f"**Answer.** {told.strip()}" if told.strip() else None
