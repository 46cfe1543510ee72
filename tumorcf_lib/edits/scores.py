"""The study's scores: the formulas on plain arrays, and the table of scores per slice.

P is the softmax probability of the true class. Every score also exists on log-odds of it, which
do not run into the ends 0 and 1. The differences below take either.
"""

import numpy as np
import pandas as pd

from tumorcf_lib.edits.infills import HEADLINE_INFILL
from tumorcf_lib.edits.plan import ACTIONS

SMALLEST_P = 1e-7
"""Probabilities are kept this far from 0 and 1 in log-odds, hence within about +-16.1."""

SCORED_EDITS = [name for name, action in ACTIONS.items() if not action.matched]
SHORT_NAMES = {"original": "orig"}  # columns p_orig, lo_orig
WHOLE_SLICE_EDITS = [name for name, action in ACTIONS.items() if not action.uses_region]
INFILLED_EDITS = [name for name, action in ACTIONS.items() if action.uses_infill]


def log_odds(p):
    """log(p / (1 - p)), p kept within [1e-7, 1 - 1e-7]; NaN stays NaN.

    Examples
    --------
    >>> log_odds(np.array([0.5, 1.0])).round(2)
    array([ 0.  , 16.12])
    """
    p = np.clip(np.asarray(p, np.float64), SMALLEST_P, 1 - SMALLEST_P)
    return np.log(p) - np.log1p(-p)


