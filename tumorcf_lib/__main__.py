"""Command line: ``python -m tumorcf_lib --help``."""

import argparse
import os
import sys

from tumorcf_lib import audit_command

DESCRIPTION = """\
Does a brain-tumor classifier look at the tumor? Run, publish and check the study.

examples
  python -m tumorcf_lib run                          six notebooks, profile chosen for this machine
  python -m tumorcf_lib run --profile demo --from 04 again from the evaluation on
  python -m tumorcf_lib status --profile demo        what is up to date, and why not
  python -m tumorcf_lib download                     the published archives (880 MB) into data/
  python -m tumorcf_lib verify figures/paper-lite    recompute published tables from their rows
  python -m tumorcf_lib audit --help                 audit a classifier of your own
"""


REAL_PROFILES = ("paper-lite", "paper-lite-cv", "paper")


def main(arguments=None) -> int:
    """Parse the command line, do what it asks, return the exit status."""
    options = _parser().parse_args(arguments)
    if getattr(options, "data", None):
        os.environ["TUMORCF_DATA"] = os.path.abspath(os.path.expanduser(options.data))
    try:
        return options.action(options) or 0
    except KeyboardInterrupt:
        print("\nStopped. Finished notebooks and training epochs are kept: run the same again.")
        return 130
    except _named_errors() as error:
        print(f"\n{type(error).__name__}: {error}", file=sys.stderr)
        return 1


