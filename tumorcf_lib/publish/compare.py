"""Two runs compared file by file: what is the same, and how far the rest differs.

Two clean runs of equal profile and seed on one machine agree in every byte. Across machines and
numbers of threads they agree within the rounding of float32.
"""

import gzip
import itertools
import zlib
from pathlib import Path

import pandas as pd

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.publish import PublishError
from tumorcf_lib.study import results, stages


def contents(folder) -> dict[str, str]:
    """SHA-256 of every result ("stage/file") that finished stages recorded, or "missing".

    Logs, executed notebooks and long work's own folders do not count: they hold times.
    """
    folder, found = Path(folder), {}
    for stage in stages.NAMES:
        if not (folder / stage / stages.RECORD).is_file():
            continue
        kept = steps.read_record(folder / stage)
        names = [f"{stage}/{file}" for file in kept["hashes"]]
        ends = (*results.FIGURE_FORMATS, ".csv")
        names += [f"{stage}/figures/{name}{end}" for name in kept["figures"] for end in ends]
        for name in names:
            path = folder / name
            found[name] = steps.file_sha256(path) if path.is_file() else "missing"
    if not found:
        raise PublishError(
            f"Expected the folder of a run, such as runs/demo, got {config.shown(folder)}, in "
            "which no notebook was ever finished. Run it by ./run_all.sh --profile <name>."
        )
    return found


def different(first: dict, second: dict) -> list[str]:
    """Files of :func:`contents` that two runs do not both have with the same bytes.

    >>> different({"a": "12", "b": "34"}, {"a": "12", "b": "56", "c": "78"})
    ['b', 'c']
    """
    return sorted(name for name in first | second if first.get(name) != second.get(name))


def table_gap(first, second) -> str:
    """How far two tables of equal columns are apart, row by row, in words.

    >>> one = pd.DataFrame({"p_glioma": [0.5, 0.25], "effect": [1.0, 2.0], "verdict": ["a", "b"]})
    >>> table_gap(one, one.assign(p_glioma=[0.5, 0.75], verdict=["a", "c"]))
    '1 words differ, numbers by up to 0.5 (p_glioma)'
    """
    if list(first.columns) != list(second.columns):
        return "other columns"
    n = min(len(first), len(second))
    first_n, second_n = first.head(n), second.head(n)
    numbers = [k for k in first if all(map(pd.api.types.is_numeric_dtype, (first[k], second[k])))]
    words = (table.drop(columns=numbers).astype(str) for table in (first_n, second_n))
    n_words = int((next(words).to_numpy() != next(words).to_numpy()).sum())
    gaps = (first_n[numbers].astype(float) - second_n[numbers].astype(float)).abs()
    unknown = first_n[numbers].isna() & second_n[numbers].isna()
    gaps = gaps.mask(unknown, 0.0).fillna(float("inf")).max().fillna(0.0)
    n_rows = abs(len(first) - len(second))
    parts = [f"{n_rows} rows in one only"] if n_rows else []
    parts += [f"{n_words} words differ"] if n_words else []
    if (gaps > 0).any():
        parts.append(f"numbers by up to {gaps.max():.2g} ({gaps.idxmax()})")
    return ", ".join(parts) or "other bytes, same numbers"


def run(first, second) -> int:
    """Print how two runs compare, a line a stage; 0 if every byte agrees, else 1."""
    first, second = Path(first), Path(second)
    one, other = contents(first), contents(second)
    differ = different(one, other)
    both = sorted(one.keys() & other.keys())
    for stage, names in itertools.groupby(both, lambda name: name.partition("/")[0]):
        names = list(names)
        wrong = [name for name in names if name in differ]
        equal = f"{len(names) - len(wrong):3d} of {len(names)}"
        print(f"{stage:<18} {equal} files agree in every byte")
        for name in wrong:
            print(f"  {name}: {_tell_gap(first / name, second / name)}")
    for folder, only in ((first, one.keys() - other), (second, other.keys() - one)):
        for name in sorted(only):
            print(f"  only in {config.shown(folder)}: {name}")
    print("The two runs differ." if differ else "The two runs agree.")
    return int(bool(differ))


def _tell_gap(first, second) -> str:
    if not all(path.is_file() for path in (first, second)):
        return "missing in one of the runs"
    if not first.name.endswith((".csv", ".csv.gz")):
        return "other bytes"
    try:
        return table_gap(rowfiles.read_table(first), rowfiles.read_table(second))
    except (ValueError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        return f"cannot be compared ({error})"
