"""Execute one notebook by papermill: copy, log, kernel, and what went wrong in words."""

import errno
import logging
import os
import re
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from tumorcf_lib import config, steps
from tumorcf_lib.study import progress, stages

START_TIMEOUT_S = 600  # for a kernel to answer, on a machine that is busy or swaps

DEATHS = {
    "SIGKILL": "most often because memory ran out",
    "SIGBUS": "most often because the disk is full",
    "SIGILL": "because a package was built for a newer processor",
}
"""Signal that ended a kernel -> most likely why."""

OTHER_DEATH = "because it was asked to, memory was refused, or by an error inside a package"
NO_MEMORY = ("MemoryError", "_ArrayMemoryError", "ResourceExhaustedError")
NO_ROOM = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))


class NotebookError(RuntimeError):
    """A notebook that stopped: which cell, what it said, where the executed copy is."""


def executed_copy(study, name: str) -> Path:
    """Where the executed copy of a notebook lies."""
    return study.folder / "notebooks" / f"{name}.ipynb"


def execute(study, name: str, *, fresh=False) -> float:
    """Run a notebook, whose copy gets its name when the last cell has ended; returns the minutes.

    With ``fresh``, long work that is kept is made again. NotebookError if a cell raises or the
    kernel dies or does not start; KeyboardInterrupt after its kernel was ended, and how to go on
    was said."""
    import papermill
    from nbclient.exceptions import DeadKernelError

    output = executed_copy(study, name)
    unfinished = output.with_name(f"{steps.UNFINISHED}{output.name}")
    log = output.with_suffix(".log")
    output.parent.mkdir(parents=True, exist_ok=True)
    print(f"{name:<20} running; follow it in {config.shown(log)}", flush=True)
    started, source = time.perf_counter(), config.NOTEBOOKS / f"{name}.ipynb"
    with (
        _log_to(log) as stream,
        progress.following(log, source, name),
        _kernels(env=_environment(study, fresh), stderr=stream) as (manager, kernels),
        _interrupts(kernels) as interrupts,
    ):
        try:
            papermill.execute_notebook(
                str(source),
                str(unfinished),
                cwd=str(config.ROOT),
                kernel_name="python3",
                kernel_manager_class=manager,
                start_timeout=START_TIMEOUT_S,
                progress_bar=False,
                log_output=True,
                extra_arguments=["--log-level=ERROR"],
                coalesce_streams=True,
                shutdown_kernel="immediate",  # nothing is left to do: it would wait for seconds
            )
        except papermill.PapermillExecutionError as error:
            raise NotebookError(_failure(study, name, error, unfinished)) from None
        except (KeyboardInterrupt, RuntimeError) as error:  # a dead kernel is a RuntimeError
            if interrupts or isinstance(error, KeyboardInterrupt):
                print(f"\n{name} was stopped. {_how_to_go_on(study, name)}", flush=True)
                raise KeyboardInterrupt from None
            if isinstance(error, DeadKernelError):
                raise NotebookError(_death(study, name, kernels, unfinished, log)) from None
            if "ernel" not in str(error):  # how its manager speaks of one that did not start
                raise
            raise NotebookError(
                f"{name} could not begin: its kernel did not start ({error}).\n"
                f"What it printed: {config.shown(log)}\n{_what_to_try(study, name)}"
            ) from None
    unfinished.replace(output)
    return (time.perf_counter() - started) / 60


def _environment(study, fresh):
    """What a kernel inherits, so that no cell has to be added to a notebook."""
    own = {"TUMORCF_PROFILE": study.profile.name, "TUMORCF_SEED": str(study.seed)}
    own |= {"TUMORCF_FRESH": "1" if fresh else ""}
    paths = filter(None, [str(config.ROOT), os.environ.get("PYTHONPATH")])
    memory = {"MALLOC_ARENA_MAX": "1"}  # saves TensorFlow's kernels memory on Linux
    return memory | os.environ | own | {"PYTHONPATH": os.pathsep.join(paths)}


@contextmanager
def _log_to(path: Path):
    """Send what kernels print to a file, so that long work can be followed from outside."""
    logger = logging.getLogger("papermill")
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield handler.stream
    finally:
        logger.removeHandler(handler)
        handler.close()


