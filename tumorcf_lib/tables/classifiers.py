"""Classifiers beside the study's: other networks, probes of what is left, detectors of edits."""

from dataclasses import replace

import numpy as np
import pandas as pd

from tumorcf_lib.edits.infills import HEADLINE_INFILL, TAUGHT_INFILLS
from tumorcf_lib.edits.scores import arrays, class_names, mean_over_places, slice_scores
from tumorcf_lib.stats import classification, estimates
from tumorcf_lib.stats.persons import exact_interval, interval
from tumorcf_lib.stats.rows import ALL, NUMBERS, groups, headline_rows, in_front, means, of_group
from tumorcf_lib.tables import study

PLAIN, LOOKING = "plain", "looking"
UNSEEN = "unseen"
SCORES = (
    "accuracy",
    "person_accuracy",
    "p_orig",
    "delta_drop",
    "sham_drop",
    "net_drop",
    "delta_focus",
    "net_focus",
    "net_drop_lo",
)
SHARES = ("accuracy", "person_accuracy")
NO_CHANGE = dict.fromkeys(("change", "change_low", "change_high", "n_paired"), np.nan)
"""Columns of the plain network, which is compared with itself."""

AS_IS, RETRAINED, FROM_STATISTICS = "as it is", "retrained", "statistics"
AS_IS_EDITS = ("original", "background", "remove", "silhouette")
STATISTICS = ("plane", "intensity", "place", "area")
BALANCED = "balanced accuracy"
AGAINST_CHANCE = ["group", "metric", "value", "low", "high", "chance", "n_slices", "n_persons"]
DETECTED = ["infill", "view", "group", "auc", "low", "high", "n_slices", "n_persons"]


def networks_table(rows, rows_networks=None, *, n_resamples):
    """How accurate each network is, and how much it leans on the tumor, overall and by class.

    All are scored on the same slices, so each difference to the plain network is taken slice by
    slice. "unseen" is every infill but those that the others may have been shown in training.

    Columns: network, score, infill, group, effect, low, high, mean_of_person_means, n_slices,
    n_persons; change: this network minus the plain one on the slices that both have a score of,
    with its interval and n_paired (slices, for person_accuracy patients); NaN for the
    plain network. Scores: accuracy (share of slices called right), person_accuracy (of patients, by
    mean probability; n_slices counts patients there), and those of ``scores.slice_scores``;
    net_drop comes for every infill and for "unseen", the mean over each slice's unseen
    infills. ``net_drop_gap``: unseen minus Navier-Stokes on the slices that have both; below
    0, the drop is partly bound to the infill trained on. Delta-, Sham- and Net-Drop are means over
    slices that have shams.
    """
    values = {PLAIN: _values(rows)}
    if rows_networks is not None:
        for name in dict.fromkeys(rows_networks["network"]):
            values[name] = _values(of_network(rows_networks, name))
    parts, options = [], {"groups": groups(rows), "n_resamples": n_resamples}
    for network, scores in values.items():
        for (score, infill), table in scores.items():
            how = estimates.share if score in SHARES else estimates.mean
            part = means(table, "value", how=how, **options)[["group", *NUMBERS]]
            part = in_front(part, network=network, score=score, infill=infill)
            partner = values[PLAIN].get((score, infill)) if network != PLAIN else None
            changes = NO_CHANGE if partner is None else _changes(table, partner, options)
            parts.append(part.assign(**changes))
    return pd.concat(parts, ignore_index=True)


def of_network(rows_networks, network):
    """The rows of one network, without classes that only another knows."""
    own = rows_networks[rows_networks["network"] == network].drop(columns="network")
    return own.drop(columns=[c for c in own if c.startswith("p_") and own[c].isna().all()])


def beside_plain(table, *, group=ALL):
    """The table of one group as a reader wants it: a row a score, a column a network, as text."""
    own = table[table["group"] == group]
    own = own.assign(text=study.as_text(own))
    wide = own.pivot(index=["score", "infill"], columns="network", values="text")
    order = own.drop_duplicates(["score", "infill"]).set_index(["score", "infill"]).index
    return wide.reindex(index=order, columns=list(dict.fromkeys(own["network"]))).fillna("")


def probe_table(rows_probes, rows_edits, *, n_resamples: int):
    """How well the class is told by what is left of a slice, against chance.

    One row per probe, network and metric:

    - probe: "original", "background", "remove", "silhouette", "mask", or a statistic;
    - network: "as it is" (ours), "retrained" (on what the edit leaves), or "statistics";
    - group ("all" or a class), metric, value, low, high (95 percent, over patients; none of an
      area of exactly 1);
    - chance: of "balanced accuracy" one over the number of classes, of "accuracy" the
      share of the largest class, of "ROC AUC" (mean over classes, each against the rest)
      0.5; "recall" of a class has none, since who always names that class gets 1;
    - n_slices, n_persons.
    """
    tested = [
        (name, FROM_STATISTICS if name in STATISTICS else RETRAINED, rows)
        for name, rows in rows_probes.groupby("probe", sort=False)
    ]
    if rows_edits is not None:
        made = headline_rows(rows_edits)
        made = made[made[f"p_{class_names(made)[0]}"].notna()]
        tested += [
            (edit, AS_IS, made[made["edit"] == edit].drop_duplicates("slice_id"))
            for edit in AS_IS_EDITS
        ]
    order = list(dict.fromkeys([*AS_IS_EDITS, *(name for name, _, _ in tested)]))
    tested.sort(key=lambda entry: (order.index(entry[0]), entry[1]))  # stable
    parts = [
        in_front(against_chance(rows, n_resamples), probe=name, network=network)
        for name, network, rows in tested
        if len(rows)
    ]
    return pd.concat(parts, ignore_index=True)


