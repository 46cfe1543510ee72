"""Each stage becomes stale by what it is made by, and by nothing else."""

import ast
import json

import pytest

from tumorcf_lib import config, digests
from tumorcf_lib.study import made_by, stages

LIBRARY = config.ROOT / "tumorcf_lib"
ARRANGES = {
    "config",
    "digests",
    "steps",
    "networks.memory",
    "study.made_by",
    "study.pool",
    "study.reading",
    "study.results",
    "study.runtime",
    "study.side_studies",
    "study.stages",
}
"""Modules that say where things lie, when they are made and who makes them: they touch no value."""

SIDE = {  # what a module imports for another purpose than that kind of result
    "inputs": {"data.published", "phantoms.cohort"},  # named where it is known which of them
    "planes": {"stats.estimates"},  # its table of accuracy
    "calibration": {"edits.audit", "edits.plan"},  # audits beside it name their own
}


def names_of(stage):
    """All code that a stage names, by whether its data or what it shows is made by it."""
    source = (*made_by.PHANTOM, *made_by.DATASET) if stage in stages.READS_DATASET else ()
    return {
        "data": {*made_by.DATA_CODE[stage], *source},
        "shown": set(made_by.SHOWN_CODE[stage]),
    }


def digest_of(stage):
    return {kind: digests.code_digest(*names) for kind, names in names_of(stage).items()}


def modules(name):
    """Modules of a package, or the one that a name is or lies in."""
    path = LIBRARY.joinpath(*name.split("."))
    if path.is_dir():
        return {f"{name}.{p.stem}" for p in path.glob("*.py") if p.stem != "__init__"}
    return {name if path.with_suffix(".py").is_file() else name.rpartition(".")[0]}


def named_modules():
    every = [names for stage in stages.NAMES for names in names_of(stage).values()]
    return sorted(set().union(*(modules(name) for name in set().union(*every))))


def constants(module):
    """Names that a module's own statements give a value, and the value's place in its text."""
    tree = ast.parse(path_of(module).read_text(encoding="utf-8"))
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if getattr(node, "value", None) is not None and isinstance(targets[0], ast.Name):
            yield targets[0].id, node


def path_of(module):
    return LIBRARY.joinpath(*module.split(".")).with_suffix(".py")


@pytest.fixture(scope="module")
def library():
    """The text of every module, which a test may change, and the digests of all stages before."""
    texts = {path: path.read_text(encoding="utf-8") for path in LIBRARY.rglob("*.py")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digests, "_read", texts.__getitem__)
        yield texts, {stage: digest_of(stage) for stage in stages.NAMES}


@pytest.mark.parametrize("module", named_modules())
def test_a_changed_constant_makes_exactly_the_stages_stale_that_name_its_module(library, module):
    texts, before = library
    text = texts[path_of(module)]
    for constant, node in constants(module):
        lines = text.splitlines(keepends=True)
        lines.insert(node.end_lineno, f"{constant} = ({constant}, 'changed')\n")
        texts[path_of(module)] = "".join(lines)
        for stage in stages.NAMES:
            now = digest_of(stage)
            for kind, names in names_of(stage).items():
                own = {module, module.rpartition(".")[0], f"{module}.{constant}"}
                if not own & names and any(name.startswith(f"{module}.") for name in names):
                    continue  # a part of the module is named; see test_digests
                stale = now[kind] != before[stage][kind]
                assert stale == bool(own & names), (stage, kind, constant)
    texts[path_of(module)] = text


def test_the_order_of_classes_and_the_digits_of_rows_count_in_every_stage_of_rows(library):
    texts, before = library
    for module, constant in (("config", "CLASSES"), ("rowfiles", "SIGNIFICANT_DIGITS")):
        text = texts[path_of(module)]
        texts[path_of(module)] += f"\n{constant} = None\n"
        for stage in stages.NAMES:
            assert digest_of(stage)["data"] != before[stage]["data"], (constant, stage)
        texts[path_of(module)] = text


def imports(module):
    """Library modules that a module, or a notebook's cells, imports anywhere in it."""
    if module in stages.NAMES:
        notebook = (config.NOTEBOOKS / f"{module}.ipynb").read_text(encoding="utf-8")
        cells = json.loads(notebook)["cells"]
        lines = "".join("".join(c["source"]) + "\n" for c in cells if c["cell_type"] == "code")
        source = "\n".join(line for line in lines.splitlines() if "    !" not in line)
    else:
        source = path_of(module).read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tumorcf_lib"):
            for alias in node.names:
                name = f"{node.module}.{alias.name}".partition(".")[2]
                path = LIBRARY.joinpath(*name.split("."))
                if path.is_dir() or path.with_suffix(".py").is_file():
                    yield name
                elif node.module != "tumorcf_lib":
                    yield node.module.partition(".")[2]


def is_named(module, names):
    return bool(names & {module, module.rpartition(".")[0]}) or any(
        name.startswith(f"{module}.") for name in names
    )


@pytest.mark.parametrize("stage", stages.NAMES)
def test_what_a_notebook_imports_is_named_for_its_stage(stage):
    names = set().union(*names_of(stage).values())
    assert not [m for m in imports(stage) if m not in ARRANGES and not is_named(m, names)]


@pytest.mark.parametrize("kind", made_by.CODE)
def test_what_the_code_of_a_kept_result_imports_is_named_for_it(kind):
    names = set(made_by.CODE[kind])
    own = {module for name in names for module in modules(name) if module in names} - ARRANGES
    missing = {
        (module, needed)
        for module in own
        for needed in imports(module)
        if needed not in ARRANGES | SIDE.get(kind, set()) and not is_named(needed, names)
    }
    assert not missing


def test_every_module_of_the_library_that_a_named_one_imports_is_named_somewhere():
    named = set(named_modules())
    found = {needed for module in named - ARRANGES for needed in imports(module)}
    assert found - ARRANGES <= named | {module.rpartition(".")[0] for module in named}
