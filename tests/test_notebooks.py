"""The committed notebooks teach in one form, and show published results."""

import re
import subprocess

import nbformat
import pytest

from tumorcf_lib import config, steps
from tumorcf_lib.publish import publish, sections, texts
from tumorcf_lib.study import stages

NOTEBOOKS = sorted(config.NOTEBOOKS.glob("*.ipynb"))
TAUGHT = [path for path in NOTEBOOKS if path.stem != "audit_your_model"]


def load(path):
    return nbformat.read(path, 4).cells


def code_cells(path):
    return [cell for cell in load(path) if cell.cell_type == "code"]


def prose_of(cells):
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def tags(cell):
    return cell.metadata.get("tags", [])


def shown(cell):
    """Markdown that a cell displayed."""
    data = [output.get("data", {}) for output in cell.get("outputs", [])]
    return [own["text/markdown"] for own in data if "text/markdown" in own]


every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
every_taught = pytest.mark.parametrize("path", TAUGHT, ids=lambda path: path.stem)


@every_notebook
def test_a_notebook_is_valid_was_run_in_order_and_carries_no_times_folders_or_large_outputs(path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    assert "papermill" not in notebook.metadata
    assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)
    raw = path.read_text()
    assert len(raw) <= 1_000_000
    assert not re.search(r"/(root|home|Users|tmp)/|(?<![\w./])/[\w./-]+/runs/", raw)
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1))
    outputs = [output for cell in code_cells(path) for output in cell.outputs]
    for output in outputs:
        assert output.output_type != "error"
        data = output.get("data", {})
        plain = output.get("text") or ("image/png" not in data and data.get("text/plain")) or ""
        assert plain.count("\n") <= 30
    if path.stem in stages.NAMES:
        assert "profile   demo" in str(outputs) and "phantom" in str(outputs)


@every_notebook
def test_cells_are_short_define_nothing_and_work_anywhere(path):
    for cell in code_cells(path):
        assert len(cell.source.splitlines()) <= 20
        assert not re.search(r"^\s*(def|class|for .*fit|while) ", cell.source, re.MULTILINE)
        assert not re.search(r"""["'](/|~|[A-Z]:\\)""", cell.source)  # an absolute path
        assert "setup" in tags(cell) or not re.search(r"^\s*[!%]", cell.source, re.MULTILINE)
    for cell in load(path)[1:]:
        if cell.cell_type == "markdown":
            plain = re.sub(r"\(\S+\)|\$[^$]+\$|\|", " ", cell.source)
            assert len(plain.split()) <= 120, cell.source[:60]
    for target in re.findall(r"\]\(([^)#]+)\)", prose_of(load(path))):
        assert "://" in target or (config.NOTEBOOKS / target).exists(), target
    (setup,) = (cell for cell in code_cells(path) if "setup" in tags(cell))
    assert setup.source.startswith(texts.setup_cell(path.stem))
    assert texts.badges(f"notebooks/{path.name}") in load(path)[0].source


@every_taught
def test_the_opening_is_question_answer_parameters_and_setup_and_the_end_what_was_found(path):
    """Parameters stand before setup: what is set up begins with them."""
    title, *rest = cells = load(path)
    assert re.match(r"# (0\d · )?\w+\n\n\*\*.+\?\*\*\n\n\*\*Answer\.\*\* .+\. .+\.\n", title.source)
    if path.stem != publish.EVIDENCE:
        assert tags(rest[0]) == ["parameters"] and "PROFILE = " in rest.pop(0).source
    assert tags(rest[0]) == ["setup", "hide-input"]
    made = texts.with_opening({"cells": load(path)}, path.stem)["cells"]
    assert [cell.source for cell in made] == [cell.source for cell in cells]
    kinds = "".join(cell.cell_type[0] for cell in rest[1:])
    assert kinds.startswith("m") and "ccc" not in kinds
    assert re.findall("^## .*", prose_of(cells), re.M)[-1] == "## What we found"
    assert "**Limitation**" in code_cells(path)[-1].source and ".ipynb)" in cells[-1].source


@every_taught
def test_every_figure_is_read_out_and_doubted_and_tables_are_for_people(path):
    cells = load(path)
    for i, cell in enumerate(cells):
        outputs = [output.get("data", {}) for output in cell.get("outputs", [])]
        assert not any("text/html" in data for data in outputs)
        if any("image/png" in data for data in outputs):
            assert any(re.search(r"\w.*\.$", words) for words in shown(cell)), cell.source
            after = next(later.source for later in cells[i:] if later.cell_type == "markdown")
            assert re.search(r"could\s+be\s+wrong", after), after[:80]
        if "save_figure(" in cell.source:
            assert "shows_slices=" in cell.source
            assert re.search(r"reading\.show\(\s*fig", cell.source)
        for table in (words for words in shown(cell) if words.startswith("|")):
            head, _, *rows = (line.split("|")[1:-1] for line in table.splitlines())
            assert len(rows) <= 8 and len(head) <= 7
            assert not [name for name in head if "_" in name]
            assert not re.search(r"\d\.\d{4}|nan", table)


def test_the_evidence_notebook_says_what_the_published_tables_say_today():
    path = config.NOTEBOOKS / f"{publish.EVIDENCE}.ipynb"
    printed = "\n".join(words for cell in code_cells(path) for words in shown(cell))
    told = sections.sentences("performance") + sections.sentences("claims")
    told = map(texts.of_patients, told + sections.sentences("leak")[-2:])
    assert [line for line in told if line not in printed] == []


def test_no_picture_or_file_of_the_real_slices_is_tracked():
    how = {"cwd": config.ROOT, "capture_output": True, "text": True, "check": False}
    listed = subprocess.run(["git", "ls-files", "-z"], **how)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for path in (config.ROOT / name for name in listed.stdout.split("\0") if name):
        assert path.suffix not in (".mat", ".npy", ".zip", ".dcm", ".nii"), path
        if path.suffix in (".png", ".jpg", ".pdf", ".svg", ".tif") and path.name != "icon.svg":
            manifest = steps.read_json(path.parent / publish.MANIFEST)
            is_phantom = manifest["profile"]["cohort"] in ("phantom", "calibration")
            assert is_phantom or not manifest["figures"][path.stem]["shows_slices"], path
