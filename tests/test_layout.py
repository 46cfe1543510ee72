"""The library's packages import one way; modules are short, and formatted."""

import ast
import graphlib
import subprocess
import sys

from tumorcf_lib import config

LIBRARY = config.ROOT / "tumorcf_lib"
PACKAGES = sorted(path.parent.name for path in LIBRARY.glob("*/__init__.py"))


def package_of(path):
    inside = path.relative_to(LIBRARY).parts
    return inside[0] if inside[0] in PACKAGES else ""


def needs():
    """The packages that each package imports."""
    found = {name: set() for name in [*PACKAGES, ""]}
    for path in LIBRARY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())) if path.name != "__main__.py" else ():
            module = getattr(node, "module", None) or ""
            if isinstance(node, ast.ImportFrom) and module.startswith("tumorcf_lib"):
                names = (f"{module}.{alias.name}".split(".")[1] for alias in node.names)
                found[package_of(path)] |= {name for name in names if name in PACKAGES}
    return {name: others - {name} for name, others in found.items()}


def test_packages_import_one_way_and_what_knows_arrays_only_lies_at_the_bottom():
    graph = needs()
    assert set(PACKAGES) < set(graphlib.TopologicalSorter(graph).static_order())
    assert graph["data"] == set() and graph["edits"] <= {"data"} and graph["stats"] <= {"edits"}
    assert "figures" not in graph["controls"] | graph["tables"]


def test_ruff_has_nothing_to_say():
    for words in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *words, "--no-cache", str(config.ROOT)]
        told = subprocess.run(ruff, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stdout + told.stderr


def test_modules_are_short_and_give_no_name_a_second_address():
    for path in LIBRARY.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 300 and "__all__" not in text, path
