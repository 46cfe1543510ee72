import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
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


def start_and_wait(notebooks, runs, run=RUN):
    """A run in a process group of its own, and the number of its kernel, in its second cell."""
    write(notebooks, "01_data", WAITS, "stage.finish()")
    process = subprocess.Popen(
        [sys.executable, "-c", run, str(notebooks)],
        cwd=config.ROOT,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TUMORCF_RUNS": str(runs)},
    )
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
