"""The audit of a reader's own classifier on a reader's own slices, and its report."""

import sys

LOG_SECONDS = 30
TITLE = "Does the classifier look at the tumor?"


class InputError(ValueError):
    """What a user can correct: says what was expected, what came, where, and what to do."""


def counting(words, n, *, disable=False):
    """A bar of n slices in a terminal; elsewhere a line every half minute."""
    from tqdm import tqdm

    class Lines(tqdm):
        @staticmethod
        def status_printer(file):
            return lambda text: print(text, file=file, flush=True)

    if sys.stderr.isatty():
        return tqdm(total=n, desc=words, unit="slice", disable=disable)
    form = f"{words} {{n_fmt}} of {{total_fmt}} slices, {{remaining}} left"
    every = dict.fromkeys(("mininterval", "maxinterval", "delay"), LOG_SECONDS)
    return Lines(total=n, bar_format=form, disable=disable, **every)
