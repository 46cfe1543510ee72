"""Command line: ``python -m tumorcf_lib --help``, and all options of ``run_all.sh``."""

import argparse
import errno
import importlib
import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import replace

from tumorcf_lib import config

STOPPED = """
Stopped. Nothing that was finished is lost; the same command goes on from there:
    {command}"""
STOPPED_SHORT = "\nStopped. This command keeps nothing unfinished; run it again:\n    {command}"
FULL = """The disk is full. Free some room, or let runs write elsewhere (TUMORCF_RUNS=<folder>).
Nothing that was finished is lost; then the same command goes on: {command}"""
LACKING = """This Python ({python}) lacks the package {name}. In the repository's folder, type
source .venv/bin/activate, then the same command again. ./run_all.sh --setup makes .venv."""
NO_REPOSITORY = """This command needs the repository, not only the installed package: git clone
it and run the command there. `python -m tumorcf_lib audit` works anywhere."""
MODES = ("report", "lab", "test", "test-all", "setup")
TESTS = {
    # In the files' own order: the slow ones with few tests would come last, on one core alone
    "unit tests and doctests": "-rs --durations=5 -n 2 --dist loadfile --no-loadscope-reorder "
    "--ignore tests/test_browser.py tests tumorcf_lib",
    "notebooks, by nbval": "-p no:cacheprovider --nbval-lax --nbval-cell-timeout=300 notebooks",
    "what nbval ran, in a browser": "-rs -p no:cacheprovider tests/test_browser.py",
}


def lib(name):
    """A module of the library, imported only when a command needs it."""
    return importlib.import_module(f"tumorcf_lib.{name}")


def option(*names, **settings):
    """One option of a command, as ``add_argument`` takes it."""
    return names, settings


def _seed(text):
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"expected a whole number below 2**32, got {text!r}")
    return int(text)


def _named(text):
    if text.strip():
        return text
    raise argparse.ArgumentTypeError("expected a name, got an empty one")


def _folder(text):  # run_all.sh changes the folder, and says where it was called
    return os.path.join(os.environ.get("TUMORCF_FROM", ""), os.path.expanduser(_named(text)))


