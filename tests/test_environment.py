"""The three descriptions of the environment say the same, and others find them and use them.

``tests/environments.py`` builds what takes a network: Binder's image, Colab's oldest packages."""

import json
import re
import subprocess
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement

from tumorcf_lib import config, pins
from tumorcf_lib.publish import texts

PROJECT = tomllib.loads((config.ROOT / "pyproject.toml").read_text())["project"]
OPTIONAL = PROJECT["optional-dependencies"]
LOCKED = sum((OPTIONAL[k] for k in ("study", "lab", "onnx", "test")), PROJECT["dependencies"])
RANGES = {one.name: one for one in map(Requirement, LOCKED)}
TESTS, ONNX = ({Requirement(text).name for text in OPTIONAL[k]} for k in ("test", "onnx"))
PYTHONS = Requirement(f"x{PROJECT['requires-python']}").specifier
PINS = pins.read_pins(config.ROOT / "requirements-dev.txt")
RUN = pins.read_pins(config.ROOT / "requirements.txt")
CONDA = yaml.safe_load((config.ROOT / "environment.yml").read_text())["dependencies"]
(PIP,) = (entry["pip"] for entry in CONDA if isinstance(entry, dict))


def test_conda_pins_every_dependency_of_a_run_at_the_version_of_the_lock():
    elsewhere = {"sys_platform": "darwin", "platform_machine": "arm64"}
    linux = {"sys_platform": "linux", "platform_machine": "x86_64"}
    pinned = [Requirement(line) for line in PIP if "==" in line]
    for system, tensorflow in ((linux, "tensorflow-cpu"), (elsewhere, "tensorflow")):
        own = [one for one in pinned if one.marker is None or one.marker.evaluate(system)]
        found = {one.name: str(one.specifier)[2:] for one in own}
        wanted = {name: PINS[name] for name in RANGES.keys() - TESTS - {"tensorflow"}}
        assert found == {**wanted, tensorflow: RUN["tensorflow"]}


def test_the_locks_agree_lie_in_the_ranges_and_are_what_is_installed_here():
    assert RUN.items() <= PINS.items()
    assert RANGES.keys() - TESTS - ONNX <= RUN.keys()
    assert not (ONNX | {"pytest"}) & RUN.keys() and ONNX <= PINS.keys()
    assert not {"libclang", "grpcio"} & PINS.keys()  # which TensorFlow asks for and never imports
    assert "opencv-python" not in PINS  # it needs libGL, which Binder and servers lack
    assert [name for name in RANGES if not RANGES[name].specifier.contains(PINS[name])] == []
    assert pins.unmet(config.ROOT / "requirements-dev.txt") == []


def test_what_colab_brings_is_in_range():
    lines = (config.ROOT / "tests/colab.txt").read_text().splitlines()[1:]
    brought = dict(line.split("==") for line in lines)
    own = {name: version for name, version in brought.items() if name in RANGES}
    assert len(own) > 5
    assert [n for n, version in own.items() if not RANGES[n].specifier.contains(version)] == []


def test_an_unmet_pin_is_named_and_the_same_modules_by_another_name_meet_one(tmp_path, monkeypatch):
    lock = tmp_path / "lock.txt"
    lock.write_text("opencv-python-headless==5.0\ntensorflow==2.21\nx==1 ; os_name == 'nt'\n")
    found = {"opencv-python": "5.0", "tensorflow-cpu": "2.21"}
    monkeypatch.setattr(pins, "_version", lambda name: found.get(name))
    assert pins.unmet(lock) == []
    found = {"opencv-python": "4.10"}
    assert pins.unmet(lock) == [
        "opencv-python-headless: 5.0 is pinned, 4.10 is installed",
        "tensorflow: 2.21 is pinned, nothing is installed",
    ]


def test_binder_copies_the_repository_before_it_installs_and_all_offer_pythons_that_fit():
    (python,) = (line for line in CONDA if str(line).startswith("python"))
    assert re.fullmatch(r"python=3\.\d+", python)  # repo2docker wants x.y, and conda's one "="
    # It copies if a line of the pip part names a local file; both of ours are at the top level.
    assert [PIP[0], PIP[-1]] == ["-c requirements.txt", "-e ."]
    # Each notebook 7.x is made for one JupyterLab 4.x: 7.5 for 4.5, 7.6 for 4.6.
    minor = int(RUN["jupyterlab"].split(".")[1])
    assert f"notebook>=7.{minor},<7.{minor + 1}" in PIP
    recipe = (config.ROOT / ".devcontainer" / "Dockerfile").read_text()
    assert PYTHONS.contains(python.split("=")[1])
    assert PYTHONS.contains(re.search(r"^FROM python:(3\.\d+)", recipe, re.M)[1])
    workflow = yaml.safe_load((config.ROOT / ".github/workflows/tests.yml").read_text())
    tried = workflow["jobs"]["tests"]["strategy"]["matrix"]["python"]
    assert tried == [f"3.{minor}" for minor in range(30) if PYTHONS.contains(f"3.{minor}")]


def test_the_public_address_is_typed_in_one_place_and_all_else_is_made_of_it(monkeypatch):
    address = texts.repository_address().removeprefix("https://github.com/")
    grep = ["git", "grep", "-lIF", address]  # in files of text
    listed = subprocess.run(grep, cwd=config.ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    monkeypatch.setattr(texts, "repository_address", lambda: "https://github.com/an/other")
    made_by = {"README.md": texts.with_generated_parts, "CITATION.cff": texts.with_address}
    for path in (config.ROOT / name for name in listed.stdout.splitlines()):
        text = path.read_text()
        if path.suffix == ".ipynb":
            made = json.dumps(texts.with_opening(json.loads(text), path.stem))
        else:
            made = made_by.get(path.name, str)(text)
        is_typed = path.name == "pyproject.toml"
        assert (address in made, "github.com/an/other" in made) == (is_typed, not is_typed), path
