"""Every score of the study in one place, and the table of scores per slice.

The formulas are in :mod:`edits.scores`, those of how good a classifier is in
:mod:`stats.classification`; both can be called from here.
"""

import numpy as np
import pandas as pd

from tumorcf_lib.edits.scores import (
    class_log_odds,
    delta_drop,
    delta_focus,
    flips,
    log_odds,
    mean_over_places,
    net_drop,
    net_focus,
    sham_drop,
)
from tumorcf_lib.stats.classification import (
    accuracy,
    apply_temperature,
    balanced_accuracy,
    brier,
    classification_table,
    confusion,
    ece,
    fit_temperature,
    macro_f1,
    person_predictions,
    reliability_bins,
    roc_auc,
)

__all__ = [
    "accuracy", "apply_temperature", "balanced_accuracy", "brier", "class_log_odds",
    "class_names", "classification_table", "confusion", "delta_drop", "delta_focus", "ece",
    "fit_temperature", "flips", "log_odds", "macro_f1", "mean_over_places", "net_drop",
    "net_focus", "person_predictions", "reliability_bins", "roc_auc", "sham_drop",
    "slice_scores",
]  # fmt: skip

SHORT_NAMES = {"original": "orig"}
"""Edits whose columns have another name than the edit: p_orig, lo_orig."""

SCORED_EDITS = (
    "original", "remove", "original_refit", "remove_refit", "only", "background", "silhouette",
    "blank", "sham", "sham_only",
)  # fmt: skip
WHOLE_SLICE_EDITS = ("original", "original_refit", "blank")  # no mask, alike at every dilation
INFILLED_EDITS = ("remove", "remove_refit", "sham")


class InvalidRowsError(ValueError):
    """A row table from which no scores can be computed."""


def class_names(rows):
    """The classes of a row table, in order, from its columns ``p_<class>``.

    Examples
    --------
    >>> class_names(pd.DataFrame(columns=["slice_id", "p_glioma", "p_none"]))
    ['glioma', 'none']
    """
    return [name[2:] for name in rows.columns if name.startswith("p_")]


def slice_scores(rows, *, infill="navier_stokes", dilation_px=0):
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
        with ``_lo``, and with ``_pred`` for the class *predicted* on the original;
        delta_drop_refit (original and removed slice both with an intensity map of their own,
        so that the new map of the original alone is no drop); flipped (nullable boolean),
        sham_flip_rate, removed_to (class after removal). What an edit without probabilities
        leaves open is missing (NaN); no slice is dropped.

    Raises
    ------
    InvalidRowsError
        If a slice has no original, a row comes twice, or a label is no class.
    """
    classes = class_names(rows)
    rows = _selected(rows, infill, dilation_px)
    scores = _identities(rows, classes)
    values = _row_values(rows, scores, classes)
    for edit in SCORED_EDITS:
        name = SHORT_NAMES.get(edit, edit)
        for prefix in ("p", "lo", "p_pred"):
            by_place = _by_place(values, edit, prefix, scores["slice_id"])
            scores[f"{prefix}_{name}"], n = mean_over_places(by_place)
            if edit == "sham":
                scores["n_sham"] = n
    for prefix, suffix in (("p", ""), ("lo", "_lo"), ("p_pred", "_pred")):
        _add_scores(scores, prefix, suffix)
    scores["delta_drop_refit"] = delta_drop(scores["p_original_refit"], scores["p_remove_refit"])
    _add_flips(scores, values, classes)
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


def _identities(rows, classes):
    scores = rows.loc[
        rows["edit"] == "original", ["slice_id", "patient_id", "person_id", "label"]
    ].reset_index(drop=True)
    unknown = set(rows["label"]) - set(classes)
    if unknown:
        raise InvalidRowsError(
            f"Labels {sorted(unknown)} have no probability column; the columns p_<class> "
            f"name these classes: {', '.join(classes)}."
        )
    missing = set(rows["slice_id"]) - set(scores["slice_id"])
    if missing:
        raise InvalidRowsError(
            f"{len(missing)} slices have no row of edit 'original', such as "
            f"{sorted(missing, key=str)[0]!r}; scores compare with it, so include that edit."
        )
    return scores


def _row_values(rows, scores, classes):
    """p and log-odds of the true class, p of the predicted class, and the winner, per row."""
    p = rows[[f"p_{name}" for name in classes]].to_numpy(np.float64)  # (n_rows, n_classes)
    known = np.isfinite(p).all(axis=1)
    winner = np.where(known, np.argmax(p, axis=1), -1)
    is_original = (rows["edit"] == "original").to_numpy()
    if not known[is_original].all():
        raise InvalidRowsError(
            f"{(~known[is_original]).sum()} rows of edit 'original' have no probabilities; "
            "an audit always writes them, so check how this table was made."
        )
    predicted = pd.Series(winner[is_original], index=rows.loc[is_original, "slice_id"])
    scores["predicted"] = np.array(classes, object)[predicted.to_numpy()]
    scores["correct"] = scores["predicted"] == scores["label"]
    row = np.arange(len(rows))
    return pd.DataFrame(
        {
            "slice_id": rows["slice_id"].to_numpy(),
            "edit": rows["edit"].to_numpy(),
            "place": rows["place"].to_numpy(),
            "p": p[row, pd.Index(classes).get_indexer(rows["label"])],
            "lo": rows["log_odds"].to_numpy(np.float64),
            "p_pred": p[row, predicted.loc[rows["slice_id"]].to_numpy()],
            "winner": np.where(known, winner, np.nan),
        }
    )


def _by_place(values, edit, column, slice_ids):
    """One column of one edit as (n_slices, n_places), NaN where there is none."""
    here = values[values["edit"] == edit]
    return here.pivot(index="slice_id", columns="place", values=column).reindex(slice_ids)


def _add_scores(scores, prefix, suffix):
    p = {edit: scores[f"{prefix}_{edit}"] for edit in ("orig", "remove", "only")}
    p_sham, p_sham_only = scores[f"{prefix}_sham"], scores[f"{prefix}_sham_only"]
    scores[f"delta_drop{suffix}"] = delta_drop(p["orig"], p["remove"])
    scores[f"delta_focus{suffix}"] = delta_focus(p["only"])
    scores[f"sham_drop{suffix}"] = sham_drop(p["orig"], p_sham)
    scores[f"net_drop{suffix}"] = net_drop(p["orig"], p["remove"], p_sham)
    scores[f"net_focus{suffix}"] = net_focus(p["only"], p_sham_only)


def _add_flips(scores, values, classes):
    predicted = pd.Index(classes).get_indexer(scores["predicted"])
    after = _by_place(values, "remove", "winner", scores["slice_id"]).to_numpy()
    after = after[:, 0] if after.shape[1] else np.full(len(scores), np.nan)
    known = np.isfinite(after)
    flipped = pd.array(flips(predicted, after), dtype="boolean")
    flipped[~known] = pd.NA
    scores["flipped"] = flipped
    names = np.array(classes, object)[np.where(known, after, 0).astype(int)]
    scores["removed_to"] = pd.Series(names).where(known)
    sham = _by_place(values, "sham", "winner", scores["slice_id"]).to_numpy()
    sham_flips = np.where(np.isfinite(sham), flips(predicted[:, None], sham), np.nan)
    scores["sham_flip_rate"] = mean_over_places(sham_flips)[0]
