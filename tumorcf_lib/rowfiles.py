"""Rows and tables as CSV: equal rows give equal bytes, and reading undoes writing."""

import gzip
import io
from pathlib import Path

import pandas as pd

from tumorcf_lib import steps

SIGNIFICANT_DIGITS = 5
TEXT_COLUMNS = "patient_id person_id partner_id shown_label class true group to".split()
"""Text whatever it looks like."""

NAME_COLUMNS = ["slice_id", "label"]
"""Text, or whole numbers if all of it is written as such ("7", not "007")."""

WORD_COLUMNS = "reason note infill flag why_not breaks not_counted".split()
"""Text whose empty cells are empty, not missing."""


def write_table(table: pd.DataFrame, path: Path) -> None:
    """CSV with 5 significant digits; compressed files carry no time: equal rows, equal bytes.

    A file is there as a whole or not at all: it gets its name when it is complete.
    """
    data = _as_csv(table).encode("utf-8")
    steps.write_whole(path, gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def round_trip(table: pd.DataFrame) -> pd.DataFrame:
    """A table as a reader of its file sees it, without the file."""
    return read_table(io.StringIO(_as_csv(table)))


def read_table(path: Path) -> pd.DataFrame:
    """A table as :func:`write_table` wrote it: "NA", "None" or "nan" in a column of text is text.

    Only an empty cell is missing. A text column of a name that is not listed above comes back as
    numbers, or truth values, if each of its cells looks like one.
    """
    text = dict.fromkeys(TEXT_COLUMNS + NAME_COLUMNS + WORD_COLUMNS, str)
    how = {"keep_default_na": False, "na_values": [""], "lineterminator": "\n"}
    table = pd.read_csv(path, dtype=text, encoding="utf-8", **how)
    for name in table.columns.intersection(NAME_COLUMNS):
        if table[name].str.fullmatch(r"-?[1-9][0-9]{0,17}|0", na=False).all():
            table[name] = table[name].astype("int64")
    return table.fillna(dict.fromkeys(table.columns.intersection(WORD_COLUMNS), ""))


def format_number(value, low=None, high=None, n=None, unit="") -> str:
    """A number with its interval and n, as prose shows it.

    >>> format_number(0.1234, 0.1, 0.15, 31, " persons")
    '0.123 [0.100, 0.150], n = 31 persons'
    >>> format_number(233)
    '233'
    """

    def show(x):
        return f"{x:d}" if isinstance(x, int) else f"{x:.3f}"

    text = show(value) + ("" if low is None else f" [{show(low)}, {show(high)}]")
    return text + (unit if n is None else f", n = {n}{unit}")


def _as_csv(table):
    return table.to_csv(index=False, lineterminator="\n", float_format=f"%.{SIGNIFICANT_DIGITS}g")
