"""The study's six findings, tested: every claim with its interval and a verdict."""

import math

import numpy as np
import pandas as pd

from tumorcf_lib.config import CLASSES
from tumorcf_lib.stats import stats
from tumorcf_lib.stats.claim_notes import BIN_WIDTH, notes_on, partners
from tumorcf_lib.stats.claims import (
    ALL,
    CHANCE,
    all_claims,
    chance_of_errors_between,
    margin_text,
)
from tumorcf_lib.stats.stats import Estimate

COLUMNS = (
    "finding", "form", "group", "claim", "quantity", "effect", "low", "high",
    "mean_of_person_means", "n_slices", "n_persons", "margin", "side", "p", "p_holm",
    "verdict", "relevance", "note", "score", "slices", "kind",
)
SMALLEST_DROP = 1e-4
"""A slice counts into a share of drops above this: the dust of float32 (1e-7) and the rounding
of published rows to five digits (1e-5 in a difference) are no drops."""

COMPLETE_WITH = {
    f"{score}{suffix}": f"net_drop{suffix}"
    for score in ("delta_drop", "sham_drop", "net_drop") for suffix in ("", "_lo")
}
"""Scores that add up to another one, and that other one."""

_NOTHING = Estimate(np.nan, np.nan, np.nan, 0, 0, 0)
_DIFFERENCES = {
    "difference": stats.bootstrap_difference,
    "spread": stats.bootstrap_spread_difference,
}


