"""What the committed benchmarks say, in words: README's paragraph on speed.

Nothing here is typed: every number is read from ``benchmarks/results.csv``, which
``python -m benchmarks`` writes.
"""

import pandas as pd

from tumorcf_lib import config

FILE = "results.csv"
TIMES = {
    "read": ("reader", "later, and every pixel looked at"),
    "drawn": ("phantom", "phantom.make_cohort"),
    "removed": ("inpainting", "edits.remove"),
    "placed": ("sham places", "shams.legal_places"),
    "folded": ("network", "norms folded"),
    "trained": ("training", "as the profile trains"),
}
"""Times as fast as the obvious way: what is done -> benchmark and case."""

STAGES = ("reader", "preparation", "audit")
SMALL, LARGE = "x1", "x10"


class BenchmarksError(ValueError):
    """Results of benchmarks that lack a line which README tells of."""


def paragraph() -> str:
    """How much faster than the obvious way, and what ten times the slices cost."""
    path = config.ROOT / "benchmarks" / FILE
    if not path.is_file():
        return "The benchmarks are not published yet; `python -m benchmarks` makes them."
    return described(pd.read_csv(path).fillna({"setting": ""}))


def described(table) -> str:
    """The paragraph of a table of results.

    Parameters
    ----------
    table : DataFrame
        Columns of `benchmarks.measure.Row`; ratios are times the baseline's speed.

    Raises
    ------
    BenchmarksError
        If a line is missing, as after a run of only some benchmarks.
    """
    times = {what: _ratios(table, *where) for what, where in TIMES.items()}
    seconds = {
        name: _lines(table, "audit", name)["seconds"].iloc[0]
        for name in ("bare", "audit", "naive")
    }
    grown = [_growth(table, stage) for stage in STAGES]
    started = _lines(table, "start-up", "import tumorcf_lib")["seconds"].iloc[0]
    bare = _lines(table, "start-up", "bare interpreter")["seconds"].iloc[0]
    return (
        "In one run of `python -m benchmarks` ([tables and machine](benchmarks/RESULTS.md)), each "
        f"beside the obvious way to do the same: {times['read']} times as fast when the dataset is "
        "read again (against opening every `.mat`), "
        f"{times['drawn']} times in drawing phantoms (against resampling volumes slice by slice), "
        f"{times['removed']} times in removing tumors (against inpainting the whole slice), "
        f"{times['placed']} times in finding all places of a sham (against trying each). "
        f"The whole audit is {_short(seconds['naive'] / seconds['audit'])} times as fast as one "
        "edit at a time, and takes "
        f"{_short(seconds['audit'] / seconds['bare'])} times as long as the network alone on as "
        f"many slices; folding its batch norms makes the network {times['folded']} times as fast. "
        "With them folded, early blocks and depthwise kernels frozen, a step of training is "
        f"{times['trained']} times as fast as one of all layers with norms as built. "
        f"With ten times the slices, one slice takes {_listed(g[0] for g in grown)} times as "
        f"long ({', '.join(STAGES)}), and peak memory, apart from mapped files, grows by "
        f"{_listed(g[1] for g in grown)} MB. `import tumorcf_lib` {_start_up(started, bare)}."
    )


def _start_up(started, bare):
    """What the import adds to Python's own start, in words."""
    if started <= bare:
        return f"adds nothing measurable to Python's own start ({_short(bare)} s)"
    return f"takes {_short(started)} s, {_short(bare)} s of them Python's own"


def _lines(table, benchmark, case):
    """Lines of a benchmark whose case is this, or begins with it and a colon."""
    named = (table["case"] == case) | table["case"].str.startswith(f"{case}:")
    found = table[(table["benchmark"] == benchmark) & named]
    if found.empty:
        raise BenchmarksError(
            f"The results of the benchmarks have no line {case!r} of {benchmark!r}; run all of "
            "them: python -m benchmarks"
        )
    return found


def _ratios(table, benchmark, case):
    """Ratios of a case in all settings: "8.1", or "8.1 (224 px) and 30 (512 px)"."""
    found = _lines(table, benchmark, case)
    if len(found) == 1:
        return _short(found["ratio"].iloc[0])
    return " and ".join(
        f"{_short(row.ratio)} ({row.setting.split(', ')[-1]})" for row in found.itertuples()
    )


def _growth(table, stage):
    """Time of a slice and peak memory in MB of ten times the slices, against once."""
    own = table[table["setting"] == stage]
    small, large = (_lines(own, "cohort size", case).iloc[0] for case in (SMALL, LARGE))
    grown = large["anonymous_mb"] - small["anonymous_mb"]
    return _short(1 / large["ratio"]), "(not measured)" if pd.isna(grown) else f"{grown:.0f}"


def _listed(words):
    *first, last = words
    return f"{', '.join(first)} and {last}"


def _short(value):
    """Two digits: 0.12, 1.2, 12, 120."""
    return f"{float(f'{value:.2g}'):.10g}"
