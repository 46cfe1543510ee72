"""Published weights in place of a training: when they are taken, and what they give."""

import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from test_runner import small_notebooks, write  # noqa: F401
from tiny_study import TINY, copied, rows_by_networks

from tumorcf_lib import config, digests, rowfiles, steps
from tumorcf_lib.config import CLASSES
from tumorcf_lib.publish import publish
from tumorcf_lib.study import (
    by_fold as folds,
    notebooks as runner,
    reference,
    runtime,
    side_studies,
    stages,
)

pytestmark = pytest.mark.usefixtures("small_networks")
P = [f"p_{name}" for name in CLASSES]
WEIGHTS = ("weights_fold0.npz", "weights_hardened_fold0.npz", "weights_looking_fold0.npz")
AT_MOST = 1e-4  # as in test_published_weights
LATER = ("04_evaluation", "05_counterfactuals")


def write_manifest(folder, profile=TINY, *, seed=0, **changes):
    """The manifest of a folder's files, perhaps with settings of its profile changed."""
    told = {"profile": profile.as_dict() | changes, "seed": seed, "source": "Made up."}
    side_studies.write_manifest(folder, told)


@pytest.fixture
def published(tiny_run, tmp_path, monkeypatch):
    """Folder of the tiny run's published files, which a test may change."""
    monkeypatch.setattr(config, "FIGURES", tmp_path / "figures")
    folder = config.published(TINY.name)
    folder.mkdir(parents=True)
    for path in tiny_run.folder.glob("0[1-5]*/*"):
        if path.suffix in (".csv", ".gz", ".npz"):
            shutil.copyfile(path, folder / path.name)
    numbers = json.loads((tiny_run.folder / "03_training" / "numbers.json").read_text())
    (folder / "numbers.json").write_text(json.dumps({"03_training": numbers}))
    write_manifest(folder)
    return folder


@pytest.fixture
def second(tiny_run, tmp_path):
    """A clone in which 01 and 02 were run, and nothing was trained."""
    for name in ("01_data", "02_preprocessing"):
        shutil.copytree(tiny_run.folder / name, tmp_path / "second" / name)
    return dataclasses.replace(tiny_run, folder=tmp_path / "second")


# -- what they give ----------------------------------------------------------


def test_from_the_published_weights_come_the_published_rows(published, second, monkeypatch):
    monkeypatch.setattr(folds.unit, "fit", lambda *_: pytest.fail("trained"))
    assert not reference.is_installed(second)
    reference.install(second)
    assert reference.is_installed(second) and stages.why_stale(second, "03_training") is None
    rows_by_networks(second)
    names = {"rows_predictions": "04_evaluation", "rows_edits": "05_counterfactuals"}
    assert [told.split(":")[0] for told in reference.compared(second)] == list(names)
    for name, stage in names.items():
        theirs = rowfiles.read_table(published / f"{name}.csv.gz")
        own = rowfiles.read_table(second.folder / stage / f"{name}.csv.gz")
        n, n_unmatched, largest = reference.largest_gap(own, theirs)
        assert (n, n_unmatched) == (len(theirs), 0) and largest <= AT_MOST

    hashes = stages.record(second, "03_training")["hashes"]
    assert set(hashes) == {*WEIGHTS, *reference.HISTORIES, "reference.json", "numbers.json"}
    manifest = json.loads((published / "manifest.json").read_text())
    assert all(hashes[name] == manifest["sha256"][name] for name in WEIGHTS)
    note = json.loads((second.folder / "03_training" / "reference.json").read_text())
    assert note["note"] == "published weights, not trained here" and note["source"] == "Made up."
    numbers = json.loads((second.folder / "03_training" / "numbers.json").read_text())
    assert numbers == json.loads((published / "numbers.json").read_text())["03_training"]


def rows(p_glioma, slice_ids=(1, 2), edits=("remove", "remove")):
    table = pd.DataFrame({"slice_id": slice_ids, "edit": edits})
    return table.assign(p_meningioma=0.1, p_glioma=p_glioma, p_pituitary=0.2)


def test_rows_are_matched_by_slice_and_edit_and_an_edit_that_one_run_lacks_is_a_difference():
    own, theirs = rows([0.5, 0.75]), rows([0.75, 0.5625], slice_ids=(2, 1))
    assert reference.largest_gap(own, theirs) == (2, 0, 0.0625)
    other = rows([0.5, 0.75], edits=("remove", "sham"))
    assert reference.largest_gap(own, other)[1] == 2
    not_made = rows([0.5, np.nan])
    assert reference.largest_gap(not_made, not_made)[2] == 0
    assert reference.largest_gap(own, not_made)[2] == np.inf
    assert "may be why" not in reference.in_words(2, 0, reference.TOLERANCE)
    assert "may be why" in reference.in_words(2, 0, 0.002)


