"""Folds and seeds are run one by one, and pooled into rows that anybody can check."""

import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import tiny_heads
import tiny_study

from tumorcf_lib import rowfiles, steps
from tumorcf_lib.config import CLASSES
from tumorcf_lib.data import cohort
from tumorcf_lib.publish import publish
from tumorcf_lib.study import folds as crossval
from tumorcf_lib.study import notebooks, pooled, recipes, results, stages
from tumorcf_lib.study.side_studies import UnfinishedStudyError
from tumorcf_lib.tables import folds as pooled_tables
from tumorcf_lib.tables.folds import AVERAGED, ONE, P

PROFILE = dataclasses.replace(
    tiny_study.TINY, name="tiny-cv", n_folds=3, phantom_patients=6, n_resamples=50,
)  # fmt: skip


def quiet(_):
    pass


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        tiny_study.allow_small_splits(patch)
        patch.setattr(crossval.splits, "check", lambda table, **_: table)
        patch.setitem(
            recipes.RECIPES, "one epoch", {"epochs": 1, "warmup_epochs": 1, "size_px": 32}
        )
        study = tiny_study.run_to_inputs(tmp_path_factory.mktemp("cv"), PROFILE)
        crossval.run(study, progress=quiet)
        crossval.run(study, fold_numbers=[1], recipe="one epoch", progress=quiet)
        crossval.pool(study)
        yield study


def read(study, name):
    return rowfiles.read_table(crossval._file(study.folder, name))


def copied(study, folder):
    shutil.copytree(study.folder, folder)
    return dataclasses.replace(study, folder=folder)


def test_every_slice_is_tested_once_by_a_network_that_never_saw_its_person(finished):
    rows, split = read(finished, "rows_predictions"), rowfiles.read_table(
        finished.folder / "01_data" / "split.csv"
    )
    for _, own in rows.groupby("view"):
        assert sorted(own["slice_id"]) == sorted(split["slice_id"].unique())
    seen = split[split["part"] != "test"].groupby("fold")["person_id"].agg(set)
    assert not any(row.person_id in seen[row.fold] for row in rows.itertuples())


def test_every_slice_is_audited_and_says_what_its_network_predicted(finished):
    rows, edits = read(finished, "rows_predictions"), read(finished, "rows_edits")
    original = edits[edits["edit"] == "original"].set_index("slice_id")
    as_is = rows[rows["view"] == "as is"].set_index("slice_id")
    assert set(original.index) == set(as_is.index)
    np.testing.assert_allclose(
        original.loc[as_is.index, P], as_is[P], atol=publish.ROW_TOLERANCE
    )


def test_slices_are_predicted_as_they_are_and_flipped():
    slices, masks, labels, persons, _ = tiny_heads.cohort(6)
    own = cohort.from_arrays(
        slices, masks, labels, persons, classes=CLASSES, name="heads", source="drawn"
    )

    def by_left_half(shown, **_):
        left = np.asarray(shown[:])[:, :, :16].mean(axis=(1, 2))
        return np.stack([left / 100, 0 * left, 1 - left / 100], axis=1)

    table = crossval._predictions(by_left_half, own, fold=4, seed=2)
    assert table["view"].tolist() == ["as is"] * len(own) + ["flipped"] * len(own)
    assert set(table["fold"]) == {4} and set(table["training_seed"]) == {2}
    expected = [by_left_half(slices), by_left_half(slices[:, :, ::-1])]
    np.testing.assert_allclose(table[P], np.concatenate(expected), atol=1e-6)


def test_flipping_turns_left_and_right():
    slices = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    flipped = crossval._Flipped(slices)
    assert len(flipped) == 2
    assert flipped[0:1].tolist() == [[[2, 1, 0], [5, 4, 3]]]


def test_finished_units_are_left_alone(finished):
    said = []
    before = (crossval.unit_folder(finished, 0, 0) / "weights.npz").stat().st_mtime_ns
    crossval.run(finished, progress=said.append)
    assert said == [f"fold {fold}, seed 0: up to date, skipped" for fold in range(3)]
    assert (crossval.unit_folder(finished, 0, 0) / "weights.npz").stat().st_mtime_ns == before


def test_a_killed_unit_goes_on_to_the_same_rows(finished, tmp_path, monkeypatch):
    study = copied(finished, tmp_path / "killed")
    shutil.rmtree(crossval.unit_folder(study, 2, 0))

    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(crossval.audits, "audit", die)
        with pytest.raises(KeyboardInterrupt):
            crossval.run(study, fold_numbers=[2], progress=quiet)
    said = []
    crossval.run(study, fold_numbers=[2], progress=said.append)
    assert said[0] == "fold 2, seed 0: it was interrupted"
    for name in ("rows_predictions", "rows_validation", "rows_edits", "history"):
        again = crossval._file(crossval.unit_folder(study, 2, 0), name)
        assert again.read_bytes() == crossval._file(
            crossval.unit_folder(finished, 2, 0), name
        ).read_bytes()


