"""What the audit says about networks whose truth is known: tables from its rows alone.

Three kinds of networks are audited on the same slices: planted ("rho 0" reads the tumor,
"rho 1" a marker beside the head), with random weights ("random 01", ...), and trained on
labels shuffled between patients ("shuffled 01", ...). The last two know nothing of the classes.
"""

import numpy as np
import pandas as pd

from tumorcf_lib.edits.scores import class_names, slice_scores
from tumorcf_lib.stats import estimates, rows as stats_rows
from tumorcf_lib.stats.verdicts import judge, tost

PLANTED, RANDOM, SHUFFLED = "planted", "random weights", "shuffled labels"
KIND_OF_NAME = {"rho": PLANTED, "random": RANDOM, "shuffled": SHUFFLED}
SCALES = {stats_rows.PROBABILITY: "net_drop", stats_rows.LOG_ODDS: "net_drop_lo"}
"""Scale of Net-Drop, and its column."""
KEPT = ["slice_id", "person_id", "label", "edit", "place", "infill", "dilation_px"]
"""Columns of an audit's rows that the tables need, beside ``p_<class>`` and log_odds."""

MARGIN = 0.02
"""A network that knows nothing has a mean Net-Drop within this of 0, as a probability."""
BAR = 0.95
"""Wanted area under the curve between tumor-reader and shortcut-reader, in log-odds."""


def kind_of(network):
    """Kind of a network from its name, such as "planted" of "rho 0.5"."""
    return KIND_OF_NAME[network.split()[0]]


def rho_of(network):
    """The rho of a planted network from its name: 0.9 of "rho 0.9"."""
    return float(network.split()[1])


def trimmed(rows, network):
    """An audit's rows with the columns that count here, and the name of the network."""
    classes = [f"p_{name}" for name in class_names(rows)]
    return stats_rows.in_front(rows[[*KEPT, *classes, "log_odds"]], network=network)


def network_scores(rows):
    """Scores of every slice by every network; the table that all others are made from.

    Columns: network, kind, then the columns of :func:`edits.scores.slice_scores`.
    """
    parts = []
    for network, own in rows.groupby("network", sort=False):
        scores = slice_scores(own.assign(patient_id=own["person_id"]))
        parts.append(stats_rows.in_front(scores, network=network, kind=kind_of(network)))
    return pd.concat(parts, ignore_index=True)


def planted_networks(scores):
    """Names of the planted networks, by rising rho."""
    names = [name for name in dict.fromkeys(scores["network"]) if kind_of(name) == PLANTED]
    return sorted(names, key=rho_of)


def network_table(scores, *, n_resamples):
    """Mean Net-Drop of every single network, on both scales, overall and by class.

    Columns: network, kind, score, group, effect, low, high, mean_of_person_means, n_slices,
    n_persons; spread_p: the standard deviation over slices of the true class's probability, near 0
    for a network that answers every slice alike.
    """
    by = ["network", "kind"]
    table = stats_rows.score_means(scores, SCALES.values(), by=by, n_resamples=n_resamples)
    spread = scores.groupby("network")["p_orig"].std()
    return table.assign(spread_p=table["network"].map(spread))


def null_table(scores):
    """Whether networks that know nothing score nothing: an equivalence test over networks.

    Two one-sided t-tests with networks as the unit: equivalent if the 90 percent interval of
    the mean lies within +-0.02 of 0. Log-odds and single classes have no margin.

    Columns: kind, scale, group, n_networks, effect (mean over networks of their mean Net-Drop),
    low, high (90 percent), sd, smallest, largest (of single networks), margin, p (the larger of
    both one-sided ones), verdict ("equivalent" or "not shown").
    """
    rows = []
    for kind, own in scores[scores["kind"] != PLANTED].groupby("kind", sort=False):
        for scale, column in SCALES.items():
            for group in stats_rows.groups(own):
                values = stats_rows.of_group(own, group).groupby("network")[column].mean()
                has_margin = (scale, group) == (stats_rows.PROBABILITY, stats_rows.ALL)
                found = tost(values, MARGIN if has_margin else np.nan)
                rows.append({"kind": kind, "scale": scale, "group": group} | found)
    return pd.DataFrame(rows)


