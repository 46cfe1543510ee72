"""What a leak is worth, and near duplicates: tables from the rows of :mod:`study.leak` alone."""

import numpy as np
import pandas as pd

from tumorcf_lib.stats.classification import predicted
from tumorcf_lib.stats.estimates import matched_difference
from tumorcf_lib.stats.rows import ALL, means

APART, KNOWN, DIFFERENCE = "apart", "known", "known minus apart"
"""Arms: trained on other patients only; on the tested patients' other slices, too."""

OWN, SHUFFLED = "own", "shuffled"
"""Labels that an arm is shown: the slices' own, or dealt out anew to the patients."""

N_BITS = 256
"""Of a slice's hash, and so the largest distance."""

SAME_ID, SAME_STEM = "same ID", "same stem"
SAME_SERIES, OTHER_SERIES = "other person, same series", "other person, other series"
KINDS = (SAME_ID, SAME_STEM, SAME_SERIES, OTHER_SERIES)
"""What a slice is compared with: another slice of its own ID; another ID of its stem; an ID of
another person of its class whose IDs begin with the same letters, or with others. IDs that
begin alike may come from one scanner, so strangers of the same series are the fair comparison."""

NEAR_SHARE = 0.001
"""Near is what at most this share of the comparisons with strangers of the same series is."""

CANDIDATE_BINS = (3, 5, 7, 9, 11)
"""The more slices an ID has, the nearer its nearest is by chance: compared are IDs with about as
many slices of the plane, 1 or 2, 3 or 4, 5 or 6, 7 or 8, 9 or 10, and 11 or more."""

MEASURES = ("distance", "near duplicate")


def derive(read, n_resamples):
    """Every derived table by its file's name; ``read`` maps a name ("rows_leak") to a table."""
    n, duplicates = {"n_resamples": n_resamples}, read("rows_duplicates")
    return {
        "table_leak": leak_table(read("rows_leak"), **n),
        "table_duplicates": duplicates_table(duplicates, **n),
        "table_duplicates_difference": difference_table(duplicates, **n),
        "table_duplicates_stems": stems_table(duplicates),
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


# -- near duplicates ------------------------------------------------------------


def threshold(distances):
    """The largest distance that at most :data:`NEAR_SHARE` of the strangers' nearest slices reach.

    `distances`, int (n,), are of slices to IDs of other patients; nearer or as near is a near
    duplicate. -1 if even distance 0 is too common.

    >>> threshold(np.array([3] + [7] * 999))  # one of a thousand is at 3
    6
    """
    common = np.cumsum(np.bincount(distances)) > NEAR_SHARE * len(distances)
    return int(np.argmax(common)) - 1


def near_distance(rows):
    """The distance up to which a slice is a near duplicate, by the strangers of these rows."""
    strangers = rows.loc[rows["kind"] == SAME_SERIES, "distance"].to_numpy(int)
    return threshold(strangers) if len(strangers) else -1


def duplicates_table(rows, *, n_resamples):
    """Distance to the nearest slice of one other ID, by kind of that ID.

    The bootstrap draws stems, that is the patients whose slices are compared; the strangers
    and the threshold stay as they are.

    Columns: kind; measure ("distance": bits of 256, lower is more alike; "near duplicate": the
    share of slices that have one in an ID of this kind); effect, low, high, n_persons (stems),
    threshold.
    """
    options = {"by": ["kind"], "groups": [ALL], "n_resamples": n_resamples}
    table = means(_measured(rows), MEASURES, **options).assign(threshold=near_distance(rows))
    table = table.sort_values("kind", key=lambda kind: kind.map(KINDS.index), kind="stable")
    columns = ["kind", "measure", "effect", "low", "high", "n_persons", "threshold"]
    return table.rename(columns={"score": "measure"})[columns]


def difference_table(rows, *, n_resamples):
    """IDs of the same stem against strangers of the same series that have as many slices.

    Columns: measure, effect (same stem - strangers: alike slices have a "distance" below 0, and a
    share with a "near duplicate" above 0), low, high (stems are drawn), n_persons (stems). Empty
    without stems or strangers.
    """
    both = _measured(rows)
    both = both[both["kind"].isin((SAME_STEM, SAME_SERIES))]
    is_stem = (both["kind"] == SAME_STEM).to_numpy()
    cells = np.digitize(both["n_candidates"], CANDIDATE_BINS)
    lines = []
    for measure in MEASURES if is_stem.any() and not is_stem.all() else ():
        e = matched_difference(both, measure, is_stem, cells, n_resamples=n_resamples)
        lines.append({"measure": measure} | e.columns() | {"n_persons": e.n_persons})
    return pd.DataFrame(lines, columns=["measure", "effect", "low", "high", "n_persons"])


def stems_table(rows):
    """Each stem by itself, without an interval.

    person_id, share_farther (share of the IDs of strangers of the same series whose mean distance
    is larger than that of the stem's other IDs). Stems without either are left out.
    """
    mates, strangers = (rows[rows["kind"] == kind] for kind in (SAME_STEM, SAME_SERIES))
    each = strangers.groupby(["person_id", "partner_id"], as_index=False)["distance"].mean()
    own = each["person_id"].map(mates.groupby("person_id")["distance"].mean())
    each["share_farther"] = (each["distance"] > own).astype(float).where(own.notna())
    return each.groupby("person_id")["share_farther"].mean().dropna().reset_index()


def _measured(rows):
    """The rows with both measures as columns, float."""
    distance = rows["distance"].astype(float)
    near = (distance <= near_distance(rows)).astype(float)
    return rows.assign(**dict(zip(MEASURES, (distance, near), strict=True)))
