"""Folds and seeds are run one by one, and pooled into rows that anybody can check."""

import contextlib
import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_study import TINY, copied, run_to_inputs

from tumorcf_lib import commands, config, rowfiles, steps
from tumorcf_lib.config import CLASSES
from tumorcf_lib.controls import planes
from tumorcf_lib.publish import publish, sections
from tumorcf_lib.stats import classification
from tumorcf_lib.study import by_fold, fold_controls, folds, pool, pooled, side_studies, unit
from tumorcf_lib.study.reference import TOLERANCE
from tumorcf_lib.tables import classifiers, fold_scores, folds as pooled_tables
from tumorcf_lib.tables.folds import AVERAGED, MEAN_OF_ONE, ONE, P

pytestmark = pytest.mark.usefixtures("small_networks")
CHANGES = {"name": "tiny-cv", "n_folds": 3, "phantom_patients": 6, "n_resamples": 50}
PROFILE = dataclasses.replace(TINY, validates=False, **CHANGES)


@pytest.fixture(scope="module")
def finished(small_networks, tmp_path_factory):
    study = run_to_inputs(tmp_path_factory.mktemp("cv"), PROFILE)
    folds.run(study)
    folds.run(study, [0, 1], seed=1, network="shuffled")
    for inner_fold in range(3):
        folds.run(study, [1], seed=inner_fold, recipe="kept")
    folds.run(study, network="looking")
    pool.pool(study)
    return study


@pytest.fixture(scope="module")
def published(finished, tmp_path_factory):
    return pooled.publish(finished.folder, tmp_path_factory.mktemp("figures"), profile=PROFILE)


@pytest.fixture
def target(published, tmp_path):
    """A copy of what is published of the finished folds, to change."""
    return Path(shutil.copytree(published, tmp_path / "figures"))


@pytest.fixture
def study(finished, tmp_path):
    """A copy of the finished folds, to change."""
    return copied(finished, tmp_path / "copy")


def read(study, name):
    return rowfiles.read_table(folds.file_of(study.folder, name))


def rows_of(study, fold):
    return folds.unit_folder(study, fold, seed=0) / unit.ROWS


def assert_same(name, *folders):
    own, other = (folds.file_of(folder, name).read_bytes() for folder in folders)
    assert own == other, name


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@contextlib.contextmanager
def changed(path):
    """A JSON file of a sealed folder to be changed, which is sealed again."""
    content = steps.read_json(path)
    yield content
    steps.write_json(path, content)
    if path.name != steps.RECORD:
        steps.seal(path.parent)


def test_every_slice_is_tested_once_by_a_network_that_never_saw_its_person(finished):
    rows, edits = read(finished, "rows_predictions"), read(finished, "rows_edits_plain_seed0")
    split = rowfiles.read_table(finished.folder / "01_data" / "split.csv")
    own = rows[rows["network"] == "plain"].set_index("slice_id")
    assert sorted(own.index) == sorted(split["slice_id"].unique())
    seen = split[split["part"] != "test"].groupby("fold")["person_id"].agg(set)
    assert not any(row.person_id in seen[row.fold] for row in rows.itertuples())
    original = edits[edits["edit"] == "original"].set_index("slice_id")
    assert sorted(original.index) == sorted(own.index)
    np.testing.assert_allclose(original.loc[own.index, P], own[P], atol=TOLERANCE)


def test_a_network_that_can_say_no_tumor_stands_beside_the_others(finished):
    rows, answers = read(finished, "rows_predictions"), [*P, "p_no tumor"]
    is_looking = rows["network"] == "looking"
    assert rows.loc[~is_looking, "p_no tumor"].isna().all()
    np.testing.assert_allclose(rows.loc[is_looking, answers].sum(axis=1), 1, atol=1e-5)