# -- when they are refused ---------------------------------------------------


def test_another_split_is_refused_and_the_persons_seen_are_counted(published, second):
    """Of the persons tested here one was trained on: its part in the published split is swapped."""
    split = rowfiles.read_table(published / "split.csv")
    tested, trained = (
        split.loc[split["part"] == part, "person_id"].iloc[0] for part in ("test", "train")
    )
    n_tested = split.loc[split["part"] == "test", "person_id"].nunique()
    split.loc[split["person_id"] == tested, "part"] = "train"
    split.loc[split["person_id"] == trained, "part"] = "test"
    rowfiles.write_table(split, published / "split.csv")
    write_manifest(published)
    words = f"learned from, or were chosen by, 1 of its {n_tested} tested patients"
    with pytest.raises(stages.StageError, match=words):
        reference.install(second)
    assert stages.why_stale(second, "03_training") == "it was never finished"


def test_networks_of_another_recipe_or_seed_and_changed_files_are_refused(published, second):
    write_manifest(published, seed=1)
    assert "seed 1, not 0" in reference.why_not(second)
    write_manifest(published, epochs=9)
    assert "epochs 9, not 2" in reference.why_not(second)
    write_manifest(published, n_resamples=9)
    assert reference.why_not(second) is None  # networks do not depend on it
    for missing, words in (("size_px", "size_px 224, not 32"), ("dropout", None)):  # the usual ones
        write_manifest(published)
        manifest = steps.read_json(published / "manifest.json")
        del manifest["profile"][missing]
        steps.write_json(published / "manifest.json", manifest)
        reason = reference.why_not(second)
        assert words in reason if words else reason is None
    path = published / WEIGHTS[2]
    for spoil in (lambda: path.write_bytes(path.read_bytes() + b" "), path.unlink):
        spoil()
        assert f"file {path.name} is missing, cut off, or changed" in reference.why_not(second)


def test_a_run_on_published_weights_is_not_published_again(published, second, monkeypatch):
    reference.install(second)
    monkeypatch.setattr(config, "get", lambda name: dataclasses.replace(TINY, name="tiny"))
    monkeypatch.setattr(publish.runtime, "Study", lambda *_: second)
    monkeypatch.setattr(stages, "why_stale", lambda *_: None)
    with pytest.raises(publish.PublishError, match="not a training"):
        publish.publish("tiny")


# -- when they are taken -----------------------------------------------------


def test_they_are_taken_where_nobody_began_to_train_and_renewed_when_stale(
    published, second, tiny_run, tmp_path, monkeypatch
):
    assert reference.wanted(second, LATER)
    assert not reference.wanted(second, ("03_training", *LATER))  # 03 itself was asked for
    assert not reference.wanted(second, ("01_data",))  # needs no network
    (second.folder / "03_training" / "fold0").mkdir(parents=True)
    assert not reference.wanted(second, LATER)
    shutil.rmtree(second.folder / "03_training")
    reference.install(second)
    assert not reference.wanted(second, LATER)  # up to date
    monkeypatch.setattr(digests, "code_digest", lambda *names: "other code")
    assert reference.wanted(second, LATER)
    assert not reference.wanted(copied(tiny_run, tmp_path / "own"), LATER)


def test_from_04_on_a_fresh_clone_runs_what_is_needed_and_trains_nothing(
    small_notebooks,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    """Six notebooks that finish their stage; the weights that are published are a few bytes."""
    monkeypatch.setattr(config, "FIGURES", tmp_path / "figures")
    monkeypatch.setenv("TUMORCF_RUNS", str(tmp_path / "runs"))
    split = {"person_id": ["a", "b"], "part": ["train", "test"]}
    for name in stages.NAMES:
        cells = f"stage.save_table(results.pd.DataFrame({split}), 'split')", "stage.finish()"
        write(small_notebooks, name, *cells)
    smoke = runtime.Study(config.get("smoke"), 0, tmp_path / "runs" / "smoke")
    folder = config.published("smoke")
    folder.mkdir(parents=True)
    rowfiles.write_table(pd.DataFrame(split), folder / "split.csv")
    for name in (*WEIGHTS, *reference.HISTORIES):
        (folder / name).write_text(name)
    (folder / "numbers.json").write_text(json.dumps({"03_training": {}}))
    write_manifest(folder, smoke.profile)

    done = runner.run(smoke, first="04", last="04")
    assert list(done) == list(stages.NAMES[:4])
    assert [minutes > 0 for minutes in done.values()] == [True, True, False, True]
    assert not runner.executed_copy(smoke, "03_training").exists()
    again = runner.run(smoke, first="04", last="04")
    assert again == {"04_evaluation": 0}  # nothing is stale, nothing is taken again
    trained = runner.run(smoke, first="03", last="03")
    assert trained["03_training"] > 0 and not reference.is_installed(smoke)
