"""ResNet-50 from random weights on the real slices, as far as some minutes carry it.

The paper's network starts from ImageNet weights (profile "paper"). Where those cannot be had,
the same architecture can still be trained from nothing. What comes of it is labeled for what it
is: it says how far random weights and few minutes go, and nothing about the paper's network.
"""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.data import finding, preprocess
from tumorcf_lib.data import split as splits
from tumorcf_lib.networks import memory
from tumorcf_lib.study import made_by, side_studies, sources, unit
from tumorcf_lib.tables import study

NAME = "resnet50-scratch"
PROFILE = replace(
    config.get("paper"),
    name=NAME, purpose="ResNet-50 from random weights, not the paper's network", weights=None,
    size_px=128, epochs=10, patience=6, warmup_epochs=0, batch_size=16, learning_rate=1e-3,
    freeze_norms=False,  # there is no pretrained state to keep
    # Norms follow the last step, so a mean over steps that still move far does not fit them.
    ema_momentum=0.0,
)  # fmt: skip
"""Recipe of :func:`run`: about 20 minutes on 2 cores. The split is that of "paper-lite"."""

SMALLEST_PX = 32  # ResNet-50 halves its input five times
INPUTS, WEIGHTS, KEPT = "inputs.npy", "weights.npz", "history_kept.csv"
DEVICES, SETTINGS = "devices.csv", "settings.json"
PARTS = {"validation": "rows_validation.csv.gz", "test": "rows_predictions.csv.gz"}


class ScratchSettingsError(ValueError):
    """Minutes, a size or a number of epochs that cannot be trained with."""


class _TimeIsUpError(Exception):
    """Ends a training between two epochs, when the last one's checkpoint is written."""


def run(folder, profile=PROFILE, *, minutes, seed=0, progress=print):
    """Train until the minutes or the schedule are over, then predict with the best epoch.

    Called again with the same profile and seed it goes on after its last finished epoch, with
    more minutes; a training whose schedule is over is only predicted with again. The learning
    rate follows the whole schedule of ``profile.epochs``, so a training that is cut short ends
    at a high rate: choose epochs that fit into the minutes.

    Parameters
    ----------
    folder : path
        Takes ``rows_predictions.csv.gz`` (tested slices), ``rows_validation.csv.gz``,
        ``history.csv`` and ``settings.json``; in subfolders, inputs and checkpoint.
    profile : config.Profile
    minutes : float
        No epoch is begun that would probably end later. At least one epoch is trained where
        none was before.
    seed : int
        Of the weights, the order of slices and their views.
    progress : callable
        Gets one line per epoch.

    Returns
    -------
    DataFrame
        The history, as read back: the columns of ``training.HISTORY_COLUMNS``, ``best`` (whether
        this epoch's weights are predicted with) and ``device``.

    Raises
    ------
    ScratchSettingsError
        For minutes below 0, slices below 32 px or no epochs.
    tumorcf_lib.data.archives.DatasetNotFoundError
        Without the dataset.
    """
    _check(profile, minutes)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    prepared, split = _prepare(folder, profile)
    parts = split["part"].to_numpy(str)
    trained = folder / f"training-{_mark(_training_depends(prepared, split, profile, seed))}"
    trained.mkdir(exist_ok=True)
    if not _is_finished(trained, profile):
        _train(profile, prepared, parts, trained, minutes=minutes, seed=seed, progress=progress)
        memory.forget_networks()
    if _is_finished(trained, profile):
        steps.forget_checkpoints(trained)  # half a gigabyte
    _predict(profile, prepared, parts, trained / WEIGHTS, folder)
    settings = {"profile": profile.as_dict(), "seed": seed, "source": prepared.source}
    steps.write_whole(folder / SETTINGS, json.dumps(settings, indent=1) + "\n")
    history = rowfiles.read_table(trained / KEPT)
    rowfiles.write_table(history, folder / "history.csv")
    ended = "its schedule is over" if _is_finished(trained, profile) else "run it again to go on"
    progress(f"{label(history)}: {len(history)} of at most {profile.epochs} epochs, {ended}.")
    return history


