"""What a leak is worth: one small recipe, tested on splits that do and do not leak.

``run`` trains the same network on slices dealt at random, on splits that keep patient IDs
together, on the author's own folds, and on splits over persons. A canary, labels dealt out anew to
the persons, shows what a leak makes of nothing. What comes of it is in
:mod:`tables.leak` and :mod:`tables.duplicates`.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.data import preprocess, published
from tumorcf_lib.data import split as splits
from tumorcf_lib.networks import memory
from tumorcf_lib.study import made_by, near_duplicates, side_studies
from tumorcf_lib.study.leak_splits import (
    ARMS,
    AUTHOR_FILE,
    N_FOLDS,
    TRAINED_SHARE,
    Arm,
    LeakInputError,
    arm_parts,
    deal,
    read_author_folds,
    shuffled_labels,
)
from tumorcf_lib.tables import duplicates, leak

__all__ = [
    "ARMS", "AUTHOR_FILE", "N_FOLDS", "STUDY", "TRAINED_SHARE", "Arm", "LeakInputError",
    "arm_parts", "fit_network", "publish", "read_author_folds", "recipe", "run", "run_study",
    "sentences", "shuffled_labels",
]  # fmt: skip

HISTORY, SOURCE = "history_kept.csv", "source.txt"
FILES = ("rows_leak.csv.gz", "rows_parts.csv.gz", "rows_duplicates.csv.gz", "history.csv")
COMMAND = "python -m tumorcf_lib leak"


def recipe():
    """The small recipe of every arm: ``paper-lite`` at 128 px, five epochs, all layers learn."""
    return replace(
        config.get("paper-lite"), name="leak", purpose=f"what a leak is worth: {COMMAND}",
        size_px=128, epochs=5, warmup_epochs=1, n_folds=N_FOLDS, batch_size=32,
        frozen_blocks=0, freeze_depthwise=False,
    )  # fmt: skip


def run_study(*, n_folds=1, seed=0, progress=print):
    """Every arm and the near duplicates on the dataset, into ``runs/leak``; returns that folder."""
    folder, data = config.run("leak"), config.data_folder()
    cohort = published.read(data, cache_dir=config.cache())
    run(
        folder, recipe(), cohort, author_folds=read_author_folds(data, cohort.table["slice_id"]),
        n_folds=n_folds, seed=seed, progress=progress,
    )  # fmt: skip
    return folder


def run(
    folder, profile, cohort, *, author_folds=None, n_folds=1, seed=0, fit=None, progress=print
):
    """Train and test every arm and save the rows; a run that was killed goes on where it stopped.

    Parameters
    ----------
    folder : pathlib.Path
        Takes the files of :data:`FILES` and, in subfolders, the rows of every finished arm.
    profile : config.Profile
        The recipe; ``n_folds`` says into how many folds slices, patients or persons are dealt.
    cohort : Cohort
        Slices as stored.
    author_folds : ndarray of int, shape (n,), optional
        Fold of each slice, 1 and up, from :func:`read_author_folds`; without it that arm is
        left out.
    n_folds : int
        How many of the folds are trained and tested; their slices are pooled.
    seed : int
        Of every network, the same in all arms; the splits stay.
    fit : callable, optional
        ``fit(profile, prepared, labels, parts, seed, folder)`` trains on the slices of the parts
        "train" and "validation" and returns a function from slices to probabilities;
        :func:`fit_network` if left out.
    progress : callable
        Gets lines to print.

    Returns
    -------
    dict of str to DataFrame
        The files, as read back.

    Raises
    ------
    LeakInputError
        If more folds are asked for than there are.
    """
    folder, fit = Path(folder), fit or fit_network
    if not 1 <= n_folds <= profile.n_folds:
        raise LeakInputError(f"Expected 1 to {profile.n_folds} folds to run, got {n_folds}.")
    folder.mkdir(parents=True, exist_ok=True)
    steps.clear_unfinished(folder)
    prepared = preprocess.prepare(cohort, profile.size_px)
    depends_on = _depends(profile, prepared, seed, fit)
    dealt = deal(prepared, profile, author_folds, progress)
    plane_of_slice = near_duplicates.plane_of(prepared)
    duplicates = near_duplicates.rows(cohort, plane_of_slice, progress)  # seconds: before the arms
    made = {}
    for fold in range(n_folds):  # the first fold of every arm before the second of any
        for arm, (labels, parts) in dealt.items():
            made[arm, fold] = _make(
                folder, arm, fold, profile, prepared, labels, parts[fold], seed, fit,
                depends_on, progress,
            )  # fmt: skip
    made = {(arm, fold): made[arm, fold] for arm in dealt for fold in range(n_folds)}
    found = {
        "rows_leak.csv.gz": _joined(_kept(made, "rows.csv.gz")),
        "rows_parts.csv.gz": _joined(
            {(arm, k): parts_rows(prepared.table, dealt[arm][1][k]) for arm, k in made}
        ),
        "rows_duplicates.csv.gz": duplicates,
        "history.csv": _joined(_kept(made, HISTORY)),
    }
    steps.write_whole(folder / SOURCE, f"{cohort.source}\n")
    for name, table in found.items():
        rowfiles.write_table(table, folder / name)
    return {name.split(".")[0]: rowfiles.read_table(folder / name) for name in found}


def fit_network(profile, prepared, labels, parts, seed, folder):
    """The study's own recipe; parameters as ``fit`` has them in :func:`run`."""
    from tumorcf_lib.networks import classifier, training

    memory.forget_networks()  # of the arm before
    classifier.set_up(seed)
    model = classifier.build(profile, n_classes=len(prepared.classes), seed=seed)
    done = training.train(
        model, profile, prepared.slices, labels, prepared.persons, parts,
        seed=seed, folder=folder,
    )  # fmt: skip
    # Seconds differ from run to run; what is published must not.
    rowfiles.write_table(done.marked_history.drop(columns="seconds"), folder / HISTORY)
    return classifier.as_predictor(done.model, batch_size=profile.predict_batch_size)


