"""What the audit says about networks whose truth is known: tables from its rows alone."""

import numpy as np
import pandas as pd

from tumorcf_lib.stats import metrics, persons, stats
from tumorcf_lib.stats.equivalence import tost
from tumorcf_lib.stats.findings import ALL, score_means
from tumorcf_lib.tables.calibration_rows import (
    PLANTED,
    RANDOM,
    SCALES,
    SHUFFLED,
    CalibrationRowsError,
    kind_of,
    network_scores,
    planted_networks,
    rho_of,
    trimmed,
)

__all__ = [
    "PLANTED", "RANDOM", "SCALES", "SHUFFLED", "CalibrationRowsError", "derive",
    "derive_from_audit", "follow_table", "kind_of", "network_scores", "network_table",
    "null_table", "planted_networks", "planted_table", "rho_of", "separation_table", "tost",
    "trend_table", "trimmed",
]  # fmt: skip

MARGIN = 0.02
"""A network that knows nothing has a mean Net-Drop within this of 0, as a probability."""
BAR = 0.95
"""Wanted area under the curve between tumor-reader and shortcut-reader, in log-odds."""

PLANTED_SCORES = (
    "p_orig", "delta_drop", "sham_drop", "net_drop", "delta_drop_lo", "sham_drop_lo",
    "net_drop_lo",
)  # fmt: skip
def network_table(scores, *, n_resamples):
    """Mean Net-Drop of every single network, on both scales, overall and by class.

    Returns
    -------
    DataFrame
        network, kind, score, group, effect, low, high, mean_of_person_means, n_slices,
        n_persons; spread_p: the standard deviation over slices of the true class's
        probability, near 0 for a network that answers every slice alike.
    """
    classes = list(dict.fromkeys(scores["label"]))
    parts = []
    for (network, kind), own in scores.groupby(["network", "kind"], sort=False):
        table = score_means(
            own, list(SCALES.values()), classes=classes, n_resamples=n_resamples
        )
        table.insert(0, "kind", kind)
        table.insert(0, "network", network)
        parts.append(table.assign(spread_p=own["p_orig"].std()))
    return pd.concat(parts, ignore_index=True)


def null_table(scores):
    """Whether networks that know nothing score nothing: an equivalence test over networks.

    Two one-sided t-tests with networks as the unit: equivalent if the 90 percent interval of
    the mean lies within +-0.02 of 0. Log-odds and single classes have no margin.

    Returns
    -------
    DataFrame
        kind, scale, group, n_networks, effect (mean over networks of their mean Net-Drop),
        low, high (90 percent), sd, smallest, largest (of single networks), margin, p
        (the larger of both one-sided ones), verdict ("equivalent" or "not shown").
    """
    known = scores[scores["kind"] != PLANTED]
    rows = []
    for kind, own in known.groupby("kind", sort=False):
        for scale, column in SCALES.items():
            for group in (ALL, *dict.fromkeys(own["label"])):
                here = own if group == ALL else own[own["label"] == group]
                means = here.groupby("network")[column].mean().to_numpy()
                margin = MARGIN if (scale, group) == ("probability", ALL) else np.nan
                rows.append({"kind": kind, "scale": scale, "group": group} | tost(means, margin))
    return pd.DataFrame(rows)


def planted_table(scores, *, n_resamples):
    """Scores of the planted networks by rho, overall and by class, with intervals over persons.

    Returns
    -------
    DataFrame
        rho, score, group, effect, low, high, mean_of_person_means, n_slices, n_persons.
    """
    classes = list(dict.fromkeys(scores["label"]))
    parts = []
    for network in planted_networks(scores):
        own = scores[scores["network"] == network]
        table = score_means(
            own, PLANTED_SCORES, classes=classes, n_resamples=n_resamples, complete=True
        )
        table.insert(0, "rho", rho_of(network))
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def trend_table(scores, *, n_resamples):
    """Whether Net-Drop falls with rho: differences of neighbors, and the slope, on each slice.

    All networks are audited on the same slices, so differences are taken slice by slice.
    Claimed is: above 0 for each difference (lower rho minus higher), below 0 for the slope
    (least squares, per unit of rho). p-values are Holm's within scale and group.

    Returns
    -------
    DataFrame
        scale, group, comparison, effect, low, high, mean_of_person_means, n_slices,
        n_persons, p_holm, verdict, relevance ("negligible": the interval lies within
        +-0.05; probabilities only).
    """
    names = planted_networks(scores)
    rows = []
    for scale, column in SCALES.items():
        wide, people = _by_network(scores, column, names)
        columns = {f"{a} - {b}": (wide[a] - wide[b], "above") for a, b in zip(names, names[1:])}
        rho = np.array([rho_of(name) for name in names])
        weights = (rho - rho.mean()) / ((rho - rho.mean()) ** 2).sum()
        columns["slope"] = ((wide * weights).sum(axis=1), "below")
        for group in (ALL, *dict.fromkeys(people["label"])):
            here = np.ones(len(wide), bool) if group == ALL else (people["label"] == group)
            found = {
                name: stats.bootstrap_mean(
                    values[here], people["person_id"][here], people["label"][here],
                    n_resamples=n_resamples, null=0,
                )
                for name, (values, _) in columns.items()
            }  # fmt: skip
            p_holm = stats.holm([e.p for e in found.values()])
            for (name, e), p in zip(found.items(), p_holm, strict=True):
                verdict = stats.verdict(e, 0, columns[name][1], p)
                rows.append(
                    {"scale": scale, "group": group, "comparison": name, **_columns(e),
                     "p_holm": p, "verdict": verdict,
                     "relevance": stats.relevance(e) if scale == "probability" else ""}
                )  # fmt: skip
    return pd.DataFrame(rows)


