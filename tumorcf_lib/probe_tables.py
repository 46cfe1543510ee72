"""What gives the class away, in tables: probes against chance, Net-Drop by site and by plane.

Pure functions of published rows, see :mod:`tumorcf_lib.tables`.
"""

import numpy as np
import pandas as pd

from tumorcf_lib import _resampling, metrics, resampled, stats

AS_IS, RETRAINED, FROM_STATISTICS = "as it is", "retrained", "statistics"
AS_IS_EDITS = ("original", "background", "remove", "silhouette")
NO_CLAIM = "no claim"
STATISTICS = ("plane", "intensity", "place", "area")
ABOVE, NOT_ABOVE = "above chance", "not above chance"
SCORES = ("net_drop", "net_drop_lo")
MR, OTHERS = "MR...", "others"


def probe_table(rows_probes, rows_edits, *, n_resamples: int):
    """How well the class is told by what is left of a slice, against chance.

    Parameters
    ----------
    rows_probes : DataFrame
        From :func:`tumorcf_lib.probes.all_probes`.
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
        _against_chance(rows, n_resamples).assign(probe=name, network=network)
        for name, network, rows in tested if len(rows)
    ]  # fmt: skip
    table = pd.concat(parts, ignore_index=True)
    return table[["probe", "network", *table.columns.drop(["probe", "network"])]]


def site_table(scores, *, n_resamples: int):
    """Net-Drop of each class within the persons of the ``MR...`` site and within all others.

    Nearly all persons with such IDs have a glioma, so a network could know the site instead of
    the tumor. Then Net-Drop would not hold inside each site. Over all classes together site
    and class could not be told apart, so there is no such row.

    Parameters
    ----------
    scores : DataFrame
        One row per tested slice, from :func:`tumorcf_lib.metrics.slice_scores`; slices without
        a score (no legal sham place) are left out.

    Returns
    -------
    DataFrame
        score ("net_drop", "net_drop_lo"), group (class), site ("MR...", "others", or
        "MR... less others"), effect, low, high, mean_of_person_means, n_slices, n_persons, p,
        p_holm (of the means of one score), verdict, note and relevance (see
        ``stats.relevance``; of probabilities only). The claim of a mean: it is above 0. A
        difference ("no claim") has the p of "no difference" alone.
    """
    rng, rows = np.random.default_rng(stats.SEED), []
    for score in _known(scores):
        for group in pd.unique(scores["label"]):
            own = _scored(scores[scores["label"] == group], score)
            is_mr = own["person_id"].astype(str).str.startswith("MR").to_numpy()
            for site, rows_of in ((MR, own[is_mr]), (OTHERS, own[~is_mr])):
                estimate = _mean(rows_of, score, rng, n_resamples)
                rows.append(_entry(estimate, score=score, group=group, site=site))
            estimate = _difference(own, is_mr, score, rng, n_resamples)
            rows.append(_entry(estimate, score=score, group=group, site=f"{MR} less {OTHERS}"))
    is_mean = [row["site"] in (MR, OTHERS) for row in rows]
    return _judged(rows, is_mean)


def plane_table(scores, rows_planes, *, n_resamples: int):
    """Net-Drop of each class within each estimated plane.

    Parameters
    ----------
    scores : DataFrame
        As of :func:`site_table`.
    rows_planes : DataFrame
        From :func:`tumorcf_lib.planes.estimate_planes`.

    Returns
    -------
    DataFrame
        score, group ("all", then each class), plane, and the columns of :func:`site_table`.
        A group without slices has NaN, one of fewer than 10 persons is undecided.
    """
    plane_of = rows_planes.set_index("slice_id")["plane"]
    scores = scores.assign(plane=scores["slice_id"].map(plane_of))
    rng, rows = np.random.default_rng(stats.SEED), []
    for score in _known(scores):
        for group in ("all", *pd.unique(scores["label"])):
            own = scores if group == "all" else scores[scores["label"] == group]
            for plane in metrics.class_names(rows_planes):
                chosen = _scored(own[own["plane"] == plane], score)
                estimate = _mean(chosen, score, rng, n_resamples)
                rows.append(_entry(estimate, score=score, group=group, plane=plane))
    return _judged(rows, [True] * len(rows))


# -- inner parts -------------------------------------------------------------


def _as_it_is(rows, edit):
    """One row a slice of one headline edit, where it could be made."""
    names = metrics.class_names(rows)
    own = rows[(rows["edit"] == edit) & rows[f"p_{names[0]}"].notna()]
    if edit == "remove":
        own = own[(own["infill"] == "navier_stokes") & (own["dilation_px"] == 0)]
    return own.drop_duplicates("slice_id")


def _against_chance(rows, n_resamples):
    names = metrics.class_names(rows)
    labels = pd.Index(names).get_indexer(rows["label"])
    p = rows[[f"p_{name}" for name in names]].to_numpy(np.float64)
    weights = resampled.person_weights(
        rows["person_id"].to_numpy(str), labels, rng=np.random.default_rng(stats.SEED),
        n_resamples=n_resamples,
    )  # fmt: skip
    values = _metrics(labels, p, np.ones((1, len(p))), names)
    draws = _metrics(labels, p, weights, names)
    shares = np.bincount(labels) / len(labels)
    chances = {
        "balanced accuracy": 1 / np.count_nonzero(shares), "accuracy": shares.max(), "ROC AUC": 0.5
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


def _metrics(labels, p, weights, names):
    """(group, metric) -> one value a resample; classes that do not occur have none."""
    overall = resampled.overall(labels, p, weights)
    values = {("all", m): overall[m] for m in ("balanced accuracy", "accuracy", "ROC AUC")}
    recall = resampled.by_class(labels, p, weights)["recall"]
    there = np.unique(labels)
    return values | {(names[k], "recall"): recall[:, k] for k in there}


def _interval(metric, draws, own):
    """95 percent interval; the exact one where every person was right, or every one wrong."""
    n_persons = own["person_id"].nunique()
    low, high = _resampling.interval(draws, n_persons, n_persons - own["label"].nunique())
    if low != high or metric == "ROC AUC":
        return (low, high) if low != high else (np.nan, np.nan)
    return (0.025 ** (1 / n_persons), 1.0) if low == 1 else (0.0, 1 - 0.025 ** (1 / n_persons))


def _verdict(metric, low, chance, n_smallest):
    if metric == "recall":
        return NO_CLAIM
    if n_smallest < stats.MIN_PERSONS or not np.isfinite(low):
        return stats.UNDECIDED
    return ABOVE if low > chance + stats.ROUNDING else NOT_ABOVE


def _known(scores):
    return [score for score in SCORES if score in scores]


def _scored(rows, score):
    return rows[rows[score].notna()]


def _mean(rows, score, rng, n_resamples):
    if not len(rows):
        return None
    return stats.bootstrap_mean(
        rows[score].to_numpy(np.float64), rows["person_id"].to_numpy(str),
        rows["label"].to_numpy(str), rng=rng, n_resamples=n_resamples, null=0.0,
    )  # fmt: skip


def _difference(rows, in_first, score, rng, n_resamples):
    if in_first.all() or not in_first.any():
        return None
    # Each site is a stratum, so that every resample holds as many of its persons.
    return stats.bootstrap_difference(
        rows[score].to_numpy(np.float64), in_first, rows["person_id"].to_numpy(str), in_first,
        rng=rng, n_resamples=n_resamples, null=0.0,
    )  # fmt: skip


def _entry(estimate, **keys):
    empty = stats.Estimate(np.nan, np.nan, np.nan, 0, 0, 0)
    return keys | {"estimate": empty if estimate is None else estimate}


def _judged(rows, is_mean):
    """The entries as a table, with Holm's p and a verdict for means, family by score."""
    table = pd.DataFrame(rows)
    estimates = table.pop("estimate")
    table["effect"] = [e.value for e in estimates]
    for name in ("low", "high", "mean_of_person_means", "n_slices", "n_persons", "p"):
        table[name] = [getattr(e, name) for e in estimates]
    claimed = table["p"].where(is_mean)
    table["p_holm"] = claimed.groupby(table["score"]).transform(stats.holm)
    judged = [
        (stats.verdict(e, 0.0, "above", p), stats.why_undecided(e, 0.0, "above", p)) if mean
        else (NO_CLAIM, "")
        for e, p, mean in zip(estimates, table["p_holm"], is_mean, strict=True)
    ]  # fmt: skip
    table[["verdict", "note"]] = judged
    table["relevance"] = [
        stats.relevance(e) if score == "net_drop" else ""
        for e, score in zip(estimates, table["score"], strict=True)
    ]
    return table
