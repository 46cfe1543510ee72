"""The three descriptions of the environment say the same, and others find them and use them.

What takes minutes and a network (Binder's image, Colab's oldest packages) is
``tests/environments.py``.
"""

import importlib.metadata
import json
import re
import shlex
import subprocess
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement

from tumorcf_lib import config, pins
from tumorcf_lib.publish import openings, texts

PROJECT = tomllib.loads((config.ROOT / "pyproject.toml").read_text())["project"]
GROUPS = {name: map(Requirement, own) for name, own in PROJECT["optional-dependencies"].items()}
GROUPS = {name: {one.name: one for one in own} for name, own in GROUPS.items()}
RANGES = {one.name: one for one in map(Requirement, PROJECT["dependencies"])}
RANGES |= GROUPS["study"] | GROUPS["lab"] | GROUPS["onnx"] | GROUPS["test"]
PYTHONS = Requirement(f"x{PROJECT['requires-python']}").specifier
TESTS, ONNX = set(GROUPS["test"]), set(GROUPS["onnx"])
PINS = pins.read_pins(config.ROOT / "requirements-dev.txt")
RUN = pins.read_pins(config.ROOT / "requirements.txt")
CONDA = yaml.safe_load((config.ROOT / "environment.yml").read_text())["dependencies"]
(PIP,) = (entry["pip"] for entry in CONDA if isinstance(entry, dict))
NOTEBOOKS = sorted(config.NOTEBOOKS.glob("*.ipynb"))


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
    def version(name):
        if name in found:
            return found[name]
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    lock = tmp_path / "lock.txt"
    lock.write_text(
        "opencv-python-headless==5.0\ntensorflow==2.21.0\npytest==0.1  # old\n"
        "x==1 ; os_name == 'nt'\n"
    )
    found = {"opencv-python": "5.0", "tensorflow-cpu": "2.21.0", "pytest": "0.1"}
    assert pins.unmet(lock) == []
    found = {"opencv-python": "4.10", "pytest": "0.1"}
    assert pins.unmet(lock) == [
        "opencv-python-headless: 5.0 is pinned, 4.10 is installed",
        "tensorflow: 2.21.0 is pinned, nothing is installed",
    ]


# -- Binder: what repo2docker looks for, and where ------------------------------------------------


