"""Classifiers beside the study's: other networks, probes of what is left, detectors of edits."""

from dataclasses import replace

import numpy as np
import pandas as pd

from tumorcf_lib.edits.infills import HEADLINE_INFILL, TAUGHT_INFILLS
from tumorcf_lib.edits.scores import arrays, slice_scores
from tumorcf_lib.stats import classification, estimates, rows as stats_rows
from tumorcf_lib.stats.persons import exact_interval, interval
from tumorcf_lib.stats.rows import ALL, NUMBERS, in_front, means
from tumorcf_lib.tables.fold_scores import outputs_of

PLAIN, LOOKING, LIGHTER = "plain", "looking", "lighter"
RECIPE_OF = {PLAIN: "kept", LIGHTER: "lighter views"}
UNSEEN = "unseen"

AS_IS, RETRAINED, FROM_STATISTICS = "as it is", "retrained", "statistics"
AS_IS_EDITS = ("original", "background", "remove", "silhouette")
STATISTICS = ("plane", "intensity", "place", "area")
BALANCED = "balanced accuracy"
AGAINST_CHANCE = ["group", "metric", "value", "low", "high", "chance", "n_slices", "n_persons"]
DETECTED = ["infill", "view", "group", "auc", "low", "high", "n_slices", "n_persons"]


def networks_table(rows, rows_networks=None, *, n_resamples):
    """How accurate each network is, and how much it leans on the tumor, overall and by class.

    Columns: network, score, infill, group, effect, low, high, n_slices, n_persons. Scores: accuracy
    (share of slices called right), person_accuracy (of patients, by mean probability; n_slices
    counts patients there), delta_focus, sham_drop, net_drop, as in ``scores.slice_scores``.
    net_drop comes again for "unseen", the mean over those infills that each slice has, but for
    those that the others may have been shown in training.
    """
    asked, parts = {PLAIN: rows}, []
    options = {"groups": stats_rows.groups(rows), "n_resamples": n_resamples}
    if rows_networks is not None:
        names = rows_networks["network"].unique()
        asked |= {name: of_network(rows_networks, name) for name in names}
    for network, own in asked.items():
        for score, infill, table in _scored(own):
            how = estimates.share if score.endswith("accuracy") else estimates.mean
            part = means(table, score, how=how, **options)
            parts.append(part.assign(network=network, infill=infill))
    return stats_rows.stacked(parts, ["network", "score", "infill", "group", *NUMBERS])


def _scored(rows):
    """Of one network: score, infill, and a table with this score."""
    scores = slice_scores(rows)
    yield "accuracy", "", scores.assign(accuracy=scores["correct"])
    persons = classification.person_predictions(rows)
    yield "person_accuracy", "", persons.assign(person_accuracy=persons["correct"])
    yield "delta_focus", "", scores
    yield "sham_drop", HEADLINE_INFILL, scores.dropna(subset="net_drop")  # they add up
    yield "net_drop", HEADLINE_INFILL, scores
    drops = [
        slice_scores(rows, infill=infill).set_index("slice_id")["net_drop"]
        for infill in rows["infill"].unique()
        if infill not in ("", *TAUGHT_INFILLS)
    ]
    if drops:  # missing infills of a slice leave its mean to the others
        mean = pd.concat(drops, axis=1).mean(axis=1)
        yield "net_drop", UNSEEN, scores.assign(net_drop=scores["slice_id"].map(mean))


def of_network(rows_networks, network):
    """The rows of one network, without classes that only another knows."""
    return outputs_of(rows_networks[rows_networks["network"] == network]).drop(columns="network")


def probe_table(rows_probes, rows_edits, *, n_resamples: int):
    """How well the class is told by what is left of a slice, against chance.

    One row per probe, network and metric:

    - probe: "original", "background", "remove", "silhouette", "mask", or a statistic;
    - network: "as it is" (ours), "retrained" (on what the edit leaves), or "statistics";
    - the columns of :func:`against_chance`.
    """
    names = np.where(rows_probes["probe"].isin(STATISTICS), FROM_STATISTICS, RETRAINED)
    tested = rows_probes.assign(network=names)
    if rows_edits is not None:
        made = stats_rows.answered(stats_rows.headline_rows(rows_edits))
        made = made[made["edit"].isin(AS_IS_EDITS)].drop_duplicates(["edit", "slice_id"])
        tested = pd.concat([made.assign(probe=made["edit"], network=AS_IS), tested])
    order = dict.fromkeys([*AS_IS_EDITS, *tested["probe"]])
    tested["probe"] = pd.Categorical(tested["probe"], list(order))
    parts = [
        in_front(against_chance(rows, n_resamples), probe=probe, network=network)
        for (probe, network), rows in tested.groupby(["probe", "network"], observed=True)
    ]
    return pd.concat(parts, ignore_index=True)


