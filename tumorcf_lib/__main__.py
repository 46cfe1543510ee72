"""Command line: ``python -m tumorcf_lib --help``."""

import argparse
import errno
import os
import shlex
import sys

from tumorcf_lib import commands
from tumorcf_lib.your_model import audit

DESCRIPTION = """\
Does a brain-tumor classifier look at the tumor? Run, publish and check the study.

examples
  python -m tumorcf_lib run                          six notebooks, profile chosen for this machine
  python -m tumorcf_lib run --profile demo --from 04 again from the evaluation on
  python -m tumorcf_lib status --profile demo        what is up to date, and why not
  python -m tumorcf_lib download                     the published archives (880 MB) into data/
  python -m tumorcf_lib report --profile demo        one HTML page of a finished run
  python -m tumorcf_lib verify figures/paper-lite    recompute published tables from their rows
  python -m tumorcf_lib audit --help                 audit a classifier of your own

every command tells its options and examples:  python -m tumorcf_lib COMMAND --help
"""
STOPPED = """
Stopped, as asked. Nothing that was finished is lost: notebooks, training epochs, tables of rows
and downloaded bytes are kept. The same command goes on from there:
    {command}"""
FULL = """\
The disk is full. Free some room, or move everything that runs write elsewhere
(TUMORCF_RUNS=<folder>). Nothing that was finished is lost; the same command goes on:
    {command}"""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
STOPPED_SHORT = """
Stopped, as asked. This command keeps nothing half done; the same command begins anew:
    {command}"""
LACKING = """
This Python ({python}) lacks the package {name}. The project's own has it: type
    source .venv/bin/activate
in the repository's folder, and the same command again. ./run_all.sh --setup makes .venv."""
GOES_ON = ("run", "download", "calibrate", "train", "leak", "scratch")
"""Commands that go on where they were stopped; the others take a few minutes at most, but for
``audit``, which cannot know whether the reader's classifier is still the same."""

EXAMPLES = {
    "run": {
        "": "the profile that fits this machine",
        "--profile demo --from 04": "again from the evaluation on",
        "--profile paper-lite --data ~/figshare": "the real slices, half an hour on 2 cores",
        "--profile paper-lite --from 04": "the same from the published weights, 15 minutes",
    },
    "status": {
        "": "what is up to date, and why not",
        "--profile paper-lite --data ~/figshare": "the same for the real slices",
    },
    "report": {
        "": "of the profile that fits this machine",
        "--profile paper-lite": "runs/paper-lite/report.html",
    },
    "download": {
        "": "into data/; what was cut off is resumed",
        "--data ~/figshare": "into a folder of yours",
    },
    "calibrate": {"": "trains and audits; again: goes on where it stopped"},
    "train": {
        "": "all folds, one after the other",
        "--fold 2 --seed 1": "one unit, for one of several machines",
        "--profile paper-lite-cv --data ~/figshare": "slices of a folder of yours",
    },
    "leak": {
        "": "one fold of each kind of split",
        "--folds 5": "all five folds: less scatter, five times as long",
    },
    "scratch": {
        "--minutes 20": "begin, or go on for 20 minutes more",
        "--minutes 5 --size 96 --epochs 4": "a smaller network's input, a shorter schedule",
    },
    "publish": {
        "demo": "figures/demo and the notebooks, from runs/demo",
        "paper-lite": "figures/paper-lite; no picture of a slice",
        "paper-lite-cv --from-rows": "its tables and figures anew, from published rows",
    },
    "card": {"figures/paper-lite": "after its tables were published anew"},
    "verify": {
        "": "every folder under figures/",
        "figures/demo figures/paper-lite": "these two",
    },
    "compare": {"runs/demo /tmp/other/runs/demo": "1 if any row, table or figure differs"},
    "readme": {"": "after the address in pyproject.toml was changed"},
}
"""What follows a command, and what it does: shown by --help, checked by the tests."""




def main(arguments=None) -> int:
    """Parse the command line, do what it asks, return the exit status."""
    options = _parser().parse_args(arguments)
    if getattr(options, "data", None):
        os.environ["TUMORCF_DATA"] = os.path.abspath(os.path.expanduser(options.data))
    try:
        return options.action(options) or 0
    except KeyboardInterrupt:
        words = STOPPED if options.command in GOES_ON else STOPPED_SHORT
        print(words.format(command=_same_command(arguments)))
        return 130
    except ModuleNotFoundError as error:
        if (error.name or "tumorcf_lib").startswith("tumorcf_lib"):
            raise
        print(LACKING.format(python=sys.executable, name=error.name), file=sys.stderr)
        return 1
    except _named_errors() as error:
        print(f"\n{type(error).__name__}: {error}", file=sys.stderr)
        if getattr(error, "errno", None) in NO_ROOM:
            print(FULL.format(command=_same_command(arguments)), file=sys.stderr)
        return 1


