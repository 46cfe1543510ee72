"""Classification metrics for all resamples at once.

scikit-learn scores one sample in milliseconds, which thousands of resamples turn into
minutes. Here each resample is a row of weights (how often a slice was drawn), so that
every metric is a few matrix products. The tests hold each against scikit-learn.
"""

import numpy as np

from tumorcf_lib.stats import persons as _resampling
from tumorcf_lib.stats.classification import N_BINS


def person_weights(persons, strata, *, n_resamples: int, rng=None):
    """How often each slice is in each resample, persons drawn within their stratum.

    Returns
    -------
    ndarray of float64, shape (n_resamples, n)

    Examples
    --------
    >>> w = person_weights(["a", "a", "b"], [0, 0, 0], rng=np.random.default_rng(0), n_resamples=5)
    >>> bool((w[:, 0] == w[:, 1]).all()), bool((w[:, 0] + w[:, 2] == 2).all())
    (True, True)
    """
    _, people = _resampling.checked(np.zeros(len(persons)), persons, strata)
    return people.draw(n_resamples, rng)[:, people.owner]  # (n_resamples, n)


def overall(labels, probabilities, weights) -> dict:
    """Accuracy, balanced accuracy, macro F1, ROC AUC, ECE and Brier score of each resample.

    Parameters
    ----------
    labels : array of int, shape (n,)
    probabilities : array of float, shape (n, n_classes)
    weights : array of float, shape (n_resamples, n)
        Ones for the sample itself.

    Returns
    -------
    dict of str to ndarray, each (n_resamples,)
        Definitions as in :mod:`stats.classification`; NaN where a resample has none.
    """
    counts = _confusions(labels, probabilities, weights)
    _, recall, f1 = _precision_recall_f1(counts)
    total = weights.sum(axis=1)
    present = counts.sum(axis=2) > 0
    hits = np.einsum("rkk->r", counts)
    squared = ((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(axis=1)
    return {
        "accuracy": hits / total,
        "balanced accuracy": (recall * present).sum(axis=1) / present.sum(axis=1),
        "macro F1": f1.mean(axis=1),
        "ROC AUC": _auc(labels, probabilities, weights),
        "ECE": _ece(labels, probabilities, weights),
        "Brier": weights @ squared / total,
    }


def by_class(labels, probabilities, weights) -> dict:
    """Precision, recall and F1 of every class and resample, each (n_resamples, n_classes)."""
    counts = _confusions(labels, probabilities, weights)
    return dict(zip(("precision", "recall", "f1"), _precision_recall_f1(counts), strict=True))


def _confusions(labels, probabilities, weights):
    """Weighted confusion matrices, (n_resamples, n_classes, n_classes), rows the truth."""
    n_classes = probabilities.shape[1]
    cell = np.asarray(labels) * n_classes + probabilities.argmax(axis=1)
    return (weights @ np.eye(n_classes**2)[cell]).reshape(-1, n_classes, n_classes)


def _precision_recall_f1(counts):
    hits = np.einsum("rkk->rk", counts)
    n_true, n_predicted = counts.sum(axis=2), counts.sum(axis=1)
    return (
        _ratio(hits, n_predicted), _ratio(hits, n_true), _ratio(2 * hits, n_true + n_predicted),
    )  # fmt: skip


def _ratio(part, whole):
    """part / whole, 0 where there is nothing to divide by, as scikit-learn's zero_division=0."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _auc(labels, probabilities, weights):
    """One class against the rest, mean over the classes that occur; ties count half."""
    areas = []
    for k in range(probabilities.shape[1]):
        order = np.argsort(probabilities[:, k], kind="stable")
        score, positive = probabilities[order, k], labels[order] == k
        negative_weight = weights[:, order] * ~positive
        below = np.cumsum(negative_weight, axis=1)  # (n_resamples, n), ties included
        last = np.searchsorted(score, score, side="right") - 1
        first = np.searchsorted(score, score, side="left")
        before = np.where(first > 0, below[:, np.maximum(first - 1, 0)], 0.0)
        wins = (below[:, last] + before) / 2
        positive_weight = weights[:, order] * positive
        pairs = positive_weight.sum(axis=1) * below[:, -1]
        with np.errstate(invalid="ignore", divide="ignore"):
            areas.append(np.where(pairs > 0, (positive_weight * wins).sum(axis=1) / pairs, np.nan))
    areas = np.stack(areas)  # (n_classes, n_resamples)
    n_known = np.isfinite(areas).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nansum(areas, axis=0) / n_known


def _ece(labels, probabilities, weights):
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, N_BINS + 1)
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, N_BINS - 1)
    gap = (right - confidence)[:, None] * np.eye(N_BINS)[index]  # (n, N_BINS)
    return np.abs(weights @ gap).sum(axis=1) / weights.sum(axis=1)