def test_a_killed_unit_goes_on_to_the_same_rows(finished, study, monkeypatch, capsys):
    shutil.rmtree(folds.unit_folder(study, 2, 0))
    monkeypatch.setattr(folds, "SHARD", 5)
    make_rows, asked = folds.audits.audit, []

    def audit(predict, shard, **how):
        asked.append(len(shard))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return make_rows(predict, shard, **how)

    monkeypatch.setattr(folds.audits, "audit", audit)
    with pytest.raises(KeyboardInterrupt):
        folds.run(study, [2])
    monkeypatch.setattr(unit, "fit", lambda *_, **__: pytest.fail("trained again"))
    folds.run(study, [2])
    assert "fold 2, seed 0: it was interrupted\n" in capsys.readouterr().out
    del asked[1]  # the killed one
    rows = rowfiles.read_table(rows_of(study, 2) / "rows_predictions.csv.gz")
    assert asked[:2] == [5, 5] and sum(asked) == len(rows)  # the first shard only once
    assert not list(rows_of(study, 2).glob("shard*"))
    for name in ("rows_predictions", *folds.AUDITED_ROWS, "history"):
        assert_same(name, rows_of(study, 2), rows_of(finished, 2))


def test_rows_stand_alone_and_go_with_their_audit_and_network(finished, study, monkeypatch, capsys):
    network, trained = rows_of(study, 0).with_name(unit.NETWORK), []

    def fit(own, folder, **_):
        trained.append((rows_of(study, 0).exists(), folder))
        raise KeyboardInterrupt

    monkeypatch.setattr(unit, "fit", fit)
    with changed(rows_of(study, 0) / steps.RECORD) as record:
        record["depends_on"]["audit"] = "older code"
    folds.run(study, [0])
    assert capsys.readouterr().out.startswith("fold 0, seed 0: audit changed since\n")
    assert_same("rows_edits", rows_of(study, 0), rows_of(finished, 0))

    elsewhere = network.rename(network.with_name("elsewhere"))
    folds.run(study, [0])
    assert capsys.readouterr().out == "fold 0, seed 0: up to date, skipped\n"
    pool.pool(study)
    for name in ("rows_predictions", "history"):
        assert_same(name, study.folder, finished.folder)

    elsewhere.rename(network)
    with changed(network / steps.RECORD) as record:
        record["depends_on"]["code"] = "older code"
    with pytest.raises(KeyboardInterrupt):
        folds.run(study, [0])
    assert trained == [(False, network)]  # rows of another network are gone first
    assert [path.name for path in network.iterdir()] == [steps.RECORD]


def test_what_cannot_be_trained_is_refused_and_other_units_are_not(study):
    with pytest.raises(folds.UnitError, match="no inner fold 3; choose --seed of"):
        folds.run(study, seed=3, recipe="kept")
    with steps.held(study.folder / "units" / f"fold0_seed0.{steps.LOCK}"):
        shutil.rmtree(rows_of(study, 0))
        with pytest.raises(steps.InUseError):
            folds.run(study, [0])
        folds.run(study, [1, 2])
    shutil.rmtree(folds.unit_folder(study, 0, 0))
    with pytest.raises(folds.UnitError, match="train --profile tiny-cv --fold 0 --seed 0"):
        folds.run(study, [0], network="hardened")


def test_a_recipe_is_tried_on_every_slice_outside_the_tested_ones_and_on_no_other(finished):
    tried = read(finished, "rows_recipes")
    split = rowfiles.read_table(finished.folder / "01_data" / "split.csv")
    outside = split[(split["fold"] == 1) & (split["part"] != "test")]
    assert sorted(tried["slice_id"]) == sorted(outside["slice_id"])
    inner_folds = tried.groupby("person_id")["inner_fold"].unique()
    assert set(inner_folds.map(tuple)) == {(0,), (1,), (2,)}


