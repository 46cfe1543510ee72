"""What each command does, and its options; the command line itself is ``__main__``."""

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
from dataclasses import replace

from tumorcf_lib import config

TESTS = (  # in the files' own order: slow ones with few tests would come last, on one core alone
    "-rfEs -n 2 --dist loadfile --no-loadscope-reorder --ignore tests/test_browser.py "
    "tests tumorcf_lib",
    "-p no:cacheprovider --nbval-lax --nbval-cell-timeout=300 notebooks",
    "-rfEs -p no:cacheprovider tests/test_browser.py",  # looks at what nbval ran
)
COMMANDS = {}  # name -> the function that does it, and its options


def lib(name):
    """A module of the library, imported only when a command needs it."""
    return importlib.import_module(f"tumorcf_lib.{name}")


def _seed(text):
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"expected a whole number below 2**32, got {text!r}")
    return int(text)


def _named(text):
    if text.strip():
        return text
    raise argparse.ArgumentTypeError("expected a name, got an empty one")


def _profile(text):
    try:
        return text if _named(text) == "auto" else config.get(text).name
    except config.UnknownProfileError as error:
        raise argparse.ArgumentTypeError(error) from None


def folder(text):  # run_all.sh changes the folder, and says where it was called
    return os.path.join(os.environ.get("TUMORCF_FROM", ""), os.path.expanduser(_named(text)))


def option(*names, **settings):  # as add_argument takes it
    return names, settings


def command(*options):
    """Make a function a command. Its docstring is the help: what it does, then options to try."""

    def register(function):
        COMMANDS[function.__name__.replace("_", "-")] = function, options
        return function

    return register


PROFILES = f"{', '.join(config.PROFILES)}; auto: what fits here"
PROFILE = option("--profile", metavar="NAME", type=_profile, default="auto", help=PROFILES)
SEED = option("--seed", metavar="N", type=_seed, default="0", help="of training and of sham places")
FOLDER = option("--data", metavar="DIR", type=folder, help="folder of the dataset, else data/")
DATA = (FOLDER, option("--partial", action="store_true", help="go on with a part of the dataset"))
DATA_SEED = (*DATA, SEED)
STUDY = (PROFILE, *DATA_SEED)
CV = (
    option("--profile", type=_profile, default="paper-lite-cv", help="one with folds"),
    *DATA_SEED,
)
KINDS = "shuffled (labels), without_mr (no patient MR...), lighter (views), hardened, looking"
FOLD = option("--fold", type=int, action="append", help="several may be given; default: all")


def _study(options, *, of_notebooks=False):
    profile = lib("study.runtime").resolve(options.profile)
    if of_notebooks and not profile.has_notebooks:
        raise lib("study.stages").StageError(
            f"Profile {profile.name!r} runs without notebooks: status, report, --from and --to do "
            "not apply, but the commands calibrate, or prepare, train and pool. Its results: "
            f"{config.shown(config.published(profile.name))}; to begin again, remove "
            f"{config.shown(config.run(profile.name))}."
        )
    return lib("study.runtime").Study(profile, options.seed, config.run(profile.name))


def _of_folds(options, **unit):
    """The study that all units share, whatever the seed of their training.

    What does not exist is refused before a dataset is fetched."""
    study = _study(options)
    lib("study.folds").check(study, getattr(options, "fold", None), **unit)
    lib("study.runtime").find_dataset(study, options.profile == "auto")
    return replace(study, seed=0)


def _alone(module, name, **how):
    with lib("study.notebooks").only_run(config.run(name)):
        lib(f"study.{module}").run(config.run(name), **how)
    print(f"Publish it by: python -m tumorcf_lib publish {name}")


@command(
    *STUDY,
    option("--from", dest="first", metavar="04", default="", help="begin at this notebook"),
    option("--to", dest="last", metavar="05", default="", help="end at this notebook"),
)
def run(options):
    """run the numbered notebooks, or the study of a profile without notebooks

    --profile paper-lite --data ~/figshare  the real slices
    --profile demo --from 04                again from the evaluation on
    """
    study = _study(options, of_notebooks=bool(options.first or options.last))
    lib("study.stages").between(options.first, options.last)  # refused before anything is fetched
    if study.profile.cohort == "calibration":
        return calibrate(options)
    if not study.profile.has_notebooks:
        lib("study.folds").run(study := _of_folds(options), seed=options.seed)
        return _pool(study)
    lib("study.runtime").find_dataset(study, options.profile == "auto")
    lib("study.notebooks").run(study, first=options.first, last=options.last)


@command(*STUDY)
def status(options):
    """which notebooks are up to date, and why others are not"""
    study, stages = _study(options, of_notebooks=True), lib("study.stages")
    for name in stages.NAMES:
        print(f"{name:<20} {stages.why_stale(study, name) or 'up to date'}")


@command(*STUDY)
def report(options):
    """one HTML page of a finished run, runs/<profile>/report.html"""
    lib("publish.page").write(_study(options, of_notebooks=True))


@command(FOLDER)
def download(options):
    """fetch the dataset (880 MB); what was cut off is resumed"""
    lib("data.download").download(config.data_folder())


@command(SEED)
def calibrate(options):
    """run the networks whose answer is known"""
    _alone("calibration", "calibration", seed=options.seed)


