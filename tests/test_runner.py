"""Notebooks are run in order and resumed; what stops one is named."""

import json
import os
import signal
import subprocess
import sys
import time

import nbformat
import psutil
import pytest

from tumorcf_lib import config, steps
from tumorcf_lib.study import notebooks as runner, stages

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


@pytest.fixture
def begun(small_notebooks, tmp_path):
    """A run in a process group of its own, and the number of its kernel, in its second cell."""
    write(small_notebooks, "01_data", WAITS, "stage.finish()")
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(small_notebooks)],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=config.ROOT,
    )
    marker = tmp_path / "pid"
    while not (marker.exists() and marker.read_text()):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.1)
    return process, int(marker.read_text())


def ends(pid, within_s):
    """Whether a process ends in time; one that only waits to be buried has ended."""
    until = time.monotonic() + within_s
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def test_notebooks_run_in_order_and_are_skipped_while_they_hold(study, small_notebooks):
    first = runner.run(study, last="02")
    assert list(first) == ["01_data", "02_preprocessing"] and all(first.values())
    assert runner.run(study, last="02") == {"01_data": 0, "02_preprocessing": 0}
    kept = json.loads((study.folder / runner.MINUTES).read_text())
    assert set(kept) == {"01_data", "02_preprocessing", runner.PROCESSOR}


def test_the_first_failure_stops_and_names_cell_message_and_copy(study, small_notebooks):
    write(small_notebooks, "01_data", "'nothing'")
    with pytest.raises(runner.NotebookError, match="does not hold: it was never finished"):
        runner.run(study, last="01")
    write(small_notebooks, "01_data", "# a comment\nraise ValueError('7 is no tumor')")
    with pytest.raises(runner.NotebookError) as error:
        runner.run(study)
    message, copy = str(error.value), runner.executed_copy(study, "01_data")
    assert "01_data stopped at cell [2]" in message
    assert "raise ValueError('7 is no tumor')\nValueError: 7 is no tumor" in message
    unfinished = copy.with_name(steps.UNFINISHED + copy.name)
    assert unfinished.name in message and unfinished.exists()
    assert not (study.folder / "02_preprocessing").exists()


def test_a_kernel_that_is_killed_is_named_with_its_cell_and_what_to_try(study, small_notebooks):
    write(small_notebooks, "01_data", "1", f"# a comment\n{DIES}", "stage.finish()")
    with pytest.raises(runner.NotebookError) as error:
        runner.run(study, last="01")
    message = str(error.value)
    assert f"01_data stopped at cell [3], which begins with\n    {DIES}\n" in message
    assert "Its kernel was ended by signal 9, most often because memory ran out" in message
    assert "./run_all.sh --profile smoke --from 01" in message
    assert stages.why_stale(study, "01_data") == "it was never finished"


def test_an_interrupt_ends_run_and_kernel_says_how_to_go_on_and_leaves_no_half(study, begun):
    process, kernel = begun
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in said
    assert "01_data was stopped" in said and "./run_all.sh --profile smoke --from 01" in said
    assert ends(kernel, within_s=1)
    assert stages.why_stale(study, "01_data") == "it was never finished"


def test_the_kernel_of_a_killed_run_ends_by_itself_and_a_rerun_goes_on(
    study, begun, small_notebooks
):
    process, kernel = begun
    process.kill()
    process.communicate()
    write(small_notebooks, "01_data", "stage.finish()")
    assert runner.run(study, last="01")["01_data"] > 0
    assert ends(kernel, within_s=10)


def test_a_second_run_of_the_same_folder_is_refused(study, small_notebooks):
    study.folder.mkdir()
    with steps.held(study.folder / steps.LOCK), pytest.raises(steps.InUseError, match="smoke"):
        runner.run(study)
    assert not (study.folder / "01_data").exists()
