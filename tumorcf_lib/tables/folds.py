"""Tables of the cross-validation, from its rows alone."""

import numpy as np
import pandas as pd

from tumorcf_lib.config import CLASSES
from tumorcf_lib.stats import classification, metrics
from tumorcf_lib.tables import drift, site_tables, study

ONE, AVERAGED = "one network", "mean of the seeds' networks"
AS_IS, BOTH_VIEWS = "as is", "and flipped"
KEYS = ["training_seed", "fold"]
P = [f"p_{name}" for name in CLASSES]

ELSEWHERE = (
    ("paper: ResNet-50, one split", 0.94, np.nan),
    ("BrNET 2026: EfficientNet-B7, pooled folds", 0.890, 0.897),
    ("BrNET 2026: ViT-B/16, pooled folds", np.nan, 0.901),
    ("Bassi 2026: ResNet-18, pooled folds, a re-release of the data", 0.937, np.nan),
)
"""Patients kept apart: accuracy of slices and of patients, as published."""


def derive(read, n_resamples):
    """Every table by its name; ``read`` gives a row file by its name."""
    predictions, validation = read("rows_predictions"), read("rows_validation")
    rows = read("rows_edits")
    performance = performance_table(predictions, n_resamples=n_resamples)
    first = rows["training_seed"].min()
    by_slice = metrics.slice_scores(rows[rows["training_seed"] == first])
    one = headline_predictions(predictions)
    return {
        "table_performance": performance,
        "table_classes": study.performance_by_class(one, n_resamples=n_resamples),
        "table_confusion": study.confusion(one),
        "table_reliability": reliability_table(predictions, validation),
        "table_folds": folds_table(predictions, validation, read("history")),
        "table_spread": spread_table(predictions),
        "table_elsewhere": elsewhere_table(performance),
        "table_recipes": recipes_table(read, validation),
        "table_scores": study.scores_by_class(by_slice, n_resamples=n_resamples),
        "table_fall_to": study.fall_to(rows[rows["training_seed"] == first]),
        "table_findings": study.findings(by_slice, n_resamples=n_resamples),
        "table_accuracy_by_site": site_tables.site_accuracy_table(one, n_resamples=n_resamples),
        "table_drift": drift.drift_table(
            rows[rows["training_seed"] == first], n_resamples=n_resamples
        ),
        "table_net_by_site": site_tables.site_table(by_slice, n_resamples=n_resamples),
        "table_seeds": seeds_table(rows),
    }


def headline_predictions(predictions):
    """One row a slice: the first seed's network of its fold, the slice shown as it is."""
    first = predictions["training_seed"].min()
    chosen = (predictions["training_seed"] == first) & (predictions["view"] == AS_IS)
    return predictions[chosen].drop(columns=["view", "training_seed"]).reset_index(drop=True)


def kinds_of_prediction(predictions):
    """Predictions of every kind: (networks, views) to one row a slice (and seed).

    Returns
    -------
    dict of (str, str) to DataFrame
        One network or the mean over seeds; shown as it is, or the mean with the flipped view.
    """
    same = ["fold", "slice_id", "patient_id", "person_id", "label"]
    found = {}
    for views, own in (
        (AS_IS, predictions[predictions["view"] == AS_IS]), (BOTH_VIEWS, predictions),
    ):  # fmt: skip
        by_seed = own.groupby(["training_seed", *same], sort=False)[P].mean().reset_index()
        found[ONE, views] = by_seed
        if by_seed["training_seed"].nunique() > 1:
            found[AVERAGED, views] = own.groupby(same, sort=False)[P].mean().reset_index()
    return found


def performance_table(predictions, *, n_resamples):
    """How good the networks are on all slices, each tested out of fold.

    Parameters
    ----------
    predictions : DataFrame
        training_seed, fold, view, slice_id, person_id, label, p_<class>.

    Returns
    -------
    DataFrame
        networks, views, training_seed ("" for a mean over seeds), and the columns of
        :func:`study.tables.performance`. Intervals are over persons; they hold the
        networks of a seed fixed.
    """
    parts = []
    for (networks, views), own in kinds_of_prediction(predictions).items():
        seeds = own.groupby("training_seed") if networks == ONE else [("", own)]
        for seed, rows in seeds:
            part = study.performance(rows.drop(columns="training_seed", errors="ignore"),
                                      n_resamples=n_resamples)
            part.insert(0, "training_seed", str(seed))
            part.insert(0, "views", views)
            part.insert(0, "networks", networks)
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


