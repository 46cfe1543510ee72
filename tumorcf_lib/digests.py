"""Hashes of the code that made something: of its notebook's cells and of all modules it imports.

Docstrings and comments do not count, nor does what only arranges a run.
"""

import ast
import functools
import hashlib
import json
from pathlib import Path

from tumorcf_lib import paths

UNHASHED = {
    "config", "files", "locks", "paths", "publish.publish", "publish.readme",
    "digests", "study.progress", "study.results", "study.notebooks", "study.runtime",
    "study.stages", "workspaces",
}  # fmt: skip
"""Modules that move files about; of ``config`` the profile's values count, not its text."""


def code_digest(name: str) -> str:
    """Hash of a notebook's code cells and of every library module they lead to."""
    return _digest_from(ast.parse("\n".join(code_cells(paths.NOTEBOOKS / f"{name}.ipynb"))))


def library_digest(*modules: str) -> str:
    """Hash of the named modules' code and of every library module they lead to.

    Modules are named from the library on, such as ``"data.cohort"``.
    """
    return _digest_from(ast.parse("\n".join(f"import tumorcf_lib.{m}" for m in sorted(modules))))


def code_cells(notebook) -> list[str]:
    """Sources of a notebook file's code cells but the setup and injected ones."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    passed_over = {"setup", "injected-parameters"}
    return [
        "".join(cell["source"])
        for cell in cells
        if cell["cell_type"] == "code" and not passed_over & set(cell["metadata"].get("tags", []))
    ]


def module_digest(*modules: str) -> str:
    """Hash of the named modules' code, for work that is kept across notebooks."""
    dumps = (_parsed(*_library_source(module))[0] for module in sorted(modules))
    return sha256("".join(dumps).encode())


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# -- inner parts -------------------------------------------------------------


def _digest_from(tree) -> str:
    """Hash of a syntax tree, of all library modules that it leads to, and of data these read."""
    leads_to, dumps, seen = [_library_imports(tree)], [ast.dump(tree)], set(UNHASHED)
    while leads_to:
        for module in sorted(leads_to.pop() - seen):
            seen.add(module)
            source, package = _library_source(module)
            dump, imports = _parsed(source, package)
            leads_to.append(imports)
            dumps.append(dump)
            dumps += [file_sha256(path) for path in _library_data() if path.name in source]
    return sha256("\n".join(sorted(dumps)).encode())


def _library_imports(tree, package="") -> set[str]:
    """Library modules that code of a package (or a notebook) imports, such as "data.cohort"."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            own = ["tumorcf_lib", *filter(None, package.split("."))]
            above = own[:len(own) + 1 - node.level] if node.level else []
            start = ".".join([*above, *filter(None, [node.module])])
            names = [f"{start}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {_module_of(name) for name in names if name.startswith("tumorcf_lib.")}
    return found - {""}


def _module_of(name: str) -> str:
    """The library module, or package, that an imported name is or lies in; "" if none."""
    parts = name.split(".")[1:]
    while parts:
        path = _library_path(".".join(parts))
        if path.is_dir() or path.with_suffix(".py").is_file():
            return ".".join(parts)
        parts.pop()
    return ""


def _library_path(module: str) -> Path:
    return paths.ROOT.joinpath("tumorcf_lib", *module.split("."))


def _library_source(module: str) -> tuple[str, str]:
    """Text of a library module, or of all of a package's modules, and its package."""
    folder = _library_path(module)
    if folder.is_dir():
        texts = (path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py")))
        return "\n".join(texts), module
    return folder.with_suffix(".py").read_text(encoding="utf-8"), module.rpartition(".")[0]


def _library_data() -> list[Path]:
    """Files beside the library's modules that modules read, by the name they call them."""
    return sorted((paths.ROOT / "tumorcf_lib").rglob("*.csv"))


@functools.cache
def _parsed(source: str, package: str) -> tuple[str, frozenset[str]]:
    """A module's syntax tree without docstrings, as text, and the library modules it imports."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            if isinstance(body[0].value, ast.Constant) and isinstance(body[0].value.value, str):
                node.body = body[1:] or [ast.Pass()]
    return ast.dump(tree), frozenset(_library_imports(tree, package))
