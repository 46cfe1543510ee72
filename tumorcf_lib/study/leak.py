"""What a leak is worth: the same slices, asked of twins that do and do not know their patients.

Patients are dealt to folds, and half of the slices of every tested patient are tested. One network
learns from other patients only. Its twin learns from as many slices of each class, among them the
other half of the tested patients' own, as if slices and not patients had been dealt. So what
differs is the leak alone. A canary, labels dealt out anew to the patients, shows what a leak makes
of nothing. Tables of it are in :mod:`tables.leak` and :mod:`tables.duplicates`.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.data import preprocess, published, split as splits
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
from tumorcf_lib.tables.leak import APART, KNOWN, OWN, SHUFFLED

SOURCE = "source.txt"
FILES = ("rows_leak.csv.gz", "rows_duplicates.csv.gz", "history.csv")
COMMAND = "python -m tumorcf_lib leak"
ARMS = [(labels, arm) for labels in (OWN, SHUFFLED) for arm in (APART, KNOWN)]
N_FOLDS, N_CANARY_FOLDS = 5, 1


class LeakInputError(ValueError):
    """Folds that cannot be run."""


def recipe():
    """The small recipe of every arm: 128 px, five epochs, all layers learn, nothing chosen."""
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
        validates=False,
    )


def run_study(*, n_folds=N_FOLDS, seed=0, progress=print):
    """Every arm and the near duplicates on the dataset, into ``runs/leak``; returns that folder."""
    folder, data = config.run("leak"), config.data_folder()
    cohort = published.read(data, cache_dir=config.cache())
    run(folder, recipe(), cohort, n_folds=n_folds, seed=seed, progress=progress)
    return folder


def run(folder, profile, cohort, *, n_folds=N_FOLDS, seed=0, network=None, progress=print):
    """Train and test every arm and save the rows; a run that was killed goes on where it stopped.

    Parameters
    ----------
    folder : pathlib.Path
        Takes the files of :data:`FILES` and, in subfolders, the unit of every arm and fold.
    profile : config.Profile
        The recipe; ``n_folds`` says into how many folds the patients are dealt.
    cohort : Cohort
        Slices as stored.
    n_folds : int
        How many of the folds are trained and tested; their slices are pooled.
    seed : int
        Of every network, the same in all arms; the splits stay.
    network : callable, optional
        As :func:`unit.make` has it.
    progress : callable
        Gets lines to print.

    Returns
    -------
    dict of str to DataFrame
        The files, as read back.
    """
    folder = Path(folder)
    if not 1 <= n_folds <= profile.n_folds:
        raise LeakInputError(f"Expected 1 to {profile.n_folds} folds to run, got {n_folds}.")
    folder.mkdir(parents=True, exist_ok=True)
    steps.clear_unfinished(folder)
    prepared = preprocess.prepare(cohort, profile.size_px)
    depends_on = _depends(profile, prepared, seed)
    planes = near_duplicates.plane_of(prepared)
    found = {"rows_duplicates": near_duplicates.rows(cohort, planes, progress)}  # seconds
    made = []
    for unit in _units(folder, profile, prepared, n_folds, seed, depends_on):
        if why_stale(unit, {}):
            progress(f"{_words(**unit.names)}: {(unit.parts == 'train').sum()} slices to train on")
        made.append((unit, make(unit, _asking(unit), {}, network=network)))
    found["rows_leak"] = pd.concat(rowfiles.read_table(rows / "rows.csv.gz") for _, rows in made)
    trained = [unit.folder / NETWORK for unit, _ in made if (unit.folder / NETWORK).is_dir()]
    found["history"] = pd.concat(
        [*map(history_of, trained), pd.DataFrame(columns=["labels", "arm", "fold"])]
    )
    steps.write_whole(folder / SOURCE, f"{cohort.source}\n")
    for name in FILES:
        rowfiles.write_table(found[name.split(".")[0]], folder / name)
    return {name.split(".")[0]: rowfiles.read_table(folder / name) for name in FILES}


def _units(folder, profile, prepared, n_folds, seed, depends_on):
    """The arms of every fold; the first fold of all arms before the second of any."""
    persons, classes = prepared.persons, prepared.labels
    shown = {OWN: classes, SHUFFLED: deal(persons, classes, profile.split_seed)}
    folds = splits.k_folds(persons, classes, n_folds=profile.n_folds, seed=profile.split_seed)
    for fold, dealt in enumerate(folds[:n_folds]):
        for labels, arm in ARMS if fold < N_CANARY_FOLDS else ARMS[:2]:
            rng = np.random.default_rng([profile.split_seed, fold])
            parts = arm_parts(persons, shown[labels], dealt == "test", arm, rng)
            names = {"labels": labels, "arm": arm, "fold": fold}
            own = depends_on | {"labels": shown[labels].tolist(), "parts": parts.tolist()}
            where = folder / f"{labels}-{arm}-fold{fold}"
            yield Unit(where, profile, prepared, parts, seed, own, shown[labels], names=names)


def _words(labels, arm, fold):
    return f"{labels} labels, patients {arm}, fold {fold + 1}"


def arm_parts(persons, labels, is_tested, arm, rng):
    """Part of every slice in an arm: "train", "test" or "unused".

    Of each tested patient half of the slices (the larger half) are tested, the same in both arms.
    ``KNOWN`` trains on the others in the place of as many slices of each class of other patients.

    Parameters
    ----------
    persons, labels : ndarray, shape (n,)
        Labels as the arm shows them.
    is_tested : ndarray of bool, shape (n,)
        Slices of tested patients.
    arm : {APART, KNOWN}
    rng : numpy.random.Generator
        In the same state for both arms.
    """
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


def _asking(unit):
    """What an arm's network is asked: who the tested slices are, by labels true and shown."""

    def ask(predict, folder):
        own = unit.part("test")
        rows = prediction_rows(own, predict(own.slices))
        shown = np.array(own.classes, object)[unit.labels[unit.parts == "test"]]
        rows.insert(4, "shown_label", shown)
        trained_on = pd.Series(unit.prepared.persons[unit.parts == "train"]).value_counts()
        rows.insert(5, "n_own_trained", rows["person_id"].map(trained_on).fillna(0).astype(int))
        rows.insert(6, "n_trained", int((unit.parts == "train").sum()))
        rowfiles.write_table(named(rows, **unit.names), folder / "rows.csv.gz")

    return ask


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


def publish(folder, target=None, *, profile=None, seed=0):
    """Replace ``figures/leak``; parameters as of ``side_studies.SideStudy.publish``."""
    source = Path(folder) / SOURCE
    told = source.read_text(encoding="utf-8").strip() if source.is_file() else ""
    return STUDY.publish(folder, target, profile=profile or recipe(), seed=seed, source=told)


def sentences(folder=None):
    """What the published study found, in plain words, every number from its tables."""
    read = side_studies.reader(folder or config.published("leak"))
    return leak.sentences(read) + duplicates.sentences(read)


SHOWN = ("table_leak", "rows_duplicates", "table_duplicates")
STUDY = side_studies.SideStudy(
    name="leak",
    files=FILES,
    derive=leak.derive,
    command=COMMAND,
    figures={"fig_leak": side_studies.Drawn("studies.leak", SHOWN)},
)
