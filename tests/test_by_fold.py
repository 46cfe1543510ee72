"""The path from slices to row files, in miniature: a few phantom slices of 32 pixels."""

import dataclasses
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from tiny_study import TINY, copied, run_to_rows

from tumorcf_lib import rowfiles, steps
from tumorcf_lib.edits import plan
from tumorcf_lib.study import by_fold, results, stages, unit

pytestmark = pytest.mark.usefixtures("small_networks")
WEIGHTS, ROWS = "weights_fold0.npz", "05_counterfactuals/rows_edits.csv.gz"


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
    return rowfiles.read_table(study.folder / ROWS)


killed = mock.Mock(side_effect=KeyboardInterrupt)  # in place of a training or an audit


def test_two_runs_give_identical_row_files_and_weights(tiny_run, tmp_path):
    again = run_to_rows(tmp_path / "again")
    made = "01_data/split.csv", f"03_training/{WEIGHTS}", "03_training/history.csv"
    for file in (*made, "04_evaluation/rows_predictions.csv.gz", ROWS):
        assert (again.folder / file).read_bytes() == (tiny_run.folder / file).read_bytes(), file


def test_a_finished_training_is_not_repeated_and_a_changed_recipe_trains_anew(opened, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(unit, "store", killed)
        history = trained(opened("03_training"))
    assert history["best"].sum() == 1 and "seconds" not in history
    monkeypatch.setattr(unit, "fit", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(opened("03_training", epochs=3))


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
    labels = np.repeat(["glioma", "meningioma", "pituitary"], [11, 5, 5])
    drops = [*np.linspace(1, 0, 11), *range(5), np.nan, 3, 2, 1, 0]
    scores = pd.DataFrame({"slice_id": range(21), "label": labels, "drop": drops})
    chosen = by_fold.at_percentiles(scores, "drop", (0, 50, 100))
    assert chosen["label"].tolist() == ["meningioma"] * 3 + ["glioma"] * 3 + ["pituitary"] * 3
    assert chosen["drop"].tolist() == [0, 2, 4, 0, 0.5, 1, 0, 2, 3]


def test_audit_rows_name_their_fold_and_hold_the_headline_and_every_control(tiny_run):
    rows = rows_of(tiny_run)
    assert set(rows["fold"]) == {0}
    n_shams = rows.groupby(["edit", "infill", "dilation_px"])["place"].max() + 1
    assert n_shams["sham", "navier_stokes", 0] == TINY.n_places
    assert n_shams["sham", "navier_stokes", 1] == TINY.n_control_places
    assert n_shams["sham", "telea", 0] == n_shams["sham", "biharmonic", 0] == TINY.n_control_places
    assert {"original", "only", "blank"} < set(rows["edit"])


def test_rows_are_made_again_for_another_plan_and_not_for_other_resamples(opened, monkeypatch):
    monkeypatch.setattr(by_fold, "audit_by", killed)
    fifth = opened("05_counterfactuals", n_resamples=TINY.n_resamples + 1, purpose="other words")
    pd.testing.assert_frame_equal(by_fold.audit(fifth, None), rows_of(fifth.study))
    with pytest.raises(KeyboardInterrupt):
        by_fold.audit(opened("05_counterfactuals", n_places=3), None)


FILES = ("03_training", WEIGHTS), ("02_preprocessing", "masks.npy"), ("01_data", "split.csv")


@pytest.mark.parametrize(("stage", "name"), FILES)
def test_rows_are_made_again_when_what_they_come_from_changed(opened, monkeypatch, stage, name):
    fifth = opened("05_counterfactuals")
    kept = stages.record(fifth.study, stage)
    kept["hashes"][name] = "another"
    steps.write_json(fifth.study.folder / stage / steps.RECORD, kept)
    monkeypatch.setattr(by_fold, "audit_by", killed)
    with pytest.raises(KeyboardInterrupt):
        by_fold.audit(fifth, None)
