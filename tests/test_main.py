import argparse
import os
import shlex
import shutil
import subprocess
import sys

import pytest

from tumorcf_lib import __main__ as cli
from tumorcf_lib import commands as actions
from tumorcf_lib import config
from tumorcf_lib.study import notebooks, stages


def run_all(*arguments, **environment):
    return subprocess.run(
        [str(config.ROOT / "run_all.sh"), *arguments], capture_output=True, text=True,
        env={**os.environ, **environment}, check=False,
    )  # fmt: skip


def test_help_tells_every_command(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    for command in ("run", "status", "report", "download", "publish", "verify"):
        assert command in shown


def commands():
    (group,) = (a for a in cli._parser()._actions if isinstance(a, argparse._SubParsersAction))
    return group.choices


@pytest.mark.parametrize("name", commands())
def test_every_command_has_examples_that_it_understands(name):
    parser = commands()[name]
    shown = parser.format_help()
    lines = [x.strip() for x in shown.partition("\nexample")[2].splitlines()]
    examples = [x for x in lines if x.startswith(f"python -m tumorcf_lib {name}")]
    assert examples
    for example in examples:
        typed = example.split("  ")[0]  # what it does stands behind two spaces
        options = cli._parser().parse_args(shlex.split(typed)[3:])
        assert options.action == parser.get_default("action")


@pytest.mark.parametrize("name", commands())
def test_every_option_is_explained(name):
    for action in commands()[name]._actions:
        assert action.help or not action.option_strings, action.dest


def test_options_reach_the_runner(monkeypatch, tmp_path):
    calls = {}
    monkeypatch.setattr(
        notebooks, "run", lambda study, **options: calls.update(study=study, **options)
    )
    monkeypatch.setenv("TUMORCF_RUNS", str(tmp_path))
    assert (
        cli.main(
            ["run", "--profile", "smoke", "--from", "04", "--to", "5", "--seed", "3", "--fresh"]
        )
        == 0
    )
    assert calls["study"].profile.name == "smoke"
    assert calls["study"].seed == 3
    assert (calls["first"], calls["last"], calls["fresh"]) == ("04", "5", True)


def test_a_named_error_is_shown_without_a_traceback(capsys):
    assert cli.main(["run", "--profile", "gigantic"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("\nUnknownProfileError: There is no profile 'gigantic'.")
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("demos", "demo"), ("Smoke", "smoke"), ("paper-light", "paper-lite"), ("clibration", "calib")],
)
def test_a_mistyped_profile_is_answered_by_the_nearest_one(capsys, typed, meant):
    assert cli.main(["status", "--profile", typed]) == 1
    assert f"did you mean '{meant}" in capsys.readouterr().err


def test_another_python_is_told_which_one_has_the_packages():
    code = (
        "import sys; sys.modules['numpy'] = None; from tumorcf_lib import __main__ as cli; "
        "sys.exit(cli.main(['status', '--profile', 'smoke']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=config.ROOT
    )
    assert done.returncode == 1
    assert f"This Python ({sys.executable}) lacks the package numpy" in done.stderr
    assert "source .venv/bin/activate" in done.stderr and "Traceback" not in done.stderr


def test_a_seed_from_the_environment_that_is_no_number_is_told_as_such(monkeypatch, capsys):
    monkeypatch.setenv("TUMORCF_SEED", "one")
    with pytest.raises(SystemExit):
        cli.main(["status"])
    assert "--seed: invalid int value: 'one'" in capsys.readouterr().err


@pytest.mark.parametrize("profile", ["paper-lite-cv", "calibration"])
@pytest.mark.parametrize("command", ["status", "report"])
def test_what_is_about_notebooks_says_so_where_there_are_none(capsys, command, profile):
    assert cli.main([command, "--profile", profile]) == 1
    assert "runs without notebooks" in capsys.readouterr().err


def interrupted(*arguments, **options):
    raise KeyboardInterrupt


def test_an_interrupt_says_that_nothing_is_lost_and_how_to_go_on(monkeypatch, capsys):
    monkeypatch.setattr(notebooks, "run", interrupted)
    monkeypatch.delenv("TUMORCF_COMMAND", raising=False)
    assert cli.main(["run", "--profile", "smoke"]) == 130
    shown = capsys.readouterr().out
    assert "Nothing that was finished is lost" in shown
    assert shown.splitlines()[-1].strip() == "python -m tumorcf_lib run --profile smoke"


@pytest.mark.parametrize("name", commands())
def test_only_commands_that_go_on_say_that_they_do(monkeypatch, capsys, name):
    typed = shlex.split(next(iter(cli.EXAMPLES.get(name, {"": ""}))))
    if name == "audit":
        typed = ["--manifest", "x", "--predict", "m:f", "--out", "o"]
    parser = cli._parser()
    options = parser.parse_args([name, *typed])
    options.action = interrupted
    monkeypatch.setattr(cli, "_parser", lambda: argparse.Namespace(parse_args=lambda _: options))
    assert cli.main([name, *typed]) == 130
    shown = capsys.readouterr().out
    assert ("goes on from there" in shown) == (name in cli.GOES_ON)
    assert ("begins anew" in shown) == (name not in cli.GOES_ON)


def test_who_called_the_script_is_told_to_call_the_script(monkeypatch, capsys):
    monkeypatch.setattr(notebooks, "run", interrupted)
    monkeypatch.setenv("TUMORCF_COMMAND", "./run_all.sh --profile smoke ")
    assert cli.main(["run", "--profile", "smoke"]) == 130
    assert capsys.readouterr().out.splitlines()[-1].strip() == "./run_all.sh --profile smoke"


@pytest.mark.parametrize("typed", ["", "./run_all.sh --fresh --profile smoke "])
def test_what_goes_on_after_a_fresh_run_does_not_begin_it_anew(monkeypatch, capsys, typed):
    monkeypatch.setattr(notebooks, "run", interrupted)
    monkeypatch.setenv("TUMORCF_COMMAND", typed)
    assert cli.main(["run", "--profile", "smoke", "--fresh"]) == 130
    command = capsys.readouterr().out.splitlines()[-1]
    assert command.endswith("--profile smoke") and "--fresh" not in command


def test_a_full_disk_says_what_to_do_and_another_error_does_not(monkeypatch, capsys):
    monkeypatch.delenv("TUMORCF_COMMAND", raising=False)
    for number, is_full in ((28, True), (13, False)):
        def fails(*_, **__):
            raise OSError(number, os.strerror(number), "minutes.json")

        monkeypatch.setattr(notebooks, "run", fails)
        assert cli.main(["run", "--profile", "smoke"]) == 1
        shown = capsys.readouterr().err
        assert "minutes.json" in shown
        assert ("Free some room" in shown and "run --profile smoke" in shown) == is_full


def test_status_tells_why_a_notebook_has_to_run(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TUMORCF_RUNS", str(tmp_path))
    assert cli.main(["status", "--profile", "smoke"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(stages.NAMES)
    assert all("never finished" in line for line in lines)


def test_a_missing_dataset_is_fetched_only_when_its_profile_was_asked_for(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(notebooks, "run", lambda study, **options: calls.append(study.profile.name))
    monkeypatch.setattr(actions, "download", lambda options: calls.append("download"))
    monkeypatch.delenv("TUMORCF_DATA", raising=False)
    monkeypatch.setattr(config, "DATA", tmp_path)
    monkeypatch.delenv("TUMORCF_PROFILE", raising=False)
    cli.main(["run"])
    assert calls == ["demo"]
    calls.clear()
    cli.main(["run", "--profile", "paper"])
    assert calls == ["download", "paper"]


@pytest.mark.parametrize("command", [["calibrate"], ["run", "--profile", "calibration"]])
def test_the_calibration_runs_without_notebooks(monkeypatch, tmp_path, command):
    from tumorcf_lib.networks import classifier
    from tumorcf_lib.study import calibration

    calls = []
    monkeypatch.setenv("TUMORCF_RUNS", str(tmp_path))
    monkeypatch.setattr(classifier, "set_up", lambda seed: calls.append(("set up", seed)))
    monkeypatch.setattr(
        calibration, "run", lambda folder, profile, *, seed: calls.append((folder, profile.name))
    )
    assert cli.main([*command, "--seed", "3"]) == 0
    assert calls == [("set up", 3), (tmp_path / "calibration", "calibration")]


@pytest.mark.parametrize("command", [["calibrate"], ["leak"], ["scratch", "--minutes", "1"]])
def test_a_second_run_of_a_study_without_notebooks_is_refused(
    monkeypatch, tmp_path, capsys, command
):
    from tumorcf_lib.networks import classifier
    from tumorcf_lib.study import calibration, leak, scratch

    name = {"scratch": scratch.NAME, "calibrate": "calibration"}.get(command[0], command[0])
    monkeypatch.setenv("TUMORCF_RUNS", str(tmp_path))
    for module, run in ((calibration, "run"), (leak, "run_study"), (scratch, "run")):
        monkeypatch.setattr(module, run, lambda *_, **__: pytest.fail("two at once"))
    monkeypatch.setattr(classifier, "set_up", lambda seed: None)
    with notebooks.only_run(tmp_path / name):
        assert cli.main(command) == 1
    assert f"Another run writes to {tmp_path / name} (process" in capsys.readouterr().err


@pytest.mark.parametrize("profile", ["auto", "paper-lite"])
def test_a_folder_that_was_named_and_has_no_dataset_is_an_error(
    monkeypatch, tmp_path, capsys, profile
):
    monkeypatch.setenv("TUMORCF_DATA", "")  # put back afterwards, whatever main makes of it
    monkeypatch.setattr(actions, "download", lambda options: pytest.fail("downloaded"))
    assert cli.main(["run", "--profile", profile, "--data", str(tmp_path / "typo")]) == 1
    shown = capsys.readouterr().err
    assert "DatasetNotFoundError" in shown
    assert "typo" in shown
    assert not (tmp_path / "typo").exists()


def test_notebooks_in_the_wrong_order_are_an_error(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TUMORCF_RUNS", str(tmp_path))
    assert cli.main(["run", "--profile", "smoke", "--from", "05", "--to", "03"]) == 1
    assert "nothing to run" in capsys.readouterr().err


def test_profile_and_seed_may_come_from_the_environment(monkeypatch):
    calls = []
    monkeypatch.setattr(notebooks, "run", lambda study, **options: calls.append(study))
    monkeypatch.setenv("TUMORCF_PROFILE", "smoke")
    monkeypatch.setenv("TUMORCF_SEED", "5")
    cli.main(["run"])
    assert (calls[0].profile.name, calls[0].seed) == ("smoke", 5)


def fake_environment(folder):
    """An active environment whose Python meets every pin and tells how it was called."""
    python = folder / "python"
    told = '"$* | profile=$TUMORCF_PROFILE data=$TUMORCF_DATA command=$TUMORCF_COMMAND"'
    python.write_text(f'#!/bin/sh\ncase "$1" in *pins.py) exit 0 ;; esac\necho {told}\n')
    python.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "VIRTUAL_ENV": str(folder),
            "TUMORCF_PROFILE": "", "TUMORCF_DATA": ""}  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "called"),
    [
        ([], "-m tumorcf_lib run | profile= data="),
        (["--profile", "demo", "--from=04"],
         "-m tumorcf_lib run --profile demo --from 04 | profile= data="),
        (["--report", "--profile", "demo"],
         "-m tumorcf_lib report --profile demo | profile= data="),
        (["--lab", "--profile", "demo", "--data", "/slices"],
         f"-m jupyterlab --ServerApp.root_dir={config.ROOT} notebooks/01_data.ipynb "
         "| profile=demo data=/slices"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) and value else None,
)  # fmt: skip
def test_the_script_calls_what_was_asked_for_and_passes_on_how_it_was_called(
    tmp_path, typed, called
):
    done = run_all(*typed, **fake_environment(tmp_path))
    assert done.returncode == 0, done.stderr
    told = "" if "--lab" in typed else shlex.join([str(config.ROOT / "run_all.sh"), *typed])
    assert done.stdout.splitlines()[-1].strip() == f"{called} command={told}"


@pytest.mark.parametrize("is_complete", [True, False])
def test_an_environment_that_was_left_before_its_last_step_is_set_up_again(tmp_path, is_complete):
    python, uv = tmp_path / ".venv" / "bin" / "python", tmp_path / "bin" / "uv"
    told = "exit 0" if is_complete else 'case "$*" in *"import tumorcf_lib"*) exit 1 ;; esac'
    for path, text in ((python, told), (uv, 'echo "uv $*"')):
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    shutil.copy(config.ROOT / "run_all.sh", tmp_path)
    environment = {**os.environ, "PATH": f"{uv.parent}:{os.environ['PATH']}"}
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        environment.pop(name, None)
    done = subprocess.run(
        [str(tmp_path / "run_all.sh"), "--setup"], capture_output=True, text=True, check=True,
        env=environment,
    )  # fmt: skip
    assert ("--no-deps --no-build-isolation -e ." in done.stdout) != is_complete


def test_the_script_explains_itself_and_refuses_unknown_options(tmp_path):
    shown = run_all("--help")
    assert shown.returncode == 0
    options = (
        "--profile", "--from", "--fresh", "--reference", "--data", "--seed", "--test", "--help",
        "--report", "--lab",
    )  # fmt: skip
    assert all(option in shown.stdout for option in options)
    assert run_all("--profil", "demo").returncode == 2
    assert run_all("--seed=1", "--profil=demo").returncode == 2
    assert run_all("--lab", "--from", "04", **fake_environment(tmp_path)).returncode == 2
    missing = run_all("--profile")
    assert missing.returncode == 2
    assert "--profile needs a value" in missing.stderr


def test_importing_the_library_is_quick_and_loads_neither_networks_nor_notebook_software():
    code = (
        "import sys; import tumorcf_lib.edits.audit, tumorcf_lib.publish.publish; "
        "import tumorcf_lib.study.runtime, tumorcf_lib.study.stages, tumorcf_lib.tables.study; "
        "print({'keras', 'tensorflow', 'nbformat', 'papermill'} & set(sys.modules) or 'none')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=config.ROOT
    )
    assert done.stdout.strip() == "none", done.stderr


@pytest.mark.parametrize("profile", ["paper-lite-cv", "calibration"])
@pytest.mark.parametrize("option", [["--from", "04"], ["--to", "05"], ["--fresh"], ["--reference"]])
def test_options_of_notebooks_are_refused_where_there_are_none(profile, option, capsys):
    assert cli.main(["run", "--profile", profile, *option]) == 1
    assert "runs without notebooks" in capsys.readouterr().err