def _parser():
    parser = argparse.ArgumentParser(
        prog="tumorcf_lib", description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = parser.add_subparsers(required=True, metavar="command")

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

    download = _command(commands, "download", _download, "fetch the dataset (880 MB)")
    download.add_argument("--data", help="folder to put it into (default: data/)")

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
    leak.add_argument("--data", help="folder of the dataset (default: TUMORCF_DATA, else data/)")
    leak.add_argument("--folds", type=int, default=1, help="of five, pooled; more, less scatter")
    leak.add_argument("--seed", type=int, default=0, help="of the networks")

    scratch = _command(
        commands, "scratch", _scratch, "train ResNet-50 from random weights for some minutes"
    )
    scratch.add_argument("--data", help="folder of the dataset (default: TUMORCF_DATA, else data/)")
    scratch.add_argument("--minutes", type=float, default=20.0, help="then stop; again: go on")
    scratch.add_argument("--size", type=int, help="side of the slices in px (default: 128)")
    scratch.add_argument("--epochs", type=int, help="of the whole schedule (default: 10)")
    scratch.add_argument("--seed", type=int, default=0, help="of the network")

    publish = _command(commands, "publish", _publish, "copy what git may hold of a run to figures/")
    publish.add_argument("profile")
    publish.add_argument("--seed", type=int, default=0, help="of the run")

    card = _command(commands, "card", _card, "write a published run's MODEL_CARD.md anew")
    card.add_argument("folder", help="such as figures/paper-lite")

    verify = _command(commands, "verify", _verify, "recompute published tables from their rows")
    verify.add_argument("folders", nargs="*", help="default: every folder under figures/")

    compare = _command(commands, "compare", _compare, "hold two runs' results against each other")
    compare.add_argument("first", help="folder of a run, such as runs/demo")
    compare.add_argument("second", help="folder of another; the exit status is 1 if they differ")
    audit_command.add_parser(commands)
    return parser


def _command(commands, name, action, text):
    command = commands.add_parser(name, help=text, description=text)
    command.set_defaults(action=action)
    return command


def _study_options(parser, *, default="auto"):
    parser.add_argument(
        "--profile", default=os.environ.get("TUMORCF_PROFILE", default),
        help="smoke, demo, calibration, paper-lite, paper-lite-cv, paper or auto",
    )  # fmt: skip
    parser.add_argument("--data", help="folder of the dataset (default: TUMORCF_DATA, else data/)")
    parser.add_argument(
        "--seed", type=int, default=int(os.environ.get("TUMORCF_SEED", 0)),
        help="of training and sham places",
    )  # fmt: skip


def _study(options):
    from tumorcf_lib import paths, runtime

    profile = runtime.resolve(options.profile)
    return runtime.Study(profile, options.seed, paths.run(profile.name))


def _run(options):
    from tumorcf_lib import runner

    study = _study(options)
    is_calibration, is_pooled = study.profile.cohort == "calibration", study.profile.n_folds > 1
    if is_calibration or is_pooled:
        _refuse_notebook_options(options, study)
    if is_calibration:
        return _calibrate(options)
    _find_dataset(options, study)
    if is_pooled:
        return _train_folds(study, options.seed)
    runner.run(
        study, first=options.first, last=options.last, fresh=options.fresh,
        published=options.reference,
    )  # fmt: skip


def _refuse_notebook_options(options, study):
    from tumorcf_lib import stages

    if (options.first, options.last) != ("01", "06") or options.fresh or options.reference:
        raise stages.StageError(
            f"Profile {study.profile.name!r} runs without notebooks, so --from, --to, --fresh and "
            f"--reference say nothing to it. To begin anew, remove runs/{study.profile.name}."
        )


def _find_dataset(options, study):
    """Say which profile is run and why; fetch the dataset if that is what was asked for."""
    from tumorcf_lib import archives, paths, runtime

    folder, found = paths.data_folder(), archives.has_dataset(paths.data_folder())
    if paths.names_data_folder() and not found and options.profile in ("auto", *REAL_PROFILES):
        raise archives.not_found(folder, archives.lacking(archives.find(folder)))
    why = runtime.choose_profile()[1] if options.profile == "auto" else "as asked"
    print(f"Profile {study.profile.name}: {why}.")
    if not study.profile.is_phantom and not found:
        _download(options)


def _status(options):
    from tumorcf_lib import stages

    study = _study(options)
    for name in stages.NAMES:
        print(f"{name:<20} {stages.why_stale(study, name) or 'up to date'}")


def _download(options):
    from tumorcf_lib import download, paths

    download.download(paths.data_folder())


def _calibrate(options):
    from tumorcf_lib import calibration, classifier, config, paths

    profile = config.get("calibration")
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

    from tumorcf_lib import crossval

    crossval.run(replace(study, seed=0), seed=seed, **chosen)
    print(f"Publish all finished folds by: python -m tumorcf_lib publish {study.profile.name}")


def _leak(options):
    from tumorcf_lib import leak, paths

    folder = leak.run_study(n_folds=options.folds, seed=options.seed)
    print(f"Rows of every arm: {paths.shown(folder)}")
    print("Publish them by: python -m tumorcf_lib publish leak")


def _scratch(options):
    from dataclasses import replace

    from tumorcf_lib import paths, scratch

    chosen = {"size_px": options.size, "epochs": options.epochs}
    profile = replace(scratch.PROFILE, **{k: v for k, v in chosen.items() if v is not None})
    scratch.run(paths.run(scratch.NAME), profile, minutes=options.minutes, seed=options.seed)
    print(f"Publish it by: python -m tumorcf_lib publish {scratch.NAME}")


def _publish(options):
    from tumorcf_lib import publish

    publish.publish(options.profile, seed=options.seed)


def _card(options):
    from tumorcf_lib import model_card, paths

    print(f"Written anew: {paths.shown(model_card.renew(options.folder))}")


def _verify(options):
    from tumorcf_lib import publish

    return publish.verify_all(options.folders)


def _compare(options):
    from tumorcf_lib import compare

    return compare.run(options.first, options.second)


def _named_errors():
    """Errors whose message is written for people: shown without a traceback."""
    from tumorcf_lib import (
        compare,
        config,
        crossval,
        download,
        figshare,
        leak_splits,
        publish,
        readme,
        reference,
        runner,
        scratch,
        side_studies,
        stages,
    )

    return (
        compare.NoRunError, config.UnknownProfileError, crossval.UnitError, download.DownloadError,
        figshare.DatasetError, leak_splits.LeakInputError, publish.PublishError, readme.ReadmeError,
        reference.ReferenceWeightsError, runner.NotebookError, scratch.ScratchSettingsError,
        side_studies.UnfinishedStudyError, stages.StageError, OSError, *audit_command.errors(),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
