"""Does a class's probability fall because *its* tumor is gone, or does it fall for any slice?

Probabilities of a slice sum to 1, so what removal takes from one class it gives to others. A
network that drifts away from a class whenever something of a tumor's shape and place is taken out
scores a Net-Drop in that class without reading its tumor; averaged over the classes such drifts
cancel out, within a class they do not. A drift shows on the slices of the other classes, too.
"""

import pandas as pd

from tumorcf_lib.stats import estimates, metrics, stats

OWN, FOREIGN = "own", "others"


def drift_table(rows, *, n_resamples):
    """Net fall of each class's probability, on its own slices and on those of other classes.

    The net fall is the mean over a slice's shams of P(class), minus P(class) with the tumor taken
    out; on own slices it is Net-Drop.

    Parameters
    ----------
    rows : DataFrame
        One network's audit rows.
    n_resamples : int

    Returns
    -------
    DataFrame
        group (the class whose probability is followed), slices ("own" or "others"), effect,
        low, high, mean_of_person_means, n_slices, n_persons, relevance. Above 0 on "others":
        a drift away from the class, and as much of its Net-Drop may be no more than that. Below
        0: the class gains where other classes lose their tumor.

    Examples
    --------
    >>> rows = pd.DataFrame({
    ...     "slice_id": [i for i in range(24) for _ in "12"], "dilation_px": 0,
    ...     "person_id": [f"p{i}" for i in range(24) for _ in "12"],
    ...     "label": ["a"] * 24 + ["b"] * 24, "edit": ["remove", "sham"] * 24,
    ...     "infill": "navier_stokes", "p_a": [0.2, 0.6] * 24, "p_b": [0.8, 0.4] * 24})
    >>> drift_table(rows, n_resamples=50)["effect"].round(2).tolist()
    [0.4, 0.4, -0.4, -0.4]
    """
    falls, lines = net_falls(rows), []
    for group in estimates.classes_of(falls["label"]):
        own = falls["label"] == group
        for name, part in ((OWN, falls[own]), (FOREIGN, falls[~own])):
            found = estimates.mean(part, group, n_resamples=n_resamples)
            lines.append({"group": group, "slices": name, **estimates.columns_of(found),
                          "relevance": stats.relevance(found)})
    return pd.DataFrame(lines)


def net_falls(rows):
    """One row per slice: slice_id, person_id, label, and each class's net fall by its name.

    Slices without a removal or without a sham are left out.
    """
    classes = metrics.class_names(rows)
    columns = [f"p_{name}" for name in classes]
    by_edit = estimates.headline_rows(rows).groupby(["edit", "slice_id"])[columns].mean()
    edits = by_edit.index.unique("edit")
    if not {"remove", "sham"} <= set(edits):
        return pd.DataFrame(columns=["slice_id", "person_id", "label", *classes])
    falls = (by_edit.loc["sham"] - by_edit.loc["remove"]).dropna()
    falls.columns = classes
    whose = rows.drop_duplicates("slice_id").set_index("slice_id")[["person_id", "label"]]
    return whose.loc[falls.index].join(falls).reset_index()
