"""How long everything takes, for README and the notebooks' openings, from published minutes."""

import json

from tumorcf_lib import config, rowfiles
from tumorcf_lib.study import stages
from tumorcf_lib.study.notebooks import MEMORY, MINUTES, PROCESSOR

LEVELS = {
    "verify": (
        "python -m tumorcf_lib verify", "seconds, no images, no TensorFlow",
        "every result table recomputed from its rows, every other file held against its SHA-256",
    ),
    "demo": (
        "./run_all.sh --profile demo", "no dataset", "the whole study on the phantom",
    ),
    "calibration": (
        "python -m tumorcf_lib calibrate", "2 cores, no dataset",
        "the networks whose answer is known",
    ),
    "paper-lite": (
        "./run_all.sh --profile paper-lite", "the dataset",
        "the study on the real slices with EfficientNet-Lite0, all controls",
    ),
    "reference": (
        "./run_all.sh --profile paper-lite --from 04", "the dataset",
        "the same from the published weights, without training the study's networks; says how far "
        "its rows are from the published ones",
    ),
    "paper-lite-cv": (
        "./run_all.sh --profile paper-lite-cv",
        "the dataset; folds may be run one by one or on several machines: "
        "`python -m tumorcf_lib train --fold 2 --seed 1`",
        "every slice tested and audited out of fold",
    ),
    "leak": (
        "python -m tumorcf_lib leak", "2 cores, the dataset",
        "one small recipe under splits that leak and splits that do not",
    ),
    "scratch": (
        "python -m tumorcf_lib scratch --minutes 20", "2 cores, the dataset",
        "a ResNet-50 from random weights, as far as the minutes carry",
    ),
    "paper": (
        "./run_all.sh --profile paper",
        'a GPU that TensorFlow can use (`pip install "tensorflow[and-cuda]"` into `.venv` on '
        "Linux), the dataset, ImageNet weights",
        "the paper's ResNet-50; **not run here, no result of it is claimed**; it stops with the "
        "steps to take where the weights cannot be fetched",
    ),
}  # fmt: skip
"""Level of reproduction -> command, what it needs beside what was measured, what comes of it."""


def minutes_table() -> str:
    """Minutes of every notebook in the published runs."""
    published = [name for name in config.PROFILES if minutes_of(name)]
    heads = [f"{n}: {minutes_of(n).get(PROCESSOR, 'unknown processor')}" for n in published]
    lines = ["| notebook | " + " | ".join(heads) + " |", "|---|" + "---|" * len(published)]
    for name in stages.NAMES:
        cells = " | ".join(_cell(minutes_of(p).get(name)) for p in published)
        lines.append(f"| [{name}](notebooks/{name}.ipynb) | {cells} |")
    sums = [sum(minutes_of(p).get(name, 0) for name in stages.NAMES) for p in published]
    total = " | ".join(f"**{minutes:.1f}**" for minutes in sums)
    return "\n".join([*lines, f"| all | {total} |"])


def levels() -> str:
    """How to reproduce how much, with the minutes and the memory that it took."""
    lines = ["| level | command | needs | what you get |", "|---|---|---|---|"]
    for level, (command, needs, made) in LEVELS.items():
        took = _took(level)
        lines.append(f"| {level} | `{command}` | {f'{took}, ' if took else ''}{needs} | {made} |")
    return "\n".join(lines)


def runtime_line(notebook: str) -> str:
    """Measured minutes of one notebook, for its opening cell."""
    measured = {p: minutes_of(p).get(notebook) for p in config.PROFILES}
    words = [f"{p} {minutes:.1f} min ({minutes_of(p).get(PROCESSOR, 'unknown processor')})"
             for p, minutes in measured.items() if minutes is not None]  # fmt: skip
    return f"**Runtime** {', '.join(words) or 'not measured yet'}"


def minutes_of(profile_name) -> dict:
    """Minutes of each notebook in a published run; empty if it is not published."""
    path = config.published(profile_name) / MINUTES
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _cell(minutes) -> str:
    return "" if minutes is None else f"{minutes:.1f}"


def _took(level) -> str:
    """Measured time and memory of a level, in words; empty where none are recorded."""
    minutes = minutes_of({"reference": "paper-lite"}.get(level, level))
    later = stages.NAMES[3:] if level == "reference" else stages.NAMES
    if minutes:
        took = sum(minutes.get(name, 0) for name in later)
        is_told = level != "reference" and minutes.get(MEMORY)  # of a whole run
        memory = f", {minutes[MEMORY]:.1f} GB of memory" if is_told else ""
        return f"{took:.0f} minutes ({minutes.get(PROCESSOR, 'unknown processor')}){memory}"
    path = config.published(level) / "units.csv"
    if path.is_file():
        each = rowfiles.read_table(path)["minutes"]
        return f"{each.min():.0f} to {each.max():.0f} minutes a fold, 2 cores"
    return ""
