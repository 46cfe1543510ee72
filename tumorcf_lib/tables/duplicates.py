"""Near duplicates: tables from the rows of :mod:`study.near_duplicates` alone."""

import numpy as np
import pandas as pd

from tumorcf_lib.stats.estimates import matched_difference
from tumorcf_lib.stats.rows import ALL, as_columns, means

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


def derive(rows, n_resamples):
    """The tables of near duplicates by their files' names, from the rows alone."""
    return {
        "table_duplicates": duplicates_table(rows, n_resamples=n_resamples),
        "table_duplicates_difference": difference_table(rows, n_resamples=n_resamples),
        "table_duplicates_stems": stems_table(rows),
    }


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
    share of slices that have one in an ID of this kind); effect, low, high, median (of the
    distance), n_comparisons (slices x IDs), n_slices, n_persons (stems), n_partners, threshold.
    """
    options = {"by": ["kind"], "groups": [ALL], "n_resamples": n_resamples}
    table = means(_measured(rows), MEASURES, **options)
    table = table.rename(columns={"score": "measure", "n_slices": "n_comparisons"})
    of = rows.groupby("kind").agg(
        median=("distance", "median"),
        n_slices=("slice_id", "nunique"),
        n_partners=("partner_id", "nunique"),
    )
    table = table.join(of, on="kind").assign(threshold=near_distance(rows))
    table["median"] = table["median"].where(table["measure"] == "distance")
    table = table.sort_values("kind", key=lambda kind: kind.map(KINDS.index), kind="stable")
    numbers = ["kind", "measure", "effect", "low", "high", "median"]
    counts = ["n_comparisons", "n_slices", "n_persons", "n_partners"]
    return table.reset_index(drop=True)[[*numbers, *counts, "threshold"]]


def difference_table(rows, *, n_resamples):
    """IDs of the same stem against strangers of the same series that have as many slices.

    Columns: measure, effect (same stem - strangers: alike slices have a "distance" below 0, and a
    share with a "near duplicate" above 0), low, high (stems are drawn), n_comparisons, n_persons
    (stems). Empty without stems or strangers.
    """
    both = _measured(rows)
    both = both[both["kind"].isin((SAME_STEM, SAME_SERIES))]
    columns = ["measure", "effect", "low", "high", "n_comparisons", "n_persons"]
    is_stem = (both["kind"] == SAME_STEM).to_numpy()
    if is_stem.all() or not is_stem.any():
        return pd.DataFrame(columns=columns)
    cells = np.digitize(both["n_candidates"], CANDIDATE_BINS)
    lines = []
    for measure in MEASURES:
        e = matched_difference(both, measure, is_stem, cells, n_resamples=n_resamples)
        lines.append({"measure": measure} | as_columns(e))
    return pd.DataFrame(lines).rename(columns={"n_slices": "n_comparisons"})[columns]


def stems_table(rows):
    """Each stem by itself, without an interval.

    person_id, n_slices, n_ids, distance_stem and distance_strangers (means, strangers of the same
    series), share_farther (share of the strangers' IDs whose mean distance is larger than that of
    the stem's; NaN without either), near_duplicates (slices with one in another ID of the stem).
    """
    mates, strangers = (rows[rows["kind"] == kind] for kind in (SAME_STEM, SAME_SERIES))
    near = mates[mates["distance"] <= near_distance(rows)]
    counts = {"n_slices": ("slice_id", "nunique"), "n_ids": ("patient_id", "nunique")}
    table = rows.groupby("person_id").agg(**counts)
    for name, own in (("distance_stem", mates), ("distance_strangers", strangers)):
        table[name] = own.groupby("person_id")["distance"].mean()
    each = strangers.groupby(["person_id", "partner_id"])["distance"].mean().droplevel(1)
    is_farther = each > table["distance_stem"].reindex(each.index)
    share = is_farther.groupby("person_id").mean()
    table["share_farther"] = share.where(table["distance_stem"].reindex(share.index).notna())
    found = near.groupby("person_id")["slice_id"].nunique()
    return table.assign(near_duplicates=found.reindex(table.index, fill_value=0)).reset_index()


def _measured(rows):
    """The rows with both measures as columns, float."""
    distance = rows["distance"].astype(float)
    near = (distance <= near_distance(rows)).astype(float)
    return rows.assign(**dict(zip(MEASURES, (distance, near), strict=True)))