def findings(scores, *, classes=CLASSES, n_resamples=2000):
    """Test every claim of :mod:`stats.claims` on the tested slices.

    Parameters
    ----------
    scores : DataFrame
        One row per tested slice, as ``metrics.slice_scores`` makes it.
    classes : sequence of str
    n_resamples : int
        Persons are drawn so often; p-values do not get finer with it.

    Returns
    -------
    DataFrame
        One row per claim with the columns ``COLUMNS``. ``effect`` is on the scale of
        ``score`` (shares and probabilities in [-1, 1], log-odds unbounded), ``p`` is two-sided
        against ``margin``, ``p_holm`` adjusts it among the claims of the same finding and
        form, one family each: six findings, each asked in three ways. ``relevance`` is
        "negligible" for a mean of a probability or share, held against 0, whose interval lies
        wholly within +-0.05 (``stats.RELEVANT``), else ""; such a claim is no support of
        its finding, even if its verdict, which is about the sign alone, says "supported".
        ``note`` holds the reason of an undecided verdict, slices left out, and which class
        removed slices fall to. A claim whose columns are missing has a row that says so.

    Examples
    --------
    >>> scores = pd.DataFrame({
    ...     "label": "glioma", "person_id": [f"person {k}" for k in range(12)], "correct": True,
    ...     "predicted": "glioma", "removed_to": "pituitary", "delta_drop": 0.4})
    >>> table = findings(scores, n_resamples=100)
    >>> table.loc[0, ["claim", "verdict"]].tolist()
    ["Taking the tumor out lowers the true class's probability", 'supported']
    """
    claims = all_claims(tuple(classes))
    tested = [_estimate(claim, scores, n_resamples) for claim in claims]
    p = pd.Series([estimate.p for estimate, _ in tested])
    families = [(claim.finding, claim.form) for claim in claims]
    p_holm = p.groupby(pd.MultiIndex.from_tuples(families)).transform(stats.holm)
    rows = [_row(claim, estimate, p, notes)
            for claim, (estimate, notes), p in zip(claims, tested, p_holm, strict=True)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def sentence(row):
    """One row of the table as plain English.

    Parameters
    ----------
    row : Series or mapping
        A row of :func:`findings`.

    Examples
    --------
    >>> print(sentence({
    ...     "finding": 1, "form": "paper", "group": "all", "claim": "The drop is positive",
    ...     "effect": 0.41, "low": 0.36, "high": 0.46, "n_slices": 400, "n_persons": 35,
    ...     "margin": 0.0, "side": "above", "p_holm": 0.012, "verdict": "supported", "note": ""}))
    Finding 1 (paper, all): The drop is positive. Supported: 0.410 [0.360, 0.460], claimed \
above 0; 400 slices, 35 persons, Holm p = 0.012.
    """
    start = f"Finding {row['finding']} ({row['form']}, {row['group']}): {row['claim']}. "
    note = f" Note: {row['note']}." if row["note"] else ""
    if not math.isfinite(row["effect"]):
        return f"{start}{row['verdict'].capitalize()}.{note}"
    p = row["p_holm"]
    p_text = "none" if not math.isfinite(p) else "< 0.001" if p < 0.001 else f"= {p:.3f}"
    interval = "no interval"
    if math.isfinite(row["low"]):
        interval = f"[{row['low']:.3f}, {row['high']:.3f}]"
    return (
        f"{start}{row['verdict'].capitalize()}: {row['effect']:.3f} {interval}, claimed "
        f"{row['side']} {margin_text(row['margin'])}; {row['n_slices']} slices, "
        f"{row['n_persons']} persons, Holm p {p_text}.{note}"
    )


def score_means(scores, columns, *, classes=CLASSES, n_resamples=2000, complete=False):
    """Means of several scores with person-bootstrap intervals, overall and per class.

    Parameters
    ----------
    scores : DataFrame
        As for :func:`findings`; choose the slices before.
    columns : sequence of str
        Scores to average; NaN slices of a score (no legal sham place) are left out of it.
    classes, n_resamples
        As in :func:`findings`.
    complete : bool
        Average delta_drop, sham_drop and net_drop (and those with ``_lo``) over the slices that
        have shams only, so that Delta - Sham = Net exactly. A group without any sham keeps
        its delta_drop over all its slices.

    Returns
    -------
    DataFrame
        score, group, effect, low, high, mean_of_person_means, n_slices, n_persons; one row
        per score and group that has slices.

    Examples
    --------
    >>> scores = pd.DataFrame({"label": "glioma", "person_id": list("aabc"),
    ...                        "net_drop": [0.1, 0.3, 0.5, np.nan]})
    >>> score_means(scores, ["net_drop"])[
    ...     ["group", "effect", "n_slices", "n_persons"]].values.tolist()
    [['all', 0.3, 3, 2], ['glioma', 0.3, 3, 2]]
    """
    rows = []
    for column in columns:
        known = np.isfinite(scores[column].to_numpy(float))
        net = COMPLETE_WITH.get(column) if complete else None
        has_sham = known & np.isfinite(scores[net].to_numpy(float)) if net in scores else known
        for group in (ALL, *classes):
            here = known & (group == ALL or (scores["label"] == group).to_numpy())
            own = scores[here & has_sham if (here & has_sham).any() else here]
            if own.empty:
                continue
            e = stats.bootstrap_mean(own[column], own["person_id"], own["label"],
                                     n_resamples=n_resamples)
            rows.append({
                "score": column, "group": group, "effect": e.value, "low": e.low,
                "high": e.high, "mean_of_person_means": e.mean_of_person_means,
                "n_slices": e.n_slices, "n_persons": e.n_persons,
            })
    return pd.DataFrame(rows)


def _row(claim, estimate, p_holm, notes):
    verdict = stats.verdict(estimate, claim.margin, claim.side, p_holm)
    why = stats.why_undecided(estimate, claim.margin, claim.side, p_holm)
    if not estimate.n_slices and notes:
        why = ""  # a missing column or an empty group is the reason, and already noted
    relevance = ""
    if claim.kind == "mean" and claim.form != "log-odds" and claim.margin == 0:
        relevance = stats.relevance(estimate)
    if relevance:
        why = _negligible(estimate, why)
    return {
        "finding": claim.finding, "form": claim.form, "group": claim.group,
        "claim": claim.claim, "quantity": claim.quantity, "effect": estimate.value,
        "low": estimate.low, "high": estimate.high,
        "mean_of_person_means": estimate.mean_of_person_means,
        "n_slices": estimate.n_slices, "n_persons": estimate.n_persons,
        "margin": claim.margin, "side": claim.side, "p": estimate.p, "p_holm": p_holm,
        "verdict": verdict, "relevance": relevance,
        "note": "; ".join(filter(None, [why, *notes])),
        "score": claim.score, "slices": claim.slices or ALL, "kind": claim.kind,
    }


def _negligible(estimate, why):
    """The first note of a claim against 0 whose interval lies wholly within +-RELEVANT."""
    bounds = f"+-{stats.RELEVANT}"
    side = "above" if estimate.low > stats.ROUNDING else "below"
    if estimate.low <= stats.ROUNDING and estimate.high >= -stats.ROUNDING:
        return f"no effect: the interval lies within {bounds}"
    if why:
        return f"{why}, and the interval lies within {bounds}: negligible"
    return f"statistically {side} 0, yet within {bounds}: negligible"


def _estimate(claim, scores, n_resamples):
    """The claim's number on these slices, and what a reader should know beside it."""
    columns = dict(scores.items())
    if CHANCE in claim.score and "predicted" in columns:
        columns[CHANCE] = chance_of_errors_between(scores["label"], scores["predicted"])
    try:
        chosen = _evaluate(columns, claim.slices or "label == label").to_numpy(bool)  # (n,)
        values = _evaluate(columns, claim.score).to_numpy(float)[chosen]
        first = _evaluate(columns, claim.first or "label == label").to_numpy(bool)[chosen]
        alike = [_evaluate(columns, name).to_numpy()[chosen] for name in claim.match_on]
    except pd.errors.UndefinedVariableError as error:
        return _NOTHING, [f"not tested, the scores lack a column: {error}"]
    rows = scores[chosen]
    first = first if claim.first else None
    known = np.isfinite(values)
    notes = notes_on(claim, scores, chosen, first, int((~known).sum()))
    problem = _unusable(known, first)
    if problem:
        return _NOTHING, [problem, *notes]
    options = {"n_resamples": n_resamples, "null": claim.margin}
    values, rows = values[known], rows[known]
    units = rows["person_id"].to_numpy(), rows["label"].to_numpy()
    if claim.kind in _DIFFERENCES:
        return _DIFFERENCES[claim.kind](values, first[known], *units, **options), notes
    if claim.kind == "matched":
        cells = _cells([column[known] for column in alike])
        estimate = stats.bootstrap_matched_difference(values, first[known], cells, *units,
                                                      **options)
        return estimate, [*notes, partners(first[known], cells, claim.match_on)]
    values = values > SMALLEST_DROP if claim.kind == "share" else values
    return stats.bootstrap_mean(values, *units, **options), notes


def _evaluate(columns, expression):
    # DataFrame.eval would prepare every column anew for each of some 300 expressions.
    return pd.eval(expression, engine="python", resolvers=[columns],
                   local_dict={}, global_dict={})


def _unusable(known, first):
    if not known.any():
        return "there are no such slices"
    if first is not None and first[known].all():
        return "there are no slices to compare with"
    if first is not None and not first[known].any():
        return "the first group is empty"
    return ""


def _cells(columns):
    """One number for slices alike in every column: the same text, or the same bin."""
    codes = [column if column.dtype.kind in "OUT" else np.floor(column.astype(float) / BIN_WIDTH)
             for column in columns]
    return pd.MultiIndex.from_arrays(codes).factorize()[0]  # (n,)
