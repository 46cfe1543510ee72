"""The workflow asks what the command line knows; Snakemake itself is tried where it can be had.

It lives in an environment of its own (docs/cluster.md): name it by TUMORCF_SNAKEMAKE.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml

from tumorcf_lib import commands, config, steps

WORKFLOW = config.ROOT / "workflow"
SNAKEMAKE = os.environ.get("TUMORCF_SNAKEMAKE") or shutil.which("snakemake")
PROFILE = "smoke-cv"
needs_snakemake = pytest.mark.skipif(
    not SNAKEMAKE, reason="needs Snakemake: name it by TUMORCF_SNAKEMAKE"
)


def snakemake(runs, *words, settings=()):
    """Snakemake, which writes to a folder of its own and asks this Python; and what it printed."""
    environment = os.environ | {"TUMORCF_RUNS": str(runs), "TUMORCF_COMMAND": ""}
    for name in ("TUMORCF_PROFILE", "TUMORCF_SEED"):
        environment.pop(name, None)
    words = [SNAKEMAKE, *words, "--config", f"python={sys.executable}", *settings]
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "cwd": config.ROOT}
    return subprocess.Popen(words, env=environment, **how)


# -- without Snakemake --------------------------------------------------------


def test_every_command_of_the_workflow_is_one_of_the_command_line_and_profiles_name_its_rules():
    snakefile, found = (WORKFLOW / "Snakefile").read_text(), set()
    for block in snakefile.split("rule ")[1:]:
        if command := re.search(r'command=command\("(\w+)"', block):
            used = re.findall(r" (--[a-z-]+)", block.split("    shell:\n")[1])
            options = commands.COMMANDS[command[1]][1]
            known = {name for names, _ in options for name in names}
            assert {*used, "--profile", "--data"} <= known
            found.add(command[1])
    assert found == {"prepare", "train", "pool", "run"}
    rules = set(re.findall(r"^rule (\w+):", snakefile, re.MULTILINE))
    for path in WORKFLOW.glob("profiles/*/config.yaml"):
        profile = yaml.safe_load(path.read_text())
        named = [*profile.get("set-threads", []), *profile.get("set-resources", [])]
        assert named and {re.split("[:=]", line)[0] for line in named} <= rules, path


def test_what_the_workflow_asks_the_project_is_answered():
    settings = yaml.safe_load((WORKFLOW / "config.yaml").read_text())
    names = {"config": settings | {"python": sys.executable}}
    text = (WORKFLOW / "common.smk").read_text().split("wildcard_constraints:")[0]
    exec(text, names)  # the part of it that is Python
    assert len(names["UNITS"]) == config.get(settings["profile"]).n_folds
    assert names["MARKS"] == config.run(settings["profile"]) / "workflow"


# -- with Snakemake -----------------------------------------------------------


@needs_snakemake
def test_a_dry_run_plans_one_unit_for_each_fold_seed_and_network_and_six_notebooks(tmp_path):
    more = "seeds=[0,1]", "shuffled_seeds=[5]", "finetuned=[looking]"
    for words, settings, planned in (
        ([], (), r"^unit +3$"),
        ([], more, r"^unit +15$"),
        (["notebooks"], (), r"^notebook +6$"),
    ):
        process = snakemake(tmp_path, "-n", "--cores", "1", *words, settings=settings)
        text, _ = process.communicate()
        assert process.returncode == 0 and re.search(planned, text, re.MULTILINE), text


def pooled(runs):
    """Content of every pooled row file."""
    folder = runs / PROFILE
    return {p.name: p.read_bytes() for p in [*folder.glob("rows_*"), folder / "history.csv"]}


@needs_snakemake
@pytest.mark.monthly
def test_units_are_those_of_the_commands_by_the_local_executor_even_if_killed_and_by_slurm(
    tmp_path,
):
    by_commands, runs = tmp_path / "by_commands", tmp_path / "runs"
    environment = os.environ | {"TUMORCF_RUNS": str(by_commands), "TUMORCF_COMMAND": ""}
    words = [sys.executable, "-m", "tumorcf_lib", "run", "--profile", PROFILE]
    subprocess.run(words, cwd=config.ROOT, env=environment, check=True)
    for name in ("01_data", "02_preprocessing", "notebooks"):  # which are compared elsewhere
        for place in (runs, tmp_path / "slurm"):
            shutil.copytree(by_commands / PROFILE / name, place / PROFILE / name)
    process = snakemake(runs, "--profile", "workflow/profiles/local", "--retries", "2")
    victim = runs / PROFILE / "units" / f"fold1_seed0.{steps.LOCK}"
    until = time.monotonic() + 1800
    while not (victim.is_file() and victim.read_text().strip()) and time.monotonic() < until:
        time.sleep(0.2)
    os.kill(int(victim.read_text()), signal.SIGKILL)
    text, _ = process.communicate()
    assert process.returncode == 0 and "Error in rule unit" in text  # it was killed indeed
    assert pooled(runs) == pooled(by_commands) != {}
    if not shutil.which("sbatch"):
        pytest.skip("the local executor is as it should be; SLURM is not here (docs/cluster.md)")
    words = ["--profile", "workflow/profiles/slurm", "--slurm-status-command", "squeue"]
    words += ["--default-resources", "mem_mb=2000", "runtime=60", "--latency-wait", "5"]
    process = snakemake(tmp_path / "slurm", *words, "--set-threads", "prepare=1", "unit=1")
    text, _ = process.communicate()
    assert process.returncode == 0, text
    assert pooled(tmp_path / "slurm") == pooled(by_commands)
