"""The audit of a reader's own classifier on a reader's own slices, and its report."""

import sys

LOG_SECONDS = 30
TITLE = "Does the classifier look at the tumor?"


class InputError(ValueError):
    """What a user can correct: says what was expected, what came, where, and what to do."""


def counting(words, n):
    """A bar of n slices; outside a terminal it is drawn every half minute only."""
    from tqdm import tqdm

    rarely = dict.fromkeys(("mininterval", "maxinterval", "delay"), LOG_SECONDS)
    how = {} if sys.stderr.isatty() else rarely
    return tqdm(total=n, desc=words, unit="slice", **how)
