import numpy as np
import pandas as pd
import pytest
import real_cheng
from hypothesis import given, settings, strategies as st

from tumorcf_lib.data import split
from tumorcf_lib.data.split import PARTS, LeakageError, SplitInputError, UnbalancedSplitError


@st.composite
def cohorts(draw, min_persons=3):
    """Persons and labels of 1 to 3 classes, 1 to 9 slices a person."""
    persons, labels = [], []
    for label in range(draw(st.integers(1, 3))):
        counts = draw(st.lists(st.integers(1, 9), min_size=min_persons, max_size=30))
        for i, count in enumerate(counts):
            persons += [f"{label}-{i}"] * count
            labels += [label] * count
    return np.array(persons), np.array(labels)


def cheng_like(seed=0):
    """As many persons a class as in the dataset, 1 to 38 slices each."""
    rng = np.random.default_rng(seed)
    sizes = [(label, i) for label, n in enumerate((82, 65, 62)) for i in range(n)]
    repeats = rng.integers(1, 39, len(sizes))
    persons = np.repeat([f"{label}-{i}" for label, i in sizes], repeats)
    return persons, np.repeat([label for label, _ in sizes], repeats)


def persons_in(persons, labels, parts, part, label):
    return set(persons[(parts == part) & (labels == label)])


