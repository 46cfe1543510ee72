"""How far results move with the number of threads and with oneDNN: measured, not guessed.

    python tests/measure_threads.py --profile smoke --table benchmarks/results_threads.csv

The same profile is run under each setting below and held against the first one, twice: with
networks that were trained anew under the setting (a training doubles every rounding error many
times over), and with the first setting's networks, where only predictions are rounded
otherwise. Told is the largest difference of a probability, of any other number, and how many
words (a verdict, a predicted class) changed; files without a difference are left out, but for
a row "all files" per setting.

Runs are kept under --work: what is finished is not run again. No part of the fast tests.
"""

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tumorcf_lib import config, rowfiles
from tumorcf_lib.publish import compare
from tumorcf_lib.study import stages  # noqa: E402

TRAINED = ("01_data", "02_preprocessing", "03_training")
THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM",
    "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS",
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """A number of threads, and whether TensorFlow uses oneDNN's kernels."""

    threads: int
    onednn: bool

    @property
    def name(self):
        return f"threads{self.threads}-onednn-{'on' if self.onednn else 'off'}"

    @property
    def environment(self):
        chosen = dict.fromkeys(THREADS, str(self.threads))
        return {**os.environ, **chosen, "TF_ENABLE_ONEDNN_OPTS": str(int(self.onednn))}


SETTINGS = (Setting(2, True), Setting(1, True), Setting(2, False), Setting(1, False))
"""The first is what two cores give by default, and what the others are held against."""


def main(arguments=None) -> int:
    options = _options(arguments)
    work, profile = Path(options.work).resolve(), options.profile
    first = work / "trained anew" / SETTINGS[0].name
    _run(first, profile, SETTINGS[0])
    rows = []
    for networks in ("same networks", "trained anew"):
        for setting in SETTINGS[1:]:
            runs = work / networks / setting.name
            if networks == "same networks":
                _take_networks(first / profile, runs / profile)
            _run(runs, profile, setting, begin="04" if networks == "same networks" else "01")
            about = {"networks": networks, "threads": setting.threads, "onednn": setting.onednn}
            rows += [{**about, **row} for row in gaps(first / profile, runs / profile)]
            rowfiles.write_table(pd.DataFrame(rows), Path(options.table))
    print(summary(pd.DataFrame(rows)))
    print(f"A row a file that differs: {config.shown(options.table)}")
    return 0


def gaps(first, second) -> list[dict]:
    """A row for every table of two runs that differs, and one for all files together.

    Parameters
    ----------
    first, second : pathlib.Path
        Folders of two runs of one profile.

    Returns
    -------
    list of dict
        file, n_rows, largest_p, largest_number, n_words, column (of the largest difference).
    """
    found = compare.compare(compare.contents(first), compare.contents(second))
    tables = [n for n in (*found.same, *found.different) if n.endswith((".csv", ".csv.gz"))]
    tables = [name for name in tables if "/figures/" not in name]
    rows, n_all = [], 0
    for name in tables:
        one, other = (rowfiles.read_table(folder / name) for folder in (first, second))
        gap, n_all = compare.table_gap(one, other), n_all + len(one)
        rows.append({
            "file": name, "n_rows": len(one), "largest_p": gap.p, "largest_number": gap.number,
            "n_words": gap.n_words + gap.n_rows, "column": gap.where,
        })  # fmt: skip
    rows = [row for row in rows if row["largest_p"] or row["largest_number"] or row["n_words"]]
    total = {
        "file": f"all {len(tables)} files", "n_rows": n_all,
        "largest_p": max((row["largest_p"] for row in rows), default=0.0),
        "largest_number": max((row["largest_number"] for row in rows), default=0.0),
        "n_words": sum(row["n_words"] for row in rows), "column": "",
    }  # fmt: skip
    return [total, *rows]


def summary(rows) -> str:
    """The measured tolerances as a table for people, in Markdown."""
    shown = {
        "rows_edits.csv.gz": ("largest_p", "probabilities of edits"),
        "rows_predictions.csv.gz": ("largest_p", "probabilities of slices"),
        "table_scores.csv": ("largest_number", "scores"),
    }
    heads = ["networks", "threads", "oneDNN", *(words for _, words in shown.values())]
    lines = [" | ".join(["", *heads, ""]).strip(), "|---" * len(heads) + "|"]
    for about, own in rows.groupby(["networks", "threads", "onednn"], sort=False):
        own = own.assign(name=own["file"].str.rsplit("/", n=1).str[-1]).set_index("name")
        found = [own[column].get(name, 0) for name, (column, _) in shown.items()]
        words = [about[0], str(about[1]), "on" if about[2] else "off"]
        words += [f"{value:.2g}" for value in found]
        lines.append("| " + " | ".join(words) + " |")
    return "\n".join(lines)


def _take_networks(source, target):
    """Another run's notebooks 01 to 03, as they are."""
    for name in TRAINED:
        if not (target / name / stages.RECORD).exists():
            shutil.rmtree(target / name, ignore_errors=True)
            shutil.copytree(source / name, target / name)


def _run(runs, profile, setting, *, begin="01"):
    print(f"{runs.parent.name}, {setting.name}", flush=True)
    command = [
        sys.executable, "-m", "tumorcf_lib", "run", "--profile", profile, "--seed", "0",
        "--from", begin,
    ]  # fmt: skip
    environment = {**setting.environment, "TUMORCF_RUNS": str(runs)}
    done = subprocess.run(command, cwd=config.ROOT, env=environment, check=False)
    if done.returncode:
        sys.exit(f"The run stopped with {done.returncode}; the same command goes on.")


def _options(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profile", default="smoke")
    parser.add_argument("--work", default=str(config.ROOT / "build" / "threads"))
    parser.add_argument("--table", default=str(config.ROOT / "benchmarks" / "results_threads.csv"))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
