"""The study's tables, each a pure function of published rows: anybody can recompute them."""

from pathlib import Path

import numpy as np
import pandas as pd

from tumorcf_lib import config, rowfiles
from tumorcf_lib.stats import answers, estimates, metrics, resampled
from tumorcf_lib.stats import findings as claims
from tumorcf_lib.stats import persons as _resampling

REFERENCE, POOLED = "paper-lite", "paper-lite-cv"
"""Published runs on the real slices: one split with all controls, and all folds."""

PAPER = {
    ("slice", "all", "accuracy"): 0.94,
    ("slice", "meningioma", "precision"): 0.83,
    ("slice", "meningioma", "recall"): 0.90,
    ("slice", "meningioma", "f1"): 0.86,
    ("slice", "glioma", "precision"): 0.97,
    ("slice", "glioma", "recall"): 0.93,
    ("slice", "glioma", "f1"): 0.95,
    ("slice", "pituitary", "precision"): 0.98,
    ("slice", "pituitary", "recall"): 0.98,
    ("slice", "pituitary", "f1"): 0.98,
}
"""What the study reports for its ResNet-50 on held-out patients."""

SCORES = (
    "p_orig", "delta_drop", "sham_drop", "net_drop", "delta_focus", "net_focus", "p_background",
    "p_silhouette", "p_blank", "flipped", "sham_flip_rate", "delta_drop_lo", "sham_drop_lo",
    "net_drop_lo", "net_focus_lo", "delta_drop_refit",
)  # fmt: skip
SHARES_OF_PERSONS = ("accuracy", "recall")
KEYS = {
    "table_performance": ["level", "group", "metric"],
    "table_classes": ["level", "group", "metric"],
    "table_scores": ["score", "group"],
}


def performance(predictions, *, n_resamples: int) -> pd.DataFrame:
    """How good the classifier is on slices and on persons, with intervals over persons.

    Parameters
    ----------
    predictions : DataFrame
        One row per tested slice: person_id, label (class name), p_<class>.

    Returns
    -------
    DataFrame
        level ("slice" or "person"), group ("all"), metric, value, low, high, n (slices or
        persons), n_persons. ECE and Brier: lower is better; all others: higher.
    """
    return _by_level(predictions, _overall, n_resamples)


def performance_by_class(predictions, *, n_resamples: int) -> pd.DataFrame:
    """Precision, recall and F1 of each class; columns as in :func:`performance`."""
    return _by_level(predictions, _per_class, n_resamples)


def confusion_matrix(predictions) -> np.ndarray:
    """Counts of (true, predicted) class, int (n_classes, n_classes)."""
    names = classes(predictions)
    labels, p = _arrays(predictions, names)
    return metrics.confusion(labels, p.argmax(axis=1), len(names))


def confusion(predictions) -> pd.DataFrame:
    """The confusion matrix as a table: one row a true class, one column a predicted one."""
    names = classes(predictions)
    table = pd.DataFrame(confusion_matrix(predictions), columns=[f"predicted {n}" for n in names])
    table.insert(0, "true", names)
    return table


def classes(rows) -> list[str]:
    """Class names of a row table, in order."""
    return metrics.class_names(rows)


def reliability(predictions, validation) -> pd.DataFrame:
    """Calibration bins of slices, of persons, and of slices after temperature scaling.

    The temperature is fitted on ``validation`` (rows of validation slices) and used here only.

    Returns
    -------
    DataFrame
        kind ("slices", "persons", "slices, temperature"), temperature, ece, and the bins of
        :func:`stats.metrics.reliability_bins`.
    """
    names = classes(predictions)
    labels, p = _arrays(predictions, names)
    persons = metrics.person_predictions(predictions)
    temperature = metrics.fit_temperature(*_arrays(validation, names))
    kinds = {
        "slices": (labels, p, 1.0),
        "persons": (*_arrays(persons, names), 1.0),
        "slices, temperature": (labels, metrics.apply_temperature(p, temperature), temperature),
    }
    parts = []
    for kind, (y, q, t) in kinds.items():
        bins = metrics.reliability_bins(y, q)
        bins.insert(0, "ece", metrics.ece(y, q))
        bins.insert(0, "temperature", t)
        bins.insert(0, "kind", kind)
        parts.append(bins)
    return pd.concat(parts, ignore_index=True)


