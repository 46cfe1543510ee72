"""Each stage becomes stale by what it is made by, and by nothing else."""

import ast
import json
import sys

import pytest

from tumorcf_lib import config, digests
from tumorcf_lib.study import made_by, stages

LIBRARY = config.ROOT / "tumorcf_lib"
_STUDY = "made_by pool reading results runtime side_studies stages".split()
ARRANGES = {"config", "digests", "steps", "networks.memory", *(f"study.{name}" for name in _STUDY)}
"""Modules that say where things lie, when they are made and who makes them: they touch no value."""

SIDE = {  # what a module imports for another purpose than that kind of result
    "inputs": {"data.published", "phantoms.cohort"},  # named where it is known which of them
    "planes": {"stats.estimates"},  # its table of accuracy
    "calibration": {"edits.audit", "edits.plan"},  # audits beside it name their own
}


def names_of(stage):
    """All code that a stage names, by whether its data or what it shows is made by it."""
    source = (*made_by.PHANTOM, *made_by.DATASET) if stage in stages.READS_DATASET else ()
    shown = set(made_by.SHOWN_CODE[stage])
    return {"data": {*made_by.DATA_CODE[stage], *source}, "shown": shown}


def path_of(module):
    return LIBRARY.joinpath(*module.split(".")).with_suffix(".py")


def is_package(name):
    return path_of(name).with_suffix("").is_dir()


def modules(name):
    """Modules of a package, or the one that a name is or lies in."""
    if is_package(name):
        found = path_of(name).with_suffix("").glob("*.py")
        return {f"{name}.{path.stem}" for path in found if path.stem != "__init__"}
    return {name if path_of(name).is_file() else name.rpartition(".")[0]}


def named_modules():
    every = [names for stage in stages.NAMES for names in names_of(stage).values()]
    return sorted(set().union(*map(modules, set().union(*every))))


def tree(module):
    """The syntax tree of a module, or of a notebook's cells."""
    if module not in stages.NAMES:
        return ast.parse(path_of(module).read_text(encoding="utf-8"))
    notebook = json.loads((config.NOTEBOOKS / f"{module}.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    lines = "\n".join(cells).splitlines()
    return ast.parse("\n".join(line for line in lines if "    !" not in line))


def imports(module):
    """Library modules that a module, or a notebook, imports anywhere in it."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tumorcf_lib"):
            for alias in node.names:
                name = f"{node.module}.{alias.name}".partition(".")[2]
                if path_of(name).is_file() or is_package(name):
                    yield name
                elif node.module != "tumorcf_lib":
                    yield node.module.partition(".")[2]


def is_named(module, names):
    return bool(names & {module, module.rpartition(".")[0]}) or any(
        name.startswith(f"{module}.") for name in names
    )


def test_what_a_notebook_or_a_named_module_imports_is_named():
    for stage in stages.NAMES:
        assert {"config.CLASSES", "rowfiles"} <= names_of(stage)["data"]
        names = set().union(*names_of(stage).values())
        assert digests.code_digest(*names)  # LookupError for what is not there
        assert not [m for m in imports(stage) if m not in ARRANGES and not is_named(m, names)]
    named = set(named_modules())
    found = {needed for module in named - ARRANGES for needed in imports(module)}
    assert found - ARRANGES <= named | {module.rpartition(".")[0] for module in named}


@pytest.mark.parametrize("kind", made_by.CODE)
def test_what_the_code_of_a_kept_result_imports_is_named_for_it(kind):
    names = set(made_by.CODE[kind])
    assert made_by.code(kind)
    own = {module for name in names for module in modules(name) if module in names} - ARRANGES
    passed_over = ARRANGES | SIDE.get(kind, set())
    needed = {(module, other) for module in own for other in imports(module)}
    assert not {(m, n) for m, n in needed if n not in passed_over and not is_named(n, names)}


MAKES_NO_VALUE = ("tqdm", "threadpoolctl", "ipywidgets")
CALLED = {"cv2": "opencv-python-headless", "PIL": "pillow"}
CALLED |= {"sklearn": "scikit-learn", "skimage": "scikit-image"}


def test_every_package_that_a_named_module_imports_counts():
    found = set()
    for module in named_modules():
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.split(".")[0])
            elif isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
    found -= {*sys.stdlib_module_names, "tumorcf_lib", *MAKES_NO_VALUE}
    assert {CALLED.get(name, name) for name in found} <= set(made_by.ALL_PACKAGES)
