"""Splits over patients, as one table, and the guard against leakage.

One patient's slices look alike: a network that trained on some of them is not tested by the
others. The patient behind an ID is called a person in columns and parameters.
"""

import math
import re

import numpy as np
import pandas as pd

PARTS = ("train", "validation", "test")
SHARE = 0.15
"""Share of a class's patients that goes to validation, and to the test of a hold-out split."""
MAX_SHARE_ERROR = 0.10

N_DRAWS = 200
AGAIN = "Make the split again with split_table."

_STEM = re.compile(r"^(MR\d+)[A-Z]?$")


class LeakageError(ValueError):
    """A split in which tested slices are not strangers to the trained ones."""


class UnbalancedSplitError(ValueError):
    """A split with an empty part, a class missing from a part, or lopsided shares."""


class SplitInputError(ValueError):
    """Patients and labels that cannot be split."""


def _persons_by_class(persons, labels):
    """For each class its patients, sorted, and their slice counts: (label, names, counts)."""
    pairs = pd.Series(np.asarray(persons).astype(str)).groupby(np.asarray(labels))
    return [(label, *np.unique(own, return_counts=True)) for label, own in pairs]


def _best_draw(n_slices, sizes, rng):
    """The group of each patient, dealt into groups of the given sizes: best of N_DRAWS.

    Best is where groups hold most nearly the same share of the slices as of the patients.
    """
    draws = rng.permuted(np.tile(np.repeat(np.arange(len(sizes)), sizes), (N_DRAWS, 1)), axis=1)
    in_group = draws[:, None, :] == np.arange(len(sizes))[:, None]  # (draw, group, person)
    shares = in_group @ n_slices / n_slices.sum()  # (draw, group)
    errors = np.abs(shares - np.asarray(sizes) / len(n_slices)).max(axis=1)  # (draw,)
    return draws[errors.argmin()]


def _parts_of(persons, part_of_person):
    return np.array([part_of_person[person] for person in np.asarray(persons).astype(str)])


def hold_out(persons, labels, *, seed):
    """One split of about 70 / 15 / 15 percent of the patients, stratified by class: each's part.

    Of each class, 15 % of the patients (rounded up) go to the test part, as many to validation:
    the best of 200 random draws for the balance of slices, since patients have 1 to 38 of them.
    """
    part_of = {}
    for label, names, n_slices in _persons_by_class(persons, labels):
        n_held = n_held_out(len(names))
        n_train = len(names) - 2 * n_held
        if n_train < 1:
            raise SplitInputError(
                f"A hold-out split needs 3 patients of each class; class {label} has {len(names)}."
            )
        rng = np.random.default_rng([seed, int(label)])
        groups = _best_draw(n_slices, (n_train, n_held, n_held), rng)
        part_of |= {name: PARTS[group] for name, group in zip(names, groups)}
    return _parts_of(persons, part_of)


def k_folds(persons, labels, *, n_folds, seed):
    """``n_folds`` splits in which every patient is tested exactly once, stratified by class.

    The patients of a class are dealt evenly to the folds (best of 200 draws for the balance of
    slices); fold i tests its own and takes 15 % of the other patients for validation.
    """
    part_of = [{} for _ in range(n_folds)]
    for rank, (label, names, n_slices) in enumerate(_persons_by_class(persons, labels)):
        if len(names) < max(n_folds, 3):
            raise SplitInputError(
                f"{n_folds} folds need {max(n_folds, 3)} patients of each class; class {label} has "
                f"{len(names)}."
            )
        rng = np.random.default_rng([seed, int(label)])
        # The larger folds differ from class to class, so that no fold gets all the extra patients
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
    slice_ids, persons, labels : sequences, shape (n,)
        Each person has one class.
    n_folds : int
        1 for a hold-out split, else the number of folds (from 0).
    seed : int
    """
    if n_folds == 1:
        folds = [hold_out(persons, labels, seed=seed)]
    else:
        folds = k_folds(persons, labels, n_folds=n_folds, seed=seed)
    rows = {"slice_id": np.asarray(slice_ids), "person_id": np.asarray(persons).astype(str)}
    rows["label"] = np.asarray(labels)
    split = pd.concat(
        [pd.DataFrame({**rows, "fold": i, "part": parts}) for i, parts in enumerate(folds)],
        ignore_index=True,
    )
    return check(split)


def person_ids(patient_ids):
    """The patient behind each patient ID, ndarray of object (str).

    ``MR051644``, ``MR051644B`` and ``MR051644C`` are very likely repeat examinations of one
    patient, so such IDs share their stem; any other ID is a patient.

    >>> person_ids(["MR051644", "MR051644B", "100360", "MRB"]).tolist()
    ['MR051644', 'MR051644', '100360', 'MRB']
    """
    texts = [str(patient).strip() for patient in patient_ids]
    return np.array([_STEM.sub(r"\1", text) for text in texts], dtype=object)


def n_held_out(n_persons):
    """How many of a class's patients go to one held-out part: 15 %, rounded up."""
    return math.ceil(SHARE * n_persons)


