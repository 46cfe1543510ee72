"""The study's six findings, tested: every claim with its interval and a verdict."""

import math

import numpy as np
import pandas as pd

from tumorcf_lib.config import CLASSES
from tumorcf_lib.stats import estimates
from tumorcf_lib.stats.claims import CHANCE, all_claims, chance_of_errors_between, margin_text
from tumorcf_lib.stats.persons import ROUNDING
from tumorcf_lib.stats.rows import ALL, as_columns, judged
from tumorcf_lib.stats.verdicts import NEGLIGIBLE, RELEVANT

COLUMNS = (
    "finding", "form", "group", "claim", "quantity", "effect", "low", "high",
    "mean_of_person_means", "n_slices", "n_persons", "margin", "side", "p", "p_holm",
    "verdict", "relevance", "note", "score", "slices", "kind",
)
BIN_WIDTH = 0.05
"""Slices are matched when their probabilities fall into the same bin of this width."""

SMALLEST_DROP = 1e-4
"""A slice counts into a share of drops above this: the dust of float32 (1e-7) and the rounding
of published rows to five digits (1e-5 in a difference) are no drops."""

_DIFFERENCES = {
    "difference": estimates.bootstrap_difference,
    "spread": estimates.bootstrap_spread_difference,
}


def findings(scores, *, classes=CLASSES, n_resamples=2000):
    """Test every claim of :mod:`stats.claims` on the tested slices.

    Parameters
    ----------
    scores : DataFrame
        One row per tested slice, as ``scores.slice_scores`` makes it.
    classes : sequence of str
    n_resamples : int
        Patients are drawn so often; p-values do not get finer with it.

    Returns
    -------
    DataFrame
        One row per claim with the columns ``COLUMNS``. ``effect`` is on the scale of
        ``score`` (shares and probabilities in [-1, 1], log-odds unbounded), ``p`` is two-sided
        against ``margin``, ``p_holm`` adjusts it among the claims of the same finding and
        form, one family each. ``relevance`` is "negligible" for a mean of a probability
        compared with 0 whose interval lies wholly within +-0.05, else ""; such a claim is no
        support of its finding, even if its verdict, which is about the sign alone, says
        "supported". ``note`` holds the reason of an undecided verdict, slices left out, and
        which class removed slices fall to. A claim whose columns are missing says so.

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
    table = pd.DataFrame([
        vars(claim) | as_columns(found) for claim, (found, _) in zip(claims, tested, strict=True)
    ])
    table["slices"] = table["slices"].replace("", ALL)
    against_0 = (table["kind"] == "mean") & (table["form"] != "log-odds") & (table["margin"] == 0)
    table = judged(
        table, ["finding", "form"], margin=table["margin"], side=table["side"],
        probability=against_0,
    )
    table["note"] = [
        "; ".join(filter(None, [_reason(row, notes), *notes]))
        for row, (_, notes) in zip(table.itertuples(), tested, strict=True)
    ]
    return table[list(COLUMNS)]


def sentence(row):
    """One row of the table, a Series or mapping, as plain English."""
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


def _reason(row, notes):
    """The first note of a claim: why it is undecided, or that its effect is negligible."""
    if not row.n_slices and notes:
        return ""  # a missing column or an empty group is the reason, and already noted
    if row.relevance != NEGLIGIBLE:
        return row.reason
    bounds = f"+-{RELEVANT}"
    if row.low <= ROUNDING and row.high >= -ROUNDING:
        return f"no effect: the interval lies within {bounds}"
    if row.reason:
        return f"{row.reason}, and the interval lies within {bounds}: negligible"
    side = "above" if row.low > ROUNDING else "below"
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
        return estimates.NOTHING, [f"not tested, the scores lack a column: {error}"]
    rows = scores[chosen]
    first = first if claim.first else None
    known = np.isfinite(values)
    notes = _notes_on(claim, scores, rows, first, int((~known).sum()))
    problem = _unusable(known, first)
    if problem:
        return estimates.NOTHING, [problem, *notes]
    options = {"n_resamples": n_resamples, "null": claim.margin}
    values, rows = values[known], rows[known]
    units = rows["person_id"].to_numpy(), rows["label"].to_numpy()
    if claim.kind in _DIFFERENCES:
        return _DIFFERENCES[claim.kind](values, first[known], *units, **options), notes
    if claim.kind == "matched":
        cells = _cells([column[known] for column in alike])
        found = estimates.bootstrap_matched_difference(
            values, first[known], cells, *units, **options
        )
        return found, [*notes, _partners(first[known], cells, claim.match_on)]
    values = values > SMALLEST_DROP if claim.kind == "share" else values
    return estimates.bootstrap_mean(values, *units, **options), notes


def _evaluate(columns, expression):
    # DataFrame.eval would prepare every column again for each of some 300 expressions.
    return pd.eval(expression, engine="python", resolvers=[columns], local_dict={}, global_dict={})


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
    codes = [
        column if column.dtype.kind in "OUT" else np.floor(column.astype(float) / BIN_WIDTH)
        for column in columns
    ]
    return pd.MultiIndex.from_arrays(codes).factorize()[0]  # (n,)


def _partners(first, cells, match_on):
    """How many slices of the first group had one in their cell to be compared with."""
    n = int((np.isin(cells, cells[~first]) & first).sum())
    alike = ["of their class" if name == "label" else f"within {BIN_WIDTH}" for name in match_on]
    return f"{n} of {first.sum()} misclassified slices have a partner {' and '.join(alike)}"


def _notes_on(claim, scores, rows, first, n_unknown):
    """Every note on one claim, as a list of sentences without their full stop.

    ``rows`` are the claim's slices, ``first`` says which of them are compared with the rest (or
    None), ``n_unknown`` is how many of them lack the score.
    """
    notes = []
    if claim.finding == 4:
        notes.append("one half of it: consistent needs both a larger mean and a smaller spread")
    if claim.finding in (1, 4) and len(rows):
        notes.append(_removed_to(rows, scores, by_class=claim.finding == 4))
    if claim.finding == 2 and "blank" in claim.score and len(rows):
        blank = rows.groupby("label")["p_blank"].mean()
        notes.append("a blank slice gives " + ", ".join(f"{c} {p:.2f}" for c, p in blank.items()))
    if claim.finding == 3 and first is not None:
        n_persons = rows["person_id"][first].nunique()
        notes.append(f"{int(first.sum())} misclassified slices of {n_persons} persons")
    if claim.finding == 5 and len(rows):
        notes.append(_largest_cell(rows))
    if CHANCE in claim.score and len(rows):
        chance = chance_of_errors_between(scores["label"], scores["predicted"])
        notes.append(f"chance is {chance:.2f}, taken as known")
    if n_unknown:
        notes.append(f"{n_unknown} slices without this score left out")
    return [note for note in notes if note]


def _largest_cell(errors):
    cells = errors.groupby(["label", "predicted"]).size()
    (label, predicted), n = cells.idxmax(), cells.max()
    return f"{n} of {len(errors)} errors are {label} called {predicted}, the largest cell"


def _removed_to(rows, scores, *, by_class):
    """Where slices without their tumor fall, and what a stay in the own class means."""
    if "removed_to" not in rows or rows["removed_to"].isna().all():
        return ""
    texts = []
    for name, own in rows.groupby("label") if by_class else [("", rows)]:
        shares = own["removed_to"].value_counts(normalize=True)
        text = ", ".join(f"{to} {share:.0%}" for to, share in shares.items())
        texts.append(f"removed {name} slices fall to {text}".replace("  ", " "))
        if own["label"].nunique() == 1 and len(shares):
            texts[-1] += _stay(own["label"].iloc[0], shares, scores)
    return "; ".join(texts)


def _stay(name, shares, scores):
    """A class that keeps its removed slices is the network's default, or reads something else.

    The default takes in most removed slices of the other classes (correct ones, as here), too.
    """
    kept = scores["correct"].to_numpy(bool) & scores["removed_to"].notna().to_numpy()
    others = scores.loc[kept & (scores["label"] != name).to_numpy(), "removed_to"]
    share = float((others == name).mean()) if len(others) else math.nan
    if shares.index[0] == name and share > 1 / 2:
        return (
            f" (their own class and the default, {share:.0%} of the other classes' removed "
            "slices fall there too: a low drop is no evidence of ignoring the tumor)"
        )
    if shares.get(name, 0) > 1 / 2:
        others_text = "" if math.isnan(share) else (
            f", and only {share:.0%} of the other classes' fall there: it is not the default"
        )
        return f" (removed slices keep their class{others_text})"
    return ""
