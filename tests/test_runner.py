import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from tumorcf_lib import config, steps
from tumorcf_lib.study import execution, notebooks as runner, stages

DIES = "os.kill(os.getpid(), 9)"
WAITS = "config.Path(os.environ['TUMORCF_RUNS'], 'pid').write_text(str(os.getpid()))\nwhile 1: pass"
RUN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let background jobs ignore it
from tumorcf_lib import __main__ as cli, config, steps
config.NOTEBOOKS = config.Path(sys.argv[1])
sys.exit(cli.main(["run", "--profile", "smoke", "--to", "01"]))
"""


@pytest.fixture
def small_notebooks(tmp_path, monkeypatch):
    """Six notebooks of two lines that finish their stage."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.setattr(config, "NOTEBOOKS", folder)
    monkeypatch.setenv("TUMORCF_RUNS", str(tmp_path))
    for name in stages.NAMES:
        write(folder, name, "stage.finish()")
    return folder


def write(folder, name, *last_cells):
    source = (
        "import os\nfrom tumorcf_lib import config, steps\n"
        "from tumorcf_lib.study import results, runtime\n"
        f"config.NOTEBOOKS = config.Path({str(folder)!r})\n"
        "study = runtime.Study(config.get('smoke'), int(os.environ['TUMORCF_SEED']), "
        "config.run('smoke'))\n"
        f"stage = results.open_stage(study, '{name}')\n"
    )
    cells = [nbformat.v4.new_code_cell(text) for text in (source, *last_cells)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / f"{name}.ipynb")


def start_and_wait(notebooks, runs, run=RUN):
    """A run in a process group of its own, and the number of its kernel, in its second cell."""
    write(notebooks, "01_data", WAITS, "stage.finish()")
    process = subprocess.Popen(
        [sys.executable, "-c", run, str(notebooks)], cwd=config.ROOT, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "TUMORCF_RUNS": str(runs)},
    )  # fmt: skip
    marker = runs / "pid"
    while not (marker.exists() and marker.read_text()):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.1)
    return process, int(marker.read_text())


