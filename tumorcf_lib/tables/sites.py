"""Net-Drop and accuracy within sites, as the form of the patients' IDs shows them."""

import pandas as pd

from tumorcf_lib.stats import classification, estimates
from tumorcf_lib.stats.answers import MR, OTHERS
from tumorcf_lib.stats.rows import ALL, NUMBERS, as_columns, judged, means, of_group
from tumorcf_lib.tables.classifiers import BALANCED, NO_CLAIM, against_chance

SCORES = ("net_drop", "net_drop_lo")


def site_table(scores, *, n_resamples: int):
    """Net-Drop of each class within the patients of the ``MR...`` site and within all others.

    On all tested slices, and on the correctly classified ones alone.

    Nearly all patients with such IDs have a glioma, so a network could know the site instead of
    the tumor. Then Net-Drop would not hold inside each site. Over all classes together site
    and class could not be told apart, so there is no such row.

    Parameters
    ----------
    scores : DataFrame
        One row per tested slice, from :func:`edits.scores.slice_scores`; slices without
        a score (no legal sham place) are left out.

    Returns
    -------
    DataFrame
        slices ("all" or "correct"), score ("net_drop", "net_drop_lo"), group (class), site
        ("MR...", "others", or "MR... less others"), effect, low, high, mean_of_person_means,
        n_slices, n_persons, p, p_holm (of the means of one score and kind of slices), verdict,
        note and relevance (of probabilities only). The claim of a mean: it is above 0. A
        difference ("no claim") has the p of "no difference" alone.
    """
    parts, is_mr = [], is_of_mr_site(scores)
    for slices, chosen in ((ALL, True), ("correct", scores["correct"].to_numpy(bool))):
        for score in (name for name in SCORES if name in scores):
            for group in pd.unique(scores["label"]):
                own = chosen & scores[score].notna() & (scores["label"] == group)
                for site, rows in ((MR, scores[own & is_mr]), (OTHERS, scores[own & ~is_mr])):
                    part = means(rows, score, groups=[ALL], n_resamples=n_resamples)
                    parts.append(part.assign(slices=slices, group=group, site=site))
                found = _difference(scores[own], score, n_resamples)
                parts.append(pd.DataFrame([{
                    "slices": slices, "score": score, "group": group,
                    "site": f"{MR} less {OTHERS}", **as_columns(found),
                }]))
    table = pd.concat(parts, ignore_index=True)
    claimed = table["site"].isin((MR, OTHERS))
    table = judged(
        table, ["slices", "score"], claimed=claimed, probability=table["score"] == "net_drop"
    )
    table["verdict"] = table["verdict"].where(claimed, NO_CLAIM)
    table = table.rename(columns={"reason": "note"})
    return table[["slices", "score", "group", "site", *NUMBERS, "p", "p_holm", "verdict", "note",
                  "relevance"]]


def is_of_mr_site(rows):
    """Whether each row's patient has an ID of the form ``MR...``, as an array of bool.

    >>> is_of_mr_site(pd.DataFrame({"person_id": ["MR0123", "100234"]})).tolist()
    [True, False]
    """
    return rows["person_id"].astype(str).str.startswith("MR").to_numpy(bool)


def site_accuracy_table(predictions, *, n_resamples: int):
    """How much of the accuracy is due to the site: with and without the ``MR...`` patients.

    Parameters
    ----------
    predictions : DataFrame
        One row per tested slice: slice_id, person_id, label, p_<class>.

    Returns
    -------
    DataFrame
        group ("all" or a class of both sites), site ("MR...", "others"), metric ("accuracy",
        which of a class is its recall, or "balanced accuracy"), value, low, high, n_slices,
        n_persons. Of "all" there are only the others: whether site or tumor shows the class
        cannot be known where all are of one class.
    """
    is_mr = is_of_mr_site(predictions)
    right = (classification.predicted(predictions) == predictions["label"]).astype(float)
    rows = predictions.assign(right=right)
    table = against_chance(predictions[~is_mr], n_resamples)
    table = table[(table["group"] == ALL) & table["metric"].isin(("accuracy", BALANCED))]
    parts = [table.assign(site=OTHERS)]
    for group in pd.unique(rows["label"]):
        own = {MR: of_group(rows[is_mr], group), OTHERS: of_group(rows[~is_mr], group)}
        if all(map(len, own.values())):
            parts += [
                means(of, "right", groups=[ALL], how=estimates.share, n_resamples=n_resamples)
                .rename(columns={"effect": "value"})
                .assign(group=group, site=site, metric="accuracy")
                for site, of in own.items()
            ]
    columns = ["group", "site", "metric", "value", "low", "high", "n_slices", "n_persons"]
    return pd.concat(parts, ignore_index=True)[columns]


def _difference(rows, score, n_resamples):
    """The site's mean less that of all others, if there are both."""
    is_mr = is_of_mr_site(rows)
    if is_mr.all() or not is_mr.any():
        return estimates.NOTHING
    # Each site is a stratum, so that every resample holds as many of its patients.
    return estimates.bootstrap_difference(
        rows[score], is_mr, rows["person_id"].astype(str), is_mr, n_resamples=n_resamples, null=0.0
    )