def test_no_patient_of_an_inner_fold_is_trained_on():
    persons = np.repeat([f"p{i:02d}" for i in range(30)], 2)
    labels, parts = np.arange(60) // 2 % 3, np.where(np.arange(60) < 12, "test", "train")
    held = [folds.inner_parts(persons, labels, parts, k) for k in range(folds.N_INNER)]
    for found in held:
        assert (found[:12] == "test").all()
        assert not set(persons[found == "inner"]) & set(persons[found == "train"])
    assert (np.sum([found == "inner" for found in held], axis=0) == (parts == "train")).all()


def test_recipes_are_compared_on_the_same_slices():
    kept, other = (predictions_of(p) for p in ([0.9, 0.9, 0.9, 0.2], [0.2, 0.9, 0.9, 0.9]))
    tried = pd.concat([kept.assign(recipe="kept"), other.assign(recipe="other")])
    again = other.assign(training_seed=1)  # ours err now and then, too
    lighter, nothing = other.assign(network="lighter"), kept[:1].assign(network="shuffled")
    tested = pd.concat([kept, lighter, again, nothing]).assign(**{"p_no tumor": np.nan})
    found = classifiers.recipes_table(tried, tested, n_resamples=50)
    assert found["slices"].tolist() == ["inner"] * 2 + ["tested"] * 2
    assert found["recipe"].tolist() == ["kept", "other", "kept", "lighter views"]
    assert (found[["n_slices", "slice_accuracy", "difference"]] == [4, 0.75, 0]).all(axis=None)
    of_three = (one[one["slice_id"] < 3] for one in (tried, tested))
    found = classifiers.recipes_table(*of_three, n_resamples=50)
    assert found["difference"].tolist() == pytest.approx([0.0, -1 / 3, 0.0, -1 / 6])


def test_without_mr_no_patient_of_that_site_is_trained_on_and_all_are_tested(finished):
    shared = folds.Folds(finished)
    prepared = shared.prepared
    persons = prepared.persons.astype(object)
    at_site = np.isin(persons, np.unique(persons)[::2])
    prepared.table["person_id"] = np.where(at_site, "MR" + persons, persons)
    own, _ = shared.unit(0, network="without_mr")
    usual = by_fold.parts_of(prepared, shared.split[shared.split["fold"] == 0])
    assert (own.parts[~at_site] == usual[~at_site]).all()
    assert set(own.parts[at_site]) == {"left out", "test"}
    assert ((own.parts == "test") == (usual == "test")).all()


def test_the_lighter_networks_differ_by_their_views_alone_and_are_pooled_with_the_others(finished):
    shared = folds.Folds(finished)
    (own, asked), (plain, same) = (shared.unit(0, 1, network=k) for k in ("lighter", "plain"))
    assert own.profile == dataclasses.replace(plain.profile, **folds.LIGHT) != plain.profile
    changed = {k for k in own.depends_on if own.depends_on[k] != plain.depends_on.get(k)}
    assert changed == {"views"} and asked == same and own.folder != plain.folder
    made_of = [{k: (one.depends_on | asked)[k] for k in folds.MADE_OF} for one in (own, plain)]
    assert pool.kinship(made_of[0]) == pool.kinship(made_of[1])


def test_units_that_know_nothing_are_audited_on_the_true_classes(finished):
    rows = read(finished, "rows_edits_shuffled_seed1")
    plain = read(finished, "rows_edits_plain_seed0").query("fold < 2 and edit == 'original'")
    own = rows[rows["edit"] == "original"]
    assert sorted(own["fold"].unique()) == [0, 1]
    assert own["label"].tolist() == plain["label"].tolist()
    assert (own[P].to_numpy() != plain[P].to_numpy()).any()