def class_log_odds(probabilities, labels):
    """Log-odds of each row's true class against all others together, float64 (n,).

    Rows of `probabilities` (n, n_classes) are brought to sum 1 in float64 first. The odds are
    then taken against the sum of the *other* classes rather than against 1 - p, which in
    single precision would be rounded away for confident predictions. `labels` are int (n,).

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
    """Probability of the true class when nothing but the tumor is shown, (n,), in [0, 1].

    Higher means the tumor alone carries the decision further; read it beside the blank slice
    and `sham_only`. Source: the paper's Delta-Focus.
    """
    return np.array(p_only, np.float64)


def mean_over_places(values):
    """Mean over a slice's sham places, (n, n_places), NaN where it has fewer; and how many, (n,).

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

    p_only has shape (n,), p_sham_only (n,) or (n, n_places); the result, (n,), lies in [-1, 1].
    Above 0: the tumor says more than a patch of its shape. Source: this companion.

    Examples
    --------
    >>> net_focus([0.7], [[0.3, 0.5]]).round(6)
    array([0.3])
    """
    # "p_only minus the mean over places" is the arithmetic of sham_drop.
    return sham_drop(p_only, p_sham_only)


class InvalidRowsError(ValueError):
    """A row table from which no scores can be computed."""


def class_names(rows):
    """The classes of a row table, in order, from its columns ``p_<class>``."""
    return [name[2:] for name in rows.columns if name.startswith("p_")]


def arrays(rows):
    """Label indices (n,) and probabilities float64 (n, n_classes) of a row table."""
    names = class_names(rows)
    p = rows[[f"p_{name}" for name in names]].to_numpy(np.float64)
    return pd.Index(names).get_indexer(rows["label"]), p


def slice_scores(rows, *, infill=HEADLINE_INFILL, dilation_px=0):
    """One row of scores per slice, from the rows of :func:`edits.audit.audit`.

    Parameters
    ----------
    rows : DataFrame
        Fresh or read back from a CSV; any edit but ``original`` may be missing.
    infill : str
        Which infill of ``remove``, ``remove_refit`` and ``sham`` to score.
    dilation_px : int
        Which dilation of every edit that uses a mask.

    Returns
    -------
    DataFrame
        In the order of `rows`: slice_id, patient_id, person_id, label, predicted, correct;
        p_<edit> and lo_<edit> (log-odds) of the true class, shams averaged over their
        n_sham places; delta_drop, delta_focus, sham_drop, net_drop, net_focus, the same
        with ``_lo``; delta_drop_refit (original and removed slice both with an intensity map of
        their own, so that the new map alone is no drop). What was not predicted is NaN; no
        slice is dropped.

    Raises
    ------
    InvalidRowsError
        If a slice has no original, a row comes twice, or a label is no class.
    """
    rows = _selected(rows, infill, dilation_px)
    scores, values = _with_values(rows, class_names(rows))
    for edit in SCORED_EDITS:
        name = SHORT_NAMES.get(edit, edit)
        by_place = _by_place(values, edit, scores["slice_id"])
        for prefix, here in zip(("p", "lo"), by_place, strict=True):
            scores[f"{prefix}_{name}"], n = mean_over_places(here)
            if edit == "sham":
                scores["n_sham"] = n
    for prefix, suffix in (("p", ""), ("lo", "_lo")):
        orig, remove, only, sham, sham_only = (
            scores[f"{prefix}_{edit}"] for edit in ("orig", "remove", "only", "sham", "sham_only")
        )
        scores[f"delta_drop{suffix}"] = delta_drop(orig, remove)
        scores[f"delta_focus{suffix}"] = delta_focus(only)
        scores[f"sham_drop{suffix}"] = sham_drop(orig, sham)
        scores[f"net_drop{suffix}"] = net_drop(orig, remove, sham)
        scores[f"net_focus{suffix}"] = net_focus(only, sham_only)
    scores["delta_drop_refit"] = delta_drop(scores["p_original_refit"], scores["p_remove_refit"])
    return scores


def _selected(rows, infill, dilation_px):
    wanted = (rows["dilation_px"] == dilation_px) | rows["edit"].isin(WHOLE_SLICE_EDITS)
    wanted &= (rows["infill"] == infill) | ~rows["edit"].isin(INFILLED_EDITS)
    rows = rows[wanted]
    twice = rows.duplicated(["slice_id", "edit", "place"])
    if twice.any():
        first = rows.loc[twice, ["slice_id", "edit", "place"]].iloc[0].to_dict()
        raise InvalidRowsError(
            f"Expected one row per slice, edit and place; {twice.sum()} come again, first {first}. "
            "Score one classifier's rows at a time."
        )
    return rows


def _with_values(rows, classes):
    """Who the slices are, and of each row p and log-odds of the true class."""
    is_original = (rows["edit"] == "original").to_numpy()
    scores = rows.loc[is_original, ["slice_id", "patient_id", "person_id", "label"]]
    scores = scores.reset_index(drop=True)
    unknown = set(rows["label"]) - set(classes)
    if unknown:
        raise InvalidRowsError(
            f"Labels {sorted(unknown)} have no probability column; the columns p_<class> "
            f"name these classes: {', '.join(classes)}."
        )
    labels, p = arrays(rows)
    answered = is_original & np.isfinite(p).all(axis=1)
    missing = set(rows["slice_id"]) - set(rows["slice_id"][answered])
    if missing:
        raise InvalidRowsError(
            f"{len(missing)} slices have no row of edit 'original' with probabilities, such as "
            f"{sorted(missing, key=str)[0]!r}; scores compare with it, so include that edit."
        )
    scores["predicted"] = np.array(classes, object)[np.argmax(p[is_original], axis=1)]
    scores["correct"] = scores["predicted"] == scores["label"]
    p_true, log_odds = p[np.arange(len(rows)), labels], rows["log_odds"].astype(np.float64)
    return scores, rows[["slice_id", "edit", "place"]].assign(p=p_true, lo=log_odds)


def _by_place(values, edit, slice_ids):
    """p and lo of one edit, each (n_slices, n_places), NaN where there is none."""
    here = values[values["edit"] == edit]
    place, places = pd.factorize(here["place"], sort=True)
    found = np.full((2, len(slice_ids), len(places)), np.nan)
    at = pd.Index(slice_ids).get_indexer(here["slice_id"])
    found[:, at, place] = here[["p", "lo"]].to_numpy(np.float64).T
    return found
