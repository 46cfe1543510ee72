"""Run the notebooks in order by papermill, skipping what still holds."""

import json
import logging
import os
import re
import time
from pathlib import Path

from tumorcf_lib import paths, stages
from tumorcf_lib.runtime import Study


class NotebookError(RuntimeError):
    """A notebook that stopped: which cell, what it said, where the executed copy is."""


def run(study: Study, *, first="01", last="06", fresh=False) -> list[dict]:
    """Execute the notebooks ``first`` to ``last`` and print a line for each.

    Returns
    -------
    list of dict
        One entry a notebook: ``name``, ``minutes`` (0 if skipped), ``wrote``.

    Raises
    ------
    NotebookError
        At the first notebook that fails.
    """
    begin, end = (stages.NAMES.index(stages.find_stage(value)) for value in (first, last))
    done = []
    for name in stages.NAMES[begin : end + 1]:
        reason = "--fresh was given" if fresh else stages.why_stale(study, name)
        if reason is None and executed_copy(study, name).exists():
            minutes, note = 0.0, "up to date, skipped"
        else:
            print(f"{name:<20} ...", end="\r", flush=True)
            minutes, note = _execute(study, name), "wrote"
            _keep_minutes(study, name, minutes)
        wrote = stages.summary(stages.record(study, name))
        print(f"{name:<20} {minutes:5.1f} min  {note}: {wrote}", flush=True)
        done.append({"name": name, "minutes": minutes, "wrote": wrote})
    print(f"Executed notebooks, tables and figures: {_short(study.folder)}")
    return done


def executed_copy(study: Study, name: str) -> Path:
    """Where the executed copy of a notebook lies."""
    return study.folder / "notebooks" / f"{name}.ipynb"


def _execute(study, name) -> float:
    import papermill
    from nbclient.exceptions import DeadKernelError

    output = executed_copy(study, name)
    output.parent.mkdir(parents=True, exist_ok=True)
    log = output.with_suffix(".log")
    environment = {
        "TUMORCF_PROFILE": study.profile.name,
        "TUMORCF_SEED": str(study.seed),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(paths.ROOT), os.environ.get("PYTHONPATH")])),
    }
    os.environ.update(environment)  # the kernel inherits it: no cell has to be added
    started = time.perf_counter()
    with _log_to(log):
        try:
            papermill.execute_notebook(
                str(paths.NOTEBOOKS / f"{name}.ipynb"), str(output), cwd=str(paths.ROOT),
                kernel_name="python3", progress_bar=False, log_output=True,
                extra_arguments=["--log-level=ERROR"],
            )  # fmt: skip
        except papermill.PapermillExecutionError as error:
            raise NotebookError(_failure(name, error, output)) from None
        except DeadKernelError:
            raise NotebookError(
                f"{name} stopped: its kernel died, most often for lack of memory.\n"
                f"Executed so far: {_short(output)}\nWhat it printed: {_short(log)}\n"
                "Try a smaller profile (--profile demo), close other programs, and run again: "
                "finished notebooks and training epochs are kept."
            ) from None
    return (time.perf_counter() - started) / 60


def _keep_minutes(study, name, minutes):
    """Remember how long a notebook took; README tells it."""
    path = study.folder / "minutes.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    kept[name] = round(minutes, 2)
    path.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


def _failure(name, error, output) -> str:
    source = error.source.strip().splitlines()
    first = next((line for line in source if line.strip() and not line.startswith("#")), "")
    message = re.sub(r"\x1b\[[0-9;]*m", "", str(error.evalue))
    return (
        f"{name} stopped at cell [{error.exec_count}], which begins with\n    {first}\n"
        f"{error.ename}: {message}\nExecuted copy with the full traceback: {_short(output)}"
    )


class _log_to:
    """Send what kernels print to a file, so that long work can be followed from outside."""

    def __init__(self, path: Path):
        self._handler = logging.FileHandler(path, mode="w")

    def __enter__(self):
        logger = logging.getLogger("papermill")
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(self._handler)

    def __exit__(self, *_):
        logging.getLogger("papermill").removeHandler(self._handler)
        self._handler.close()


def _short(path: Path) -> str:
    """A path as a reader in the repository would type it."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return str(path)
