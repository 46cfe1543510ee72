import numpy as np
import pytest
import real_cheng
from hypothesis import given, settings
from hypothesis import strategies as st

from tumorcf_lib.data import split
from tumorcf_lib.data.split import PARTS, SplitInputError


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


def test_one_seed_gives_one_split_and_another_seed_another():
    persons, labels = cheng_like()
    first, again, other = (split.hold_out(persons, labels, seed=seed) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("n_folds", [1, 5])
@pytest.mark.parametrize("seed", range(5))
def test_slices_are_balanced_to_3_points_on_persons_like_the_real_ones(n_folds, seed):
    persons, labels = cheng_like(seed)
    ids = range(len(persons))
    counts = split.summary(split.split_table(ids, persons, labels, n_folds=n_folds, seed=seed))
    total = counts.groupby(["fold", "label"])["n_persons"].transform("sum")
    assert (counts["slice_share"] - counts["n_persons"] / total).abs().max() < 0.03


def test_a_table_has_one_row_per_slice_and_fold():
    persons, labels = cheng_like()
    ids = np.arange(len(persons)) + 1
    table = split.split_table(ids, persons, labels, n_folds=5, seed=0)
    assert table.columns.tolist() == ["slice_id", "person_id", "label", "fold", "part"]
    for fold, rows in table.groupby("fold"):
        assert rows["slice_id"].tolist() == ids.tolist()
        assert rows["person_id"].tolist() == persons.tolist()
        expected = split.k_folds(persons, labels, n_folds=5, seed=0)[fold]
        assert rows["part"].tolist() == expected.tolist()


@pytest.mark.parametrize(
    "persons, labels, words",
    [
        (["a", "a", "b", "c"], [0, 1, 0, 0], "'a' has 2"),
        (["a", "b"], [0, 0], "class 0 has 2"),
        (["a", "b"], [0], "shapes"),
        ([], [], "shapes"),
    ],
)
def test_what_cannot_be_split_is_refused_with_the_reason(persons, labels, words):
    with pytest.raises(SplitInputError, match=words):
        split.hold_out(persons, labels, seed=0)


@pytest.mark.parametrize("n_folds, words", [(1, "hold_out"), (5, "5 persons .* has 4")])
def test_impossible_folds_are_refused(n_folds, words):
    with pytest.raises(SplitInputError, match=words):
        split.k_folds(list("abcd"), [0] * 4, n_folds=n_folds, seed=0)


@pytest.mark.real
@pytest.mark.parametrize("n_folds", [1, 5])
@pytest.mark.parametrize("seed", range(3))
def test_the_real_slices_split_soundly_with_ten_tested_persons_a_class(n_folds, seed):
    whole = real_cheng.cohort()
    table = split.split_table(
        whole.table["slice_id"], whole.persons, whole.labels, n_folds=n_folds, seed=seed
    )
    counts = split.summary(table)
    assert (counts["n_persons"][counts["part"] == "test"] >= 10).all()
    total = counts.groupby(["fold", "label"])["n_persons"].transform("sum")
    assert (counts["slice_share"] - counts["n_persons"] / total).abs().max() < 0.03