def separation_table(scores, *, n_resamples):
    """How well per-slice Net-Drop tells the tumor-reader (rho 0) from the shortcut-reader (rho 1).

    The area under the curve: the chance that a slice's Net-Drop by the tumor-reader is above
    another slice's by the shortcut-reader (ties count half). Persons are drawn with all their
    slices, for both networks at once. Where no resample differs, the interval is the exact
    one for as many persons out of as many.

    Returns
    -------
    DataFrame
        scale, group, auc, low, high, n_slices, n_persons, bar (0.95 in log-odds over all
        classes, else NaN), verdict ("supported": the interval lies above the bar).
    """
    ends = planted_networks(scores)
    ends = [ends[0], ends[-1]]
    if [rho_of(name) for name in ends] != [0, 1]:
        raise CalibrationRowsError(f"Expected networks of rho 0 and rho 1, got {ends}.")
    rows = []
    for scale, column in SCALES.items():
        wide, people = _by_network(scores, column, ends)
        for group in (ALL, *dict.fromkeys(people["label"])):
            here = np.ones(len(wide), bool) if group == ALL else (people["label"] == group)
            reader, shortcut = (wide.loc[here, name].to_numpy() for name in ends)
            e = _separation(reader, shortcut, people[here], n_resamples)
            bar = BAR if (scale, group) == ("log-odds", ALL) else np.nan
            verdict = "" if np.isnan(bar) else stats.verdict(e, bar, "above", 0.0)
            rows.append({
                "scale": scale, "group": group, "auc": e.value, "low": e.low, "high": e.high,
                "n_slices": e.n_slices, "n_persons": e.n_persons, "bar": bar, "verdict": verdict,
            })  # fmt: skip
    return pd.DataFrame(rows)


def _separation(reader, shortcut, people, n_resamples):
    _, drawn = persons.checked(reader, people["person_id"], people["label"])
    wins = (reader[:, None] > shortcut) + 0.5 * (reader[:, None] == shortcut)  # (n, n)
    n_persons, n = len(drawn.names), len(reader)
    weights = drawn.draw(n_resamples)[:, drawn.owner]  # (n_resamples, n)
    areas = ((weights @ wins) * weights).sum(axis=1) / weights.sum(axis=1) ** 2
    free = n_persons - len(np.unique(drawn.stratum))
    low, high = persons.interval(areas, n_persons, free)
    value = float(wins.mean())
    if low == high == 1:
        low, high = persons.exact_interval(1.0, n_persons)
    return stats.Estimate(value, low, high, n, n_persons, n_persons)


def follow_table(predictions, *, n_resamples):
    """Whom each planted network follows, on persons of its own cohort that it never saw.

    Parameters
    ----------
    predictions : DataFrame
        network, slice_id, person_id, label, marker, look (class names), p_<class>.

    Returns
    -------
    DataFrame
        rho, share ("label": right answers; "look", "marker": answers that agree with it where
        look and marker differ), effect, low, high, mean_of_person_means, n_slices, n_persons.
    """
    classes = metrics.class_names(predictions)
    p = predictions[[f"p_{name}" for name in classes]].to_numpy()
    predictions = predictions.assign(predicted=np.array(classes, object)[p.argmax(axis=1)])
    rows = []
    for network, own in predictions.groupby("network", sort=False):
        apart = own[own["look"] != own["marker"]]
        for share, part in (("label", own), ("look", apart), ("marker", apart)):
            e = stats.bootstrap_mean(
                part["predicted"] == part[share], part["person_id"], part["label"],
                n_resamples=n_resamples,
            )
            rows.append({"rho": rho_of(network), "share": share, **_columns(e)})
    return pd.DataFrame(rows)


def derive(read, n_resamples):
    """Every derived table by its file's name, from the row files alone; for ``verify``.

    Parameters
    ----------
    read : callable
        Maps a name ("rows_calibration") to a table.
    """
    scores = network_scores(read("rows_calibration"))
    follow = follow_table(read("rows_follow"), n_resamples=n_resamples)
    return derive_from_audit(scores, n_resamples) | {"table_follow": follow}


def derive_from_audit(scores, n_resamples):
    """The tables that need the audited slices only; ``scores`` from :func:`network_scores`."""
    options = {"n_resamples": n_resamples}
    return {
        "table_networks": network_table(scores, **options),
        "table_null": null_table(scores),
        "table_planted": planted_table(scores, **options),
        "table_trend": trend_table(scores, **options),
        "table_separation": separation_table(scores, **options),
    }


def _by_network(scores, column, names):
    """One column as (n_slices, n_networks), slices with a value everywhere; and whose they are."""
    wide = scores[scores["network"].isin(names)].pivot(
        index="slice_id", columns="network", values=column
    )[names]
    wide = wide.dropna()
    people = scores.drop_duplicates("slice_id").set_index("slice_id").loc[wide.index]
    return wide, people[["person_id", "label"]]


def _columns(estimate):
    return {
        "effect": estimate.value, "low": estimate.low, "high": estimate.high,
        "mean_of_person_means": estimate.mean_of_person_means, "n_slices": estimate.n_slices,
        "n_persons": estimate.n_persons,
    }  # fmt: skip
