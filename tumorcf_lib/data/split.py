"""Splits over persons: a hold-out split or k folds, as one table."""

import numpy as np
import pandas as pd

from tumorcf_lib.data.leakage import (
    PARTS,
    LeakageError,
    UnbalancedSplitError,
    check,
    n_held_out,
    person_ids,
    summary,
)

__all__ = [
    "LeakageError", "SplitInputError", "UnbalancedSplitError",
    "check", "hold_out", "k_folds", "person_ids", "split_table", "summary",
]  # fmt: skip

N_DRAWS = 200


class SplitInputError(ValueError):
    """Persons and labels that cannot be split."""


def _persons_by_class(persons, labels):
    """For each class its persons, sorted, and their slice counts: {label: (names, counts)}."""
    persons, labels = np.asarray(persons).astype(str), np.asarray(labels)
    if persons.ndim != 1 or persons.shape != labels.shape or not len(persons):
        raise SplitInputError(
            "persons and labels need one entry per slice; they have shapes "
            f"{persons.shape} and {labels.shape}."
        )
    pairs = pd.DataFrame({"person": persons, "label": labels})
    n_labels = pairs.groupby("person")["label"].nunique()
    if (n_labels > 1).any():
        raise SplitInputError(
            f"Each person needs one class to stratify by; {n_labels.idxmax()!r} has "
            f"{n_labels.max()}. Correct the labels or the patient IDs."
        )
    groups = {}
    for label, group in pairs.groupby("label"):
        counts = group["person"].value_counts().sort_index()
        groups[label] = counts.index.to_numpy(), counts.to_numpy()
    return groups


def _best_draw(n_slices, sizes, rng):
    """Persons dealt into groups of the given sizes, best of N_DRAWS for slice balance.

    ``n_slices`` holds each person's slices, shape (n_persons,); balanced means that a group
    holds the same share of the slices as of the persons. Returns the group of each person,
    shape (n_persons,).
    """
    draws = rng.permuted(np.tile(np.repeat(np.arange(len(sizes)), sizes), (N_DRAWS, 1)), axis=1)
    in_group = draws[:, None, :] == np.arange(len(sizes))[:, None]  # (draw, group, person)
    shares = in_group @ n_slices / n_slices.sum()  # (draw, group)
    errors = np.abs(shares - np.asarray(sizes) / len(n_slices)).max(axis=1)  # (draw,)
    return draws[errors.argmin()]


def _parts_of(persons, part_of_person):
    return np.array([part_of_person[person] for person in np.asarray(persons).astype(str)])


def hold_out(persons, labels, *, seed):
    """One split of about 70 / 15 / 15 percent of the persons, stratified by class.

    Of each class, 15 % of the persons (rounded up) go to the test part, as many to
    validation, the rest to training: the best of 200 random draws for the balance of slices,
    since persons have from 1 to 38 of them. The result depends on who has how many slices,
    not on their order.

    Parameters
    ----------
    persons : sequence of str, shape (n,)
    labels : sequence of int, shape (n,)
        One class per person.
    seed : int

    Returns
    -------
    ndarray of str, shape (n,)
        "train", "validation" or "test" for each slice.

    Raises
    ------
    SplitInputError
        A person of two classes, or a class of fewer than three persons.

    Examples
    --------
    >>> persons = [f"p{i}" for i in range(10)]
    >>> parts = hold_out(persons, [0] * 10, seed=0)
    >>> [int((parts == part).sum()) for part in PARTS]
    [6, 2, 2]
    """
    part_of = {}
    for label, (names, n_slices) in _persons_by_class(persons, labels).items():
        n_held = n_held_out(len(names))
        n_train = len(names) - 2 * n_held
        if n_train < 1:
            raise SplitInputError(
                f"A hold-out split needs 3 persons of each class; class {label} has {len(names)}."
            )
        rng = np.random.default_rng([seed, int(label)])
        groups = _best_draw(n_slices, (n_train, n_held, n_held), rng)
        part_of |= {name: PARTS[group] for name, group in zip(names, groups)}
    return _parts_of(persons, part_of)


def k_folds(persons, labels, *, n_folds, seed):
    """``n_folds`` splits in which every person is tested exactly once, stratified by class.

    The persons of a class are dealt evenly to the folds (best of 200 draws for the balance
    of slices); fold i tests its own and takes 15 % of the other persons for validation.

    Parameters
    ----------
    persons, labels, seed
        As in :func:`hold_out`.
    n_folds : int
        At least 2.

    Returns
    -------
    list of ndarray of str, each of shape (n,)

    Raises
    ------
    SplitInputError
        A person of two classes, or a class with too few persons.

    Examples
    --------
    >>> folds = k_folds([f"p{i}" for i in range(10)], [0] * 10, n_folds=5, seed=0)
    >>> sum((parts == "test").astype(int) for parts in folds).tolist()
    [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    """
    if n_folds < 2:
        raise SplitInputError(f"n_folds must be 2 or more, not {n_folds}; use hold_out for one.")
    part_of = [{} for _ in range(n_folds)]
    for rank, (label, group) in enumerate(_persons_by_class(persons, labels).items()):
        names, n_slices = group
        if len(names) < max(n_folds, 3):
            raise SplitInputError(
                f"{n_folds} folds need {max(n_folds, 3)} persons of each class; class {label} has "
                f"{len(names)}."
            )
        rng = np.random.default_rng([seed, int(label)])
        # The larger folds differ from class to class, so that no fold gets all the extra persons
        sizes = [len(names[(fold + rank) % n_folds :: n_folds]) for fold in range(n_folds)]
        tested_in = _best_draw(n_slices, sizes, rng)
        for fold in range(n_folds):
            rest = np.flatnonzero(tested_in != fold)
            n_held = n_held_out(len(rest))
            validated = _best_draw(n_slices[rest], (len(rest) - n_held, n_held), rng)
            part_of[fold] |= {name: "test" for name in names[tested_in == fold]}
            part_of[fold] |= {names[i]: PARTS[v] for i, v in zip(rest, validated)}
    return [_parts_of(persons, parts) for parts in part_of]


def split_table(slice_ids, persons, labels, *, n_folds, seed):
    """The split of a cohort as a table, checked: one row per slice and fold.

    Parameters
    ----------
    slice_ids : sequence, shape (n,)
    persons, labels, seed
        As in :func:`hold_out`.
    n_folds : int
        1 for a hold-out split, else the number of folds.

    Returns
    -------
    pandas.DataFrame
        Columns slice_id, person_id, label, fold (from 0), part.
    """
    if n_folds == 1:
        folds = [hold_out(persons, labels, seed=seed)]
    else:
        folds = k_folds(persons, labels, n_folds=n_folds, seed=seed)
    rows = {
        "slice_id": np.asarray(slice_ids),
        "person_id": np.asarray(persons).astype(str),
        "label": np.asarray(labels),
    }
    split = pd.concat(
        [pd.DataFrame({**rows, "fold": i, "part": parts}) for i, parts in enumerate(folds)],
        ignore_index=True,
    )
    return check(split, slice_ids=slice_ids)
