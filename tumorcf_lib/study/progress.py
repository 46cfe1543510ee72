"""What a person sees on a terminal while something lasts: for how long, and how far it is."""

import sys
import threading
from contextlib import contextmanager

from tqdm import tqdm

EVERY_S = 1.0


@contextmanager
def clock(words, style="{desc} ... {elapsed}", total=None):
    """Show words and the time since, while something lasts, on a terminal only; yields the bar."""
    how = {"leave": False, "dynamic_ncols": True, "disable": not sys.stdout.isatty()}
    over = threading.Event()
    with tqdm(desc=words, bar_format=style, total=total, file=sys.stdout, **how) as bar:

        def draw():
            while not over.wait(EVERY_S):
                bar.refresh()

        thread = threading.Thread(target=draw, daemon=True)
        thread.start()
        try:
            yield bar
        finally:
            over.set()
            thread.join()