def against_chance(rows, n_resamples):
    """The lines of :func:`probe_table` for one classifier's rows: person_id, label, p_<class>."""
    labels = pd.Index(class_names(rows)).get_indexer(rows["label"])
    weights = classification.slice_weights(rows.assign(label=labels), n_resamples)
    shares = rows["label"].value_counts(normalize=True)
    chances = {BALANCED: 1 / len(shares), "accuracy": shares.max(), "ROC AUC": 0.5}
    overall, of_class = study.overall(rows, weights), study.by_class(rows, weights)
    values = {(ALL, metric): overall[ALL, metric] for metric in chances}
    values |= {
        (name, m): v for (name, m), v in of_class.items() if m == "recall" and name in shares
    }
    lines = []
    for (group, metric), (value, *draws) in values.items():
        own, chance = of_group(rows, group), chances.get(metric, np.nan)
        n_persons = own["person_id"].nunique()
        low, high = interval(np.array(draws), n_persons, n_persons - own["label"].nunique())
        if low == high:  # every patient was right, or every one wrong
            exact = metric != "ROC AUC"
            low, high = exact_interval(low, n_persons) if exact else (np.nan, np.nan)
        lines.append((group, metric, value, low, high, chance, len(own), n_persons))
    return pd.DataFrame(lines, columns=AGAINST_CHANCE)


def recipes_table(tried, *, n_resamples):
    """Every recipe tried, on the inner folds of patients outside a fold's tested ones.

    Returns
    -------
    DataFrame
        recipe, n_slices, accuracies, loss (mean negative log-likelihood), and ``difference``:
        share of slices right less that of the kept recipe on the same slices, with both ends.
    """
    rows, same = [], ["fold", "slice_id"]
    tried = tried.assign(right=tried["label"] == classification.predicted(tried))
    kept = tried.loc[tried["recipe"] == "kept"].set_index(same)["right"]
    for recipe, own in tried.groupby("recipe", sort=False):
        labels, p = arrays(own)
        loss = float(-np.log(p[np.arange(len(p)), labels]).mean())
        line = {"recipe": recipe, "n_slices": len(own)} | accuracies(own) | {"loss": loss}
        beside = kept.reindex(pd.MultiIndex.from_frame(own[same])).to_numpy(float)
        change = own.assign(difference=own["right"].to_numpy(float) - beside)
        found = estimates.mean(change, "difference", n_resamples=n_resamples)
        ends = {"difference_low": found.low, "difference_high": found.high}
        rows.append(line | {"difference": found.value} | ends)
    return pd.DataFrame(rows)


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


def _values(rows):
    """(score, infill) -> table of slice_id, person_id, label, value."""
    scores = slice_scores(rows)
    scores["accuracy"] = scores["correct"].astype(float)
    # Delta, Sham and Net add up only over the same slices.
    scores.loc[scores["net_drop"].isna(), ["delta_drop", "sham_drop"]] = np.nan
    persons = classification.person_predictions(rows)
    persons = persons.assign(slice_id=persons["person_id"], person_accuracy=persons["correct"])
    found = {}
    for name in SCORES:
        table = persons if name == "person_accuracy" else scores
        found[name, HEADLINE_INFILL if "drop" in name else ""] = _column(table, name)
    others = [infill for infill in rows["infill"].unique() if infill not in ("", HEADLINE_INFILL)]
    drops = []
    for infill in others:
        own = slice_scores(rows, infill=infill)
        found["net_drop", infill] = _column(own, "net_drop")
        if infill not in TAUGHT_INFILLS:
            drops.append(own.set_index("slice_id")["net_drop"].reindex(scores["slice_id"]))
    if drops:
        # Missing infills of a slice (no mirror image) leave its mean to the others.
        scores["unseen"], _ = mean_over_places(np.stack(drops, axis=1))
        scores["gap"] = scores["unseen"] - scores["net_drop"]
        found["net_drop", UNSEEN] = _column(scores, "unseen")
        found["net_drop_gap", UNSEEN] = _column(scores, "gap")
    return found


def _column(scores, name):
    return scores[["slice_id", "person_id", "label"]].assign(value=scores[name].astype(float))


def _changes(table, partner, options):
    """Of each group: what the network's values are above the partner's on the same slices."""
    both = table.merge(partner[["slice_id", "value"]], on="slice_id", suffixes=("", "_plain"))
    both["change"] = both["value"] - both["value_plain"]
    found = means(both, "change", **options)
    # Where nobody changed, resampling cannot show how far patients might.
    varies = found["low"] != found["high"]
    ends = (found[end].where(varies) for end in ("low", "high"))
    return dict(zip(NO_CHANGE, (found["effect"], *ends, found["n_slices"]), strict=True))
