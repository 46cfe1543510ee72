"""Net-Drop and accuracy within sites and within planes: is the answer one for all groups?

Pure functions of published rows, see :mod:`tables.study`.
"""

import itertools

import numpy as np
import pandas as pd

from tumorcf_lib.stats import estimates, metrics, stats
from tumorcf_lib.stats.answers import MR, OTHERS
from tumorcf_lib.tables.probe_tables import BALANCED, NO_CLAIM, against_chance

SCORES = ("net_drop", "net_drop_lo")


def site_table(scores, *, n_resamples: int):
    """Net-Drop of each class within the persons of the ``MR...`` site and within all others.

    On all tested slices, and on the correctly classified ones alone.

    Nearly all persons with such IDs have a glioma, so a network could know the site instead of
    the tumor. Then Net-Drop would not hold inside each site. Over all classes together site
    and class could not be told apart, so there is no such row.

    Parameters
    ----------
    scores : DataFrame
        One row per tested slice, from :func:`stats.metrics.slice_scores`; slices without
        a score (no legal sham place) are left out.

    Returns
    -------
    DataFrame
        slices ("all" or "correct"), score ("net_drop", "net_drop_lo"), group (class), site
        ("MR...", "others", or
        "MR... less others"), effect, low, high, mean_of_person_means, n_slices, n_persons, p,
        p_holm (of the means of one score and kind of slices), verdict, note and relevance (see
        ``stats.relevance``; of probabilities only). The claim of a mean: it is above 0. A
        difference ("no claim") has the p of "no difference" alone.
    """
    rows = []
    correct = scores[scores["correct"].to_numpy(bool)]
    for slices, chosen in (("all", scores), ("correct", correct)):
        for score, group in itertools.product(_known(scores), pd.unique(scores["label"])):
            keys = {"slices": slices, "score": score, "group": group}
            own = _scored(chosen[chosen["label"] == group], score)
            is_mr = is_of_mr_site(own)
            for site, rows_of in ((MR, own[is_mr]), (OTHERS, own[~is_mr])):
                rows.append(_entry(_mean(rows_of, score, n_resamples), **keys, site=site))
            estimate = _difference(own, is_mr, score, n_resamples)
            rows.append(_entry(estimate, **keys, site=f"{MR} less {OTHERS}"))
    is_mean = [row["site"] in (MR, OTHERS) for row in rows]
    return _judged(rows, is_mean, family=["slices", "score"])


def is_of_mr_site(rows):
    """Whether each row's person has an ID of the form ``MR...``, as an array of bool.

    >>> is_of_mr_site(pd.DataFrame({"person_id": ["MR0123", "100234"]})).tolist()
    [True, False]
    """
    return rows["person_id"].astype(str).str.startswith("MR").to_numpy(bool)


def site_accuracy_table(predictions, *, n_resamples: int):
    """How much of the accuracy is due to the site: with and without the ``MR...`` persons.

    Parameters
    ----------
    predictions : DataFrame
        One row per tested slice: slice_id, person_id, label, p_<class>.

    Returns
    -------
    DataFrame
        group ("all" or a class of both sites), site ("MR...", "others"), metric ("accuracy",
        which of a class is its recall, or "balanced accuracy"), value, low, high, n_slices,
        n_persons. Of "all" there are only the others: whether site or tumor tells the class
        cannot be known where all are of one class.
    """
    is_mr, rows = is_of_mr_site(predictions), []
    others = predictions[~is_mr]
    for metric, entry in _overall_metrics(others, n_resamples).items():
        rows.append({"group": "all", "site": OTHERS, "metric": metric, **entry})
    for group in pd.unique(predictions["label"]):
        of_group = (predictions["label"] == group).to_numpy()
        parts = {MR: predictions[of_group & is_mr], OTHERS: predictions[of_group & ~is_mr]}
        if not all(len(own) for own in parts.values()):
            continue
        for site, own in parts.items():
            e = estimates.share(_with_right(own), "right", n_resamples=n_resamples)
            rows.append({
                "group": group, "site": site, "metric": "accuracy", "value": e.value,
                "low": e.low, "high": e.high, "n_slices": e.n_slices, "n_persons": e.n_persons,
            })  # fmt: skip
    columns = ["group", "site", "metric", "value", "low", "high", "n_slices", "n_persons"]
    return pd.DataFrame(rows, columns=columns)


