"""What a leak is worth: one small recipe, tested on splits that do and do not leak.

``run`` trains the same network on slices dealt at random, on splits that keep patient IDs
together, on the author's own folds, and on splits over patients. A canary, labels dealt out anew to
the patients, shows what a leak makes of nothing. What comes of it is in :mod:`tables.leak` and
:mod:`tables.duplicates`.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.data import finding, preprocess, published, split as splits
from tumorcf_lib.study import made_by, near_duplicates, side_studies
from tumorcf_lib.study.unit import (
    NETWORK,
    Unit,
    deal,
    history_of,
    make,
    named,
    prediction_rows,
    why_stale,
)
from tumorcf_lib.tables import duplicates, leak

SOURCE = "source.txt"
FILES = ("rows_leak.csv.gz", "rows_parts.csv.gz", "rows_duplicates.csv.gz", "history.csv")
COMMAND = "python -m tumorcf_lib leak"


class LeakInputError(ValueError):
    """Folds that cannot be run, or an author's file that does not fit the slices."""


@dataclass(frozen=True)
class Arm:
    """A way to split: what is kept together, and whether the labels are shuffled first."""

    name: str
    unit: str  # "slice", "patient", "person" or "author"
    is_canary: bool = False


ARMS = (
    Arm("slice", "slice"),
    Arm("patient", "patient"),
    Arm("author", "author"),
    Arm("person", "person"),
    Arm("canary slice", "slice", True),
    Arm("canary person", "person", True),
)
N_FOLDS = 5
AUTHOR_FILE = "cvind5fold.mat"
TRAINED_SHARE = 0.66
"""Of all slices: 4 of 5 folds less 15 % for validation are 68 %, give or take a patient. The
surplus is left out at random, so that every arm learns from as many."""


def recipe():
    """The small recipe of every arm: ``paper-lite`` at 128 px, five epochs, all layers learn."""
    return replace(
        config.get("paper-lite"),
        name="leak",
        purpose=f"what a leak is worth: {COMMAND}",
        size_px=128,
        epochs=5,
        warmup_epochs=1,
        n_folds=N_FOLDS,
        batch_size=32,
        frozen_blocks=0,
        freeze_depthwise=False,
    )


def run_study(*, n_folds=1, seed=0, progress=print):
    """Every arm and the near duplicates on the dataset, into ``runs/leak``; returns that folder."""
    folder, data = config.run("leak"), config.data_folder()
    cohort = published.read(data, cache_dir=config.cache())
    own = {"author_folds": read_author_folds(data, cohort.table["slice_id"]), "n_folds": n_folds}
    run(folder, recipe(), cohort, seed=seed, progress=progress, **own)
    return folder


def run(
    folder, profile, cohort, *, author_folds=None, n_folds=1, seed=0, network=None, progress=print
):
    """Train and test every arm and save the rows; a run that was killed goes on where it stopped.

    ``folder`` takes :data:`FILES`, which are returned as read back, and the unit of every arm and
    fold. Of the profile's ``n_folds``, the first ``n_folds`` are trained
    and tested; without ``author_folds`` (:func:`read_author_folds`) that arm is left out."""
    folder = Path(folder)
    if not 1 <= n_folds <= profile.n_folds:
        raise LeakInputError(f"Expected 1 to {profile.n_folds} folds to run, got {n_folds}.")
    folder.mkdir(parents=True, exist_ok=True)
    steps.clear_unfinished(folder)
    prepared = preprocess.prepare(cohort, profile.size_px)
    depends_on = _depends(profile, prepared, seed)
    dealt = _dealt(prepared, profile, author_folds, progress)
    plane_of_slice = near_duplicates.plane_of(prepared)
    found = {"rows_duplicates": near_duplicates.rows(cohort, plane_of_slice, progress)}  # seconds
    made = {}
    for fold in range(n_folds):  # the first fold of every arm before the second of any
        for arm, (labels, parts) in dealt.items():
            own = depends_on | {"labels": labels.tolist(), "parts": parts[fold].tolist()}
            known = profile, prepared, parts[fold], seed, own, labels
            place = folder / f"{arm.name.replace(' ', '-')}-fold{fold}"
            unit = Unit(place, *known, names={"arm": arm.name, "fold": fold})
            if why_stale(unit, {}):
                n = (parts[fold] == "train").sum()
                progress(f"arm {arm.name}, fold {fold + 1}: {n} slices to train on")
            made[arm, fold] = unit, make(unit, _asking(unit), {}, network=network)
    made = [made[arm, fold] for arm in dealt for fold in range(n_folds)]
    found["rows_leak"] = pd.concat(rowfiles.read_table(rows / "rows.csv.gz") for _, rows in made)
    found["rows_parts"] = pd.concat(
        named(parts_rows(prepared.table, unit.parts), **unit.names) for unit, _ in made
    )
    found["history"] = pd.concat(
        [history_of(unit.folder / NETWORK) for unit, _ in made if (unit.folder / NETWORK).is_dir()]
        or [pd.DataFrame(columns=["arm", "fold"])]
    )
    steps.write_whole(folder / SOURCE, f"{cohort.source}\n")
    for name in FILES:
        rowfiles.write_table(found[name.split(".")[0]], folder / name)
    return {name.split(".")[0]: rowfiles.read_table(folder / name) for name in FILES}


def _asking(unit):
    """What an arm's network is asked: who the tested slices are, by labels true and shown."""

    def ask(predict, folder):
        own = unit.part("test")
        rows = prediction_rows(own, predict(own.slices))
        shown = np.array(own.classes, object)[unit.labels[unit.parts == "test"]]
        rows.insert(4, "shown_label", shown)
        rowfiles.write_table(named(rows, **unit.names), folder / "rows.csv.gz")

    return ask


