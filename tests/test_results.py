"""Files of a stage: written in one way, read only from where they were recorded."""

import fcntl
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib import rowfiles, steps
from tumorcf_lib.study import results, stages


@pytest.fixture
def stage(study):
    return results.open_stage(study, "01_data")


def test_only_what_a_declared_stage_recorded_is_read_and_a_foreign_file_is_refused(stage, study):
    stage.create_array("inputs", (2, 3), np.float32)[:] = 5
    stage.rows("rows_x", lambda: pd.DataFrame({"p": [0.5]}))
    stage.finish()
    (stage.folder / "rows_x.csv").write_text("p\n0.9\n")  # would come first by its name
    (stage.folder / "rows_y.csv").write_text("p\n0.9\n")
    later = results.open_stage(study, "02_preprocessing")
    assert (later.read_array("01_data", "inputs") == 5).all()
    assert later.read("01_data", "rows_x")["p"].tolist() == [0.5]
    with pytest.raises(stages.StageError, match="rows_y.* or one of another run") as error:
        later.read("01_data", "rows_y")
    assert "./run_all.sh --profile smoke --from 01" in str(error.value)
    with pytest.raises(stages.StageError, match="does not declare"):
        later.read("04_evaluation", "rows_predictions")


def test_a_stage_that_another_process_makes_is_refused(stage, study, monkeypatch):
    steps.release(stage.folder / steps.LOCK)
    monkeypatch.setattr(steps, "WAIT_S", 0)
    with open(stage.folder / steps.LOCK, "r+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(steps.InUseError, match="Another process .*01_data"):
            results.open_stage(study, "01_data")
    results.open_stage(study, "01_data").finish()
    with steps.held(stage.folder / steps.LOCK) as is_held:
        assert is_held


def test_rows_that_take_long_are_made_once_while_their_dependencies_hold(stage):
    made = []

    def make(folder):
        made.append(folder)
        return pd.DataFrame({"p": [0.123456789 * len(made)], "flag": [""]})

    for _ in range(2):
        rows = stage.make_rows("rows_x", make, {"seed": 0})
        assert len(made) == 1 and rows.loc[0, ["p", "flag"]].tolist() == [0.12346, ""]
    stage.make_rows("rows_x", make, {"seed": 1})
    stage.finish()
    assert list(stages.record(stage.study, stage.name)["hashes"]) == ["rows_x.csv.gz"]
    rowfiles.write_table(rows.assign(p=0.9), stage.folder / "rows_x" / "rows_x.csv.gz")
    rows = results.open_stage(stage.study, "01_data").make_rows("rows_x", make, {"seed": 1})
    assert len(made) == 3 and rows["p"].tolist() == [0.37037]


def test_an_array_that_is_made_again_does_not_change_under_who_has_the_old_one_open(stage):
    stage.create_array("inputs", (3,), np.float32)[:] = 5
    opened = stage.read_array("01_data", "inputs")
    stage.create_array("inputs", (2,), np.float32)[:] = 7
    assert opened.tolist() == [5, 5, 5]


def test_a_full_disk_is_named_with_the_megabytes_and_leaves_no_file(stage, monkeypatch):
    monkeypatch.setattr(results.shutil, "disk_usage", lambda _: mock.Mock(free=1_999_999))
    with pytest.raises(OSError, match="No space left on device, 2 MB are needed"):
        stage.create_array("inputs", (500_000,), np.float32)
    assert not (stage.folder / "inputs.npy").exists()
