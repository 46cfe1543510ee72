"""The command line: what each option reaches, and what is said when something is wrong."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tumorcf_lib import __main__ as cli, commands, config
from tumorcf_lib.data import download
from tumorcf_lib.study import calibration, fold_controls, leak, notebooks, runtime, scratch


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


def test_options_reach_the_runner(ran):
    typed = "--profile smoke --from 04 --to=5 --seed 3".split()
    for first in ("run", "run_all"):
        assert cli.main([first, *typed]) == 0
        study = ran.pop("study")
        assert (study.profile.name, study.seed) == ("smoke", 3)
        assert ran == {"first": "04", "last": "5"}
        ran.clear()


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


def test_a_named_error_is_shown_without_a_traceback(capsys):
    for command in (["status"], ["report"], ["run", "--from", "02"]):
        assert cli.main([*command, "--profile", "paper-lite-cv"]) == 1
        said = capsys.readouterr().err
        assert said.startswith("\nStageError: ") and "Trace" not in said
        assert "runs without notebooks" in said and "figures/paper-lite-cv" in said


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("run --profile paper-lite --from 7", "There is no notebook '7'"),
        ("train --network seeing", "There is no network 'seeing'"),
        ("masks --fold 5", "There is no fold 5; choose of 0 to 4"),
        ("controls --profile paper-lite", "one hold-out split and no folds"),
        ("pool --profile paper-lite", "one hold-out split and no folds"),
    ],
)
def test_notebooks_and_folds_that_do_not_exist_are_refused_before_a_dataset_is_fetched(
    monkeypatch, capsys, typed, words
):
    monkeypatch.setattr(runtime, "find_dataset", lambda *_: pytest.fail("looked for"))
    assert cli.main(typed.split()) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, os.strerror(28), "minutes.json"), "The disk is full"),
        (OSError(13, os.strerror(13), "minutes.json"), "TUMORCF_RUNS=<folder>"),
        (OSError(30, os.strerror(30), "minutes.json"), "TUMORCF_RUNS=<folder>"),
        (OSError(5, os.strerror(5), "minutes.json"), "minutes.json"),
        (ModuleNotFoundError("x", name="numpy"), f"({sys.executable}) lacks the package numpy"),
        (KeyboardInterrupt(), "goes on from there"),
    ],
)
def test_what_ends_a_run_is_told_with_the_command_that_goes_on(monkeypatch, capsys, error, words):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(notebooks, "run", fails)
    for typed in ("", "./run_all.sh --profile smoke "):
        monkeypatch.setenv("TUMORCF_COMMAND", typed)
        is_stop = isinstance(error, KeyboardInterrupt)
        assert cli.main(["run", "--profile", "smoke"]) == (130 if is_stop else 1)
        said = "".join(capsys.readouterr())
        assert words in said and "Traceback" not in said
        assert ("Runs write to " in said) == (getattr(error, "errno", None) in (13, 30))
        again = f"{'./run_all.sh' if typed else 'python -m tumorcf_lib run'} --profile smoke"
        assert (again in said) == (is_stop or "full" in words)


def test_controls_that_are_stopped_are_said_to_go_on(monkeypatch, capsys):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(fold_controls, "run", stopped)
    assert cli.main(["controls", "--profile", "smoke-cv"]) == 130
    assert "goes on from there:\n    python -m tumorcf_lib controls" in capsys.readouterr().out


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


def test_a_folder_that_was_named_and_has_no_dataset_is_an_error(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(download, "download", lambda folder: pytest.fail("downloaded"))
    for profile in ("auto", "paper-lite"):
        assert cli.main(["run", "--profile", profile, "--data", str(tmp_path / "typo")]) == 1
        shown = capsys.readouterr().err
        assert "DatasetNotFoundError" in shown and "typo" in shown
        assert not (tmp_path / "typo").exists()


def test_who_has_no_home_gets_a_temporary_one_that_is_removed(tmp_path):
    """Where the user's number has no name either; Jupyter asks for the home when it starts."""
    code = (
        "import os, pwd; pwd.getpwuid = {}.__getitem__; from tumorcf_lib.__main__ import main; "
        "main(['compare', 'a', 'b']); "
        "import jupyter_core.paths as p; print(p.jupyter_data_dir(), os.environ['HOME'])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "HOME"} | {"TMPDIR": str(tmp_path)}
    how = {"capture_output": True, "text": True, "check": False, "cwd": config.ROOT}
    done = subprocess.run([sys.executable, "-c", code], env=environment, **how)
    assert str(tmp_path / "tumorcf-home-") in done.stdout, done.stderr
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


@pytest.mark.parametrize("locale", ["POSIX", "de_DE.ISO-8859-1"])
def test_code_is_read_alike_whatever_the_systems_encoding(tmp_path, locale):
    """Modules with signs beyond ASCII, whose hash says whether a result is stale."""
    if locale != "POSIX":
        words = ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", str(tmp_path / locale)]
        if not shutil.which(words[0]) or subprocess.run(words, check=False).returncode:
            pytest.skip("needs localedef and its table of de_DE")
    code = "from tumorcf_lib import digests; print(digests.code_digest('figures', 'your_model'))"
    said = []
    for other in ({"PYTHONUTF8": "1"}, {"LC_ALL": locale, "LOCPATH": str(tmp_path)}):
        environment = os.environ | {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"} | other
        how = {"capture_output": True, "check": True, "cwd": config.ROOT, "env": environment}
        said.append(subprocess.run([sys.executable, "-c", code], **how).stdout)
    assert said[0] == said[1] != b""


def test_importing_the_library_loads_neither_networks_nor_notebook_software():
    code = (
        "import sys, tumorcf_lib.edits.audit, tumorcf_lib.publish.publish; "
        "print({'keras', 'tensorflow', 'nbformat', 'nbclient'} & set(sys.modules) or 'none')"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=config.ROOT)
    assert done.stdout.strip() == "none", done.stderr
