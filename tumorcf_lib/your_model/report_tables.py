"""The tables of an audit's report: rows or scores in, DataFrame out, for any classes."""

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from tumorcf_lib.stats import findings, metrics
from tumorcf_lib.tables import study

STUDYS_OWN = {4: ("pituitary",), 5: ("meningioma", "glioma")}
"""Findings of the study that are about these classes, and have no meaning without them."""


def score_table(scores, classes, *, n_resamples) -> pd.DataFrame:
    """Means of every score, over all slices and by class, with intervals over persons.

    Columns as in :func:`study.tables.scores_by_class`, for any classes; the score
    "correct" is the accuracy ("all") or the recall (a class).
    """
    scores = scores.astype({"correct": float, "flipped": float})
    columns = ["correct", *(name for name in study.SCORES if name in scores)]
    return findings.score_means(
        scores, columns, classes=classes, n_resamples=n_resamples, complete=True
    )


def claim_table(scores, classes, *, n_resamples) -> pd.DataFrame:
    """The study's findings as claims about these classes, without those about other classes."""
    table = findings.findings(scores, classes=classes, n_resamples=n_resamples)
    foreign = [n for n, needed in STUDYS_OWN.items() if not set(needed) <= set(classes)]
    return table[~table["finding"].isin(foreign)].reset_index(drop=True)


def edit_table(rows) -> pd.DataFrame:
    """How many edits of each kind were made, and why others were not.

    Returns
    -------
    DataFrame
        edit, infill, dilation_px, label, made, not_made, reasons (each with its number),
        median_rms of the changes (in the slices' unit).
    """
    keys = ["edit", "infill", "dilation_px", "label"]
    table = []
    for key, own in rows.groupby(keys, sort=False):
        reasons = own.loc[own["reason"] != "", "reason"].value_counts()
        made = own["edit_rms"].dropna()
        table.append({
            **dict(zip(keys, key, strict=True)), "made": len(own) - int(reasons.sum()),
            "not_made": int(reasons.sum()),
            "reasons": ", ".join(f"{reason} ({n})" for reason, n in reasons.items()),
            "median_rms": made.median() if len(made) else np.nan,
        })  # fmt: skip
    return pd.DataFrame(table)


def control_table(rows, classes, *, n_resamples) -> pd.DataFrame:
    """Net-Drop for every infill and dilation that was audited, over all slices and by class.

    Returns
    -------
    DataFrame
        infill, dilation_px and the columns of :func:`score_table`.
    """
    removed = rows.loc[rows["edit"] == "remove", ["infill", "dilation_px"]].drop_duplicates()
    parts = []
    for infill, dilation_px in removed.itertuples(index=False, name=None):
        scores = metrics.slice_scores(rows, infill=infill, dilation_px=dilation_px)
        part = findings.score_means(
            scores, ["net_drop"], classes=classes, n_resamples=n_resamples
        )
        part.insert(0, "dilation_px", dilation_px)
        part.insert(0, "infill", infill)
        parts.append(part)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def better_order(scores, classes) -> str:
    """A warning if another order of the classes would make the classifier far more accurate.

    A classifier whose outputs are in another order than ``classes`` looks like a bad one.

    Returns
    -------
    str
        A sentence, or "" if the order is as good as any (within 20 points of accuracy).

    Examples
    --------
    >>> scores = pd.DataFrame({"label": ["a", "a", "b"], "predicted": ["b", "b", "a"]})
    >>> better_order(scores, ["a", "b"]).partition(":")[0]
    "Check the order of your classifier's outputs"
    """
    counts = np.array([
        [((scores["label"] == true) & (scores["predicted"] == given)).sum() for given in classes]
        for true in classes
    ])  # fmt: skip
    true, given = linear_sum_assignment(counts, maximize=True)
    now, best = np.trace(counts) / counts.sum(), counts[true, given].sum() / counts.sum()
    if best - now <= 0.2:
        return ""
    order = np.array(classes, object)[np.argsort(given)]
    return (
        f"Check the order of your classifier's outputs: read as {', '.join(classes)} it names "
        f"{now:.0%} of the slices correctly; read as {', '.join(order)} it would be {best:.0%}."
    )
