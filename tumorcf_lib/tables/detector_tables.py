"""How well sham-edited slices are told from untouched ones, as a table."""

import numpy as np
import pandas as pd

from tumorcf_lib.stats import estimates, persons
from tumorcf_lib.stats.claims import ALL
from tumorcf_lib.stats.verdicts import MIN_PERSONS, UNDECIDED

VISIBLE = "visible"


def detector_table(rows, *, n_resamples: int) -> pd.DataFrame:
    """How well edited slices are told from untouched ones: ROC AUC by infill and view.

    Parameters
    ----------
    rows : DataFrame
        From :func:`controls.detector.detect`.
    n_resamples : int

    Returns
    -------
    DataFrame
        infill, view, group ("all" or a class), auc (0.5: not told apart; 1: always), low and
        high (95 percent, persons resampled within class), n_slices (each untouched and
        edited), n_persons, verdict: "visible" if the interval lies above 0.5, else
        "undecided", as with fewer than 10 persons. Not seen is never "invisible".

    Notes
    -----
    If no resample has an error, the lower bound is the exact (Clopper-Pearson) one for the
    share of persons that are told apart, with all of them told apart.
    """
    found = []
    for (infill, view), own in rows.groupby(["infill", "view"], sort=False):
        for group in (ALL, *estimates.classes_of(own["label"])):
            here = own[own["score"].notna() & ((own["label"] == group) | (group == ALL))]
            found.append({
                "infill": infill, "view": view, "group": group,
                **_auc_with_interval(here, n_resamples),
            })  # fmt: skip
    columns = ["infill", "view", "group", "auc", "low", "high", "n_slices", "n_persons", "verdict"]
    return pd.DataFrame(found, columns=columns)


def auc_between(scores, edited, owner, counts):
    """ROC AUC of each resample of persons; ties count half.

    Parameters
    ----------
    scores : array of float, shape (n,)
    edited : array of bool, shape (n,)
    owner : array of int, shape (n,)
        Person of each score.
    counts : array of float, shape (n_resamples, n_persons)
        How often each person is drawn.

    Returns
    -------
    ndarray of float, shape (n_resamples,)
        NaN where a resample lacks edited or untouched slices.

    Examples
    --------
    >>> auc_between([2, 0, 1, 1], np.array([True, True, False, False]), np.array([0, 1, 0, 1]),
    ...             np.array([[1.0, 1], [2, 0]]))
    array([0.5, 1. ])
    """
    scores, n_persons = np.asarray(scores, float), counts.shape[1]
    who = np.eye(n_persons)[owner]  # (n, n_persons)
    above = scores[edited][:, None] - scores[~edited]  # (n_edited, n_untouched)
    wins = who[edited].T @ ((np.sign(above) + 1) / 2) @ who[~edited]  # (n_persons, n_persons)
    n_pairs = (counts @ who[edited].sum(axis=0)) * (counts @ who[~edited].sum(axis=0))
    total = ((counts @ wins) * counts).sum(axis=1)
    return np.divide(total, n_pairs, out=np.full(len(counts), np.nan), where=n_pairs > 0)


def _auc_with_interval(rows, n_resamples):
    found = {"auc": np.nan, "low": np.nan, "high": np.nan, "n_slices": 0, "n_persons": 0,
             "verdict": UNDECIDED}  # fmt: skip
    if rows.empty:
        return found
    _, people = persons.checked(rows["score"], rows["person_id"], rows["label"])
    n_persons = len(people.names)
    draws = people.draw(n_resamples)
    counts = np.vstack([np.ones(n_persons), draws])
    edited = rows["edited"].to_numpy() == 1
    auc = auc_between(rows["score"], edited, people.owner, counts)
    n_strata = len(np.unique(people.stratum))
    low, high = persons.interval(auc[1:], n_persons, n_persons - n_strata)
    if low == 1:
        # If a share q of all persons is told apart, and the others no worse than by chance, the
        # AUC is at least q^2 + (1 - q^2) / 2, which is above q: this bound is on the safe side.
        low, high = persons.exact_interval(1.0, n_persons)
    seen = n_persons >= MIN_PERSONS and low > 0.5 + persons.ROUNDING
    return {
        "auc": auc[0], "low": low, "high": high, "n_slices": rows["slice_id"].nunique(),
        "n_persons": n_persons, "verdict": VISIBLE if seen else UNDECIDED,
    }  # fmt: skip
