"""Folds and seeds are run one by one, and pooled into rows that anybody can check."""

import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import tiny_study

from tumorcf_lib import rowfiles, steps
from tumorcf_lib.config import CLASSES
from tumorcf_lib.publish import publish
from tumorcf_lib.stats import classification
from tumorcf_lib.study import folds as crossval
from tumorcf_lib.study import notebooks, pool, pooled, recipes, results, stages, unit
from tumorcf_lib.study.side_studies import UnfinishedStudyError
from tumorcf_lib.tables import fold_scores
from tumorcf_lib.tables import folds as pooled_tables
from tumorcf_lib.tables.folds import AVERAGED, MEAN_OF_ONE, ONE, P

PROFILE = dataclasses.replace(
    tiny_study.TINY, name="tiny-cv", n_folds=3, phantom_patients=6, n_resamples=50,
    validates=False,
)  # fmt: skip


def quiet(_):
    pass


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        tiny_study.allow_small_splits(patch)
        patch.setattr(crossval.splits, "check", lambda table, **_: table)
        patch.setitem(
            recipes.RECIPES, "one epoch",
            {"epochs": 1, "warmup_epochs": 1, "size_px": 32, "validates": True},
        )
        study = tiny_study.run_to_inputs(tmp_path_factory.mktemp("cv"), PROFILE)
        crossval.run(study, progress=quiet)
        crossval.run(study, fold_numbers=[0, 1], seed=1, shuffled=True, progress=quiet)
        crossval.run(study, fold_numbers=[1], recipe="one epoch", progress=quiet)
        pool.pool(study)
        yield study


def read(study, name):
    return rowfiles.read_table(crossval.file_of(study.folder, name))


def copied(study, folder):
    shutil.copytree(study.folder, folder)
    return dataclasses.replace(study, folder=folder)


def test_every_slice_is_tested_once_by_a_network_that_never_saw_its_person(finished):
    rows, split = read(finished, "rows_predictions"), rowfiles.read_table(
        finished.folder / "01_data" / "split.csv"
    )
    own = rows[rows["network"] == "plain"]
    assert sorted(own["slice_id"]) == sorted(split["slice_id"].unique())
    seen = split[split["part"] != "test"].groupby("fold")["person_id"].agg(set)
    assert not any(row.person_id in seen[row.fold] for row in rows.itertuples())


