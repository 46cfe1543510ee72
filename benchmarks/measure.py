"""Timing of things that do the same work, in turns, so that a busy machine slows all alike."""

import os
import statistics
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the results.

    ``seconds`` and ``cpu_seconds`` are medians over the repeats, for the whole work. ``ratio``
    is the median over the rounds of the baseline's seconds divided by this one's in the same
    round: higher means faster than the baseline, which itself has 1. ``low`` and ``high`` are the
    least and the greatest of the rounds' ratios. Memory is the peak of the process, in MB: what
    it holds (``anonymous_mb``), and that with the pages of mapped files (``pss_mb``), which the
    system may drop at any time.
    """

    benchmark: str
    setting: str
    case: str
    n: int
    unit: str
    repeats: int
    seconds: float
    cpu_seconds: float
    ratio: float
    low: float
    high: float
    anonymous_mb: float = float("nan")
    pss_mb: float = float("nan")

    @property
    def per_second(self) -> float:
        """Units of work a second."""
        return self.n / self.seconds


def timed(work):
    """Seconds, processor seconds (of all threads and ended children) and result of a call."""
    wall, cpu = time.perf_counter(), _cpu_seconds()
    result = work()
    return time.perf_counter() - wall, _cpu_seconds() - cpu, result


def _cpu_seconds():
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def compare(benchmark, setting, cases, *, n, unit, repeats, agree=None):
    """Time several ways to do one thing, in turns, after one round that does not count.

    Parameters
    ----------
    benchmark, setting : str
    cases : dict of str to callable, or to (n, callable)
        The first is the baseline. A way too slow for all of the work does n of the units, and
        is taken to need time in proportion.
    n : int
        Units of work in a call.
    unit : str
        Of the work, plural: "slices".
    repeats : int
        Rounds that count.
    agree : callable, optional
        Gets the results of all cases as a dict; raises if they differ.

    Returns
    -------
    list of Row
        In the order of the cases.

    Examples
    --------
    >>> rows = compare("sums", "", {"loop": lambda: sum(range(9)), "known": lambda: 36},
    ...                n=9, unit="numbers", repeats=3)
    >>> [(row.case, row.repeats) for row in rows], rows[0].ratio
    ([('loop', 3), ('known', 3)], 1.0)
    """
    cases = {name: case if isinstance(case, tuple) else (n, case) for name, case in cases.items()}
    results = {name: work() for name, (_, work) in cases.items()}
    if agree is not None:
        agree(results)
    rounds = {name: [] for name in cases}
    for _ in range(repeats):
        for name, (own_n, work) in cases.items():
            seconds, cpu_seconds, _ = timed(work)
            rounds[name].append((seconds * n / own_n, cpu_seconds * n / own_n))
    first = [seconds for seconds, _ in next(iter(rounds.values()))]
    rows = []
    for name, measured in rounds.items():
        ratios = [base / own for base, (own, _) in zip(first, measured, strict=True)]
        rows.append(
            Row(
                benchmark,
                setting,
                name,
                n,
                unit,
                repeats,
                *(statistics.median(column) for column in zip(*measured, strict=True)),
                statistics.median(ratios),
                min(ratios),
                max(ratios),
            )
        )
    return rows
