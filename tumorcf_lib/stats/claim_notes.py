"""What a reader must see beside a claim's number: partners, defaults, slices left out."""

import math

import numpy as np

from tumorcf_lib.stats.claims import CHANCE, chance_of_errors_between

BIN_WIDTH = 0.05
"""Slices are alike when their probabilities fall into the same bin of this width."""


def partners(first, cells, match_on):
    """How many slices of the first group had one to be compared with.

    Parameters
    ----------
    first : ndarray of bool, shape (n,)
        The first group, of misclassified slices.
    cells : ndarray of int, shape (n,)
        Equal for slices that are alike.
    match_on : sequence of str
        The columns they are alike in.
    """
    n = int((np.isin(cells, cells[~first]) & first).sum())
    alike = ["of their class" if name == "label" else f"within {BIN_WIDTH}" for name in match_on]
    return f"{n} of {first.sum()} misclassified slices have a partner {' and '.join(alike)}"


def notes_on(claim, scores, chosen, first, n_unknown):
    """Every note on one claim, as a list of sentences without their full stop.

    Parameters
    ----------
    claim : claims.Claim
    scores : DataFrame
        One row per tested slice.
    chosen : ndarray of bool, shape (n,)
        The slices that the claim is about.
    first : ndarray of bool, shape (n chosen,), optional
        Of these, the first group of a comparison.
    n_unknown : int
        Of these, how many have no such score.
    """
    rows, notes = scores[chosen], []
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
    """How one-sided the confusion is: a network with one answer for all confuses nothing."""
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
        return (f" (their own class and the default, {share:.0%} of the other classes' removed "
                "slices fall there too: a low drop is no evidence of ignoring the tumor)")
    if shares.get(name, 0) > 1 / 2:
        others_text = "" if math.isnan(share) else (
            f", and only {share:.0%} of the other classes' fall there: it is not the default")
        return f" (removed slices keep their class{others_text})"
    return ""
