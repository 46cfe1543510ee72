"""Published weights in place of a training: when they are taken, and what they give."""

import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest
from test_runner import small_notebooks, write  # noqa: F401
from tiny_study import TINY, copied, rows_by_networks

from tumorcf_lib import config, digests, rowfiles, steps
from tumorcf_lib.config import CLASSES
from tumorcf_lib.publish import publish
from tumorcf_lib.study import by_fold, notebooks, reference, runtime, side_studies, stages

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
    numbers = steps.read_json(tiny_run.folder / "03_training" / "numbers.json")
    steps.write_json(folder / "numbers.json", {"03_training": numbers})
    write_manifest(folder)
    return folder


@pytest.fixture
def second(tiny_run, tmp_path):
    """A clone in which 01 and 02 were run, and nothing was trained."""
    for name in ("01_data", "02_preprocessing"):
        shutil.copytree(tiny_run.folder / name, tmp_path / "second" / name)
    return dataclasses.replace(tiny_run, folder=tmp_path / "second")


def test_from_the_published_weights_come_the_published_rows(published, second, monkeypatch):
    monkeypatch.setattr(by_fold.unit, "fit", lambda *_: pytest.fail("trained"))
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
    trained = second.folder / "03_training"
    for name in WEIGHTS:
        assert (trained / name).read_bytes() == (published / name).read_bytes()
    note = steps.read_json(trained / "reference.json")
    assert note["note"] == "published weights, not trained here" and note["source"] == "Made up."
    numbers = steps.read_json(published / "numbers.json")["03_training"]
    assert steps.read_json(trained / "numbers.json") == numbers


def test_rows_are_matched_by_slice_and_edit_and_an_edit_that_one_run_lacks_is_a_difference():
    own = pd.DataFrame({"slice_id": [1, 2], "edit": "remove", **dict.fromkeys(P, [0.5, 0.75])})
    theirs = own.assign(p_glioma=[0.5625, 0.75])[::-1]
    assert reference.largest_gap(own, theirs) == (2, 0, 0.0625)
    assert reference.largest_gap(own, own.assign(edit=["remove", "sham"]))[1] == 2
    not_made = own.assign(p_glioma=[0.5, np.nan])
    assert reference.largest_gap(not_made, not_made)[2] == 0
    assert reference.largest_gap(own, not_made)[2] == np.inf
    assert "may be why" not in reference.in_words(2, 0, reference.TOLERANCE)
    assert "may be why" in reference.in_words(2, 0, 0.002)


def test_another_split_is_refused_and_the_persons_seen_are_counted(published, second):
    split = rowfiles.read_table(published / "split.csv")
    tested, trained = (split.loc[split["part"] == k, "person_id"] for k in ("test", "train"))
    swapped = {tested.iloc[0]: "train", trained.iloc[0]: "test"}
    split["part"] = split["person_id"].map(swapped).fillna(split["part"])
    rowfiles.write_table(split, published / "split.csv")
    write_manifest(published)
    words = f"learned from, or were chosen by, 1 of its {tested.nunique()} tested patients"
    with pytest.raises(stages.StageError, match=words):
        reference.install(second)
    assert stages.why_stale(second, "03_training") == "it was never finished"


def test_networks_of_another_recipe_or_seed_and_changed_files_are_refused(published, second):
    for changes, words in (({"seed": 1}, "seed 1, not 0"), ({"epochs": 9}, "epochs 9, not 2")):
        write_manifest(published, **changes)
        assert words in reference.why_not(second)
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


@pytest.mark.usefixtures("small_notebooks")
def test_from_04_on_a_fresh_clone_runs_what_is_needed_and_trains_nothing(tmp_path, monkeypatch):
    """Six notebooks that finish their stage; the weights that are published are a few bytes."""
    monkeypatch.setattr(config, "FIGURES", tmp_path / "figures")
    monkeypatch.setenv("TUMORCF_RUNS", str(tmp_path / "runs"))
    split = {"person_id": ["a", "b"], "part": ["train", "test"]}
    for name in stages.NAMES:
        cells = f"stage.save_table(results.pd.DataFrame({split}), 'split')", "stage.finish()"
        write(config.NOTEBOOKS, name, *cells)
    smoke = runtime.Study(config.get("smoke"), 0, tmp_path / "runs" / "smoke")
    folder = config.published("smoke")
    folder.mkdir(parents=True)
    rowfiles.write_table(pd.DataFrame(split), folder / "split.csv")
    for name in (*WEIGHTS, *reference.HISTORIES):
        (folder / name).write_text(name)
    steps.write_json(folder / "numbers.json", {"03_training": {}})
    write_manifest(folder, smoke.profile)
    done = notebooks.run(smoke, first="04", last="04")
    assert list(done) == list(stages.NAMES[:4])
    assert [minutes > 0 for minutes in done.values()] == [True, True, False, True]
    assert not notebooks.executed_copy(smoke, "03_training").exists()
    again = notebooks.run(smoke, first="04", last="04")
    assert again == {"04_evaluation": 0}  # nothing is stale, nothing is taken again
    trained = notebooks.run(smoke, first="03", last="03")
    assert trained["03_training"] > 0 and not reference.is_installed(smoke)
