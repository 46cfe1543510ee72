"""What a leak is worth: tables from the rows of :mod:`study.leak` alone."""

import numpy as np
import pandas as pd

from tumorcf_lib.edits.scores import arrays, class_names
from tumorcf_lib.stats import classification
from tumorcf_lib.stats.persons import interval, p_value
from tumorcf_lib.stats.rows import judged
from tumorcf_lib.stats.verdicts import REFUTED, SUPPORTED
from tumorcf_lib.tables import duplicates, study

METRICS = ("accuracy", "balanced accuracy")
REFERENCE = {
    "slice": "person", "patient": "person", "author": "person", "canary slice": "canary person",
}
"""Arm -> the arm without a leak that it is compared with."""

NAMES = {
    "slice": "slices dealt at random", "patient": "patient IDs kept together",
    "author": "the author's five folds", "person": "persons kept together",
    "canary slice": "canary: shuffled labels, slices dealt",
    "canary person": "canary: shuffled labels, persons kept",
}
ONE_FOLD = "one fold each"


def derive(read, n_resamples):
    """Every derived table by its file's name; ``read`` maps a name ("rows_leak") to a table."""
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

    Columns: arm, level ("slice", "person"), metric, value, low, high, n_slices, n_persons, n_folds,
    share_person_trained (of the tested slices, those whose person is in training, too); of balanced
    accuracy also chance (1 / n_classes) and, for slices, p_holm (over the arms), verdict and reason
    of the claim that it lies above chance.
    """
    crossing, found, p = crossing_table(parts), [], []
    chance = 1 / len(class_names(rows))
    for arm, own in rows.groupby("arm", sort=False):
        of_arm = crossing[crossing["arm"] == arm]
        share = np.average(of_arm["share_person_trained"], weights=of_arm["n_test"])
        shown = own.assign(label=own["shown_label"])
        table = study.performance(shown, n_resamples=n_resamples)
        table = table[table["metric"].isin(METRICS) & ((table["level"] == "slice") | (share == 0))]
        found.append(table.assign(
            arm=arm, n_slices=len(own), n_folds=own["fold"].nunique(), share_person_trained=share
        ))
        value, *draws = _scores(shown, _weights(shown, n_resamples), "balanced accuracy")
        p.append(p_value(np.array(draws), value, chance, shown["person_id"].nunique()))
    table = pd.concat(found, ignore_index=True)
    is_balanced = table["metric"] == "balanced accuracy"
    claimed = is_balanced & (table["level"] == "slice")
    table["p"] = np.nan
    table.loc[claimed, "p"] = p
    table = judged(
        table.assign(n_persons_smallest=table["n_persons"]), margin=chance, claimed=claimed
    )
    table["chance"] = np.where(is_balanced, chance, np.nan)
    return table[[
        "arm", "level", "metric", "value", "low", "high", "n_slices", "n_folds",
        "share_person_trained", "n_persons", "chance", "p_holm", "verdict", "reason",
    ]]


def difference_table(rows, *, n_resamples):
    """How much higher an arm scores than the one without its leak.

    The arms test different slices, so nothing is paired slice by slice; a person tested in both
    is drawn for both. The interval is about the tested persons only: another split or another
    training would move each arm, too, which is why arms of one fold say so in ``note``.

    Columns: arm, minus, metric, effect (arm - minus), low, high, n_slices, n_persons,
    n_persons_smallest (tested by the smaller arm), n_folds, p_holm (over the arms, for each
    metric), verdict and reason of the claim that the arm scores higher, relevance ("negligible":
    the interval lies within +-0.05), note.
    """
    pairs = [pair for pair in REFERENCE.items() if set(pair) <= set(rows["arm"])]
    table = pd.DataFrame([
        _difference(rows, *pair, metric, n_resamples) for metric in METRICS for pair in pairs
    ])
    if table.empty:
        return table
    note = np.where(table["n_folds"] == 1, ONE_FOLD, "")
    return judged(table, ["metric"]).drop(columns="p").assign(note=note)


def crossing_table(parts):
    """Who is tested and trained on at once, in every arm and fold.

    Columns: arm, fold; n_train, n_validation, n_test (slices); n_persons_trained;
    patients_crossing, persons_crossing and stems_crossing (persons of several IDs), each tested and
    in training; n_stems and n_stem_ids (of the whole cohort); share_patient_trained and
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
        })
    return pd.DataFrame(found)


def sentences(read):
    """What the arms found, in plain words, every number from the published tables."""
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


def _difference(rows, arm, minus, metric, n_resamples):
    """One comparison as a table row; its interval and p count the patients of the smaller arm."""
    both = rows[rows["arm"].isin((arm, minus))].assign(label=lambda own: own["shown_label"])
    is_arm, weights = (both["arm"] == arm).to_numpy(), _weights(both, n_resamples)
    sides = [(both[own], weights[:, own]) for own in (is_arm, ~is_arm)]
    value, *draws = _scores(*sides[0], metric) - _scores(*sides[1], metric)
    draws, n_smallest = np.array(draws), min(own["person_id"].nunique() for own, _ in sides)
    low, high = interval(draws, n_smallest)
    return {
        "arm": arm, "minus": minus, "metric": metric, "effect": value, "low": low, "high": high,
        "n_slices": len(both), "n_persons": both["person_id"].nunique(),
        "n_persons_smallest": n_smallest, "n_folds": min(own["fold"].nunique() for own, _ in sides),
        "p": p_value(draws, value, 0, n_smallest),
    }


def _weights(rows, n_resamples):
    return classification.person_weights(
        rows["person_id"], rows["label"], n_resamples=n_resamples
    )


def _scores(rows, weights, metric):
    """A metric of the sample and of each resample, (1 + n_resamples,)."""
    return classification.overall(*arrays(rows), weights)[metric]


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
    above = {SUPPORTED: "above", REFUTED: "below"}
    where = above.get(row.verdict)
    return f"{where} chance ({row.chance:.3f})" if where else (
        f"not told apart from chance ({row.chance:.3f})"
    )