def reliability_table(predictions, validation):
    """Calibration bins as of :func:`study.tables.reliability`, pooled over folds.

    Every fold has a temperature of its own, fitted on its validation persons; the column
    ``temperature`` is their mean.
    """
    one, held = headline_predictions(predictions), headline_predictions(validation)
    scaled, temperatures = [], []
    for fold, rows in one.groupby("fold"):
        fitted = metrics.fit_temperature(*_arrays(held[held["fold"] == fold]))
        scaled.append(rows.assign(
            **dict(zip(P, metrics.apply_temperature(_arrays(rows)[1], fitted).T))
        ))  # fmt: skip
        temperatures.append(fitted)
    scaled = pd.concat(scaled)
    kinds = {
        "slices": (one, 1.0),
        "persons": (metrics.person_predictions(one), 1.0),
        "slices, temperature": (scaled, float(np.mean(temperatures))),
        "persons, temperature": (metrics.person_predictions(scaled), float(np.mean(temperatures))),
    }
    parts = []
    for kind, (rows, temperature) in kinds.items():
        bins = metrics.reliability_bins(*_arrays(rows))
        bins.insert(0, "ece", metrics.ece(*_arrays(rows)))
        bins.insert(0, "temperature", temperature)
        bins.insert(0, "kind", kind)
        parts.append(bins)
    return pd.concat(parts, ignore_index=True)


def folds_table(predictions, validation, history):
    """Every fold and seed on its own: what is tested, and how right it is."""
    rows = []
    for (seed, fold), own in predictions[predictions["view"] == AS_IS].groupby(KEYS):
        chosen = (validation["training_seed"] == seed) & (validation["fold"] == fold)
        held = validation[chosen & (validation["view"] == AS_IS)]
        epochs = history[(history["training_seed"] == seed) & (history["fold"] == fold)]
        row = {
            "training_seed": seed, "fold": fold, "n_persons": own["person_id"].nunique(),
            "n_slices": len(own), "epochs": len(epochs),
            "best_epoch": int(epochs.loc[epochs["best"].astype(bool), "epoch"].iloc[0]),
        }  # fmt: skip
        for name, part in (("", own), ("val_", held)):
            row |= {f"{name}{k}": v for k, v in _accuracies(part).items()}
        labels, p = _arrays(own)
        row["temperature"] = metrics.fit_temperature(*_arrays(held))
        row["ece"] = metrics.ece(labels, p)
        row["ece_temperature"] = metrics.ece(
            labels, metrics.apply_temperature(p, row["temperature"])
        )
        rows.append(row)
    return pd.DataFrame(rows)


def spread_table(predictions):
    """How much accuracies differ between folds, and how much between training seeds.

    Returns
    -------
    DataFrame
        metric, mean, lowest, highest (over all units), sd_fold, sd_seed, sd_rest (standard
        deviations of a two-way random-effects model without replication, by its mean squares;
        negative variances count as 0), n_folds, n_seeds. With one seed, sd_seed is unknown and
        sd_fold holds all.
    """
    units = predictions[predictions["view"] == AS_IS].groupby(KEYS)
    scored = pd.DataFrame({key: _accuracies(own) for key, own in units}).T
    rows = []
    for metric in scored:
        grid = scored[metric].unstack().to_numpy(float)  # (seeds, folds)
        parts = dict(zip(("sd_fold", "sd_seed", "sd_rest"), _components(grid), strict=True))
        rows.append({
            "metric": metric, "mean": grid.mean(), "lowest": grid.min(), "highest": grid.max(),
            **parts, "n_folds": grid.shape[1], "n_seeds": grid.shape[0],
        })  # fmt: skip
    return pd.DataFrame(rows)


