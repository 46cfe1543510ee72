"""The results as a CSV for programs and a page of tables for people."""

import dataclasses
import itertools

import pandas as pd

INTRODUCTION = """\
# Benchmarks

Made by `python -m benchmarks`. Every way to do a thing is timed in turns with the others of its
table, so the **ratio** (median over the rounds of the first line's time by this line's; least to
greatest round in brackets) holds on other machines better than seconds do. Higher is faster.
Seconds are medians of whole calls, on the wall clock and of the processor.
"""


def table(rows):
    """The rows as a DataFrame, numbers rounded to four digits, and units a second."""
    made = pd.DataFrame([dataclasses.asdict(row) | {"per_second": row.per_second} for row in rows])
    numbers = made.select_dtypes(float).columns
    made[numbers] = made[numbers].map(lambda value: float(f"{value:.4g}"))
    return made


def write(rows, described, folder):
    """``results.csv`` and ``RESULTS.md`` in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    table(rows).to_csv(folder / "results.csv", index=False, lineterminator="\n")
    (folder / "RESULTS.md").write_text(page(rows, described), encoding="utf-8")


def page(rows, described):
    """The whole page as Markdown."""
    parts = [INTRODUCTION]
    for name, own in itertools.groupby(rows, key=lambda row: row.benchmark):
        parts.append(f"## {name[0].upper()}{name[1:]}\n")
        for setting, lines in itertools.groupby(own, key=lambda row: row.setting):
            parts.append(_of_setting(setting, list(lines)))
    machine = "\n".join(f"| {what} | {text} |" for what, text in described.items())
    parts.append(f"## Measured on\n\n| | |\n|---|---|\n{machine}\n")
    return "\n".join(parts)


def _of_setting(setting, rows):
    head, values = _columns(rows)
    rounds = f"{rows[0].repeats} round" + "s" * (rows[0].repeats != 1)
    heading = f"{setting}, {rounds}" if setting else rounds
    lines = [f"{heading[0].upper()}{heading[1:]}:\n", _line(head), _line(["---"] * len(head))]
    return "\n".join([*lines, *(_line(value) for value in values)]) + "\n"


def _columns(rows):
    head = ["", "seconds", "processor seconds", f"{rows[0].unit} a second", "ratio"]
    values = [
        [
            row.case,
            _short(row.seconds),
            _short(row.cpu_seconds),
            _short(row.per_second),
            f"{_short(row.ratio)} [{_short(row.low)}, {_short(row.high)}]",
        ]
        for row in rows
    ]
    if any(row.pss_mb == row.pss_mb for row in rows):  # NaN differs from itself
        head += ["peak memory, MB", "with mapped files, MB"]
        for row, value in zip(rows, values, strict=True):
            value += [f"{row.anonymous_mb:.0f}", f"{row.pss_mb:.0f}"]
    return head, values


def _line(cells):
    return "| " + " | ".join(cells) + " |"


def _short(value):
    """Three digits: 0.0123, 1.23, 123, 1230."""
    return f"{float(f'{value:.3g}'):.10g}"
