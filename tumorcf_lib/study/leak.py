"""What a leak is worth: the same slices, asked of twins that do and do not know their patients.

Patients are dealt to folds, and half of the slices of every tested patient are tested. One network
learns from other patients only. Its twin learns from as many slices of each class, among them the
other half of the tested patients' own, as if slices and not patients had been dealt. So what
differs is the leak alone. A canary, labels dealt out anew to the patients, shows what a leak makes
of nothing. Tables of it are in :mod:`tables.leak` and :mod:`tables.duplicates`.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.data import preprocess, published, split as splits
from tumorcf_lib.study import by_fold, near_duplicates, side_studies, unit
from tumorcf_lib.tables import leak
from tumorcf_lib.tables.leak import APART, KNOWN, OWN, SHUFFLED

SOURCE = "source.txt"
FILES = ("rows_leak.csv.gz", "rows_duplicates.csv.gz", "history.csv")
COMMAND = "python -m tumorcf_lib leak"
ARMS = [(labels, arm) for labels in (OWN, SHUFFLED) for arm in (APART, KNOWN)]
N_FOLDS, N_CANARY_FOLDS = 5, 1


PROFILE = replace(
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
    validates=False,
)
"""The small recipe of every arm: 128 px, five epochs, all layers learn, nothing chosen."""


def run(folder, profile=PROFILE, cohort=None, *, seed=0, network=None, progress=print):
    """Train and test every arm and save the rows; a run that was killed goes on where it stopped.

    ``folder`` takes the files of :data:`FILES` and, in subfolders, the unit of every arm and fold,
    whose slices are pooled. ``profile`` is the recipe, whose ``n_folds`` says into how many folds
    the patients are dealt. ``cohort`` has slices as stored, by default those of the dataset.
    ``seed`` is of every network, the same in all arms; the splits stay. ``network``: as
    :func:`unit.make` has it."""
    folder.mkdir(parents=True, exist_ok=True)
    steps.clear_unfinished(folder)
    cohort = cohort or published.read(config.data_folder(), cache_dir=config.cache())
    steps.write_whole(folder / SOURCE, f"{cohort.source}\n")
    prepared = preprocess.prepare(cohort, profile.size_px)
    planes = near_duplicates.plane_of(prepared)
    duplicates = near_duplicates.rows(cohort, planes, progress)  # seconds
    rowfiles.write_table(duplicates, folder / "rows_duplicates.csv.gz")
    units = list(_units(folder, profile, prepared, seed))
    for own in units:
        labels, arm, fold = own.names.values()
        words = f"{labels} labels, patients {arm}, fold {fold + 1}"
        how = {"network": network, "progress": progress}
        unit.bring_up_to_date(own, _ask, {}, words, **how)
    for name in ("rows_leak.csv.gz", "history.csv"):
        rows = [rowfiles.read_table(own.folder / unit.ROWS / name) for own in units]
        rowfiles.write_table(pd.concat(rows), folder / name)


def _units(folder, profile, prepared, seed):
    """The arms of every fold; the first fold of all arms before the second of any."""
    persons, classes = prepared.persons, prepared.labels
    inputs = steps.sha256(np.ascontiguousarray(prepared.slices).data)
    ids = prepared.table["slice_id"].tolist()
    depends_on = by_fold.training_depends(profile, seed, inputs=inputs, slices=ids)
    shown = {OWN: classes, SHUFFLED: unit.deal(persons, classes, profile.split_seed)}
    folds = splits.k_folds(persons, classes, n_folds=profile.n_folds, seed=profile.split_seed)
    for fold, dealt in enumerate(folds):
        for labels, arm in ARMS if fold < N_CANARY_FOLDS else ARMS[:2]:
            rng = np.random.default_rng([profile.split_seed, fold])
            parts = arm_parts(persons, shown[labels], dealt == "test", arm, rng)
            own = depends_on | {"labels": shown[labels].tolist(), "parts": parts.tolist()}
            known = profile, prepared, parts, seed, own, shown[labels]
            names = {"labels": labels, "arm": arm, "fold": fold}
            yield unit.Unit(folder / f"{labels}-{arm}-fold{fold}", *known, names=names)


def arm_parts(persons, labels, is_tested, arm, rng):
    """Part of every slice in an arm: "train", "test" or "unused".

    Of each tested patient half of the slices (the larger half) are tested, the same in both arms.
    ``KNOWN`` trains on the others in the place of as many slices of each class of other patients.
    ``labels`` are as the arm shows them, ``rng`` is in the same state for both arms."""
    parts = np.where(is_tested, "unused", "train")
    for person in np.unique(persons[is_tested]):
        own = rng.permutation(np.flatnonzero(persons == person))
        parts[own[: -(-len(own) // 2)]] = "test"
    if arm == KNOWN:
        known = np.flatnonzero(parts == "unused")
        for label, n in zip(*np.unique(labels[known], return_counts=True), strict=True):
            others = np.flatnonzero((parts == "train") & (labels == label))
            parts[rng.choice(others, min(n, len(others)), replace=False)] = "unused"
        parts[known] = "train"
    return parts


def _ask(own, predict, folder):
    """Write what an arm's network is asked: who the tested slices are, by labels true and shown."""
    tested, is_trained = own.part("test"), own.parts == "train"
    rows = unit.prediction_rows(tested, predict(tested.slices))
    shown = np.array(tested.classes, object)[own.labels[own.parts == "test"]]
    rows.insert(4, "shown_label", shown)
    trained_on = pd.Series(own.prepared.persons[is_trained]).value_counts()
    rows.insert(5, "n_own_trained", rows["person_id"].map(trained_on).fillna(0).astype(int))
    rows.insert(6, "n_trained", int(is_trained.sum()))
    rowfiles.write_table(unit.named(rows, **own.names), folder / "rows_leak.csv.gz")
    rowfiles.write_table(unit.history_of(own.folder / unit.NETWORK), folder / "history.csv")


def _about(folder):
    source = (folder / SOURCE).read_text(encoding="utf-8").strip()
    return {"profile": PROFILE, "source": source}


SHOWN = ("table_leak", "rows_duplicates", "table_duplicates")
STUDY = side_studies.SideStudy(
    name="leak",
    files=FILES,
    derive=leak.derive,
    command=COMMAND,
    about=_about,
    figures={"fig_leak": side_studies.Drawn("studies.leak", SHOWN)},
)