def against_chance(rows, n_resamples):
    """How right one classifier's rows are (person_id, label, p_<class>), beside chance.

    group ("all"), metric, value, low, high (95 percent, over patients); chance: of "balanced
    accuracy" one over the number of classes, of "accuracy" the share of the largest class;
    n_slices, n_persons.
    """
    labels, p = arrays(rows)
    weights = classification.slice_weights(rows.assign(label=labels), n_resamples)
    found = classification.overall(labels, p, weights)
    shares, n_persons = rows["label"].value_counts(normalize=True), rows["person_id"].nunique()
    lines = []
    for metric, chance in ((BALANCED, 1 / len(shares)), ("accuracy", shares.max())):
        low, high = interval(found[metric][1:], n_persons, n_persons - len(shares))
        if low == high:  # every patient was right, or every one wrong
            low, high = exact_interval(low, n_persons)
        lines.append((ALL, metric, found[metric][0], low, high, chance, len(rows), n_persons))
    return pd.DataFrame(lines, columns=AGAINST_CHANCE)


def recipes_table(tried, predictions, *, n_resamples):
    """Every recipe tried, on the inner folds of patients outside a fold's tested ones; and of
    those that units were trained by, on the tested slices of all folds.

    Returns
    -------
    DataFrame
        slices ("inner" or "tested"), recipe, n_slices, accuracies (of one network, the mean over
        seeds), and ``difference``: share of slices right less that of the kept recipe on the same
        slices, with both ends.
    """
    parts = {"inner": tried.assign(training_seed=0)}
    if LIGHTER in set(predictions["network"]):
        tested = predictions.assign(recipe=predictions["network"].map(RECIPE_OF))
        parts["tested"] = outputs_of(tested.dropna(subset="recipe"))
    tables = [in_front(_recipes(own, n_resamples), slices=name) for name, own in parts.items()]
    return pd.concat(tables, ignore_index=True)


def _recipes(tried, n_resamples):
    tried = tried.assign(right=(tried["label"] == classification.predicted(tried)).astype(float))
    right = tried.set_index(["fold", "slice_id"])["right"]
    kept = right[(tried["recipe"] == "kept").to_numpy()].groupby(level=[0, 1]).mean()
    tried = tried.assign(difference=(right - kept.reindex(right.index)).to_numpy())
    options = {"by": ["recipe"], "groups": [ALL], "n_resamples": n_resamples}
    change = means(tried, "difference", **options)
    ends = {"effect": "difference", "low": "difference_low", "high": "difference_high"}
    change = change.rename(columns=ends)[["recipe", *ends.values()]].round(9)  # of kept: 0
    by = tried.groupby("recipe", sort=False)
    rows = []
    for recipe, own in by:
        found = [accuracies(one) for _, one in own.groupby("training_seed")]
        n = own["slice_id"].nunique()
        rows.append({"recipe": recipe, "n_slices": n} | dict(pd.DataFrame(found).mean()))
    return pd.DataFrame(rows).merge(change, on="recipe")


def accuracies(rows):
    """Share of slices and of patients right, and the mean over classes of the slices'."""
    labels, p = arrays(rows)
    found = classification.overall(labels, p, np.ones((1, len(p))))
    return {
        "slice_accuracy": found["accuracy"].item(),
        "balanced_accuracy": found["balanced accuracy"].item(),
        "person_accuracy": float(classification.person_predictions(rows)["correct"].mean()),
    }


def detector_table(rows, *, n_resamples: int) -> pd.DataFrame:
    """How well edited slices are told from untouched ones: ROC AUC by infill and view.

    Columns: infill, view, group ("all" or a class), auc (0.5: not told apart; 1: always), low and
    high (95 percent, patients resampled within class), n_slices (each untouched and edited),
    n_persons. What this detector does not tell apart another one may.
    """
    table = means(rows, "score", ("infill", "view"), n_resamples=n_resamples, how=_told_apart)
    return table.rename(columns={"effect": "auc"})[DETECTED]


def _told_apart(rows, column, *, n_resamples):
    own = rows[rows[column].notna()]
    if own.empty:
        return estimates.NOTHING
    edited = own["edited"].to_numpy() == 1
    e = estimates.auc(own, own[column], edited, n_resamples=n_resamples)
    return replace(e, n_slices=own["slice_id"].nunique())
