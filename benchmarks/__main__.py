"""Command line: ``python -m benchmarks --help``."""

import argparse
import importlib
import os
import sys
from pathlib import Path

DESCRIPTION = """\
Time the study's parts beside the obvious way to do the same, and write results.csv and
RESULTS.md; `python -m tumorcf_lib readme` then renews RESULTS.md at the root. Needs no dataset
and less than ten minutes. Run it in the repository's folder, with nothing else running.

examples
  python -m benchmarks                          all of them, into benchmarks/
  python -m benchmarks --only reader audits     these only; prints, writes nothing
  python -m benchmarks --tiny --out /tmp/bench  everything once, on a few small slices
"""
MODULES = (
    "startup",
    "reader",
    "phantoms",
    "inpainting",
    "sham_places",
    "cohort_size",
    "network",
    "training_steps",
    "audits",
)
"""In the order they are run; those that load Keras come last."""

HERE = Path(__file__).parent


def main(arguments=None):
    """Run what was asked for, print it, and write it if asked for all of it or for a folder."""
    options = _parser().parse_args(arguments)
    size, repeats = ("tiny", 1) if options.tiny else ("full", options.repeats)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["TUMORCF_PARTIAL"] = "1"  # a few slices stand for the dataset
    rows = []
    for name in options.only or MODULES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows += importlib.import_module(f"benchmarks.{name}").run(size, repeats)
    from benchmarks import machine, report

    print(report.page(rows, machine.describe()))
    folder = options.out or (None if options.only or options.tiny else HERE)
    if folder is not None:
        report.write(rows, machine.describe(), folder)


def _parser():
    parser = argparse.ArgumentParser(
        prog="benchmarks",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=MODULES, metavar="NAME", help=f"of {MODULES}")
    parser.add_argument("--repeats", type=int, default=3, help="rounds that count (default: 3)")
    parser.add_argument("--tiny", action="store_true", help="one round on a few small slices")
    parser.add_argument("--out", type=Path, help="folder for results.csv and RESULTS.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())