def summary(split):
    """Patients and slices of each fold, part and class of a split table.

    Columns fold, part, label, n_persons, n_slices, slice_share (of the class in the fold).
    """
    counts = (
        split.assign(part=pd.Categorical(split["part"], PARTS, ordered=True))
        .groupby(["fold", "part", "label"], observed=False)
        .agg(n_persons=("person_id", "nunique"), n_slices=("slice_id", "size"))
        .reset_index()
    )
    total = counts.groupby(["fold", "label"])["n_slices"].transform("sum")
    return counts.assign(part=counts["part"].astype(str), slice_share=counts["n_slices"] / total)


def check(split):
    """The split itself, if nothing leaks and every class is in every part as it should be.

    Whoever reads a split from anywhere calls this first: every fold must hold each slice once.

    Raises
    ------
    LeakageError
        A patient in two parts of a fold (IDs that share a stem are one patient), a slice
        missing or listed twice, a slice tested in two folds or in none, a slice whose
        patient or label changes between folds.
    UnbalancedSplitError
        A part without slices, a class missing from a part, or the share of a class's slices
        in a part more than 0.10 from the wanted share.

    Examples
    --------
    >>> rows = {"slice_id": [1, 2], "person_id": ["MR7A", "MR7B"], "label": 0, "fold": 0}
    >>> check(pd.DataFrame({**rows, "part": ["train", "test"]}))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    tumorcf_lib.data.split.LeakageError: Fold 0 has patient 'MR7' in test and train. ...
    """
    slice_ids = set(split["slice_id"])
    split_by_stem = split.assign(person_id=person_ids(split["person_id"]))
    for fold, rows in split_by_stem.groupby("fold"):
        _check_fold(fold, rows, slice_ids)
    _check_across_folds(split_by_stem)
    _check_balance(split_by_stem)
    return split


def _check_fold(fold, rows, slice_ids):
    parts = rows.groupby("person_id")["part"].unique()
    shared = parts[parts.map(len) > 1]
    if len(shared):
        raise LeakageError(
            f"Fold {fold} has patient {shared.index[0]!r} in "
            f"{' and '.join(sorted(shared.iloc[0]))}. {len(shared)} are in more "
            "than one part: split over patients (person_ids), not over slices or patient IDs."
        )
    twice = rows["slice_id"][rows["slice_id"].duplicated()]
    missing = slice_ids - set(rows["slice_id"])
    if len(twice) or missing:
        raise LeakageError(
            f"Fold {fold} must list each slice once: {len(twice)} are listed twice, {len(missing)} "
            f"are missing. {AGAIN}"
        )


def _check_across_folds(split):
    owners = split.drop_duplicates(["slice_id", "person_id", "label"])["slice_id"]
    if owners.duplicated().any():
        raise LeakageError(
            "The patient and label of a slice must be the same in all folds; those of slice "
            f"{owners[owners.duplicated()].iloc[0]} are not. {AGAIN}"
        )
    if split["fold"].nunique() == 1:
        return
    n_tests = (split["part"] == "test").groupby(split["slice_id"]).sum()
    wrong = n_tests[n_tests != 1]
    if len(wrong):
        raise LeakageError(
            f"Over all folds each slice is tested once; slice {wrong.index[0]} is tested "
            f"{wrong.iloc[0]} times ({len(wrong)} slices in all). {AGAIN}"
        )


def _check_balance(split):
    n_folds = split["fold"].nunique()
    persons_of_class = split.groupby("label")["person_id"].nunique()
    for row in summary(split).sort_values("n_slices", kind="stable").itertuples():  # 0 is the worst
        n = persons_of_class[row.label]
        tested = n_held_out(n) / n if n_folds == 1 else 1 / n_folds
        held = n_held_out(n if n_folds == 1 else n - n / n_folds) / n
        wanted = {"train": 1 - tested - held, "validation": held, "test": tested}[row.part]
        if not row.n_slices or abs(row.slice_share - wanted) > MAX_SHARE_ERROR:
            raise UnbalancedSplitError(
                f"Fold {row.fold} has {row.slice_share:.0%} of the slices of class {row.label} in "
                f"{row.part}; wanted {wanted:.0%}, at most {MAX_SHARE_ERROR:.0%} off. Very few "
                "patients, or one with very many slices, can cause this: take more, or leave that "
                "one out."
            )
