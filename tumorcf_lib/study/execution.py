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
BAR = "{desc}  cell {n_fmt}/{total_fmt} |{bar:16}| {elapsed}{postfix}"
COLORS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
NO_NEWS = ("Executing ", "Input Notebook", "Output Notebook", "Working directory", "<", "I0000 ")
"""How papermill's own lines begin, what stands for a picture or a text, and TensorFlow's news."""

RUNNING = []
"""Managers of the kernels that run now."""

DEATHS = {
    -9: "was ended by signal 9, most often because memory ran out",
    -7: "was ended by signal 7 (SIGBUS), most often because the disk is full",
    -4: "was ended by signal 4 (SIGILL): a package was built for a newer processor",
}
"""Exit status of a kernel -> most likely why; others are by request or a package's own error."""

NO_ROOM = ("MemoryError", "ResourceExhaustedError")
NO_ROOM += (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
"""What a cell's error says where memory or the disk is full."""

ADVICE = """
What to try:
  1. if memory ran out, close other programs, above all browsers and other notebooks;
  2. if the disk is full, free some room, or let runs write elsewhere (TUMORCF_RUNS=<folder>);
  3. go on. {go_on}
  4. a smaller profile: ./run_all.sh --profile demo"""
GO_ON = """What is half written does not count; finished notebooks, training epochs and rows are \
kept. To go on:
     {again}"""


class NotebookError(RuntimeError):
    """A notebook that stopped: which cell, what it said, where the executed copy is."""


def executed_copy(study, name: str) -> Path:
    """Where the executed copy of a notebook lies."""
    return study.folder / "notebooks" / f"{name}.ipynb"


def execute(study, name: str, interrupts, *, begins="") -> float:
    """Run a notebook, whose copy gets its name when the last cell has ended; returns the minutes.

    ``interrupts``: from :func:`interrupted`; ``begins``: the first of the notebooks that run at
    once, with which ``run_all.sh`` goes on. NotebookError if a cell raises or the kernel dies or
    does not start; KeyboardInterrupt after its kernel was ended, and how to go on was said."""
    import papermill

    output = executed_copy(study, name)
    unfinished = output.with_name(f"{steps.UNFINISHED}{output.name}")
    log = output.with_suffix(".log")
    output.parent.mkdir(parents=True, exist_ok=True)
    line = f"{name:<20} running; follow it in {config.shown(log)}\n"
    print(line, end="", flush=True)  # in one piece: another notebook may say so just now
    started, source = time.perf_counter(), config.NOTEBOOKS / f"{name}.ipynb"
    again = f"./run_all.sh {stages.options(study)} --from {begins[:2]}"
    go_on = GO_ON.format(again=again if begins else "give the same command again")
    with (
        progress.clock(name, BAR, len(steps.read_json(source)["cells"])) as bar,
        _log_to(log, bar) as stream,
        _kernels(interrupts, env=_environment(study), stderr=stream) as (manager, kernels),
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
        except (papermill.PapermillExecutionError, KeyboardInterrupt, RuntimeError) as error:
            if interrupts or isinstance(error, KeyboardInterrupt):
                print(f"\n{name} was stopped. {go_on}", flush=True)
                raise KeyboardInterrupt from None
            is_failure = isinstance(error, papermill.PapermillExecutionError)
            if not is_failure and "ernel" not in str(error):  # one that died, or did not start
                raise
            told = _what_stopped(name, unfinished, kernels, error)
            told += f"\nExecuted so far: {config.shown(unfinished)}"
            told += f"\nWhat it printed: {config.shown(log)}"
            if not is_failure or any(words in told for words in NO_ROOM):
                told += ADVICE.format(go_on=go_on)
            raise NotebookError(told) from None
    unfinished.replace(output)
    return (time.perf_counter() - started) / 60


def _environment(study):
    """What a kernel inherits, so that no cell has to be added to a notebook."""
    own = {"TUMORCF_PROFILE": study.profile.name, "TUMORCF_SEED": str(study.seed)}
    own["TUMORCF_RUNS"] = str(study.folder.parent)
    paths = filter(None, [str(config.ROOT), os.environ.get("PYTHONPATH")])
    return os.environ | own | {"PYTHONPATH": os.pathsep.join(paths)}


@contextmanager
def _log_to(path, bar):
    """Send what kernels print to a file, and its last line and finished cells to the bar."""

    class Handler(logging.FileHandler):
        thread = threading.get_ident()  # each of several notebooks at once has a log of its own

        def filter(self, record):
            return record.thread == self.thread

        def emit(self, record):
            super().emit(record)
            text = COLORS.sub("", record.getMessage()).strip()
            if text.startswith("Ending Cell"):
                bar.update()
            elif text and not text.startswith(NO_NEWS):
                bar.set_postfix_str(re.split(r"[\r\n]+", text)[-1], refresh=False)

    logger, handler = logging.getLogger("papermill"), Handler(path, mode="w", encoding="utf-8")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield handler.stream
    finally:
        logger.removeHandler(handler)
        handler.close()


@contextmanager
def _kernels(interrupts, **how):
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
            RUNNING.append(self)
            await super().start_kernel(**how, **options)
            if interrupts:  # meanwhile
                _process(self).kill()

    try:
        yield Manager, made
    finally:
        for manager in made:
            RUNNING.remove(manager)
            if manager.has_kernel:
                run_sync(manager.shutdown_kernel)(now=True)


@contextmanager
def interrupted():
    """A list of the interrupts so far; each of them ends all kernels at once.

    ``KeyboardInterrupt`` alone is not enough: what it meets on its way up may raise something
    else in its place, and Python drops it while it collects garbage. A dead kernel is noticed.
    """
    seen, before = [], signal.getsignal(signal.SIGINT)

    def end_kernels(number, frame):
        seen.append(number)
        # What still waited for the kernel fails; asyncio would print that and help nobody
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        for process in map(_process, list(RUNNING)):  # the other threads may end theirs just now
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


def _what_stopped(name, copy, kernels, error) -> str:
    """Which cell, by its number as Jupyter counts and its first line, and what happened to it."""
    cells = [c for c in steps.read_json(copy)["cells"] if c["cell_type"] == "code"]
    cells = [cell for cell in cells if "".join(cell["source"]).strip()]
    begun = [cell for cell in cells if cell["metadata"].get("papermill", {}).get("start_time")]
    if not begun:
        return f"{name} could not begin: its kernel did not start ({error})."
    lines = "".join(begun[-1]["source"]).splitlines()
    lines = [line for line in lines if line.strip() and not line.startswith("#")]
    if hasattr(error, "ename"):
        what = COLORS.sub("", f"{error.ename}: {error.evalue}")
    else:
        status = getattr(_process(kernels[-1]), "returncode", None)
        what = DEATHS.get(status, f"ended with status {status}, by an error inside a package")
        what = f"Its kernel {what}."
    begins = f"which begins with\n    {(lines or [''])[0]}"
    return f"{name} stopped at cell [{len(begun)}], {begins}\n{what}"