def test_a_unit_of_other_settings_is_made_anew(finished):
    other = dataclasses.replace(
        finished, profile=dataclasses.replace(PROFILE, learning_rate=PROFILE.learning_rate * 2)
    )
    source = results.Results(other, "03_training", other.folder / "03_training")
    assert crossval.why_unfinished(other, source, 0, 0) == "settings changed since"


def test_if_only_the_audit_changed_the_network_is_kept(finished, tmp_path):
    study = copied(finished, tmp_path / "audited")
    folder = crossval.unit_folder(study, 0, 0)
    path = folder / crossval.RECORD
    record = json.loads(path.read_text())
    record["depends_on"]["audit"] = "older code"
    path.write_text(json.dumps(record))
    rowfiles.write_table(pd.DataFrame({"edit": []}), folder / "rows_edits.csv.gz")
    steps.seal(folder)
    trained = (folder / "weights.npz").stat().st_mtime_ns
    said = []
    crossval.run(study, fold_numbers=[0], progress=said.append)
    assert said[0] == "fold 0, seed 0: audit changed since"
    assert (folder / "weights.npz").stat().st_mtime_ns == trained
    was = crossval.unit_folder(finished, 0, 0) / "rows_edits.csv.gz"
    assert (folder / "rows_edits.csv.gz").read_bytes() == was.read_bytes()


def source_of(study):
    return results.Results(study, "03_training", study.folder / "03_training")


def test_a_unit_that_another_process_makes_is_refused_and_others_are_not(finished, tmp_path):
    study = copied(finished, tmp_path / "twice")
    with notebooks.only_run(study.folder / "units", "fold0_seed0.in_use"):
        with pytest.raises(stages.StageError, match="Another run writes to"):
            crossval.run(study, fold_numbers=[0], progress=quiet)
        crossval.run(study, fold_numbers=[1, 2], progress=quiet)


