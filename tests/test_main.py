"""The command line: what each option reaches, and what is said when something is wrong."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from tumorcf_lib import __main__ as cli, commands, config, digests
from tumorcf_lib.data import download
from tumorcf_lib.study import calibration, leak, notebooks, runtime, scratch


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
    monkeypatch.setattr(notebooks, "run", lambda study, **how: calls.update(study=study, **how))
    return calls


def test_every_module_that_a_command_names_exists():
    named = re.findall(r'lib\("([\w.]+)"\)', Path(commands.__file__).read_text(encoding="utf-8"))
    assert len(set(named)) > 10
    for name in set(named):
        importlib.import_module(f"tumorcf_lib.{name}")


@pytest.mark.parametrize("command", ["run", "run_all"])
def test_options_reach_the_runner(ran, command):
    assert cli.main(f"{command} --profile smoke --from 04 --to=5 --seed 3".split()) == 0
    study = ran.pop("study")
    assert (study.profile.name, study.seed) == ("smoke", 3)
    assert ran == {"first": "04", "last": "5"}


@pytest.mark.parametrize(
    "typed",
    ["--seed -1", f"--seed {2**32}", "--profile=", "--data=", "--lab --from 02", "--profile demos"],
)
def test_wrong_options_are_refused_before_anything_is_installed(typed, capsys, monkeypatch):
    monkeypatch.setenv("TUMORCF_CHECK", "yes")
    with pytest.raises(SystemExit) as stop:
        cli.main(["run_all", *typed.split()])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("usage: ./run_all.sh") and "error: " in said
    assert ("did you mean 'demo'" in said) == ("demos" in typed)


def test_folders_are_relative_to_where_the_script_was_called(ran, monkeypatch, tmp_path):
    monkeypatch.setenv("TUMORCF_FROM", str(tmp_path))
    monkeypatch.setenv("TUMORCF_RUNS", "mine")
    monkeypatch.setenv("TUMORCF_PARTIAL", "")
    cli.main(["run_all", "--profile", "smoke", "--data", "slices", "--partial"])
    assert os.environ["TUMORCF_DATA"] == str(tmp_path / "slices")
    assert os.environ["TUMORCF_PARTIAL"] == "1"
    assert ran["study"].folder == tmp_path / "mine" / "smoke"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("run --profile paper-lite --from 7", "There is no notebook '7'"),
        ("train --network seeing", "There is no network 'seeing'"),
        ("masks --fold 5", "There is no fold 5; choose of 0 to 4"),
        ("controls --profile paper-lite", "one hold-out split and no folds"),
        ("pool --profile paper-lite", "one hold-out split and no folds"),
        ("status --profile paper-lite-cv", "runs without notebooks"),
        ("report --profile paper-lite-cv", "runs without notebooks"),
        ("run --profile paper-lite-cv --from 02", "runs without notebooks"),
    ],
)
def test_what_does_not_exist_is_refused_before_fetching(monkeypatch, capsys, typed, words):
    monkeypatch.setattr(runtime, "find_dataset", lambda *_: pytest.fail("looked for"))
    assert cli.main(typed.split()) == 1
    assert re.match(rf"\n\w+Error: .*{words}", capsys.readouterr().err)  # and no traceback


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (OSError(28, "full", "minutes.json"), 1, "then the same command goes on: AGAIN"),
        (OSError(13, "closed", "minutes.json"), 1, "name another folder: TUMORCF_RUNS=<folder>"),
        (OSError(30, "read only", "runs"), 1, "name another folder: TUMORCF_RUNS=<folder>"),
        (ModuleNotFoundError(name="numpy"), 1, f"({sys.executable}) lacks the package numpy"),
        (KeyboardInterrupt(), 130, "the same command goes on from there:\n    AGAIN"),
    ],
)
@pytest.mark.parametrize("typed", ["", "./run_all.sh --profile smoke "])
def test_who_is_stopped_is_told_how_to_go_on(monkeypatch, capsys, error, status, words, typed):
    monkeypatch.setattr(notebooks, "run", mock.Mock(side_effect=error))
    monkeypatch.setenv("TUMORCF_COMMAND", typed)
    assert cli.main(["run", "--profile", "smoke"]) == status
    again = typed.strip() or "python -m tumorcf_lib run --profile smoke"
    assert words.replace("AGAIN", again) in "".join(capsys.readouterr())


def test_a_dataset_is_fetched_only_when_its_profile_was_asked_for(ran, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(download, "download", calls.append)
    monkeypatch.setattr(config, "DATA", tmp_path)
    cli.main(["run"])
    assert (ran["study"].profile.name, calls) == ("demo", [])
    cli.main(["run", "--profile", "paper"])
    assert (ran["study"].profile.name, calls) == ("paper", [tmp_path])


def test_a_folder_that_was_named_and_has_no_dataset_is_an_error(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(download, "download", lambda folder: pytest.fail("downloaded"))
    for profile in ("auto", "paper-lite"):
        assert cli.main(["run", "--profile", profile, "--data", str(tmp_path / "typo")]) == 1
        shown = capsys.readouterr().err
        assert "DatasetNotFoundError" in shown and "typo" in shown
        assert not (tmp_path / "typo").exists()


def told_by(code, **environment):
    """What another Python prints."""
    how = {"stdout": subprocess.PIPE, "text": True, "check": True, "cwd": config.ROOT}
    words = [sys.executable, "-c", code]
    return subprocess.run(words, env=os.environ | environment, **how).stdout.strip()


def test_who_has_no_home_gets_a_temporary_one_that_is_removed(tmp_path, monkeypatch):
    """Where the user's number has no name either; Jupyter asks for the home when it starts."""
    code = (
        "import os, pwd; pwd.getpwuid = {}.__getitem__; from tumorcf_lib.__main__ import main; "
        "main(['compare', 'a', 'b']); "
        "import jupyter_core.paths as p; print(p.jupyter_data_dir(), os.environ['HOME'])"
    )
    monkeypatch.delenv("HOME")
    assert str(tmp_path / "tumorcf-home-") in told_by(code, TMPDIR=str(tmp_path))
    assert not list(tmp_path.glob("tumorcf-home-*"))


@pytest.mark.parametrize("command", ["run --profile calibration", "leak", "scratch"])
def test_a_study_without_notebooks_runs_alone(monkeypatch, tmp_path, capsys, command):
    name = {"scratch": scratch.NAME, "leak": "leak"}.get(command, "calibration")
    calls = []
    for module in (calibration, leak, scratch):
        monkeypatch.setattr(module, "run", lambda _, *, seed, **how: calls.append(seed))
    assert cli.main([*command.split(), "--seed", "3"]) == 0
    assert calls == [3]
    assert f"tumorcf_lib publish {name}" in capsys.readouterr().out
    with notebooks.only_run(tmp_path / name):
        assert cli.main(command.split()) == 1
    assert calls == [3]


def test_code_is_read_alike_where_the_systems_encoding_is_ascii():
    """Modules with signs beyond ASCII, whose hash says whether a result is stale."""
    code = "from tumorcf_lib import digests; print(digests.code_digest('figures', 'your_model'))"
    ascii_alone = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "POSIX"}
    assert told_by(code, **ascii_alone) == digests.code_digest("figures", "your_model")


def test_importing_the_library_loads_neither_networks_nor_notebook_software():
    code = (
        "import sys, tumorcf_lib.edits.audit, tumorcf_lib.publish.publish; "
        "print({'keras', 'tensorflow', 'nbformat', 'nbclient'} & set(sys.modules) or 'none')"
    )
    assert told_by(code) == "none"
