"""The three descriptions of the environment say the same."""

import importlib.metadata
import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement

from tumorcf_lib import paths, pins

PROJECT = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]
RANGES = {
    requirement.name: requirement
    for requirement in map(
        Requirement,
        PROJECT["dependencies"]
        + PROJECT["optional-dependencies"]["lab"]
        + PROJECT["optional-dependencies"]["onnx"]
        + PROJECT["optional-dependencies"]["test"],
    )
}
PINS = pins.read_pins(paths.ROOT / "requirements.txt")


def conda_pins():
    environment = yaml.safe_load((paths.ROOT / "environment.yml").read_text())
    (pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    return pip, dict(line.split("==") for line in pip if "==" in line)


def test_conda_pins_every_direct_dependency_at_the_version_of_the_lock():
    _, conda = conda_pins()
    assert conda == {name: PINS[name] for name in RANGES}


def test_conda_constrains_the_rest_by_the_lock_and_installs_this_package():
    pip, _ = conda_pins()
    assert pip[0] == "-c requirements.txt"
    assert pip[-1] == "-e ."


@pytest.mark.parametrize("name", RANGES)
def test_every_pin_lies_in_its_range(name):
    assert RANGES[name].specifier.contains(PINS[name])


def test_the_packages_that_were_asked_for_are_there():
    wanted = {
        "jupyterlab", "papermill", "tensorflow", "scipy", "numpy", "seaborn", "matplotlib",
        "scikit-learn", "nbval",
    }  # fmt: skip
    assert wanted <= set(RANGES)
    # opencv-python is the same cv2 with a need for libGL, which Binder and servers lack.
    assert "opencv-python-headless" in RANGES
    assert "opencv-python" not in PINS


def test_the_running_environment_has_the_pinned_versions():
    assert pins.unmet(paths.ROOT / "requirements.txt") == []


def test_an_unmet_pin_is_named(tmp_path):
    lock = tmp_path / "lock.txt"
    numpy = importlib.metadata.version("numpy")
    lock.write_text(
        f"numpy=={numpy}\nno-such-package==1.0\npytest==0.1  # old\nx==1 ; os_name == 'nt'\n"
    )
    problems = pins.unmet(lock)
    assert len(problems) == 2
    assert problems[0] == "no-such-package: 1.0 is pinned, nothing is installed"
    assert re.fullmatch(r"pytest: 0\.1 is pinned, \S+ is installed", problems[1])


def test_python_versions_agree():
    environment = yaml.safe_load((paths.ROOT / "environment.yml").read_text())
    (python,) = (d for d in environment["dependencies"] if str(d).startswith("python="))
    assert Requirement(f"x{PROJECT['requires-python']}").specifier.contains(python.split("=")[1])
