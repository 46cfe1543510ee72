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
RANGES = {
    requirement.name: requirement
    for requirement in map(
        Requirement,
        PROJECT["dependencies"]
        + [
            line
            for group in ("study", "lab", "onnx", "test")
            for line in PROJECT["optional-dependencies"][group]
        ],
    )
}
GROUPS = PROJECT["optional-dependencies"]
TESTS, ONNX = ({Requirement(line).name for line in GROUPS[name]} for name in ("test", "onnx"))
PINS = pins.read_pins(config.ROOT / "requirements-dev.txt")
RUN = pins.read_pins(config.ROOT / "requirements.txt")


def conda_pins():
    environment = yaml.safe_load((config.ROOT / "environment.yml").read_text())
    (pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    return pip, [Requirement(line) for line in pip if "==" in line]


def test_conda_pins_every_dependency_of_a_run_at_the_version_of_the_lock():
    elsewhere = {"sys_platform": "darwin", "platform_machine": "arm64"}
    linux = {"sys_platform": "linux", "platform_machine": "x86_64"}
    for system, tensorflow in ((linux, "tensorflow-cpu"), (elsewhere, "tensorflow")):
        own = [one for one in conda_pins()[1] if one.marker is None or one.marker.evaluate(system)]
        found = {one.name: str(one.specifier)[2:] for one in own}
        wanted = {name: PINS[name] for name in RANGES.keys() - TESTS - {"tensorflow"}}
        assert found == {**wanted, tensorflow: RUN["tensorflow"]}


def test_what_runs_is_a_part_of_one_lock_without_the_tests_and_onnx():
    assert RUN.items() <= PINS.items()
    assert RANGES.keys() - TESTS - ONNX <= RUN.keys()
    assert not (ONNX | {"pytest"}) & RUN.keys() and ONNX <= PINS.keys()
    assert not {"libclang", "grpcio"} & PINS.keys()  # which TensorFlow asks for and never imports


@pytest.mark.parametrize("line", (config.ROOT / "tests/colab.txt").read_text().splitlines()[1:])
def test_what_colab_brings_is_in_range(line):
    name, version = line.split("==")
    assert name not in RANGES or RANGES[name].specifier.contains(version)


def test_conda_constrains_the_rest_by_the_lock_and_installs_this_package():
    pip, _ = conda_pins()
    assert pip[0] == "-c requirements.txt"
    assert pip[-1] == "-e ."


@pytest.mark.parametrize("name", RANGES)
def test_every_pin_lies_in_its_range(name):
    assert RANGES[name].specifier.contains(PINS[name])


def test_the_packages_that_were_asked_for_are_there():
    wanted = {
        "jupyterlab",
        "papermill",
        "tensorflow",
        "scipy",
        "numpy",
        "seaborn",
        "matplotlib",
        "scikit-learn",
        "nbval",
    }
    assert wanted <= set(RANGES)
    # opencv-python is the same cv2 with a need for libGL, which Binder and servers lack.
    assert "opencv-python-headless" in RANGES
    assert "opencv-python" not in PINS


def test_the_running_environment_has_the_pinned_versions():
    assert pins.unmet(config.ROOT / "requirements-dev.txt") == []


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


def test_a_distribution_of_the_same_modules_meets_a_pin(tmp_path, monkeypatch):
    def version(name):
        if name in found:
            return found[name]
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    (tmp_path / "lock.txt").write_text("opencv-python-headless==5.0\ntensorflow==2.21.0\n")
    found = {"opencv-python": "5.0", "tensorflow-cpu": "2.21.0"}
    assert pins.unmet(tmp_path / "lock.txt") == []
    found = {"opencv-python": "4.10"}
    assert pins.unmet(tmp_path / "lock.txt") == [
        "opencv-python-headless: 5.0 is pinned, 4.10 is installed",
        "tensorflow: 2.21.0 is pinned, nothing is installed",
    ]


def test_python_versions_agree():
    environment = yaml.safe_load((config.ROOT / "environment.yml").read_text())
    (python,) = (d for d in environment["dependencies"] if str(d).startswith("python="))
    assert Requirement(f"x{PROJECT['requires-python']}").specifier.contains(python.split("=")[1])


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
    # are asked for before conda's; and these would add steps that nothing here needs.
    hiding = {"binder", ".binder"}
    first = {
        "Dockerfile",
        "REQUIRE",
        "Project.toml",
        "JuliaProject.toml",
        "default.nix",
        "runtime.txt",
        "DESCRIPTION",
        "install.R",
    }
    more_steps = {"apt.txt", "postBuild", "start"}
    tops = {name.split("/")[0] for name in tracked()}
    assert not tops & (hiding | first | more_steps)
    assert "environment.yml" in tops


def test_binder_reads_the_python_version():
    environment = yaml.safe_load((config.ROOT / "environment.yml").read_text())
    (python,) = (d for d in environment["dependencies"] if str(d).startswith("python"))
    assert re.fullmatch(r"python=3\.\d+", python)  # repo2docker wants x.y, and conda's one "="


def test_binder_copies_the_repository_before_it_installs():
    # It does if a line of the pip part names a local file; both of ours are at the top level,
    # where the installer is called.
    pip, _ = conda_pins()
    local = [line for line in pip if line.startswith("-")]
    assert local == ["-c requirements.txt", "-e ."]
    assert (config.ROOT / "requirements.txt").is_file()
    assert (config.ROOT / "pyproject.toml").is_file()


def test_jupyterlab_and_the_notebook_server_of_binders_image_fit():
    # Each notebook 7.x is made for one JupyterLab 4.x: 7.5 for 4.5, 7.6 for 4.6.
    pip, _ = conda_pins()
    (line,) = (line for line in pip if line.startswith("notebook"))
    minor = int(RUN["jupyterlab"].split(".")[1])
    assert line == f"notebook>=7.{minor},<7.{minor + 1}"


# -- One public address ---------------------------------------------------------------------------


def setup_lines(path):
    cells = json.loads(path.read_text())["cells"]
    (setup,) = (c for c in cells if openings.SETUP in c["metadata"].get("tags", []))
    return "".join(setup["source"])


@pytest.mark.parametrize("path", sorted(config.NOTEBOOKS.glob("*.ipynb")), ids=lambda p: p.stem)
def test_badges_and_setup_of_a_notebook_are_made_from_the_address(path):
    assert setup_lines(path).startswith(openings.setup_cell(path.stem))
    opening = "".join(json.loads(path.read_text())["cells"][0]["source"])
    assert texts.badges(f"notebooks/{path.name}") in opening


def test_the_public_address_is_typed_in_one_place_only():
    address = texts.repository_address().removeprefix("https://github.com/")
    made = [texts.badges(f"notebooks/{p.name}") for p in config.NOTEBOOKS.glob("*.ipynb")]
    made += [openings.setup_cell(p.stem) for p in config.NOTEBOOKS.glob("*.ipynb")]
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

WORKFLOW = yaml.safe_load((config.ROOT / ".github/workflows/tests.yml").read_text())
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


def test_the_image_is_the_dev_containers_of_the_lock_and_what_ci_builds():
    folder = config.ROOT / ".devcontainer"
    settings = json.loads((folder / "devcontainer.json").read_text())
    recipe = (folder / settings["build"]["dockerfile"]).read_text()
    for name in re.findall(r"^COPY (\S+) ", recipe, re.M):
        assert (folder / settings["build"]["context"] / name).is_file()
    assert "pip install --no-cache-dir --no-deps -r" in recipe
    assert "COPY requirements-dev.txt" in recipe
    (python,) = re.findall(r"^FROM python:(3\.\d+)", recipe, re.M)
    assert Requirement(f"x{PROJECT['requires-python']}").specifier.contains(python)
    assert "docker build -f .devcontainer/Dockerfile -t tumorcf ." in [s.get("run") for s in STEPS]


def test_what_is_cited_has_an_address_a_version_and_a_date():
    cited = yaml.safe_load((config.ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    text = (config.ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert texts.with_address(text) == text
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", cited["date-released"])


def test_the_workflow_runs_at_every_change_and_once_a_month():
    when = WORKFLOW[True]  # YAML 1.1 reads the key "on" as a truth value
    assert {"push", "pull_request", "schedule", "workflow_dispatch"} == set(when)
    (schedule,) = when["schedule"]
    _, _, day, month, weekday = schedule["cron"].split()
    assert day.isdigit() and 1 <= int(day) <= 28
    assert (month, weekday) == ("*", "*")


def test_actions_of_others_are_pinned_and_may_only_read():
    text = (config.ROOT / ".github/workflows/tests.yml").read_text()
    used = re.findall(r"uses: (\S+?)@(\S+)( +# v\d\S*)?", text)
    assert len(used) == sum("uses" in step for step in STEPS)
    assert all(re.fullmatch("[0-9a-f]{40}", commit) and version for _, commit, version in used)
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 90 for job in WORKFLOW["jobs"].values())


def test_actions_are_of_versions_that_run_on_the_node_that_is_left():
    # Runners lost Node 20 in September 2026; these are the first majors made for Node 24.
    first = {"checkout": 5, "setup-python": 6, "upload-artifact": 6}
    text = (config.ROOT / ".github/workflows/tests.yml").read_text()
    used = re.findall(r"uses: actions/(\S+?)@\S+ +# v(\d+)", text)
    assert {name for name, _ in used} == set(first)
    assert all(int(major) >= first[name] for name, major in used)


def test_the_workflow_tries_every_python_that_the_package_allows():
    tried = WORKFLOW["jobs"]["tests"]["strategy"]["matrix"]["python"]
    allowed = Requirement(f"x{PROJECT['requires-python']}").specifier
    assert tried == [f"3.{minor}" for minor in range(30) if allowed.contains(f"3.{minor}")]
