"""What a leak is worth: tables from the rows of :mod:`study.leak` alone."""

import numpy as np
import pandas as pd

from tumorcf_lib.stats import metrics, persons, resampled, stats
from tumorcf_lib.tables import near_duplicates_tables as duplicates
from tumorcf_lib.tables import study

METRICS = ("accuracy", "balanced accuracy")
REFERENCE = {
    "slice": "person", "patient": "person", "author": "person", "canary slice": "canary person",
}  # fmt: skip
"""Arm -> the arm without a leak that it is compared with."""

NAMES = {
    "slice": "slices dealt at random", "patient": "patient IDs kept together",
    "author": "the author's five folds", "person": "persons kept together",
    "canary slice": "canary: shuffled labels, slices dealt",
    "canary person": "canary: shuffled labels, persons kept",
}  # fmt: skip
ONE_FOLD = "one fold each"


def derive(read, n_resamples):
    """Every derived table by its file's name, from the row files alone; for ``verify``.

    Parameters
    ----------
    read : callable
        Maps a name ("rows_leak") to a table.
    n_resamples : int
    """
    rows, parts = read("rows_leak"), read("rows_parts")
    return {
        "table_leak": leak_table(rows, parts, n_resamples=n_resamples),
        "table_leak_difference": difference_table(rows, n_resamples=n_resamples),
        "table_leak_crossing": crossing_table(parts),
        **duplicates.derive(read("rows_duplicates"), n_resamples),
    }


def leak_table(rows, parts, *, n_resamples):
    """How good the same recipe looks by each arm's split.

    Scored is the label that the network was taught: in a canary the shuffled one. Drawn are
    tested persons within their shown class. A person's score stands only where no tested person
    is trained on, too.

    Parameters
    ----------
    rows : DataFrame
        Tested slices: arm, fold, slice_id, person_id, shown_label, p_<class>.
    parts : DataFrame
        arm, fold, patient_id, person_id, n_train, n_validation, n_test.

    Returns
    -------
    DataFrame
        arm, level ("slice", "person"), metric, value, low, high, n_slices, n_persons, n_folds,
        share_person_trained (of the tested slices, those whose person is in training, too);
        of balanced accuracy also chance (1 / n_classes) and, for slices, p_holm (over the arms),
        verdict and reason of the claim that it lies above chance.
    """
    crossing = crossing_table(parts)
    found = []
    for arm, own in rows.groupby("arm", sort=False):
        share = _share_trained(crossing, arm)
        table = study.performance(_as_shown(own), n_resamples=n_resamples)
        table = table[table["metric"].isin(METRICS)]
        if share > 0:
            table = table[table["level"] == "slice"]
        table = table.drop(columns=["group", "n"]).assign(
            n_slices=len(own), n_folds=own["fold"].nunique(), share_person_trained=share
        )
        table.insert(0, "arm", arm)
        found.append(table[[*table.columns.drop("n_persons"), "n_persons"]])
    return _beside_chance(pd.concat(found, ignore_index=True), rows, n_resamples)


def difference_table(rows, *, n_resamples):
    """How much higher an arm scores than the one without its leak.

    The arms test different slices, so nothing is paired slice by slice; a person tested in both
    is drawn for both. The interval is about the tested persons only: another split or another
    training would move each arm, too, which is why arms of one fold say so in ``note``.

    Returns
    -------
    DataFrame
        arm, minus, metric, effect (arm - minus), low, high, n_slices, n_persons,
        n_persons_smallest (tested by the smaller arm), n_folds, p_holm (over the arms, for each
        metric), verdict and reason of the claim that the arm scores higher, relevance
        ("negligible": the interval lies within +-0.05), note.
    """
    found = []
    for metric in METRICS:
        made = [
            _difference(rows, arm, minus, metric, n_resamples)
            for arm, minus in REFERENCE.items()
            if {arm, minus} <= set(rows["arm"])
        ]
        p_holm = stats.holm([e.p for _, e in made])
        for (row, e), p in zip(made, p_holm, strict=True):
            found.append(row | {
                "p_holm": p, "verdict": stats.verdict(e, 0, "above", p),
                "reason": stats.why_undecided(e, 0, "above", p),
                "relevance": stats.relevance(e), "note": ONE_FOLD if row["n_folds"] == 1 else "",
            })  # fmt: skip
    return pd.DataFrame(found)