def test_what_a_kill_left_of_an_older_units_removal_is_not_taken_for_a_new_one(
    finished, tmp_path, monkeypatch
):
    study = copied(finished, tmp_path / "older")
    folder, trained = crossval.unit_folder(study, 0, 0), []
    record = json.loads((folder / crossval.RECORD).read_text())
    record["depends_on"]["code"] = "older code"
    (folder / crossval.RECORD).write_text(json.dumps(record))
    steps.seal(folder)

    def killed(folder, **_):
        if folder.exists():  # one file is gone, the others are still there
            (folder / crossval.RECORD).unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(steps.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            crossval.run(study, fold_numbers=[0], progress=quiet)
    monkeypatch.setattr(crossval, "_train", lambda *words: trained.append(words))
    with pytest.raises(FileNotFoundError):  # nothing was trained, and no older weights are there
        crossval.run(study, fold_numbers=[0], progress=quiet)
    assert len(trained) == 1


def test_weights_without_a_record_are_of_nobody_knows_what_and_made_again(
    finished, tmp_path, monkeypatch
):
    study = copied(finished, tmp_path / "lost")
    (crossval.unit_folder(study, 0, 0) / crossval.RECORD).unlink()
    monkeypatch.setattr(crossval, "_train", lambda *_: None)
    with pytest.raises(FileNotFoundError):
        crossval.run(study, fold_numbers=[0], progress=quiet)


@pytest.mark.parametrize("text", ["", '{"fold": 0', "[]", '{"fold": 0, "finished": true}'])
def test_a_damaged_record_of_a_unit_is_named_and_not_pooled(finished, tmp_path, text):
    study = copied(finished, tmp_path / "damaged")
    (crossval.unit_folder(study, 0, 0) / crossval.RECORD).write_text(text)
    reason = crossval.why_unfinished(study, source_of(study), 0, 0)
    assert reason == "its record unit.json is damaged"
    with pytest.raises(crossval.UnitError, match="fold0_seed0/unit.json is damaged"):
        crossval.pool(study)


def test_a_units_file_that_was_cut_off_in_copying_is_named_and_not_pooled(finished, tmp_path):
    study = copied(finished, tmp_path / "cut")
    rows = crossval._file(crossval.unit_folder(study, 2, 0), "rows_edits")
    rows.write_bytes(rows.read_bytes()[:-9])
    reason = crossval.why_unfinished(study, source_of(study), 2, 0)
    assert reason == "its file rows_edits.csv.gz is not as it was made"
    with pytest.raises(crossval.UnitError, match="fold2_seed0/rows_edits.csv.gz is not as it was"):
        crossval.pool(study)


def test_a_kill_before_an_audit_is_made_again_keeps_the_network(finished, tmp_path, monkeypatch):
    study = copied(finished, tmp_path / "kept")
    folder = crossval.unit_folder(study, 0, 0)
    record = json.loads((folder / crossval.RECORD).read_text())
    record["depends_on"]["audit"] = "older code"
    (folder / crossval.RECORD).write_text(json.dumps(record))
    steps.seal(folder)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(crossval, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            crossval.run(study, fold_numbers=[0], progress=quiet)
    monkeypatch.setattr(crossval, "_train", lambda *_: pytest.fail("trained again"))
    crossval.run(study, fold_numbers=[0], progress=quiet)
    assert crossval.why_unfinished(study, source_of(study), 0, 0) is None


def test_recipes_see_validation_persons_only(finished):
    folder = crossval.unit_folder(finished, 1, 0, "one epoch")
    assert not (folder / "rows_predictions.csv.gz").exists()
    assert not (folder / "rows_edits.csv.gz").exists()
    tried = read(finished, "rows_recipes")
    split = rowfiles.read_table(finished.folder / "01_data" / "split.csv")
    held = split[(split["fold"] == 1) & (split["part"] == "validation")]
    assert set(tried["slice_id"]) == set(held["slice_id"])


def test_a_recipe_may_make_the_slices_smaller(finished, monkeypatch):
    shown = []
    monkeypatch.setattr(crossval, "_train", lambda profile, prepared, *_: shown.append(prepared))
    monkeypatch.setitem(recipes.RECIPES, "small", {"size_px": 32})
    with pytest.raises(FileNotFoundError):  # there is no network, since nothing was trained
        crossval.run(finished, fold_numbers=[0], recipe="small", progress=quiet)
    assert shown[0].slices.shape[1:] == (32, 32)
    assert len(shown[0].slices) == len(shown[0])


def test_a_recipe_is_held_against_the_kept_one_on_the_same_folds(finished):
    table = pooled_tables.recipes_table(lambda name: read(finished, name),
                                 read(finished, "rows_validation"))
    row = table[(table["recipe"] == "one epoch") & (table["views"] == "as is")].iloc[0]
    kept = read(finished, "rows_validation").query("fold == 1 and view == 'as is'")
    p = kept[P].to_numpy()
    right = p.argmax(axis=1) == pd.Index(CLASSES).get_indexer(kept["label"])
    assert row["folds"] == "1"
    assert row["kept_slice_accuracy"] == pytest.approx(right.mean())


@pytest.mark.parametrize(("options", "words"), [
    ({"fold_numbers": [3]}, "no fold 3"),
    ({"recipe": "magic"}, "no recipe 'magic'"),
])  # fmt: skip
def test_what_does_not_exist_is_named(finished, options, words):
    with pytest.raises(crossval.UnitError, match=words):
        crossval.run(finished, **options)


def test_a_hold_out_profile_has_no_folds(finished):
    one = dataclasses.replace(finished, profile=tiny_study.TINY)
    with pytest.raises(crossval.UnitError, match="one hold-out split"):
        crossval.run(one)


def test_missing_folds_are_named(finished, tmp_path):
    study = copied(finished, tmp_path / "partial")
    shutil.rmtree(crossval.unit_folder(study, 1, 0))
    with pytest.raises(UnfinishedStudyError, match=r"folds \[1\] are missing"):
        crossval.pool(study)


def test_an_unfinished_second_seed_does_not_count(finished, tmp_path):
    study = copied(finished, tmp_path / "second")
    shutil.copytree(crossval.unit_folder(study, 0, 0), crossval.unit_folder(study, 0, 1))
    path = crossval.unit_folder(study, 0, 1) / crossval.RECORD
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seed": 1}))
    steps.seal(path.parent)
    assert crossval.pool(study) == [0]


def test_units_of_another_split_are_refused(finished, tmp_path):
    study = copied(finished, tmp_path / "foreign")
    path = crossval.unit_folder(study, 2, 0) / crossval.RECORD
    record = json.loads(path.read_text())
    record["depends_on"]["split"] = "another"
    path.write_text(json.dumps(record))
    steps.seal(path.parent)
    with pytest.raises(crossval.UnitError, match="Fold 2, seed 0 differs .* in: split"):
        crossval.pool(study)


def test_published_folds_are_recomputed_from_their_rows(finished, tmp_path):
    target = pooled.publish(finished.folder, tmp_path / "figures", profile=PROFILE)
    assert publish.SIDE_STUDIES["paper-lite-cv"] is pooled
    problems, recomputed = pooled.STUDY.verify(target, publish._compare)
    assert problems == []
    assert {"table_performance.csv", "table_recipes.csv", "table_scores.csv"} <= recomputed
    table = rowfiles.read_table(target / "table_folds.csv")
    table.loc[1, "slice_accuracy"] += 0.01
    rowfiles.write_table(table, target / "table_folds.csv")
    problems, _ = pooled.STUDY.verify(target, publish._compare)
    assert len(problems) == 1
    assert "table_folds.csv, row 2, slice_accuracy" in problems[0]
    told = pooled.sentences(target)
    first = rowfiles.read_table(target / "table_performance.csv").iloc[0]
    assert told[0].startswith(f"Out of fold over all {first['n']} slices") and len(told) == 7
    assert [sentence.split(":")[0] for sentence in told[4:]] == [c.capitalize() for c in CLASSES]
    assert all((target / f"{name}.png").is_file() for name in pooled.STUDY.figures)


def test_tables_and_figures_are_made_again_from_published_rows_alone(finished, tmp_path):
    target = pooled.publish(finished.folder, tmp_path / "figures", profile=PROFILE)
    first = {path.name: path.read_bytes() for path in target.iterdir()}
    for path in target.iterdir():
        if path.name.startswith(("table_", "fig_")):
            path.unlink()
    pooled.STUDY.derive_again(target)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == first
    with pytest.raises(UnfinishedStudyError, match="is not published"):
        pooled.STUDY.derive_again(tmp_path / "elsewhere")



# -- tables with a known answer ----------------------------------------------


def predictions_of(p_true, *, fold=0, seed=0, view="as is", start=0):
    """Slices of one person each, of classes in turn, right with these probabilities."""
    rows = []
    for i, p in enumerate(p_true, start):
        label = CLASSES[i % 3]
        others = (1 - p) / 2
        row = {"training_seed": seed, "fold": fold, "view": view, "slice_id": i,
               "patient_id": f"p{i}", "person_id": f"p{i}", "label": label}
        rows.append(row | {f"p_{name}": p if name == label else others for name in CLASSES})
    return pd.DataFrame(rows)


def test_spread_finds_what_was_planted():
    folds, seeds = np.array([0.0, 0.1, 0.2, 0.3]), np.array([0.0, 0.02, 0.04])
    fold, seed, rest = pooled_tables._components(seeds[:, None] + folds)
    assert fold == pytest.approx(folds.std(ddof=1))
    assert seed == pytest.approx(seeds.std(ddof=1))
    assert rest == pytest.approx(0, abs=1e-12)


def test_one_seed_says_nothing_of_seeds():
    fold, seed, rest = pooled_tables._components(np.array([[0.9, 0.8, 1.0]]))
    assert fold == pytest.approx(0.1)
    assert np.isnan(seed) and np.isnan(rest)


def test_each_fold_has_its_own_temperature():
    right = np.random.default_rng(0).random(300) < 0.7
    parts = []
    for fold, confidence in enumerate((0.99, 0.7)):  # too sure of itself, and honest
        rows = predictions_of([confidence] * 300, fold=fold, start=300 * fold)
        p = rows[P].to_numpy(copy=True)
        p[~right] = np.roll(p[~right], 1, axis=1)  # another class is named, as surely
        rows[P] = p
        parts.append(rows)
    tested = pd.concat(parts)
    table = pooled_tables.reliability_table(tested, tested)
    table = table.groupby("kind", sort=False)["ece"].first()
    assert table["slices"] > 0.1
    assert table["slices, temperature"] < 0.03


def test_means_over_seeds_and_views_are_told_apart():
    wrong, right = [0.2] * 30, [0.9] * 30
    rows = pd.concat([
        predictions_of(right, seed=seed, view=view) if (seed, view) != (1, "flipped")
        else predictions_of(wrong, seed=seed, view=view)
        for seed in (0, 1) for view in crossval.VIEWS
    ])  # fmt: skip
    table = pooled_tables.performance_table(rows, n_resamples=20)
    got = table[(table["metric"] == "accuracy") & (table["level"] == "slice")]
    assert got[["networks", "views", "training_seed"]].to_numpy().tolist() == [
        [ONE, "as is", "0"], [ONE, "as is", "1"],
        [AVERAGED, "as is", ""],
        [ONE, "and flipped", "0"], [ONE, "and flipped", "1"],
        [AVERAGED, "and flipped", ""],
    ]  # fmt: skip
    assert (got["value"] == 1).all()
    brier = table[(table["metric"] == "Brier") & (table["level"] == "slice")].set_index(
        ["networks", "views", "training_seed"]
    )["value"]
    assert brier[ONE, "and flipped", "1"] > brier[AVERAGED, "and flipped", ""]
