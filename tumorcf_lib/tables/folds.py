"""Tables of the cross-validation, from its rows alone."""

from functools import partial

import numpy as np
import pandas as pd

from tumorcf_lib.controls import covariates
from tumorcf_lib.edits.scores import slice_scores
from tumorcf_lib.stats import classification
from tumorcf_lib.stats.rows import in_front
from tumorcf_lib.tables import (
    classifiers,
    controls,
    fold_scores as scores_of,
    primary,
    robustness,
    saliency,
    sites,
    study,
    symmetric,
)
from tumorcf_lib.tables.fold_scores import KEYS, PLAIN, SHUFFLED, UNIT, WITHOUT_MR, P

ONE, MEAN_OF_ONE, AVERAGED = "one network", "mean over seeds", "seeds' probabilities averaged"
ELSEWHERE = (
    ("paper: ResNet-50, one split", 0.94, np.nan),
    ("BrNET 2026: EfficientNet-B7, pooled folds", 0.890, 0.897),
    ("BrNET 2026: ViT-B/16, pooled folds", np.nan, 0.901),
    ("Bassi 2026: ResNet-18, pooled folds, a re-release of the data", 0.937, np.nan),
)
"""Patients kept apart: accuracy of slices and of patients, as published."""


def derive(read, n_resamples):
    """Every table by its name, from row files by theirs."""
    n, every = {"n_resamples": n_resamples}, complete(read("rows_predictions"))
    predictions, found = _plain(every), scores_of.temperatures(every)
    asked = _whole(read("rows_edits"), every)
    scaled, rows = scores_of.scaled(scores_of.renamed(asked), found), _plain(asked)
    contrast, made, grown_px = _of_all_folds(read, "rows_contrast", every), {}, None
    if contrast is not None:
        made["table_contrast"] = controls.contrast_table(contrast, **n)
        grown_px = controls.grown_px(made["table_contrast"])
    scores = scores_of.slice_scores(scaled, grown_px=grown_px)
    first = predictions[predictions["training_seed"] == predictions["training_seed"].min()]
    performance, units = performance_table(predictions, **n), folds_table(every, found)

    def masked(rows):
        by_prediction = scores_of.scaled(_whole(read("rows_masked_edits"), every), found)
        return saliency.predicted_masks_table(rows, by_prediction, scores)

    made |= {
        "table_primary": primary.primary_table(scores),
        "table_estimates": primary.estimates_table(scores),
        "table_still_right": primary.still_right_table(scores),
        "table_auc": symmetric.auc_table(scaled),
        "table_performance": performance,
        "table_classes": study.performance_by_class(first, **n),
        "table_confusion": study.confusion(first),
        "table_reliability": reliability_table(first, found),
        "table_folds": units,
        "table_spread": spread_table(units),
        "table_elsewhere": elsewhere_table(performance),
        "table_scores": study.scores_by_class(_over_seeds(rows), **n),
        "table_fall_to": study.fall_to(rows),
        "table_accuracy_by_site": sites.site_accuracy_table(first, **n),
    }
    for name, file, make in (
        (
            "table_transplants",
            "rows_transplants",
            partial(symmetric.transplants_table, removed=asked),
        ),
        ("table_saliency", "rows_saliency", partial(saliency.saliency_table, scores=scores)),
        ("table_predicted_masks", "rows_masks", masked),
        ("table_recipes", "rows_recipes", lambda own: classifiers.recipes_table(own, every, **n)),
    ):
        own = _whole(read_if_there(read, file), every)
        table = [] if own is None else make(own)
        if len(table):
            made[name] = table
    if (scores["network"] == WITHOUT_MR).any():
        made["table_never_shown"] = sites.never_shown_table(scores)
    plain = _asked_most(scaled)
    others = _beside(scaled, plain)
    if others is not None:
        made["table_networks"] = classifiers.networks_table(plain, others, **n)
    made |= _controls(read, plain, others, scores, **n)
    return {name: _told_by_bands(table) for name, table in made.items()}


def _told_by_bands(table):
    """Without intervals of networks that know nothing: over patients and networks of few shuffles,
    they would be too narrow. Where such networks fall, the null bands say."""
    ends = [k for k in table if k.endswith(("low", "high", "network_error")) and k[:4] != "null"]
    if "network" in table:
        table.loc[table["network"] == SHUFFLED, ends] = np.nan
    return table


