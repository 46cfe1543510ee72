"""Kill runs at random moments, run them again until they end, and compare every result.

    python tests/kill_runs.py --kills 50 --profile smoke --seed 0

First one run is made undisturbed: the reference. Then come rounds. In each of them a run in an
empty folder is killed once in every notebook, at a moment drawn evenly from the time that the
notebook took in the reference, and started again at once. When it has ended, every row file,
table, number, array, weight file and figure is held against the reference's by its SHA-256.

A kill is SIGKILL, to one of three at random:
  all      the run's process group and its kernel, as when a machine is stopped (half of them)
  runner   the run alone; its kernel has to notice, and the next run must not meet it
  kernel   the kernel alone, as when memory runs out; the run has to say so, and ends with 1

Everything is kept under --work, so that this script, too, goes on where it was stopped; a round
that was cut off is made again. It needs no network, and about half an hour for 50 kills on two
free cores.
The exit status is 0 if all rounds ended like the reference. No part of the fast tests.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.publish import compare
from tumorcf_lib.study import notebooks, runtime, stages  # noqa: E402

KINDS = ("all", "all", "runner", "kernel")
REFERENCE = "reference.json"
TABLE = "kills.csv"
PATIENCE = 20  # a run that takes so many times as long as the reference hangs


class RoundError(RuntimeError):
    """A run that stopped although nothing was killed, or that hangs."""


@dataclass(frozen=True)
class Kill:
    """What is planned: in which notebook, after which share of its time, and whom it hits."""

    stage: str
    share: float
    kind: str


class Running:
    """A run in a process group of its own, with the moments at which its notebooks began."""

    def __init__(self, runs, profile):
        command = [sys.executable, "-u", "-m", "tumorcf_lib", "run", "--profile", profile]
        self.process = subprocess.Popen(
            command,
            cwd=config.ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "TUMORCF_RUNS": str(runs), "TUMORCF_SEED": "0"},
            start_new_session=True,
        )
        self.started, self.lines = time.monotonic(), []
        self.began, self.ended = {}, {}
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            self.lines.append(line)
            name, _, rest = line.partition(" ")
            if name in stages.NAMES:
                moments = self.began if rest.strip().startswith("running") else self.ended
                moments[name] = time.monotonic()

    def seconds_since(self, name):
        return time.monotonic() - self.began[name]

    def is_over(self):
        return self.process.poll() is not None

    def now_in(self):
        """The notebook that began last, and the seconds since."""
        if not self.began:
            return "", time.monotonic() - self.started
        name = list(self.began)[-1]
        return name, self.seconds_since(name)

    def kernels(self):
        try:
            family = psutil.Process(self.process.pid).children(recursive=True)
            return [p for p in family if "ipykernel_launcher" in " ".join(p.cmdline())]
        except psutil.NoSuchProcess:
            return []

    def strike(self, kind):
        """Kill; without a kernel at this moment, "kernel" hits all. Returns whom it hit."""
        kernels = self.kernels()
        kind = "all" if kind == "kernel" and not kernels else kind
        if kind == "runner":
            self.process.kill()
            return kind
        if kind == "all":
            os.killpg(self.process.pid, signal.SIGKILL)
        for kernel in kernels:
            try:
                kernel.kill()
            except psutil.NoSuchProcess:
                pass
        return kind


def main(arguments=None) -> int:
    options = _options(arguments)
    work = Path(options.work).resolve()
    work.mkdir(parents=True, exist_ok=True)
    reference = _reference(work, options.profile)
    done = _done(work)
    while len(done) < options.kills:
        number = int(done["round"].max()) + 1 if len(done) else 0
        planned = plan(options.seed, number, options.kills - len(done))
        try:
            rows = make_round(work, number, planned, options.profile, reference)
        except RoundError as error:
            print(f"FAILED: {error}", file=sys.stderr)
            return 1
        rows = [{"kill": len(done) + k, **row} for k, row in enumerate(rows, 1)]
        done = pd.concat([done, pd.DataFrame(rows)], ignore_index=True)
        rowfiles.write_table(done, work / TABLE)
    if options.table:
        Path(options.table).parent.mkdir(parents=True, exist_ok=True)
        rowfiles.write_table(done, Path(options.table))
    return _conclude(done, work)


def plan(seed, number, n_kills):
    """One kill a notebook, in their order; of some notebooks only if fewer are left to do."""
    rng = np.random.default_rng([seed, number])
    names = sorted(rng.permutation(stages.NAMES)[:n_kills])
    return [Kill(str(n), float(rng.uniform()), str(rng.choice(KINDS))) for n in names]


def make_round(work, number, planned, profile, reference) -> list[dict]:
    """A run that is killed as planned and started again until it ends; a row a kill."""
    runs = work / f"round{number}"
    shutil.rmtree(runs, ignore_errors=True)
    rows, kernels, waiting = [], [], list(planned)
    limit = PATIENCE * sum(reference["seconds"].values())
    running = Running(runs, profile)
    while True:
        row = _wait_and_strike(running, waiting, runs / profile, reference["seconds"], limit)
        if row is None:
            break
        kernels += row.pop("kernels")
        rows.append({"round": number, **row})
        _say(rows[-1])
        if running.is_over():
            running = Running(runs, profile)
    if running.process.returncode != 0:
        raise RoundError(f"round {number} stopped by itself:\n" + "".join(running.lines[-15:]))
    differs = _what_differs(runs / profile, profile, reference["contents"])
    differs += [f"kernel {p.pid} is still there" for p in kernels if _is_there(p)]
    for row in rows:
        row["n_files"] = len(reference["contents"])
        row["differs_after_rerun"] = "; ".join(differs)
    verdict = "as the reference" if not differs else f"DIFFERS: {'; '.join(differs[:5])}"
    print(f"round {number}: {len(rows)} kills, then {verdict}", flush=True)
    if not differs:
        shutil.rmtree(runs)
    return rows


def _wait_and_strike(running, waiting, folder, seconds, limit):
    """Wait for the moment of the next planned kill and do it; None if the run ended before."""
    while not running.is_over():
        if time.monotonic() - running.started > limit:
            running.strike("all")
            raise RoundError(f"a run hangs:\n{''.join(running.lines[-15:])}")
        kill = next((k for k in waiting if k.stage in running.began), None)
        if kill and (
            running.seconds_since(kill.stage) >= kill.share * seconds[kill.stage]
            or kill.stage in running.ended  # faster than the reference: then at its end
        ):
            waiting.remove(kill)
            return _strike(running, kill, folder)
        time.sleep(0.01)
    time.sleep(0.5)  # its last lines
    return None


def _strike(running, kill, folder):
    stage, moment = running.now_in()
    kernels, n_began, said = running.kernels(), len(running.began), len(running.lines)
    kind = running.strike(kill.kind)
    while not running.is_over() and len(running.began) == n_began:
        time.sleep(0.05)  # a kernel that had done its last cell is not missed: the run goes on
    status = running.process.returncode
    row = {
        "stage": stage,
        "kind": kind,
        "planned_share": kill.share,
        "moment_s": round(moment, 1),
        "status": "went on" if status is None else status,
        **_what_is_there(folder),
        "kernels": kernels,
    }
    if kind == "kernel" and status is not None:
        time.sleep(0.5)
        text = "".join(running.lines[said:])
        named = stage in text and ("signal 9" in text or "did not start" in text)
        if status != 1 or not named:
            raise RoundError(f"a kernel died, the run ended with {status} and said:\n{text}")
    return row


def _what_is_there(folder) -> dict:
    """What a kill left: finished notebooks, half-written files, trainings to go on with."""
    half = [p.name for p in folder.rglob(f"{steps.UNFINISHED}*")]
    begun = [p.parent.name.split("-")[0] for p in folder.rglob("checkpoint.npz")]
    return {
        "n_finished": sum((folder / n / stages.RECORD).exists() for n in stages.NAMES),
        "half_written": " ".join(sorted(half)),
        "trainings_begun": " ".join(sorted(begun)),
    }


def _what_differs(folder, profile, expected) -> list[str]:
    """Files that are not the reference's, stages that do not hold, copies that are incomplete."""
    study = runtime.Study(config.get(profile), 0, folder)
    stale = {n: stages.why_stale(study, n) for n in stages.NAMES}
    return [
        *compare.different(expected, compare.contents(folder)),
        *(f"{n}: {reason}" for n, reason in stale.items() if reason),
        *(f"{n} is not executed" for n in stages.NAMES if not notebooks.is_executed(study, n)),
        *(p.name for p in folder.rglob(f"{steps.UNFINISHED}*")),
    ]


