import functools

import numpy as np
import pandas as pd
import pytest
import real_cheng

from tumorcf_lib.data import split
from tumorcf_lib.data.split import PARTS, LeakageError, SplitInputError, UnbalancedSplitError

SMALL = (3,), (4, 3), (9, 5, 20), (7, 6, 21)


LIKE_REAL = (82, 65, 62)


def drawn(seed=0, n_persons=LIKE_REAL):
    """So many persons of each class, with 1 to 38 slices each."""
    rng = np.random.default_rng(seed)
    sizes = [(label, i) for label, n in enumerate(n_persons) for i in range(n)]
    repeats = rng.integers(1, 39, len(sizes))
    persons = np.repeat([f"{label}-{i}" for label, i in sizes], repeats)
    return persons, np.repeat([label for label, _ in sizes], repeats)


def counted(persons, labels, parts):
    """Persons of each class and part, {label: [train, validation, test]}; each in one part only."""
    by_person = {person: set(parts[persons == person]) for person in set(persons)}
    assert all(len(own) == 1 for own in by_person.values())
    return {
        label: [len(set(persons[(parts == part) & (labels == label)])) for part in PARTS]
        for label in set(labels)
    }


@pytest.mark.parametrize("n_persons", [*SMALL, LIKE_REAL])
def test_a_hold_out_split_parts_persons_and_counts_them_by_the_rule(n_persons):
    for seed in range(5):
        persons, labels = drawn(seed, n_persons)
        parts = split.hold_out(persons, labels, seed=seed)
        for counts in counted(persons, labels, parts).values():
            n_held = -(-15 * sum(counts) // 100)  # 15 %, rounded up, in whole numbers
            assert counts == [sum(counts) - 2 * n_held, n_held, n_held]


@pytest.mark.parametrize("n_persons", [*SMALL[2:], LIKE_REAL])
@pytest.mark.parametrize("n_folds, seed", [(3, 0), (4, 1), (5, 2)])
def test_k_folds_test_each_person_once_and_deal_evenly(n_persons, n_folds, seed):
    persons, labels = drawn(seed, n_persons)
    folds = split.k_folds(persons, labels, n_folds=n_folds, seed=seed)
    n_tested = np.sum([parts == "test" for parts in folds], axis=0)
    assert (n_tested == 1).all()
    for parts in folds:
        for n_train, n_validated, n_tested in counted(persons, labels, parts).values():
            n_persons = n_train + n_validated + n_tested
            assert n_tested in (n_persons // n_folds, -(-n_persons // n_folds))
            assert n_validated == -(-15 * (n_persons - n_tested) // 100)


@pytest.mark.parametrize("n_folds", [1, 5])
def test_a_split_does_not_depend_on_the_order_of_the_slices(n_folds):
    persons, labels = drawn()
    order, tables = np.random.default_rng(1).permutation(len(persons)), []
    for ids in (np.sort(order), order):
        table = split.split_table(ids, persons[ids], labels[ids], n_folds=n_folds, seed=3)
        tables.append(table.sort_values(["fold", "slice_id"], ignore_index=True))
    assert tables[0].equals(tables[1])


def check_balance(ids, persons, labels, n_folds, seed):
    """Each part's share of a class's slices is its share of the patients to 3 points."""
    counts = split.summary(split.split_table(ids, persons, labels, n_folds=n_folds, seed=seed))
    total = counts.groupby(["fold", "label"])["n_persons"].transform("sum")
    assert (counts["slice_share"] - counts["n_persons"] / total).abs().max() < 0.03
    return counts


@pytest.mark.parametrize("n_folds", [1, 5])
def test_slices_are_balanced_to_3_points_on_persons_like_the_real_ones(n_folds):
    for seed in range(5):
        persons, labels = drawn(seed)
        check_balance(range(len(persons)), persons, labels, n_folds, seed)


def test_what_cannot_be_split_is_refused_with_the_reason():
    for make in (split.hold_out, functools.partial(split.k_folds, n_folds=2)):
        with pytest.raises(SplitInputError, match="class 0 has 2"):
            make(["a", "b"], [0, 0], seed=0)


@pytest.mark.real
@pytest.mark.parametrize("n_folds", [1, 5])
def test_the_real_slices_split_soundly_with_ten_tested_persons_a_class(n_folds):
    whole = real_cheng.cohort()
    counts = check_balance(whole.table["slice_id"], whole.persons, whole.labels, n_folds, seed=1)
    assert (counts["n_persons"][counts["part"] == "test"] >= 10).all()


@pytest.fixture
def folds():
    """Two classes of ten persons with two slices each in five folds: 2 test, 2 validation."""
    persons = [f"{label}-{i}" for label in "ab" for i in range(10) for _ in "12"]
    return split.split_table(range(40), persons, np.repeat([0, 1], 20), n_folds=5, seed=0)


def test_only_mr_numbers_with_one_capital_share_a_person():
    alone = ["MR051644BB", "MR051644b", "MRB", "XMR1A", "100360", "100360B"]
    assert split.person_ids(alone).tolist() == alone
    shared = ["MR051644", "MR051644B", "MR051644Z", " MR1A\n"]
    assert split.person_ids(shared).tolist() == ["MR051644"] * 3 + ["MR1"]


def test_slices_twice_missing_tested_twice_or_of_two_persons_are_leakage(folds):
    first, own = folds[folds["fold"] == 0], np.arange(len(folds))
    again = first.assign(fold=1)  # tests the same slices
    for table, words in (
        (pd.concat([first, first.iloc[[3]]]), "1 are listed twice"),
        (folds.iloc[1:], "1 are missing"),
        (pd.concat([first, again]), "tested [02] times"),
        (folds.assign(person_id=folds["person_id"].where(own > 0, "p99")), "same in all folds"),
    ):
        with pytest.raises(LeakageError, match=words):
            split.check(table)


def test_a_class_missing_from_a_part_and_lopsided_shares_are_noticed(folds):
    good = folds[folds["fold"] == 0].copy()
    with pytest.raises(UnbalancedSplitError, match="0% of the slices of class 1 in test"):
        split.check(good[(good["part"] != "test") | (good["label"] == 0)])
    held = good[(good["label"] == 0) & (good["part"] != "train")]
    moved = held.groupby("part")["person_id"].first()  # of two tested persons and two validated
    good.loc[good["person_id"].isin(moved), "part"] = "train"
    with pytest.raises(UnbalancedSplitError, match="80% .*train; wanted 60%"):
        split.check(good)


def test_the_summary_counts_persons_and_slices(folds):
    counts = split.summary(folds[folds["fold"] == 0]).set_index(["part", "label"])
    assert counts.loc[("train", 0), ["n_persons", "n_slices"]].tolist() == [6, 12]
    assert counts.loc[("test", 1), ["n_persons", "n_slices"]].tolist() == [2, 4]
    assert counts.loc[("test", 1), "slice_share"] == 4 / 20
