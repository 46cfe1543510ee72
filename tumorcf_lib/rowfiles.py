"""Rows and tables as CSV: equal rows give equal bytes, and reading undoes writing."""

import gzip
import io
from pathlib import Path

import pandas as pd

from tumorcf_lib import files

SIGNIFICANT_DIGITS = 5
TEXT_COLUMNS = ("patient_id", "person_id")
WORD_COLUMNS = (  # empty text is a value
    "reason", "note", "infill", "relevance", "flag", "why_not", "breaks", "not_counted",
)  # fmt: skip


def write_table(table: pd.DataFrame, path: Path) -> None:
    """CSV with 5 significant digits; compressed files carry no time: equal rows, equal bytes.

    A file is there as a whole or not at all: it gets its name when it is complete.
    """
    data = _as_csv(table).encode()
    files.write_whole(path, gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def round_trip(table: pd.DataFrame) -> pd.DataFrame:
    """A table as a reader of its file sees it, without the file."""
    return read_table(io.StringIO(_as_csv(table)))


def read_table(path: Path) -> pd.DataFrame:
    """A table as :func:`write_table` wrote it; empty text stays empty text."""
    table = pd.read_csv(path, dtype=dict.fromkeys(TEXT_COLUMNS + WORD_COLUMNS, str))
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

    text = show(value)
    if low is not None:
        text += f" [{show(low)}, {show(high)}]"
    return text + (f", n = {n}{unit}" if n is not None else unit)


def _as_csv(table):
    return table.to_csv(index=False, lineterminator="\n", float_format=f"%.{SIGNIFICANT_DIGITS}g")
