"""How good a classifier is, and how well its confidence is calibrated, on plain arrays.

Labels are class indices, shape (n,); probabilities have shape (n, n_classes). Where two
classes tie, the first counts as predicted. scikit-learn scores one sample in milliseconds,
which thousands of resamples turn into minutes; here each resample is a row of weights (how often
a slice was drawn), so that every metric is a few matrix products. The tests compare each with
scikit-learn.
"""

import numpy as np
import pandas as pd
import scipy.optimize
import scipy.special

from tumorcf_lib.edits.scores import arrays, class_names
from tumorcf_lib.stats import estimates

N_BINS = 15


def slice_weights(rows, n_resamples):
    """How often each slice is in the sample (once) and in each resample of patients.

    Float64 (1 + n_resamples, n). Row 0, all ones, is the sample itself.
    """
    people, counts = estimates.drawn(rows, n_resamples)
    return counts[:, people.owner]


def overall(labels, probabilities, weights) -> dict:
    """Accuracy, balanced accuracy, macro F1, ROC AUC, ECE and Brier score of each resample.

    Parameters
    ----------
    labels : array of int, shape (n,)
    probabilities : array of float, shape (n, n_classes)
    weights : array of float, shape (n_resamples, n)
        From :func:`slice_weights`.

    Returns
    -------
    dict of str to ndarray, each (n_resamples,)
        ECE (mean over slices of their bin's |accuracy - confidence| of the predicted class, bins
        of equal width, Guo et al. 2017) and Brier (summed over classes, in [0, 2]): lower is
        better; all others, in [0, 1]: higher. Balanced accuracy is the mean recall of the
        classes that occur, macro F1 counts absent classes 0, ROC AUC is the mean over classes
        of one against the rest. NaN where a resample has none.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float64)
    counts = confusions(labels, probabilities, weights)
    _, recall, f1 = _precision_recall_f1(counts)
    total = weights.sum(axis=1)
    present = counts.sum(axis=2) > 0
    squared = ((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(axis=1)
    gap = (probabilities.argmax(axis=1) == labels) - probabilities.max(axis=1)
    in_bin = np.eye(N_BINS)[_bin_of(probabilities)]  # (n, N_BINS)
    return {
        "accuracy": np.einsum("rkk->r", counts) / total,
        "balanced accuracy": (recall * present).sum(axis=1) / present.sum(axis=1),
        "macro F1": f1.mean(axis=1),
        "ROC AUC": _auc(labels, probabilities, weights),
        "ECE": np.abs(weights @ (gap[:, None] * in_bin)).sum(axis=1) / total,
        "Brier": weights @ squared / total,
    }


def by_class(labels, probabilities, weights) -> dict:
    """Precision, recall and F1 of every class and resample, each (n_resamples, n_classes).

    A class that is never predicted (or absent) has precision (recall) and F1 0.
    """
    counts = confusions(labels, probabilities, weights)
    return dict(zip(("precision", "recall", "f1"), _precision_recall_f1(counts), strict=True))


def reliability_bins(labels, probabilities):
    """Confidence and accuracy of the predicted class, in bins of equal width.

    Returns
    -------
    DataFrame, one row per bin
        low, high (the bin is low < confidence <= high), n, and the bin's mean
        confidence and accuracy (NaN if empty).

    Examples
    --------
    >>> bins = reliability_bins([0, 1], np.array([[0.75, 0.25], [0.74, 0.26]]))
    >>> bins[bins["n"] > 0].round(3).values.tolist()
    [[0.733, 0.8, 2.0, 0.745, 0.5]]
    """
    probabilities = np.asarray(probabilities, np.float64)
    right = probabilities.argmax(axis=1) == np.asarray(labels)
    table = pd.DataFrame({"confidence": probabilities.max(axis=1), "accuracy": right})
    by, edges = table.groupby(_bin_of(probabilities)), np.linspace(0, 1, N_BINS + 1)
    bins = pd.DataFrame({"low": edges[:-1], "high": edges[1:]})
    bins["n"] = by.size().reindex(bins.index, fill_value=0)
    return bins.join(by.mean())


def fit_temperature(labels, probabilities):
    """The temperature that makes the probabilities fit the labels best.

    Parameters
    ----------
    labels, probabilities
        Of the validation slices, never of the tested ones.

    Returns
    -------
    float in [0.05, 20]
        Minimizes the negative log-likelihood of :func:`apply_temperature` (Guo et al.
        2017). Above 1: the classifier was too confident.

    Examples
    --------
    >>> right_half_of_the_time = np.array([[0.99, 0.01]] * 10)
    >>> fit_temperature([0] * 5 + [1] * 5, right_half_of_the_time) > 5
    True
    """
    logs = _log(probabilities)
    row = np.arange(len(logs))

    def loss(log_temperature):
        scaled = logs / np.exp(log_temperature)
        return -(scaled[row, labels] - scipy.special.logsumexp(scaled, axis=1)).mean()

    found = scipy.optimize.minimize_scalar(
        loss, bounds=np.log([0.05, 20]), method="bounded", options={"xatol": 1e-6}
    )
    return float(np.exp(found.x))


def apply_temperature(probabilities, temperature):
    """Probabilities softened (temperature above 1) or sharpened (below 1).

    Returns
    -------
    ndarray of float64, shape (n, n_classes)
        softmax(log(p) / temperature); the predicted class stays.

    Examples
    --------
    >>> apply_temperature(np.array([[0.8, 0.2]]), 2).round(3)
    array([[0.667, 0.333]])
    """
    return scipy.special.softmax(_log(probabilities) / temperature, axis=1)


def person_predictions(rows):
    """A patient's prediction: the mean probability of the patient's slices.

    Parameters
    ----------
    rows : DataFrame
        Columns person_id, label (class name) and p_<class>, one row per slice; of an
        audit's rows, those of edit ``original`` are taken.

    Returns
    -------
    DataFrame, one row per patient in order of appearance
        person_id, label, n_slices, p_<class>, predicted, correct.

    Examples
    --------
    >>> rows = pd.DataFrame({"person_id": ["7", "7"], "label": ["a", "a"],
    ...                      "p_a": [0.9, 0.4], "p_b": [0.1, 0.6]})
    >>> print(person_predictions(rows).to_string(index=False))
    person_id label  n_slices  p_a  p_b predicted  correct
            7     a         2 0.65 0.35         a     True
    """
    if "edit" in rows:
        rows = rows[rows["edit"] == "original"]
    columns = [f"p_{name}" for name in class_names(rows)]
    by_person = rows.groupby("person_id", sort=False)
    persons = by_person.agg(label=("label", "first"), n_slices=("label", "size"))
    persons[columns] = by_person[columns].mean()
    persons = persons.reset_index()
    persons["predicted"] = predicted(persons)
    persons["correct"] = persons["predicted"] == persons["label"]
    return persons


def predicted(rows):
    """The most probable class of each row, by name, (n,)."""
    names = np.array(class_names(rows), object)
    return names[arrays(rows)[1].argmax(axis=1)]


def confusions(labels, probabilities, weights):
    """Weighted confusion matrices, (n_resamples, n_classes, n_classes), rows the truth."""
    n_classes = probabilities.shape[1]
    cell = np.asarray(labels) * n_classes + probabilities.argmax(axis=1)
    return (weights @ np.eye(n_classes**2)[cell]).reshape(-1, n_classes, n_classes)


def _precision_recall_f1(counts):
    hits = np.einsum("rkk->rk", counts)
    n_true, n_predicted = counts.sum(axis=2), counts.sum(axis=1)
    return [
        _ratio(*part)
        for part in ((hits, n_predicted), (hits, n_true), (2 * hits, n_true + n_predicted))
    ]


def _ratio(part, whole):
    """part / whole, 0 where there is nothing to divide by, as scikit-learn's zero_division=0."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _auc(labels, probabilities, weights):
    """One class against the rest, mean over the classes that occur; ties count half."""
    pairs = enumerate(probabilities.T)
    areas = np.stack([estimates.weighted_auc(p, labels == k, weights) for k, p in pairs])
    with np.errstate(invalid="ignore"):
        return np.nansum(areas, axis=0) / np.isfinite(areas).sum(axis=0)


def _bin_of(probabilities):
    """Bin of each slice's confidence; a float32 probability may pass 1 by a rounding error."""
    edges = np.linspace(0, 1, N_BINS + 1)
    index = np.searchsorted(edges, probabilities.max(axis=1), side="left") - 1
    return np.clip(index, 0, N_BINS - 1)


def _log(probabilities):
    # Softmax outputs in single precision can be exactly 0.
    return np.log(np.maximum(np.asarray(probabilities, np.float64), 1e-12))
