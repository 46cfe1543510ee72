"""What gives the class away, in tables: probes against chance.

Pure functions of published rows, see :mod:`tables.study`.
"""

import numpy as np
import pandas as pd

from tumorcf_lib.stats import metrics, persons, resampled, stats

AS_IS, RETRAINED, FROM_STATISTICS = "as it is", "retrained", "statistics"
AS_IS_EDITS = ("original", "background", "remove", "silhouette")
NO_CLAIM = "no claim"
BALANCED = "balanced accuracy"
STATISTICS = ("plane", "intensity", "place", "area")
ABOVE, NOT_ABOVE = "above chance", "not above chance"


def probe_table(rows_probes, rows_edits, *, n_resamples: int):
    """How well the class is told by what is left of a slice, against chance.

    Parameters
    ----------
    rows_probes : DataFrame
        From :func:`controls.probes.all_probes`.
    rows_edits : DataFrame or None
        The audit's rows of our network, for what it makes of the same edits as it is. On masks
        alone that is ``silhouette``: the mask in one brightness on the slice's own air.

    Returns
    -------
    DataFrame
        One row per probe, network and metric:

        - probe: "original", "background", "remove", "silhouette", "mask", or a statistic;
        - network: "as it is" (ours), "retrained" (on what the edit leaves), or "statistics";
        - group ("all" or a class), metric, value, low, high (95 percent, over persons);
        - chance: of "balanced accuracy" one over the number of classes, of "accuracy" the
          share of the largest class, of "ROC AUC" (mean over classes, each against the rest)
          0.5; "recall" of a class has none, since who always names that class gets 1;
        - verdict: "above chance" if the whole interval is, else "not above chance";
          "undecided" if some class has fewer than 10 persons, or where there is no interval (an
          area of exactly 1); "no claim" for recall;
        - n_slices, n_persons.
    """
    tested = [
        (name, FROM_STATISTICS if name in STATISTICS else RETRAINED, rows)
        for name, rows in rows_probes.groupby("probe", sort=False)
    ]
    if rows_edits is not None:
        tested += [(edit, AS_IS, _as_it_is(rows_edits, edit)) for edit in AS_IS_EDITS]
    order = list(dict.fromkeys([*AS_IS_EDITS, *(name for name, _, _ in tested)]))
    tested.sort(key=lambda entry: (order.index(entry[0]), entry[1]))  # stable
    parts = [
        against_chance(rows, n_resamples).assign(probe=name, network=network)
        for name, network, rows in tested if len(rows)
    ]  # fmt: skip
    table = pd.concat(parts, ignore_index=True)
    return table[["probe", "network", *table.columns.drop(["probe", "network"])]]


def against_chance(rows, n_resamples):
    """The lines of :func:`probe_table` for one classifier's predictions.

    Parameters
    ----------
    rows : DataFrame
        person_id, label, p_<class>.
    n_resamples : int
    """
    names = metrics.class_names(rows)
    labels = pd.Index(names).get_indexer(rows["label"])
    p = rows[[f"p_{name}" for name in names]].to_numpy(np.float64)
    weights = resampled.person_weights(
        rows["person_id"].to_numpy(str), labels, n_resamples=n_resamples
    )
    values = _metrics(labels, p, np.ones((1, len(p))), names)
    draws = _metrics(labels, p, weights, names)
    shares = np.bincount(labels) / len(labels)
    chances = {
        BALANCED: 1 / np.count_nonzero(shares), "accuracy": shares.max(), "ROC AUC": 0.5
    }  # fmt: skip
    n_smallest = rows.groupby("label")["person_id"].nunique().min()
    entries = []
    for (group, metric), value in values.items():
        own = rows if group == "all" else rows[rows["label"] == group]
        low, high = _interval(metric, draws[group, metric], own)
        chance = chances.get(metric, np.nan)
        entries.append({
            "group": group, "metric": metric, "value": value.item(), "low": low, "high": high,
            "chance": chance, "verdict": _verdict(metric, low, chance, n_smallest),
            "n_slices": len(own), "n_persons": own["person_id"].nunique(),
        })  # fmt: skip
    return pd.DataFrame(entries)


# -- inner parts -------------------------------------------------------------


def _as_it_is(rows, edit):
    """One row a slice of one headline edit, where it could be made."""
    names = metrics.class_names(rows)
    own = rows[(rows["edit"] == edit) & rows[f"p_{names[0]}"].notna()]
    if edit == "remove":
        own = own[(own["infill"] == "navier_stokes") & (own["dilation_px"] == 0)]
    return own.drop_duplicates("slice_id")


def _metrics(labels, p, weights, names):
    """(group, metric) -> one value a resample; classes that do not occur have none."""
    overall = resampled.overall(labels, p, weights)
    values = {("all", m): overall[m] for m in (BALANCED, "accuracy", "ROC AUC")}
    recall = resampled.by_class(labels, p, weights)["recall"]
    there = np.unique(labels)
    return values | {(names[k], "recall"): recall[:, k] for k in there}


def _interval(metric, draws, own):
    """95 percent interval; the exact one where every person was right, or every one wrong."""
    n_persons = own["person_id"].nunique()
    low, high = persons.interval(draws, n_persons, n_persons - own["label"].nunique())
    if low != high or metric == "ROC AUC":
        return (low, high) if low != high else (np.nan, np.nan)
    return persons.exact_interval(low, n_persons)


def _verdict(metric, low, chance, n_smallest):
    if metric == "recall":
        return NO_CLAIM
    if n_smallest < stats.MIN_PERSONS or not np.isfinite(low):
        return stats.UNDECIDED
    return ABOVE if low > chance + stats.ROUNDING else NOT_ABOVE
