"""What a leak is worth: tables from the rows of :mod:`study.leak` alone."""

import numpy as np
import pandas as pd

from tumorcf_lib.edits.scores import class_names
from tumorcf_lib.stats.rows import means
from tumorcf_lib.tables import duplicates

APART, KNOWN, DIFFERENCE = "apart", "known", "known minus apart"
"""Arms: trained on other patients only; on the tested patients' other slices, too."""

OWN, SHUFFLED = "own", "shuffled"
"""Labels that an arm is shown: the slices' own, or dealt out anew to the patients."""

SCORES = ("right", "p_true")


def derive(read, n_resamples):
    """Every derived table by its file's name; ``read`` maps a name ("rows_leak") to a table."""
    return {
        "table_leak": leak_table(read("rows_leak"), n_resamples=n_resamples),
        **duplicates.derive(read("rows_duplicates"), n_resamples),
    }


def leak_table(rows, *, n_resamples):
    """How right both arms are about the same slices, and the difference, patient by patient.

    Scored is the label that the network was taught: in a canary the shuffled one. ``n_own_trained``
    counts slices of the tested patient in training.

    Columns: labels, arm (:data:`APART`, :data:`KNOWN`, :data:`DIFFERENCE`), score ("right",
    "p_true": probability of the label), group, effect (mean over slices), low, high (over
    patients), n_slices, n_persons, n_folds, n_trained and n_own_trained (means over slices).
    """
    names = class_names(rows)
    p = rows[[f"p_{name}" for name in names]].to_numpy(float)
    taught = pd.Index(names).get_indexer(rows["shown_label"])
    right, p_true = (p.argmax(axis=1) == taught).astype(float), p[np.arange(len(p)), taught]
    scored = rows.assign(right=right, p_true=p_true)
    apart, known = (
        scored[scored["arm"] == arm].set_index(["labels", "slice_id"]) for arm in (APART, KNOWN)
    )
    more = known.assign(**{name: known[name] - apart[name] for name in SCORES}, arm=DIFFERENCE)
    scored = pd.concat([scored, more.reset_index()], ignore_index=True)
    by = ["labels", "arm"]
    table = means(scored, SCORES, by, n_resamples=n_resamples)
    counts = scored.groupby(by).agg(
        n_folds=("fold", "nunique"),
        n_trained=("n_trained", "mean"),
        n_own_trained=("n_own_trained", "mean"),
    )
    return table.merge(counts.reset_index(), on=by).drop(columns="mean_of_person_means")
