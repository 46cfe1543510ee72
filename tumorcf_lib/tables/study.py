"""The study's tables, each a pure function of published rows: anybody can recompute them."""

import numpy as np
import pandas as pd

from tumorcf_lib.edits.scores import arrays, class_names
from tumorcf_lib.stats import classification, persons, rows

REFERENCE, POOLED = "paper-lite", "paper-lite-cv"
"""Published runs on the real slices: one split with all controls, and all folds."""

PAPER = {
    ("slice", "all", "accuracy"): 0.94,
    ("slice", "meningioma", "recall"): 0.90,
    ("slice", "glioma", "recall"): 0.93,
    ("slice", "pituitary", "recall"): 0.98,
}
"""What the study reports for its ResNet-50 on held-out patients."""

SCORES = (
    "p_orig delta_drop sham_drop net_drop delta_focus net_focus p_background p_silhouette p_blank "
    "delta_drop_lo sham_drop_lo net_drop_lo net_focus_lo delta_drop_refit"
).split()


def performance(predictions, *, n_resamples: int) -> pd.DataFrame:
    """How good the classifier is on slices and on patients, with intervals over patients.

    Columns: level ("slice" or "person"), group ("all"), metric, value, low, high, n (slices or
    patients), n_persons. ECE and Brier: lower is better; all others: higher.
    """
    return _by_level(predictions, overall, n_resamples)


def performance_by_class(predictions, *, n_resamples: int) -> pd.DataFrame:
    """Precision, recall and F1 of each class; columns as in :func:`performance`."""
    return _by_level(predictions, by_class, n_resamples)


def overall(predictions, weights):
    """(all, metric) -> its value of the predictions, and of each resample."""
    found = classification.overall(*arrays(predictions), weights)
    return {(rows.ALL, metric): values for metric, values in found.items()}


def by_class(predictions, weights):
    """(class, metric) -> its value of the predictions, and of each resample."""
    found = classification.by_class(*arrays(predictions), weights)
    names = class_names(predictions)
    return {(c, m): v[:, k] for k, c in enumerate(names) for m, v in found.items()}


def confusion(predictions) -> pd.DataFrame:
    """The confusion matrix as a table: one row a true class, one column a predicted one."""
    names, once = class_names(predictions), np.ones((1, len(predictions)))
    (counts,) = classification.confusions(*arrays(predictions), once).astype(int)
    table = pd.DataFrame(counts, columns=[f"predicted {name}" for name in names])
    table.insert(0, "true", names)
    return table


def reliability(predictions, validation) -> pd.DataFrame:
    """Calibration bins of slices, of patients, and of slices after temperature scaling.

    The temperature is fitted on ``validation`` (rows of validation slices) and used here only."""
    temperature = classification.fit_temperature(*arrays(validation))
    return bins_by_kind(
        {
            "slices": (predictions, 1.0),
            "persons": (classification.person_predictions(predictions), 1.0),
            "slices, temperature": (scaled(predictions, temperature), temperature),
        }
    )


def scaled(predictions, temperature):
    """The rows with their probabilities softened by a temperature."""
    p = classification.apply_temperature(arrays(predictions)[1], temperature)
    names = [f"p_{name}" for name in class_names(predictions)]
    return predictions.assign(**dict(zip(names, p.T, strict=True)))


def ece(predictions):
    """Expected calibration error of the predicted class."""
    weights = np.ones((1, len(predictions)))
    return classification.overall(*arrays(predictions), weights)["ECE"].item()


def bins_by_kind(kinds) -> pd.DataFrame:
    """Calibration bins below each other; ``kinds`` maps a word to (predictions, temperature)."""
    parts = []
    for kind, (predictions, temperature) in kinds.items():
        bins = classification.reliability_bins(*arrays(predictions))
        about = {"kind": kind, "temperature": temperature, "ece": ece(predictions)}
        parts.append(rows.in_front(bins, **about))
    return pd.concat(parts, ignore_index=True)


def confident_errors(predictions, n: int) -> pd.DataFrame:
    """The most confidently wrong slices, at first one a patient; then others fill up to ``n``."""
    table = predictions.assign(
        predicted=classification.predicted(predictions),
        confidence=arrays(predictions)[1].max(axis=1),
    )
    wrong = table[table["predicted"] != table["label"]]
    wrong = wrong.sort_values("confidence", ascending=False, kind="stable")
    again = wrong.duplicated("person_id")
    return pd.concat([wrong[~again], wrong[again]]).head(n).reset_index(drop=True)


