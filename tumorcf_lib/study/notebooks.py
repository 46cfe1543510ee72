"""Run the notebooks in order, skipping what still holds."""

import sys

try:
    import resource
except ImportError:  # Windows outside WSL: memory is not measured there
    resource = None

from tumorcf_lib import config, steps
from tumorcf_lib.study import reference, stages
from tumorcf_lib.study.execution import NotebookError, execute, executed_copy
from tumorcf_lib.study.results import kept_seconds
from tumorcf_lib.study.runtime import Study, n_cores, processor, warn_if_tight

MINUTES = "minutes.json"
"""File of a run: minutes by the name of a notebook, and what follows."""

PROCESSOR = "processor"
"""What it was that took so long."""

MEMORY = "memory_gb"
"""The most that a run of all notebooks held, by its largest kernel and itself."""


def run(study: Study, *, first="01", last="06", fresh=False, published=False) -> list[dict]:
    """Execute the notebooks ``first`` to ``last``; their ``name`` and ``minutes`` (0: skipped).

    With ``published``, or where the run begins after 03 and nobody began to train here, the
    published weights take the place of 03, if there are any for this profile and seed: what
    they need of 01 and 02 is run, too. See :mod:`study.reference`. The first notebook that fails
    ends it by a NotebookError, one that lacks what it needs by a StageError."""
    begin, end = (stages.NAMES.index(stages.find_stage(value)) for value in (first, last))
    if begin > end:
        raise stages.StageError(f"--from {first} comes after --to {last}: nothing to run.")
    names = asked = stages.NAMES[begin : end + 1]
    published = published or reference.wanted(study, asked)
    if published:
        earlier = stages.NEEDS["04_evaluation"]
        names = [n for n in stages.NAMES[: end + 1] if n in asked or n in earlier]
    warn_if_tight("a run", "give the same command again")
    with only_run(study.folder):
        done = [_make(study, n, names, fresh and n in asked, published) for n in names]
        if len(done) == len(stages.NAMES) and all(entry["minutes"] for entry in done):
            _keep(study, {MEMORY: peak_gb()})
    if reference.is_installed(study):
        print(*reference.sentences(reference.compare(study)), sep="\n")
    print(f"Executed notebooks, tables and figures: {config.shown(study.folder)}")
    return done


def _make(study, name, names, fresh, published) -> dict:
    """Bring one notebook's stage up to date and say so in a line."""
    holds, minutes = not fresh and stages.why_stale(study, name) is None, 0.0
    if published and name == reference.STAGE:
        if not (holds and reference.is_installed(study)):
            reference.install(study)
        note = "published weights, not trained here"
    elif holds and is_executed(study, name):
        note = "up to date, skipped"
    else:
        for needed in (n for n in stages.NEEDS[name] if n not in names):
            stages.require(study, needed, wanted_by=name)
        minutes, note = execute(study, name, fresh=fresh), "wrote"
        reason = stages.why_stale(study, name)
        if reason:
            raise NotebookError(
                f"{name} ran to its end, but what it made does not hold: {reason}. If the code or "
                "the data were changed in the meantime, run the same again."
            )
        _keep_minutes(study, name, minutes)
    wrote = stages.summary(stages.record(study, name))
    print(f"{name:<20} {minutes:5.1f} min  {note}: {wrote}", flush=True)
    return {"name": name, "minutes": minutes}


def only_run(folder):
    """Hold a run's folder in a context: two runs would write over each other's files."""
    folder.mkdir(parents=True, exist_ok=True)
    return steps.held(folder / steps.LOCK)


def run_guide(study: Study, name: str) -> None:
    """Execute a notebook beside the study; what it needs (see ``stages.NEEDS``) has to be there."""
    _keep_minutes(study, name, execute(study, name))


def is_executed(study: Study, name: str) -> bool:
    """Whether the executed copy is that of the stage's record: complete, and of this code.

    A stage that was run elsewhere (in JupyterLab, or killed before its last cell) has a
    record that is newer than its copy.
    """
    copy = executed_copy(study, name)
    record = study.folder / name / stages.RECORD
    if not copy.exists() or copy.stat().st_mtime < record.stat().st_mtime:
        return False
    try:
        return stages.code_cells(copy) == stages.code_cells(config.NOTEBOOKS / f"{name}.ipynb")
    except (ValueError, KeyError, TypeError):  # not a notebook: cut off, or written over
        return False


def peak_gb():
    """Most memory that this process and the largest it started have held, in GB (1e9 bytes).

    None where the system does not tell.
    """
    if resource is None:
        return None
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024
    return round(unit * sum(resource.getrusage(w).ru_maxrss for w in who) / 1e9, 2)


def _keep_minutes(study, name, minutes):
    """Remember how long a notebook took; README tells it."""
    spent = kept_seconds(study.folder / name) / 60
    if minutes < spent:  # long work that was only read again: what it took when it ran
        minutes = max(spent, _kept(study).get(name, 0))
    _keep(study, {name: round(minutes, 2), PROCESSOR: f"{processor()}, {n_cores()} cores"})


def _kept(study) -> dict:
    try:
        return dict(steps.read_json(study.folder / MINUTES))
    except (OSError, ValueError, TypeError):  # none yet, or cut off: only times are lost
        return {}


def _keep(study, entries):
    steps.write_json(study.folder / MINUTES, _kept(study) | entries, sort_keys=True)
