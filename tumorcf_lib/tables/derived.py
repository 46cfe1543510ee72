"""Every derived table and number from published rows alone: what ``verify`` recomputes."""

from collections.abc import Callable, Iterator

import pandas as pd

from tumorcf_lib.config import CLASSES
from tumorcf_lib.controls import covariates, planes
from tumorcf_lib.edits.scores import slice_scores
from tumorcf_lib.tables import classifiers, controls as settings, primary, robustness, study


def derive(read: Callable[[str], pd.DataFrame], n_resamples: int) -> dict[str, pd.DataFrame]:
    """Every derived table by its file's name, from the row files alone.

    ``read`` maps a name ("rows_edits") to a table.
    """
    rows, probes = read("rows_edits"), read("rows_probes")
    return (
        evaluation(read("rows_predictions"), read("rows_validation"), n_resamples)
        | information(probes, read("rows_planes"), n_resamples)
        | edits(rows, read("rows_quality"), read("rows_detector"), n_resamples)
        | scores(rows, n_resamples)
        | controls(rows, read("rows_networks"), probes, read("covariates"), n_resamples)
    )


def evaluation(predictions, validation, n_resamples) -> dict[str, pd.DataFrame]:
    """The tables of 04."""
    return {
        "table_performance": study.performance(predictions, n_resamples=n_resamples),
        "table_classes": study.performance_by_class(predictions, n_resamples=n_resamples),
        "table_confusion": study.confusion(predictions),
        "table_reliability": study.reliability(predictions, validation),
    }


def information(rows_probes, rows_planes, n_resamples) -> dict[str, pd.DataFrame]:
    """The rest of 04: what besides the tumor tells the class, and how well planes are known."""
    return {
        "table_information": classifiers.probe_table(rows_probes, None, n_resamples=n_resamples),
        "table_planes": planes.accuracy_table(rows_planes, n_resamples=n_resamples),
    }


def edits(rows, rows_quality, rows_detector, n_resamples) -> dict[str, pd.DataFrame]:
    """The tables of 05: what the score owes to the edits' settings."""
    return {
        **settings.tables(rows, n_resamples=n_resamples),
        "table_quality": settings.quality_table(rows_quality, n_resamples=n_resamples),
        "table_detector": classifiers.detector_table(rows_detector, n_resamples=n_resamples),
    }


def scores(rows, n_resamples) -> dict[str, pd.DataFrame]:
    """The scores of 06, and its numbers for the primary claims."""
    by_slice = slice_scores(rows)
    return {
        "table_scores": study.scores_by_class(by_slice, n_resamples=n_resamples),
        "table_fall_to": study.fall_to(rows),
        "table_claims": primary.claims_of_run(by_slice),
    }


def controls(rows, rows_networks, rows_probes, covariate_rows, n_resamples):
    """The controls of 06, by table name."""
    n, measured = {"n_resamples": n_resamples}, covariates.with_depth(covariate_rows, rows)
    return {
        **robustness.tables(rows, rows_networks, **n),
        "table_probes": classifiers.probe_table(rows_probes, rows, **n),
        "table_networks": classifiers.networks_table(rows, rows_networks, **n),
        "table_covariates": covariates.covariate_table(slice_scores(rows), measured, **n),
    }


def numbers(derived) -> Iterator[tuple[str, str, dict]]:
    """Stage, name and content of every number that prose quotes from a derived table."""
    for name, level in (("accuracy", "slice"), ("person_accuracy", "person")):
        entry = study.estimate(derived["table_performance"], level, "all", "accuracy")
        yield "04_evaluation", name, entry
    for name in ("delta_drop", "sham_drop", "net_drop", "delta_focus"):
        yield "06_metrics", name, study.estimate(derived["table_scores"], name, "all")
    for group in CLASSES:
        entry = study.estimate(derived["table_scores"], "net_drop", group)
        yield "06_metrics", f"net_drop_{group}", entry
