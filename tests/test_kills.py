"""A run that is killed at random moments and started again ends with the bytes of one that is not.

A kill is SIGKILL, to one of three at random:
  all      the run's process group and its kernel, as when a machine is stopped (half of them)
  runner   the run alone; its kernel has to notice, and the next run must not meet it
  kernel   the kernel alone, as when memory runs out; the run has to say so, and ends with 1
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest

from tumorcf_lib import config, steps
from tumorcf_lib.publish import compare
from tumorcf_lib.study import notebooks, runtime, stages

KINDS = ("all", "all", "runner", "kernel")
HANGS_AFTER_S = 1800


class Running:
    """A run in a process group of its own, with the moments at which its notebooks began."""

    def __init__(self, runs):
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "tumorcf_lib", "run", "--profile", "smoke"],
            cwd=config.ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "TUMORCF_RUNS": str(runs), "TUMORCF_SEED": "0"},
            start_new_session=True,
        )
        self.lines, self.began, self.ended = [], {}, {}
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def _listen(self):
        for line in self.process.stdout:
            self.lines.append(line)
            name, _, rest = line.partition(" ")
            if name in stages.NAMES:
                moments = self.began if rest.strip().startswith("running") else self.ended
                moments[name] = time.monotonic()

    def is_over(self):
        return self.process.poll() is not None

    def end(self):
        """What it printed, when it has ended."""
        self.process.wait(timeout=HANGS_AFTER_S)
        self.listener.join()
        return "".join(self.lines)

    def kernels(self):
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(self.process.pid).children(recursive=True)
            return [p for p in family if "ipykernel_launcher" in " ".join(p.cmdline())]
        return []

    def strike(self, kind):
        """Kill; without a kernel at this moment, "kernel" hits all. Returns whom it hit."""
        kernels = self.kernels()
        kind = "all" if kind == "kernel" and not kernels else kind
        if kind == "runner":
            self.process.kill()
        if kind == "all":
            os.killpg(self.process.pid, signal.SIGKILL)
        for kernel in kernels if kind != "runner" else ():
            with contextlib.suppress(psutil.NoSuchProcess):
                kernel.kill()
        return kind


def undisturbed(runs):
    """Hashes of all results of a run that nobody disturbs, and seconds of its notebooks."""
    running = Running(runs)
    said = running.end()
    assert running.process.returncode == 0, said
    seconds = {name: running.ended[name] - running.began[name] for name in stages.NAMES}
    return compare.contents(runs / "smoke"), seconds


def killed(runs, seconds, rng):
    """Make a run that is killed once in every notebook; returns its kernels and number of kills."""
    running, kernels, n_kills = Running(runs), [], 0
    for stage in stages.NAMES:
        share, kind = rng.uniform(), str(rng.choice(KINDS))
        while stage not in running.began and not running.is_over():
            time.sleep(0.01)
        time.sleep(share * seconds[stage])
        if running.is_over():
            break
        kernels += running.kernels()
        n_began, n_said, n_kills = len(running.began), len(running.lines), n_kills + 1
        struck = list(running.began)[-1]  # a later one, if this was faster than in the reference
        kind = running.strike(kind)
        while not running.is_over() and len(running.began) == n_began:
            time.sleep(0.05)  # a kernel that had done its last cell is not missed: the run goes on
        if not running.is_over():
            continue
        said = "".join(running.end().splitlines(keepends=True)[n_said:])
        print(f"  {struck:<18} {kind:<6} -> status {running.process.returncode}", flush=True)
        if kind == "kernel":
            named = struck in said and ("signal 9" in said or "did not start" in said)
            assert running.process.returncode == 1 and named, said
        running = Running(runs)
    said = running.end()
    assert running.process.returncode == 0, said
    return kernels, n_kills


def is_there(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return undisturbed(tmp_path_factory.mktemp("reference"))


@pytest.mark.monthly
@pytest.mark.parametrize("round_", range(5))
def test_a_kill_in_every_notebook_leaves_no_difference(round_, reference, tmp_path):
    """Every file is compared with that of an undisturbed run; up to 30 kills in all rounds."""
    expected, seconds = reference
    kernels, n_kills = killed(tmp_path, seconds, np.random.default_rng(round_))
    folder = tmp_path / "smoke"
    study = runtime.Study(config.get("smoke"), 0, folder)
    assert n_kills and compare.contents(folder) == expected
    for name in stages.NAMES:
        assert stages.why_stale(study, name) is None and notebooks.is_executed(study, name)
    assert not list(folder.rglob(f"{steps.UNFINISHED}*")) and not any(map(is_there, kernels))