def tracked():
    """Files of the repository, as git has them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=config.ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    names = [name for name in listed.stdout.split("\0") if name]
    return [name for name in names if (config.ROOT / name).is_file()]


def test_nothing_keeps_binder_from_the_top_level_environment_file():
    # A folder binder/ or .binder/ is looked into instead of the top level. Of the recipes, these
    # are asked for before conda's; and the last three would add steps that nothing here needs.
    hiding = "binder .binder Dockerfile REQUIRE Project.toml JuliaProject.toml default.nix "
    hiding += "runtime.txt DESCRIPTION install.R apt.txt postBuild start"
    tops = {name.split("/")[0] for name in tracked()}
    assert not tops & set(hiding.split())
    assert "environment.yml" in tops


def test_binder_reads_the_python_version_and_copies_the_repository_before_it_installs():
    (python,) = (line for line in CONDA if str(line).startswith("python"))
    assert re.fullmatch(r"python=3\.\d+", python)  # repo2docker wants x.y, and conda's one "="
    assert PYTHONS.contains(python.split("=")[1])
    # It copies if a line of the pip part names a local file; both of ours are at the top level.
    assert [PIP[0], PIP[-1]] == ["-c requirements.txt", "-e ."]
    # Each notebook 7.x is made for one JupyterLab 4.x: 7.5 for 4.5, 7.6 for 4.6.
    minor = int(RUN["jupyterlab"].split(".")[1])
    assert f"notebook>=7.{minor},<7.{minor + 1}" in PIP


# -- One public address ---------------------------------------------------------------------------


def test_the_public_address_is_typed_in_one_place_only():
    address = texts.repository_address().removeprefix("https://github.com/")
    made = [texts.badges(f"notebooks/{p.name}") for p in NOTEBOOKS]
    made += [openings.setup_cell(p.stem) for p in NOTEBOOKS]
    made.append(f"git clone {texts.repository_address()}")
    made.append(f'repository-code: "{texts.repository_address()}"')
    made += [json.dumps(line)[1:-1] for text in made for line in text.split("\n")]
    found = []
    for name in tracked():
        try:
            text = (config.ROOT / name).read_text()
        except UnicodeDecodeError:  # pictures, weights, compressed tables
            continue
        for generated in sorted(made, key=len, reverse=True):
            text = text.replace(generated, "")
        if address in text:
            found.append(name)
    assert found == ["pyproject.toml"]


def test_another_address_reaches_badges_and_setup(monkeypatch, tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nurls = { Repository = "https://github.com/a/b" }\n'
    )
    monkeypatch.setattr(config, "ROOT", tmp_path)
    before = json.loads((config.NOTEBOOKS / "01_data.ipynb").read_text())
    after = openings.with_opening(json.loads(json.dumps(before)), "01_data")
    opening, _, setup = ("".join(cell["source"]) for cell in after["cells"][:3])
    assert opening.count("/a/b/") == 2
    assert "|| git clone -q --depth 1 --branch main https://github.com/a/b tumorcf\n" in setup
    assert texts.with_address("repository-code: x\n") == (
        'repository-code: "https://github.com/a/b"\n'
    )
    assert after["cells"][3:] == before["cells"][3:]


# -- Continuous integration -----------------------------------------------------------------------

WORKFLOW_TEXT = (config.ROOT / ".github/workflows/tests.yml").read_text()
WORKFLOW = yaml.safe_load(WORKFLOW_TEXT)
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]


def test_the_workflow_runs_commands_of_the_readme():
    readme_text = (config.ROOT / "README.md").read_text(encoding="utf-8")
    run = [step["run"] for step in STEPS if "run" in step]
    assert {"./run_all.sh", "./run_all.sh --test"} <= set(run)
    by_script = [line for line in run if line.startswith("./run_all.sh")]
    assert all(line in readme_text for line in by_script if line != "./run_all.sh --test-all")
    shown = subprocess.run(
        [config.ROOT / "run_all.sh", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for line in by_script:
        assert all(f"  {option}" in shown for option in shlex.split(line)[1:])


def test_the_workflow_tries_every_python_each_month_and_what_others_wrote_is_pinned():
    tried = WORKFLOW["jobs"]["tests"]["strategy"]["matrix"]["python"]
    assert tried == [f"3.{minor}" for minor in range(30) if PYTHONS.contains(f"3.{minor}")]
    when = WORKFLOW[True]  # YAML 1.1 reads the key "on" as a truth value
    assert {"push", "pull_request", "schedule", "workflow_dispatch"} == set(when)
    used = re.findall(r"uses: actions/(\S+?)@(\S+) +# v(\d+)", WORKFLOW_TEXT)
    assert len(used) == sum("uses" in step for step in STEPS)
    assert all(re.fullmatch("[0-9a-f]{40}", commit) for _, commit, _ in used)
    # Runners lost Node 20 in September 2026; these are the first majors made for Node 24.
    first = {"checkout": 5, "setup-python": 6, "upload-artifact": 6}
    assert all(int(major) >= first[name] for name, _, major in used)
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 90 for job in WORKFLOW["jobs"].values())


def test_the_image_is_the_dev_containers_of_the_lock_and_what_ci_builds():
    folder = config.ROOT / ".devcontainer"
    settings = json.loads((folder / "devcontainer.json").read_text())
    recipe = (folder / settings["build"]["dockerfile"]).read_text()
    for name in re.findall(r"^COPY (\S+) ", recipe, re.M):
        assert (folder / settings["build"]["context"] / name).is_file()
    assert "pip install --no-cache-dir --no-deps -r" in recipe
    assert "COPY requirements-dev.txt" in recipe
    (python,) = re.findall(r"^FROM python:(3\.\d+)", recipe, re.M)
    assert PYTHONS.contains(python)
    assert "docker build -f .devcontainer/Dockerfile -t tumorcf ." in [s.get("run") for s in STEPS]


def test_what_is_cited_has_an_address_a_version_and_a_date():
    text = (config.ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert texts.with_address(text) == text
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", yaml.safe_load(text)["date-released"])