def _plain(rows):
    """Rows of the plain networks."""
    return scores_of.outputs_of(rows[rows["network"] == PLAIN])


def _of_all_folds(read, file, predictions):
    """Rows that were measured on every fold, or None."""
    rows = read_if_there(read, file)
    is_whole = rows is not None and set(rows["fold"]) == set(predictions["fold"])
    return rows if is_whole else None


def _over_seeds(rows):
    """Scores of each slice as the networks gave them, in the mean over seeds."""
    parts = [slice_scores(own) for _, own in rows.groupby("training_seed")]
    scores = pd.concat(parts)
    same = ["slice_id", "patient_id", "person_id", "label"]
    return scores.groupby(same, sort=False).mean(numeric_only=True).reset_index()


def _asked_most(rows):
    """Rows of the plain networks' seed with the most edits and shams; of several, the first."""
    own = _plain(rows)
    return own[own["training_seed"] == own.groupby("training_seed").size().idxmax()]


def _beside(rows, plain):
    """Rows of the networks that were fine-tuned from the plain ones of this seed, or None."""
    of_seed = rows["training_seed"] == plain["training_seed"].iloc[0]
    own = rows[of_seed & ~rows["network"].isin((PLAIN, SHUFFLED, WITHOUT_MR))]
    return own if len(own) else None


def _judged(scores, rows):
    """By slice_id, whether the plain network of the seed after these rows' calls a slice right.

    Empty where there is no other seed."""
    seed, own = rows["training_seed"].iloc[0], scores[scores["network"] == PLAIN]
    judges = own.loc[own["training_seed"] != seed, "training_seed"].unique()
    after = min(judges, key=lambda other: (other < seed, other), default=None)
    return own[own["training_seed"] == after].set_index("slice_id")["correct"]


def _controls(read, rows, others, scores, *, n_resamples):
    """Controls of one seed's audit; with :mod:`study.fold_controls` if on every fold."""
    n = {"n_resamples": n_resamples}
    made = robustness.tables(rows, others, judged=_judged(scores, rows), **n)
    robust = made["table_robustness"] = made["table_robustness"].dropna(subset="effect")
    if (robust["family"] == "infill").any():
        made |= controls.tables(rows, **n)
    names = ("rows_probes", "rows_detector", "rows_planes", "rows_covariates")
    found = [_of_all_folds(read, name, rows) for name in names]
    if any(one is None for one in found):
        return made
    asked, detected, plane, measured = found
    measured = covariates.with_depth(measured, rows)
    own = sites.by_slice(scores[scores["network"] == PLAIN])
    rest = [one[~scores_of.is_of_mr_site(one)] for one in (asked, rows)]
    return made | {
        "table_probes": classifiers.probe_table(asked, rows, **n),
        "table_probes_other_ids": classifiers.probe_table(*rest, **n),
        "table_detector": classifiers.detector_table(detected, **n),
        "table_covariates": covariates.covariate_table(own, measured, **n),
        "table_site_difference": sites.difference_table(own, measured, plane).merge(
            sites.difference_bands(scores), on="group"
        ),
    }


def read_if_there(read, file):
    """A table or rows by ``read``, or None where there are none."""
    try:
        return read(file)
    except FileNotFoundError:
        return None


def _whole(rows, predictions):
    """Rows of the units that these predictions are of; rows of no unit as they are."""
    if rows is None or "network" not in rows:
        return rows
    return rows[scores_of.units_of(rows).isin(scores_of.units_of(predictions))]


def complete(predictions):
    """Rows of the plain seeds whose folds are all there, and of every network of another kind."""
    n_folds = predictions["fold"].nunique()
    there = predictions.groupby(KEYS)["fold"].transform("nunique") == n_folds
    return predictions[there | (predictions["network"] == SHUFFLED)].reset_index(drop=True)


