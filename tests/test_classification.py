"""Claims about classification and calibration scores, against scikit-learn, counts and loops."""

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as reference

from tumorcf_lib.stats import classification as c


@pytest.fixture
def sample():
    """Labels, probabilities with ties, and patients of one class each."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, 90)
    p = rng.dirichlet([1, 1, 1], 90) + 0.7 * np.eye(3)[labels]
    p = (p / p.sum(axis=1, keepdims=True)).round(2)
    p[:, 2] = 1 - p[:, 0] - p[:, 1]
    return labels, p, labels * 10 + rng.integers(0, 6, 90)


def slow_ece(labels, p):
    error, confidence, right = 0, p.max(axis=1), p.argmax(axis=1) == labels
    for b in range(c.N_BINS):
        own = (b / c.N_BINS < confidence) & (confidence <= (b + 1) / c.N_BINS)
        if own.any():
            error += own.mean() * abs(right[own].mean() - confidence[own].mean())
    return error


SLOW = {
    "accuracy": lambda y, p: reference.accuracy_score(y, p.argmax(axis=1)),
    "balanced accuracy": lambda y, p: reference.balanced_accuracy_score(y, p.argmax(axis=1)),
    "macro F1": lambda y, p: reference.f1_score(y, p.argmax(axis=1), average="macro"),
    "ROC AUC": lambda y, p: np.mean([reference.roc_auc_score(y == k, p[:, k]) for k in range(3)]),
    "ECE": slow_ece,
    "Brier": lambda y, p: np.mean([((own - np.eye(3)[k]) ** 2).sum() for own, k in zip(p, y)]),
}


def test_sample_and_every_resample_equal_the_metrics_of_the_repeated_slices(sample):
    labels, p, persons = sample
    weights = c.slice_weights(pd.DataFrame({"person_id": persons, "label": labels}), 8)
    assert (weights[0] == 1).all()
    found = c.overall(labels, p, weights)
    for k, row in enumerate(weights.astype(int)):
        drawn = np.repeat(np.arange(len(labels)), row)
        for name, slow in SLOW.items():
            assert found[name][k] == pytest.approx(slow(labels[drawn], p[drawn])), name


def test_class_metrics_and_confusion_equal_those_of_scikit_learn(sample):
    labels, p, _ = sample
    values = c.by_class(labels, p, np.ones((1, len(labels))))
    wanted = reference.precision_recall_fscore_support(labels, p.argmax(axis=1))
    for metric, own in zip(("precision", "recall", "f1"), wanted[:3], strict=True):
        np.testing.assert_allclose(values[metric][0], own)
    (found,) = c.confusions(labels, p, np.ones((1, len(labels))))
    assert (found == reference.confusion_matrix(labels, p.argmax(axis=1))).all()


@pytest.mark.filterwarnings("error")
def test_absent_classes_raise_no_warning_score_zero_and_have_no_curve():
    p, once = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]]), np.ones((1, 3))
    both, one = (c.overall(labels, p, once) for labels in ([0, 1, 0], [0, 0, 0]))
    assert both["ROC AUC"] == 1 and np.isnan(one["ROC AUC"][0])
    assert both["balanced accuracy"] == 1
    assert one["balanced accuracy"][0] == pytest.approx(2 / 3)
    assert c.by_class([0, 1, 0], p, once)["recall"][0, 2] == 0


def test_temperature_is_the_best_of_a_grid_and_survives_exact_zeros(sample):
    labels, p, _ = sample
    p = np.where(p < 0.02, 0, p).astype(np.float32)

    def loss(temperature):
        scaled = c.apply_temperature(p, temperature)
        return -np.log(scaled[np.arange(90), labels]).mean()

    best = c.fit_temperature(labels, p)
    assert loss(best) <= min(loss(t) for t in np.geomspace(0.1, 10, 200)) + 1e-6
