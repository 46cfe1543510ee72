"""Run the notebooks in order by papermill, skipping what still holds."""

import json
import logging
import os
import re
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from tumorcf_lib import paths, progress, reference, results, stages
from tumorcf_lib.runtime import Study


class NotebookError(RuntimeError):
    """A notebook that stopped: which cell, what it said, where the executed copy is."""


def run(study: Study, *, first="01", last="06", fresh=False, published=False) -> list[dict]:
    """Execute the notebooks ``first`` to ``last`` and print a line for each.

    With ``published``, or where the run begins after 03 and nobody began to train here, the
    published weights take the place of 03, if there are any for this profile and seed: what
    they need of 01 and 02 is run, too. See :mod:`tumorcf_lib.reference`.

    Returns
    -------
    list of dict
        One entry a notebook: ``name``, ``minutes`` (0 if skipped), ``wrote``.

    Raises
    ------
    NotebookError
        At the first notebook that fails.
    tumorcf_lib.reference.ReferenceWeightsError
        If the published weights were asked for and cannot be used.
    """
    begin, end = (stages.NAMES.index(stages.find_stage(value)) for value in (first, last))
    if begin > end:
        raise stages.StageError(f"--from {first} comes after --to {last}: nothing to run.")
    names = asked = stages.NAMES[begin : end + 1]
    published = published or reference.wanted(study, asked)
    if published:
        earlier = stages.NEEDS["04_evaluation"]
        names = [n for n in stages.NAMES[: end + 1] if n in asked or n in earlier]
    done = []
    for name in names:
        reason = "--fresh was given" if fresh and name in asked else stages.why_stale(study, name)
        if published and name == reference.STAGE:
            if reason or not reference.is_installed(study):
                reference.install(study)
            minutes, note = 0.0, "published weights, not trained here"
        elif reason is None and is_executed(study, name):
            minutes, note = 0.0, "up to date, skipped"
        else:
            minutes, note = _execute(study, name, fresh=fresh), "wrote"
            _keep_minutes(study, name, minutes)
        wrote = stages.summary(stages.record(study, name))
        print(f"{name:<20} {minutes:5.1f} min  {note}: {wrote}", flush=True)
        done.append({"name": name, "minutes": minutes, "wrote": wrote})
    if reference.is_installed(study):
        for sentence in reference.sentences(reference.compare(study)):
            print(sentence)
    print(f"Executed notebooks, tables and figures: {paths.shown(study.folder)}")
    return done


def run_guide(study: Study, name: str) -> None:
    """Execute a notebook beside the study; what it needs (see ``stages.NEEDS``) has to be there."""
    minutes = _execute(study, name)
    _keep_minutes(study, name, minutes)


def executed_copy(study: Study, name: str) -> Path:
    """Where the executed copy of a notebook lies."""
    return study.folder / "notebooks" / f"{name}.ipynb"


def is_executed(study: Study, name: str) -> bool:
    """Whether the executed copy is that of the stage's record: complete, and of this code.

    A stage that was run elsewhere (in JupyterLab, or killed before its last cell) has a
    record that is newer than its copy.
    """
    copy = executed_copy(study, name)
    record = study.folder / name / stages.RECORD
    if not copy.exists() or copy.stat().st_mtime < record.stat().st_mtime:
        return False
    cells = stages.code_cells(copy)
    return cells == stages.code_cells(paths.NOTEBOOKS / f"{name}.ipynb")


def _execute(study, name, *, fresh=False) -> float:
    import papermill
    from nbclient.exceptions import DeadKernelError

    output = executed_copy(study, name)
    output.parent.mkdir(parents=True, exist_ok=True)
    log = output.with_suffix(".log")
    print(f"{name:<20} running; follow it in {paths.shown(log)}", flush=True)
    started = time.perf_counter()
    source = paths.NOTEBOOKS / f"{name}.ipynb"
    with _environment(study, fresh), _log_to(log), progress.following(log, source, name):
        try:
            papermill.execute_notebook(
                str(source), str(output), cwd=str(paths.ROOT),
                kernel_name="python3", progress_bar=False, log_output=True,
                extra_arguments=["--log-level=ERROR"],
            )  # fmt: skip
        except papermill.PapermillExecutionError as error:
            raise NotebookError(_failure(name, error, output)) from None
        except DeadKernelError:
            raise NotebookError(
                f"{name} stopped: its kernel died, most often for lack of memory.\n"
                f"Executed so far: {paths.shown(output)}\nWhat it printed: {paths.shown(log)}\n"
                "Try a smaller profile (--profile demo), close other programs, and run again: "
                "finished notebooks and training epochs are kept."
            ) from None
    return (time.perf_counter() - started) / 60


def _keep_minutes(study, name, minutes):
    """Remember how long a notebook took; README tells it."""
    path = study.folder / "minutes.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    spent = results.kept_seconds(study.folder / name) / 60
    if minutes < spent:  # long work that was only read again: what it took when it ran
        minutes = max(spent, kept.get(name, 0))
    kept[name] = round(minutes, 2)
    path.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


def _failure(name, error, output) -> str:
    source = error.source.strip().splitlines()
    first = next((line for line in source if line.strip() and not line.startswith("#")), "")
    message = re.sub(r"\x1b\[[0-9;]*m", "", str(error.evalue))
    return (
        f"{name} stopped at cell [{error.exec_count}], which begins with\n    {first}\n"
        f"{error.ename}: {message}\nExecuted copy with the full traceback: {paths.shown(output)}"
    )


@contextmanager
def _environment(study, fresh):
    """What a kernel inherits, so that no cell has to be added to a notebook."""
    before = dict(os.environ)
    os.environ["TUMORCF_PROFILE"] = study.profile.name
    os.environ["TUMORCF_SEED"] = str(study.seed)
    os.environ.setdefault("MALLOC_ARENA_MAX", "1")  # saves TensorFlow's kernels memory on Linux
    os.environ["TUMORCF_FRESH"] = "1" if fresh else ""
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(paths.ROOT), before.get("PYTHONPATH")])
    )
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _log_to(path: Path):
    """Send what kernels print to a file, so that long work can be followed from outside.

    TensorFlow's own lines go to the process's error channel, which kernels inherit.
    """
    logger, handler = logging.getLogger("papermill"), logging.FileHandler(path, mode="w")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    sys.stderr.flush()
    channel = os.dup(2)
    os.dup2(handler.stream.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(channel, 2)
        os.close(channel)
        logger.removeHandler(handler)
        handler.close()
