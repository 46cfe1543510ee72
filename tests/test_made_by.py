"""All code that a result is made by is named for it; test_digests: what is named makes it stale."""

import ast
import sys

import nbformat
import pytest

from tumorcf_lib import config
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
    """All code that a stage names for its data and for what it shows."""
    source = (*made_by.PHANTOM, *made_by.DATASET) if stage in stages.READS_DATASET else ()
    return {*made_by.DATA_CODE[stage], *made_by.SHOWN_CODE[stage], *source}


def path_of(module):
    return LIBRARY.joinpath(*module.split(".")).with_suffix(".py")


def modules(name):
    """Modules of a package, or the one that a name is or lies in."""
    folder = path_of(name).with_suffix("")
    if folder.is_dir():
        return {f"{name}.{p.stem}" for p in folder.glob("*.py") if p.stem != "__init__"}
    return {name if path_of(name).is_file() else name.rpartition(".")[0]}


def named_modules():
    return {module for k in stages.NAMES for name in names_of(k) for module in modules(name)}


def imports(module):
    """Library modules that a module, or a notebook's cells, imports anywhere in it."""
    if module in stages.NAMES:
        cells = nbformat.read(config.NOTEBOOKS / f"{module}.ipynb", 4).cells
        source = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        source = source.replace("    !", "    #")  # a shell's lines
    else:
        source = path_of(module).read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tumorcf_lib"):
            for alias in node.names:
                name = f"{node.module}.{alias.name}".partition(".")[2]
                if path_of(name).is_file() or path_of(name).with_suffix("").is_dir():
                    yield name
                elif node.module != "tumorcf_lib":
                    yield node.module.partition(".")[2]


def is_named(module, names):
    is_whole = bool(names & {module, module.rpartition(".")[0]})
    return is_whole or any(name.startswith(f"{module}.") for name in names)


def test_what_a_notebook_imports_is_named_for_its_stage():
    for stage in stages.NAMES:
        names = names_of(stage)
        not_named = [m for m in imports(stage) if m not in ARRANGES and not is_named(m, names)]
        assert not_named == [], f"made_by lacks them for {stage}"
        assert {"config.CLASSES", "rowfiles"} <= set(made_by.DATA_CODE[stage])


@pytest.mark.parametrize("kind", made_by.CODE)
def test_what_the_code_of_a_kept_result_imports_is_named_for_it(kind):
    names = set(made_by.CODE[kind])
    own = {module for name in names for module in modules(name) if module in names} - ARRANGES
    passed_over = ARRANGES | SIDE.get(kind, set())
    needed = {(module, other) for module in own for other in imports(module)}
    assert not {(m, n) for m, n in needed if n not in passed_over and not is_named(n, names)}


def test_every_module_of_the_library_that_a_named_one_imports_is_named_somewhere():
    named = named_modules()
    found = {needed for module in named - ARRANGES for needed in imports(module)}
    assert found - ARRANGES <= named | {module.rpartition(".")[0] for module in named}


MAKES_NO_VALUE = ("tqdm", "threadpoolctl", "ipywidgets", "jinja2")
CALLED = {"cv2": "opencv-python-headless", "PIL": "pillow"}
CALLED |= {"sklearn": "scikit-learn", "skimage": "scikit-image"}


def test_every_package_that_a_named_module_imports_counts():
    found = set()
    for module in named_modules():
        for node in ast.walk(ast.parse(path_of(module).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.split(".")[0])
            elif isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
    found -= {*sys.stdlib_module_names, "tumorcf_lib", *MAKES_NO_VALUE}
    assert {CALLED.get(name, name) for name in found} <= set(made_by.ALL_PACKAGES)
