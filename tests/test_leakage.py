import io

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib.data import leakage
from tumorcf_lib.data.leakage import LeakageError, UnbalancedSplitError

PARTS_OF_TEN = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2


@pytest.fixture
def good():
    """Two classes of ten persons with two slices each: 6 train, 2 validation, 2 test."""
    persons = [f"{label}-{i}" for label in "ab" for i in range(10)]
    return pd.DataFrame(
        {
            "slice_id": range(40),
            "person_id": np.repeat(persons, 2),
            "label": np.repeat([0, 1], 20),
            "fold": 0,
            "part": np.repeat(PARTS_OF_TEN * 2, 2),
        }
    )


@pytest.fixture
def good_folds():
    """Two classes of ten persons in five folds: 2 test, 2 validation, 6 train in each."""
    folds = []
    for fold in range(5):
        for i in range(20):
            turn = (i - 2 * fold) % 10
            part = "test" if turn < 2 else "validation" if turn < 4 else "train"
            folds.append((i, f"p{i}", i // 10, fold, part))
    return pd.DataFrame(folds, columns=list(leakage.COLUMNS))


@pytest.mark.parametrize(
    "patient, person",
    [
        ("MR051644", "MR051644"),
        ("MR051644B", "MR051644"),
        ("MR051644Z", "MR051644"),
        ("MR051644BB", "MR051644BB"),
        ("MR051644b", "MR051644b"),
        ("MRB", "MRB"),
        ("XMR1A", "XMR1A"),
        ("100360", "100360"),
        ("100360B", "100360B"),
        (" MR1A\n", "MR1"),
    ],
)
def test_only_mr_numbers_with_one_capital_share_a_person(patient, person):
    assert leakage.person_ids([patient]).tolist() == [person]


def test_a_sound_split_comes_back_itself(good, good_folds):
    assert leakage.check(good) is good
    assert leakage.check(good, slice_ids=range(40)) is good
    assert leakage.check(good_folds) is good_folds


def test_a_split_read_from_csv_is_sound_too(good):
    leakage.check(pd.read_csv(io.StringIO(good.to_csv(index=False))))


@pytest.mark.parametrize("other", ["validation", "test"])
def test_a_person_in_two_parts_is_leakage(good, other):
    good.loc[0, "part"] = other
    with pytest.raises(LeakageError, match=f"'a-0' in .*{other}"):
        leakage.check(good)


def test_two_ids_of_one_person_in_two_parts_are_leakage(good):
    good["person_id"] = good["person_id"].replace({"a-0": "MR7", "a-9": "MR7B"})
    with pytest.raises(LeakageError, match="'MR7' in test and train"):
        leakage.check(good)


def test_a_slice_listed_twice_is_leakage(good):
    with pytest.raises(LeakageError, match="1 are listed twice"):
        leakage.check(pd.concat([good, good.iloc[[3]]]))


def test_a_slice_of_the_cohort_that_is_missing_is_noticed(good):
    with pytest.raises(LeakageError, match="1 are missing, 0 are not"):
        leakage.check(good.iloc[1:], slice_ids=range(40))


def test_a_slice_of_another_cohort_is_noticed(good):
    with pytest.raises(LeakageError, match="0 are missing, 1 are not"):
        leakage.check(good, slice_ids=range(39))


def test_a_slice_missing_from_one_fold_is_noticed(good_folds):
    with pytest.raises(LeakageError, match="Fold 0 .* 1 are missing"):
        leakage.check(good_folds.iloc[1:])


def test_a_slice_tested_in_two_folds_is_leakage(good_folds):
    twice = good_folds[good_folds["fold"].isin([0, 1])].copy()
    twice.loc[twice["fold"] == 1, "part"] = twice["part"][twice["fold"] == 0].to_numpy()
    with pytest.raises(LeakageError, match="tested"):
        leakage.check(twice)


@pytest.mark.parametrize("column, value", [("person_id", "p99"), ("label", 1)])
def test_a_slice_that_changes_between_folds_is_noticed(good_folds, column, value):
    good_folds.loc[0, column] = value
    with pytest.raises(LeakageError, match="same in all folds"):
        leakage.check(good_folds)


def test_an_unknown_part_and_an_empty_cell_are_noticed(good):
    with pytest.raises(LeakageError, match="holdout"):
        leakage.check(good.assign(part="holdout"))
    good.loc[0, "part"] = None
    with pytest.raises(LeakageError, match="empty cells: 1"):
        leakage.check(good)


def test_a_missing_column_and_an_empty_table_are_noticed(good):
    with pytest.raises(LeakageError, match="lacks .*person_id"):
        leakage.check(good.drop(columns="person_id"))
    with pytest.raises(LeakageError, match="0 rows"):
        leakage.check(good.iloc[:0])


@pytest.mark.parametrize("part", leakage.PARTS)
def test_a_class_missing_from_a_part_is_noticed(good, part):
    with pytest.raises(UnbalancedSplitError, match="no .* slice of class 1"):
        leakage.check(good[(good["part"] != part) | (good["label"] == 0)])


@pytest.mark.parametrize("part", leakage.PARTS)
def test_an_empty_part_is_noticed(good, part):
    with pytest.raises(UnbalancedSplitError, match=f"no {part} slice"):
        leakage.check(good[good["part"] != part])


def test_lopsided_shares_are_noticed(good):
    moved = good["person_id"].isin(["a-6", "a-8"])  # of validation and test: both keep one person
    good.loc[moved, "part"] = "train"
    with pytest.raises(UnbalancedSplitError, match="80% .*train; wanted 60%"):
        leakage.check(good)


def test_the_summary_counts_persons_and_slices(good):
    counts = leakage.summary(good).set_index(["part", "label"])
    assert counts.loc[("train", 0), ["n_persons", "n_slices"]].tolist() == [6, 12]
    assert counts.loc[("test", 1), ["n_persons", "n_slices"]].tolist() == [2, 4]
    assert counts.loc[("test", 1), "slice_share"] == 4 / 20
