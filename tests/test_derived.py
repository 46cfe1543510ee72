"""Claims about recomputing every table from the row files alone."""

import fake_controls
import pandas as pd
import pytest

from tumorcf_lib import config, rowfiles
from tumorcf_lib.tables import derived, study

N_RESAMPLES = 40
TABLES = {
    "04_evaluation": {
        "performance",
        "classes",
        "confusion",
        "reliability",
        "information",
        "planes",
    },
    "05_counterfactuals": {
        "edits",
        "infills",
        "infill_agreement",
        "dilations",
        "quality",
        "detector",
    },
    "06_metrics": {
        "scores",
        "fall_to",
        "claims",
        "energy",
        "probes",
        "drift",
        "networks",
        "covariates",
        "robustness",
        "survival",
    },
}


@pytest.fixture(scope="module")
def rows():
    """Every row file of a made-up study, as a reader sees it."""
    return {name: rowfiles.round_trip(own) for name, own in fake_controls.study().items()}


@pytest.fixture(scope="module")
def names_read():
    """Names of the row files that ``made`` read."""
    return []


@pytest.fixture(scope="module")
def made(rows, names_read):
    def read(name):
        names_read.append(name)
        return rows[name].copy()

    return derived.derive(read, N_RESAMPLES)


def test_every_stages_tables_are_derived_and_no_others(made):
    expected = {f"table_{name}" for names in TABLES.values() for name in names}
    assert set(made) == expected


def test_stages_called_alone_and_in_another_order_make_the_same_tables(rows, made):
    read = rows.__getitem__
    alone = derived.controls(
        read("rows_edits"),
        read("rows_networks"),
        read("rows_probes"),
        read("covariates"),
        N_RESAMPLES,
    )
    alone |= derived.scores(read("rows_edits"), N_RESAMPLES)
    alone |= derived.edits(
        read("rows_edits"), read("rows_quality"), read("rows_detector"), N_RESAMPLES
    )
    alone |= derived.information(read("rows_probes"), read("rows_planes"), N_RESAMPLES)
    alone |= derived.evaluation(read("rows_predictions"), read("rows_validation"), N_RESAMPLES)
    assert set(alone) == set(made)
    for name, table in alone.items():
        pd.testing.assert_frame_equal(table, made[name], obj=name)


def test_numbers_are_named_for_their_stage_and_are_lines_of_the_tables(made):
    numbers = {(stage, name): entry for stage, name, entry in derived.numbers(made)}
    scores = ["delta_drop", "sham_drop", "net_drop", "delta_focus"]
    of_classes = [f"net_drop_{name}" for name in config.CLASSES]
    assert list(numbers) == [
        ("04_evaluation", "accuracy"),
        ("04_evaluation", "person_accuracy"),
        *(("06_metrics", name) for name in (*scores, *of_classes)),
    ]
    table = made["table_scores"].set_index(["score", "group"])
    glioma = numbers["06_metrics", "net_drop_glioma"]
    line = table.loc[("net_drop", "glioma")]
    assert (glioma["value"], glioma["low"]) == (line["effect"], line["low"])
    assert numbers["04_evaluation", "accuracy"] == study.estimate(
        made["table_performance"], "slice", "all", "accuracy"
    )