def fifteen_percent(n):
    """15 % of n, rounded up, in whole numbers."""
    return -(-15 * n // 100)


@given(cohorts(), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_hold_out_split_parts_persons_and_counts_them_by_the_rule(cohort, seed):
    persons, labels = cohort
    parts = split.hold_out(persons, labels, seed=seed)
    for person in set(persons):
        assert len(set(parts[persons == person])) == 1
    for label in set(labels):
        n_persons = len(set(persons[labels == label]))
        n_held = fifteen_percent(n_persons)
        for part, wanted in zip(PARTS, (n_persons - 2 * n_held, n_held, n_held)):
            assert len(persons_in(persons, labels, parts, part, label)) == wanted


@given(cohorts(min_persons=5), st.integers(3, 5), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_k_folds_test_each_person_once_and_deal_evenly(cohort, n_folds, seed):
    persons, labels = cohort
    folds = split.k_folds(persons, labels, n_folds=n_folds, seed=seed)
    n_tested = np.sum([parts == "test" for parts in folds], axis=0)
    assert (n_tested == 1).all()
    for parts in folds:
        for person in set(persons):
            assert len(set(parts[persons == person])) == 1
        for label in set(labels):
            n_persons = len(set(persons[labels == label]))
            tested = persons_in(persons, labels, parts, "test", label)
            assert len(tested) in (n_persons // n_folds, -(-n_persons // n_folds))
            validated = persons_in(persons, labels, parts, "validation", label)
            assert len(validated) == fifteen_percent(n_persons - len(tested))


@pytest.mark.parametrize("n_folds", [1, 5])
def test_a_split_does_not_depend_on_the_order_of_the_slices(n_folds):
    persons, labels = cheng_like()
    ids = np.arange(len(persons))
    order = np.random.default_rng(1).permutation(len(persons))
    one = split.split_table(ids, persons, labels, n_folds=n_folds, seed=3)
    other = split.split_table(ids[order], persons[order], labels[order], n_folds=n_folds, seed=3)
    key = ["fold", "slice_id"]
    left, right = (table.sort_values(key).reset_index(drop=True) for table in (one, other))
    assert left.equals(right)


def check_balance(ids, persons, labels, n_folds, seed):
    """Each part's share of a class's slices is its share of the patients to 3 points."""
    counts = split.summary(split.split_table(ids, persons, labels, n_folds=n_folds, seed=seed))
    total = counts.groupby(["fold", "label"])["n_persons"].transform("sum")
    assert (counts["slice_share"] - counts["n_persons"] / total).abs().max() < 0.03
    return counts


@pytest.mark.parametrize("n_folds", [1, 5])
def test_slices_are_balanced_to_3_points_on_persons_like_the_real_ones(n_folds):
    for seed in range(5):
        persons, labels = cheng_like(seed)
        check_balance(range(len(persons)), persons, labels, n_folds, seed)


def test_what_cannot_be_split_is_refused_with_the_reason():
    with pytest.raises(SplitInputError, match="class 0 has 2"):
        split.hold_out(["a", "b"], [0, 0], seed=0)


@pytest.mark.real
@pytest.mark.parametrize("n_folds", [1, 5])
def test_the_real_slices_split_soundly_with_ten_tested_persons_a_class(n_folds):
    whole = real_cheng.cohort()
    counts = check_balance(whole.table["slice_id"], whole.persons, whole.labels, n_folds, seed=1)
    assert (counts["n_persons"][counts["part"] == "test"] >= 10).all()


# -- the guard against leakage --------------------------------------------------


@pytest.fixture
def good_folds():
    """Two classes of ten persons with two slices each in five folds: 2 test, 2 validation."""
    persons = [f"{label}-{i}" for label in "ab" for i in range(10) for _ in "12"]
    rows = {"slice_id": range(40), "person_id": persons, "label": np.repeat([0, 1], 20)}
    parts = np.repeat(["test", "validation", "train"], [2, 2, 6])
    folds = [np.repeat(np.tile(np.roll(parts, 2 * fold), 2), 2) for fold in range(5)]
    return pd.concat(
        [pd.DataFrame({**rows, "fold": fold, "part": own}) for fold, own in enumerate(folds)],
        ignore_index=True,
    )


@pytest.fixture
def good(good_folds):
    """The first of them: persons 0 and 1 of a class are tested, 2 and 3 validated."""
    return good_folds[good_folds["fold"] == 0].copy()


def test_only_mr_numbers_with_one_capital_share_a_person():
    alone = ["MR051644BB", "MR051644b", "MRB", "XMR1A", "100360", "100360B"]
    assert split.person_ids(alone).tolist() == alone
    shared = ["MR051644", "MR051644B", "MR051644Z", " MR1A\n"]
    assert split.person_ids(shared).tolist() == ["MR051644"] * 3 + ["MR1"]


def test_two_ids_of_one_person_in_two_parts_are_leakage(good):
    good["person_id"] = good["person_id"].replace({"a-0": "MR7", "a-9": "MR7B"})
    with pytest.raises(LeakageError, match="'MR7' in test and train"):
        split.check(good)


def test_a_slice_that_is_listed_twice_or_missing_from_a_fold_is_noticed(good, good_folds):
    with pytest.raises(LeakageError, match="1 are listed twice"):
        split.check(pd.concat([good, good.iloc[[3]]]))
    with pytest.raises(LeakageError, match="1 are missing"):
        split.check(good_folds.iloc[1:])


def test_a_slice_tested_in_two_folds_is_leakage(good_folds):
    twice = good_folds[good_folds["fold"].isin([0, 1])].copy()
    twice.loc[twice["fold"] == 1, "part"] = twice["part"][twice["fold"] == 0].to_numpy()
    with pytest.raises(LeakageError, match="tested"):
        split.check(twice)


def test_a_slice_that_changes_between_folds_is_noticed(good_folds):
    good_folds.loc[0, "person_id"] = "p99"
    with pytest.raises(LeakageError, match="same in all folds"):
        split.check(good_folds)


def test_a_class_missing_from_a_part_is_noticed(good):
    with pytest.raises(UnbalancedSplitError, match="0% of the slices of class 1 in test"):
        split.check(good[(good["part"] != "test") | (good["label"] == 0)])


def test_lopsided_shares_are_noticed(good):
    moved = good["person_id"].isin(["a-1", "a-3"])  # of test and validation: both keep one person
    good.loc[moved, "part"] = "train"
    with pytest.raises(UnbalancedSplitError, match="80% .*train; wanted 60%"):
        split.check(good)


def test_the_summary_counts_persons_and_slices(good):
    counts = split.summary(good).set_index(["part", "label"])
    assert counts.loc[("train", 0), ["n_persons", "n_slices"]].tolist() == [6, 12]
    assert counts.loc[("test", 1), ["n_persons", "n_slices"]].tolist() == [2, 4]
    assert counts.loc[("test", 1), "slice_share"] == 4 / 20
