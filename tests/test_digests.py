"""Code counts by what it does, on every Python, whatever the words in it."""

import ast
import gc
import re
import time
from concurrent.futures import ThreadPoolExecutor

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


def test_the_hash_of_code_is_the_same_on_all_pythons():
    assert digests.source_digest(CODE)[:16] == "45798f57ed086cd8"
    assert digests.source_digest('f"{x}" "y" f"{z:{w}}"')[:16] == "dd33560b452734ae"


def test_comments_and_docstrings_and_layout_change_nothing_but_code_does():
    bare = re.sub(r"(^|\n) *([\"']+)Words on a \w+\.\2", "", ast.unparse(ast.parse(CODE)))
    assert "Words" not in bare and "comment" not in bare
    assert digests.source_digest(bare) == digests.source_digest(CODE)
    others = {CODE.replace("= 3", "= 4"), CODE.replace("int", "str"), CODE.replace("y=None", "y=0")}
    assert len({digests.source_digest(source) for source in (CODE, *others)}) == 4


def test_what_is_named_counts_with_what_it_uses_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "ROOT", tmp_path)
    library = tmp_path / "tumorcf_lib"
    (library / "deep").mkdir(parents=True)
    (library / "one.py").write_text("A = 1\nB = A + 1\nC = 5\ndef f():\n    return B\n")
    (library / "deep" / "two.py").write_text("D = 1\n")
    (library / "deep" / "three.py").write_text("E = 1\n")
    names = ("one", "one.f", "one.C", "deep.two", "deep")
    before = {name: digests.code_digest(name) for name in names}
    for file, constant, changed in (
        ("one", "A", ["one", "one.f"]),
        ("one", "B", ["one", "one.f"]),
        ("one", "C", ["one", "one.C"]),
        ("deep/two", "D", ["deep.two", "deep"]),
        ("deep/three", "E", ["deep"]),
    ):
        path = library / f"{file}.py"
        text = path.read_text()
        path.write_text(text.replace(f"{constant} =", f"{constant} = 7 +"))
        assert [name for name in names if digests.code_digest(name) != before[name]] == changed
        path.write_text(text)


def test_files_of_packages_count_by_content(tmp_path, monkeypatch):
    (tmp_path / "a_package").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    found = [
        digests.inputs_digest("no_package/weights"),
        digests.inputs_digest("a_package/weights"),
    ]
    for text in ("123", "1234"):
        (tmp_path / "a_package" / "weights").write_text(text)
        found.append(digests.inputs_digest("a_package/weights"))
    assert len(set(found)) == 4  # of none, missing, and two contents


def test_threads_may_digest_at_once(request):
    own = (config.ROOT / "tests" / "test_digests.py").read_text()
    gc.callbacks.append(give_way := lambda *_: time.sleep(0))  # amid a tree that is being built
    request.addfinalizer(lambda: gc.callbacks.remove(give_way))
    with ThreadPoolExecutor(4) as threads:
        made = set(threads.map(digests.source_digest, (f"{own}\n{k}" for k in range(60))))
    assert len(made) == 60