# -- arms --------------------------------------------------------------------


def _make(
    folder, arm, fold, profile, prepared, labels, parts, seed, fit, depends_on, progress
):
    """Folder of one arm's fold, its rows made now or before."""
    own = depends_on | {"labels": labels.tolist(), "parts": parts.tolist()}
    place = steps.begin(folder / f"{arm.name.replace(' ', '-')}-fold{fold}", own)
    kept = place / "rows.csv.gz"
    if not kept.is_file():
        progress(f"arm {arm.name}, fold {fold + 1}: {(parts == 'train').sum()} slices to train on")
        predict = fit(profile, prepared, labels, parts, seed, place)
        tested = np.flatnonzero(parts == "test")
        rows = rows_of_tested(prepared, labels, tested, predict(prepared.slices[tested]))
        rowfiles.write_table(rows, kept)
    steps.forget_checkpoints(place)
    return place


def rows_of_tested(prepared, labels, tested, probabilities):
    """One row per tested slice: whose it is, its true and its shown class, p_<class>."""
    names = np.array(prepared.classes, object)
    rows = prepared.table.iloc[tested][["slice_id", "patient_id", "person_id"]]
    rows = rows.reset_index(drop=True).assign(
        label=names[prepared.labels[tested]], shown_label=names[labels[tested]]
    )
    rows[[f"p_{name}" for name in names]] = probabilities
    return rows


def parts_rows(table, parts):
    """Slices of every patient ID in each part: patient_id, person_id, n_train, ..., n_test."""
    counts = {f"n_{part}": parts == part for part in splits.PARTS}
    owned = table[["patient_id", "person_id"]].assign(**counts)
    return owned.groupby(["patient_id", "person_id"], as_index=False).sum()


def _depends(profile, prepared, seed, fit):
    """All that every arm's result depends on but its labels and parts."""
    settings = profile.as_dict()
    unrelated = ("name", "purpose", "n_resamples", "n_folds")
    return {
        "settings": {k: v for k, v in settings.items() if k not in unrelated},
        "seed": seed,
        "fit": f"{fit.__module__}.{fit.__qualname__}",
        "inputs": steps.sha256(np.ascontiguousarray(prepared.slices).data),
        "slices": prepared.table["slice_id"].tolist(),
        "code": made_by.code("training"),
        "packages": made_by.packages(),
    }


def _kept(made, name):
    """A file of every arm and fold that has it (a ``fit`` need not leave a history)."""
    return {k: rowfiles.read_table(f / name) for k, f in made.items() if (f / name).is_file()}


def _joined(tables):
    """{(arm, fold): table} below one another, with columns that say which is whose."""
    found = []
    for (arm, fold), table in tables.items():
        table.insert(0, "fold", fold)
        table.insert(0, "arm", arm.name)
        found.append(table)
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["arm", "fold"])


# -- publishing --------------------------------------------------------------


def publish(folder, target=None, *, profile=None, seed=0):
    """Replace ``figures/leak``; parameters as of ``side_studies.SideStudy.publish``."""
    source = Path(folder) / SOURCE
    return STUDY.publish(
        folder, target, profile=profile or recipe(), seed=seed,
        source=source.read_text(encoding="utf-8").strip() if source.is_file() else "",
    )  # fmt: skip


def sentences(folder=None):
    """What the published study found, in plain words, every number from its tables."""
    read = side_studies.reader(folder or config.published("leak"))
    return leak.sentences(read) + duplicates.sentences(read)


STUDY = side_studies.SideStudy(
    name="leak", files=FILES, derive=leak.derive, command=COMMAND,
    figures={"fig_leak": side_studies.Drawn(
        "studies.leak", ("table_leak", "rows_duplicates", "table_duplicates"))},
)  # fmt: skip
