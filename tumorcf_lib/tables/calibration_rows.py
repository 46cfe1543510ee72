"""Rows of the calibration's audits: which network is which, and every slice's scores.

Three kinds of networks are audited on the same slices: planted ("rho 0" reads the tumor,
"rho 1" a marker beside the head), with random weights ("random 01", ...), and trained on
labels shuffled between persons ("shuffled 01", ...). The last two know nothing of the classes.
"""

import pandas as pd

from tumorcf_lib.stats import metrics

PLANTED, RANDOM, SHUFFLED = "planted", "random weights", "shuffled labels"
KIND_OF_NAME = {"rho": PLANTED, "random": RANDOM, "shuffled": SHUFFLED}
SCALES = {"probability": "net_drop", "log-odds": "net_drop_lo"}
"""Scale of Net-Drop, and its column."""
KEPT = (
    "slice_id", "person_id", "label", "edit", "place", "infill", "dilation_px", "log_odds",
)  # fmt: skip
"""Columns of an audit's rows, beside ``p_<class>``, that the tables need."""


class CalibrationRowsError(ValueError):
    """Rows that lack networks which a table compares."""


def kind_of(network):
    """Kind of a network from its name.

    Examples
    --------
    >>> kind_of("rho 0.5"), kind_of("random 03")
    ('planted', 'random weights')
    """
    return KIND_OF_NAME[network.split()[0]]


def rho_of(network):
    """The rho of a planted network from its name.

    Examples
    --------
    >>> rho_of("rho 0.9")
    0.9
    """
    return float(network.split()[1])


def trimmed(rows, network):
    """An audit's rows with the columns that count here, and the name of the network."""
    classes = [f"p_{name}" for name in metrics.class_names(rows)]
    kept = rows[[*KEPT[:-1], *classes, KEPT[-1]]].copy()
    kept.insert(0, "network", network)
    return kept


def network_scores(rows):
    """Scores of every slice by every network; the table that all others are made from.

    Parameters
    ----------
    rows : DataFrame
        From :func:`trimmed`, of several networks.

    Returns
    -------
    DataFrame
        network, kind, then the columns of :func:`stats.metrics.slice_scores`.
    """
    parts = []
    for network, own in rows.groupby("network", sort=False):
        scores = metrics.slice_scores(own.assign(patient_id=own["person_id"]))
        scores.insert(0, "kind", kind_of(network))
        scores.insert(0, "network", network)
        parts.append(scores)
    return pd.concat(parts, ignore_index=True)


def planted_networks(scores):
    """Names of the planted networks, by rising rho."""
    names = [name for name in dict.fromkeys(scores["network"]) if kind_of(name) == PLANTED]
    if len(names) < 2:
        raise CalibrationRowsError(f"Expected at least two planted networks, got {names}.")
    return sorted(names, key=rho_of)