@pytest.mark.monthly
def test_tumors_that_are_found_are_audited_beside_the_true_ones(study, tmp_path):
    fold_controls.find_masks(study)
    pool.pool(study)
    masks, edits = read(study, "rows_masks"), read(study, "rows_masked_edits")
    tested = read(study, "rows_predictions").query("network == 'plain'")
    assert sorted(masks["slice_id"]) == sorted(tested["slice_id"])
    assert masks["dice"].between(0, 1).all()
    original = edits[edits["edit"] == "original"].set_index("slice_id").loc[tested["slice_id"], P]
    np.testing.assert_allclose(original, tested[P], atol=TOLERANCE)
    nothing = set(masks.loc[masks["n_predicted"] == 0, "slice_id"])
    removed = edits[edits["edit"] == "remove"].set_index("slice_id")
    assert set(removed.index[removed["reason"] == "empty mask"]) == nothing
    target = pooled.publish(study.folder, tmp_path / "figures", profile=PROFILE)
    table = rowfiles.read_table(target / "table_predicted_masks.csv")
    overall = table[table["group"] == "all"]
    by_patient = masks.groupby("person_id")["dice"].mean()
    assert overall["dice"].tolist() == pytest.approx([by_patient.mean()] * 2, rel=1e-4)
    assert publish.verify(target)[0] == []


@pytest.mark.monthly
@pytest.mark.usefixtures("three_blocks")
def test_controls_of_every_fold_are_pooled_published_and_verified(study, tmp_path, monkeypatch):
    monkeypatch.setattr(fold_controls, "SHORT", ("validates",))
    monkeypatch.setattr(planes, "MIN_PERSONS", 2)
    fold_controls.run(study)
    pool.pool(study)
    tested = fold_scores.outputs_of(read(study, "rows_predictions").query("network == 'plain'"))
    for name in ("rows_planes", "rows_covariates"):
        assert sorted(read(study, name)["slice_id"]) == sorted(tested["slice_id"])
    fold_of = tested.set_index("slice_id")["fold"]
    for name in fold_controls.FILES["controls"]:
        rows = read(study, name)
        assert (rows["fold"] == rows["slice_id"].map(fold_of)).all()
    target = pooled.publish(study.folder, tmp_path / "figures", profile=PROFILE)
    probes = rowfiles.read_table(target / "table_probes.csv").query("group == 'all'")
    own = probes[(probes["network"] == "as it is") & (probes["probe"] == "original")]
    right = tested["label"] == classification.predicted(tested)
    accuracy = own.loc[own["metric"] == "accuracy", "value"].item()
    assert accuracy == pytest.approx(right.mean(), abs=1e-4)
    assert set(steps.read_json(target / "manifest.json")["figures"]) == set(pooled.STUDY.figures)
    assert publish.verify(target)[0] == []


def test_contrast_is_measured_without_a_network_on_all_folds(tmp_path, capsys):
    study = run_to_inputs(tmp_path, PROFILE)
    fold_controls.run(study, [2], only_contrast=True)
    fold_controls.run(study, only_contrast=True)
    assert "contrast of fold 2: up to date, skipped\n" in capsys.readouterr().out
    assert not (tmp_path / "controls").exists() and not [*tmp_path.rglob("network")]
    files = tmp_path.glob("contrast/*/rows/rows_contrast.csv.gz")
    rows = pd.concat(map(rowfiles.read_table, files), ignore_index=True)
    split = rowfiles.read_table(tmp_path / "01_data/split.csv")
    fold_of = split[split["part"] == "test"].set_index("slice_id")["fold"]
    every = dataclasses.replace(PROFILE, infills=config.get("paper-lite").infills)
    n_removals = sum(edit.name == "remove" for edit in by_fold.edits_of(every))
    assert sorted(rows["slice_id"]) == sorted([*fold_of.index] * n_removals)
    assert (rows["fold"] == rows["slice_id"].map(fold_of)).all()
    for own in (rows, rows[rows["fold"] < 2]):  # a table of some folds would mislead
        found = pooled_tables._of_all_folds({"rows_contrast": own}.get, "rows_contrast", rows)
        assert (found is not None) == (own is rows)


def test_folds_of_a_phantom_say_so_in_every_table(published):
    for path in published.glob("table_*.csv"):
        assert set(rowfiles.read_table(path)["cohort"]) == {"phantom"}, path.name


