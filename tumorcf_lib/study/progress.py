"""What a person sees on a terminal while something lasts: for how long, and how far it is."""

import re
import shutil
import sys
import threading
from contextlib import contextmanager

from tqdm import tqdm

from tumorcf_lib import steps

EVERY_S = 1.0
ENDED = "Ending Cell"  # papermill's own words in the log
NOT_NEWS = re.compile(  # papermill's own lines, TensorFlow's, and what stands for a picture
    r"^(Executing |Ending Cell|Input Notebook|Output Notebook|Working directory|<Figure)"
    r"|^[\dIWE][\d.:]* |^WARNING: All log|^\s*$"
)
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@contextmanager
def following(log, notebook, name):
    """Show a bar of the notebook's cells while it runs, fed by its log, on a terminal only."""
    style = "{desc}  cell {n_fmt}/{total_fmt} |{bar:16}| {elapsed}{postfix}"
    n_cells = len(steps.read_json(notebook)["cells"])
    with _refreshed(lambda bar: _show_log(bar, log, name), name, style, n_cells):
        yield


@contextmanager
def clock(words):
    """Show words and the time since, while something lasts, on a terminal only."""
    with _refreshed(lambda bar: bar.refresh(), words, "{desc} ... {elapsed}"):
        yield


@contextmanager
def _refreshed(refresh, words, style, total=None):
    """A bar that a thread of its own draws anew, and wipes at the end."""
    if not sys.stdout.isatty():
        yield
        return
    over, how = threading.Event(), {"file": sys.stdout, "leave": False, "dynamic_ncols": True}

    def draw():
        with tqdm(desc=words, bar_format=style, total=total, **how) as bar:
            while not over.wait(EVERY_S):
                refresh(bar)

    thread = threading.Thread(target=draw, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def read_log(text):
    """Cells finished so far and the last line of news (or state of a bar), from a log's text.

    >>> read_log("Executing Cell 1---\\nepoch 1/9\\nEnding Cell 1---\\nExecuting Cell 2---\\n")
    (1, 'epoch 1/9')
    >>> read_log("Executing Cell 1---\\naudit:  5%\\raudit:  9%\\n\\nI0000 00:00:17.1  oneDNN\\n")
    (0, 'audit:  9%')
    """
    lines = [ESCAPES.sub("", line).strip() for line in re.split(r"[\r\n]", text)]
    news = next((line for line in reversed(lines) if not NOT_NEWS.search(line)), "")
    return sum(line.startswith(ENDED) for line in lines), news


def _show_log(bar, log, name):
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    bar.n, news = read_log(text)
    room = shutil.get_terminal_size().columns - len(name) - 50
    bar.set_postfix_str(news[: max(room, 0)])  # draws the bar anew, too
