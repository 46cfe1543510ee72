"""Classifiers beside the study's: other networks, probes of what is left, detectors of edits."""

import numpy as np
import pandas as pd

from tumorcf_lib.edits.infills import HEADLINE_INFILL
from tumorcf_lib.edits.scores import arrays, class_names, mean_over_places, slice_scores
from tumorcf_lib.stats import classification, estimates
from tumorcf_lib.stats.persons import ROUNDING, exact_interval, interval
from tumorcf_lib.stats.rows import (
    ALL,
    NUMBERS,
    as_columns,
    groups,
    headline_rows,
    of_group,
)
from tumorcf_lib.stats.verdicts import MIN_PERSONS, UNDECIDED
from tumorcf_lib.tables.study import as_text

PLAIN, HARDENED, LOOKING = "plain", "hardened", "looking"
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
NETWORK_COLUMNS = (
    "network",
    "score",
    "infill",
    "group",
    *NUMBERS,
    "change",
    "change_low",
    "change_high",
    "change_p",
    "n_paired",
)
AS_IS, RETRAINED, FROM_STATISTICS = "as it is", "retrained", "statistics"
AS_IS_EDITS = ("original", "background", "remove", "silhouette")
STATISTICS = ("plane", "intensity", "place", "area")
BALANCED = "balanced accuracy"
NO_CLAIM, ABOVE, NOT_ABOVE = "no claim", "above chance", "not above chance"
VISIBLE = "visible"


def networks_table(rows, rows_networks=None, *, n_resamples):
    """How accurate each network is, and how much it leans on the tumor, overall and by class.

    All are scored on the same slices, so each difference to the plain network is taken slice by
    slice. The others saw Navier-Stokes edits in training; "unseen" is every other infill.

    Columns: network, score, infill, group, effect, low, high, mean_of_person_means, n_slices,
    n_persons; change: this network minus the plain one on the slices that both have a score of,
    with its interval, p against 0 and n_paired (slices, for person_accuracy patients); NaN for the
    plain network. Scores: accuracy (share of slices called right), person_accuracy (of patients, by
    mean probability; n_slices counts patients there), and those of ``scores.slice_scores``;
    net_drop comes for every infill and for "unseen", the mean over each slice's infills but
    Navier-Stokes. ``net_drop_gap``: unseen minus Navier-Stokes on the slices that have both; below
    0, the drop is partly bound to the infill trained on. Delta-, Sham- and Net-Drop are means over
    slices that have shams.
    """
    own = {PLAIN: rows}
    if rows_networks is not None:
        own |= {
            name: of_network(rows_networks, name)
            for name in dict.fromkeys(rows_networks["network"])
        }
    values, lines = {name: _values(of) for name, of in own.items()}, []
    for network, scores in values.items():
        for (score, infill), table in scores.items():
            partner = values[PLAIN].get((score, infill)) if network != PLAIN else None
            for group in groups(rows):
                how = estimates.share if score in SHARES else estimates.mean
                found = how(of_group(table, group), "value", n_resamples=n_resamples)
                lines.append(
                    {
                        "network": network,
                        "score": score,
                        "infill": infill,
                        "group": group,
                        **as_columns(found),
                        **_change(table, partner, group, n_resamples),
                    }
                )
    return pd.DataFrame(lines).reindex(columns=list(NETWORK_COLUMNS))


def of_network(rows_networks, network):
    """The rows of one network, without classes that only another knows."""
    own = rows_networks[rows_networks["network"] == network].drop(columns="network")
    return own.drop(columns=[c for c in own if c.startswith("p_") and own[c].isna().all()])


def beside_plain(table, *, group=ALL):
    """The table of one group as a reader wants it: a row a score, a column a network, as text."""
    own = table[table["group"] == group]
    own = own.assign(text=as_text(own))
    wide = own.pivot(index=["score", "infill"], columns="network", values="text")
    order = own.drop_duplicates(["score", "infill"]).set_index(["score", "infill"]).index
    return wide.reindex(index=order, columns=list(dict.fromkeys(own["network"]))).fillna("")


