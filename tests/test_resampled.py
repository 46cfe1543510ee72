import numpy as np
import pytest

from tumorcf_lib.stats import classification, resampled


@pytest.fixture
def sample():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, 90)
    p = rng.dirichlet([1, 1, 1], 90).round(2)  # rounded: ties occur
    p[:, 2] = 1 - p[:, 0] - p[:, 1]
    persons = labels * 10 + rng.integers(0, 6, 90)
    return labels, p, persons


SLOW = {
    "accuracy": classification.accuracy,
    "balanced accuracy": classification.balanced_accuracy,
    "macro F1": classification.macro_f1,
    "ROC AUC": classification.roc_auc,
    "ECE": classification.ece,
    "Brier": classification.brier,
}


@pytest.mark.parametrize("name", SLOW)
def test_every_resample_equals_the_metric_of_the_repeated_slices(sample, name):
    labels, p, persons = sample
    weights = resampled.person_weights(persons, labels, rng=np.random.default_rng(1), n_resamples=8)
    fast = resampled.overall(labels, p, weights)[name]
    for row, value in zip(weights.astype(int), fast, strict=True):
        repeated = np.repeat(np.arange(len(labels)), row)
        assert value == pytest.approx(SLOW[name](labels[repeated], p[repeated]))


def test_class_metrics_of_unit_weights_equal_the_table_of_scikit_learn(sample):
    labels, p, _ = sample
    table = classification.classification_table(labels, p, ("a", "b", "c"))
    values = resampled.by_class(labels, p, np.ones((1, len(labels))))
    for metric in ("precision", "recall", "f1"):
        np.testing.assert_allclose(values[metric][0], table[metric])


def test_a_class_that_is_never_drawn_or_predicted_scores_zero():
    p = np.array([[0.9, 0.1], [0.8, 0.2]])
    values = resampled.by_class(np.array([0, 0]), p, np.ones((1, 2)))
    assert values["recall"][0].tolist() == [1, 0]
    assert values["precision"][0].tolist() == [1, 0]


def test_resamples_keep_the_number_of_persons_of_each_class(sample):
    labels, _, persons = sample
    weights = resampled.person_weights(
        persons, labels, rng=np.random.default_rng(2), n_resamples=20
    )
    for k in range(3):
        one_slice_of_each = [
            np.flatnonzero(persons == q)[0] for q in np.unique(persons[labels == k])
        ]
        assert (weights[:, one_slice_of_each].sum(axis=1) == len(one_slice_of_each)).all()
