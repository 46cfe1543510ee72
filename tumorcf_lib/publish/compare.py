"""Two runs compared file by file: what is the same, and how far the rest differs.

Two clean runs of equal profile and seed on one machine agree in every byte. Across machines and
numbers of threads they agree within the rounding of float32.
"""

import itertools
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.publish import PublishError
from tumorcf_lib.study import stages


def contents(folder) -> dict[str, str]:
    """SHA-256 of every result ("stage/file") that finished stages recorded, or "missing".

    Logs, executed notebooks and long work's own folders do not count: they hold times.
    """
    folder, found = Path(folder), {}
    for stage in stages.NAMES:
        if not (folder / stage / steps.RECORD).is_file():
            continue
        kept = steps.read_record(folder / stage)
        names = [*kept["hashes"], *(f"figures/{file}" for file in kept["figure_hashes"])]
        for name in (f"{stage}/{file}" for file in names):
            path = folder / name
            found[name] = steps.file_sha256(path) if path.is_file() else "missing"
    if not found:
        raise PublishError(
            f"Expected the folder of a run, such as runs/demo, got {config.shown(folder)}, in "
            "which no notebook was ever finished. Run it by ./run_all.sh --profile <name>. "
            "Classifiers are compared by one `audit` with --predict given twice."
        )
    return found


def table_gap(first, second) -> str:
    """How far two tables are apart, row by row, in words.

    >>> one = pd.DataFrame({"p_glioma": [0.5, 0.25], "effect": [1.0, 2.0], "verdict": ["a", "b"]})
    >>> table_gap(one, one.assign(p_glioma=[0.5, 0.75], verdict=["a", "c"]))
    '1 words differ, numbers by up to 0.5 (p_glioma)'
    """
    if first.shape != second.shape or list(first) != list(second):
        return "other columns, or another number of rows"
    numbers = [k for k in first if all(map(pd.api.types.is_numeric_dtype, (first[k], second[k])))]
    one, other = (table.drop(columns=numbers).astype(str) for table in (first, second))
    n_words = (one != other).to_numpy().sum()
    # A number that is missing in one table only is as far off as can be.
    one, other = (table[numbers].astype(float).fillna(np.inf) for table in (first, second))
    gaps = (one - other).abs().fillna(0.0).max()
    parts = [f"{n_words} words differ"] if n_words else []
    parts += [f"numbers by up to {gaps.max():.2g} ({gaps.idxmax()})"] if (gaps > 0).any() else []
    return ", ".join(parts) or "other bytes, same numbers"


def run(first, second) -> int:
    """Print how two runs compare, a line a stage; 0 if every byte agrees, else 1."""
    folders = Path(first), Path(second)
    one, other = map(contents, folders)
    both = sorted(one.keys() & other.keys())
    for stage, names in itertools.groupby(both, lambda name: name.partition("/")[0]):
        names = list(names)
        wrong = [name for name in names if one[name] != other[name]]
        equal = f"{len(names) - len(wrong):3d} of {len(names)}"
        print(f"{stage:<18} {equal} files agree in every byte")
        for name in wrong:
            print(f"  {name}: {_tell_gap(*(folder / name for folder in folders))}")
    for folder, only in zip(folders, (one.keys() - other, other.keys() - one), strict=True):
        for name in sorted(only):
            print(f"  only in {config.shown(folder)}: {name}")
    print("The two runs agree." if one == other else "The two runs differ.")
    return int(one != other)


def _tell_gap(first, second) -> str:
    if not (first.is_file() and second.is_file()):
        return "missing in one of the runs"
    if not first.name.endswith((".csv", ".csv.gz")):
        return "other bytes"
    try:
        return table_gap(rowfiles.read_table(first), rowfiles.read_table(second))
    except (OSError, ValueError, EOFError, zlib.error) as error:
        return f"cannot be compared ({error})"