def ends(pid, within_s):
    """Whether a process ends in time; one that only waits to be buried has ended."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
            status = Path(f"/proc/{pid}/stat")
            if status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.1)
    return False


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
    assert set(kept) == {"01_data", "02_preprocessing", runner.PROCESSOR}
    assert "cores" in kept.pop(runner.PROCESSOR)
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
    unfinished = copy.with_name(steps.UNFINISHED + copy.name)
    assert unfinished.name in message
    assert unfinished.exists()
    assert not copy.exists()
    assert not (study.folder / "03_training").exists()


def test_a_kernel_that_is_killed_is_named_with_its_cell_and_what_to_try(study, small_notebooks):
    write(small_notebooks, "01_data", "1", f"# a comment\n{DIES}", "stage.finish()")
    with pytest.raises(runner.NotebookError) as error:
        runner.run(study, last="01")
    message = str(error.value)
    assert f"01_data stopped at cell [3], which begins with\n    {DIES}\n" in message
    assert "Its kernel was ended by signal 9, most often because memory ran out" in message
    assert "close other programs" in message
    assert "./run_all.sh --profile smoke --from 01" in message
    assert stages.why_stale(study, "01_data") == "it was never finished"


@pytest.mark.parametrize(
    ("status", "how", "first"),
    [
        (-signal.SIGKILL, "ended by signal 9, most often because memory ran out", "close other"),
        (-signal.SIGBUS, "signal 7, most often because the disk is full", "free some room"),
        (-signal.SIGILL, "signal 4, because a package was built for a newer", "another machine"),
        (-signal.SIGTERM, "signal 15, because somebody, or the system, asked it to end", "go on."),
        (-signal.SIGSEGV, "signal 11, by an error inside a package, or because", "close other"),
        (-64, "signal 64, by an error inside a package", "close other"),
        (3, "ended itself with status 3", "close other"),
        (None, "died, most often because memory ran out", "close other"),
    ],
)
def test_how_a_kernel_died_decides_what_is_tried_first(study, status, how, first):
    told, advice = execution._how_it_died(status)
    assert how in told
    steps = execution._what_to_try(study, "03_training", advice).splitlines()
    assert steps[0] == "What to try:" and first in steps[1]
    assert "./run_all.sh --profile smoke --from 03" in steps[-1]


@pytest.mark.parametrize(
    ("name", "message", "first"),
    [("_ArrayMemoryError", "Unable to allocate 6 GiB", "1. close other programs"),
     ("OSError", f"[Errno 28] {os.strerror(28)}: 'rows.csv'", "1. free some room on the disk"),
     ("ValueError", "7 is no tumor", None)],
)  # fmt: skip
def test_a_cell_without_memory_or_room_on_the_disk_says_what_to_try(study, name, message, first):
    error = SimpleNamespace(exec_count=2, source="\nfit()", ename=name, evalue=message)
    told = execution._failure(study, "03_training", error, study.folder / "copy.ipynb")
    assert "03_training stopped at cell [2], which begins with\n    fit()\n" in told
    assert f"\n{name}: {message}\n" in told
    assert (first is None) == ("What to try" not in told)
    if first:
        assert f"What to try:\n  {first}" in told
        assert "./run_all.sh --profile smoke --from 03" in told


def test_a_notebook_whose_kernel_dies_after_its_stage_is_finished_does_not_count(
    study, small_notebooks
):
    write(small_notebooks, "01_data", "stage.finish()", DIES)
    with pytest.raises(runner.NotebookError, match=r"cell \[3\]"):
        runner.run(study, last="01")
    assert stages.why_stale(study, "01_data") is None
    assert not runner.is_executed(study, "01_data")


def test_a_notebook_that_never_finishes_its_stage_is_no_success(study, small_notebooks):
    write(small_notebooks, "01_data", "'nothing'")
    with pytest.raises(runner.NotebookError, match="does not hold: it was never finished"):
        runner.run(study, last="01")


def test_an_interrupt_ends_run_and_kernel_says_how_to_go_on_and_leaves_no_half(
    study, small_notebooks, tmp_path
):
    process, kernel = start_and_wait(small_notebooks, tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "01_data was stopped" in said
    assert "./run_all.sh --profile smoke --from 01" in said
    assert "Traceback" not in said
    assert ends(kernel, within_s=1)
    assert stages.why_stale(study, "01_data") == "it was never finished"
    write(small_notebooks, "01_data", "stage.finish()")
    assert runner.run(study, last="01")[0]["minutes"] > 0


def test_an_interrupt_whose_exception_is_lost_ends_the_run_all_the_same(
    study, small_notebooks, tmp_path
):
    deaf = RUN.replace("signal.default_int_handler", "lambda number, frame: None")
    process, kernel = start_and_wait(small_notebooks, tmp_path, deaf)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "01_data was stopped" in said and "Traceback" not in said
    assert ends(kernel, within_s=1)


def test_the_kernel_of_a_killed_run_ends_by_itself_and_a_rerun_goes_on(
    study, small_notebooks, tmp_path
):
    process, kernel = start_and_wait(small_notebooks, tmp_path)
    process.kill()
    process.wait()
    process.stdout.close()
    write(small_notebooks, "01_data", "stage.finish()")
    assert runner.run(study, last="01")[0]["minutes"] > 0
    assert ends(kernel, within_s=10)


def test_a_second_run_of_the_same_folder_is_refused(study, small_notebooks):
    study.folder.mkdir()
    with open(study.folder / steps.LOCK, "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write("1234\n")
        other.flush()
        with pytest.raises(stages.StageError, match=r"Another run writes to .*number 1234"):
            runner.run(study)
    assert not (study.folder / "01_data").exists()


def test_what_the_first_notebook_needs_is_checked_before_a_kernel_starts(study, small_notebooks):
    with pytest.raises(stages.StageError, match="--profile smoke --to 05") as error:
        runner.run(study, first="06")
    assert "06_metrics needs what 04_evaluation makes" in str(error.value)
    assert not runner.executed_copy(study, "06_metrics").parent.exists()


@pytest.mark.parametrize("text", ["", '{"cells": [', "[]", '{"cells": [1]}'])
def test_an_executed_copy_that_was_cut_off_is_none(study, small_notebooks, text):
    (study.folder / "01_data").mkdir(parents=True)
    (study.folder / "01_data" / stages.RECORD).write_text("{}")
    copy = runner.executed_copy(study, "01_data")
    copy.parent.mkdir()
    copy.write_text(text)
    assert not runner.is_executed(study, "01_data")


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


def test_only_a_run_of_all_notebooks_tells_the_memory_it_took(study, monkeypatch):
    def made(study, name, *_):
        return {"name": name, "minutes": 0 if name in skipped else 1.0}

    def kept():
        path = study.folder / "minutes.json"
        return json.loads(path.read_text()).get(runner.MEMORY) if path.exists() else None

    monkeypatch.setattr(runner, "_make", made)
    skipped = ["04_evaluation"]
    runner.run(study)
    runner.run(study, first="05")
    assert kept() is None
    skipped = []
    runner.run(study)
    assert 0.05 < kept() == runner.peak_gb() < 100


def test_minutes_that_were_cut_off_are_counted_anew(study):
    study.folder.mkdir()
    (study.folder / "minutes.json").write_text('{"01_da')
    runner._keep_minutes(study, "02_preprocessing", 2)
    kept = json.loads((study.folder / "minutes.json").read_text())
    assert kept.pop(runner.PROCESSOR) and kept == {"02_preprocessing": 2}