@contextmanager
def _kernels(**how):
    """A class of kernel managers and the list of those made; no kernel outlives the block.

    What runs the notebook ends its kernel itself, but for one that is just starting when the
    run is interrupted. TensorFlow's own lines go to a kernel's ``stderr``.
    """
    from jupyter_client import AsyncKernelManager
    from jupyter_core.utils import run_sync

    made = []

    class Manager(AsyncKernelManager):
        async def start_kernel(self, **options):
            made.append(self)
            await super().start_kernel(**how, **options)

    try:
        yield Manager, made
    finally:
        for manager in made:
            if manager.has_kernel:
                run_sync(manager.shutdown_kernel)(now=True)


@contextmanager
def _interrupts(kernels):
    """A list of the interrupts so far; each of them ends the kernel at once.

    ``KeyboardInterrupt`` alone is not enough: what it meets on its way up may raise something
    else in its place, and Python drops it while it collects garbage. A dead kernel is noticed.
    """
    seen, before = [], signal.getsignal(signal.SIGINT)

    def end_kernels(number, frame):
        seen.append(number)
        # What still waited for the kernel fails; asyncio would print that and help nobody
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        for process in map(_process, kernels):
            if process is not None:
                process.kill()
        before(number, frame)

    is_heard = threading.current_thread() is threading.main_thread() and callable(before)
    if is_heard:
        signal.signal(signal.SIGINT, end_kernels)
    try:
        yield seen
    finally:
        if is_heard:
            signal.signal(signal.SIGINT, before)


def _process(manager):
    return getattr(manager.provisioner, "process", None)


def _failure(study, name, error, copy) -> str:
    """A cell that raised: which one, what it said, where to read the rest; what may help."""
    message = re.sub(r"\x1b\[[0-9;]*m", "", str(error.evalue))
    text = (
        f"{_stopped_at(name, error.exec_count, error.source)}{error.ename}: {message}\n"
        f"Executed copy with the full traceback: {config.shown(copy)}"
    )
    is_short = error.ename in NO_MEMORY or any(words in message for words in NO_ROOM)
    return f"{text}\n{_what_to_try(study, name)}" if is_short else text


def _death(study, name, kernels, copy, log) -> str:
    """A kernel that died: in which cell, how, and what may help."""
    code = [c for c in steps.read_json(copy)["cells"] if c["cell_type"] == "code"]
    code = [cell for cell in code if "".join(cell["source"]).strip()]
    begun = [cell for cell in code if cell["metadata"].get("papermill", {}).get("start_time")]
    number = max(len(begun), 1)
    status = getattr(_process(kernels[-1]), "returncode", None)
    return (
        f"{_stopped_at(name, number, ''.join(code[number - 1]['source']))}"
        f"Its kernel {_how_it_died(status)}.\nWhat it printed: {config.shown(log)}\n"
        f"Executed so far: {config.shown(copy)}\n{_what_to_try(study, name)}"
    )


def _stopped_at(name, number, source) -> str:
    """Which cell, by its number as Jupyter counts and its first line that says something."""
    lines = [line for line in source.splitlines() if line.strip() and not line.startswith("#")]
    return f"{name} stopped at cell [{number}], which begins with\n    {(lines or [''])[0]}\n"


def _how_it_died(status) -> str:
    """Words on a kernel's exit status (below 0: a signal; None: unknown).

    >>> _how_it_died(-9)
    'was ended by signal 9, most often because memory ran out'
    """
    if status is None or status >= 0:
        return f"ended itself (status {status}), {OTHER_DEATH}"
    name = next((known.name for known in signal.Signals if known == -status), "")
    return f"was ended by signal {-status}, {DEATHS.get(name, OTHER_DEATH)}"


def _what_to_try(study, name) -> str:
    advice = [
        "if memory ran out, close other programs, above all browsers and other notebooks;",
        "if the disk is full, free some room, or let runs write elsewhere (TUMORCF_RUNS=<folder>);",
        f"go on. {_how_to_go_on(study, name)}",
    ]
    if study.profile.name not in ("smoke", "demo"):
        advice.append("a smaller profile: ./run_all.sh --profile demo")
    return "\n".join(["What to try:", *(f"  {k}. {words}" for k, words in enumerate(advice, 1))])


def _how_to_go_on(study, name) -> str:
    return (
        "What is half written does not count; finished notebooks, training epochs and rows are "
        f"kept. To go on:\n     ./run_all.sh {stages.options(study)} --from {name[:2]}"
    )
