"""The committed notebooks keep the project's form, and were published from a demo run."""

import json
import re

import nbformat
import pytest

from tumorcf_lib import config
from tumorcf_lib.publish import publish, texts
from tumorcf_lib.study import leak, pooled, stages

NOTEBOOKS = sorted(config.NOTEBOOKS.glob("*.ipynb"))
NUMBERED = [config.NOTEBOOKS / f"{name}.ipynb" for name in stages.NAMES]


def load(path):
    return json.loads(path.read_text())["cells"]


def code_cells(path):
    return [cell for cell in load(path) if cell["cell_type"] == "code"]


def text(cell):
    return "".join(cell["source"])


def tags(cell):
    return cell["metadata"].get("tags", [])


every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
every_stage = pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)


def test_the_six_numbered_notebooks_are_there():
    assert set(NUMBERED) <= set(NOTEBOOKS)


@every_notebook
def test_a_notebook_is_valid(path):
    nbformat.validate(nbformat.read(path, 4))


@every_stage
def test_the_opening_is_always_the_same_five_cells(path):
    title, setup, imports, parameters, start = load(path)[:5]
    assert re.match(rf"# {path.stem[:2]} · \w+\n\n\*\*.+\?\*\*", text(title))
    for word in ("**Reads**", "**Writes**", "**Runtime**", "Open in Binder", "Open in Colab"):
        assert word in text(title)
    assert texts.badges(f"notebooks/{path.name}") in text(title)
    assert tags(setup) == ["setup"]
    assert len(text(setup).splitlines()) <= 10
    assert all(re.match(r"(import|from) |$", line) for line in text(imports).splitlines())
    assert tags(parameters) == ["parameters"]
    assert len(text(parameters).splitlines()) == 2
    assert text(start).startswith("study = runtime.start(PROFILE, SEED")


@every_stage
def test_imports_are_in_the_opening_only(path):
    for cell in code_cells(path)[2:]:
        assert not re.search(r"^\s*(import|from) ", text(cell), re.MULTILINE)


@every_stage
def test_never_more_than_two_code_cells_in_a_row_after_the_opening(path):
    kinds = "".join(cell["cell_type"][0] for cell in load(path)[5:])
    assert "ccc" not in kinds


@every_notebook
def test_cells_are_short_and_define_nothing(path):
    for cell in code_cells(path):
        assert len(text(cell).splitlines()) <= 20
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


@every_stage
def test_the_last_section_says_what_was_found_from_saved_numbers(path):
    cells = load(path)
    headings = [
        line
        for cell in cells
        if cell["cell_type"] == "markdown"
        for line in text(cell).splitlines()
        if line.startswith("## ")
    ]
    assert headings[-1] == "## What we found"
    assert "Limitation" in text(code_cells(path)[-1])
    assert ".ipynb)" in text(cells[-1])


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
    printed = "".join(
        "".join(output["text"])
        for cell in code_cells(config.NOTEBOOKS / f"{publish.EVIDENCE}.ipynb")
        for output in cell["outputs"] if output["output_type"] == "stream"
    )  # fmt: skip
    told = (*pooled.performance_sentences(), *pooled.class_sentences(), *leak.sentences())
    assert [line for line in told if line not in printed] == []


@every_stage
def test_a_figure_cell_says_whether_slices_are_shown_and_ends_with_the_figure(path):
    for cell in code_cells(path):
        if "save_figure(" in text(cell):
            assert "shows_slices=" in text(cell)
            assert text(cell).splitlines()[-1] == "fig"


def test_figures_are_numbered_as_a_reader_meets_them_and_captions_carry_their_numbers():
    saved, told = [], []
    for source in (text(cell) for path in NUMBERED for cell in load(path)):
        saved += [int(n) for n in re.findall(r'save_figure\(\s*fig, "fig(\d+)_', source)]
        caption = re.match(r"\*\*Figures? ([\d and]+)\.\*\*", source)
        told += [int(n) for n in re.findall(r"\d+", caption[1])] if caption else []
    assert saved == told == list(range(1, len(saved) + 1))


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
        if path.suffix in (".png", ".jpg", ".pdf", ".svg", ".tif"):
            profile, name = path.parent.name, path.stem
            manifest = json.loads((path.parent / publish.MANIFEST).read_text())
            is_phantom = manifest["profile"]["cohort"] in ("phantom", "calibration")
            assert is_phantom or not manifest["figures"][name]["shows_slices"], (profile, name)
