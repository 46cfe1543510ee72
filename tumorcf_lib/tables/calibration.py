"""What the audit says about networks whose truth is known: tables from its rows alone.

Three kinds of networks are audited on the same slices: planted (those of "rho 0 01", "rho 0 02",
... read the tumor, of "rho 1 01" a marker beside the head), with random weights ("random 01", ...),
and trained on labels shuffled between patients ("shuffled 01", ...). The last two know nothing of
the classes. Intervals of planted networks are over patients and networks, see
:mod:`stats.networks`.
"""

import itertools

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from tumorcf_lib.edits.scores import class_names, slice_scores
from tumorcf_lib.stats import estimates, networks, rows as stats_rows
from tumorcf_lib.tables.symmetric import transplants_table

PLANTED, RANDOM, SHUFFLED = "planted", "random weights", "shuffled labels"
KIND_OF_NAME = {"rho": PLANTED, "random": RANDOM, "shuffled": SHUFFLED}
SCALES = {stats_rows.PROBABILITY: "net_drop", stats_rows.LOG_ODDS: "net_drop_lo"}
"""Scale of Net-Drop, and its column."""
SCORES = (
    *("delta_drop", "sham_drop", "net_drop", "net_drop_lo"),
    *("delta_focus", "net_focus", "focus_over_background"),
)
KEPT = ["slice_id", "person_id", "label", "edit", "place", "infill", "dilation_px"]
"""Columns of an audit's rows that the tables need, beside ``p_<class>`` and log_odds."""
KEPT_OF_MOVED = [*KEPT[:3], "donor_slice_id", "donor_label", "depth_px", "donor_depth_px", "reason"]
"""The same of its transplants."""

MARGIN = 0.02
"""A network that knows nothing has a mean Net-Drop within this of 0, as a probability."""
WITHIN = 0.9
"""Of the null's interval: it lies within the margin where two one-sided tests at 5 percent say so
(Schuirmann 1987)."""
BAR = 0.95
"""Wanted area under the curve between tumor-reader and shortcut-reader, in log-odds."""


def kind_of(network):
    """Kind of a network from its name, such as "planted" of "rho 0.5"."""
    return KIND_OF_NAME[network.split()[0]]


def rho_of(network):
    """The rho of a planted network from its name: 0.9 of "rho 0.9 02"."""
    return float(network.split()[1])


def number_of(network):
    """Which of its kind a network is, from its name: 2 of "rho 0.9 02"."""
    return int(network.split()[-1])


def trimmed(rows, network, kept=KEPT):
    """An audit's rows with the columns that count here, and the name of the network."""
    classes = [f"p_{name}" for name in class_names(rows)]
    return stats_rows.in_front(rows[[*kept, *classes, "log_odds"]], network=network)


def network_scores(rows):
    """Scores of every slice by every network; the table that all others are made from.

    Columns: network, kind, then the columns of :func:`edits.scores.slice_scores`, and
    focus_over_background: P_only - P_background.
    """
    parts = []
    for network, own in rows.groupby("network", sort=False):
        scores = slice_scores(own.assign(patient_id=own["person_id"]))
        scores["focus_over_background"] = scores["p_only"] - scores["p_background"]
        parts.append(stats_rows.in_front(scores, network=network, kind=kind_of(network)))
    return pd.concat(parts, ignore_index=True)


def planted_scores(scores):
    """Scores (or rows) of the planted networks by rising rho; ``training_seed`` is a network's
    number, and ``fold`` 0, since all of them are tested on the same patients."""
    own = scores[scores["network"].map(kind_of) == PLANTED]
    own = own.assign(
        rho=own["network"].map(rho_of), training_seed=own["network"].map(number_of), fold=0
    )
    return own.sort_values("rho", kind="stable")


def network_table(scores, *, n_resamples):
    """Mean Net-Drop of every single network, on both scales, overall and by class.

    Columns: network, kind, score, group, effect, low, high, n_slices,
    n_persons; spread_p: the standard deviation over slices of the true class's probability, near 0
    for a network that answers every slice alike.
    """
    by = ["network", "kind"]
    table = stats_rows.score_means(scores, SCALES.values(), by=by, n_resamples=n_resamples)
    spread = scores.groupby("network")["p_orig"].std()
    return table.assign(spread_p=table["network"].map(spread))


def null_table(scores):
    """What networks that know nothing score, with networks as the unit.

    Columns: kind, score, group, n_networks, effect (mean over networks of their means), low, high
    (:data:`WITHIN`, Student's law), sd, smallest, largest (of single networks), margin
    (:data:`MARGIN` for Net-Drop over all classes, else NaN).
    """
    rows = []
    for kind, own in scores[scores["kind"] != PLANTED].groupby("kind", sort=False):
        for score in SCORES:
            for group in stats_rows.groups(own):
                values = stats_rows.of_group(own, group).groupby("network")[score].mean().dropna()
                if n := len(values):
                    e, sd = values.mean(), values.std()  # of one network NaN
                    reach = stdtrit(n - 1, (1 + WITHIN) / 2) * sd / n**0.5
                    line = {"kind": kind, "score": score, "group": group, "n_networks": n}
                    line |= {"effect": e, "low": e - reach, "high": e + reach, "sd": sd}
                    line |= {"smallest": values.min(), "largest": values.max()}
                    has_margin = (score, group) == ("net_drop", stats_rows.ALL)
                    rows.append(line | {"margin": MARGIN if has_margin else np.nan})
    return pd.DataFrame(rows)


