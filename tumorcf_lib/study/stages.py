"""Stages: what each notebook reads and writes, and whether that still holds.

A stage is one notebook's folder under ``runs/<profile>/``. When it is finished it
records a hash of its profile and seed, of the code that made it (its notebook's
cells and the modules they import, without docstrings and comments), and of the
data it read. A later notebook refuses a stage whose record no longer fits.
"""

import functools
import importlib.metadata
import json
import shlex
from pathlib import Path

from tumorcf_lib import __version__, config, steps
from tumorcf_lib.data import finding
from tumorcf_lib.study import kernels

NAMES = (
    "01_data", "02_preprocessing", "03_training",
    "04_evaluation", "05_counterfactuals", "06_metrics",
)  # fmt: skip
GUIDES = ("audit_your_model", "evidence")
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
    "evidence": (),
}
RECORD = "stage.json"
RECORDED = ("fingerprint", "hashes", "sizes", "figures")
"""Dictionaries that a record has to hold; it may also have those of :data:`ADDED`."""

ADDED = ("figure_hashes", "versions")

LARGE_BYTES = 20_000_000
"""Files beyond this (network inputs) are hashed once a process while size and time stay."""

PACKAGES = ("keras", "numpy", "opencv-python-headless", "pandas", "scipy", "tensorflow")
"""What trained networks depend on."""

ALL_PACKAGES = (
    *PACKAGES, "h5py", "matplotlib", "nibabel", "nilearn", "pillow", "scikit-image",
    "scikit-learn", "seaborn", "statsmodels",
)  # fmt: skip
"""What slices, rows, tables and figures depend on."""

READS_DATASET = ("01_data", "02_preprocessing")


class StageError(RuntimeError):
    """A stage that is missing, unfinished, out of date, in use, or not of this run."""


class DamagedRecordError(StageError):
    """A stage's record that cannot be read or is not one."""


def find_stage(value: str) -> str:
    """Name of a stage from its number or name.

    >>> find_stage("04")
    '04_evaluation'
    """
    for name in NAMES:
        if value in (name, name[:2], name[1:2]):
            return name
    raise StageError(f"There is no notebook {value!r}; choose one of: {', '.join(NAMES)}.")


def why_stale(study, name: str) -> str | None:
    """Why a stage has to be made again, in words; None if it still holds."""
    if not (study.folder / name / RECORD).exists():
        return "it was never finished"
    try:
        kept = record(study, name)
    except DamagedRecordError:
        return f"its record {RECORD} is damaged"
    for key, now in fingerprint(study, name).items():
        if now != kept["fingerprint"].get(key):
            return _what_changed(key, now, kept)
    for file, digest in kept["hashes"].items():
        reason = _why_foreign(study.folder / name / file, digest, kept["sizes"].get(file))
        if reason:
            return f"its file {file} {reason}"
    for figure in kept["figures"]:
        if not (study.folder / name / "figures" / f"{figure}.png").exists():
            return f"its figure {figure} is missing"
    for file, digest in kept.get("figure_hashes", {}).items():
        reason = _why_foreign(study.folder / name / "figures" / file, digest)
        if reason:
            return f"its figure {file} {reason}"
    return None


def _what_changed(key, now, kept):
    """A part of the fingerprint that no longer fits, in words."""
    was = kept["fingerprint"].get(key)
    if key.startswith("profile ") and was is None:
        others = [name for name in kept["fingerprint"] if name.startswith("profile ")]
        return f"it was made for {others[0]}" if others else "it does not say for which profile"
    if key == "the seed" and was is not None:
        return f"it was made with seed {was}"
    then, here = kept.get("versions", {}), versions()
    if key == "the code" and then.get("tumorcf", __version__) != __version__:
        return f"it was made by version {then['tumorcf']} of this project, here is {__version__}"
    if key == "the packages":
        others = [f"{n} {v}, here {here[n]}" for n, v in then.items() if here.get(n, v) != v]
        return f"{key} changed since" + (f" (then {'; '.join(others)})" if others else "")
    return f"{key} changed since"


def _why_foreign(path, digest, size=None):
    """Why a file is not the one that was recorded, in words; None if it is."""
    if not path.is_file():
        return "is missing"
    stat = path.stat()
    if size is not None and stat.st_size != size:
        return f"has {stat.st_size} bytes instead of {size}: it was cut off or changed"
    large = stat.st_size >= LARGE_BYTES
    found = _sha256_at(path, stat.st_size, stat.st_mtime_ns) if large else steps.file_sha256(path)
    return None if found == digest else "is not the one that was written: it was changed since"


@functools.lru_cache
def _sha256_at(path, size, time_ns):
    return steps.file_sha256(path)


def record(study, name: str) -> dict:
    """What a finished stage recorded of itself: hashes, sizes, figures.

    Raises
    ------
    FileNotFoundError
        If the stage was never finished.
    DamagedRecordError
        If the file is cut off, or holds something else.
    """
    return read_record(study.folder, name, f"{options(study)} ")


def read_record(folder: Path, name: str, told="") -> dict:
    """:func:`record` of a run's folder; ``told`` are a command's options that name the run."""
    path = folder / name / RECORD
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        kept = json.loads(text)
        parts = [kept[key] for key in RECORDED] + [kept.get(key, {}) for key in ADDED]
        if all(isinstance(part, dict) for part in parts) and isinstance(kept["data"], str):
            return kept
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise DamagedRecordError(
        f"Expected the record of {name} in {config.shown(path)}, got {len(text)} characters that "
        f"are none. Make {name} again by ./run_all.sh {told}--from {name[:2]} --to {name[:2]}"
    )


def versions() -> dict[str, str]:
    """Versions of this project and of the packages that its results depend on."""
    found = {name: importlib.metadata.version(name) for name in ALL_PACKAGES}
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
    text = ", ".join(files) if files else "no data files"
    n_figures = len(kept["figures"])
    if n_figures:
        text += f"; {n_figures} figure" if n_figures == 1 else f"; {n_figures} figures"
    return text


def fingerprint(study, name: str) -> dict[str, str]:
    """Hashes of all that a stage's outputs depend on, by a name to show people."""
    profile = {k: v for k, v in study.profile.as_dict().items() if k != "purpose"}
    parts = {
        f"profile {study.profile.name}": steps.sha256(
            json.dumps(profile, sort_keys=True).encode()
        ),
        "the seed": str(study.seed),
        "the code": steps.code_digest(name),
        "the packages": steps.sha256(
            " ".join(map(importlib.metadata.version, ALL_PACKAGES)).encode()
        ),
    }
    for needed in NEEDS[name]:
        try:
            parts[f"the data of {needed}"] = record(study, needed)["data"]
        except (FileNotFoundError, DamagedRecordError):
            parts[f"the data of {needed}"] = "missing"
    if not study.profile.is_phantom and name in READS_DATASET:
        parts["the dataset"] = finding.fingerprint(config.data_folder())
    return parts


def require(study, name, *, wanted_by):
    """Raise :class:`StageError`, naming the command that helps, unless ``name`` still holds."""
    reason = why_stale(study, name)
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
        f"or run the notebooks before this one, in their order.{_make_room()} Then run this one "
        "again."
    )


def _make_room():
    if not kernels.is_short():
        return ""
    return " Memory is short: shut this notebook's kernel down before (menu Kernel > Shut Down)."