def parts_rows(table, parts):
    """Slices of every patient ID in each part: patient_id, person_id, n_train, ..., n_test."""
    counts = {f"n_{part}": parts == part for part in splits.PARTS}
    owned = table[["patient_id", "person_id"]].assign(**counts)
    return owned.groupby(["patient_id", "person_id"], as_index=False).sum()


def _depends(profile, prepared, seed):
    """All that every arm's result depends on but its labels and parts."""
    settings = profile.as_dict()
    unrelated = ("name", "purpose", "n_resamples", "n_folds")
    return {
        "settings": {k: v for k, v in settings.items() if k not in unrelated},
        "seed": seed,
        "inputs": steps.sha256(np.ascontiguousarray(prepared.slices).data),
        "slices": prepared.table["slice_id"].tolist(),
        "code": made_by.code("training"),
        "packages": made_by.packages(),
    }


# -- splits ------------------------------------------------------------------


def arm_parts(arm, table, labels, *, author_folds=None, n_folds=N_FOLDS, seed=0):
    """Part of every slice in each fold of an arm: "train", "validation", "test" or "unused".

    What the arm keeps together is kept together in all three parts: an arm that leaks into its
    test leaks into its validation, too. ``table`` has slice_id, patient_id, person_id; ``labels``
    are as the arm shows them. Fold k of the author's arm tests that file's fold k + 1, and
    validates on patient IDs, which that file keeps together."""
    if arm.unit == "author":
        found = [
            _author_parts(table, labels, author_folds == fold + 1, seed) for fold in range(n_folds)
        ]
    else:
        units = table[f"{arm.unit}_id"].astype(str)
        found = splits.k_folds(units, labels, n_folds=n_folds, seed=seed)
    return [_trimmed(parts, np.random.default_rng([seed, k])) for k, parts in enumerate(found)]


def read_author_folds(folder, slice_ids):
    """Fold (1 to 5) of each slice by the dataset author's file; None if it is not there.

    The file lists the folds of slices 1, 2, 3, ... :class:`LeakInputError` if it has another form,
    or is for other slices."""
    beside = dict.fromkeys(entry.path.parent for entry in finding.find(folder).entries)
    found = [p for p in (Path(f) / AUTHOR_FILE for f in (folder, *beside)) if p.is_file()]
    if not found:
        return None
    path, index = found[0], np.asarray(slice_ids) - 1
    try:
        with h5py.File(path) as file:
            fold_of = np.asarray(file["cvind"]).ravel()
    except (OSError, KeyError) as error:
        raise LeakInputError(
            f"Expected a MATLAB 7.3 file with an array cvind in {config.shown(path)}: {error}. "
            "Fetch it again, or take it away to leave this arm out."
        ) from error
    wanted = set(range(1, N_FOLDS + 1))
    if index.max() >= len(fold_of) or set(fold_of.tolist()) != wanted:
        raise LeakInputError(
            f"Expected a fold of 1 to {N_FOLDS} for {index.max() + 1} slices in "
            f"{config.shown(path)}, got {len(fold_of)} values, {sorted(set(fold_of))[:7]}. "
            "Take the file away to leave this arm out."
        )
    return fold_of[index].astype(int)


def _dealt(prepared, profile, author_folds, progress):
    """{arm: (labels as shown, parts of every fold)}, of every arm that can be run."""
    dealt = {}
    for arm in ARMS:
        if arm.unit == "author" and author_folds is None:
            progress(f"arm {arm.name} is left out: there is no {AUTHOR_FILE} beside the archives")
            continue
        labels = prepared.labels
        if arm.is_canary:
            labels = deal(prepared.persons, labels, profile.split_seed)
        how = {"n_folds": profile.n_folds, "seed": profile.split_seed}
        parts = arm_parts(arm, prepared.table, labels, author_folds=author_folds, **how)
        dealt[arm] = labels, parts
    return dealt


def _author_parts(table, labels, is_tested, seed):
    """The author's test slices; of the rest, 15 % of each class's patient IDs validate."""
    if not is_tested.any():
        raise LeakInputError(f"{AUTHOR_FILE} has fewer folds than the other arms.")
    rest = ~is_tested
    parts = np.full(len(table), "test", dtype="U10")
    held_out = splits.hold_out(table["patient_id"][rest], labels[rest], seed=seed)
    parts[rest] = np.where(held_out == "validation", "validation", "train")
    return parts


def _trimmed(parts, rng):
    """Parts with at most TRAINED_SHARE of the slices in training."""
    parts = parts.astype("U10")
    trained = rng.permutation(np.flatnonzero(parts == "train"))
    parts[trained[math.floor(TRAINED_SHARE * len(parts)) :]] = "unused"
    return parts


# -- publishing --------------------------------------------------------------


def publish(folder, target=None, *, profile=None, seed=0):
    """Replace ``figures/leak``; parameters as of ``side_studies.SideStudy.publish``."""
    path = Path(folder) / SOURCE
    source = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
    return STUDY.publish(folder, target, profile=profile or recipe(), seed=seed, source=source)


def sentences(folder=None):
    """What the published study found, in plain words, every number from its tables."""
    read = side_studies.reader(folder or config.published("leak"))
    return leak.sentences(read) + duplicates.sentences(read)


FIGURE = side_studies.Drawn("studies.leak", ("table_leak", "rows_duplicates", "table_duplicates"))
STUDY = side_studies.SideStudy(
    name="leak",
    files=FILES,
    derive=leak.derive,
    command=COMMAND,
    figures={"fig_leak": FIGURE},
)