def test_every_slice_is_audited_and_says_what_its_network_predicted(finished):
    rows, edits = read(finished, "rows_predictions"), read(finished, "rows_edits_plain_seed0")
    original = edits[edits["edit"] == "original"].set_index("slice_id")
    as_is = rows[rows["network"] == "plain"].set_index("slice_id")
    assert set(original.index) == set(as_is.index)
    np.testing.assert_allclose(
        original.loc[as_is.index, P], as_is[P], atol=publish.ROW_TOLERANCE
    )


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
    for name in ("rows_predictions", "rows_edits", "rows_transplants", "history"):
        again = crossval.file_of(crossval.unit_folder(study, 2, 0), name)
        assert again.read_bytes() == crossval.file_of(
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
        pool.pool(study)


def test_a_units_file_that_was_cut_off_in_copying_is_named_and_not_pooled(finished, tmp_path):
    study = copied(finished, tmp_path / "cut")
    rows = crossval.file_of(crossval.unit_folder(study, 2, 0), "rows_edits")
    rows.write_bytes(rows.read_bytes()[:-9])
    reason = crossval.why_unfinished(study, source_of(study), 2, 0)
    assert reason == "its file rows_edits.csv.gz is not as it was made"
    with pytest.raises(crossval.UnitError, match="fold2_seed0/rows_edits.csv.gz is not as it was"):
        pool.pool(study)


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


def test_shuffled_labels_give_each_patient_one_class_and_each_class_as_many_patients(finished):
    prepared = unit.load_prepared(source_of(finished))
    deals = [crossval.shuffled_labels(prepared, seed) for seed in (1, 1, 2)]
    assert (deals[0] == deals[1]).all() and (deals[0] != deals[2]).any()
    for dealt in deals:
        by_person = pd.DataFrame({"person": prepared.persons, "label": dealt}).groupby("person")
        assert (by_person["label"].nunique() == 1).all()
        true = pd.Series(prepared.labels, prepared.persons).groupby(level=0).first()
        assert by_person["label"].first().value_counts().to_dict() == (
            true.value_counts().to_dict()
        )


def test_units_that_know_nothing_are_audited_on_the_true_classes(finished):
    rows = read(finished, "rows_edits_shuffled_seed1")
    plain = read(finished, "rows_edits_plain_seed0").query("fold < 2 and edit == 'original'")
    own = rows[rows["edit"] == "original"]
    assert sorted(own["fold"].unique()) == [0, 1]
    assert own["label"].tolist() == plain["label"].tolist()
    assert (own[P].to_numpy() != plain[P].to_numpy()).any()


def test_a_seed_is_pooled_as_far_as_its_folds_are_there_but_published_whole(finished, tmp_path):
    study = copied(finished, tmp_path / "partial")
    shutil.rmtree(crossval.unit_folder(study, 1, 0))
    units = pool.pool(study)
    assert units.query("network == 'plain'")["fold"].tolist() == [0, 2]
    with pytest.raises(UnfinishedStudyError, match="No seed has all 3 folds"):
        pooled.publish(study.folder, tmp_path / "figures", profile=PROFILE)


def test_units_published_before_are_kept_beside_new_ones_of_the_same_making(finished, tmp_path):
    target = pooled.publish(finished.folder, tmp_path / "figures", profile=PROFILE)
    first = {path.name: path.read_bytes() for path in target.iterdir()}
    study = copied(finished, tmp_path / "later")
    for fold in range(3):
        if fold != 1:
            shutil.rmtree(crossval.unit_folder(study, fold, 0))
    shutil.rmtree(study.folder / "shuffled")
    shutil.rmtree(study.folder / "recipes")
    pooled.publish(study.folder, target, profile=PROFILE)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == first


def test_units_of_another_making_are_refused(finished, tmp_path):
    study = copied(finished, tmp_path / "foreign")
    path = crossval.unit_folder(study, 2, 0) / crossval.RECORD
    record = json.loads(path.read_text())
    record["depends_on"]["split"] = "another"
    path.write_text(json.dumps(record))
    steps.seal(path.parent)
    with pytest.raises(crossval.UnitError, match="fold2_seed0 was made from other"):
        pool.pool(study)


def test_published_folds_are_recomputed_from_their_rows(finished, tmp_path):
    target = pooled.publish(finished.folder, tmp_path / "figures", profile=PROFILE)
    assert publish.SIDE_STUDIES["paper-lite-cv"] is pooled
    problems, recomputed = pooled.STUDY.verify(target, publish._compare)
    assert problems == []
    assert {"table_performance.csv", "table_primary.csv", "table_still_right.csv"} <= recomputed
    table = rowfiles.read_table(target / "table_folds.csv")
    table.loc[1, "slice_accuracy"] += 0.01
    rowfiles.write_table(table, target / "table_folds.csv")
    problems, _ = pooled.STUDY.verify(target, publish._compare)
    assert len(problems) == 1
    assert "table_folds.csv, row 2, slice_accuracy" in problems[0]
    told = pooled.performance_sentences(target)
    first = rowfiles.read_table(target / "table_performance.csv").iloc[0]
    assert told[0].startswith(f"Out of fold over all {first['n']} slices")
    assert len(pooled.answer_sentences(target)) == 2  # a phantom has one site
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


def predictions_of(p_true, *, fold=0, seed=0, start=0):
    """Slices of one person each, of classes in turn, right with these probabilities."""
    rows = []
    for i, p in enumerate(p_true, start):
        label = CLASSES[i % 3]
        others = (1 - p) / 2
        row = {"network": "plain", "training_seed": seed, "fold": fold, "slice_id": i,
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


def test_a_folds_temperature_comes_from_the_other_folds_alone():
    right = np.random.default_rng(0).random(300) < 0.7
    parts = []
    for fold, confidence in enumerate((0.99, 0.7)):  # too sure of itself, and honest
        rows = predictions_of([confidence] * 300, fold=fold, start=300 * fold)
        p = rows[P].to_numpy(copy=True)
        p[~right] = np.roll(p[~right], 1, axis=1)  # another class is named, as surely
        rows[P] = p
        parts.append(rows)
    found = fold_scores.temperatures(pd.concat(parts))
    own = [classification.fit_temperature(*fold_scores.arrays(part)) for part in parts]
    assert found["plain", 0, 0] == pytest.approx(own[1])
    assert found["plain", 0, 1] == pytest.approx(own[0])


def test_networks_that_know_nothing_have_the_temperature_of_the_plain_ones():
    tested = [predictions_of([0.8] * 30 + [0.3] * 6, fold=fold, start=36 * fold)
              for fold in (0, 1)]  # fmt: skip
    nothing = tested[0].assign(network="shuffled", training_seed=7)
    found = fold_scores.temperatures(pd.concat([*tested, nothing]))
    assert found["shuffled", 7, 0] == found["plain", 0, 0]


def test_one_network_the_mean_over_seeds_and_averaged_probabilities_are_told_apart():
    rows = pd.concat([predictions_of([0.9] * 30), predictions_of([0.9] * 15 + [0.2] * 15, seed=1)])
    table = pooled_tables.performance_table(rows, n_resamples=20)
    got = table[(table["metric"] == "accuracy") & (table["level"] == "slice")]
    assert got[["networks", "training_seed", "value"]].to_numpy().tolist() == [
        [ONE, "0", 1.0], [ONE, "1", 0.5], [MEAN_OF_ONE, "", 0.75], [AVERAGED, "", 1.0],
    ]  # fmt: skip


def test_only_whole_seeds_count_but_every_network_that_knows_nothing():
    rows = pd.concat([
        *(predictions_of([0.9] * 3, fold=fold, start=3 * fold) for fold in range(3)),
        predictions_of([0.9] * 3, seed=1),
        predictions_of([0.9] * 3, seed=2).assign(network="shuffled"),
    ])
    kept = pooled_tables.complete(rows)[["network", "training_seed"]].drop_duplicates()
    assert kept.to_numpy().tolist() == [["plain", 0], ["shuffled", 2]]
