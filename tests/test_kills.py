"""A run that is killed at random moments and started again ends with the bytes of one that is not.

A kill is SIGKILL, to one of three:
  all      the run's process group and its kernel, as when a machine is stopped
  runner   the run alone; its kernel has to notice, and the next run must not meet it
  kernel   the kernel alone, as when memory runs out
"""

import contextlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from tumorcf_lib import config, steps
from tumorcf_lib.publish import compare
from tumorcf_lib.study import notebooks, runtime, stages

KINDS = ("all", "all", "all", "runner", "runner", "kernel", "kernel")
HANGS_AFTER_S = 1800


def begin(runs):
    """A run in a process group of its own, which speaks to a file."""
    words = [sys.executable, "-u", "-m", "tumorcf_lib", "run", "--profile", "smoke"]
    env = {**os.environ, "TUMORCF_RUNS": str(runs), "TUMORCF_SEED": "0"}
    how = {"cwd": config.ROOT, "env": env, "start_new_session": True}
    with open(runs / "log", "w") as log:
        return subprocess.Popen(words, stdout=log, stderr=log, **how)


def ends_well(process, runs):
    assert process.wait(timeout=HANGS_AFTER_S) == 0, (runs / "log").read_text()


def kernels_of(process):
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
        return [p for p in family if "ipykernel_launcher" in " ".join(p.cmdline())]
    return []


def is_there(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Hashes of all results of a run that nobody disturbs, and how long it took."""
    runs, started = tmp_path_factory.mktemp("reference"), time.monotonic()
    ends_well(begin(runs), runs)
    return compare.contents(runs / "smoke"), time.monotonic() - started


@pytest.mark.monthly
@pytest.mark.parametrize("round_", range(5))
def test_kills_at_random_moments_leave_no_difference(round_, undisturbed, tmp_path):
    """Every file is compared with that of an undisturbed run; up to 35 kills in all rounds."""
    (expected, seconds), rng, struck = undisturbed, np.random.default_rng(round_), []
    for kind in rng.permutation(KINDS):
        process = begin(tmp_path)
        time.sleep(rng.uniform(0, seconds / 3))
        while not (kernels := kernels_of(process)) and kind == "kernel" and process.poll() is None:
            time.sleep(0.1)  # or it would be a run that nobody disturbs, and the last of the round
        if kind == "all":
            os.killpg(process.pid, signal.SIGKILL)
        elif kind == "runner":
            process.kill()
        for kernel in kernels if kind != "runner" else ():
            with contextlib.suppress(psutil.NoSuchProcess):
                kernel.kill()
        struck += kernels
        process.wait(timeout=HANGS_AFTER_S)  # what it says of a dead kernel: test_runner
    ends_well(begin(tmp_path), tmp_path)
    folder = tmp_path / "smoke"
    study = runtime.Study(config.get("smoke"), 0, folder)
    assert struck and compare.contents(folder) == expected
    for name in stages.NAMES:
        assert stages.why_stale(study, name) is None and notebooks.is_executed(study, name)
    assert not list(folder.rglob(f"{steps.UNFINISHED}*")) and not any(map(is_there, struck))
