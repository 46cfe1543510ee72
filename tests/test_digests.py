import ast
import os
import re
import shutil
import subprocess

import pytest

from tumorcf_lib import config, digests

CODE = '''
"""Words on a module."""
import os
LIMIT = 3  # a comment
"""Words on a constant."""

def f(x, *, y=None, **rest):
    """Words on a function."""
    return f"a{x!r:>{y}}b" "c" f"{x:}" f"{y=}" + 'd', {**rest}, b"\\xff", 1e-3, ..., u"é"

class C:
    """Words on a class."""
    z: int = 1
'''


@pytest.mark.parametrize(
    ("source", "hash"),
    [
        ("x = 1", "b35ec94f1f8f5219"),
        ('f"{x}" "y" f"{z:{w}}"', "dd33560b452734ae"),
        ("def f(a, /, b=None, *, c): return a", "8a74ea0841edfb49"),
        (CODE, "45798f57ed086cd8"),
    ],
)
def test_the_hash_of_code_is_the_same_on_all_pythons(source, hash):
    assert digests.source_digest(source)[:16] == hash


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_whole_library_has_one_hash_on_all_pythons(version):
    python = shutil.which(f"python{version}")
    found = (config.ROOT / "tumorcf_lib").glob("[a-z]*")
    names = sorted(path.stem for path in found if path.suffix in ("", ".py"))
    asks = f"from tumorcf_lib import digests; print(digests.code_digest(*{names}))"
    done = python and subprocess.run(
        [python, "-c", asks], cwd=config.ROOT, capture_output=True, text=True, check=False
    )
    if not done or done.returncode:
        pytest.skip(f"Python {version} is not installed here")
    assert done.stdout.strip() == digests.code_digest(*names)


def test_comments_and_docstrings_and_layout_change_nothing_but_code_does():
    bare = re.sub(r"(^|\n) *([\"']+)Words on a \w+\.\2", "", ast.unparse(ast.parse(CODE)))
    assert "Words" not in bare and "comment" not in bare
    assert digests.source_digest(bare) == digests.source_digest(CODE)
    others = {CODE.replace("= 3", "= 4"), CODE.replace("int", "str"), CODE.replace("y=None", "y=0")}
    hashes = {digests.source_digest(source) for source in (CODE, *others)}
    assert len(hashes) == 4


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library of two modules in a package, and one beside it."""
    monkeypatch.setattr(config, "ROOT", tmp_path)
    folder = tmp_path / "tumorcf_lib"
    (folder / "deep").mkdir(parents=True)
    (folder / "one.py").write_text("A = 1\nB = A + 1\nC = 5\ndef f():\n    return B\n")
    (folder / "deep" / "two.py").write_text("D = 1\n")
    (folder / "deep" / "three.py").write_text("E = 1\n")
    return folder


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("one", ["one A", "one B", "one C"]),
        ("one.f", ["one A", "one B"]),
        ("one.B", ["one A", "one B"]),
        ("one.C", ["one C"]),
        ("deep.two", ["deep/two D"]),
        ("deep", ["deep/two D", "deep/three E"]),
    ],
)
def test_what_is_named_counts_with_what_it_uses_of_its_module_and_nothing_else(
    library, name, changes
):
    before, seen = digests.code_digest(name), []
    for change in ("one A", "one B", "one C", "deep/two D", "deep/three E"):
        file, constant = change.split()
        path = library / f"{file}.py"
        text = path.read_text()
        path.write_text(text.replace(f"{constant} =", f"{constant} = 7 +"))
        if digests.code_digest(name) != before:
            seen.append(change)
        path.write_text(text)
    assert seen == changes


def test_files_of_packages_count_by_content_not_by_time(tmp_path, monkeypatch):
    (tmp_path / "a_package").mkdir()
    (tmp_path / "a_package" / "__init__.py").write_text("")
    path = tmp_path / "a_package" / "weights"
    monkeypatch.syspath_prepend(tmp_path)
    missing = digests.inputs_digest("a_package/weights")
    path.write_text("123")
    first = digests.inputs_digest("a_package/weights")
    os.utime(path, ns=(1, 1))
    assert digests.inputs_digest("a_package/weights") == first != missing
    path.write_text("124")
    assert digests.inputs_digest("a_package/weights") not in (first, missing)
    assert digests.inputs_digest("no_package/x") == digests.inputs_digest("no_package/x")
