"""The workflow asks what the command line knows; Snakemake itself is tried where it can be had.

It lives in an environment of its own (docs/cluster.md): name it by TUMORCF_SNAKEMAKE.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from unittest import mock

import pytest
import yaml

from tumorcf_lib import commands, config, steps
from tumorcf_lib.study import made_by

WORKFLOW = config.ROOT / "workflow"
SNAKEMAKE = os.environ.get("TUMORCF_SNAKEMAKE") or shutil.which("snakemake")
PROFILE = "smoke-cv"
REASON = "needs Snakemake: name it by TUMORCF_SNAKEMAKE"
needs_snakemake = pytest.mark.skipif(not SNAKEMAKE, reason=REASON)


def snakemake(runs, *words, settings=()):
    """Snakemake, which writes to a folder of its own and asks this Python."""
    environment = os.environ | {"TUMORCF_RUNS": str(runs), "TUMORCF_COMMAND": ""}
    environment |= {"TUMORCF_PROFILE": "", "TUMORCF_SEED": ""}
    words = [SNAKEMAKE, *words, "--config", f"python={sys.executable}", *settings]
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "cwd": config.ROOT}
    return subprocess.Popen(words, env=environment, **how)


def printed(process):
    """What Snakemake printed, when it ended well."""
    text, _ = process.communicate()
    assert process.returncode == 0, text
    return text


BLOCKS = (WORKFLOW / "Snakefile").read_text().split("\nrule ")[1:]
RULES = dict(block.split(":", 1) for block in BLOCKS)


def test_every_command_of_the_workflow_is_one_of_the_command_line():
    found = set()
    for text in RULES.values():
        for command in re.findall(r'command=command\("(\w+)"', text):
            used = re.findall(r" (--[a-z-]+)", text.split("    shell:\n")[1])
            known = {name for names, _ in commands.COMMANDS[command][1] for name in names}
            assert {*used, "--profile", "--data"} <= known
            found.add(command)
    assert found == {"prepare", "train", "pool", "run"}


def test_profiles_speak_of_rules_that_exist_and_jobs_use_the_threads_they_are_given():
    """TensorFlow does not read OMP_NUM_THREADS, which Snakemake sets."""
    for path in WORKFLOW.glob("profiles/*/config.yaml"):
        profile = yaml.safe_load(path.read_text())
        named = [*profile["set-threads"], *profile.get("set-resources", [])]
        assert {re.split("[:=]", line)[0] for line in named} <= set(RULES), path
    trained = {name for name, text in RULES.items() if "TF_NUM_INTRAOP_THREADS={th" in text}
    assert trained == {"unit", "notebook"}


def test_marks_become_stale_by_code_and_by_a_profiles_settings(monkeypatch, capsys):
    settings = yaml.safe_load((WORKFLOW / "config.yaml").read_text())
    asked = [settings[key] for key in ("profile", "notebooks")]
    common = {"config": settings | {"python": sys.executable}}
    text = (WORKFLOW / "common.smk").read_text().split("wildcard_constraints:")[0]
    exec(text, common)  # the part of it that is Python
    assert len(common["UNITS"]) == config.get(asked[0]).n_folds
    monkeypatch.setattr(sys, "argv", ["-c", *asked])

    def codes():
        exec(common["QUESTION"], {})
        monkeypatch.setitem(common, "STUDY", json.loads(capsys.readouterr().out))
        return [common["code"](profile) for profile in asked]

    before = codes()
    changed = replace(config.get(asked[0]), finetune_epochs=5)
    with mock.patch.dict(config.PROFILES, {asked[0]: changed}):
        after = codes()
    assert after[0] != before[0] and after[1] == before[1]
    monkeypatch.setitem(made_by.CODE, "finetuning", ())
    assert not set(codes()) & set(before)


@needs_snakemake
def test_a_dry_run_plans_one_unit_for_each_fold_seed_and_network_and_six_notebooks(tmp_path):
    more = "seeds=[0,1]", "shuffled_seeds=[5]", "finetuned=[looking]"
    for words, settings, planned in (
        ([], (), r"^unit +3$"),
        ([], more, r"^unit +15$"),
        (["notebooks"], (), r"^notebook +6$"),
    ):
        text = printed(snakemake(tmp_path, "-n", "--cores", "1", *words, settings=settings))
        assert re.search(planned, text, re.MULTILINE), text


@needs_snakemake
def test_any_cluster_will_do_that_has_a_command_to_submit_by(tmp_path):
    """A shell in the background submits; a stand-in for Python notes what it is asked, and fails
    once at fold 1."""
    stand_in, asked, once = (tmp_path / name for name in ("python", "asked", "once"))
    stand_in.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] && exec {sys.executable} "$@"\n'
        f'case "$*" in *"--fold 1"*) [ -e {once} ] || {{ touch {once}; exit 1; }};; esac\n'
        f'echo "$*" >> {asked}\n'
    )
    stand_in.chmod(0o755)
    submit = f"sh -c 'sh \"$0\" > {tmp_path}/job.log 2>&1 & echo $!'"
    words = ["--profile", "workflow/profiles/cluster-generic", "--latency-wait", "5"]
    words += ["--cluster-generic-submit-cmd", submit]
    process = snakemake(tmp_path / "runs", *words, settings=[f"python={stand_in}"])
    text, _ = process.communicate()
    if process.returncode == 2 and "cluster-generic" in text:  # Snakemake does not know the word
        pytest.skip("needs snakemake-executor-plugin-cluster-generic")
    assert process.returncode == 0 and once.exists(), text
    first, *units, last = asked.read_text().splitlines()
    assert " prepare " in f"{first} " and "pool" in last and last.endswith("--check")
    assert sorted(re.findall(r"--fold (\d)", " ".join(units))) == ["0", "1", "2"]


def pooled(runs):
    """Content of every pooled row file."""
    folder = runs / PROFILE
    return {p.name: p.read_bytes() for p in [*folder.glob("rows_*"), folder / "history.csv"]}


@pytest.fixture(scope="module")
def by_commands(tmp_path_factory):
    """The folds of a phantom, run by the commands alone."""
    runs = tmp_path_factory.mktemp("commands")
    environment = os.environ | {"TUMORCF_RUNS": str(runs), "TUMORCF_COMMAND": ""}
    environment["TF_NUM_INTRAOP_THREADS"] = "1"  # threads change the last digits
    words = [sys.executable, "-m", "tumorcf_lib", "run", "--profile", PROFILE]
    subprocess.run(words, cwd=config.ROOT, env=environment, check=True)
    return runs


SLURM = "--slurm-status-command squeue --default-resources mem_mb=2000 runtime=60"
SLURM += " --latency-wait 5 --set-threads prepare=1"
EXECUTORS = {"local": "--retries 2", "slurm": SLURM}


@needs_snakemake
@pytest.mark.monthly
@pytest.mark.parametrize("name", EXECUTORS)
def test_an_executors_units_are_those_of_the_commands_after_a_kill(by_commands, tmp_path, name):
    if name == "slurm" and not shutil.which("sbatch"):
        pytest.skip("needs SLURM (docs/cluster.md)")
    for done in ("01_data", "02_preprocessing", "notebooks"):  # compared elsewhere
        shutil.copytree(by_commands / PROFILE / done, tmp_path / PROFILE / done)
    how = f"--profile workflow/profiles/{name} {EXECUTORS[name]}".split()
    process = snakemake(tmp_path, *how, "--set-threads", "unit=1")
    victim = tmp_path / PROFILE / "units" / f"fold1_seed0.{steps.LOCK}"
    while not (victim.is_file() and victim.read_text().strip()) and process.poll() is None:
        time.sleep(0.2)
    killed = int(victim.read_text())
    os.kill(killed, signal.SIGKILL)
    printed(process)
    assert int(victim.read_text()) != killed  # another process made the unit
    assert pooled(tmp_path) == pooled(by_commands) != {}
