"""The path from slices to row files, in miniature: a few phantom slices of 32 pixels."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from tiny_study import TINY, copied, run_to_rows

from tumorcf_lib import config, rowfiles
from tumorcf_lib.edits import plan
from tumorcf_lib.networks import checkpoint
from tumorcf_lib.study import by_fold, results, stages, unit

pytestmark = pytest.mark.usefixtures("small_networks")
WEIGHTS = "weights_fold0.npz"


@pytest.fixture
def opened(tiny_run, tmp_path):
    """Opens a stage of a copy of the finished run, with some of its profile's settings changed."""
    copy = copied(tiny_run, tmp_path / "copy")

    def stage(name, **changes):
        study = dataclasses.replace(copy, profile=dataclasses.replace(TINY, **changes))
        return results.Results(study, name, copy.folder / name)

    return stage


def trained(third):
    return by_fold.train(third, by_fold.load_prepared(third), third.read("01_data", "split"))


def rows_of(study):
    return rowfiles.read_table(study.folder / "05_counterfactuals" / "rows_edits.csv.gz")


class MadeError(Exception):
    """Raised in place of a training or an audit."""


def made(*_, **__):
    raise MadeError


def test_two_runs_give_identical_row_files_and_weights(tiny_run, tmp_path):
    again = run_to_rows(tmp_path / "again")
    files = [
        "01_data/split.csv",
        f"03_training/{WEIGHTS}",
        "03_training/history.csv",
        "04_evaluation/rows_predictions.csv.gz",
        "05_counterfactuals/rows_edits.csv.gz",
    ]
    for file in files:
        assert (again.folder / file).read_bytes() == (tiny_run.folder / file).read_bytes(), file


def test_a_finished_training_is_not_repeated_and_a_changed_recipe_trains_anew(opened, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(unit, "store", made)
        history = trained(opened("03_training"))
    assert history["best"].sum() == 1 and "seconds" not in history
    monkeypatch.setattr(unit, "fit", made)
    with pytest.raises(MadeError):
        trained(opened("03_training", epochs=3))


def test_a_killed_training_goes_on_and_ends_as_an_undisturbed_one(opened, tiny_run, monkeypatch):
    third, record = opened("03_training"), checkpoint.Checkpoint.record
    monkeypatch.setenv("TUMORCF_FRESH", "1")

    def killed_after_first(self, *arguments, **options):
        record(self, *arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.Checkpoint, "record", killed_after_first)
        with pytest.raises(KeyboardInterrupt):
            trained(third)
    monkeypatch.delenv("TUMORCF_FRESH")
    history = rowfiles.round_trip(trained(third))
    done = tiny_run.folder / "03_training"
    pd.testing.assert_frame_equal(history, rowfiles.read_table(done / "history.csv"))
    assert (third.folder / WEIGHTS).read_bytes() == (done / WEIGHTS).read_bytes()


def test_the_audits_original_is_the_evaluations_prediction(tiny_run):
    file = tiny_run.folder / "04_evaluation" / "rows_predictions.csv.gz"
    rows, predictions = rows_of(tiny_run), rowfiles.read_table(file)
    original = rows[rows["edit"] == "original"].set_index("slice_id")
    columns = [f"p_{name}" for name in config.CLASSES]
    both = predictions.set_index("slice_id")[columns] - original[columns]
    assert both.abs().max().max() < 1e-4  # batches differ in composition, rows in the last digit


def test_pictures_of_examples_are_the_audited_edits(opened, tiny_run):
    prepared, rows = by_fold.load_prepared(opened("05_counterfactuals")), rows_of(tiny_run)
    slice_id, label = rows.loc[0, ["slice_id", "label"]]
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
    drops = {"glioma": [*np.linspace(1, 0, 11)], "meningioma": range(5)}
    drops["pituitary"] = [np.nan, 3, 2, 1, 0]
    labels = [name for name, own in drops.items() for _ in own]
    values = [value for own in drops.values() for value in own]
    scores = pd.DataFrame({"slice_id": range(21), "label": labels, "drop": values})
    chosen = by_fold.at_percentiles(scores, "drop", (0, 50, 100))
    assert chosen["label"].tolist() == ["meningioma"] * 3 + ["glioma"] * 3 + ["pituitary"] * 3
    assert chosen["drop"].tolist() == [0, 2, 4, 0, 0.5, 1, 0, 2, 3]


def test_audit_rows_name_their_fold_and_hold_the_headline_and_every_control(tiny_run):
    rows = rows_of(tiny_run)
    assert set(rows["fold"]) == {0}
    controls = plan.control_edits(TINY.infills, TINY.dilations_at_512, 32, TINY.n_control_places)
    expected = {(e.name, e.infill, e.dilation_px) for e in (*plan.HEADLINE_EDITS, *controls)}
    assert ("sham", "navier_stokes", 1) in expected and ("remove", "telea", 0) in expected
    keys = ["edit", "infill", "dilation_px"]
    assert set(rows[keys].itertuples(index=False, name=None)) == expected
    n_shams = rows[rows["place"] >= 0].groupby(keys)["place"].max() + 1
    assert n_shams.loc[("sham", "navier_stokes", 0)] == TINY.n_places
    assert n_shams.loc[("sham", "telea", 0)] == TINY.n_control_places


def test_finished_rows_are_read_again_when_only_the_resamples_changed(opened, monkeypatch):
    fifth = opened("05_counterfactuals", n_resamples=TINY.n_resamples + 1, purpose="other words")
    monkeypatch.setattr(by_fold, "audit_by", made)
    pd.testing.assert_frame_equal(by_fold.audit(fifth, None), rows_of(fifth.study))


@pytest.mark.parametrize(
    ("stage", "file"),
    [
        ("03_training", WEIGHTS),
        ("02_preprocessing", "masks.npy"),
        ("01_data", "split.csv"),
        (None, None),  # the plan
    ],
)
def test_rows_are_made_again_when_the_plan_or_what_they_come_from_changed(
    opened, monkeypatch, stage, file
):
    fifth = opened("05_counterfactuals", **({} if stage else {"n_places": 3}))
    if stage:
        kept = stages.record(fifth.study, stage)
        kept["hashes"][file] = "another"
        (fifth.study.folder / stage / stages.RECORD).write_text(json.dumps(kept))
    monkeypatch.setattr(by_fold, "audit_by", made)
    with pytest.raises(MadeError):
        by_fold.audit(fifth, None)
