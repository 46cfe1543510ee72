"""The path from slices to row files, in miniature: a few phantom slices of 32 pixels."""

import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest
from tiny_study import (
    TINY,
    allow_small_splits,
    run_to_inputs,
    run_to_rows,
    small_network,
)

from tumorcf_lib import config, rowfiles
from tumorcf_lib.edits import plan
from tumorcf_lib.networks import classifier
from tumorcf_lib.study import by_fold, results, stages, unit


@pytest.fixture(autouse=True)
def small(monkeypatch):
    allow_small_splits(monkeypatch)
    monkeypatch.setattr(classifier, "build", small_network)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        allow_small_splits(patch)
        patch.setattr(classifier, "build", small_network)
        return run_to_rows(tmp_path_factory.mktemp("run"))


@pytest.fixture
def copy_of(finished, tmp_path):
    """Opens 05 of a copy of the finished run, with some of its profile's settings changed."""
    shutil.copytree(finished.folder, tmp_path / "copy")

    def fifth(**changes):
        profile = dataclasses.replace(TINY, **changes)
        study = dataclasses.replace(finished, profile=profile, folder=tmp_path / "copy")
        return results.Results(study, "05_counterfactuals", study.folder / "05_counterfactuals")

    return fifth


def test_two_runs_give_identical_row_files_and_weights(finished, tmp_path):
    again = run_to_rows(tmp_path / "again")
    files = [
        "01_data/split.csv",
        "03_training/weights_fold0.npz",
        "03_training/history.csv",
        "04_evaluation/rows_predictions.csv.gz",
        "05_counterfactuals/rows_edits.csv.gz",
    ]
    for file in files:
        assert (again.folder / file).read_bytes() == (finished.folder / file).read_bytes(), file


def test_a_finished_training_is_not_repeated(finished, monkeypatch):
    monkeypatch.setattr(unit, "store", lambda *_: pytest.fail("trained again"))
    third = results.open_stage(finished, "03_training")
    prepared = by_fold.load_prepared(third)
    history = by_fold.train(third, prepared, third.read("01_data", "split"))
    third.save_table(history, "history")
    third.finish()
    assert history["best"].sum() == 1
    assert "seconds" not in history


def test_the_audits_original_is_the_evaluations_prediction(finished):
    predictions = rowfiles.read_table(finished.folder / "04_evaluation" / "rows_predictions.csv.gz")
    rows = rowfiles.read_table(finished.folder / "05_counterfactuals" / "rows_edits.csv.gz")
    original = rows[rows["edit"] == "original"].set_index("slice_id")
    columns = [f"p_{name}" for name in config.CLASSES]
    both = predictions.set_index("slice_id")[columns] - original[columns]
    assert both.abs().max().max() < 1e-4  # batches differ in composition, rows in the last digit


def test_pictures_of_examples_are_the_audited_edits(finished):
    study = finished
    fifth = results.Results(study, "05_counterfactuals", study.folder / "05_counterfactuals")
    prepared = by_fold.load_prepared(fifth)
    rows = rowfiles.read_table(study.folder / "05_counterfactuals" / "rows_edits.csv.gz")
    slice_id = rows["slice_id"].iloc[0]
    label = rows["label"].iloc[0]
    chosen = pd.DataFrame({"slice_id": [slice_id], "label": [label], "percentile": [50]})
    (example,) = by_fold.example_edits(prepared, rows, chosen)
    own = by_fold.slices_of(prepared, [slice_id])
    assert (example["images"]["original"] == own.slices[0]).all()
    removed = rows[(rows["slice_id"] == slice_id) & (rows["edit"] == "remove")].iloc[0]
    again = plan.recreate(np.asarray(own.slices[0]), np.asarray(own.masks[0]), removed)
    assert (example["images"]["remove"] == again).all()
    assert example["p"]["remove"] == removed[f"p_{label}"]
    assert (example["masks"]["original"] == own.masks[0]).all()


def test_examples_are_chosen_by_rank_within_the_class():
    scores = pd.DataFrame(
        {
            "slice_id": range(21),
            "label": ["glioma"] * 11 + ["meningioma"] * 5 + ["pituitary"] * 5,
            "drop": [*np.linspace(1, 0, 11), *range(5), np.nan, 3, 2, 1, 0],
        }
    )
    chosen = by_fold.at_percentiles(scores, "drop", (0, 50, 100))
    assert chosen["label"].tolist() == ["meningioma"] * 3 + ["glioma"] * 3 + ["pituitary"] * 3
    assert chosen["drop"].tolist() == [0, 2, 4, 0, 0.5, 1, 0, 2, 3]