def _same_command(arguments):
    """What the user typed: run_all.sh tells it, else it was this module.

    Without ``--fresh``, which would begin anew instead of going on.
    """
    typed = os.environ.get("TUMORCF_COMMAND", "").strip()
    words = sys.argv[1:] if arguments is None else arguments
    return (typed or f"python -m tumorcf_lib {shlex.join(words)}").replace(" --fresh", "")


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m tumorcf_lib", description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parsers = parser.add_subparsers(required=True, metavar="command", dest="command")

    run = _command(parsers, "run", "execute the notebooks by papermill")
    _study_options(run)
    run.add_argument("--from", dest="first", default="01", help="first notebook, e.g. 04")
    run.add_argument("--to", dest="last", default="06", help="last notebook")
    run.add_argument("--fresh", action="store_true", help="redo what is up to date, too")
    run.add_argument(
        "--reference", action="store_true",
        help="take the published weights instead of training in 03; so does --from 04 where 03 "
        "was never run",
    )  # fmt: skip

    status = _command(parsers, "status", "which notebooks are up to date")
    _study_options(status)

    report = _command(
        parsers, "report", "one HTML page of a finished run, for people without Python"
    )
    _study_options(report)

    download = _command(parsers, "download", "fetch the dataset (880 MB)")
    download.add_argument("--data", metavar="DIR", help="folder to put it into (default: data/)")

    calibrate = _command(
        parsers, "calibrate", "run the networks whose answer is known (half an hour)"
    )
    calibrate.add_argument("--seed", type=int, default=0, help="of the networks")

    train = _command(
        parsers, "train", "train, predict and audit folds of the cross-validation"
    )
    _study_options(train, default="paper-lite-cv")
    train.add_argument("--fold", type=int, action="append", help="may be repeated; default: all")
    train.add_argument("--recipe", default="", help="try it on validation persons only")
    train.add_argument(
        "--shuffled", action="store_true", help="on classes dealt anew: networks that know nothing"
    )

    leak = _command(parsers, "leak", "what a split that leaks between persons is worth")
    _data_option(leak)
    leak.add_argument("--folds", type=int, default=1, help="of five, pooled; more, less scatter")
    leak.add_argument("--seed", type=int, default=0, help="of the networks")

    scratch = _command(
        parsers, "scratch", "train ResNet-50 from random weights for some minutes"
    )
    _data_option(scratch)
    scratch.add_argument("--minutes", type=float, default=20.0, help="then stop; again: go on")
    scratch.add_argument("--size", type=int, help="side of the slices in px (default: 128)")
    scratch.add_argument("--epochs", type=int, help="of the whole schedule (default: 10)")
    scratch.add_argument("--seed", type=int, default=0, help="of the network")

    publish = _command(parsers, "publish", "copy what git may hold of a run to figures/")
    publish.add_argument("profile")
    publish.add_argument("--seed", type=int, default=0, help="of the run")
    publish.add_argument(
        "--from-rows", action="store_true",
        help="no run is needed: tables and figures anew from the rows that are published",
    )  # fmt: skip

    card = _command(parsers, "card", "write a published run's MODEL_CARD.md anew")
    card.add_argument("folder", help="such as figures/paper-lite")

    verify = _command(parsers, "verify", "recompute published tables from their rows")
    verify.add_argument("folders", nargs="*", help="default: every folder under figures/")

    _command(parsers, "readme", "write README's and the notebooks' generated parts anew")
    compare = _command(parsers, "compare", "hold two runs' results against each other")
    compare.add_argument("first", help="folder of a run, such as runs/demo")
    compare.add_argument("second", help="folder of another; the exit status is 1 if they differ")
    audit.add_parser(parsers)
    return parser


def _command(parsers, name, text):
    start = f"python -m tumorcf_lib {name}"
    lines = {f"{start} {words}".strip(): does for words, does in EXAMPLES[name].items()}
    width = max(map(len, lines))
    examples = "\n".join(f"  {line:<{width}}  {does}" for line, does in lines.items())
    command = parsers.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"examples\n{examples}", formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    command.set_defaults(action=getattr(commands, name))
    return command


def _data_option(parser):
    parser.add_argument(
        "--data", metavar="DIR", help="folder of the dataset (default: TUMORCF_DATA, else data/)"
    )


def _study_options(parser, *, default="auto"):
    parser.add_argument(
        "--profile", metavar="NAME", default=os.environ.get("TUMORCF_PROFILE") or default,
        help="smoke, demo, calibration, paper-lite, paper-lite-cv, paper or auto",
    )  # fmt: skip
    _data_option(parser)
    parser.add_argument(
        "--seed", type=int, default=os.environ.get("TUMORCF_SEED") or "0",
        help="of training and sham places",
    )  # fmt: skip


def _named_errors():
    """Errors whose message is written for people: shown without a traceback."""
    from tumorcf_lib import config
    from tumorcf_lib.data import download, published
    from tumorcf_lib.publish import compare, page, publish, readme
    from tumorcf_lib.study import (
        folds,
        leak_splits,
        notebooks,
        reference,
        scratch,
        side_studies,
        stages,
    )

    return (
        compare.NoRunError, config.UnknownProfileError, folds.UnitError, download.DownloadError,
        published.DatasetError, leak_splits.LeakInputError, publish.PublishError,
        readme.ReadmeError, reference.ReferenceWeightsError, page.RunPageError,
        notebooks.NotebookError, scratch.ScratchSettingsError, side_studies.UnfinishedStudyError,
        stages.StageError, OSError,
        *audit.errors(),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
