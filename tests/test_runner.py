import json

import nbformat
import pytest

from tumorcf_lib import paths, runner, stages


@pytest.fixture
def small_notebooks(tmp_path, monkeypatch):
    """Six notebooks of two lines that finish their stage."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.setattr(paths, "NOTEBOOKS", folder)
    monkeypatch.setattr(stages, "code_digest", lambda name: (folder / f"{name}.ipynb").read_text())
    monkeypatch.setenv("TUMORCF_RUNS", str(tmp_path))
    for name in stages.NAMES:
        write(folder, name, "stage.finish()")
    return folder


def write(folder, name, last_line):
    source = (
        "import os\nfrom tumorcf_lib import config, paths, results, runtime, stages\n"
        f"paths.NOTEBOOKS = paths.Path({str(folder)!r})\n"
        "stages.code_digest = lambda name: (paths.NOTEBOOKS / f'{name}.ipynb').read_text()\n"
        "study = runtime.Study(config.get('smoke'), int(os.environ['TUMORCF_SEED']), "
        "paths.run('smoke'))\n"
        f"stage = results.open_stage(study, '{name}')\n"
    )
    cells = [nbformat.v4.new_code_cell(source), nbformat.v4.new_code_cell(last_line)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / f"{name}.ipynb")


def test_notebooks_run_in_order_then_are_skipped_then_redone(study, small_notebooks, capsys):
    first = runner.run(study, last="02")
    assert [entry["name"] for entry in first] == ["01_data", "02_preprocessing"]
    assert all(entry["minutes"] > 0 for entry in first)
    again = runner.run(study, last="02")
    assert [entry["minutes"] for entry in again] == [0, 0]
    assert "up to date, skipped" in capsys.readouterr().out
    fresh = runner.run(study, first="02", last="02", fresh=True)
    assert fresh[0]["minutes"] > 0
    kept = json.loads((study.folder / "minutes.json").read_text())
    assert set(kept) == {"01_data", "02_preprocessing"}
    assert min(kept.values()) >= 0


def test_the_first_failure_stops_and_names_cell_message_and_copy(study, small_notebooks):
    write(small_notebooks, "02_preprocessing", "# a comment\nraise ValueError('7 is no tumor')")
    with pytest.raises(runner.NotebookError) as error:
        runner.run(study)
    message = str(error.value)
    assert "02_preprocessing stopped at cell [2]" in message
    assert "raise ValueError('7 is no tumor')" in message
    assert "ValueError: 7 is no tumor" in message
    copy = runner.executed_copy(study, "02_preprocessing")
    assert copy.name in message
    assert copy.exists()
    assert not (study.folder / "03_training").exists()


def test_a_kernel_that_dies_is_named_with_what_to_try(study, small_notebooks):
    write(small_notebooks, "01_data", "os._exit(9)")
    with pytest.raises(runner.NotebookError, match="01_data stopped: its kernel died"):
        runner.run(study, last="01")


def test_long_work_that_is_only_read_again_keeps_the_minutes_it_took(study):
    for part, seconds in (("fold0-x", "400"), ("rows-y", "200")):
        workspace = study.folder / "03_training" / part
        workspace.mkdir(parents=True)
        (workspace / "seconds.txt").write_text(seconds)
    minutes = study.folder / "minutes.json"
    runner._keep_minutes(study, "03_training", 11.5)
    runner._keep_minutes(study, "03_training", 0.1)
    assert json.loads(minutes.read_text())["03_training"] == 11.5
    minutes.unlink()
    runner._keep_minutes(study, "03_training", 0.1)
    assert json.loads(minutes.read_text())["03_training"] == 10
