"""README.md, RESULTS.md and the notebooks' openings, rebuilt from templates and published tables.

No number is typed: see :mod:`sections`. The public address is in ``pyproject.toml`` only.
"""

import base64
import io
import json
import re
import tomllib

import jinja2
import pandas as pd
from PIL import Image

from tumorcf_lib import __version__, config, rowfiles, steps
from tumorcf_lib.publish import sections
from tumorcf_lib.stats.rows import of_patients
from tumorcf_lib.study import stages
from tumorcf_lib.study.notebooks import MEMORY, MINUTES, PROCESSOR

MARK = "<!-- {name}: made by `python -m tumorcf_lib readme` -->"
SETUP = "setup"  # tag of the cell that installs on Colab
SETUP_ENDS = '    sys.path.insert(0, "tumorcf")'
WIDGET = "application/vnd.jupyter.widget-view+json"  # shows nothing without a kernel
EXTRAS = {"audit_your_model": "[study,onnx]"}  # of the package; other notebooks need "study"
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
RESULTS = (
    "accuracy",
    "still_right",
    "scores",
    "ranking",
    "transplants",
    "maps",
    "findings",
    "claims",
    "besides",
    "controls",
    "three",
    "known",
)
"""Parts of RESULTS.md: functions of :mod:`sections`."""


class ReadmeError(RuntimeError):
    """A README or notebook into which generated parts cannot be written."""


