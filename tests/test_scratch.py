"""ResNet-50 from random weights: stopping by the clock, going on, and what is published of it."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.data import split as splits
from tumorcf_lib.publish import publish
from tumorcf_lib.study import runtime, scratch

pytestmark = pytest.mark.usefixtures("small_networks")
SMALL = {"cohort": "phantom", "size_px": 32, "phantom_patients": 4, "phantom_slices": 2}
SMALL |= {"epochs": 3, "batch_size": 4, "n_resamples": 20, "predict_batch_size": 8}
PROFILE = dataclasses.replace(scratch.PROFILE, **SMALL)
P = [f"p_{name}" for name in config.CLASSES]


def run(folder, *, minutes):
    """History, without the seconds."""
    scratch.run(folder, PROFILE, minutes=minutes)
    return rowfiles.read_table(folder / "history.csv").drop(columns="seconds")


@pytest.fixture(scope="module")
def straight(small_networks, tmp_path_factory):
    """Folder and history of a run with time enough for its whole schedule."""
    folder = tmp_path_factory.mktemp("straight")
    return folder, run(folder, minutes=10)


def test_minutes_end_a_training_and_more_of_them_end_as_in_one_go(straight, tmp_path, capsys):
    for _ in range(2):  # in no time, no further epoch
        history = run(tmp_path, minutes=0)
        assert history["epoch"].tolist() == [1] and history["best"].tolist() == [True]
        said = capsys.readouterr().out
        assert said.endswith("1 of at most 3 epochs, run it again to go on.\n")
    pd.testing.assert_frame_equal(run(tmp_path, minutes=10), straight[1])
    assert capsys.readouterr().out.startswith("going on after epoch 1")
    for file in scratch.PARTS.values():
        assert (tmp_path / file).read_bytes() == (straight[0] / file).read_bytes()


def test_no_epoch_is_begun_that_would_outlast_the_minutes(monkeypatch):
    """Epochs of 100 s: the third would end at 300 s, after 4.5 minutes."""
    from tumorcf_lib.networks import training

    for epoch, moment, is_late in ((0, 900.0, False), (1, 100.0, False), (2, 200.0, True)):
        monkeypatch.setattr(training.time, "perf_counter", lambda moment=moment: moment)
        state = SimpleNamespace(epoch=epoch, history=[{"seconds": 100.0}] * epoch)
        assert training.is_late(state, until=4.5 * 60) == is_late


def test_rows_are_those_of_the_validation_and_the_tested_slices_by_the_best_epoch(straight):
    cohort = runtime.load(PROFILE)
    parts = splits.hold_out(cohort.persons, cohort.labels, seed=PROFILE.split_seed)
    folder, history = straight
    assert history.loc[history["best"], "val_loss"].item() == history["val_loss"].min()
    for part in ("test", "validation"):
        rows = rowfiles.read_table(folder / scratch.PARTS[part])
        assert rows["slice_id"].tolist() == cohort.table.loc[parts == part, "slice_id"].tolist()
    called = np.array(config.CLASSES)[rows[P].to_numpy().argmax(axis=1)]
    share = (called == rows["label"]).mean()
    best = history.loc[history["best"], "val_accuracy"].item()
    assert share == pytest.approx(best, abs=1 / len(rows))  # kernels were rounded to float16


def test_every_published_table_and_the_manifest_say_what_it_is(straight, tmp_path):
    folder = scratch.STUDY.publish(straight[0], tmp_path / scratch.NAME)
    name = scratch.label(rowfiles.read_table(folder / "history.csv"))
    tables = [rowfiles.read_table(path) for path in folder.glob("table_*.csv")]
    assert len(tables) == 4 and all(set(table["network"]) == {name} for table in tables)
    manifest = steps.read_json(folder / "manifest.json")
    assert manifest["source"].startswith(name) and manifest["profile"]["purpose"] == name
    assert publish.verify(folder) == ([], len(manifest["sha256"]))
    assert not list(folder.glob("*.npz"))
