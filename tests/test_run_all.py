"""run_all.sh on machines of other people: no uv, no network, a broken .venv, a link, sh, ...

It runs beside stand-ins for Python and uv, which write down how they were called."""

import shutil
import subprocess

import pytest

from tumorcf_lib import config

TOOLS = "bash env dirname cat rm mkdir cp chmod sh readlink sed uname".split()
PYTHON_OR_UV = r"""#!/bin/sh
echo "${0##*/} $* check=$TUMORCF_CHECK from=$TUMORCF_FROM" >> "$TOLD"
case "$*" in
  "-c import sys; sys.exit(not (3, 11)"*) exit "${UNFIT:-0}" ;;
  *pins.py*) test -e .venv/complete ;;
  venv*|"-m venv --clear .venv") rm -rf .venv && mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
  *"pip install"*requirements*.txt) test -z "$OFFLINE" && : > .venv/complete ;;
  *wrong*) exit 2 ;;
  "-m tumorcf_lib"*) test -n "$TUMORCF_CHECK" || echo "ran in $PWD: $*" ;;
esac
"""


@pytest.fixture
def machine(tmp_path):
    """A folder with spaces that holds the script, and a PATH with nothing but stand-ins."""
    place, tools = tmp_path / "my own folder", tmp_path / "bin"
    (place / "tumorcf_lib").mkdir(parents=True)
    tools.mkdir()
    for name in ("run_all.sh", "requirements.txt", "tumorcf_lib/pins.py"):
        shutil.copy(config.ROOT / name, place / name)
    for name in TOOLS:
        (tools / name).symlink_to(shutil.which(name))
    provide(tools, "python3.12", PYTHON_OR_UV)
    return place, tools


def provide(folder, name, text):
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def call(machine, *arguments, command=None, cwd="/", **more):
    """What the script said, and what it called, when called from another folder."""
    place, tools = machine
    told = place.parent / "told"
    told.write_text("")
    environment = {"PATH": str(tools), "TOLD": str(told), **more}
    how = {"cwd": cwd, "capture_output": True, "text": True, "check": False}
    words = [*(command or [place / "run_all.sh"]), *arguments]
    return subprocess.run(words, env=environment, **how), told.read_text()


@pytest.mark.parametrize("with_uv", [False, True])
def test_from_another_folder_and_with_spaces_the_environment_is_made_once(machine, with_uv):
    place, tools = machine
    if with_uv:
        provide(tools, "uv", PYTHON_OR_UV)
    done, told = call(machine, "--profile", "smoke")
    ran = f"ran in {place}: -m tumorcf_lib run_all --profile smoke"
    assert done.stdout.splitlines()[-1] == ran, done.stderr
    assert ("uv venv" in told) == with_uv == ("-m venv" not in told)
    assert "--no-deps --no-build-isolation -e ." in told  # the package itself
    assert "from=/" in told.splitlines()[-1]  # folders may be relative to where it was called
    again, told = call(machine, "--profile", "smoke")
    assert again.stdout == f"{ran}\n" and "install" not in told


def test_it_may_be_called_by_a_link_by_sh_and_with_a_search_path_of_cd(machine):
    place, _ = machine
    link = place.parent / "linked"
    link.symlink_to(place / "run_all.sh")
    elsewhere = place.parent / "elsewhere"
    (elsewhere / place.name).mkdir(parents=True)
    near = {"cwd": place.parent, "CDPATH": str(elsewhere)}
    for command in ([link], ["sh", place / "run_all.sh"], ["bash", f"{place.name}/run_all.sh"]):
        done, _ = call(machine, command=command, **near)
        assert done.stdout.splitlines()[-1] == f"ran in {place}: -m tumorcf_lib run_all"


def test_a_broken_environment_is_rebuilt(machine):
    place, _ = machine
    python, complete = place / ".venv/bin/python", place / ".venv/complete"
    for damage in ("nothing there yet", "dangling link", "another version", "no package"):
        complete.unlink(missing_ok=True)
        if damage == "dangling link":  # its Python was removed
            python.unlink()
            python.symlink_to("/no/such/python3.11")
        elif damage == "another version":
            provide(python.parent, "python", "#!/bin/sh\nexit 1\n")
        done, told = call(machine)
        assert done.stdout.splitlines()[-1].startswith(f"ran in {place}"), done.stderr
        assert ("-m venv --clear" in told) == (damage != "no package")


def test_without_a_network_or_a_python_that_fits_it_says_what_it_lacks_and_later_goes_on(machine):
    for lack, words in (
        ({"OFFLINE": "yes"}, "package index"),
        ({"UNFIT": "1"}, "Python 3.11, 3.12 or 3.13 is needed"),  # such as 3.14
    ):
        done, _ = call(machine, **lack)
        assert done.returncode == 1 and words in done.stderr
    assert call(machine)[0].returncode == 0


def test_an_active_environment_is_used_if_it_has_every_pin(machine):
    place, tools = machine
    provide(tools, "python", PYTHON_OR_UV.replace("test -e .venv/complete", "exit 0"))
    done, _ = call(machine, CONDA_PREFIX="/opt/conda/envs/tumorcf")
    assert done.stdout == f"ran in {place}: -m tumorcf_lib run_all\n"
    assert not (place / ".venv").exists()
    provide(tools, "python", PYTHON_OR_UV.replace("test -e .venv/complete", "exit 1"))
    call(machine, CONDA_PREFIX="/opt/conda")
    assert (place / ".venv").is_dir()


def test_wrong_options_and_help_are_answered_before_anything_is_installed(machine):
    for typed, status in (("--wrong", 2), ("--help", 0)):
        done, told = call(machine, typed)
        assert done.returncode == status and "check=yes" in told
        assert "install" not in told and not (machine[0] / ".venv").exists()
