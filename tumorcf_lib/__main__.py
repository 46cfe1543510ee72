"""Command line: ``python -m tumorcf_lib --help``."""

import argparse
import errno
import os
import shlex
import sys

from tumorcf_lib.your_model import audit_command

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


REAL_PROFILES = ("paper-lite", "paper-lite-cv", "paper")


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
    commands = parser.add_subparsers(required=True, metavar="command", dest="command")

    run = _command(commands, "run", _run, "execute the notebooks by papermill")
    _study_options(run)
    run.add_argument("--from", dest="first", default="01", help="first notebook, e.g. 04")
    run.add_argument("--to", dest="last", default="06", help="last notebook")
    run.add_argument("--fresh", action="store_true", help="redo what is up to date, too")
    run.add_argument(
        "--reference", action="store_true",
        help="take the published weights instead of training in 03; so does --from 04 where 03 "
        "was never run",
    )  # fmt: skip

    status = _command(commands, "status", _status, "which notebooks are up to date")
    _study_options(status)

    report = _command(
        commands, "report", _report, "one HTML page of a finished run, for people without Python"
    )
    _study_options(report)

    download = _command(commands, "download", _download, "fetch the dataset (880 MB)")
    download.add_argument("--data", metavar="DIR", help="folder to put it into (default: data/)")

    calibrate = _command(
        commands, "calibrate", _calibrate, "run the networks whose answer is known (half an hour)"
    )
    calibrate.add_argument("--seed", type=int, default=0, help="of the networks")

    train = _command(
        commands, "train", _train, "train, predict and audit folds of the cross-validation"
    )
    _study_options(train, default="paper-lite-cv")
    train.add_argument("--fold", type=int, action="append", help="may be repeated; default: all")
    train.add_argument("--recipe", default="", help="try it on validation persons only")

    leak = _command(commands, "leak", _leak, "what a split that leaks between persons is worth")
    _data_option(leak)
    leak.add_argument("--folds", type=int, default=1, help="of five, pooled; more, less scatter")
    leak.add_argument("--seed", type=int, default=0, help="of the networks")

    scratch = _command(
        commands, "scratch", _scratch, "train ResNet-50 from random weights for some minutes"
    )
    _data_option(scratch)
    scratch.add_argument("--minutes", type=float, default=20.0, help="then stop; again: go on")
    scratch.add_argument("--size", type=int, help="side of the slices in px (default: 128)")
    scratch.add_argument("--epochs", type=int, help="of the whole schedule (default: 10)")
    scratch.add_argument("--seed", type=int, default=0, help="of the network")

    publish = _command(commands, "publish", _publish, "copy what git may hold of a run to figures/")
    publish.add_argument("profile")
    publish.add_argument("--seed", type=int, default=0, help="of the run")
    publish.add_argument(
        "--from-rows", action="store_true",
        help="of a study without notebooks: tables and figures anew from its published rows",
    )  # fmt: skip

    card = _command(commands, "card", _card, "write a published run's MODEL_CARD.md anew")
    card.add_argument("folder", help="such as figures/paper-lite")

    verify = _command(commands, "verify", _verify, "recompute published tables from their rows")
    verify.add_argument("folders", nargs="*", help="default: every folder under figures/")

    _command(commands, "readme", _readme, "write README's and the notebooks' generated parts anew")
    compare = _command(commands, "compare", _compare, "hold two runs' results against each other")
    compare.add_argument("first", help="folder of a run, such as runs/demo")
    compare.add_argument("second", help="folder of another; the exit status is 1 if they differ")
    audit_command.add_parser(commands)
    return parser


def _command(commands, name, action, text):
    start = f"python -m tumorcf_lib {name}"
    lines = {f"{start} {words}".strip(): does for words, does in EXAMPLES[name].items()}
    width = max(map(len, lines))
    examples = "\n".join(f"  {line:<{width}}  {does}" for line, does in lines.items())
    command = commands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"examples\n{examples}", formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    command.set_defaults(action=action)
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


def _study(options):
    from tumorcf_lib import paths
    from tumorcf_lib.runs import runtime

    profile = runtime.resolve(options.profile)
    return runtime.Study(profile, options.seed, paths.run(profile.name))


def _run(options):
    from tumorcf_lib.runs import runner

    study = _study(options)
    if not study.profile.has_notebooks:
        _refuse_notebook_options(options, study)
    if study.profile.cohort == "calibration":
        return _calibrate(options)
    _find_dataset(options, study)
    if not study.profile.has_notebooks:
        return _train_folds(study, options.seed)
    runner.run(
        study, first=options.first, last=options.last, fresh=options.fresh,
        published=options.reference,
    )  # fmt: skip


def _refuse_notebook_options(options, study):
    from tumorcf_lib.runs import stages

    if (options.first, options.last) != ("01", "06") or options.fresh or options.reference:
        raise stages.StageError(
            f"Profile {study.profile.name!r} runs without notebooks, so --from, --to, --fresh and "
            f"--reference say nothing to it. To begin anew, remove runs/{study.profile.name}."
        )


