"""Stages: what each notebook reads and writes, and whether that still holds.

A stage is one notebook's folder under ``runs/<profile>/``. When it is finished it
records a hash of its profile and seed, of the code that made it (its notebook's
cells and the modules they import, without docstrings and comments), and of the
data it read. A later notebook refuses a stage whose record no longer fits.
"""

import ast
import hashlib
import importlib.metadata
import json
from pathlib import Path

from tumorcf_lib import archives, paths

NAMES = (
    "01_data", "02_preprocessing", "03_training",
    "04_evaluation", "05_counterfactuals", "06_metrics",
)  # fmt: skip
GUIDES = ("audit_your_model",)
"""Notebooks beside the study, which only read: for readers with a classifier of their own. Nothing
depends on them."""

NEEDS = {
    "01_data": (),
    "02_preprocessing": ("01_data",),
    "03_training": ("01_data", "02_preprocessing"),
    "04_evaluation": ("01_data", "02_preprocessing", "03_training"),
    "05_counterfactuals": ("01_data", "02_preprocessing", "03_training"),
    "06_metrics": ("04_evaluation", "05_counterfactuals"),
    "audit_your_model": ("03_training",),
}
RECORD = "stage.json"
MAX_HASHED_BYTES = 20_000_000  # larger files (network inputs) are checked by size alone
PACKAGES = ("keras", "numpy", "opencv-python-headless", "pandas", "scipy", "tensorflow")
UNHASHED = {"config", "paths", "runtime", "stages", "results", "runner", "publish", "readme"}


class StageError(RuntimeError):
    """A stage that is missing, unfinished or out of date."""


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
    try:
        kept = record(study, name)
    except (OSError, json.JSONDecodeError):  # a record cut off by a full disk counts as none
        return "it was never finished"
    for key, now in fingerprint(study, name).items():
        if now != kept["fingerprint"].get(key):
            return f"{key} changed since"
    for file, size in kept["sizes"].items():
        path = study.folder / name / file
        if not path.exists() or path.stat().st_size != size:
            return f"its file {file} is missing or changed"
        if size < MAX_HASHED_BYTES and file_sha256(path) != kept["hashes"][file]:
            return f"its file {file} changed"
    for figure in kept["figures"]:
        if not (study.folder / name / "figures" / f"{figure}.png").exists():
            return f"its figure {figure} is missing"
    return None


def record(study, name: str) -> dict:
    """What a finished stage recorded of itself: hashes, sizes, figures."""
    return json.loads((study.folder / name / RECORD).read_text())


def summary(kept: dict) -> str:
    """What a finished stage wrote, in a few words."""
    files = [name for name in kept["hashes"] if not name.startswith("numbers")]
    text = ", ".join(files) if files else "no data files"
    if kept["figures"]:
        text += f"; {len(kept['figures'])} figures"
    return text


def fingerprint(study, name: str) -> dict[str, str]:
    """Hashes of all that a stage's outputs depend on, by a name to show people."""
    profile = {k: v for k, v in study.profile.as_dict().items() if k != "purpose"}
    parts = {
        f"profile {study.profile.name}": sha256(json.dumps(profile, sort_keys=True).encode()),
        "the seed": str(study.seed),
        "the code": code_digest(name),
        "the packages": sha256("".join(map(importlib.metadata.version, PACKAGES)).encode()),
    }
    for needed in NEEDS[name]:
        finished = (study.folder / needed / RECORD).exists()
        parts[f"the data of {needed}"] = record(study, needed)["data"] if finished else "missing"
    if not study.profile.is_phantom and name == "01_data":
        parts["the dataset"] = archives.fingerprint(paths.data_folder())
    return parts


def code_digest(name: str) -> str:
    """Hash of a notebook's code cells and of every library module they lead to."""
    return _digest_from(ast.parse("\n".join(code_cells(paths.NOTEBOOKS / f"{name}.ipynb"))))


def library_digest(*modules: str) -> str:
    """Hash of the named modules' code and of every library module they lead to."""
    return _digest_from(ast.parse(f"from tumorcf_lib import {', '.join(sorted(modules))}"))


def _digest_from(tree) -> str:
    """Hash of a syntax tree and of those of all library modules that it leads to."""
    trees, dumps, seen = [tree], [ast.dump(tree)], set(UNHASHED)
    while trees:
        for module in sorted(_library_imports(trees.pop()) - seen):
            seen.add(module)
            tree = _library_tree(module)
            trees.append(tree)
            dumps.append(ast.dump(tree))
    return sha256("\n".join(sorted(dumps)).encode())


def code_cells(notebook) -> list[str]:
    """Sources of a notebook file's code cells but the setup and injected ones."""
    cells = json.loads(notebook.read_text())["cells"]
    passed_over = {"setup", "injected-parameters"}
    return [
        "".join(cell["source"])
        for cell in cells
        if cell["cell_type"] == "code" and not passed_over & set(cell["metadata"].get("tags", []))
    ]


def module_digest(*modules: str) -> str:
    """Hash of the named modules' code, for work that is kept across notebooks."""
    return sha256("".join(ast.dump(_library_tree(module)) for module in sorted(modules)).encode())


def require(study, name, *, wanted_by):
    """Raise :class:`StageError`, naming the command that helps, unless ``name`` still holds."""
    reason = why_stale(study, name)
    if reason is None:
        return
    last = max(NAMES.index(needed) for needed in NEEDS[wanted_by])
    seed = f" --seed {study.seed}" if study.seed else ""
    options = f"--profile {study.profile.name}{seed} --to {NAMES[last][:2]}"
    raise StageError(
        f"{wanted_by} needs what {name} makes for profile {study.profile.name!r}, and that is "
        f"not ready: {reason}. Make it, in the repository's folder, with\n"
        f"    ./run_all.sh {options}\n"
        f"or, where the packages are there already (Colab), with\n"
        f"    python -m tumorcf_lib run {options}"
    )


def _library_imports(tree) -> set[str]:
    """Library modules that a module or notebook imports, absolute or relative."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                module = f"tumorcf_lib.{module}".rstrip(".")
            if module == "tumorcf_lib":
                found |= {alias.name for alias in node.names if alias.name != "__version__"}
            elif module.startswith("tumorcf_lib."):
                found.add(module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("tumorcf_lib.")}
    return found


def _library_tree(module: str) -> ast.Module:
    """Syntax tree of a library module, or of a package's modules, without docstrings."""
    folder = paths.ROOT / "tumorcf_lib" / module
    files = sorted(folder.glob("*.py")) or [folder.with_suffix(".py")]
    tree = ast.parse("\n".join(path.read_text() for path in files))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            if isinstance(body[0].value, ast.Constant) and isinstance(body[0].value.value, str):
                node.body = body[1:] or [ast.Pass()]
    return tree


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