def probe_table(rows_probes, rows_edits, *, n_resamples: int):
    """How well the class is told by what is left of a slice, against chance.

    One row per probe, network and metric:

    - probe: "original", "background", "remove", "silhouette", "mask", or a statistic;
    - network: "as it is" (ours), "retrained" (on what the edit leaves), or "statistics";
    - group ("all" or a class), metric, value, low, high (95 percent, over patients);
    - chance: of "balanced accuracy" one over the number of classes, of "accuracy" the
      share of the largest class, of "ROC AUC" (mean over classes, each against the rest)
      0.5; "recall" of a class has none, since who always names that class gets 1;
    - verdict: "above chance" if the whole interval is, else "not above chance";
      "undecided" if some class has fewer than 10 patients, or where there is no interval (an
      area of exactly 1); "no claim" for recall;
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
    table = pd.concat(
        [
            against_chance(rows, n_resamples).assign(probe=name, network=network)
            for name, network, rows in tested
            if len(rows)
        ],
        ignore_index=True,
    )
    return table[["probe", "network", *table.columns.drop(["probe", "network"])]]


def against_chance(rows, n_resamples):
    """The lines of :func:`probe_table` for one classifier's rows: person_id, label, p_<class>."""
    names, (labels, p) = class_names(rows), arrays(rows)
    weights = classification.person_weights(
        rows["person_id"].astype(str), labels, n_resamples=n_resamples
    )
    overall = classification.overall(labels, p, weights)
    recall = classification.by_class(labels, p, weights)["recall"]
    values = {(ALL, metric): overall[metric] for metric in (BALANCED, "accuracy", "ROC AUC")}
    values |= {(names[k], "recall"): recall[:, k] for k in np.unique(labels)}
    shares = np.bincount(labels) / len(labels)
    chances = {BALANCED: 1 / np.count_nonzero(shares), "accuracy": shares.max(), "ROC AUC": 0.5}
    n_smallest = rows.groupby("label")["person_id"].nunique().min()
    lines = []
    for (group, metric), (value, *draws) in values.items():
        own, chance = of_group(rows, group), chances.get(metric, np.nan)
        n_persons = own["person_id"].nunique()
        low, high = interval(np.array(draws), n_persons, n_persons - own["label"].nunique())
        if low == high:  # every patient was right, or every one wrong
            exact = metric != "ROC AUC"
            low, high = exact_interval(low, n_persons) if exact else (np.nan, np.nan)
        lines.append(
            (
                group,
                metric,
                value,
                low,
                high,
                chance,
                _above_chance(metric, low, chance, n_smallest),
                len(own),
                n_persons,
            )
        )
    return pd.DataFrame(
        lines,
        columns=[
            "group",
            "metric",
            "value",
            "low",
            "high",
            "chance",
            "verdict",
            "n_slices",
            "n_persons",
        ],
    )


def detector_table(rows, *, n_resamples: int) -> pd.DataFrame:
    """How well edited slices are told from untouched ones: ROC AUC by infill and view.

    Columns: infill, view, group ("all" or a class), auc (0.5: not told apart; 1: always), low and
    high (95 percent, patients resampled within class), n_slices (each untouched and edited),
    n_persons, verdict: "visible" if the interval lies above 0.5, else "undecided", as with fewer
    than 10 patients. Not seen is never "invisible".

    If no resample has an error, the lower bound is the exact (Clopper-Pearson) one for the
    share of patients that are told apart, with all of them told apart: if a share q is, and
    the others no worse than by chance, the AUC is at least q^2 + (1 - q^2) / 2, above q.
    """
    found = []
    for (infill, view), own in rows.groupby(["infill", "view"], sort=False):
        for group in groups(own):
            here = of_group(own[own["score"].notna()], group)
            if here.empty:
                numbers = (np.nan, np.nan, np.nan, 0, 0, UNDECIDED)
            else:
                people, counts = estimates.drawn(here, n_resamples)
                edited = here["edited"].to_numpy() == 1
                auc = auc_between(here["score"], edited, people.owner, counts)
                n_persons = len(people.names)
                low, high = interval(auc[1:], *people.free)
                low, high = exact_interval(1.0, n_persons) if low == 1 else (low, high)
                seen = n_persons >= MIN_PERSONS and low > 0.5 + ROUNDING
                numbers = (
                    auc[0],
                    low,
                    high,
                    here["slice_id"].nunique(),
                    n_persons,
                    VISIBLE if seen else UNDECIDED,
                )
            found.append((infill, view, group, *numbers))
    return pd.DataFrame(
        found,
        columns=[
            "infill",
            "view",
            "group",
            "auc",
            "low",
            "high",
            "n_slices",
            "n_persons",
            "verdict",
        ],
    )