def planted_table(scores):
    """Scores of the planted networks by rho, overall and by class.

    rho, score, group, effect, low, high (over patients and networks), network_error, n_networks,
    n_patients, n_slices.
    """
    rows = []
    for rho, own in planted_scores(scores).groupby("rho"):
        for score in ("p_orig", *SCORES):
            for group in stats_rows.groups(own):
                e = networks.mean(stats_rows.of_group(own, group), score)
                if e.n_patients:
                    rows.append({"rho": rho, "score": score, "group": group} | _columns(e))
    return pd.DataFrame(rows)


def _columns(e):
    of = {"n_networks": e.n_seeds, "n_patients": e.n_patients, "n_slices": e.n_slices}
    return e.columns() | {"network_error": e.network_error} | of


def trend_table(scores):
    """How Net-Drop falls with rho: differences of neighbors, and the slope, on each slice.

    All networks are audited on the same slices, so differences are taken slice by slice, between
    the first networks of two rhos, their second ones, and so on. Where it falls, each difference
    (lower rho minus higher) is above 0, and the slope (least squares, per unit of rho) below.

    Columns: scale, group, comparison, then as :func:`planted_table`.
    """
    rows = []
    for scale, column in SCALES.items():
        keys = ["training_seed", "slice_id", "person_id", "label", "fold"]
        wide = planted_scores(scores).pivot(index=keys, columns="rho", values=column).dropna()
        rho = wide.columns.to_numpy(float)
        weights = (rho - rho.mean()) / ((rho - rho.mean()) ** 2).sum()
        compared = {f"rho {a:g} - rho {b:g}": wide[a] - wide[b] for a, b in zip(rho, rho[1:])}
        slices = pd.DataFrame(compared | {"slope": (wide * weights).sum(axis=1)}).reset_index()
        for group in stats_rows.groups(slices):
            own = stats_rows.of_group(slices, group)
            for name in (*compared, "slope"):
                line = {"scale": scale, "group": group, "comparison": name}
                rows.append(line | _columns(networks.mean(own, name)))
    return pd.DataFrame(rows)


def separation_table(scores, *, n_resamples):
    """How well per-slice Net-Drop separates tumor-readers (rho 0) from shortcut-readers (1).

    The area under the curve: the chance that a slice's Net-Drop by a tumor-reader is above
    another slice's by a shortcut-reader, see :func:`stats.estimates.auc`; the mean over all pairs
    of such networks. Patients are drawn for all networks at once.

    Columns: scale, group, auc, low, high (over patients), smallest, largest (of single pairs of
    networks), n_pairs, n_slices, n_persons, bar (:data:`BAR` in log-odds over all classes, else
    NaN).
    """
    rows, own = [], planted_scores(scores)
    ends = own[own["rho"].isin([own["rho"].min(), own["rho"].max()])]
    for scale, column in SCALES.items():
        for group in stats_rows.groups(ends):
            here = stats_rows.of_group(ends, group).dropna(subset=column)
            is_reader = here["rho"] == ends["rho"].min()
            e = estimates.auc(here, here[column], is_reader, n_resamples=n_resamples)
            kinds = (here[is_reader], here[~is_reader])
            both = (
                [own.to_numpy() for _, own in kind.groupby("network")[column]] for kind in kinds
            )
            pairs = [_chance_above(*pair) for pair in itertools.product(*both)]
            has_bar = (scale, group) == (stats_rows.LOG_ODDS, stats_rows.ALL)
            line = {"scale": scale, "group": group} | e.columns("auc")
            line |= {"smallest": min(pairs), "largest": max(pairs), "n_pairs": len(pairs)}
            line |= {"n_slices": here["slice_id"].nunique(), "n_persons": e.n_persons}
            rows.append(line | {"bar": BAR if has_bar else np.nan})
    return pd.DataFrame(rows)


def derive(read, n_resamples):
    """Every derived table by its file's name; ``read`` maps "rows_calibration" to a table."""
    scores, options = network_scores(read("rows_calibration")), {"n_resamples": n_resamples}
    moved = planted_scores(read("rows_transplants"))
    return {
        "table_networks": network_table(scores, **options),
        "table_null": null_table(scores),
        "table_planted": planted_table(scores),
        "table_trend": trend_table(scores),
        "table_separation": separation_table(scores, **options),
        "table_transplants": transplants_table(moved, by="rho", classes=class_names(moved)),
    }


def _chance_above(first, second):
    """Chance that a value of the first is above one of the second; ties count half."""
    return (np.sign(np.subtract.outer(first, second)).mean() + 1) / 2