def test_a_seed_is_pooled_as_far_as_its_folds_are_there_but_published_whole(study, tmp_path):
    shutil.rmtree(folds.unit_folder(study, 1, 0))
    (rows_of(study, 2) / steps.RECORD).unlink()  # being begun
    assert pool.pool(study).query("network == 'plain'")["fold"].tolist() == [0]
    with pytest.raises(side_studies.UnfinishedStudyError, match="No seed has all 3 folds"):
        pooled.publish(study.folder, tmp_path / "figures", profile=PROFILE)


def test_units_published_before_are_kept_beside_new_ones_of_one_making(study, target):
    first = contents(target)
    for gone in ("units/fold0_seed0", "units/fold2_seed0", "shuffled", "recipes"):
        shutil.rmtree(study.folder / gone)
    pooled.publish(study.folder, target, profile=PROFILE)
    assert contents(target) == first


def test_a_check_draws_new_units_beside_published_ones(study, published, tmp_path, monkeypatch):
    monkeypatch.setattr(config, "FIGURES", tmp_path)
    monkeypatch.setattr(pool, "lacking", lambda *_: [])  # the fold of a shuffled seed
    shutil.copytree(published, tmp_path / PROFILE.name)
    shutil.rmtree(study.folder / "units" / "fold0_seed0")
    assert commands._pool(study, check=True) == 0
    for name in ("rows_predictions", "units"):
        assert_same(name, study.folder / "published", published)


def test_nothing_published_of_other_slices_stands_beside_new_units(study, target, capsys):
    """Neither their units, nor the rows that lie beside units and name a fold only."""
    units = rowfiles.read_table(target / "units.csv")
    rowfiles.write_table(units.assign(trained_by="another"), target / "units.csv")
    rows = pd.DataFrame({"fold": [0], "slice_id": [1]})
    rowfiles.write_table(rows, target / "rows_contrast.csv.gz")
    shutil.rmtree(study.folder / "looking")
    found = pool.pool(study, published=target)
    assert set(found["network"]) == {"plain", "shuffled"}
    assert not (study.folder / "rows_contrast.csv.gz").exists()
    assert "Nothing is taken from" in capsys.readouterr().out


def test_a_units_file_that_was_cut_off_in_copying_is_named_and_not_pooled(study):
    rows = folds.file_of(rows_of(study, 2), "rows_edits")
    rows.write_bytes(rows.read_bytes()[:-9])
    with pytest.raises(folds.UnitError, match="fold2_seed0/rows/rows_edits.csv.gz is not as it"):
        pool.pool(study)


@pytest.mark.parametrize("key", ["epochs", *folds.ALIKE])
def test_units_of_another_making_are_refused_by_what_differs(study, key):
    with changed(rows_of(study, 2) / folds.TOLD) as told:
        made_of = told["made_of"]
        (made_of["settings"] if key == "epochs" else made_of)[key] = 99
    words = "epochs is 99, there 2" if key == "epochs" else f"other {key}"
    with pytest.raises(folds.UnitError, match=f"fold 2, seed 0 .*fold2_seed0.* {words}"):
        pool.pool(study)
    newer = dataclasses.replace(PROFILE, learning_rate=0.5)
    with pytest.raises(folds.UnitError, match=r"fold 0, seed 0 .*learning_rate is .* 0\.5"):
        pool.pool(dataclasses.replace(study, profile=newer))


def test_units_that_were_asked_other_edits_or_know_a_setting_less_are_pooled(study):
    with changed(rows_of(study, 2) / folds.TOLD) as told:
        settings = told["made_of"]["settings"]
        assert settings.pop("weighing_alike") == config.Profile.weighing_alike
        del told["made_of"]["edits"][-1]
    assert pool.pool(study)["trained_by"].nunique() == 1