def elsewhere_table(performance):
    """Accuracies published elsewhere with patients kept apart, and ours below."""
    shown = [{"source": name, "slices": a, "persons": b} for name, a, b in ELSEWHERE]
    own = performance[performance["metric"] == "accuracy"]
    for (networks, views, seed), rows in own.groupby(
        ["networks", "views", "training_seed"], sort=False
    ):
        by_level = rows.set_index("level")
        which = f", seed {seed}" if seed else ""
        shown_as = "" if views == AS_IS else ", with mirror images"
        entry = {"source": f"this project: {networks}{shown_as}{which}"}
        for level in ("slice", "person"):
            row = by_level.loc[level]
            entry |= {f"{level}s": row["value"], f"{level}s_low": row["low"],
                      f"{level}s_high": row["high"]}
        shown.append(entry)
    columns = ["source", "slices", "slices_low", "slices_high",
               "persons", "persons_low", "persons_high"]
    return pd.DataFrame(shown, columns=columns)


def recipes_table(read, validation):
    """Every recipe tried, by its validation persons; tested slices chose nothing.

    Returns
    -------
    DataFrame
        recipe, views, n_units (folds and seeds it was run on), folds, accuracies, ECE after the
        units' own temperature, loss (mean negative log-likelihood), and ``kept_<...>``: the kept
        recipe on the same units.
    """
    kept = validation.assign(recipe="kept")
    try:
        tried = pd.concat([kept, read("rows_recipes")], ignore_index=True)
    except FileNotFoundError:
        tried = kept
    rows = []
    for recipe, own in tried.groupby("recipe", sort=False):
        units = own[KEYS].drop_duplicates()
        base = kept.merge(units, on=KEYS)
        for views, part in _views(own):
            row = {"recipe": recipe, "views": views, "n_units": len(units),
                   "folds": " ".join(str(f) for f in sorted(units["fold"].unique()))}
            row |= _validated(part)
            row |= {f"kept_{k}": v for k, v in _validated(dict(_views(base))[AS_IS]).items()}
            rows.append(row)
    return pd.DataFrame(rows)


def seeds_table(rows):
    """Mean scores of each training seed's networks: do the findings hang on the seed?"""
    found = []
    for seed, own in rows.groupby("training_seed"):
        scores = metrics.slice_scores(own)
        for group in ("all", *CLASSES):
            part = scores if group == "all" else scores[scores["label"] == group]
            found.append({
                "training_seed": seed, "group": group, "n_slices": len(part),
                **{name: part[name].mean() for name in ("delta_drop", "net_drop", "delta_focus")},
            })  # fmt: skip
    return pd.DataFrame(found)


# -- inner parts -------------------------------------------------------------


def _arrays(rows):
    return pd.Index(CLASSES).get_indexer(rows["label"]), rows[P].to_numpy(np.float64)


def _accuracies(rows):
    labels, p = _arrays(rows)
    persons = metrics.person_predictions(rows)
    return {
        "slice_accuracy": classification.accuracy(labels, p),
        "balanced_accuracy": classification.balanced_accuracy(labels, p),
        "person_accuracy": float(persons["correct"].mean()),
    }


def _views(rows):
    yield AS_IS, rows[rows["view"] == AS_IS]
    same = [*KEYS, "slice_id", "person_id", "label"]
    yield BOTH_VIEWS, rows.groupby(same, sort=False)[P].mean().reset_index()


def _validated(rows):
    """Accuracies over the units' validation slices; a person may be held out in several folds."""
    rows = rows.assign(person_id=rows["person_id"] + "/" + rows["fold"].astype(str)
                       + "/" + rows["training_seed"].astype(str))
    labels, p = _arrays(rows)
    return _accuracies(rows) | {"loss": float(-np.log(p[np.arange(len(p)), labels]).mean())}


def _components(grid):
    """Standard deviations of columns (folds), rows (seeds) and rest of a full grid."""
    n_seeds, n_folds = grid.shape
    if n_seeds == 1:
        return float(grid.std(ddof=1)), np.nan, np.nan
    rows, columns, mean = grid.mean(axis=1), grid.mean(axis=0), grid.mean()
    rest = grid - rows[:, None] - columns + mean
    ms_rest = (rest**2).sum() / ((n_seeds - 1) * (n_folds - 1))
    ms_folds = n_seeds * columns.var(ddof=1)
    ms_seeds = n_folds * rows.var(ddof=1)
    found = (ms_folds - ms_rest) / n_seeds, (ms_seeds - ms_rest) / n_folds, ms_rest
    return tuple(float(np.sqrt(max(0.0, variance))) for variance in found)
