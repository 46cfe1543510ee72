"""The committed notebooks teach in one form, and show published results."""

import json
import re

import nbformat
import pytest

from tumorcf_lib import config
from tumorcf_lib.publish import openings, publish, texts
from tumorcf_lib.study import leak, pooled, stages

NOTEBOOKS = sorted(config.NOTEBOOKS.glob("*.ipynb"))
NUMBERED = [config.NOTEBOOKS / f"{name}.ipynb" for name in stages.NAMES]
TAUGHT = [path for path in NOTEBOOKS if path.stem != "audit_your_model"]
JARGON = {
    "sham": "**sham**",
    "Net-Drop": "**Net-Drop**",
    "silhouette": "**silhouette**",
    "z-score": "**z-score**",
    "probe": "**probe**",
    "drift": "**drift**",
    "energy": "**energy**",
    "temperature": "**temperature**",
    "Holm": "(Holm",
    "hardened": "**hardened**",
    "saliency": "**saliency map**",
    "canary": "**canary**",
    "phantom": "**phantom**",
}
"""Word -> how it stands where it is introduced."""

MEANT = {"sham": {"03_training", "04_evaluation"}, "phantom": set(stages.NAMES[1:])}
"""Notebooks that may use a word that an earlier notebook introduced."""


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def code_cells(path):
    return [cell for cell in load(path) if cell["cell_type"] == "code"]


def text(cell):
    return "".join(cell["source"])


def tags(cell):
    return cell["metadata"].get("tags", [])


def shown(cell):
    """Markdown that a code cell displayed."""
    return [
        "".join(o["data"]["text/markdown"])
        for o in cell["outputs"]
        if "text/markdown" in o.get("data", {})
    ]


every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
every_taught = pytest.mark.parametrize("path", TAUGHT, ids=lambda path: path.stem)
every_stage = pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)


def test_the_numbered_notebooks_and_the_guides_are_there():
    guides = [config.NOTEBOOKS / f"{name}.ipynb" for name in stages.GUIDES]
    assert sorted([*NUMBERED, *guides]) == NOTEBOOKS


@every_notebook
def test_a_notebook_is_valid(path):
    nbformat.validate(nbformat.read(path, 4))


@every_taught
def test_the_opening_is_question_answer_parameters_and_setup(path):
    """Parameters stand before setup: what is set up begins with them."""
    title, *rest = load(path)
    assert re.match(r"# (0\d · )?\w+\n\n\*\*.+\?\*\*\n\n\*\*Answer\.\*\* .+\. .+\.\n", text(title))
    for word in ("**Reads**", "**Writes**", "**Runtime**", texts.badges(f"notebooks/{path.name}")):
        assert word in text(title)
    if path.stem != publish.EVIDENCE:
        assert tags(rest[0]) == ["parameters"] and "PROFILE = " in text(rest.pop(0))
    assert tags(rest[0]) == ["setup", "hide-input"]
    assert text(rest[0]).startswith(openings.setup_cell(path.stem))
    assert rest[1]["cell_type"] == "markdown"
    assert openings.with_opening({"cells": load(path)}, path.stem)["cells"][0]["source"] == text(
        title
    )


@every_taught
def test_imports_are_in_the_opening_only(path):
    for cell in code_cells(path):
        if not tags(cell):
            assert not re.search(r"^\s*(import|from) ", text(cell), re.MULTILINE)


@every_taught
def test_never_more_than_two_code_cells_in_a_row_after_the_opening(path):
    cells = load(path)
    last = max(i for i, cell in enumerate(cells) if "setup" in tags(cell))
    assert "ccc" not in "".join(cell["cell_type"][0] for cell in cells[last + 1 :])


@every_notebook
def test_cells_are_short_and_define_nothing(path):
    for cell in code_cells(path):
        assert len(text(cell).splitlines()) <= 20
        if "setup" not in tags(cell):
            assert max(map(len, text(cell).splitlines())) <= 100
        assert not re.search(r"^\s*(def|class|for .*fit|while) ", text(cell), re.MULTILINE)


@every_notebook
def test_prose_cells_have_at_most_120_words(path):
    for cell in load(path)[1:]:
        if cell["cell_type"] == "markdown":
            plain = re.sub(r"\(\S+\)|\$[^$]+\$|\|", " ", text(cell))
            assert len(plain.split()) <= 120, text(cell)[:60]


@every_notebook
def test_no_shell_no_change_of_folder_no_absolute_path(path):
    for cell in code_cells(path):
        if "setup" not in tags(cell):
            assert not re.search(r"^\s*[!%]", text(cell), re.MULTILINE)
        assert not re.search(r"""["'](/|~|[A-Z]:\\)""", text(cell))


