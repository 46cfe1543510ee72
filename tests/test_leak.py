"""What a leak is worth: planted leaks with a known answer, resuming, and what is published."""

import dataclasses
import json

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from tumorcf_lib import rowfiles
from tumorcf_lib.data.cohort import from_arrays
from tumorcf_lib.study import leak, side_studies, unit
from tumorcf_lib.tables import leak as leak_tables
from tumorcf_lib.tables.leak import APART, DIFFERENCE, KNOWN, OWN, SHUFFLED

PROFILE = dataclasses.replace(leak.recipe(), size_px=8, n_resamples=200)
N_PERSONS, N_SLICES = 120, 2


@pytest.fixture(scope="module")
def cohort():
    """Every person has a pattern of its own, and two IDs; the pattern says nothing of the class."""
    rng = np.random.default_rng(0)
    patterns = rng.normal(500, 100, (N_PERSONS, 8, 8)).repeat(2 * N_SLICES, axis=0)
    slices = patterns + rng.normal(0, 5, patterns.shape)
    return from_arrays(
        slices,
        np.zeros(slices.shape, bool),
        np.arange(N_PERSONS).repeat(2 * N_SLICES) % 3,
        [f"MR{k:04d}{end}" for k in range(N_PERSONS) for end in ("", "B") for _ in range(N_SLICES)],
        classes=("A", "B", "C"),
        name="planted",
        source="Patterns drawn at random.",
        slice_ids=range(1, len(slices) + 1),
    )


def nearest_neighbor(own, **_):
    """Knows every training slice by heart."""
    trained = np.flatnonzero(own.parts == "train")
    model = KNeighborsClassifier(1)
    model.fit(own.prepared.slices[trained].reshape(len(trained), -1), own.labels[trained])
    return lambda slices: model.predict_proba(np.asarray(slices).reshape(len(slices), -1))


def run(folder, cohort, **options):
    options = {"network": nearest_neighbor, "progress": lambda line: None} | options
    return leak.run(folder, PROFILE, cohort, **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, cohort):
    folder = tmp_path_factory.mktemp("leak")
    run(folder, cohort)
    return folder


@pytest.fixture(scope="module")
def rows(finished):
    return rowfiles.read_table(finished / "rows_leak.csv.gz")


@pytest.fixture(scope="module")
def table(rows):
    return leak_tables.leak_table(rows, n_resamples=200).set_index(
        ["labels", "arm", "score", "group"]
    )


@pytest.mark.parametrize("labels", [OWN, SHUFFLED])
def test_slices_known_by_heart_are_right_with_the_leak_and_by_chance_without(table, labels):
    apart, known, more = (
        table.loc[(labels, arm, "right", "all")] for arm in (APART, KNOWN, DIFFERENCE)
    )
    assert abs(apart["effect"] - 1 / 3) < 0.2 and known["effect"] > 0.95
    assert more["effect"] == pytest.approx(known["effect"] - apart["effect"])
    assert more["verdict"] == "supported" and apart["verdict"] == ""


def test_differences_are_of_the_same_slices_patient_by_patient(rows, table):
    own = rows[rows["labels"] == OWN].assign(
        right=lambda t: (
            t[["p_A", "p_B", "p_C"]].to_numpy().argmax(axis=1)
            == t["shown_label"].map({"A": 0, "B": 1, "C": 2})
        )
    )
    wide = own.pivot(index="slice_id", columns="arm", values="right").astype(float)
    row = table.loc[(OWN, DIFFERENCE, "right", "all")]
    assert row["n_slices"] == len(wide) == N_PERSONS * N_SLICES and row["n_folds"] == 5
    assert row["effect"] == pytest.approx((wide[KNOWN] - wide[APART]).mean())