def plane_table(scores, rows_planes, *, n_resamples: int):
    """Net-Drop of each class within each estimated plane.

    Parameters
    ----------
    scores : DataFrame
        As of :func:`site_table`.
    rows_planes : DataFrame
        From :func:`controls.planes.estimate_planes`.

    Returns
    -------
    DataFrame
        score, group ("all", then each class), plane, and the columns of :func:`site_table`.
        A group without slices has NaN, one of fewer than 10 persons is undecided.
    """
    plane_of = rows_planes.set_index("slice_id")["plane"]
    scores = scores.assign(plane=scores["slice_id"].map(plane_of))
    rows = []
    for score in _known(scores):
        for group in ("all", *pd.unique(scores["label"])):
            own = scores if group == "all" else scores[scores["label"] == group]
            for plane in metrics.class_names(rows_planes):
                chosen = _scored(own[own["plane"] == plane], score)
                estimate = _mean(chosen, score, n_resamples)
                rows.append(_entry(estimate, score=score, group=group, plane=plane))
    return _judged(rows, [True] * len(rows))


# -- inner parts -------------------------------------------------------------


def _with_right(rows):
    """The rows and, as "right", whether the most probable class is the true one."""
    names = metrics.class_names(rows)
    winner = rows[[f"p_{name}" for name in names]].to_numpy().argmax(axis=1)
    return rows.assign(right=(np.array(names, object)[winner] == rows["label"]).astype(float))


def _overall_metrics(rows, n_resamples):
    """Metric -> value, interval and numbers, over all classes."""
    found = against_chance(rows, n_resamples)
    found = found[(found["group"] == "all") & found["metric"].isin(("accuracy", BALANCED))]
    names = ["value", "low", "high", "n_slices", "n_persons"]
    return found.set_index("metric")[names].to_dict("index")


def _known(scores):
    return [score for score in SCORES if score in scores]


def _scored(rows, score):
    return rows[rows[score].notna()]


def _mean(rows, score, n_resamples):
    if not len(rows):
        return None
    return stats.bootstrap_mean(
        rows[score].to_numpy(np.float64), rows["person_id"].to_numpy(str),
        rows["label"].to_numpy(str), n_resamples=n_resamples, null=0.0,
    )  # fmt: skip


def _difference(rows, in_first, score, n_resamples):
    if in_first.all() or not in_first.any():
        return None
    # Each site is a stratum, so that every resample holds as many of its persons.
    return stats.bootstrap_difference(
        rows[score].to_numpy(np.float64), in_first, rows["person_id"].to_numpy(str), in_first,
        n_resamples=n_resamples, null=0.0,
    )  # fmt: skip


def _entry(estimate, **keys):
    empty = stats.Estimate(np.nan, np.nan, np.nan, 0, 0, 0)
    return keys | {"estimate": empty if estimate is None else estimate}


def _judged(rows, is_mean, family=("score",)):
    """The entries as a table, with Holm's p within a family and a verdict for means."""
    table = pd.DataFrame(rows)
    found = table.pop("estimate")
    table["effect"] = [e.value for e in found]
    for name in ("low", "high", "mean_of_person_means", "n_slices", "n_persons", "p"):
        table[name] = [getattr(e, name) for e in found]
    claimed = table["p"].where(is_mean)
    keys = [table[name] for name in family]
    table["p_holm"] = claimed.groupby(keys).transform(stats.holm)
    judged = [
        (stats.verdict(e, 0.0, "above", p), stats.why_undecided(e, 0.0, "above", p)) if mean
        else (NO_CLAIM, "")
        for e, p, mean in zip(found, table["p_holm"], is_mean, strict=True)
    ]  # fmt: skip
    table[["verdict", "note"]] = judged
    table["relevance"] = [
        stats.relevance(e) if score == "net_drop" else ""
        for e, score in zip(found, table["score"], strict=True)
    ]
    return table
