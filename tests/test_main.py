"""The command line: what each option reaches, and what is said when something is wrong."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tumorcf_lib import __main__ as cli, commands, config
from tumorcf_lib.data import download
from tumorcf_lib.study import calibration, leak, notebooks, scratch


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """No settings of the machine; what main sets is put back."""
    for name in ("TUMORCF_DATA", "TUMORCF_PROFILE", "TUMORCF_SEED", "TUMORCF_COMMAND"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("TUMORCF_RUNS", str(tmp_path))


@pytest.fixture
def ran(monkeypatch):
    """What the runner of notebooks was called with."""
    calls = {}
    monkeypatch.setattr(
        notebooks, "run", lambda study, **options: calls.update(study=study, **options)
    )
    return calls


def test_every_module_that_a_command_names_exists():
    named = re.findall(r'lib\("([\w.]+)"\)', Path(commands.__file__).read_text(encoding="utf-8"))
    assert len(set(named)) > 10
    for name in set(named):
        importlib.import_module(f"tumorcf_lib.{name}")


@pytest.mark.parametrize("first", ["run", "run_all"])
def test_options_reach_the_runner(ran, first):
    typed = ["--profile", "smoke", "--from", "04", "--to=5", "--seed", "3", "--fresh"]
    assert cli.main([first, *typed]) == 0
    assert (ran["study"].profile.name, ran["study"].seed) == ("smoke", 3)
    assert (ran["first"], ran["last"], ran["fresh"]) == ("04", "5", True)


@pytest.mark.parametrize(
    "typed",
    [
        "--seed -1",
        f"--seed {2**32}",
        "--profile=",
        "--profil demo",
        "--lab --fresh",
        "--lab --test",
        "--setup --seed 1",
    ],
)
def test_wrong_options_are_refused_in_words(typed, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["run_all", *typed.split()])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("usage: ./run_all.sh") and "error: " in said


def test_folders_are_relative_to_where_the_script_was_called(ran, monkeypatch, tmp_path):
    monkeypatch.setenv("TUMORCF_FROM", str(tmp_path))
    monkeypatch.setenv("TUMORCF_RUNS", "mine")
    monkeypatch.setenv("TUMORCF_PARTIAL", "")
    cli.main(["run_all", "--profile", "smoke", "--data", "slices", "--partial"])
    assert os.environ["TUMORCF_DATA"] == str(tmp_path / "slices")
    assert os.environ["TUMORCF_PARTIAL"] == "1"
    assert ran["study"].folder == tmp_path / "mine" / "smoke"


def test_a_named_error_is_shown_without_a_traceback_and_with_the_nearest_name(capsys):
    assert cli.main(["run", "--profile", "demos"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("\nUnknownProfileError: ") and "did you mean 'demo'" in shown
    assert "Traceback" not in shown


def python(code):
    """What a Python of its own says to some code."""
    words = [sys.executable, "-c", f"import sys; {code}"]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=config.ROOT)


def test_another_python_is_told_which_one_has_the_packages():
    done = python(
        "sys.modules['numpy'] = None; from tumorcf_lib import __main__ as cli; "
        "sys.exit(cli.main(['status', '--profile', 'smoke']))"
    )
    assert done.returncode == 1
    assert f"This Python ({sys.executable}) lacks the package numpy" in done.stderr


def interrupted(*arguments, **options):
    raise KeyboardInterrupt


@pytest.mark.parametrize("typed", ["", "./run_all.sh --fresh --profile smoke "])
def test_an_interrupt_says_how_to_go_on_and_not_how_to_begin_again(monkeypatch, capsys, typed):
    monkeypatch.setattr(notebooks, "run", interrupted)
    monkeypatch.setenv("TUMORCF_COMMAND", typed)
    assert cli.main(["run", "--profile", "smoke", "--fresh"]) == 130
    start = "./run_all.sh" if typed else "python -m tumorcf_lib run"
    assert capsys.readouterr().out.splitlines()[-1].strip() == f"{start} --profile smoke"


@pytest.mark.parametrize(("number", "is_full"), [(28, True), (13, False)])
def test_a_full_disk_says_what_to_do_and_another_error_does_not(
    monkeypatch, capsys, number, is_full
):
    def fails(*_, **__):
        raise OSError(number, os.strerror(number), "minutes.json")

    monkeypatch.setattr(notebooks, "run", fails)
    assert cli.main(["run", "--profile", "smoke"]) == 1
    shown = capsys.readouterr().err
    assert "minutes.json" in shown
    assert ("The disk is full" in shown and "run --profile smoke" in shown) == is_full


def test_a_missing_dataset_is_fetched_only_when_its_profile_was_asked_for(
    ran, monkeypatch, tmp_path
):
    calls = []
    monkeypatch.setattr(download, "download", calls.append)
    monkeypatch.setattr(config, "DATA", tmp_path)
    cli.main(["run"])
    assert (ran["study"].profile.name, calls) == ("demo", [])
    cli.main(["run", "--profile", "paper"])
    assert (ran["study"].profile.name, calls) == ("paper", [tmp_path])


@pytest.mark.parametrize("profile", ["auto", "paper-lite"])
def test_a_folder_that_was_named_and_has_no_dataset_is_an_error(
    monkeypatch, tmp_path, capsys, profile
):
    monkeypatch.setattr(download, "download", lambda folder: pytest.fail("downloaded"))
    assert cli.main(["run", "--profile", profile, "--data", str(tmp_path / "typo")]) == 1
    shown = capsys.readouterr().err
    assert "DatasetNotFoundError" in shown and "typo" in shown
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize("command", ["calibrate", "run --profile calibration", "leak", "scratch"])
def test_a_study_without_notebooks_runs_alone(monkeypatch, tmp_path, capsys, command):
    name = {"scratch": scratch.NAME, "leak": "leak"}.get(command, "calibration")
    calls = []
    for module in (calibration, leak, scratch):
        monkeypatch.setattr(module, "run_study", lambda *, seed, **_: calls.append(seed))
    assert cli.main([*command.split(), "--seed", "3"]) == 0
    assert calls == [3]
    assert f"tumorcf_lib publish {name}" in capsys.readouterr().out
    with notebooks.only_run(tmp_path / name):
        assert cli.main(command.split()) == 1
    assert calls == [3]


def test_importing_the_library_loads_neither_networks_nor_notebook_software():
    done = python(
        "import tumorcf_lib.edits.audit, tumorcf_lib.publish.publish; "
        "import tumorcf_lib.study.runtime, tumorcf_lib.study.stages, tumorcf_lib.tables.study; "
        "print({'keras', 'tensorflow', 'nbformat', 'papermill'} & set(sys.modules) or 'none')"
    )
    assert done.stdout.strip() == "none", done.stderr
