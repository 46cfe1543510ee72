"""ResNet-50 from random weights: stopping by the clock, going on, and what is published of it."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from tiny_study import allow_small_splits, small_network

from tumorcf_lib import config, rowfiles
from tumorcf_lib.data import split as splits
from tumorcf_lib.networks import classifier
from tumorcf_lib.publish import publish
from tumorcf_lib.study import runtime, scratch, unit

PROFILE = dataclasses.replace(
    scratch.PROFILE,
    cohort="phantom",
    size_px=32,
    phantom_patients=4,
    phantom_slices=2,
    epochs=3,
    batch_size=4,
    n_resamples=20,
    predict_batch_size=8,
)
P = [f"p_{name}" for name in config.CLASSES]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    allow_small_splits(monkeypatch)
    monkeypatch.setattr(classifier, "build", small_network)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run with time enough for its whole schedule."""
    with pytest.MonkeyPatch.context() as patch:
        allow_small_splits(patch)
        patch.setattr(classifier, "build", small_network)
        folder = tmp_path_factory.mktemp("straight")
        scratch.run(folder, PROFILE, minutes=10, progress=lambda line: None)
        return folder


def run(folder, *, minutes, **changes):
    """History and printed lines of a call."""
    lines = []
    profile = dataclasses.replace(PROFILE, **changes)
    return scratch.run(folder, profile, minutes=minutes, progress=lines.append), lines


# -- the recipe --------------------------------------------------------------


def test_it_is_the_papers_architecture_without_pretrained_weights_and_its_norms_learn():
    assert (scratch.PROFILE.backbone, scratch.PROFILE.weights) == ("resnet50", None)
    assert not scratch.PROFILE.freeze_norms and scratch.PROFILE.warmup_epochs == 0
    assert scratch.PROFILE.ema_momentum == 0
    assert scratch.NAME not in config.PROFILES  # so that no run takes it for the paper's


# -- minutes -----------------------------------------------------------------


def test_without_minutes_one_epoch_is_trained_and_the_checkpoint_stays(tmp_path):
    history, lines = run(tmp_path, minutes=0)
    assert history["epoch"].tolist() == [1] and history["best"].tolist() == [True]
    assert lines[-1].endswith("1 of at most 3 epochs, run it again to go on.")
    assert len(list(tmp_path.glob("*/network/checkpoint.npz"))) == 1
    again, _ = run(tmp_path, minutes=0)
    assert again["epoch"].tolist() == [1]


@pytest.mark.monthly
def test_more_minutes_end_where_an_undisturbed_training_does(straight, tmp_path):
    run(tmp_path, minutes=0)
    history, lines = run(tmp_path, minutes=10)
    assert lines[0].startswith("going on after epoch 1")
    expected = rowfiles.read_table(straight / "history.csv")
    own = history.drop(columns="seconds")
    pd.testing.assert_frame_equal(own, expected.drop(columns="seconds"))
    for file in scratch.PARTS.values():
        assert (tmp_path / file).read_bytes() == (straight / file).read_bytes()
    assert not list(tmp_path.glob("*/network/checkpoint.npz"))


def test_no_epoch_is_begun_that_would_outlast_the_minutes(monkeypatch):
    """Epochs of 100 s: the third would end at 300 s, after 4.5 minutes."""
    clock = iter([0.0, 0.5, 100.5, 200.5])
    monkeypatch.setattr(unit.time, "perf_counter", lambda: next(clock))
    told = []
    progress = unit._until(4.5, told.append)
    progress("going on")
    progress("epoch 1")
    with pytest.raises(unit._TimeIsUpError):
        progress("epoch 2")
    assert told == ["going on", "epoch 1", "epoch 2"]


# -- rows and what is published ----------------------------------------------


def test_rows_are_those_of_the_validation_and_the_tested_slices_by_the_best_epoch(straight):
    cohort = runtime.load(PROFILE)
    parts = splits.hold_out(cohort.persons, cohort.labels, seed=PROFILE.split_seed)
    history = rowfiles.read_table(straight / "history.csv")
    assert history.loc[history["best"], "val_loss"].item() == history["val_loss"].min()
    for part, file in (("test", "rows_predictions"), ("validation", "rows_validation")):
        rows = rowfiles.read_table(straight / f"{file}.csv.gz")
        assert rows["slice_id"].tolist() == cohort.table.loc[parts == part, "slice_id"].tolist()
        assert np.allclose(rows[P].sum(axis=1), 1, atol=1e-4)
    called = np.array(config.CLASSES)[rows[P].to_numpy().argmax(axis=1)]
    share = (called == rows["label"]).mean()
    best = history.loc[history["best"], "val_accuracy"].item()
    assert share == pytest.approx(best, abs=1 / len(rows))  # kernels were rounded to float16


def test_every_published_table_and_the_manifest_say_what_it_is(straight, tmp_path):
    folder = scratch.publish(straight, tmp_path / scratch.NAME)
    tables = list(folder.glob("table_*.csv"))
    assert {path.stem for path in tables} == {
        "table_performance",
        "table_classes",
        "table_confusion",
        "table_reliability",
    }
    history = rowfiles.read_table(folder / "history.csv")
    minutes = history["seconds"].sum() / 60
    for path in tables:
        (name,) = set(rowfiles.read_table(path)["network"])
        assert name == (
            f"ResNet-50 from random weights, {minutes:.1f} minutes, not the paper's network"
        )
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["source"].startswith(name)
    assert manifest["profile"]["purpose"] == name and manifest["profile"]["weights"] is None
    assert publish.verify(folder) == ([], len(manifest["sha256"]))
    assert not list(folder.glob("*.npz"))