@every_taught
def test_every_figure_is_read_out_and_doubted(path):
    cells = load(path)
    pictured = [
        i
        for i, cell in enumerate(cells)
        if any("image/png" in o.get("data", {}) for o in cell.get("outputs", []))
    ]
    for i in pictured:
        assert any(re.search(r"\w.*\.$", words) for words in shown(cells[i])), text(cells[i])
        after = next(cell for cell in cells[i:] if cell["cell_type"] == "markdown")
        assert re.search(r"could\s+be\s+wrong", text(after)), text(after)[:80]
    for cell in code_cells(path):
        if "save_figure(" in text(cell):
            assert "shows_slices=" in text(cell) and "reading.show(\n    fig" in text(cell).replace(
                "reading.show(fig", "reading.show(\n    fig"
            )


@every_taught
def test_tables_are_small_rounded_and_named_in_words(path):
    for cell in code_cells(path):
        assert not any("text/html" in output.get("data", {}) for output in cell["outputs"])
        for table in (words for words in shown(cell) if words.startswith("|")):
            head, _, *rows = (line.split("|")[1:-1] for line in table.splitlines())
            assert len(rows) <= 8 and len(head) <= 7
            assert not [name for name in head if "_" in name]
            assert all(any(row[k].strip() for row in rows) for k in range(len(head)))
            assert not re.search(r"\d\.\d{4}|nan", table)


@every_taught
def test_jargon_is_introduced_before_it_is_used(path):
    prose = "\n".join(text(cell) for cell in load(path)[1:] if cell["cell_type"] == "markdown")
    prose = re.sub(r"`[^`]*`|\]\([^)]*\)|^#.*", " ", prose, flags=re.M)  # code, links, headings
    for word, introduced in JARGON.items():
        used = re.search(rf"(?<![\w*(]){word}", prose)
        if used and path.stem not in MEANT.get(word, ()):
            assert 0 <= prose.find(introduced) <= used.start(), word


@every_notebook
def test_every_link_to_a_file_leads_to_one(path):
    prose = "\n".join(text(cell) for cell in load(path) if cell["cell_type"] == "markdown")
    for target in re.findall(r"\]\(([^)#]+)\)", prose):
        if "://" not in target:
            assert (config.NOTEBOOKS / target).exists(), target


@every_taught
def test_the_last_section_says_what_was_found_and_its_limits(path):
    cells = load(path)
    prose = "\n".join(text(cell) for cell in cells if cell["cell_type"] == "markdown")
    assert re.findall("^## .*", prose, re.M)[-1] == "## What we found"
    assert "**Limitation**" in text(code_cells(path)[-1]) and ".ipynb)" in text(cells[-1])


@every_notebook
def test_committed_cells_were_run_in_order_in_a_fresh_kernel(path):
    counts = [cell["execution_count"] for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1))


@every_notebook
def test_committed_outputs_are_small_and_without_errors(path):
    assert path.stat().st_size <= 1_000_000
    for cell in code_cells(path):
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            data = output.get("data", {})
            plain = output.get("text") or (
                [] if "image/png" in data else data.get("text/plain", [])
            )
            assert "".join(plain).count("\n") <= 30
        assert sum(output["output_type"] == "stream" for output in cell["outputs"]) <= 1


@every_notebook
def test_committed_notebooks_carry_no_times_and_no_home_folder(path):
    raw = path.read_text()
    assert "papermill" not in json.dumps(json.loads(raw)["metadata"])
    for cell in load(path):
        assert set(cell["metadata"]) <= {"tags"}
    for word in ("/root/", "/home/", "/Users/", "/tmp/"):
        assert word not in raw
    assert re.search(r"(?<![\w./])/[\w./-]+/runs/", raw) is None


@every_stage
def test_committed_outputs_come_from_the_phantom(path):
    outputs = json.dumps([cell["outputs"] for cell in code_cells(path)], ensure_ascii=False)
    assert "profile   demo" in outputs
    assert "phantom" in outputs


def test_the_evidence_notebook_says_what_the_published_tables_say_today():
    path = config.NOTEBOOKS / f"{publish.EVIDENCE}.ipynb"
    printed = "\n".join(words for cell in code_cells(path) for words in shown(cell))
    told = (*pooled.performance_sentences(), *pooled.class_sentences(), *leak.sentences()[-2:])
    told = map(texts.of_patients, told)
    assert [line for line in told if line not in printed] == []


def test_no_picture_or_file_of_the_real_slices_is_tracked():
    import subprocess

    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=config.ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    tracked = [config.ROOT / name for name in listed.stdout.split("\0") if name]
    assert not [path for path in tracked if path.suffix in (".mat", ".npy", ".zip", ".dcm", ".nii")]
    for path in tracked:
        if path.suffix in (".png", ".jpg", ".pdf", ".svg", ".tif") and path.name != "icon.svg":
            profile, name = path.parent.name, path.stem
            manifest = json.loads((path.parent / publish.MANIFEST).read_text())
            is_phantom = manifest["profile"]["cohort"] in ("phantom", "calibration")
            assert is_phantom or not manifest["figures"][name]["shows_slices"], (profile, name)
