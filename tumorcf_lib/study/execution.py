"""Execute one notebook by nbclient: copy, log, kernel, and what went wrong in words."""

import errno
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
     ./run_all.sh {options} --from {number}"""


class NotebookError(RuntimeError):
    """A notebook that stopped: which cell, what it said, where the executed copy is."""


def executed_copy(study, name: str) -> Path:
    """Where the executed copy of a notebook lies."""
    return study.folder / "notebooks" / f"{name}.ipynb"


def execute(study, name: str) -> float:
    """Run a notebook, whose copy gets its name when the last cell has ended; returns the minutes.

    NotebookError if a cell raises or the kernel dies or does not start; KeyboardInterrupt after
    its kernel was ended, and how to go on was said."""
    import nbformat
    from nbclient.exceptions import CellExecutionError
    from nbconvert.preprocessors import ClearOutputPreprocessor

    output = executed_copy(study, name)
    unfinished = output.with_name(f"{steps.UNFINISHED}{output.name}")
    log = output.with_suffix(".log")
    output.parent.mkdir(parents=True, exist_ok=True)
    print(f"{name:<20} running; follow it in {config.shown(log)}", flush=True)
    started, notebook = time.perf_counter(), nbformat.read(config.NOTEBOOKS / f"{name}.ipynb", 4)
    notebook, _ = ClearOutputPreprocessor().preprocess(notebook, {})
    go_on = GO_ON.format(options=stages.options(study), number=name[:2])
    with (
        open(log, "w", encoding="utf-8") as stream,
        progress.clock(name, BAR, len(notebook.cells)) as bar,
    ):
        client = _client(notebook, stream, bar)
        manager = client.create_kernel_manager()
        how = {"env": _environment(study), "cwd": str(config.ROOT), "stderr": stream}
        with _interrupts(manager) as interrupts:
            try:
                with client.setup_kernel(**how):
                    for index, cell in enumerate(notebook.cells):
                        client.execute_cell(cell, index)
                        bar.update()
                    client.set_widgets_metadata()
            except (CellExecutionError, RuntimeError) as error:  # a kernel's is a RuntimeError
                nbformat.write(notebook, unfinished)
                if interrupts:
                    print(f"\n{name} was stopped. {go_on}", flush=True)
                    raise KeyboardInterrupt from None
                told = _what_stopped(name, client, manager, error)
                told += f"\nExecuted so far: {config.shown(unfinished)}"
                told += f"\nWhat it printed: {config.shown(log)}"
                is_failure = isinstance(error, CellExecutionError)
                if not is_failure or any(words in told for words in NO_ROOM):
                    told += ADVICE.format(go_on=go_on)
                raise NotebookError(told) from None
    nbformat.write(notebook, unfinished)
    unfinished.replace(output)
    return (time.perf_counter() - started) / 60


def _client(notebook, stream, bar):
    """What executes a notebook's cells; their text goes to a log, its last line to the bar."""
    from nbclient import NotebookClient

    class Client(NotebookClient):
        def output(self, *message):
            made = super().output(*message)
            if made and made.output_type == "stream":
                stream.write(made.text)
                stream.flush()
                lines = re.split(r"[\r\n]+", COLORS.sub("", made.text).strip())
                bar.set_postfix_str(lines[-1], refresh=False)
            return made

    return Client(
        notebook,
        kernel_name="python3",
        startup_timeout=START_TIMEOUT_S,
        raise_on_iopub_timeout=True,
        coalesce_streams=True,
        record_timing=False,
        shutdown_kernel="immediate",  # nothing is left to do: it would wait for seconds
    )


def _environment(study):
    """What a kernel inherits, so that no cell has to be added to a notebook."""
    own = {"TUMORCF_PROFILE": study.profile.name, "TUMORCF_SEED": str(study.seed)}
    paths = filter(None, [str(config.ROOT), os.environ.get("PYTHONPATH")])
    return os.environ | own | {"PYTHONPATH": os.pathsep.join(paths)}


@contextmanager
def _interrupts(manager):
    """A list of the interrupts so far; each ends the kernel, which its client notices.

    Amid asyncio a ``KeyboardInterrupt`` may get lost: what it meets on its way up may raise
    something else in its place, and Python drops it while it collects garbage."""
    seen, before = [], signal.getsignal(signal.SIGINT)

    def end_kernel(number, frame):
        process = getattr(manager.provisioner, "process", None)
        if process is None:  # it is not launched yet
            return before(number, frame)
        seen.append(number)
        return process.kill()

    is_heard = threading.current_thread() is threading.main_thread() and callable(before)
    if is_heard:
        signal.signal(signal.SIGINT, end_kernel)
    try:
        yield seen
    finally:
        if is_heard:
            signal.signal(signal.SIGINT, before)


def _what_stopped(name, client, manager, error) -> str:
    """Which cell, by its number as Jupyter counts and its first line, and what happened to it."""
    number = client.code_cells_executed
    if not number:
        return f"{name} could not begin: its kernel did not start ({error})."
    code = [cell.source for cell in client.nb.cells if cell.cell_type == "code"]
    source = [text for text in code if text.strip()][number - 1]
    lines = [line for line in source.splitlines() if line.strip() and not line.startswith("#")]
    if hasattr(error, "ename"):
        what = COLORS.sub("", f"{error.ename}: {error.evalue}")
    else:
        status = getattr(manager.provisioner.process, "returncode", None)
        what = DEATHS.get(status, f"ended with status {status}, by an error inside a package")
        what = f"Its kernel {what}."
    return f"{name} stopped at cell [{number}], which begins with\n    {(lines or [''])[0]}\n{what}"