def update() -> None:
    """Rebuild README's generated parts, RESULTS.md, and every notebook's opening."""
    path = config.ROOT / "README.md"
    steps.write_whole(path, with_generated_parts(path.read_text(encoding="utf-8")))
    steps.write_whole(config.ROOT / "RESULTS.md", results())
    path = config.ROOT / "CITATION.cff"
    steps.write_whole(path, with_address(path.read_text(encoding="utf-8")))
    for path in sorted(config.NOTEBOOKS.glob("*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        write_notebook(path, with_opening(notebook, path.stem))
    print("Rebuilt: README.md, RESULTS.md, CITATION.cff, and the openings of the notebooks.")


def with_address(citation: str) -> str:
    """CITATION.cff with the public address and this version."""
    for name, value in (("repository-code", f'"{repository_address()}"'), ("version", __version__)):
        citation = re.sub(rf"^{name}: .*$", f"{name}: {value}", citation, flags=re.M)
    return citation


def with_generated_parts(text: str) -> str:
    """README's text with every generated part rebuilt."""
    parts = {
        "badges": badges("notebooks/01_data.ipynb"),
        "answer": sections.answer(),
        "findings": sections.findings(),
        "clone": f"```bash\ngit clone {repository_address()}\ncd tumorcf\n```",
    }
    for name, content in parts.items():
        opening, closing = MARK.format(name=name), f"<!-- end of {name} -->"
        block = f"{opening}\n{content}\n{closing}"
        pattern = re.escape(opening) + ".*?" + re.escape(closing)
        text, n_found = re.subn(pattern, lambda _, block=block: block, text, flags=re.DOTALL)
        if n_found != 1:
            raise ReadmeError(f"README.md has {n_found} places for its generated part {name!r}.")
    return text


def results() -> str:
    """RESULTS.md: all that is published, from its tables."""
    parts = {name: getattr(sections, name)() or sections.MISSING for name in RESULTS}
    text = render("RESULTS.md.j2", **parts, took=took, minutes=minutes(), speed=speed())
    return of_patients(text)


def render(template, **values):
    """A template of this package with some values; a value that is missing is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tumorcf_lib.publish"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(
        interval=sections.interval, table=sections.table, classes=config.CLASSES, **values
    )


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


def setup_cell(name: str) -> str:
    """Source of a notebook's second cell: on Colab it fetches and installs this repository.

    Colab's TensorFlow, Keras and NumPy keep their versions: they fit its drivers, and a kernel
    that has begun cannot change them. Run again, the cell takes the clone that is there.
    """
    clone = f"git clone -q --depth 1 --branch {BRANCH} {repository_address()} tumorcf"
    return (
        "import os\nimport sys\n\n"
        'if "google.colab" in sys.modules:  # everywhere else the environment is already there\n'
        f"    !test -d tumorcf || {clone}\n"
        '    os.path.isdir("tumorcf") or sys.exit("The repository could not be cloned (see above). '
        'Try again, or upload it as the folder tumorcf.")\n'
        '    !pip list --format=freeze | grep -E "^(tensorflow|keras|numpy)==" > keep.txt\n'
        f'    !pip install -q -e "./tumorcf{EXTRAS.get(name, "[study]")}" -c keep.txt'
        "  # adds the rest\n"
        f"{SETUP_ENDS}"
    )


def runtime_line(notebook: str) -> str:
    """Measured minutes of one notebook, for its opening cell."""
    taken = {name: minutes_of(name) for name in config.PROFILES}
    words = [
        f"{name} {own[notebook]:.1f} min ({own.get(PROCESSOR, 'unknown processor')})"
        for name, own in taken.items()
        if notebook in own
    ]
    return f"**Runtime** {', '.join(words) or 'not measured yet'}"


def with_opening(notebook: dict, name: str) -> dict:
    """A notebook whose opening cells have its badges, its setup and its measured minutes.

    Prose around them is left as it is; so is an opening that has no such places.
    """
    cells = notebook["cells"]
    opening = "".join(cells[0]["source"])
    opening = re.sub(r"\*\*Runtime\*\*.*", lambda _: runtime_line(name), opening)
    own = badges(f"notebooks/{name}.ipynb")
    opening = re.sub(r"^\[!\[Open in Binder\].*", lambda _: own, opening, flags=re.M)
    from tumorcf_lib.publish import notebook_answers  # figures, which `verify` need not wait for

    told = notebook_answers.answer(name)
    if told:
        opening = re.sub(r"^\*\*Answer\.\*\*.*", lambda _: told, opening, flags=re.M)
    cells[0]["source"] = opening
    for cell in cells:
        if SETUP in cell["metadata"].get("tags", []):
            rest = "".join(cell["source"]).partition(SETUP_ENDS)[2]  # imports, and what begins
            cell["source"] = setup_cell(name) + rest
    return notebook


def write_notebook(path, made: dict) -> None:
    """Write a committed notebook, as a whole: a half one would stop every command."""
    import nbformat  # here: it takes half a second to import, which `verify` need not wait for

    steps.write_whole(path, nbformat.writes(nbformat.from_dict(made)) + "\n")


def with_outputs(notebook: dict, executed: dict) -> dict:
    """A notebook with the outputs of its executed copy, without times and progress bars.

    Prose and code come from ``notebook``, so that a later correction of a text is kept.
    """
    ran = [cell for cell in executed["cells"] if cell["cell_type"] == "code"]
    ran = [c for c in ran if "injected-parameters" not in c["metadata"].get("tags", [])]
    own = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    if ["".join(c["source"]) for c in ran] != ["".join(c["source"]) for c in own]:
        raise ReadmeError(
            "The executed notebook has other code than the committed one; run it again."
        )
    for cell, source in zip(own, ran, strict=True):
        if source["execution_count"] is None:
            raise ReadmeError("A cell of the executed notebook was not run.")
        if any(output["output_type"] == "error" for output in source["outputs"]):
            raise ReadmeError("A cell of the executed notebook ended in an error.")
        # stderr holds progress bars and messages that name folders of the machine
        cell["outputs"] = [
            o
            for o in source["outputs"]
            if o.get("name") != "stderr" and WIDGET not in o.get("data", {})
        ]
        for output in cell["outputs"]:
            output.get("metadata", {}).clear()
            if "image/png" in output.get("data", {}):
                output["data"]["image/png"] = smaller_png(output["data"]["image/png"])
        cell["execution_count"] = source["execution_count"]
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags")
        cell["metadata"] = {"tags": tags} if tags else {}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": notebook["cells"], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def smaller_png(data: str) -> str:
    """A notebook's picture in at most 256 colors, if that makes it smaller; base64 text."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        picture.convert("RGB").quantize(256).save(buffer, "PNG", optimize=True)
    small = base64.b64encode(buffer.getvalue()).decode()
    return small if len(small) < len(data) else data


# -- minutes and speed ----------------------------------------------------------------------------


def minutes_of(profile) -> dict:
    """Minutes of each notebook in a published run; empty if it is not published."""
    path = config.published(profile) / MINUTES
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def minutes():
    """Minutes of every notebook in the published runs."""
    taken = {name: minutes_of(name) for name in config.PROFILES if minutes_of(name)}
    rows = [
        [
            f"[{name}](notebooks/{name}.ipynb)",
            *(f"{own[name]:.1f}" if name in own else "" for own in taken.values()),
        ]
        for name in stages.NAMES
    ]
    rows.append(
        [
            "all",
            *(
                f"**{sum(own.get(name, 0) for name in stages.NAMES):.1f}**"
                for own in taken.values()
            ),
        ]
    )
    heads = [f"{name}: {own.get(PROCESSOR, 'unknown processor')}" for name, own in taken.items()]
    return sections.table(["notebook", *heads], rows) if taken else sections.MISSING


def took(level) -> str:
    """Measured time and memory of a level of reproduction, ending in a comma; or nothing."""
    own = minutes_of("paper-lite" if level == "reference" else level)
    names = stages.NAMES[3:] if level == "reference" else stages.NAMES
    if own:
        is_whole = MEMORY in own and level != "reference"
        memory = f"{own[MEMORY]:.1f} GB of memory, " if is_whole else ""
        return f"{sum(own.get(name, 0) for name in names):.0f} minutes ({own[PROCESSOR]}), {memory}"
    units = config.published(level) / "units.csv"
    if units.is_file():
        each = rowfiles.read_table(units)["minutes"]
        return f"{each.min():.0f} to {each.max():.0f} minutes a fold, 2 cores, "
    return ""


def speed():
    """How much faster than the obvious way, from the committed benchmarks."""
    path = config.ROOT / "benchmarks" / "results.csv"
    if not path.is_file():
        return sections.MISSING
    found = pd.read_csv(path, keep_default_na=False, na_values=[""])
    rows = []
    for (benchmark, case), words in SPEEDS.items():
        named = (found["case"] == case) | found["case"].str.startswith(f"{case}:")
        own = found[(found["benchmark"] == benchmark) & named]
        told = [
            f"{float(f'{row.ratio:.2g}'):.10g}"
            + (f" ({row.setting.split(', ')[-1]})" if len(own) > 1 else "")
            for row in own.itertuples()
        ]
        rows.append([*words.split(" / "), ", ".join(told)])
    return sections.table(["what", "beside the obvious way", "times as fast"], rows)