def planted_table(scores, *, n_resamples):
    """Scores of the planted networks by rho, overall and by class, with intervals over patients.

    rho, score, group, effect, low, high, mean_of_person_means, n_slices, n_persons.
    """
    own = scores[scores["network"].isin(planted_networks(scores))]
    own = own.assign(rho=own["network"].map(rho_of)).sort_values("rho", kind="stable")
    columns, how = ("p_orig", *stats_rows.DROPS), {"complete": True, "n_resamples": n_resamples}
    return stats_rows.score_means(own, columns, by=["rho"], **how)


def trend_table(scores, *, n_resamples):
    """Whether Net-Drop falls with rho: differences of neighbors, and the slope, on each slice.

    All networks are audited on the same slices, so differences are taken slice by slice.
    Claimed is: above 0 for each difference (lower rho minus higher), below 0 for the slope
    (least squares, per unit of rho). p-values are Holm's within scale and group.

    Columns: scale, group, comparison, effect, low, high, mean_of_person_means, n_slices, n_persons,
    p_holm, verdict, relevance ("negligible": the interval lies within +-0.05; probabilities only).
    """
    names, parts = planted_networks(scores), []
    rho = np.array([rho_of(name) for name in names])
    weights = (rho - rho.mean()) / ((rho - rho.mean()) ** 2).sum()
    for scale, column in SCALES.items():
        wide, people = _by_network(scores, column, names)
        compared = {f"{a} - {b}": wide[a] - wide[b] for a, b in zip(names, names[1:])}
        compared["slope"] = (wide * weights).sum(axis=1)
        slices = people.assign(**compared)
        for group in stats_rows.groups(people):
            how = {"groups": [group], "n_resamples": n_resamples}
            parts.append(stats_rows.means(slices, compared, **how).assign(scale=scale))
    table = pd.concat(parts, ignore_index=True).rename(columns={"score": "comparison"})
    table = stats_rows.judged(
        table,
        ["scale", "group"],
        probability=table["scale"] == stats_rows.PROBABILITY,
        side=np.where(table["comparison"] == "slope", "below", "above"),
    )
    what, judged = ["scale", "group", "comparison"], ["p_holm", "verdict", "relevance"]
    return table[[*what, *stats_rows.NUMBERS, *judged]]


def separation_table(scores, *, n_resamples):
    """How well per-slice Net-Drop separates the tumor-reader (rho 0) from the shortcut-reader (1).

    The area under the curve: the chance that a slice's Net-Drop by the tumor-reader is above
    another slice's by the shortcut-reader, see :func:`stats.estimates.auc`. Patients are drawn
    for both networks at once.

    Columns: scale, group, auc, low, high, n_slices, n_persons, bar (0.95 in log-odds over all
    classes, else NaN), verdict ("supported": the interval lies above the bar).
    """
    names, rows = planted_networks(scores), []
    for scale, column in SCALES.items():
        wide, people = _by_network(scores, column, [names[0], names[-1]])
        for group in stats_rows.groups(people):
            here = stats_rows.of_group(people, group)
            e = _separation(*wide.loc[here.index].to_numpy().T, here, n_resamples)
            has_bar = (scale, group) == (stats_rows.LOG_ODDS, stats_rows.ALL)
            line = {"scale": scale, "group": group} | e.columns("auc")
            line |= {"n_slices": len(here), "n_persons": e.n_persons}
            line |= {"bar": BAR if has_bar else np.nan}
            rows.append(line | {"verdict": judge(e, BAR, "above", 0.0)[0] if has_bar else ""})
    return pd.DataFrame(rows)


def derive(read, n_resamples):
    """Every derived table by its file's name; ``read`` maps "rows_calibration" to a table."""
    scores, options = network_scores(read("rows_calibration")), {"n_resamples": n_resamples}
    return {
        "table_networks": network_table(scores, **options),
        "table_null": null_table(scores),
        "table_planted": planted_table(scores, **options),
        "table_trend": trend_table(scores, **options),
        "table_separation": separation_table(scores, **options),
    }


def _by_network(scores, column, names):
    """One column as (n_slices, n_networks), slices with a value everywhere; and their patients."""
    own = scores[scores["network"].isin(names)]
    wide = own.pivot(index="slice_id", columns="network", values=column)[names].dropna()
    people = scores.drop_duplicates("slice_id").set_index("slice_id").loc[wide.index]
    return wide, people[["person_id", "label"]]


def _separation(reader, shortcut, people, n_resamples):
    """The AUC of two networks' scores of the same slices."""
    is_reader = np.arange(2 * len(people)) < len(people)
    both = pd.concat([people, people])
    return estimates.auc(both, [*reader, *shortcut], is_reader, n_resamples=n_resamples)
