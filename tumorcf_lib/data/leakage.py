"""The guard against leakage, called by whoever makes or reads a split.

One person's slices look alike: a network that trained on some of them is not tested by
the others.
"""

import math
import re

import numpy as np
import pandas as pd

PARTS = ("train", "validation", "test")
COLUMNS = ("slice_id", "person_id", "label", "fold", "part")
SHARE = 0.15
"""Share of a class's persons that goes to validation, and to the test of a hold-out split."""
MAX_SHARE_ERROR = 0.10

_STEM = re.compile(r"^(MR\d+)[A-Z]?$")


class LeakageError(ValueError):
    """A split in which tested slices are not strangers to the trained ones."""


class UnbalancedSplitError(ValueError):
    """A split with an empty part, a class missing from a part, or lopsided shares."""


def person_ids(patient_ids):
    """The person behind each patient ID.

    ``MR051644``, ``MR051644B`` and ``MR051644C`` are very likely repeat examinations of one
    person, so such IDs share their stem; any other ID is a person. Not to do so would put
    one person on both sides of a split.

    Parameters
    ----------
    patient_ids : sequence of str, shape (n,)

    Returns
    -------
    ndarray of object (str), shape (n,)

    Examples
    --------
    >>> person_ids(["MR051644", "MR051644B", "100360", "MRB"]).tolist()
    ['MR051644', 'MR051644', '100360', 'MRB']
    """
    texts = [str(patient).strip() for patient in patient_ids]
    return np.array([_STEM.sub(r"\1", text) for text in texts], dtype=object)


def n_held_out(n_persons):
    """How many of a class's persons go to one held-out part: 15 %, rounded up.

    >>> n_held_out(65)
    10
    """
    return math.ceil(SHARE * n_persons)


def summary(split):
    """Persons and slices of each fold, part and class.

    Parameters
    ----------
    split : pandas.DataFrame
        As from :func:`data.split.split_table`.

    Returns
    -------
    pandas.DataFrame
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


def check(split, *, slice_ids=None):
    """The split itself, if nothing leaks and every class is in every part as it should be.

    Whoever reads a split from anywhere calls this first.

    Parameters
    ----------
    split : pandas.DataFrame
        Columns slice_id, person_id, label, fold, part.
    slice_ids : sequence, optional
        The slices of the cohort: every fold must hold each of them once.

    Returns
    -------
    pandas.DataFrame
        ``split``, unchanged.

    Raises
    ------
    LeakageError
        A person in two parts of a fold (IDs that share a stem are one person), a slice
        missing or listed twice, a slice tested in two folds or in none, a slice whose
        person or label changes between folds.
    UnbalancedSplitError
        A part without slices, a class missing from a part, or the share of a class's slices
        in a part more than 0.10 from the wanted share.

    Examples
    --------
    >>> rows = {"slice_id": [1, 2], "person_id": ["MR7A", "MR7B"], "label": 0, "fold": 0}
    >>> check(pd.DataFrame({**rows, "part": ["train", "test"]}))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    tumorcf_lib.data.leakage.LeakageError: Fold 0 has person 'MR7' in test and train. ...
    """
    _check_columns(split)
    slice_ids = split["slice_id"].unique() if slice_ids is None else np.asarray(slice_ids)
    split_by_stem = split.assign(person_id=person_ids(split["person_id"]))
    for fold, rows in split_by_stem.groupby("fold"):
        _check_fold(fold, rows, slice_ids)
    _check_across_folds(split_by_stem)
    _check_balance(split_by_stem)
    return split


def _check_columns(split):
    missing = [name for name in COLUMNS if name not in split.columns]
    if missing or not len(split):
        raise LeakageError(
            f"A split is a table with the columns {', '.join(COLUMNS)}; this one has {len(split)} "
            f"rows and lacks {missing or 'no column'}. Make it again with split_table."
        )
    unknown = sorted(set(split["part"].astype(str)) - set(PARTS))
    if unknown or split[list(COLUMNS)].isna().any(axis=None):
        raise LeakageError(
            f"Every row needs a part ({', '.join(PARTS)}), slice, person, label and fold; "
            f"unknown parts: {unknown}, empty cells: {split[list(COLUMNS)].isna().sum().sum()}. "
            "Make the split again with split_table."
        )


def _check_fold(fold, rows, slice_ids):
    parts = rows.groupby("person_id")["part"].unique()
    shared = parts[parts.map(len) > 1]
    if len(shared):
        where = " and ".join(sorted(shared.iloc[0]))
        raise LeakageError(
            f"Fold {fold} has person {shared.index[0]!r} in {where}. {len(shared)} persons are in "
            "more than one part: split over persons (person_ids), not over slices or patient IDs."
        )
    twice = rows["slice_id"][rows["slice_id"].duplicated()]
    listed, wanted = set(rows["slice_id"]), set(slice_ids)
    missing, strange = wanted - listed, listed - wanted
    if len(twice) or missing or strange:
        raise LeakageError(
            f"Fold {fold} must list each slice once: {len(twice)} are listed twice, {len(missing)} "
            f"are missing, {len(strange)} are not of this cohort. Make the split again with "
            "split_table."
        )


def _check_across_folds(split):
    owners = split.drop_duplicates(["slice_id", "person_id", "label"])
    if owners["slice_id"].duplicated().any():
        raise LeakageError(
            "The person and label of a slice must be the same in all folds; those of slice "
            f"{owners['slice_id'][owners['slice_id'].duplicated()].iloc[0]} are not. "
            "Make the split again with split_table."
        )
    if split["fold"].nunique() == 1:
        return
    n_tests = (split["part"] == "test").groupby(split["slice_id"]).sum()
    wrong = n_tests[n_tests != 1]
    if len(wrong):
        raise LeakageError(
            f"Over all folds each slice is tested once; slice {wrong.index[0]} is tested "
            f"{wrong.iloc[0]} times ({len(wrong)} slices in all). Pooled results would count it "
            "wrongly: make the split again with split_table."
        )


def _wanted_shares(n_persons, n_folds):
    """The share of a class's persons that each part should get, {part: share}."""
    if n_folds == 1:
        held = n_held_out(n_persons) / n_persons
        return dict(zip(PARTS, (1 - 2 * held, held, held)))
    n_rest = n_persons - n_persons / n_folds
    held = n_held_out(n_rest) / n_persons
    return dict(zip(PARTS, (1 - 1 / n_folds - held, held, 1 / n_folds)))


def _check_balance(split):
    n_folds = split["fold"].nunique()
    persons_of_class = split.groupby("label")["person_id"].nunique()
    counts = summary(split)
    for row in counts[counts["n_slices"] == 0].itertuples():
        raise UnbalancedSplitError(
            f"Fold {row.fold} has no {row.part} slice of class {row.label}. Each part needs every "
            "class: take more persons, or fewer folds."
        )
    for row in counts.itertuples():
        wanted = _wanted_shares(persons_of_class[row.label], n_folds)[row.part]
        if abs(row.slice_share - wanted) > MAX_SHARE_ERROR:
            raise UnbalancedSplitError(
                f"Fold {row.fold} has {row.slice_share:.0%} of the slices of class {row.label} in "
                f"{row.part}; wanted {wanted:.0%}, at most {MAX_SHARE_ERROR:.0%} off. A person "
                "with very many slices or very few persons can cause this: try another seed."
            )
