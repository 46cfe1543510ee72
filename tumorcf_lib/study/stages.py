"""Stages: what each notebook reads and writes, and whether that still holds.

A stage is one notebook's folder under ``runs/<profile>/``. When it is finished it records its
profile and seed, the code that made it (its notebook's cells and the modules named in
:mod:`study.made_by`), and the files it read. A later notebook refuses a stage whose record no
longer fits.
"""

import json
import shlex
from pathlib import Path

from tumorcf_lib import __version__, config, digests, pins, steps
from tumorcf_lib.data import finding
from tumorcf_lib.study import made_by

NEEDS = {
    "01_data": (),
    "02_preprocessing": ("01_data",),
    "03_training": ("01_data", "02_preprocessing"),
    "04_evaluation": ("01_data", "02_preprocessing", "03_training"),
    "05_counterfactuals": ("01_data", "02_preprocessing", "03_training"),
    "06_metrics": ("04_evaluation", "05_counterfactuals"),
    "audit_your_model": ("03_training",),
    "controls": ("04_evaluation", "05_counterfactuals", "06_metrics"),
    "evidence": (),
}
"""Notebook -> the stages whose files it reads."""
NAMES = tuple(name for name in NEEDS if name[0].isdigit())
GUIDES = tuple(name for name in NEEDS if name not in NAMES)
"""Notebooks beside the study, which only read: for readers with a classifier of their own, and on
the published studies that take too long for a notebook. Nothing depends on them."""

READS_DATASET = ("01_data", "02_preprocessing")
SHOWN = "the code of its tables and figures"


class StageError(RuntimeError):
    """A stage that is missing, unfinished, damaged, out of date, in use, or not of this run."""


def groups(names, at_once=2):
    """The notebooks in order, those next to each other that need nothing of each other together.

    >>> groups(NAMES[2:])
    [['03_training'], ['04_evaluation', '05_counterfactuals'], ['06_metrics']]
    """
    made = [[names[0]]]
    for name in names[1:]:
        is_free = len(made[-1]) < at_once and not set(NEEDS[name]) & set(made[-1])
        made = [*made[:-1], [*made[-1], name]] if is_free else [*made, [name]]
    return made


def between(first="", last="") -> tuple[str, ...]:
    """The notebooks from one to another, each by its number or name; else from, and to, the end.

    >>> between("02", "3")
    ('02_preprocessing', '03_training')
    """
    places = {word: k for k, name in enumerate(NAMES) for word in (name, name[:2], name[1:2])}
    for value in filter(None, (first, last)):
        if value not in places:
            raise StageError(f"There is no notebook {value!r}; choose one of: {', '.join(NAMES)}.")
    begin, end = places[first or NAMES[0]], places[last or NAMES[-1]]
    if begin > end:
        raise StageError(f"--from {first} comes after --to {last}: nothing to run.")
    return NAMES[begin : end + 1]


def why_stale(study, name: str, *, shown=True) -> str | None:
    """Why a stage has to be made again, in words; None if it still holds.

    With ``shown`` False only its data count, that later stages read: not how tables are derived
    from rows and figures drawn.
    """
    try:
        kept = record(study, name)
    except steps.RecordError as error:
        return str(error)
    then = kept["depends_on"]
    for key, now in fingerprint(study, name).items():
        if now != then.get(key) and (shown or key != SHOWN):
            is_short = len(now) < 30 and key in then
            return f"{key} changed since" + (f" ({then[key]}, now {now})" if is_short else "")
    for needed, files in kept["reads"].items():
        if any(_hashes(study, needed).get(file) != digest for file, digest in files.items()):
            return f"the data of {needed} changed since"
    drawn = kept["figure_hashes"].items() if shown else ()
    figures = {f"figures/{file}": digest for file, digest in drawn}
    return steps.why_foreign(study.folder / name, kept["hashes"] | figures)


def _hashes(study, name) -> dict:
    """Hashes of a stage's files, none if it is not finished or its record is damaged."""
    try:
        return record(study, name)["hashes"]
    except steps.RecordError:
        return {}


def record(study, name: str) -> dict:
    """What a finished stage recorded of itself, as :func:`steps.read_record`."""
    return steps.read_record(study.folder / name)


def versions() -> dict[str, str]:
    """Versions of this project and of the packages that its results depend on."""
    found = {name: pins.version_of(name) for name in made_by.ALL_PACKAGES}
    return {"tumorcf": __version__, **found}


def options(study) -> str:
    """How a command line names this study: its profile, its dataset if that lies elsewhere, and
    its seed if that is not 0."""
    words = f"--profile {study.profile.name}"
    if config.names_data_folder() and not study.profile.is_phantom:
        words += f" --data {shlex.quote(str(config.data_folder()))}"
    return words + (f" --seed {study.seed}" if study.seed else "")


def summary(kept: dict) -> str:
    """What a finished stage wrote, in a few words."""
    files = [name for name in kept["hashes"] if not name.startswith("numbers")]
    n_figures = len(kept["figures"])
    figures = f"; {n_figures} figure{'s' * (n_figures > 1)}" if n_figures else ""
    return (", ".join(files) or "no data files") + figures


def fingerprint(study, name: str) -> dict[str, str]:
    """All that a stage's outputs depend on, by a name to show people: versions, or hashes."""
    settings = {k: v for k, v in study.profile.as_dict().items() if k != "purpose"}
    is_phantom, source, start = study.profile.is_phantom, (), made_by.STARTS_FROM.get(name, ())
    if name in READS_DATASET and is_phantom:
        source, start = made_by.PHANTOM, start + made_by.TEMPLATE
    elif name in READS_DATASET:
        source = made_by.DATASET
    cells = digests.source_digest("\n".join(code_cells(config.NOTEBOOKS / f"{name}.ipynb")))
    parts = {
        "the profile": steps.sha256(json.dumps(settings, sort_keys=True).encode()),
        "the seed": str(study.seed),
        "the code": f"{cells} {digests.code_digest(*made_by.DATA_CODE[name], *source)}",
        SHOWN: digests.code_digest(*made_by.SHOWN_CODE[name]),
    }
    parts |= {f"the package {each}": pins.version_of(each) for each in made_by.ALL_PACKAGES}
    if start:
        parts["what it starts from"] = digests.inputs_digest(*start)
    if name in READS_DATASET and not is_phantom:
        parts["the dataset"] = finding.fingerprint(config.data_folder())
    return parts


def code_cells(notebook: Path) -> list[str]:
    """Sources of a notebook file's code cells but the setup and injected ones."""
    passed_over = {"setup", "injected-parameters"}
    return [
        "".join(cell["source"])
        for cell in steps.read_json(notebook)["cells"]
        if cell["cell_type"] == "code" and not passed_over & set(cell["metadata"].get("tags", []))
    ]


def require(study, name, *, wanted_by):
    """Raise :class:`StageError`, naming the command that helps, unless ``name`` still holds."""
    reason = why_stale(study, name, shown=False)
    if reason is None:
        return
    last = max(NAMES.index(needed) for needed in NEEDS[wanted_by])
    command = f"{options(study)} --to {NAMES[last][:2]}"
    raise StageError(
        f"{wanted_by} needs what {name} makes for profile {study.profile.name!r}, and that is "
        f"not ready: {reason}. Make it in a terminal, in the repository's folder, with\n"
        f"    ./run_all.sh {command}\n"
        f"or, on Colab, in a cell here, with\n"
        f"    !python -m tumorcf_lib run {command}\n"
        "or run the notebooks before this one, in their order. Then run this one again."
    )
