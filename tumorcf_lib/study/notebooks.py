"""Run the notebooks by papermill, in order or side by side, skipping what still holds."""

import os
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from tumorcf_lib import config, steps
from tumorcf_lib.study import reference, stages
from tumorcf_lib.study.execution import NotebookError, execute, executed_copy, interrupted
from tumorcf_lib.study.results import kept_seconds
from tumorcf_lib.study.runtime import (
    Study,
    held_by_others,
    memory_limit,
    n_cores,
    processor,
    warn_if_tight,
)

MINUTES = "minutes.json"
"""File of a run: minutes by the name of a notebook, and what follows."""

PROCESSOR = "processor"
"""What it was that took so long."""

MEMORY = "memory_gb"
"""The most that a run of all notebooks held, one at a time: by its largest kernel and itself."""

AT_ONCE = "at_once"
"""How many notebooks ran side by side."""

KEEPING = threading.Lock()

ROOM_BYTES = 10_000_000_000
"""So much memory is there for two kernels at once, of which the largest takes 3 GB, and a reader's
other programs."""


def run(study: Study, *, first="", last="") -> dict[str, float]:
    """Execute the notebooks ``first`` to ``last`` (all); minutes of each by its name (0: skipped).

    Where the run begins after 03 and nobody began to train here, the published weights take the
    place of 03, if there are any for this profile and seed: what they need of 01 and 02 is run,
    too. See :mod:`study.reference`. The first notebook that fails ends it by a NotebookError, one
    that lacks what it needs by a StageError."""
    names = stages.between(first, last)
    if published := reference.wanted(study, names):
        needed = {*names, *stages.NEEDS["04_evaluation"]}
        names = [name for name in stages.between(last=names[-1]) if name in needed]
    warn_if_tight("a run", "give the same command again")
    at_once, done = 2 if has_room() else 1, {}
    with only_run(study.folder), interrupted() as interrupts:
        for group in stages.groups(names, at_once):

            def make(name, first=group[0]):
                return _make(study, name, names, published, interrupts, first)

            with ThreadPoolExecutor(len(group)) as threads:
                done |= zip(group, threads.map(make, group), strict=True)
        if len(done) == len(stages.NAMES) and all(done.values()):
            _keep(study, {MEMORY: peak_gb(), AT_ONCE: at_once})
    if reference.is_installed(study):
        print(*reference.compared(study), sep="\n")
    print(f"Executed notebooks, tables and figures: {config.shown(study.folder)}")
    return done


def has_room() -> bool:
    """Whether two notebooks may run at once: cores and memory for two, no GPU that one fills."""
    own = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    free = min(memory_limit(), own) - held_by_others()
    return n_cores() > 1 and free > ROOM_BYTES and not shutil.which("nvidia-smi")


def _make(study, name, names, published, interrupts, first) -> float:
    """Bring one notebook's stage up to date and say so in a line; the minutes that it took."""
    holds, minutes = stages.why_stale(study, name) is None, 0.0
    if published and name == reference.STAGE:
        if not (holds and reference.is_installed(study)):
            reference.install(study)
        note = "published weights, not trained here"
    elif holds and is_executed(study, name):
        note = "up to date, skipped"
    else:
        for needed in (n for n in stages.NEEDS[name] if n not in names):
            stages.require(study, needed, wanted_by=name)
        minutes, note = execute(study, name, interrupts, begins=first), "wrote"
        reason = stages.why_stale(study, name)
        if reason:
            raise NotebookError(
                f"{name} ran to its end, but what it made does not hold: {reason}. If the code or "
                "the data were changed in the meantime, run the same again."
            )
        _keep_minutes(study, name, minutes)
    wrote = stages.summary(stages.record(study, name))
    with tqdm.external_write_mode():  # off the line of a notebook that runs beside it
        print(f"{name:<20} {minutes:5.1f} min  {note}: {wrote}", flush=True)
    return minutes


def only_run(folder):
    """Hold a run's folder in a context: two runs would write over each other's files."""
    folder.mkdir(parents=True, exist_ok=True)
    return steps.held(folder / steps.LOCK)


def run_guide(study: Study, name: str) -> None:
    """Execute a notebook beside the study; what it needs (see ``stages.NEEDS``) has to be there."""
    with interrupted() as interrupts:
        _keep_minutes(study, name, execute(study, name, interrupts))


def is_executed(study: Study, name: str) -> bool:
    """Whether the executed copy is that of the stage's record: complete, and of this code.

    A stage that was run elsewhere (in JupyterLab, or killed before its last cell) has a
    record that is newer than its copy.
    """
    copy = executed_copy(study, name)
    record = study.folder / name / steps.RECORD
    if not copy.exists() or copy.stat().st_mtime < record.stat().st_mtime:
        return False
    return stages.code_cells(copy) == stages.code_cells(config.NOTEBOOKS / f"{name}.ipynb")


def peak_gb():
    """Most memory that this process and the largest it started have held, in GB (1e9 bytes)."""
    import resource  # which Windows lacks, where notebooks run in WSL only

    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024
    return round(unit * sum(resource.getrusage(w).ru_maxrss for w in who) / 1e9, 2)


def _keep_minutes(study, name, minutes):
    """Remember how long a notebook took, with what it only read again; README tells it."""
    minutes = max(minutes, kept_seconds(study.folder / name) / 60)
    _keep(study, {name: round(minutes, 2), PROCESSOR: f"{processor()}, {n_cores()} cores"})


def _keep(study, entries):
    path = study.folder / MINUTES
    with KEEPING:
        kept = steps.read_json(path) if path.is_file() else {}
        steps.write_json(path, kept | entries, sort_keys=True)