def test_published_folds_are_recomputed_and_made_again_from_their_rows(target):
    assert publish.verify(target)[0] == []
    first = rowfiles.read_table(target / "table_performance.csv").iloc[0]
    tables = side_studies.reader(target)
    assert f"over all {first['n']} slices" in sections.sentences("performance", tables)[0]
    assert not any("MR..." in line for line in sections.sentences("answer", tables))
    drawn = set(steps.read_json(target / "manifest.json")["figures"])
    assert drawn == set(pooled.STUDY.figures) - {"fig_probes", "fig_covariates"}
    before = contents(target)
    for name in before:
        if name.startswith(("table_", "fig_")):
            (target / name).unlink()
    pooled.STUDY.derive_again(target)
    assert contents(target) == before
    table = rowfiles.read_table(target / "table_folds.csv")
    table.loc[1, "slice_accuracy"] += 0.01
    rowfiles.write_table(table, target / "table_folds.csv")
    (problem,), _ = side_studies.wrong_tables(target, pooled.STUDY.derive)
    assert "table_folds.csv, row 2, slice_accuracy" in problem
    with pytest.raises(side_studies.UnfinishedStudyError, match="lacks manifest.json"):
        pooled.STUDY.derive_again(target / "elsewhere")


def predictions_of(p_true, *, fold=0, seed=0, start=0):
    """Slices of one person each, of classes in turn, right with these probabilities."""
    i, p = np.arange(start, start + len(p_true)), np.array(p_true)[:, None]
    rows = pd.DataFrame({"network": "plain", "training_seed": seed, "fold": fold, "slice_id": i})
    rows["patient_id"] = rows["person_id"] = [f"p{k}" for k in i]
    rows["label"] = np.array(CLASSES)[i % 3]
    rows[P] = np.where(np.eye(3, dtype=bool)[i % 3], p, (1 - p) / 2)
    return rows


def test_spread_finds_what_was_planted():
    rng, n = np.random.default_rng(0), 4000
    trainings = rng.normal(0, 0.04, (3, n))
    fold, training = pooled_tables._components(rng.normal(0, 0.1, n) + trainings)
    assert (fold, training) == pytest.approx((0.1, 0.04), rel=0.03)
    assert pooled_tables._components(trainings)[0] < 0.01
    alone = pooled_tables._components(np.array([[0.0, 0.2]]))
    assert alone[0] == pytest.approx(0.02**0.5) and np.isnan(alone[1])


def test_one_network_the_mean_over_seeds_and_averaged_probabilities_are_told_apart():
    rows = pd.concat([predictions_of([0.9] * 30), predictions_of([0.9] * 15 + [0.2] * 15, seed=1)])
    table = pooled_tables.performance_table(rows, n_resamples=20)
    got = table.query("metric == 'accuracy' and level == 'slice'")
    assert got["networks"].tolist() == [ONE, ONE, MEAN_OF_ONE, AVERAGED]
    assert got["training_seed"].tolist() == ["0", "1", "", ""]
    assert got["value"].tolist() == [1.0, 0.5, 0.75, 1.0]


def test_packages_of_which_units_have_several_versions_are_named_with_the_units():
    units = pd.DataFrame({"network": "plain", "fold": [0, 1], "training_seed": 0})
    units["versions"] = {"numpy": "2.4.6", "keras": "3"}, {"numpy": "2.4.5", "keras": "3"}
    (line,) = pool.differences(units)
    assert "numpy: 2.4.5 (plain fold 1, seed 0); 2.4.6 (plain fold 0, seed 0)" in line


def test_only_whole_seeds_count_but_every_network_that_knows_nothing():
    whole = [predictions_of([0.9] * 3, fold=fold, start=3 * fold) for fold in range(3)]
    nothing = predictions_of([0.9] * 3, seed=2).assign(network="shuffled")
    rows = pd.concat([*whole, predictions_of([0.9] * 3, seed=1), nothing])
    kept = pooled_tables.complete(rows)[["network", "training_seed"]].drop_duplicates()
    assert kept.to_numpy().tolist() == [["plain", 0], ["shuffled", 2]]