def _reference(work, profile) -> dict:
    """Hashes and seconds of a run that nobody disturbs; made once for this code."""
    path, code = work / REFERENCE, _code(profile)
    if path.exists():
        kept = json.loads(path.read_text())
        if kept["code"] == code:
            return kept
        sys.exit(f"The code or the profile changed since the reference was made: remove {work}.")
    shutil.rmtree(work / "reference", ignore_errors=True)
    running = Running(work / "reference", profile)
    if running.process.wait() != 0:
        sys.exit("The reference run failed:\n" + "".join(running.lines[-15:]))
    time.sleep(0.5)
    made = {
        "code": code,
        "seconds": {n: running.ended[n] - running.began[n] for n in stages.NAMES},
        "contents": compare.contents(work / "reference" / profile),
    }
    steps.write_whole(path, json.dumps(made, indent=1) + "\n")
    total = sum(made["seconds"].values())
    print(f"reference: {len(made['contents'])} files in {total:.0f} s", flush=True)
    return made


def _code(profile) -> str:
    sources = sorted((config.ROOT / "tumorcf_lib").rglob("*.py")) + sorted(
        config.NOTEBOOKS.glob("*.ipynb")
    )
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sources]
    return hashlib.sha256("\n".join([profile, *digests]).encode()).hexdigest()


def _done(work):
    path = work / TABLE
    return rowfiles.read_table(path) if path.exists() else pd.DataFrame()


def _is_there(process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def _say(row):
    print(
        f"  {row['stage'] or 'before 01':<18} {row['moment_s']:6.1f} s  {row['kind']:<6} -> "
        f"status {row['status']}, {row['n_finished']} notebooks finished, half written: "
        f"{row['half_written'] or 'nothing'}",
        flush=True,
    )


def _conclude(done, work) -> int:
    bad = done[done["differs_after_rerun"].fillna("").astype(str) != ""]
    rounds = done["round"].nunique()
    print(f"{len(done)} kills in {rounds} rounds; {bad['round'].nunique()} rounds differ.")
    print(done.groupby(["stage", "kind"]).size().unstack(fill_value=0).to_string())
    print(f"A row a kill: {config.shown(work / TABLE)}")
    return int(len(bad) > 0)


def _options(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--profile", default="smoke")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and kinds")
    parser.add_argument("--work", default=str(config.ROOT / "build" / "kills"))
    parser.add_argument("--table", help="copy the finished table to this file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
