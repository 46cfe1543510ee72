"""Claims about recomputing every table from the row files alone."""

import fake_controls
import pytest

from tumorcf_lib import config, rowfiles
from tumorcf_lib.tables import derived

TABLES = (
    "performance classes confusion reliability information planes "  # 04
    "edits infills infill_agreement dilations quality detector "  # 05
    "scores fall_to claims energy probes drift networks covariates robustness survival"  # 06
)


@pytest.fixture(scope="module")
def made():
    rows = {name: rowfiles.round_trip(own) for name, own in fake_controls.study().items()}
    return derived.derive(lambda name: rows[name].copy(), 40)


def test_every_stages_tables_are_derived_and_no_others(made):
    assert set(made) == {f"table_{name}" for name in TABLES.split()}
    assert not [name for name, table in made.items() if table.empty]


def test_numbers_are_named_for_their_stage_and_are_lines_of_the_tables(made):
    numbers = {(stage, name): entry for stage, name, entry in derived.numbers(made)}
    scores = ["delta_drop", "sham_drop", "net_drop", "delta_focus"]
    of_classes = [f"net_drop_{name}" for name in config.CLASSES]
    assert list(numbers) == [
        ("04_evaluation", "accuracy"),
        ("04_evaluation", "person_accuracy"),
        *(("06_metrics", name) for name in (*scores, *of_classes)),
    ]
    glioma = numbers["06_metrics", "net_drop_glioma"]
    line = made["table_scores"].set_index(["score", "group"]).loc[("net_drop", "glioma")]
    assert (glioma["value"], glioma["low"]) == (line["effect"], line["low"])
    right = made["table_performance"].set_index(["level", "metric"])["value"]
    assert numbers["04_evaluation", "person_accuracy"]["value"] == right["person", "accuracy"]
