"""The splits of the arms of :mod:`study.leak`, and the canary's labels."""

import math
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from tumorcf_lib import config
from tumorcf_lib.data import finding
from tumorcf_lib.data import split as splits


class LeakInputError(ValueError):
    """Folds that cannot be run, or an author's file that does not fit the slices."""


@dataclass(frozen=True)
class Arm:
    """A way to split: what is kept together, and whether the labels are shuffled first."""

    name: str
    unit: str  # "slice", "patient", "person" or "author"
    is_canary: bool = False


ARMS = (
    Arm("slice", "slice"), Arm("patient", "patient"), Arm("author", "author"),
    Arm("person", "person"), Arm("canary slice", "slice", True),
    Arm("canary person", "person", True),
)  # fmt: skip
N_FOLDS = 5
AUTHOR_FILE = "cvind5fold.mat"
TRAINED_SHARE = 0.66
"""Of all slices, those trained on: 4 of 5 folds less 15 % for validation are 68 %, give or
take a person. The surplus is left out at random, so that every arm learns from as many."""


def arm_parts(arm, table, labels, *, author_folds=None, n_folds=N_FOLDS, seed=0):
    """Part of every slice in each fold of an arm.

    What the arm keeps together is kept together in all three parts: an arm that leaks into its
    test leaks into its validation, too, as it would for somebody who did not think of it.

    Parameters
    ----------
    arm : Arm
    table : DataFrame
        slice_id, patient_id, person_id.
    labels : ndarray of int, shape (n,)
        As the arm shows them; every part gets its share of each class.
    author_folds : ndarray of int, shape (n,)
        For the arm of the author's file; fold k of ours tests its fold k + 1, and validates on
        patient IDs, which that file keeps together.
    n_folds, seed : int

    Returns
    -------
    list of ndarray of str, each (n,)
        "train", "validation", "test", or "unused" for training slices beyond
        :data:`TRAINED_SHARE`.
    """
    if arm.unit == "author":
        found = [
            _author_parts(table, labels, author_folds == fold + 1, seed) for fold in range(n_folds)
        ]
    else:
        units = table[f"{arm.unit}_id"].astype(str)
        found = splits.k_folds(units, labels, n_folds=n_folds, seed=seed)
    return [_trimmed(parts, np.random.default_rng([seed, k])) for k, parts in enumerate(found)]


def shuffled_labels(persons, labels, seed):
    """Labels dealt out anew to the persons: each person keeps one, each class its persons.

    Examples
    --------
    >>> shuffled_labels(["a", "a", "b", "c"], np.array([0, 0, 1, 2]), seed=0).tolist()
    [2, 2, 0, 1]
    """
    _, first, owner = np.unique(persons, return_index=True, return_inverse=True)
    return np.random.default_rng(seed).permutation(np.asarray(labels)[first])[owner]


def read_author_folds(folder, slice_ids):
    """Fold of each slice by the dataset author's file, if it lies beside the archives.

    Parameters
    ----------
    folder : path
        Of the dataset.
    slice_ids : sequence of int, shape (n,)
        N of each slice; the file lists the folds of 1, 2, 3, ...

    Returns
    -------
    ndarray of int, shape (n,), or None
        1 to 5; None without such a file.

    Raises
    ------
    LeakInputError
        A file of another form, or for other slices.
    """
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


def deal(prepared, profile, author_folds, progress):
    """Labels and parts of every arm that can be run.

    Parameters
    ----------
    prepared : Cohort
    profile : config.Profile
        Its ``n_folds`` and ``split_seed``.
    author_folds : ndarray of int, shape (n,), or None
        Without it that arm is left out.
    progress : callable
        Is told of an arm that is left out.

    Returns
    -------
    dict of Arm to (ndarray of int (n,), list of ndarray of str (n,))
        The labels as shown, and the parts of every fold.
    """
    dealt = {}
    for arm in ARMS:
        if arm.unit == "author" and author_folds is None:
            progress(f"arm {arm.name} is left out: there is no {AUTHOR_FILE} beside the archives")
            continue
        labels = prepared.labels
        if arm.is_canary:
            labels = shuffled_labels(prepared.persons, labels, profile.split_seed)
        dealt[arm] = labels, arm_parts(
            arm, prepared.table, labels, author_folds=author_folds, n_folds=profile.n_folds,
            seed=profile.split_seed,
        )  # fmt: skip
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