def auc_between(scores, edited, owner, counts):
    """ROC AUC of each resample of patients; ties count half.

    ``scores`` float, ``edited`` bool and ``owner`` int (patient) have shape (n,); ``counts``,
    (n_resamples, n_persons), says how often each is drawn. NaN without pairs.

    >>> auc_between([2, 0, 1, 1], np.array([True, True, False, False]), np.array([0, 1, 0, 1]),
    ...             np.array([[1.0, 1], [2, 0]]))
    array([0.5, 1. ])
    """
    scores = np.asarray(scores, float)
    who = np.eye(counts.shape[1])[owner]  # (n, n_persons)
    above = scores[edited][:, None] - scores[~edited]  # (n_edited, n_untouched)
    wins = who[edited].T @ ((np.sign(above) + 1) / 2) @ who[~edited]  # (n_persons, n_persons)
    n_pairs = (counts @ who[edited].sum(axis=0)) * (counts @ who[~edited].sum(axis=0))
    total = ((counts @ wins) * counts).sum(axis=1)
    return np.divide(total, n_pairs, out=np.full(len(counts), np.nan), where=n_pairs > 0)


def _above_chance(metric, low, chance, n_smallest):
    if metric == "recall":
        return NO_CLAIM
    if n_smallest < MIN_PERSONS or not np.isfinite(low):
        return UNDECIDED
    return ABOVE if low > chance + ROUNDING else NOT_ABOVE


def _values(rows):
    """(score, infill) -> table of slice_id, person_id, label, value."""
    scores = slice_scores(rows)
    scores["accuracy"] = scores["correct"].astype(float)
    for suffix in ("", "_lo"):
        # Delta, Sham and Net add up only over the same slices.
        for name in ("delta_drop", "sham_drop"):
            has_sham = scores[f"net_drop{suffix}"].notna()
            scores[f"{name}{suffix}"] = scores[f"{name}{suffix}"].where(has_sham)
    persons = classification.person_predictions(rows)
    persons = persons.assign(slice_id=persons["person_id"], person_accuracy=persons["correct"])
    found = {}
    for name in SCORES:
        table = persons if name == "person_accuracy" else scores
        found[name, HEADLINE_INFILL if "drop" in name else ""] = _column(table, name)
    drops = []
    for infill in dict.fromkeys(rows["infill"]):
        if infill not in ("", HEADLINE_INFILL):
            own = slice_scores(
                rows[rows["edit"].isin(("original", "remove", "sham"))], infill=infill
            )
            found["net_drop", infill] = _column(own, "net_drop")
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


def _change(table, partner, group, n_resamples):
    if partner is None:
        return {}
    both = table.merge(partner[["slice_id", "value"]], on="slice_id", suffixes=("", "_plain"))
    both["change"] = both["value"] - both["value_plain"]
    e = estimates.mean(of_group(both, group), "change", n_resamples=n_resamples)
    # Where nobody changed, resampling cannot show how far patients might.
    low, high = (e.low, e.high) if e.low != e.high else (np.nan, np.nan)
    return {
        "change": e.value,
        "change_low": low,
        "change_high": high,
        "change_p": e.p,
        "n_paired": e.n_slices,
    }
