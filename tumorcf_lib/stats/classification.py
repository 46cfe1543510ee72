"""How good a classifier is, and how well its confidence is calibrated, on plain arrays.

Labels are class indices, shape (n,); probabilities have shape (n, n_classes). Where two
classes tie, the first counts as predicted.
"""

import numpy as np
import pandas as pd
import scipy.optimize
import scipy.special
import sklearn.metrics

N_BINS = 15


def confusion(labels, predicted, n_classes):
    """Counts of (true class, predicted class).

    Returns
    -------
    ndarray of int, shape (n_classes, n_classes)
        Row: the true class; column: the predicted one.

    Examples
    --------
    >>> confusion([0, 0, 1], [0, 1, 1], 2)
    array([[1, 1],
           [0, 1]])
    """
    return sklearn.metrics.confusion_matrix(labels, predicted, labels=range(n_classes))


def classification_table(labels, probabilities, classes):
    """Precision, recall, F1 and number of slices of each class, in the order of `classes`.

    Returns
    -------
    DataFrame
        Index: class name. Higher is better, in [0, 1]; a class that is never predicted
        (or absent) has precision (recall) and F1 0.

    Examples
    --------
    >>> p = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    >>> classification_table([0, 0, 1], p, ("a", "b")).round(2)
           precision  recall    f1  n
    class
    a            1.0     0.5  0.67  2
    b            0.5     1.0  0.67  1
    """
    precision, recall, f1, n = sklearn.metrics.precision_recall_fscore_support(
        labels, np.argmax(probabilities, axis=1), labels=range(len(classes)), zero_division=0
    )
    table = {"precision": precision, "recall": recall, "f1": f1, "n": n}
    return pd.DataFrame(table, index=pd.Index(classes, name="class"))


def accuracy(labels, probabilities):
    """Share of slices whose most probable class is the true one.

    Examples
    --------
    >>> accuracy([0, 1], np.array([[0.9, 0.1], [0.6, 0.4]]))
    0.5
    """
    return float(sklearn.metrics.accuracy_score(labels, np.argmax(probabilities, axis=1)))


def balanced_accuracy(labels, probabilities):
    """Mean recall over the classes that occur: 1 / n_classes for a constant guess.

    Examples
    --------
    >>> balanced_accuracy([0, 0, 0, 1], np.array([[0.9, 0.1]] * 4))
    0.5
    """
    predicted = np.argmax(probabilities, axis=1)
    return float(sklearn.metrics.recall_score(
        labels, predicted, labels=np.unique(labels), average="macro", zero_division=0
    ))  # fmt: skip


def macro_f1(labels, probabilities):
    """Mean F1 over all classes, in [0, 1]; higher is better, absent classes count 0.

    Examples
    --------
    >>> round(macro_f1([0, 0, 1], np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])), 3)
    0.667
    """
    n_classes = np.shape(probabilities)[1]
    return float(sklearn.metrics.f1_score(
        labels, np.argmax(probabilities, axis=1), labels=range(n_classes),
        average="macro", zero_division=0,
    ))  # fmt: skip


def roc_auc(labels, probabilities):
    """Area under the ROC curve, each class against the rest, mean over classes.

    Returns
    -------
    float in [0, 1]
        0.5 is chance, higher is better. Classes that never or always occur have no
        curve and are left out; NaN if none is left. Ties count half.

    Examples
    --------
    >>> roc_auc([0, 0, 1, 1], np.array([[0.9, 0.1], [0.4, 0.6], [0.45, 0.55], [0.1, 0.9]]))
    0.75
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    curves = [(labels == k, probabilities[:, k]) for k in range(probabilities.shape[1])]
    areas = [sklearn.metrics.roc_auc_score(y, p) for y, p in curves if 0 < y.sum() < len(y)]
    return float(np.mean(areas)) if areas else float("nan")


def reliability_bins(labels, probabilities, *, n_bins=N_BINS):
    """Confidence and accuracy of the predicted class, in bins of equal width.

    Returns
    -------
    DataFrame, one row per bin
        low, high (the bin is low < confidence <= high), n, and the bin's mean
        confidence and accuracy (NaN if empty).

    References
    ----------
    Guo et al., "On calibration of modern neural networks", ICML 2017.

    Examples
    --------
    >>> reliability_bins([0, 1], np.array([[0.75, 0.25], [0.65, 0.35]]), n_bins=2)
       low  high  n  confidence  accuracy
    0  0.0   0.5  0         NaN       NaN
    1  0.5   1.0  2         0.7       0.5
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float64)
    confidence = probabilities.max(axis=1)
    right = np.argmax(probabilities, axis=1) == labels
    edges = np.linspace(0, 1, n_bins + 1)
    # A float32 probability may pass 1 by a rounding error.
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, n_bins - 1)
    n = np.bincount(index, minlength=n_bins)
    sums = {"confidence": confidence, "accuracy": right}
    means = {
        name: np.divide(np.bincount(index, of, n_bins), n, out=np.full(n_bins, np.nan), where=n > 0)
        for name, of in sums.items()
    }
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "n": n, **means})


def ece(labels, probabilities, *, n_bins=N_BINS):
    """Expected calibration error of the predicted class.

    Returns
    -------
    float in [0, 1]
        Mean over slices of their bin's |accuracy - confidence|; lower is better.
        Definition: Guo et al. 2017, equal-width bins.

    Examples
    --------
    >>> round(ece([0, 1], np.array([[0.75, 0.25], [0.65, 0.35]]), n_bins=2), 6)
    0.2
    """
    bins = reliability_bins(labels, probabilities, n_bins=n_bins)
    gaps = (bins["accuracy"] - bins["confidence"]).abs()
    return float((gaps * bins["n"]).sum() / bins["n"].sum())


def brier(labels, probabilities):
    """Mean squared distance between the probabilities and the one-hot truth.

    Returns
    -------
    float in [0, 2]
        Summed over classes as in Brier, "Verification of forecasts expressed in terms
        of probability", 1950; lower is better.

    Examples
    --------
    >>> round(brier([0, 1], np.array([[1.0, 0.0], [0.6, 0.4]])), 6)
    0.36
    """
    error = np.array(probabilities, np.float64)
    error[np.arange(len(error)), labels] -= 1
    return float((error**2).sum(axis=1).mean())


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

    bounds = np.log([0.05, 20])
    found = scipy.optimize.minimize_scalar(
        loss, bounds=bounds, method="bounded", options={"xatol": 1e-6}
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
    """A person's prediction: the mean probability of the person's slices.

    Parameters
    ----------
    rows : DataFrame
        Columns person_id, label (class name) and p_<class>, one row per slice; of an
        audit's rows, those of edit ``original`` are taken.

    Returns
    -------
    DataFrame, one row per person in order of appearance
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
    columns = [name for name in rows.columns if name.startswith("p_")]
    by_person = rows.groupby("person_id", sort=False)
    persons = by_person.agg(label=("label", "first"), n_slices=("label", "size"))
    persons[columns] = by_person[columns].mean()
    winner = persons[columns].to_numpy().argmax(axis=1)
    persons["predicted"] = np.array([name[2:] for name in columns], object)[winner]
    persons["correct"] = persons["predicted"] == persons["label"]
    return persons.reset_index()


def _log(probabilities):
    # Softmax outputs in single precision can be exactly 0.
    return np.log(np.maximum(np.asarray(probabilities, np.float64), 1e-12))