def test_a_killed_training_goes_on_and_ends_as_an_undisturbed_one(finished, tmp_path, monkeypatch):
    study = run_to_inputs(tmp_path / "killed")
    classifier.set_up(study.seed)
    third = results.open_stage(study, "03_training")
    prepared = by_fold.load_prepared(third)
    table = third.read("01_data", "split")
    from tumorcf_lib.networks import checkpoint

    record = checkpoint.Checkpoint.record

    def killed_after_first(self, *arguments, **options):
        record(self, *arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.Checkpoint, "record", killed_after_first)
    with pytest.raises(KeyboardInterrupt):
        by_fold.train(third, prepared, table)
    monkeypatch.setattr(checkpoint.Checkpoint, "record", record)
    history = by_fold.train(third, prepared, table)
    undisturbed = rowfiles.read_table(finished.folder / "03_training" / "history.csv")
    pd.testing.assert_frame_equal(rowfiles.round_trip(history), undisturbed)
    weights = "weights_fold0.npz"
    assert (third.folder / weights).read_bytes() == (
        finished.folder / "03_training" / weights
    ).read_bytes()


def test_a_changed_recipe_trains_anew(finished, tmp_path, monkeypatch):
    class TrainedError(Exception):
        pass

    def fit(*_):
        raise TrainedError

    copy = tmp_path / "copy"
    shutil.copytree(finished.folder, copy)
    monkeypatch.setattr(unit, "fit", fit)
    longer = dataclasses.replace(TINY, epochs=3)
    study = dataclasses.replace(finished, profile=longer, folder=copy)
    third = results.Results(study, "03_training", copy / "03_training")
    with pytest.raises(TrainedError):
        by_fold.train(third, by_fold.load_prepared(third), third.read("01_data", "split"))


def test_audit_rows_name_their_fold_and_hold_the_headline_and_every_control(finished):
    rows = rowfiles.read_table(finished.folder / "05_counterfactuals" / "rows_edits.csv.gz")
    assert set(rows["fold"]) == {0}
    controls = plan.control_edits(TINY.infills, TINY.dilations_at_512, 32, TINY.n_control_places)
    expected = {(e.name, e.infill, e.dilation_px) for e in (*plan.HEADLINE_EDITS, *controls)}
    assert ("sham", "navier_stokes", 1) in expected and ("remove", "telea", 0) in expected
    made = rows[["edit", "infill", "dilation_px"]].itertuples(index=False, name=None)
    assert set(made) == expected
    n_shams = rows[rows["place"] >= 0].groupby(["edit", "infill", "dilation_px"])["place"].max() + 1
    assert n_shams.loc[("sham", "navier_stokes", 0)] == TINY.n_places
    assert n_shams.loc[("sham", "telea", 0)] == TINY.n_control_places


def test_finished_rows_are_read_again_when_only_the_resamples_changed(copy_of, monkeypatch):
    fifth = copy_of(n_resamples=TINY.n_resamples + 1, purpose="other words")
    before = rowfiles.read_table(fifth.folder / "rows_edits.csv.gz")
    monkeypatch.setattr(by_fold, "audit_by", lambda *_: pytest.fail("audited again"))
    pd.testing.assert_frame_equal(by_fold.audit(fifth, None), before)


class AuditedError(Exception):
    """Raised in place of an audit."""


def _audited(*_):
    raise AuditedError


@pytest.mark.parametrize("changes", [{"n_places": 3}, {"infills": ("telea",)}])
def test_rows_are_made_again_when_the_plan_changed(copy_of, monkeypatch, changes):
    monkeypatch.setattr(by_fold, "audit_by", _audited)
    with pytest.raises(AuditedError):
        by_fold.audit(copy_of(**changes), None)


@pytest.mark.parametrize(
    ("stage", "file"),
    [
        ("03_training", "weights_fold0.npz"),
        ("02_preprocessing", "inputs.npy"),
        ("02_preprocessing", "masks.npy"),
        ("01_data", "split.csv"),
    ],
)
def test_rows_are_made_again_when_what_they_come_from_changed(copy_of, monkeypatch, stage, file):
    fifth = copy_of()
    record = fifth.study.folder / stage / stages.RECORD
    kept = stages.record(fifth.study, stage)
    kept["hashes"][file] = "another"
    record.write_text(stages.json.dumps(kept))
    monkeypatch.setattr(by_fold, "audit_by", _audited)
    with pytest.raises(AuditedError):
        by_fold.audit(fifth, None)
