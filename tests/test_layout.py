"""The library's packages import one way, and each says in a sentence what it is for."""

import ast
import graphlib
import subprocess
import sys

import pytest

from tumorcf_lib import config

LIBRARY = config.ROOT / "tumorcf_lib"
PACKAGES = sorted(path.parent.name for path in LIBRARY.glob("*/__init__.py"))


def imports_of(path):
    """What a module imports of the library, as names from the library on."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tumorcf_lib"):
            yield from (f"{node.module}.{alias.name}".split(".")[1:] for alias in node.names)
        elif isinstance(node, ast.Import):
            names = (alias.name.split(".") for alias in node.names)
            yield from (name[1:] for name in names if name[0] == "tumorcf_lib")


def graph(of):
    """``of(path)`` -> what it imports, by the same kind of name."""
    needs = {}
    for path in sorted(LIBRARY.rglob("*.py")):
        if path.name != "__main__.py":
            found = {of(LIBRARY.joinpath(*name)) for name in imports_of(path)}
            needs.setdefault(of(path), set()).update(found - {of(path), ""})
    return needs


def package_of(path):
    inside = path.relative_to(LIBRARY).parts
    return inside[0] if inside[0] in PACKAGES else ""


def test_packages_import_one_way():
    order = list(graphlib.TopologicalSorter(graph(package_of)).static_order())
    assert set(PACKAGES) <= set(order)


def test_what_knows_arrays_only_lies_below_what_knows_files_and_networks():
    needs = graph(package_of)
    assert needs["stats"] <= {"edits"}
    assert needs["edits"] <= {"data"}
    assert needs["data"] == set()
    assert "figures" not in set.union(*(needs[name] for name in ("controls", "tables")))


def test_a_package_says_what_it_is_for():
    for package in PACKAGES:
        words = ast.get_docstring(ast.parse((LIBRARY / package / "__init__.py").read_text()))
        assert words and words.endswith("."), package


@pytest.mark.parametrize("words", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_has_nothing_to_say(words):
    ruff = [sys.executable, "-m", "ruff", *words, "--no-cache", str(config.ROOT)]
    told = subprocess.run(ruff, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr


def test_modules_are_short_and_give_no_name_a_second_address():
    for path in LIBRARY.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 300 and "__all__" not in text, path