def label(history) -> str:
    """What every published table of this study says it is.

    Examples
    --------
    >>> label(pd.DataFrame({"seconds": [600.0, 615.0]}))
    "ResNet-50 from random weights, 20.2 minutes, not the paper's network"
    """
    minutes = history["seconds"].sum() / 60
    return f"ResNet-50 from random weights, {minutes:.1f} minutes, not the paper's network"


def derive(read, n_resamples):
    """Every table by its name, each with a column that says which network it is about."""
    predictions, validation = read("rows_predictions"), read("rows_validation")
    made = {
        "table_performance": study.performance(predictions, n_resamples=n_resamples),
        "table_classes": study.performance_by_class(predictions, n_resamples=n_resamples),
        "table_confusion": study.confusion(predictions),
        "table_reliability": study.reliability(predictions, validation),
    }
    network = label(read("history"))
    return {name: table.assign(network=network) for name, table in made.items()}


def publish(folder, target=None, *, profile=None, seed=None):
    """Replace ``figures/resnet50-scratch``; see ``side_studies.SideStudy.publish``.

    Profile, seed and source are those that :func:`run` noted, and the manifest carries the label.
    """
    folder = Path(folder)
    made = {"profile": PROFILE.as_dict(), "seed": 0, "source": ""}
    name = ""
    if (folder / SETTINGS).is_file() and (folder / "history.csv").is_file():
        made = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        name = label(rowfiles.read_table(folder / "history.csv"))
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in made["profile"].items()}
    of_run = replace(config.Profile(**settings), purpose=name)
    return STUDY.publish(
        folder, target, profile=profile or of_run, seed=made["seed"],
        source=f"{name}. {made['source']}",
    )  # fmt: skip


# -- inner parts -------------------------------------------------------------


def _check(profile, minutes):
    if not minutes >= 0:
        raise ScratchSettingsError(f"Minutes are 0 or more, not {minutes}.")
    if profile.size_px < SMALLEST_PX:
        raise ScratchSettingsError(
            f"ResNet-50 takes slices from {SMALLEST_PX} px on, not of {profile.size_px} px."
        )
    if profile.epochs < 1:
        raise ScratchSettingsError(f"At least 1 epoch is trained, not {profile.epochs}.")


def _prepare(folder, profile):
    """Network inputs, made once and kept on disk, and the split as notebook 01 draws it."""
    cohort = sources.load(profile)
    split = splits.split_table(
        cohort.table["slice_id"], cohort.persons, cohort.labels, n_folds=1, seed=profile.split_seed
    )
    dataset = "drawn" if profile.is_phantom else finding.fingerprint(config.data_folder())
    depends_on = {
        "cohort": [dataset, profile.phantom_patients, profile.phantom_slices],
        "size_px": profile.size_px,
        "code": made_by.code("slices", "inputs"),
    }  # fmt: skip
    path = folder / f"inputs-{_mark(depends_on)}" / INPUTS
    if not path.is_file():
        path.parent.mkdir(exist_ok=True)
        shape = (len(cohort), profile.size_px, profile.size_px)
        with steps.being_written(path) as unfinished:
            inputs = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.float32, shape=shape)
            preprocess.prepare(cohort, profile.size_px, out_slices=inputs, progress=True)
            inputs.flush()
    # Nothing is edited here, so the masks as stored are never read.
    return replace(cohort, slices=np.load(path, mmap_mode="r")), split


def _training_depends(prepared, split, profile, seed):
    """All that the training's result depends on."""
    from tumorcf_lib.networks import checkpoint

    settings = profile.as_dict()
    inputs = Path(prepared.slices.filename)
    return {
        "settings": {name: settings[name] for name in checkpoint.SETTINGS},
        "seed": seed,
        "split": steps.sha256(split.to_csv(index=False).encode()),
        "inputs": inputs.parent.name,
        "code": made_by.code("training"),
        "packages": made_by.packages(),
    }