def _find_dataset(options, study):
    """Say which profile is run and why; fetch the dataset if that is what was asked for."""
    from tumorcf_lib import paths
    from tumorcf_lib.data import archives
    from tumorcf_lib.runs import runtime

    folder, found = paths.data_folder(), archives.has_dataset(paths.data_folder())
    if paths.names_data_folder() and not found and options.profile in ("auto", *REAL_PROFILES):
        raise archives.not_found(folder, archives.lacking(archives.find(folder)))
    why = runtime.choose_profile()[1] if options.profile == "auto" else "as asked"
    print(f"Profile {study.profile.name}: {why}.")
    if not study.profile.is_phantom and not found:
        _download(options)


def _status(options):
    from tumorcf_lib import paths
    from tumorcf_lib.runs import stages

    study = _study(options)
    if not study.profile.has_notebooks:
        raise stages.StageError(
            f"Profile {study.profile.name!r} runs without notebooks, and status tells of these "
            f"only. What is finished of it lies in {paths.shown(study.folder)}."
        )
    for name in stages.NAMES:
        print(f"{name:<20} {stages.why_stale(study, name) or 'up to date'}")


def _report(options):
    from tumorcf_lib import paths
    from tumorcf_lib.publishing import run_page
    from tumorcf_lib.runs import progress

    with progress.clock("writing the page"):
        page = run_page.write(_study(options))
    print(f"One page, {page.stat().st_size / 1e6:.1f} MB: {paths.shown(page)}")
    print("It needs no Python and no network: open it in a browser, or send it to somebody.")


def _readme(options):
    from tumorcf_lib.publishing import readme

    readme.update()
    print("README.md and the openings of the notebooks are written anew.")


def _download(options):
    from tumorcf_lib import paths
    from tumorcf_lib.data import download

    download.download(paths.data_folder())


def _calibrate(options):
    from tumorcf_lib import config, paths
    from tumorcf_lib.networks import classifier
    from tumorcf_lib.runs import runner
    from tumorcf_lib.studies import calibration

    profile = config.get("calibration")
    with runner.only_run(paths.run(profile.name)):
        classifier.set_up(options.seed)
        calibration.run(paths.run(profile.name), profile, seed=options.seed)
    print(f"Rows of every network: {paths.shown(paths.run(profile.name))}")
    print("Publish them by: python -m tumorcf_lib publish calibration")


def _train(options):
    study = _study(options)
    _find_dataset(options, study)
    _train_folds(study, options.seed, fold_numbers=options.fold, recipe=options.recipe)


def _train_folds(study, seed, **chosen):
    from dataclasses import replace

    from tumorcf_lib.studies import crossval

    crossval.run(replace(study, seed=0), seed=seed, **chosen)
    print(f"Publish all finished folds by: python -m tumorcf_lib publish {study.profile.name}")


def _leak(options):
    from tumorcf_lib import paths
    from tumorcf_lib.runs import runner
    from tumorcf_lib.studies import leak

    with runner.only_run(paths.run("leak")):
        folder = leak.run_study(n_folds=options.folds, seed=options.seed)
    print(f"Rows of every arm: {paths.shown(folder)}")
    print("Publish them by: python -m tumorcf_lib publish leak")


def _scratch(options):
    from dataclasses import replace

    from tumorcf_lib import paths
    from tumorcf_lib.runs import runner
    from tumorcf_lib.studies import scratch

    chosen = {"size_px": options.size, "epochs": options.epochs}
    profile = replace(scratch.PROFILE, **{k: v for k, v in chosen.items() if v is not None})
    folder = paths.run(scratch.NAME)
    with runner.only_run(folder):
        scratch.run(folder, profile, minutes=options.minutes, seed=options.seed)
    print(f"Publish it by: python -m tumorcf_lib publish {scratch.NAME}")


def _publish(options):
    from tumorcf_lib.publishing import publish

    publish.publish(options.profile, seed=options.seed, from_rows=options.from_rows)


def _card(options):
    from tumorcf_lib import paths
    from tumorcf_lib.publishing import model_card

    print(f"Written anew: {paths.shown(model_card.renew(options.folder))}")


def _verify(options):
    from tumorcf_lib.publishing import publish

    return publish.verify_all(options.folders)


def _compare(options):
    from tumorcf_lib.runs import compare

    return compare.run(options.first, options.second)


def _named_errors():
    """Errors whose message is written for people: shown without a traceback."""
    from tumorcf_lib import config
    from tumorcf_lib.data import download, figshare
    from tumorcf_lib.publishing import publish, readme, run_page
    from tumorcf_lib.runs import compare, reference, runner, stages
    from tumorcf_lib.studies import crossval, leak_splits, scratch, side_studies

    return (
        compare.NoRunError, config.UnknownProfileError, crossval.UnitError, download.DownloadError,
        figshare.DatasetError, leak_splits.LeakInputError, publish.PublishError, readme.ReadmeError,
        reference.ReferenceWeightsError, run_page.RunPageError, runner.NotebookError,
        scratch.ScratchSettingsError, side_studies.UnfinishedStudyError, stages.StageError, OSError,
        *audit_command.errors(),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
