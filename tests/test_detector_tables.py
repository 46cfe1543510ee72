import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib import rowfiles
from tumorcf_lib.tables import detector_tables

COLUMNS = ["slice_id", "person_id", "label", "infill", "edited", "view", "score"]


def slow_auc(scores, edited):
    wins = 0.0
    for a in scores[edited]:
        for b in scores[~edited]:
            wins += 1 if a > b else 0.5 if a == b else 0
    return wins / (edited.sum() * (~edited).sum())


def test_auc_of_resampled_persons_equals_the_slow_loop_over_their_slices():
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 8, 20).astype(float)  # with ties
    edited = rng.random(20) < 0.5
    owner = np.arange(20) % 5
    counts = np.array([[1.0, 1, 1, 1, 1], [2, 0, 0, 3, 0], [0, 1, 2, 1, 1]])
    aucs = detector_tables.auc_between(scores, edited, owner, counts)
    for k, drawn in enumerate(counts.astype(int)):
        index = np.repeat(np.arange(20), drawn[owner])
        assert aucs[k] == pytest.approx(slow_auc(scores[index], edited[index]))


def toy_rows(scores_by_person, infill="telea"):
    """One slice a person: (untouched, edited) scores."""
    return pd.DataFrame([
        (i, f"p{i}", "a", infill, edited, "slice", score)
        for i, pair in enumerate(scores_by_person) for edited, score in enumerate(pair)
    ], columns=COLUMNS)  # fmt: skip


def test_the_table_holds_the_auc_its_interval_and_how_many():
    table = detector_tables.detector_table(toy_rows([(0, 1), (2, 3), (1, 1)]), n_resamples=100)
    row = table[table["group"] == "all"].iloc[0]
    # Edited 1, 3, 1 against untouched 0, 2, 1: 1 + 0 + .5, 3, 1 + 0 + .5 of 9.
    assert row["auc"] == pytest.approx(6 / 9)
    assert (row["n_slices"], row["n_persons"], row["verdict"]) == (3, 3, "undecided")
    assert row["low"] < row["auc"] < row["high"]


def test_full_separation_is_visible_from_ten_persons_on_with_an_exact_bound():
    ten = detector_tables.detector_table(toy_rows([(0, 1)] * 10), n_resamples=50).iloc[0]
    assert (ten["auc"], ten["high"], ten["verdict"]) == (1, 1, "visible")
    assert ten["low"] ** 10 == pytest.approx(0.025)
    nine = detector_tables.detector_table(toy_rows([(0, 1)] * 9), n_resamples=50).iloc[0]
    assert nine["verdict"] == "undecided"


def test_scores_that_are_missing_leave_a_line_that_says_so():
    table = detector_tables.detector_table(toy_rows([(np.nan, np.nan)] * 3), n_resamples=10)
    assert (table["n_slices"] == 0).all() and table["auc"].isna().all()
    assert (table["verdict"] == "undecided").all()


def test_published_rows_give_the_same_table():
    rng = np.random.default_rng(4)
    rows = toy_rows(rng.normal(size=(15, 2)))
    tables = [
        detector_tables.detector_table(r, n_resamples=50) for r in (rows, rowfiles.round_trip(rows))
    ]
    pd.testing.assert_frame_equal(*tables, atol=1e-4)


def test_tables_are_made_without_keras():
    code = "import sys, tumorcf_lib.tables.detector_tables; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