def confident_errors(predictions, n: int) -> pd.DataFrame:
    """The most confidently wrong slices, at first one a person; then others fill up to ``n``."""
    names = classes(predictions)
    labels, p = _arrays(predictions, names)
    table = predictions.assign(
        predicted=np.array(names, object)[p.argmax(axis=1)], confidence=p.max(axis=1)
    )
    wrong = table[table["predicted"] != table["label"]]
    wrong = wrong.sort_values("confidence", ascending=False, kind="stable")
    again = wrong.duplicated("person_id")
    return pd.concat([wrong[~again], wrong[again]]).head(n).reset_index(drop=True)


def scores_by_class(scores, *, n_resamples: int) -> pd.DataFrame:
    """Means of every score, overall and by class, with intervals over persons.

    Delta-, Sham- and Net-Drop are means over the same slices, those that have shams.

    Returns
    -------
    DataFrame
        score, group, effect, low, high, mean_of_person_means, n_slices, n_persons.
    """
    columns = [name for name in SCORES if name in scores]
    scores = scores.astype({"flipped": float}) if "flipped" in scores else scores
    return claims.score_means(scores, columns, n_resamples=n_resamples, complete=True)


def findings(scores, *, n_resamples: int) -> pd.DataFrame:
    """The paper's findings as tested claims, see :mod:`stats.findings`."""
    return claims.findings(scores, n_resamples=n_resamples)


def edits(rows) -> pd.DataFrame:
    """How many edits were made, how many could not be, and how much they change a slice.

    Returns
    -------
    DataFrame
        edit, infill, dilation_px, label, made, not_made (rows with a reason), why_not (the
        reasons), flagged (share of made shams over scalp, skull or air), median_rms (of the change
        over the whole slice, in standard deviations of the slice) and, for ``remove``, its
        ratio to the median_rms of the shams with its infill and dilation.
    """
    made = rows["reason"] == ""
    keys = ["edit", "infill", "dilation_px", "label"]
    flagged = (rows["flag"] != "").astype(float).where(made)
    counts = rows.assign(made=made, not_made=~made, flagged=flagged)
    table = counts.groupby(keys, sort=False).agg(
        made=("made", "sum"), not_made=("not_made", "sum"), why_not=("reason", _distinct),
        flagged=("flagged", "mean"), median_rms=("edit_rms", "median"),
    ).reset_index()  # fmt: skip
    table["flagged"] = table["flagged"].where(table["edit"].isin(("sham", "sham_only")))
    sham = table[table["edit"] == "sham"].set_index(keys[1:])["median_rms"]
    own = pd.MultiIndex.from_frame(table[keys[1:]])
    ratio = table["median_rms"] / sham.reindex(own).to_numpy()
    return table.assign(rms_to_sham=ratio.where(table["edit"] == "remove"))


def headline(table) -> pd.DataFrame:
    """The lines of a table, or of rows, at the headline's infill and dilation."""
    return estimates.headline_rows(table)


def fall_to(rows) -> pd.DataFrame:
    """Which class each true class's slices are called before and after an edit.

    Parameters
    ----------
    rows : DataFrame
        An audit's rows.

    Returns
    -------
    DataFrame
        edit, label, to, n, share (of the label's slices with that edit).
    """
    names = classes(rows)
    rows = estimates.headline_rows(rows)
    wanted = rows["edit"].isin(("original", "remove", "background", "blank"))
    rows = rows[wanted & rows[f"p_{names[0]}"].notna()]
    p = rows[[f"p_{name}" for name in names]].to_numpy()
    to = pd.Categorical.from_codes(p.argmax(axis=1), names)
    counts = rows.assign(to=to).groupby(["edit", "label", "to"], observed=False, sort=True).size()
    table = counts.rename("n").reset_index()
    table["share"] = table["n"] / table.groupby(["edit", "label"])["n"].transform("sum")
    return table


def estimate(table, *key) -> dict:
    """One line of a table as the arguments of ``results.save_number``."""
    columns = KEYS["table_scores"] if "score" in table else KEYS["table_performance"]
    row = table[(table[columns] == list(key)).all(axis=1)].iloc[0]
    value = row["effect"] if "effect" in row else row["value"]
    n_persons = int(row["n_persons"])
    return {
        "value": value,
        "low": row["low"],
        "high": row["high"],
        "n": n_persons,
        "unit": " persons",
    }


