"""Stages: what each notebook reads and writes, and whether that still holds.

A stage is one notebook's folder under ``runs/<profile>/``. When it is finished it records a hash
of its profile and seed, of the code that made it (its notebook's cells and the modules named in
:mod:`study.made_by`), and of the files it read. A later notebook refuses a stage whose record no
longer fits.
"""

import json
import shlex
from pathlib import Path

from tumorcf_lib import __version__, config, digests, pins, steps
from tumorcf_lib.data import finding
from tumorcf_lib.study import made_by, runtime

NAMES = (
    *("01_data", "02_preprocessing", "03_training"),
    *("04_evaluation", "05_counterfactuals", "06_metrics"),
)
GUIDES = ("audit_your_model", "controls", "evidence")
"""Notebooks beside the study, which only read: for readers with a classifier of their own, and on
the published studies that take too long for a notebook. Nothing depends on them."""

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
RECORD = steps.RECORD

READS_DATASET = ("01_data", "02_preprocessing")
SHOWN = "the code of its tables and figures"


RECORDED = ("depends_on", "reads", "hashes", "sizes", "figures", "figure_hashes", "versions")
"""Dictionaries that a stage's record has to hold."""


class StageError(RuntimeError):
    """A stage that is missing, unfinished, damaged, out of date, in use, or not of this run."""


def find_stage(value: str) -> str:
    """Name of a stage from its number or name.

    >>> find_stage("04")
    '04_evaluation'
    """
    for name in NAMES:
        if value in (name, name[:2], name[1:2]):
            return name
    raise StageError(f"There is no notebook {value!r}; choose one of: {', '.join(NAMES)}.")


def why_stale(study, name: str, *, shown=True) -> str | None:
    """Why a stage has to be made again, in words; None if it still holds.

    With ``shown`` False only its data count, that later stages read: not how tables are derived
    from rows and figures drawn.
    """
    folder = study.folder / name
    if not (folder / RECORD).exists():
        return "it was never finished"
    try:
        kept = record(study, name)
    except StageError:
        return f"its record {RECORD} is damaged"
    for key, now in fingerprint(study, name).items():
        if now != kept["depends_on"].get(key) and (shown or key != SHOWN):
            return _what_changed(key, now, kept)
    for needed, files in kept["reads"].items():
        if any(_hashes(study, needed).get(file) != digest for file, digest in files.items()):
            return f"the data of {needed} changed since"
    drawn = {"hashes": kept["figure_hashes"] if shown else {}}
    data = steps.why_foreign(folder, kept)
    return data or steps.why_foreign(folder / "figures", drawn, "figure")


def tell(study) -> None:
    """Print of every stage whether it holds."""
    for name in NAMES:
        print(f"{name:<20} {why_stale(study, name) or 'up to date'}")


def _what_changed(key, now, kept):
    """A part of the fingerprint that no longer fits, in words."""
    was = kept["depends_on"].get(key)
    if key.startswith("profile ") and was is None:
        others = [name for name in kept["depends_on"] if name.startswith("profile ")]
        return f"it was made for {others[0]}" if others else "it does not say for which profile"
    if key == "the seed" and was is not None:
        return f"it was made with seed {was}"
    then, here = kept["versions"], versions()
    if key == "the code" and then.get("tumorcf", __version__) != __version__:
        return f"it was made by version {then['tumorcf']} of this project, here is {__version__}"
    others = [f"{n} {v}, here {here[n]}" for n, v in then.items() if here.get(n, v) != v]
    told = f" (then {'; '.join(others)})" if others and key == "the packages" else ""
    return f"{key} changed since{told}"


def _hashes(study, name) -> dict:
    """Hashes of a stage's files, none if it is not finished or its record is damaged."""
    try:
        return record(study, name)["hashes"]
    except (FileNotFoundError, StageError):
        return {}


def record(study, name: str) -> dict:
    """What a finished stage recorded of itself: hashes, sizes, figures.

    Raises FileNotFoundError if it was never finished, StageError if the file is damaged.
    """
    return read_record(study.folder, name, f"{options(study)} ")


def read_record(folder: Path, name: str, told="") -> dict:
    """:func:`record` of a run's folder; ``told`` are a command's options that name the run."""
    try:
        kept = steps.read_record(folder / name)
        if all(isinstance(kept.get(key), dict) for key in RECORDED):
            return kept
        problem = f"{config.shown(folder / name / RECORD)} lacks a part of a stage's record"
    except steps.DamagedRecordError as error:
        problem = str(error)
    raise StageError(
        f"{problem}. Make {name} again by ./run_all.sh {told}--from {name[:2]} --to {name[:2]}"
    )


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
    """Hashes of all that a stage's outputs depend on, by a name to show people."""
    profile = {k: v for k, v in study.profile.as_dict().items() if k != "purpose"}
    is_phantom, source, start = study.profile.is_phantom, (), made_by.STARTS_FROM.get(name, ())
    if name in READS_DATASET and is_phantom:
        source, start = made_by.PHANTOM, start + made_by.TEMPLATE
    elif name in READS_DATASET:
        source = made_by.DATASET
    cells = digests.source_digest("\n".join(code_cells(config.NOTEBOOKS / f"{name}.ipynb")))
    library = digests.code_digest(*made_by.DATA_CODE[name], *source)
    parts = {
        f"profile {study.profile.name}": json.dumps(profile, sort_keys=True),
        "the code": f"{cells} {library}",
        "the packages": " ".join(map(pins.version_of, made_by.ALL_PACKAGES)),
    }
    parts = {key: steps.sha256(text.encode()) for key, text in parts.items()}
    parts |= {"the seed": str(study.seed), SHOWN: digests.code_digest(*made_by.SHOWN_CODE[name])}
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
    shut = " Memory is short: shut this notebook's kernel down before (menu Kernel > Shut Down)."
    raise StageError(
        f"{wanted_by} needs what {name} makes for profile {study.profile.name!r}, and that is "
        f"not ready: {reason}. Make it in a terminal, in the repository's folder, with\n"
        f"    ./run_all.sh {command}\n"
        f"or, on Colab, in a cell here, with\n"
        f"    !python -m tumorcf_lib run {command}\n"
        f"or run the notebooks before this one, in their order.{shut * runtime.is_short()} Then "
        "run this one again."
    )