def main(arguments=None) -> int:
    """Parse the command line, do what it asks, return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    for name in filter(os.environ.get, ("TUMORCF_DATA", "TUMORCF_RUNS")):
        os.environ[name] = os.path.abspath(_folder(os.environ[name]))
    mode, words = None, arguments
    if arguments[:1] == ["run_all"]:  # run_all.sh: a run, unless --lab or the like is given
        mode = next((mode for mode in MODES if f"--{mode}" in arguments), "run")
        words = [word for word in arguments[1:] if word != f"--{mode}"]
    options = _parser(mode).parse_args(words)
    if os.environ.pop("TUMORCF_CHECK", ""):  # are the options right? Before anything is installed
        return 0
    os.environ.pop("TUMORCF_FROM", None)
    if getattr(options, "data", None):
        os.environ["TUMORCF_DATA"] = os.path.abspath(options.data)
    if getattr(options, "partial", False):
        os.environ["TUMORCF_PARTIAL"] = "1"
    typed = os.environ.get("TUMORCF_COMMAND", "").strip()
    again = (typed or f"python -m tumorcf_lib {shlex.join(arguments)}").replace(" --fresh", "")
    try:
        anywhere = options.command in ("audit", "compare", "manifest")
        if not anywhere and not config.NOTEBOOKS.is_dir():
            return print(NO_REPOSITORY, file=sys.stderr) or 1
        done = options.action(options)
        return done if isinstance(done, int) else 0
    except KeyboardInterrupt:
        print((STOPPED if options.command in GOES_ON else STOPPED_SHORT).format(command=again))
        return 130
    except ModuleNotFoundError as error:
        if (error.name or "tumorcf_lib").startswith("tumorcf_lib"):
            raise
        print(LACKING.format(python=sys.executable, name=error.name), file=sys.stderr)
        return 1
    except Exception as error:  # the project's own errors are written for people
        if not (isinstance(error, OSError) or type(error).__module__.startswith("tumorcf_lib")):
            raise
        print(f"\n{type(error).__name__}: {error}", file=sys.stderr)
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            print(FULL.format(command=again), file=sys.stderr)
        return 1


def _parser(mode=None):
    """The parser of all commands, or of run_all.sh in a mode."""
    parser = argparse.ArgumentParser(
        prog="python -m tumorcf_lib",
        epilog="Every command has examples: COMMAND --help",
        description="Does a brain-tumor classifier look at the tumor? Run, publish and check.",
    )
    parsers = parser.add_subparsers(required=True, metavar="command", dest="command")
    inherited = {
        "--profile": os.environ.get("TUMORCF_PROFILE"),
        "--seed": os.environ.get("TUMORCF_SEED"),
    }
    for name, (action, text, options, examples) in COMMANDS.items():
        start = "./run_all.sh --" if mode else "python -m tumorcf_lib "
        start = f"{start}{name}".removesuffix(" --run")
        lines = (f"  {f'{start} {words}'.strip():<56}  {does}" for words, does in examples.items())
        epilog = "\n".join(["examples", *lines])
        if mode and name == "run":
            others = (f"  --{other:<10} {COMMANDS[other][1]}" for other in MODES)
            epilog = "\n".join(["instead of a run", *others, "", epilog])
        own = parsers.add_parser(
            name,
            help=text,
            prog=start,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        own.set_defaults(action=action, command=name)
        for (first, *more), settings in options:
            given = {"default": inherited[first]} if inherited.get(first) else {}
            own.add_argument(first, *more, **settings | given)
    if mode:
        return parsers.choices[mode]
    lib("your_model.audit").add_parser(parsers)
    return parser


def _study(options, *, of_notebooks=False):
    profile = lib("study.runtime").resolve(options.profile)
    if of_notebooks and not profile.has_notebooks:
        raise lib("study.stages").StageError(
            f"Profile {profile.name!r} runs without notebooks: status, --from, --to, --fresh and "
            f"--reference do not apply. Its files: {config.shown(config.run(profile.name))}; "
            "to begin again, remove that folder."
        )
    return lib("study.runtime").Study(profile, options.seed, config.run(profile.name))


def _find_dataset(options, study):
    """Say which profile is run and why; fetch the dataset if that is what was asked for."""
    finding, folder = lib("data.finding"), config.data_folder()
    found, is_auto = finding.has_dataset(folder), options.profile == "auto"
    if config.names_data_folder() and not found and (is_auto or not study.profile.is_phantom):
        finding.require(folder)
    why = lib("study.runtime").choose_profile()[1] if is_auto else "as asked"
    print(f"Profile {study.profile.name}: {why}.")
    if not study.profile.is_phantom and not found:
        lib("data.download").download(folder)


def run(options):
    chosen = (options.first, options.last) != ("01", "06") or options.fresh or options.reference
    study = _study(options, of_notebooks=chosen)
    if study.profile.cohort == "calibration":
        return COMMANDS["calibrate"][0](options)
    if not study.profile.has_notebooks:
        return train(options) or pool(options)
    _find_dataset(options, study)
    lib("study.notebooks").run(
        study,
        first=options.first,
        last=options.last,
        fresh=options.fresh,
        published=options.reference,
    )


def _alone(module, name, *given):
    """A command that does a study without notebooks, unless another process does."""

    def command(options):
        with lib("study.notebooks").only_run(config.run(name)):
            lib(f"study.{module}").run_study(**{key: vars(options)[key] for key in given})
        print(f"Publish it by: python -m tumorcf_lib publish {name}")

    return command


def _of_folds(options):
    study = _study(options)
    _find_dataset(options, study)
    return replace(study, seed=0)


def train(options):
    get = vars(options).get
    lib("study.folds").run(
        _of_folds(options),
        seed=options.seed,
        fold_numbers=get("fold"),
        recipe=get("recipe", ""),
        network=get("network", "plain"),
    )


def pool(options):
    study = _of_folds(options)
    units = lib("study.pool").pool(study, published=config.published(study.profile.name))
    if lacking := lib("study.pool").lacking(units, study.profile.n_folds):
        return print("\n".join(lacking), file=sys.stderr) or 1
    if vars(options).get("check"):
        done = study.folder / "published"
        lib("study.pooled").publish(study.folder, done, profile=study.profile)
        return lib("publish.publish").verify_all([done])


def lab(options):
    _study(options)  # a wrong name is reported here, not in a notebook
    chosen = {} if options.profile == "auto" else {"TUMORCF_PROFILE": options.profile}
    environment = {
        "MALLOC_ARENA_MAX": "1",
        **os.environ,
        **chosen,  # TensorFlow's memory on Linux
        "TUMORCF_SEED": str(options.seed),
        "TUMORCF_COMMAND": "",
    }
    print(
        "JupyterLab opens in your browser, or at the address printed below. Run the notebooks in "
        "order (menu Run > Run All Cells). Ctrl+C here ends JupyterLab.",
        flush=True,
    )
    os.chdir(config.ROOT)
    os.execve(
        sys.executable,
        [
            sys.executable,
            "-m",
            "jupyterlab",
            "notebooks/01_data.ipynb",
            f"--ServerApp.root_dir={config.ROOT}",
        ],
        environment,
    )


def test(options, chosen=("-m", "not monthly"), n_steps=2):
    with tempfile.TemporaryDirectory() as folder:
        own = {"TUMORCF_RUNS": f"{folder}/runs", "TUMORCF_PROFILE": "smoke", "TUMORCF_COMMAND": ""}
        for title, words in list(TESTS.items())[:n_steps]:
            print(f"== {title}", flush=True)
            call = [sys.executable, "-m", "pytest", "-q", *chosen, *words.split()]
            if status := subprocess.call(call, cwd=config.ROOT, env=os.environ | own):
                return status


DATA = (
    option("--data", metavar="DIR", type=_folder, help="folder of the dataset, else data/"),
    option("--partial", action="store_true", help="go on with a part of the dataset"),
)
SEED = option("--seed", metavar="N", type=_seed, default="0", help="of training and of sham places")
STUDY = (
    option(
        "--profile",
        metavar="NAME",
        type=_named,
        default="auto",
        help="smoke, demo, "
        "calibration, paper-lite, paper-lite-cv, paper; auto: what fits this machine",
    ),
    *DATA,
    SEED,
)
RUN = (
    option("--from", dest="first", metavar="04", default="01", help="begin at this notebook"),
    option("--to", dest="last", metavar="05", default="06", help="end at this notebook"),
    option("--fresh", action="store_true", help="redo what is up to date, too"),
    option("--reference", action="store_true", help="published weights in place of 03's"),
)
CV = (option("--profile", type=_named, default="paper-lite-cv", help="one with folds"), *DATA, SEED)
FOLD = option("--fold", type=int, action="append", help="several may be given; default: all")
TRAIN = (
    *CV,
    FOLD,
    option("--recipe", default="", help="try it on validation patients only"),
    option(
        "--network",
        metavar="KIND",
        default="plain",
        help="or: shuffled (labels), without_mr (no patient MR...), hardened, looking",
    ),
)
SCRATCH = (
    *DATA,
    SEED,
    option("--epochs", type=int, help="of the whole schedule (default: 10)"),
    option("--minutes", type=float, default=20.0, help="then stop; run again to go on"),
    option("--size", type=int, help="side of the slices in px (default: 128)"),
)
CHECK = option("--check", action="store_true", help="also draw and verify tables and figures")
ROWS = option("--from-rows", action="store_true", help="rebuild from published rows; needs no run")
GOES_ON = ("run", "download", "calibrate", "prepare", "train", "masks", "leak", "scratch")
COMMANDS = {
    "run": (
        run,
        "run the notebooks 01 to 06, or the study of a profile without notebooks",
        (*STUDY, *RUN),
        {
            "": "the profile that fits this machine",
            "--profile paper-lite --data ~/figshare": "the real slices",
            "--profile demo --from 04": "again from the evaluation on",
        },
    ),
    "status": (
        lambda o: lib("study.stages").tell(_study(o, of_notebooks=True)),
        "which notebooks are up to date",
        STUDY,
        {"": "and why others are not"},
    ),
    "report": (
        lambda o: lib("publish.page").write(_study(o)),
        "one HTML page of a finished run, for people without Python",
        STUDY,
        {"--profile demo": "runs/demo/report.html"},
    ),
    "download": (
        lambda o: lib("data.download").download(config.data_folder()),
        "fetch the dataset (880 MB)",
        DATA[:1],
        {"": "into data/; what was cut off is resumed", "--data ~/figshare": "elsewhere"},
    ),
    "calibrate": (
        _alone("calibration", "calibration", "seed"),
        "run the networks whose answer is known",
        (SEED,),
        {"": "half an hour"},
    ),
    "train": (
        train,
        "train, predict and audit folds of the cross-validation",
        TRAIN,
        {"": "all folds", "--fold 2 --seed 1": "one unit, for one of several machines"},
    ),
    "prepare": (
        lambda o: lib("study.folds").prepare(_of_folds(o)),
        "make slices, split and inputs for all units",
        CV,
        {"--profile smoke-cv": "once, before its units"},
    ),
    "masks": (
        lambda o: lib("study.predicted_masks").run(_of_folds(o), o.fold, o.seed),
        "find the tumors by a U-Net, audit what it found",
        (*CV, FOLD),
        {"--fold 2": "of one fold"},
    ),
    "pool": (
        pool,
        "put the finished units together; 1 if a seed lacks a fold",
        (*CV, CHECK),
        {"--profile smoke-cv": "after its units"},
    ),
    "leak": (
        _alone("leak", "leak", "n_folds", "seed"),
        "measure what a leaking split is worth",
        (*DATA, SEED, option("--folds", dest="n_folds", type=int, default=5, help="of five")),
        {"": "all five folds", "--folds 1": "one fold"},
    ),
    "scratch": (
        _alone("scratch", "resnet50-scratch", "size", "epochs", "minutes", "seed"),
        "train a ResNet-50 from random weights",
        SCRATCH,
        {"--minutes 20": "begin, or go on"},
    ),
    "publish": (
        lambda o: lib("publish.publish").publish(o.profile, seed=o.seed, from_rows=o.from_rows),
        "copy what git may hold of a run to figures/",
        (option("profile"), SEED, ROWS),
        {
            "demo": "figures/demo and the notebooks, from runs/demo",
            "paper-lite-cv --from-rows": "its tables and figures, from published rows",
        },
    ),
    "card": (
        lambda o: lib("publish.card").renew(o.folder, o.h5),
        "rebuild a MODEL_CARD.md",
        (option("folder"), option("--h5", help="write weights as .weights.h5 there instead")),
        {"figures/paper-lite": "after its tables were published again"},
    ),
    "verify": (
        lambda o: lib("publish.publish").verify_all(o.folders),
        "recompute published tables from their rows",
        (option("folders", nargs="*"),),
        {"": "every folder under figures/", "figures/demo figures/paper-lite": "these two"},
    ),
    "compare": (
        lambda o: lib("publish.compare").run(o.first, o.second),
        "compare the results of two runs",
        (option("first"), option("second")),
        {"runs/demo /tmp/other/runs/demo": "1 if any row, table or figure differs"},
    ),
    "readme": (
        lambda o: lib("publish.texts").update(),
        "rebuild README's generated parts, RESULTS.md and the openings of the notebooks",
        (),
        {"": "after results changed"},
    ),
    "lab": (lab, "open the notebooks in JupyterLab", STUDY, {"--profile demo": "they run demo"}),
    "test": (
        test,
        "unit tests, doctests, and all notebooks in the smoke profile",
        DATA[:1],
        {"": "without what is slow and rare"},
    ),
    "test-all": (
        lambda o: test(o, (), len(TESTS)),
        "the same, with what is slow and rare: browser, kills, the path of the ResNet-50",
        DATA[:1],
        {"": "once a month"},
    ),
    "setup": (
        lambda o: print(f"Python of this project: {sys.executable}"),
        "only set up .venv (an active environment that has every pin is used)",
        (),
        {"": "from exact pins"},
    ),
}


if __name__ == "__main__":
    sys.exit(main())
