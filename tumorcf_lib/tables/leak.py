"""What a leak is worth: tables from the rows of :mod:`study.leak` alone."""

import pandas as pd

from tumorcf_lib.stats.classification import predicted
from tumorcf_lib.stats.rows import means
from tumorcf_lib.tables import duplicates

APART, KNOWN, DIFFERENCE = "apart", "known", "known minus apart"
"""Arms: trained on other patients only; on the tested patients' other slices, too."""

OWN, SHUFFLED = "own", "shuffled"
"""Labels that an arm is shown: the slices' own, or dealt out anew to the patients."""


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

    Columns: labels, arm (:data:`APART`, :data:`KNOWN`, :data:`DIFFERENCE`), score ("right"), group,
    effect (mean over slices), low, high (over patients), n_slices, n_persons, n_own_trained (mean
    over patients).
    """
    scored = rows.assign(right=(predicted(rows) == rows["shown_label"]).astype(float))
    apart, known = (
        scored[scored["arm"] == arm].set_index(["labels", "slice_id"]) for arm in (APART, KNOWN)
    )
    more = known.assign(right=known["right"] - apart["right"], arm=DIFFERENCE)
    scored, by = pd.concat([scored, more.reset_index()]), ["labels", "arm"]
    table = means(scored, "right", by, n_resamples=n_resamples)
    own = scored.drop_duplicates([*by, "person_id"]).groupby(by)["n_own_trained"]
    return table.join(own.mean(), on=by)
