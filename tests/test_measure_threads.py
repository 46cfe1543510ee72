"""What the thread script makes of two runs; its own runs take minutes and are started by hand."""

import dataclasses

import measure_threads
import pandas as pd
import pytest

from tumorcf_lib.study import results

SCORES = pd.DataFrame({"score": ["net_drop", "net_drop"], "effect": [0.5, 0.25]})
ROWS = pd.DataFrame({"slice_id": [1, 2, 3], "p_glioma": [0.5, 0.25, 0.75]})


def make(study, folder, rows, scores):
    stage = results.open_stage(dataclasses.replace(study, folder=folder), "01_data")
    stage.save_rows(rows, "rows_edits")
    stage.save_table(scores, "table_scores")
    stage.save_table(pd.DataFrame({"n": [1]}), "split")
    stage.finish()
    return folder


@pytest.fixture
def measured(study, tmp_path):
    first = make(study, tmp_path / "a", ROWS, SCORES)
    other = make(
        study, tmp_path / "b", ROWS.assign(p_glioma=[0.5, 0.25, 0.875]),
        SCORES.assign(effect=[0.5, 0.375], score=["net_drop", "other"]),
    )  # fmt: skip
    return measure_threads.gaps(first, other)


def test_the_largest_differences_are_told_by_file_and_for_all_files(measured):
    by_file = {row.pop("file"): row for row in measured}
    assert set(by_file) == {
        "all 3 files", "01_data/rows_edits.csv.gz", "01_data/table_scores.csv"
    }
    assert by_file["all 3 files"] == {
        "n_rows": 6, "largest_p": 0.125, "largest_number": 0.125, "n_words": 1, "column": "",
    }  # fmt: skip
    assert by_file["01_data/rows_edits.csv.gz"]["column"] == "p_glioma"


def test_runs_that_agree_leave_one_row_of_zeros(study, tmp_path):
    first, other = (make(study, tmp_path / name, ROWS, SCORES) for name in "ab")
    (row,) = measure_threads.gaps(first, other)
    assert (row["largest_p"], row["largest_number"], row["n_words"]) == (0, 0, 0)


def test_the_summary_has_a_line_a_setting(measured):
    about = {"networks": "same networks", "threads": 1, "onednn": False}
    lines = measure_threads.summary(pd.DataFrame([{**about, **row} for row in measured]))
    assert lines.splitlines()[2] == "| same networks | 1 | off | 0.12 | 0 | 0.12 | 0 |"


def test_a_setting_reaches_a_run_by_its_environment():
    environment = measure_threads.Setting(1, False).environment
    assert environment["TF_NUM_INTRAOP_THREADS"] == environment["OMP_NUM_THREADS"] == "1"
    assert environment["TF_ENABLE_ONEDNN_OPTS"] == "0"