def beside_reference(table, name: str, profile, *, figures: Path | None = None) -> pd.DataFrame:
    """The paper's value, the committed references on the real data, and this run, side by side.

    References are read from ``figures/<reference>/<name>.csv``; where one is not published, its
    column says so. Values as text: mean [95 percent interval].
    """
    keys = KEYS[name]
    shown = table[keys].copy()
    if name != "table_scores":
        paper = [PAPER.get(tuple(key)) for key in table[keys].itertuples(index=False)]
        shown["paper (ResNet-50)"] = ["" if value is None else f"{value:.2f}" for value in paper]
    for source, words in ((POOLED, "all folds"), (REFERENCE, "one split")):
        path = (figures or config.FIGURES) / source / f"{name}.csv"
        column = f"reference ({source}, real slices, {words})"
        if path.is_file():
            reference = one_network(rowfiles.read_table(path))
            text = reference[keys].assign(**{column: _as_text(reference)})
            shown = shown.merge(text, on=keys, how="left").fillna("")
        else:
            shown[column] = "not published yet"
    kind = "phantom" if profile.is_phantom else "real slices"
    shown[f"this run ({profile.name}, {kind})"] = _as_text(table).to_list()
    return shown.set_index(keys)


def one_network(table):
    """Of a pooled table that also tells of several seeds, the first network's lines."""
    if "networks" not in table:
        return table
    first = table[["networks", "training_seed"]].iloc[0]
    own = table[(table[["networks", "training_seed"]] == first).all(axis=1)]
    return own.reset_index(drop=True)


def verdict_counts(table) -> str:
    """How many claims ended how, by form, in one sentence."""
    parts = []
    for form, rows in table.groupby("form", sort=False):
        counts = answers.outcomes(rows).value_counts()
        words = ", ".join(f"{counts.get(kind, 0)} {kind}" for kind in answers.OUTCOMES)
        parts.append(f"{form}: {words}")
    return "Claims by form - " + "; ".join(parts) + "."


# -- inner parts -------------------------------------------------------------


def _by_level(predictions, metrics_of, n_resamples):
    """A metric table at slice and at person level; ``metrics_of(labels, p, weights)``."""
    names = classes(predictions)
    parts = []
    for level, rows in (
        ("slice", predictions),
        ("person", metrics.person_predictions(predictions)),
    ):
        labels, p = _arrays(rows, names)
        value = metrics_of(labels, p, np.ones((1, len(rows))), names)
        weights = resampled.person_weights(
            rows["person_id"].to_numpy(), rows["label"].to_numpy(), n_resamples=n_resamples
        )
        draws = metrics_of(labels, p, weights, names)
        low, high = np.transpose([
            _interval(level, metric, value[group, metric].item(), draw, rows, group)
            for (group, metric), draw in draws.items()
        ])  # fmt: skip
        part = pd.DataFrame(list(value), columns=["group", "metric"])
        part = part.assign(
            value=[v.item() for v in value.values()], low=low, high=high, n=len(rows),
            n_persons=rows["person_id"].nunique(),
        )  # fmt: skip
        part.insert(0, "level", level)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _interval(level, metric, value, draws, rows, group):
    """95 percent interval of one metric from its resamples, widened for few persons.

    A share of persons has the exact (Clopper-Pearson) interval. So has a share of slices where no
    person failed, for that many persons out of as many: resampling can only spread what the
    sample has. The ECE of a resample is biased upward, so its percentiles are reflected at
    the value.
    """
    own = rows if group == "all" else rows[rows["label"] == group]
    n_persons, n_strata = own["person_id"].nunique(), own["label"].nunique()
    if level == "person" and metric in SHARES_OF_PERSONS:
        return _resampling.exact_interval(value, n_persons)
    low, high = _resampling.interval(draws, n_persons, n_persons - n_strata)
    if metric == "ECE":
        return max(0.0, 2 * value - high), max(0.0, 2 * value - low)
    if low == high and metric in ("ROC AUC", "Brier"):
        return np.nan, np.nan  # not a share of persons, so nothing exact to fall back on
    return _resampling.exact_interval(1.0, n_persons) if low == high == 1 else (low, high)


def _overall(labels, p, weights, names):
    return {("all", m): v for m, v in resampled.overall(labels, p, weights).items()}


def _per_class(labels, p, weights, names):
    values = resampled.by_class(labels, p, weights)
    return {(c, m): v[:, k] for k, c in enumerate(names) for m, v in values.items()}


def _distinct(reasons):
    return "; ".join(sorted({reason for reason in reasons if reason}))


def _arrays(rows, names):
    """Label indices (n,) and probabilities (n, n_classes) of a row table."""
    p = rows[[f"p_{name}" for name in names]].to_numpy(np.float64)
    return pd.Index(names).get_indexer(rows["label"]), p


def _as_text(table):
    value = table["effect"] if "effect" in table else table["value"]
    rows = zip(value, table["low"], table["high"], strict=True)
    texts = [
        f"{v:.3f} [{low:.3f}, {high:.3f}]" if np.isfinite(low) else f"{v:.3f}"
        for v, low, high in rows
    ]
    return pd.Series(texts, index=table.index)