def scores_by_class(scores, *, n_resamples: int) -> pd.DataFrame:
    """Means of every score, overall and by class, with intervals over patients.

    Delta-, Sham- and Net-Drop are means over the same slices, those that have shams."""
    columns = [name for name in SCORES if name in scores]
    return rows.score_means(scores, columns, n_resamples=n_resamples, complete=True)


def edits(rows) -> pd.DataFrame:
    """How many edits were made, how many could not be, and how much they change a slice.

    edit, infill, dilation_px, label, made, not_made (rows with a reason), why_not (the reasons),
    flagged (share of made shams over scalp, skull or air), median_rms (of the change over the whole
    slice, in standard deviations of the slice) and, for ``remove``, its ratio to the median_rms of
    the shams with its infill and dilation.
    """
    made = rows["reason"] == ""
    keys = ["edit", "infill", "dilation_px", "label"]
    flagged = (rows["flag"] != "").astype(float).where(made)
    counts = rows.assign(made=made, not_made=~made, flagged=flagged).groupby(keys, sort=False)
    table = counts.agg(
        made=("made", "sum"),
        not_made=("not_made", "sum"),
        why_not=("reason", lambda reasons: "; ".join(sorted(set(reasons) - {""}))),
        flagged=("flagged", "mean"),
        median_rms=("edit_rms", "median"),
    ).reset_index()
    table["flagged"] = table["flagged"].where(table["edit"].isin(("sham", "sham_only")))
    sham = table[table["edit"] == "sham"].set_index(keys[1:])["median_rms"]
    own = pd.MultiIndex.from_frame(table[keys[1:]])
    ratio = table["median_rms"] / sham.reindex(own).to_numpy()
    return table.assign(rms_to_sham=ratio.where(table["edit"] == "remove"))


def fall_to(audit) -> pd.DataFrame:
    """Which class slices are called before and after an edit: edit, label, to, n, share."""
    own = rows.answered(rows.headline_rows(audit))
    own = own[own["edit"].isin(("original", "remove", "background", "blank"))]
    to = pd.Categorical(classification.predicted(own), class_names(audit))
    counts = own.assign(to=to).groupby(["edit", "label", "to"], observed=False, sort=True).size()
    table = counts.rename("n").reset_index()
    table["share"] = table["n"] / table.groupby(["edit", "label"])["n"].transform("sum")
    return table


def estimate(table, *key) -> dict:
    """One line of a table as the arguments of ``results.save_number``."""
    columns = ["score", "group"] if "score" in table else ["level", "group", "metric"]
    row = table[(table[columns] == list(key)).all(axis=1)].iloc[0]
    value = row["effect"] if "effect" in row else row["value"]
    n = {"n": int(row["n_persons"]), "unit": " persons"}
    return {"value": value, "low": row["low"], "high": row["high"]} | n


def _by_level(predictions, metrics_of, n_resamples):
    """A metric table of slices and of patients."""
    n_persons, lines = predictions["person_id"].nunique(), []
    levels = {"slice": predictions, "person": classification.person_predictions(predictions)}
    for level, own in levels.items():
        found = metrics_of(own, classification.slice_weights(own, n_resamples))
        for (group, metric), (value, *draws) in found.items():
            interval = _interval(level, metric, value, np.array(draws), rows.of_group(own, group))
            line = {"level": level, "group": group, "metric": metric, "value": value}
            lines.append(line | interval | {"n": len(own), "n_persons": n_persons})
    return pd.DataFrame(lines)


def _interval(level, metric, value, draws, own):
    """95 percent interval of one metric from its resamples, widened for few patients.

    A share of patients has the exact (Clopper-Pearson) interval. So has a share of slices where
    nobody, or everybody, failed, for that many patients out of as many: resampling can only spread
    what the sample has. The ECE of a resample is biased upward: its percentiles are reflected.
    """
    n_persons, n_strata = own["person_id"].nunique(), own["label"].nunique()
    low, high = persons.interval(draws, n_persons, n_persons - n_strata)
    if level == "person" and metric in ("accuracy", "recall"):
        low, high = persons.exact_interval(value, n_persons)
    elif metric == "ECE":
        low, high = max(0.0, 2 * value - high), max(0.0, 2 * value - low)
    elif low == high and metric in ("ROC AUC", "Brier"):
        low, high = np.nan, np.nan  # not a share of patients, so nothing exact to fall back on
    elif low == high and low in (0, 1):
        low, high = persons.exact_interval(low, n_persons)
    return {"low": low, "high": high}