def _mark(depends_on):
    return steps.sha256(json.dumps(depends_on, sort_keys=True).encode())[:10]


def _is_finished(folder, profile) -> bool:
    """Whether the kept history is that of a schedule that came to its end."""
    from tumorcf_lib.networks import training

    if not ((folder / KEPT).is_file() and (folder / WEIGHTS).is_file()):
        return False
    history = rowfiles.read_table(folder / KEPT)
    best_epoch = int(history.loc[history["best"], "epoch"].iloc[0])
    state = SimpleNamespace(epoch=len(history), best_epoch=best_epoch)
    return state.epoch >= profile.epochs or training.is_over(state, profile)


def _train(profile, prepared, parts, folder, *, minutes, seed, progress):
    """Train until the minutes are over; keeps the best epoch's weights and the history."""
    from tumorcf_lib.networks import checkpoint, classifier, training

    device = f"{classifier.set_up(seed)}, {classifier.choose_precision(profile.backbone)}"
    _note_device(folder, device)
    model = classifier.build(profile, seed=seed)
    data = (prepared.slices, prepared.labels, prepared.persons, parts)
    try:
        done = training.train(
            model, profile, *data, seed=seed, folder=folder, progress=_until(minutes, progress)
        )
        history, best_epoch = done.history, done.best_epoch
    except _TimeIsUpError:
        mark = checkpoint.fingerprint(profile, seed, *training.split_parts(model, *data))
        state = checkpoint.Checkpoint(folder, model, mark)
        state.read()
        state.restore_best()
        history = pd.DataFrame(state.history, columns=training.HISTORY_COLUMNS)
        best_epoch = state.best_epoch
    classifier.save_float16(model, folder / WEIGHTS, max_bytes=sys.maxsize)
    history = history.assign(best=history["epoch"] == best_epoch, device=_devices(folder, history))
    rowfiles.write_table(history, folder / KEPT)


def _until(minutes, progress):
    """A ``progress`` for ``training.train`` that ends it before an epoch outlasts the minutes.

    The next epoch is expected to take as long as the last. ``train`` tells of an epoch when
    its checkpoint is written, so nothing is lost.
    """
    started = last = time.perf_counter()

    def told(line):
        nonlocal last
        progress(line)
        now = time.perf_counter()
        expected_end = now + (now - last)
        last = now
        if expected_end - started > 60 * minutes:
            raise _TimeIsUpError

    return told


def _note_device(folder, device):
    """Remember on what the epochs from the next one on are trained."""

    n_done = 0
    if (folder / steps.CHECKPOINT).is_file():
        with np.load(folder / steps.CHECKPOINT, allow_pickle=False) as stored:
            n_done = len(json.loads(str(stored["history"])))
    row = pd.DataFrame({"after_epoch": [n_done], "device": [device]})
    row.to_csv(folder / DEVICES, mode="a" if n_done else "w", header=not n_done, index=False)


def _devices(folder, history):
    """The device of each epoch: that of the last call that was begun before it."""
    noted = pd.read_csv(folder / DEVICES)
    call = np.searchsorted(noted["after_epoch"], history["epoch"]) - 1
    return noted["device"].to_numpy()[call]


def _predict(profile, prepared, parts, weights, folder):
    """Rows of the validation and the tested slices, by the kept weights in full precision."""
    from tumorcf_lib.networks import classifier

    model = classifier.load_float16(profile, weights)
    for part, file in PARTS.items():
        own = prepared.subset(np.flatnonzero(parts == part))
        p = classifier.predict(model, own.slices, batch_size=profile.predict_batch_size)
        rowfiles.write_table(unit.prediction_rows(own, p), folder / file)


STUDY = side_studies.SideStudy(
    name=NAME,
    files=("rows_predictions.csv.gz", "rows_validation.csv.gz", "history.csv"),
    derive=derive,
    figures={"fig_learning_curves": side_studies.Drawn("training.learning_curves", ("history",))},
    tag=lambda read: label(read("history")),
    command="python -m tumorcf_lib scratch --minutes 20",
)