@command(
    *CV,
    FOLD,
    option("--recipe", default="", help="try it on the inner fold --seed"),
    option("--network", metavar="KIND", default="plain", help=f"or: {KINDS}"),
)
def train(options):
    """train, predict and audit folds of the cross-validation

    --fold 2 --seed 1  one unit, for one of several machines
    """
    unit = {name: getattr(options, name) for name in ("seed", "recipe", "network")}
    lib("study.folds").run(_of_folds(options, **unit), options.fold, **unit)


@command(*CV)
def prepare(options):
    """make slices, split and inputs for all units, before they are trained"""
    lib("study.folds").prepare(_of_folds(options))


@command(*CV, FOLD)
def masks(options):
    """find the tumors by a U-Net, audit what it found"""
    lib("study.fold_controls").find_masks(_of_folds(options), options.fold, options.seed)


@command(*CV, FOLD, option("--contrast", action="store_true", help="only what removals leave"))
def controls(options):
    """probes, detector, planes, covariates, contrast left, of folds; no trained unit is needed"""
    lib("study.fold_controls").run(_of_folds(options), options.fold, options.contrast)


@command(*CV, option("--check", action="store_true", help="also draw and verify all of it"))
def pool(options):
    """put the finished units together; 1 if a seed lacks a fold"""
    return _pool(_of_folds(options), check=options.check)


def _pool(study, check=False):
    units = lib("study.pool").pool(study, published=config.published(study.profile.name))
    if lacking := lib("study.pool").lacking(units, study.profile.n_folds):
        print(*lacking, sep="\n", file=sys.stderr)
        return 1
    if check:
        done = study.folder / "published"
        lib("study.pooled").publish_pooled(units, study.folder, done, profile=study.profile)
        return lib("publish.publish").verify_all([done])


@command(*DATA_SEED)
def leak(options):
    """measure what a leaking split is worth"""
    _alone("leak", "leak", seed=options.seed)


@command(
    *DATA_SEED,
    option("--minutes", type=float, default=20.0, help="then stop; run again to go on"),
)
def scratch(options):
    """train a ResNet-50 from random weights"""
    _alone("scratch", "resnet50-scratch", minutes=options.minutes, seed=options.seed)


@command(
    option("profile"),
    *DATA_SEED,
    option("--from-rows", action="store_true", help="rebuild from published rows; needs no run"),
)
def publish(options):
    """copy what git may hold of a run to figures/

    demo                       figures/demo and the notebooks, from runs/demo
    paper-lite-cv --from-rows  its tables and figures, from published rows
    """
    lib("publish.publish").publish(options.profile, seed=options.seed, from_rows=options.from_rows)


@command(option("folder"), option("--h5", help="write weights as .weights.h5 there instead"))
def card(options):
    """rebuild a MODEL_CARD.md, after its tables were published again"""
    lib("publish.card").renew(options.folder, options.h5)


@command(option("folders", nargs="*"))
def verify(options):
    """recompute published tables from their rows, by default of all folders"""
    return lib("publish.publish").verify_all(options.folders)


@command(option("first"), option("second"))
def compare(options):
    """compare the results of two runs; 1 if any row, table or figure differs"""
    return lib("publish.compare").run(options.first, options.second)


@command()
def readme(options):
    """rebuild README's generated parts, RESULTS.md and the openings of the notebooks"""
    lib("publish.texts").update()


@command(*STUDY)
def lab(options):
    """open the notebooks in JupyterLab"""
    print("JupyterLab opens in your browser, or at the address below; Ctrl+C ends it.", flush=True)
    os.chdir(config.ROOT)
    os.environ |= {"TUMORCF_SEED": str(options.seed), "TUMORCF_COMMAND": ""}
    if options.profile != "auto":
        os.environ["TUMORCF_PROFILE"] = options.profile
    words = ["jupyterlab", "notebooks/01_data.ipynb", f"--ServerApp.root_dir={config.ROOT}"]
    os.execv(sys.executable, [sys.executable, "-m", *words])


@command(FOLDER)
def test(options, chosen=("-m", "not monthly"), n_more=0):
    """unit tests, doctests, and all notebooks in the smoke profile"""
    base = [sys.executable, "-m", "pytest", "-q", *chosen]
    units, notebooks, *more = ([*base, *words.split()] for words in TESTS)
    with tempfile.TemporaryDirectory() as place, open(f"{place}/notebooks.txt", "w+") as said:
        own = {"TUMORCF_RUNS": f"{place}/runs", "TUMORCF_PROFILE": "smoke", "TUMORCF_COMMAND": ""}
        how = {"cwd": config.ROOT, "env": os.environ | own}
        # Beside the unit tests: kernels that start one after the other fill no core
        with subprocess.Popen(notebooks, stdout=said, stderr=said, **how) as beside:
            found = [subprocess.call(units, **how), beside.wait()]
        said.seek(0)
        print("== notebooks, by nbval", said.read(), sep="\n", flush=True)
        return max(found + [subprocess.call(call, **how) for call in more[:n_more]])


@command(FOLDER)
def test_all(options):
    """the same, with what is slow and rare: browser, kills, the path of the ResNet-50"""
    return test(options, (), n_more=1)


@command()
def setup(options):
    """only set up .venv (an active environment that has every pin is used)"""
    print(f"Python of this project: {sys.executable}")