def test_both_arms_test_the_same_half_and_learn_from_as_many_slices_of_each_class(rows, cohort):
    assert not rows.duplicated(["labels", "arm", "slice_id"]).any()
    tested = rows.groupby(["labels", "fold", "arm"])["slice_id"].agg(lambda ids: sorted(ids))
    for pair in tested.groupby(["labels", "fold"]):
        assert len(set(map(tuple, pair[1]))) == 1
    assert rows.groupby(["labels", "fold"])["n_trained"].nunique().eq(1).all()
    known = rows["arm"] == KNOWN
    assert (rows.loc[known, "n_own_trained"] == N_SLICES).all()
    assert (rows.loc[~known, "n_own_trained"] == 0).all()
    persons, labels = cohort.persons, cohort.labels
    is_tested = np.isin(persons, np.unique(persons)[:24])
    apart, known = (
        leak.arm_parts(persons, labels, is_tested, arm, np.random.default_rng(0))
        for arm in (APART, KNOWN)
    )
    assert (np.bincount(labels[apart == "train"]) == np.bincount(labels[known == "train"])).all()
    assert ((apart == "test") == (known == "test")).all()
    assert not (apart[is_tested] == "train").any() and (known[is_tested] == "train").any()


def test_canary_labels_stay_with_the_person_and_keep_the_classes_persons(rows, cohort):
    canary = rows[rows["labels"] == SHUFFLED]
    assert canary.groupby("person_id")["shown_label"].nunique().eq(1).all()
    assert 0.4 < (canary["shown_label"] != canary["label"]).mean() < 0.9
    plain = rows[rows["labels"] == OWN]
    assert (plain["shown_label"] == plain["label"]).all()
    assert set(canary["fold"]) == set(range(leak.N_CANARY_FOLDS))
    dealt = unit.deal(cohort.persons, cohort.labels, 0)
    first = ~cohort.table.duplicated("person_id")
    assert (np.bincount(dealt[first]) == np.bincount(cohort.labels[first])).all()


# -- running -----------------------------------------------------------------


@pytest.mark.monthly
def test_a_killed_run_goes_on_between_the_arms_and_ends_with_the_same_bytes(tmp_path, cohort):
    trained = []

    def network(own, **_):
        trained.append(own.folder)
        if len(trained) == 4:
            raise KeyboardInterrupt
        return nearest_neighbor(own)

    def n_trained(place, **options):
        trained.clear()
        run(tmp_path / place, cohort, **({"network": network, "n_folds": 1} | options))
        return len(trained)

    with pytest.raises(KeyboardInterrupt):
        n_trained("killed")
    assert not (tmp_path / "killed" / "rows_leak.csv.gz").exists()
    assert n_trained("killed") == 1
    run(tmp_path / "whole", cohort, n_folds=1)
    for name in leak.FILES:
        first, second = ((tmp_path / done / name).read_bytes() for done in ("killed", "whole"))
        assert first == second, name
    assert n_trained("whole") == 0
    assert n_trained("whole", n_folds=2) == 2  # only the second fold's


def test_more_folds_than_there_are_is_an_error(tmp_path, cohort):
    with pytest.raises(unit.UnitError, match="1 to 5"):
        run(tmp_path, cohort, n_folds=6)


# -- publishing --------------------------------------------------------------


def test_what_is_published_can_be_recomputed_and_a_changed_number_is_found(finished, tmp_path):
    target = leak.STUDY.publish(finished, tmp_path / "leak", profile=PROFILE)
    problems, recomputed = side_studies.wrong_tables(target, leak.STUDY.derive)
    assert problems == [] and {"table_leak", "table_duplicates"} <= set(recomputed)
    manifest = json.loads((target / "manifest.json").read_text())
    assert manifest["source"] == "Patterns drawn at random."
    assert manifest["figures"] == {"fig_leak": {"shows_slices": False}}
    text = "\n".join(leak.sentences(target))
    table = rowfiles.read_table(target / "table_leak.csv")
    of_all = table[(table["score"] == "right") & (table["group"] == "all")]
    for value in of_all["effect"]:
        assert f"{value:.3f}" in text
    assert "one stem is one person" in text
    rowfiles.write_table(table.assign(effect=table["effect"] + 0.01), target / "table_leak.csv")
    problems, _ = side_studies.wrong_tables(target, leak.STUDY.derive)
    assert any("table_leak.csv" in text and "effect" in text for text in problems)


def test_an_unfinished_run_is_not_published(tmp_path):
    with pytest.raises(side_studies.UnfinishedStudyError, match=leak.COMMAND):
        leak.STUDY.publish(tmp_path, tmp_path / "leak", profile=PROFILE)
