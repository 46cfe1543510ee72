"""Notebooks are run in order and resumed; what stops one is named."""

import os
import shutil
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
WAITS_FOR = """
print("I am {0}")
here, until = config.Path(os.environ["TUMORCF_RUNS"]), time.monotonic() + 120
(here / "{0}").write_text(str(os.getpid()))
while not (here / "{1}").exists():
    assert time.monotonic() < until, "{1} never came"
"""
SIDE_BY_SIDE = "04_evaluation", "05_counterfactuals"
RUN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let background jobs ignore it
from tumorcf_lib import __main__ as cli, config, steps
from tumorcf_lib.study import notebooks
config.NOTEBOOKS, notebooks.has_room = config.Path(sys.argv[1]), lambda: True
sys.exit(cli.main(["run", "--profile", "smoke", "--to", sys.argv[2]]))
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
        "import os, time\nfrom tumorcf_lib import config, steps\n"
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


def started(notebooks, last):
    """A run in a process group of its own."""
    said = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    words = [sys.executable, "-c", RUN, str(notebooks), last]
    return subprocess.Popen(words, start_new_session=True, cwd=config.ROOT, **said)


def waited_for(process, marker):
    """The number of a kernel that is in its second cell."""
    while not (marker.exists() and marker.read_text()):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.1)
    return int(marker.read_text())


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
    kept = steps.read_json(study.folder / runner.MINUTES)
    assert set(kept) == {"01_data", "02_preprocessing", runner.PROCESSOR}


@pytest.fixture
def meeting(small_notebooks, monkeypatch):
    """Two notebooks, of which each goes on when the other one has begun."""
    monkeypatch.setattr(runner, "has_room", lambda: True)
    for own, other in (SIDE_BY_SIDE, SIDE_BY_SIDE[::-1]):
        write(small_notebooks, own, WAITS_FOR.format(own, other), "stage.finish()")
    return small_notebooks


def test_notebooks_that_need_nothing_of_each_other_run_at_once_with_a_log_each(study, meeting):
    runner.run(study)
    kept = steps.read_json(study.folder / runner.MINUTES)
    assert kept[runner.AT_ONCE] == 2 and set(stages.NAMES) < set(kept)
    for name in SIDE_BY_SIDE:
        log = runner.executed_copy(study, name).with_suffix(".log").read_text()
        assert [who for who in SIDE_BY_SIDE if f"I am {who}" in log] == [name]


def test_one_of_two_at_once_fails_and_the_other_ends_its_work(study, meeting):
    write(meeting, "04_evaluation", "1 / 0")
    (study.folder.parent / "04_evaluation").touch()
    with pytest.raises(runner.NotebookError, match="04_evaluation stopped"):
        runner.run(study)
    assert stages.why_stale(study, "05_counterfactuals") is None
    assert not (study.folder / "06_metrics").exists()


LACKS = {"n_cores": 1, "memory_limit": 8e9, "held_by_others": 39e9, "which": "nvidia-smi"}


@pytest.mark.parametrize("lack", [None, *LACKS])
def test_notebooks_run_one_by_one_where_there_is_no_room_for_two(monkeypatch, lack):
    monkeypatch.setattr(os, "sysconf", lambda _: 200_000)  # so many pages, of so many bytes
    room = {"n_cores": 2, "memory_limit": float("inf"), "held_by_others": 0, "which": None}
    for name, value in room.items():
        value = LACKS[name] if name == lack else value
        monkeypatch.setattr(shutil if name == "which" else runner, name, lambda *_, v=value: v)
    assert runner.has_room() == (lack is None)


def test_the_first_failure_stops_and_names_cell_message_and_copy(study, small_notebooks):
    write(small_notebooks, "01_data", "'nothing'")
    with pytest.raises(runner.NotebookError, match="does not hold: it was never finished"):
        runner.run(study, last="01")
    write(small_notebooks, "01_data", "# a comment\nraise ValueError('7 is no tumor')")
    with pytest.raises(runner.NotebookError) as error:
        runner.run(study)
    message, copy = str(error.value), runner.executed_copy(study, "01_data")
    assert "01_data stopped at cell [2]" in message and "ValueError: 7 is no tumor" in message
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


def test_a_notebook_beside_the_study_goes_on_by_the_command_that_ran_it(study, small_notebooks):
    cells = [nbformat.v4.new_code_cell(f"import os\n{DIES}")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), small_notebooks / "evidence.ipynb")
    with pytest.raises(runner.NotebookError, match="give the same command again") as error:
        runner.run_guide(study, "evidence")
    assert "--from" not in str(error.value)


def test_an_interrupt_ends_run_and_kernels_and_says_how_to_go_on(study, meeting, tmp_path):
    for name in SIDE_BY_SIDE:
        write(meeting, name, WAITS_FOR.format(name, "nobody"), "stage.finish()")
    process = started(meeting, last="06")
    kernels = [waited_for(process, tmp_path / name) for name in SIDE_BY_SIDE]
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in said
    assert said.count("was stopped") == said.count("--from 04") == 2
    assert all(ends(kernel, within_s=1) for kernel in kernels)
    assert {stages.why_stale(study, name) for name in SIDE_BY_SIDE} == {"it was never finished"}


def test_the_kernel_of_a_killed_run_ends_and_a_rerun_goes_on(study, small_notebooks, tmp_path):
    write(small_notebooks, "01_data", WAITS_FOR.format("01_data", "nobody"), "stage.finish()")
    process = started(small_notebooks, last="01")
    kernel = waited_for(process, tmp_path / "01_data")
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