def crossing_table(parts):
    """Who is tested and trained on at once, in every arm and fold.

    Returns
    -------
    DataFrame
        arm, fold; n_train, n_validation, n_test (slices); n_persons_trained; patients_crossing,
        persons_crossing and stems_crossing (persons of several IDs), each tested and in training;
        n_stems and n_stem_ids (of the whole cohort); share_patient_trained and
        share_person_trained, of the tested slices.
    """
    n_ids_of = parts.groupby("person_id")["patient_id"].nunique()
    stems = n_ids_of.index[n_ids_of > 1]
    found = []
    for (arm, fold), own in parts.groupby(["arm", "fold"], sort=False):
        counts = own[["n_train", "n_validation", "n_test"]]
        by = {name: counts.groupby(own[f"{name}_id"]).sum() for name in ("patient", "person")}
        crossing = {k: t.index[(t["n_train"] > 0) & (t["n_test"] > 0)] for k, t in by.items()}
        found.append({
            "arm": arm, "fold": fold, **counts.sum().to_dict(),
            "n_persons_trained": int((by["person"]["n_train"] > 0).sum()),
            "patients_crossing": len(crossing["patient"]),
            "persons_crossing": len(crossing["person"]),
            "stems_crossing": int(crossing["person"].isin(stems).sum()), "n_stems": len(stems),
            "n_stem_ids": int(n_ids_of[stems].sum()),
            **{
                f"share_{k}_trained": by[k].loc[crossing[k], "n_test"].sum() / own["n_test"].sum()
                for k in by
            },
        })  # fmt: skip
    return pd.DataFrame(found)


def sentences(read):
    """What the arms found, in plain words, every number from the published tables.

    Parameters
    ----------
    read : callable
        From ``side_studies.reader``.

    Returns
    -------
    list of str
    """
    table, difference = read("table_leak"), read("table_leak_difference")
    crossing = read("table_leak_crossing")
    score = table[(table["level"] == "slice") & (table["metric"] == "balanced accuracy")]
    found = [
        f"{NAMES[row.arm]}: balanced accuracy {row.value:.3f} [{row.low:.3f}, {row.high:.3f}], "
        f"{row.n_slices} slices of {row.n_persons} persons, {row.share_person_trained:.0%} of the "
        f"slices of a person who is in training, too; {_chance_words(row)}."
        for row in score.itertuples()
    ]
    if "author" not in set(table["arm"]):
        found.append("The author's folds were not tried: the file was not beside the archives.")
    for row in difference[difference["metric"] == "accuracy"].itertuples():
        found.append(
            f"{NAMES[row.arm]} minus {NAMES[row.minus]}: accuracy {row.effect:+.3f} "
            f"[{row.low:+.3f}, {row.high:+.3f}], higher: {row.verdict}"
            f"{f' ({row.note})' if row.note else ''}{_bound_words(row, table, crossing)}."
        )
    return found


# -- inner parts -------------------------------------------------------------


def _as_shown(rows):
    return rows.assign(label=rows["shown_label"])


def _share_trained(crossing, arm):
    """Share of an arm's tested slices, over its folds, whose person is in training."""
    own = crossing[crossing["arm"] == arm]
    return np.average(own["share_person_trained"], weights=own["n_test"])


