"""The study's scores of a slice, on plain arrays.

P is the raw softmax probability of the true class. Every score exists on two scales:
as probabilities, and as log-odds of the true class, which do not run into the ends 0
and 1. The differences below take either.
"""

import numpy as np

SMALLEST_P = 1e-7
"""Probabilities are kept this far from 0 and 1 in log-odds, hence within about +-16.1."""


def log_odds(p):
    """log(p / (1 - p)), p kept within [1e-7, 1 - 1e-7]; NaN stays NaN.

    Parameters
    ----------
    p : array of float in [0, 1]

    Returns
    -------
    ndarray of float64, same shape

    Examples
    --------
    >>> log_odds(np.array([0.5, 1.0])).round(2)
    array([ 0.  , 16.12])
    """
    p = np.clip(np.asarray(p, np.float64), SMALLEST_P, 1 - SMALLEST_P)
    return np.log(p) - np.log1p(-p)


def class_log_odds(probabilities, labels):
    """Log-odds of each row's true class against all others together.

    Rows are brought to sum 1 in float64 first. The odds are then taken against the
    sum of the *other* classes rather than against 1 - p, which in single precision
    would be rounded away for confident predictions.

    Parameters
    ----------
    probabilities : array of float, shape (n, n_classes)
    labels : array of int, shape (n,)

    Returns
    -------
    ndarray of float64, shape (n,)
        Higher means more certain of the true class.

    Examples
    --------
    >>> class_log_odds(np.array([[0.8, 0.1, 0.1], [0.2, 0.6, 0.2]]), [0, 0]).round(3)
    array([ 1.386, -1.386])
    """
    p = np.array(probabilities, np.float64)  # (n, n_classes)
    p /= p.sum(axis=1, keepdims=True)
    here = np.arange(len(p)), np.asarray(labels)
    p_true = p[here]
    p[here] = 0
    others = p.sum(axis=1)
    return np.log(np.maximum(p_true, SMALLEST_P)) - np.log(np.maximum(others, SMALLEST_P))


def delta_drop(p_orig, p_remove):
    """Fall in the true class's probability when the tumor is taken out.

    Parameters
    ----------
    p_orig, p_remove : array of float, shape (n,), in [0, 1]
        Probability of the true class on the slice and on its tumor-removed edit.

    Returns
    -------
    ndarray of float, shape (n,), in [-1, 1]
        Higher means the decision leaned more on the tumor; read it beside the same
        fall for sham removals. Bounded by `p_orig`. Source: the paper's Delta-Drop.

    Examples
    --------
    >>> delta_drop(np.array([0.9, 0.6]), np.array([0.2, 0.6])).round(6)
    array([0.7, 0. ])
    """
    return np.asarray(p_orig, np.float64) - np.asarray(p_remove, np.float64)


def delta_focus(p_only):
    """Probability of the true class when nothing but the tumor is shown.

    Parameters
    ----------
    p_only : array of float, shape (n,), in [0, 1]

    Returns
    -------
    ndarray of float, shape (n,), in [0, 1]
        Higher means the tumor alone carries the decision further; read it beside the
        blank slice and `sham_only`. Source: the paper's Delta-Focus.

    Examples
    --------
    >>> delta_focus([0.25, 0.75])
    array([0.25, 0.75])
    """
    return np.array(p_only, np.float64)


def mean_over_places(values):
    """Mean over a slice's sham places, and over how many.

    Parameters
    ----------
    values : array of float, shape (n, n_places)
        NaN where a slice has fewer places.

    Returns
    -------
    mean : ndarray of float, shape (n,)
        NaN for a slice without a place.
    n : ndarray of int, shape (n,)

    Examples
    --------
    >>> mean, n = mean_over_places([[0.5, 1.0], [0.5, np.nan], [np.nan, np.nan]])
    >>> mean, n
    (array([0.75, 0.5 ,  nan]), array([2, 1, 0]))
    """
    values = np.asarray(values, np.float64)
    n = np.isfinite(values).sum(axis=1)
    total = np.nansum(values, axis=1)
    return np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0), n


def sham_drop(p_orig, p_sham):
    """Fall in the true class's probability when the tumor's shape is taken out elsewhere.

    Parameters
    ----------
    p_orig : array of float, shape (n,), in [0, 1]
    p_sham : array of float, shape (n,) or (n, n_places), in [0, 1]
        Sham removals; the mean over places counts, NaN places do not.

    Returns
    -------
    ndarray of float, shape (n,), in [-1, 1]
        Higher means the removal itself, wherever it happens, disturbs the decision.
        NaN without a place. Source: this companion.

    Examples
    --------
    >>> sham_drop([0.9], [[0.8, 0.6, np.nan]]).round(6)
    array([0.2])
    """
    p_sham = np.asarray(p_sham, np.float64)
    return delta_drop(p_orig, mean_over_places(p_sham)[0] if p_sham.ndim == 2 else p_sham)


def net_drop(p_orig, p_remove, p_sham):
    """Delta-Drop minus Sham-Drop: what taking the tumor out does beyond taking anything out.

    Parameters as in :func:`delta_drop` and :func:`sham_drop`.

    Returns
    -------
    ndarray of float, shape (n,), in [-1, 1]
        Above 0: the tumor matters more than tumor-free tissue of its shape. The original
        cancels out: this is mean P_sham - P_remove. Source: this companion.

    Examples
    --------
    >>> net_drop([0.9], [0.2], [[0.8, 0.6]]).round(6)
    array([0.5])
    """
    return delta_drop(p_orig, p_remove) - sham_drop(p_orig, p_sham)


def net_focus(p_only, p_sham_only):
    """Delta-Focus minus the same for tumor-free tissue of the tumor's shape, alone on air.

    Parameters
    ----------
    p_only : array of float, shape (n,), in [0, 1]
    p_sham_only : array of float, shape (n,) or (n, n_places), in [0, 1]

    Returns
    -------
    ndarray of float, shape (n,), in [-1, 1]
        Above 0: the tumor says more than a patch of its shape. Source: this companion.

    Examples
    --------
    >>> net_focus([0.7], [[0.3, 0.5]]).round(6)
    array([0.3])
    """
    # "p_only minus the mean over places" is the arithmetic of sham_drop.
    return sham_drop(p_only, p_sham_only)


def flips(predicted, predicted_after):
    """Whether the predicted class changed.

    Parameters
    ----------
    predicted, predicted_after : array of class indices or names, shape (n,)

    Returns
    -------
    ndarray of bool, shape (n,)

    Examples
    --------
    >>> flips([0, 1, 2], [0, 2, 2])
    array([False,  True, False])
    """
    return np.asarray(predicted) != np.asarray(predicted_after)
