"""Every derived table and number from published rows alone: what ``verify`` recomputes."""

from collections.abc import Callable, Iterator

import pandas as pd

from tumorcf_lib.config import CLASSES
from tumorcf_lib.controls import covariates, planes
from tumorcf_lib.stats import metrics, mixed
from tumorcf_lib.tables import (
    controls as sensitivity,
)
from tumorcf_lib.tables import (
    detector_tables,
    drift,
    energy,
    probe_tables,
    quality_tables,
    robustness,
    site_tables,
    study,
)
from tumorcf_lib.tables import (
    three_networks as networks,
)


def derive(read: Callable[[str], pd.DataFrame], n_resamples: int) -> dict[str, pd.DataFrame]:
    """Every derived table by its file's name, from the row files alone.

    ``read`` maps a name ("rows_edits") to a table.
    """
    evaluated = evaluation(read("rows_predictions"), read("rows_validation"), n_resamples)
    rows = read("rows_edits")
    of_edits = edits(rows, read("rows_quality"), read("rows_detector"), n_resamples)
    scored = scores(rows, n_resamples)
    controlled = controls(
        rows, read("rows_networks"), read("rows_probes"), read("rows_planes"),
        read("covariates"), n_resamples,
    )  # fmt: skip
    told = information(read("rows_probes"), read("rows_planes"), n_resamples)
    return evaluated | told | of_edits | scored | controlled


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
        "table_information": probe_tables.probe_table(rows_probes, None, n_resamples=n_resamples),
        "table_planes": planes.accuracy_table(rows_planes, n_resamples=n_resamples),
    }


def edits(rows, rows_quality, rows_detector, n_resamples) -> dict[str, pd.DataFrame]:
    """The tables of 05: what the edits are, and what the score owes to their settings."""
    return {
        "table_edits": study.edits(rows),
        "table_infills": sensitivity.infill_scores(rows, n_resamples=n_resamples),
        "table_infill_agreement": sensitivity.infill_agreement(rows, n_resamples=n_resamples),
        "table_dilations": sensitivity.dilation_curve(rows, n_resamples=n_resamples),
        "table_quality": quality_tables.quality_table(rows_quality, n_resamples=n_resamples),
        "table_detector": detector_tables.detector_table(rows_detector, n_resamples=n_resamples),
    }


def scores(rows, n_resamples) -> dict[str, pd.DataFrame]:
    """The scores and findings of 06."""
    by_slice = metrics.slice_scores(rows)
    return {
        "table_scores": study.scores_by_class(by_slice, n_resamples=n_resamples),
        "table_fall_to": study.fall_to(rows),
        "table_findings": study.findings(by_slice, n_resamples=n_resamples),
    }


def controls(rows, rows_networks, rows_probes, rows_planes, covariate_rows, n_resamples):
    """The controls and verdicts of 06, by table name."""
    by_slice = metrics.slice_scores(rows)
    n = {"n_resamples": n_resamples}
    robust = robustness.robustness_table(rows, rows_networks, **n)
    return {
        "table_energy": energy.energy_table(rows, **n),
        "table_probes": probe_tables.probe_table(rows_probes, rows, **n),
        "table_drift": drift.drift_table(rows, **n),
        "table_net_by_site": site_tables.site_table(by_slice, **n),
        "table_net_by_plane": site_tables.plane_table(by_slice, rows_planes, **n),
        "table_networks": networks.networks_table(rows, rows_networks, **n),
        "table_mixed": mixed.mixed_table(by_slice, **n),
        "table_covariates": covariates.covariate_table(
            by_slice, covariates.with_depth(covariate_rows, rows), **n
        ),
        "table_robustness": robust,
        "table_survival": robustness.survival(robust),
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
