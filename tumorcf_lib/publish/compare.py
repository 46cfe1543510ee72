"""Two runs compared file by file: what is the same, and how far the rest differs.

Two clean runs of equal profile and seed on one machine agree in every byte. Across machines and
numbers of threads they agree within the rounding of float32.
"""

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.study import results, stages

PROBABILITY = "p_"
"""Begins the names of columns that hold probabilities."""

KINDS = (
    ("splits", lambda name: name.endswith("/split.csv")),
    ("figures", lambda name: "/figures/" in name),
    ("rows", lambda name: name.endswith(".csv.gz")),
    ("tables", lambda name: name.endswith(".csv")),
    ("numbers", lambda name: name.endswith(".json")),
    ("inputs", lambda name: name.endswith(".npy")),
    ("weights", lambda name: name.endswith(".npz")),
    ("others", lambda name: True),
)
"""Kind of file -> whether a name is of it; the first that fits counts."""


class NoRunError(ValueError):
    """A folder in which no stage of a run was ever finished."""


@dataclass(frozen=True)
class Gap:
    """How far two tables are apart: the largest difference of a probability (``p``) and of any
    other number (inf where one is missing), cells of text that differ, rows that one has more,
    and the column of the largest difference."""

    p: float = 0.0
    number: float = 0.0
    n_words: int = 0
    n_rows: int = 0
    where: str = ""


@dataclass(frozen=True)
class Comparison:
    """Names of files in both runs that agree, that differ, and of those in one run only."""

    same: tuple[str, ...]
    different: tuple[str, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether both runs hold the same files with the same bytes."""
        return not (self.different or self.only_first or self.only_second)


def contents(folder) -> dict[str, str]:
    """"stage/file" -> SHA-256 of every result that finished stages recorded, or "missing".

    Logs, executed notebooks and long work's own folders do not count: they hold times.
    """
    folder, found = Path(folder), {}
    for stage in stages.NAMES:
        if not (folder / stage / stages.RECORD).is_file():
            continue
        kept = stages.read_record(folder, stage)
        names = [f"{stage}/{file}" for file in kept["hashes"]]
        ends = (*results.FIGURE_FORMATS, ".csv")
        names += [f"{stage}/figures/{name}{end}" for name in kept["figures"] for end in ends]
        for name in names:
            path = folder / name
            found[name] = steps.file_sha256(path) if path.is_file() else "missing"
    if not found:
        raise NoRunError(
            f"Expected the folder of a run, such as runs/demo, got {config.shown(folder)}, in "
            "which no notebook was ever finished. Run it by ./run_all.sh --profile <name>."
        )
    return found


def compare(first: dict[str, str], second: dict[str, str]) -> Comparison:
    """Which files of two runs agree, from their :func:`contents`.

    >>> found = compare({"a.csv": "12", "b.csv": "34"}, {"a.csv": "12", "b.csv": "56"})
    >>> found.different, found.agrees
    (('b.csv',), False)
    """
    both = [name for name in first if name in second]
    return Comparison(
        same=tuple(name for name in both if first[name] == second[name]),
        different=tuple(name for name in both if first[name] != second[name]),
        only_first=tuple(name for name in first if name not in second),
        only_second=tuple(name for name in second if name not in first),
    )


def table_gap(first, second) -> Gap:
    """How far two tables of equal columns are apart, row by row.

    >>> one = pd.DataFrame({"p_glioma": [0.5, 0.25], "effect": [1.0, 2.0], "verdict": ["a", "b"]})
    >>> other = one.assign(p_glioma=[0.5, 0.75], verdict=["a", "c"])
    >>> gap = table_gap(one, other)
    >>> gap.p, gap.number, gap.n_words, gap.where
    (0.5, 0.0, 1, 'p_glioma')
    """
    if list(first.columns) != list(second.columns):
        raise ValueError(f"Columns {list(first.columns)} and {list(second.columns)} differ.")
    n = min(len(first), len(second))
    largest, where, n_words = {True: 0.0, False: 0.0}, "", 0
    for column in first:
        a, b = first[column].iloc[:n], second[column].iloc[:n]
        if not (_is_number(a) and _is_number(b)):
            n_words += int((a.astype(str).to_numpy() != b.astype(str).to_numpy()).sum())
            continue
        gap = (a.astype(float) - b.astype(float)).abs()
        gap = gap.mask(a.isna() & b.isna(), 0.0).fillna(float("inf"))
        worst, is_p = float(gap.max()) if n else 0.0, column.startswith(PROBABILITY)
        if worst > max(largest.values()):
            where = column
        largest[is_p] = max(largest[is_p], worst)
    return Gap(largest[True], largest[False], n_words, abs(len(first) - len(second)), where)


def run(first, second) -> int:
    """Print how two runs compare, a line a kind of file; 0 if every byte agrees, else 1."""
    first, second = Path(first), Path(second)
    found = compare(contents(first), contents(second))
    for kind, _ in KINDS:
        same, different = (_of_kind(kind, names) for names in (found.same, found.different))
        if same or different:
            n = len(same) + len(different)
            print(f"{kind:<8} {len(same):3d} of {n} files agree in every byte")
        for name in different:
            print(f"  {name}: {_tell_gap(first / name, second / name)}")
    for folder, names in ((first, found.only_first), (second, found.only_second)):
        for stage in dict.fromkeys(name.split("/")[0] for name in names):
            own = [name for name in names if name.startswith(f"{stage}/")]
            print(f"  only in {config.shown(folder)}: {_tell_names(own)}")
    print("The two runs agree." if found.agrees else "The two runs differ.")
    return 0 if found.agrees else 1


def _of_kind(kind, names):
    return [name for name in names if next(k for k, fits in KINDS if fits(name)) == kind]


def _tell_names(names, n_shown=3):
    more = len(names) - n_shown
    return ", ".join(names[:n_shown]) + (f" and {more} more of its stage" if more > 0 else "")


def _tell_gap(first, second) -> str:
    if not all(path.is_file() for path in (first, second)):
        return "missing in one of the runs"
    if not first.name.endswith((".csv", ".csv.gz")):
        return "other bytes"
    try:
        gap = table_gap(rowfiles.read_table(first), rowfiles.read_table(second))
    except (ValueError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        return f"cannot be compared ({error})"
    parts = [f"{gap.n_rows} rows in one only"] if gap.n_rows else []
    parts += [f"{gap.n_words} words differ"] if gap.n_words else []
    if gap.where:
        parts.append(f"numbers by up to {max(gap.p, gap.number):.2g} ({gap.where})")
    return ", ".join(parts) or "other bytes, same numbers"


def _is_number(column):
    return pd.api.types.is_numeric_dtype(column)