def performance_table(predictions, *, n_resamples):
    """How good the plain networks are on all slices, each tested out of fold.

    Columns: networks (:data:`ONE`; with several seeds also :data:`MEAN_OF_ONE`, without an
    interval, and :data:`AVERAGED`), training_seed ("" for all), and those of
    :func:`tables.study.performance`. Intervals are over patients.
    """
    parts = []
    for seed, own in predictions.groupby("training_seed"):
        part = study.performance(own, n_resamples=n_resamples)
        parts.append(in_front(part, networks=ONE, training_seed=str(seed)))
    if len(parts) > 1:
        means = parts[0].assign(networks=MEAN_OF_ONE, training_seed="", low=np.nan, high=np.nan)
        means["value"] = np.mean([part["value"] for part in parts], axis=0)
        same = ["fold", "slice_id", "patient_id", "person_id", "label"]
        averaged = predictions.groupby(same, sort=False)[P].mean().reset_index()
        part = study.performance(averaged, n_resamples=n_resamples)
        parts += [means, part.assign(networks=AVERAGED, training_seed="")]
    return pd.concat(parts, ignore_index=True)


def reliability_table(predictions, temperatures):
    """Calibration bins as of :func:`tables.study.reliability`, of one seed's networks.

    The column ``temperature`` is the mean of the folds' (see :func:`fold_scores.temperatures`).
    """
    seed = tuple(predictions[KEYS].iloc[0])
    warmed, mean = scores_of.scaled(predictions, temperatures), temperatures[seed].mean()
    persons = classification.person_predictions
    return study.bins_by_kind(
        {
            "slices": (predictions, 1.0),
            "persons": (persons(predictions), 1.0),
            "slices, temperature": (warmed, mean),
            "persons, temperature": (persons(warmed), mean),
        }
    )


def folds_table(predictions, temperatures):
    """Every network on its own: whom it tests, and how right it is."""
    warmed, rows = scores_of.scaled(predictions, temperatures), []
    for unit, own in predictions.groupby(UNIT):
        own_warmed = scores_of.outputs_of(warmed.loc[own.index])
        own = scores_of.outputs_of(own)
        line = dict(zip(UNIT, unit, strict=True))
        line |= {"n_persons": own["person_id"].nunique(), "n_slices": len(own)}
        errors = {"ece": study.ece(own), "ece_temperature": study.ece(own_warmed)}
        rows.append(line | classifiers.accuracies(own) | errors)
    return pd.DataFrame(rows)


def spread_table(folds):
    """How much accuracies differ between folds, and how much between trainings of one fold.

    From :func:`folds_table`, of the plain networks. Columns: metric, mean, lowest, highest (over
    all units), sd_fold, sd_training (standard deviations of a random-effects model, trainings
    within folds, by its mean squares; a negative variance counts as 0), n_folds, n_seeds. With one
    seed, sd_training is unknown and sd_fold holds both.
    """
    units, rows = folds[folds["network"] == PLAIN].set_index(["training_seed", "fold"]), []
    for metric in ("slice_accuracy", "balanced_accuracy", "person_accuracy"):
        grid = units[metric].unstack().to_numpy(float)  # (seeds, folds)
        line = {"metric": metric, "mean": grid.mean(), "lowest": grid.min(), "highest": grid.max()}
        line |= dict(zip(("sd_fold", "sd_training"), _components(grid), strict=True))
        rows.append(line | {"n_folds": grid.shape[1], "n_seeds": grid.shape[0]})
    return pd.DataFrame(rows)


def elsewhere_table(performance):
    """Accuracies published elsewhere with patients kept apart, and ours below: of one seed, or of
    several their mean and that of their probabilities together."""
    shown = [{"source": name, "slices": a, "persons": b} for name, a, b in ELSEWHERE]
    own = performance[performance["metric"] == "accuracy"]
    if own["training_seed"].nunique() > 1:  # one by one they stand in table_performance
        own = own[own["networks"] != ONE]
    for (networks, seed), rows in own.groupby(["networks", "training_seed"], sort=False):
        entry = {"source": f"this project: {networks}" + (f", seed {seed}" if seed else "")}
        for row in rows.itertuples():
            kind = f"{row.level}s"
            entry |= {kind: row.value, f"{kind}_low": row.low, f"{kind}_high": row.high}
        shown.append(entry)
    numbers = [f"{kind}{end}" for kind in ("slices", "persons") for end in ("", "_low", "_high")]
    return pd.DataFrame(shown, columns=["source", *numbers])


def _components(grid):
    """Standard deviations of folds (columns) and of trainings within them (rows)."""
    n_seeds = len(grid)
    if n_seeds == 1:
        return float(grid.std(ddof=1)), np.nan
    within = grid.var(axis=0, ddof=1).mean()
    between = grid.mean(axis=0).var(ddof=1) - within / n_seeds
    return float(np.sqrt(max(0.0, between))), float(np.sqrt(within))