def _beside_chance(table, rows, n_resamples):
    """The table with chance and, where slices are scored, the verdict on lying above it."""
    chance = 1 / len(metrics.class_names(rows))
    is_balanced = table["metric"] == "balanced accuracy"
    table = table.assign(chance=np.where(is_balanced, chance, np.nan), p_holm=np.nan)
    judged = table.index[is_balanced & (table["level"] == "slice")]
    estimates, p = [], []
    for row in table.loc[judged].itertuples():
        own = rows[rows["arm"] == row.arm]
        draws = _scores(own, _weights(own, n_resamples), "balanced accuracy")
        p.append(stats.bootstrap_p(draws, chance, value=row.value, n_persons=row.n_persons))
        estimates.append(
            stats.Estimate(
                row.value, row.low, row.high, row.n_slices, row.n_persons, row.n_persons
            )
        )
    p_holm = stats.holm(p)
    table.loc[judged, "p_holm"] = p_holm
    judge = list(zip(estimates, p_holm, strict=True))
    words = {
        "verdict": [stats.verdict(e, chance, "above", q) for e, q in judge],
        "reason": [stats.why_undecided(e, chance, "above", q) for e, q in judge],
    }
    return table.assign(**{
        name: pd.Series(text, index=judged).reindex(table.index, fill_value="")
        for name, text in words.items()
    })  # fmt: skip


def _difference(rows, arm, minus, metric, n_resamples):
    """One comparison as a table row, and as an estimate."""
    both = rows[rows["arm"].isin((arm, minus))]
    is_arm = (both["arm"] == arm).to_numpy()
    weights = _weights(both, n_resamples)  # (n_resamples, n)
    sides = [both[is_arm], both[~is_arm]]
    once = [np.ones((1, len(side))) for side in sides]
    drawn = [weights[:, is_arm], weights[:, ~is_arm]]
    value, draws = (
        _scores(sides[0], w[0], metric) - _scores(sides[1], w[1], metric) for w in (once, drawn)
    )
    n_smallest = min(side["person_id"].nunique() for side in sides)
    low, high = persons.interval(draws, n_smallest)
    effect = value.item()
    p = stats.bootstrap_p(draws, 0, value=effect, n_persons=n_smallest)
    e = stats.Estimate(
        effect, low, high, len(both), both["person_id"].nunique(), n_smallest, p=p
    )
    row = {
        "arm": arm, "minus": minus, "metric": metric, "effect": effect, "low": low, "high": high,
        "n_slices": e.n_slices, "n_persons": e.n_persons, "n_persons_smallest": n_smallest,
        "n_folds": min(side["fold"].nunique() for side in sides),
    }  # fmt: skip
    return row, e


def _weights(rows, n_resamples):
    return resampled.person_weights(
        rows["person_id"].to_numpy(), rows["shown_label"].to_numpy(),
        n_resamples=n_resamples,
    )  # fmt: skip


def _scores(rows, weights, metric):
    """A metric of each resample, (n_resamples,)."""
    names = metrics.class_names(rows)
    p = rows[[f"p_{name}" for name in names]].to_numpy(np.float64)
    labels = pd.Index(names).get_indexer(rows["shown_label"])
    return resampled.overall(labels, p, weights)[metric]


def _bound_words(row, table, crossing):
    """For arms that tear persons only where an ID shares its stem: how much that can be worth."""
    own = crossing[crossing["arm"] == row.arm]
    if own["patients_crossing"].any():
        return ""
    accuracy = table[(table["level"] == "slice") & (table["metric"] == "accuracy")]
    accuracy = accuracy.set_index("arm")
    share = accuracy.loc[row.arm, "share_person_trained"]
    bound = share * (1 - accuracy.loc[row.minus, "value"])
    text = (
        f"; only {own['n_stem_ids'].iloc[0]} IDs share a stem, and {share:.0%} of the tested "
        f"slices are of a known person: were all of them right, that would add {bound:.3f}"
    )
    if bound < (row.high - row.low) / 2:
        text += ", less than this interval can show, so no difference was expected"
    return text


def _chance_words(row):
    above = {stats.SUPPORTED: "above", stats.REFUTED: "below"}
    where = above.get(row.verdict)
    return f"{where} chance ({row.chance:.3f})" if where else (
        f"not told apart from chance ({row.chance:.3f})"
    )
