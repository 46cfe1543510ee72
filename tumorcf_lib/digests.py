"""What code does, as a hash that is equal on all Pythons, whatever its comments and docstrings."""

import ast
import functools
import importlib.util
import json
import threading
from pathlib import Path

from tumorcf_lib import config, steps

PARSING = threading.Lock()  # Python 3.11 counts the depth of a tree for all threads together


def code_digest(*names: str) -> str:
    """Hash of the code of named modules, equal on all Pythons, whatever the words in it.

    A name is a package ("phantoms": all its modules), a module ("edits.audit"), or something that
    a module defines ("config.CLASSES"), with what this uses of its module.
    """
    return _hash([[name, _code(name)] for name in sorted(set(names))])


@functools.cache
def source_digest(source: str) -> str:
    """Hash of a piece of code without its comments and docstrings."""
    return _hash(_plain(_parsed(source)))


def inputs_digest(*names: str) -> str:
    """Hash of the content of files that packages carry, such as "nilearn/datasets/...".

    A file that is not there counts as missing: what needs it says so.
    """
    found = {}
    for name in sorted(set(names)):
        package, _, place = name.partition("/")
        spec = importlib.util.find_spec(package)
        path = Path(spec.submodule_search_locations[0], place) if spec else Path(place)
        found[name] = steps.file_sha256(path) if path.is_file() else "missing"
    return _hash(found)


def _hash(plain) -> str:
    return steps.sha256(json.dumps(plain, sort_keys=True).encode())


def _code(name):
    """Hash of a module or of something in it, hashes of a package's modules."""
    path = config.ROOT.joinpath("tumorcf_lib", *name.split("."))
    if path.is_dir():
        return {file.name: source_digest(_read(file)) for file in sorted(path.glob("*.py"))}
    if path.with_suffix(".py").is_file():
        return source_digest(_read(path.with_suffix(".py")))
    module = path.parent.with_suffix(".py")
    found = _of_name(_read(module), path.name) if module.is_file() else None
    if found is None:
        raise LookupError(f"Expected a module of tumorcf_lib or a name in one, got {name!r}.")
    return found


def _read(path):
    return path.read_text(encoding="utf-8")


def _parsed(source):
    with PARSING:
        return ast.parse(source)


@functools.cache
def _of_name(source, name):
    """Hash of what a module defines by a name, and of all that this uses of the same module."""
    body, found, wanted = _parsed(source).body, {}, [name]
    while wanted:
        name = wanted.pop()
        for number, node in enumerate(body):
            if name in _defines(node) and number not in found:
                found[number] = _plain(node)
                wanted += [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]
    return _hash([found[number] for number in sorted(found)]) if found else None


def _defines(node):
    """Names that a statement of a module gives a value."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in node.names}
    targets = getattr(node, "targets", None) or [getattr(node, "target", node)]
    return {getattr(target, "id", getattr(target, "name", "")) for target in targets}


def _plain(node):
    """A syntax tree as lists and words that are the same for all Pythons.

    ``ast.dump`` differs from version to version: in fields that are new, empty or left out, and
    in how text within f-strings is cut. Text that stands alone is a docstring.
    """
    if isinstance(node, list):
        return [_plain(part) for part in node if not _is_words(part)]
    if isinstance(node, ast.Constant):
        value = node.value if isinstance(node.value, str) else repr(node.value)
        return [type(node.value).__name__, value]
    if not isinstance(node, ast.AST):
        return node
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.JoinedStr):
        fields = {"values": _joined(node.values)}
    found = {k: _plain(v) for k, v in fields.items() if k not in ("ctx", "type_comment")}
    if found.get("format_spec") == ["JoinedStr"]:  # as good as none
        del found["format_spec"]
    return [type(node).__name__, *([k, v] for k, v in sorted(found.items()) if v not in (None, []))]


def _is_words(node):
    return isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str)


def _joined(values):
    """Parts of an f-string, text beside text put together and no text left out."""
    parts = []
    for part in values:
        is_text = isinstance(part, ast.Constant)
        if is_text and parts and isinstance(parts[-1], ast.Constant):
            parts[-1] = ast.Constant(parts[-1].value + part.value)
        elif not is_text or part.value:
            parts.append(part)
    return parts
