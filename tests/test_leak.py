"""What a leak is worth: planted leaks with a known answer, resuming, and what is published."""

import dataclasses
import json

import h5py
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from tumorcf_lib import rowfiles
from tumorcf_lib.data.cohort import from_arrays
from tumorcf_lib.publish import publish
from tumorcf_lib.stats import persons
from tumorcf_lib.study import leak, side_studies
from tumorcf_lib.tables import leak as leak_tables

PROFILE = dataclasses.replace(leak.recipe(), size_px=8, n_resamples=200)
N_PERSONS, N_SLICES = 180, 2


@pytest.fixture(scope="module")
def cohort():
    """Every person has a pattern of its own, and two IDs; the pattern says nothing of the class."""
    rng = np.random.default_rng(0)
    slices, labels, patients = [], [], []
    for person in range(N_PERSONS):
        pattern = rng.normal(500, 100, (8, 8))
        for letter in ("", "B"):
            for _ in range(N_SLICES):
                slices.append(pattern + rng.normal(0, 5, (8, 8)))
                labels.append(person % 3)
                patients.append(f"MR{person:04d}{letter}")
    slices = np.array(slices)
    return from_arrays(
        slices, np.zeros(slices.shape, bool), labels, patients, classes=("A", "B", "C"),
        name="planted", source="Patterns drawn at random.", slice_ids=range(1, len(slices) + 1),
    )


@pytest.fixture(scope="module")
def author_folds(cohort):
    """Folds that keep IDs together and tear persons apart."""
    return pd.factorize(cohort.table["patient_id"])[0] % 5 + 1


def nearest_neighbor(own, **_):
    """Knows every training slice by heart."""
    trained = np.flatnonzero(own.parts == "train")
    model = KNeighborsClassifier(1)
    model.fit(own.prepared.slices[trained].reshape(len(trained), -1), own.labels[trained])
    return lambda slices: model.predict_proba(slices.reshape(len(slices), -1))


def run(folder, cohort, author_folds=None, **options):
    options = {"network": nearest_neighbor, "progress": lambda line: None} | options
    return leak.run(folder, PROFILE, cohort, author_folds=author_folds, **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, cohort, author_folds):
    folder = tmp_path_factory.mktemp("leak")
    run(folder, cohort, author_folds)
    return folder


@pytest.fixture(scope="module")
def derived(finished):
    return leak_tables.derive(side_studies.reader(finished), PROFILE.n_resamples)


def score(derived, arm, column="value", metric="balanced accuracy"):
    table = derived["table_leak"].set_index(["arm", "level", "metric"])
    return table.loc[(arm, "slice", metric), column]


# -- planted leaks -----------------------------------------------------------


def test_slices_known_by_heart_score_high_by_a_leaky_split_and_by_chance_without(derived):
    assert score(derived, "slice") > 0.9
    assert score(derived, "slice", "verdict") == "supported"
    assert abs(score(derived, "person") - 1 / 3) < 0.2
    assert score(derived, "person", "low") < 1 / 3 < score(derived, "person", "high")
    assert score(derived, "person", "verdict") == "undecided"


@pytest.mark.parametrize("arm", ["slice", "patient", "author", "canary slice"])
def test_a_leak_is_worth_what_the_share_of_known_persons_says(derived, arm):
    """A slice of a known person is answered rightly, one of a stranger by chance."""
    share = score(derived, arm, "share_person_trained")
    assert 0.9 < share < 1 if "slice" in arm else 0.3 < share < 0.9
    assert abs(score(derived, arm) - (share + (1 - share) / 3)) < 0.12


def test_the_difference_is_that_of_the_arms_and_the_leak_is_found(derived):
    table = derived["table_leak_difference"].set_index(["arm", "metric"])
    for metric in leak_tables.METRICS:
        row = table.loc[("slice", metric)]
        expected = score(derived, "slice", metric=metric) - score(derived, "person", metric=metric)
        assert row["effect"] == pytest.approx(expected)
        assert row["verdict"] == "supported" and row["note"] == "one fold each"
    assert table.loc[("canary slice", "accuracy"), "minus"] == "canary person"


# -- tables against slow loops -----------------------------------------------


def test_a_difference_draws_a_person_for_both_arms_at_once(finished):
    rows = rowfiles.read_table(finished / "rows_leak.csv.gz")
    both = rows[rows["arm"].isin(("patient", "person"))].reset_index(drop=True)
    p = both[["p_A", "p_B", "p_C"]].to_numpy()
    labels = both["shown_label"].map({"A": 0, "B": 1, "C": 2}).to_numpy()
    is_arm = (both["arm"] == "patient").to_numpy()

    def difference(index):
        parts = [index[is_arm[index]], index[~is_arm[index]]]
        first, second = (balanced_accuracy_score(labels[i], p[i].argmax(axis=1)) for i in parts)
        return first - second

    drawn = persons.checked(labels, both["person_id"], both["shown_label"])[1]
    draws = np.array([
        difference(np.repeat(np.arange(len(both)), counts[drawn.owner].astype(int)))
        for counts in drawn.draw(200)
    ])
    n_smallest = both.groupby("arm")["person_id"].nunique().min()
    table = leak_tables.difference_table(rows, n_resamples=200)
    row = table.set_index(["arm", "metric"]).loc[("patient", "balanced accuracy")]
    assert row["n_persons_smallest"] == n_smallest
    assert [row["low"], row["high"]] == pytest.approx(persons.interval(draws, n_smallest))


def test_who_crosses_a_split_is_counted_as_a_loop_counts(finished, derived):
    parts = rowfiles.read_table(finished / "rows_parts.csv.gz")
    crossing = derived["table_leak_crossing"].set_index("arm")
    for arm, own in parts.groupby("arm"):
        trained = {row.person_id for row in own.itertuples() if row.n_train}
        tested = {row.person_id for row in own.itertuples() if row.n_test}
        both_sided = [row for row in own.itertuples() if row.n_train and row.n_test]
        n_known = sum(row.n_test for row in own.itertuples() if row.person_id in trained)
        assert crossing.loc[arm, "persons_crossing"] == len(trained & tested)
        assert crossing.loc[arm, "stems_crossing"] == len(trained & tested)  # all have two IDs
        assert crossing.loc[arm, "patients_crossing"] == len(both_sided)
        assert crossing.loc[arm, "share_person_trained"] == n_known / own["n_test"].sum()
        assert score(derived, arm, "share_person_trained") == n_known / own["n_test"].sum()


# -- splits ------------------------------------------------------------------


def test_each_arm_keeps_its_own_unit_together_and_no_other(derived):
    crossing = derived["table_leak_crossing"].set_index("arm")
    assert crossing.loc["slice", "patients_crossing"] > 0
    for arm in ("patient", "author"):
        assert crossing.loc[arm, "patients_crossing"] == 0
        assert crossing.loc[arm, "persons_crossing"] > 0
    for arm in ("person", "canary person"):
        assert crossing.loc[arm, "persons_crossing"] == 0


def test_units_are_kept_together_in_validation_too(cohort, author_folds):
    for arm in leak.ARMS:
        if arm.unit == "slice":
            continue
        unit = "person_id" if arm.unit == "person" else "patient_id"
        for parts in leak.arm_parts(arm, cohort.table, cohort.labels, author_folds=author_folds):
            used = parts != "unused"
            parts_of_unit = pd.Series(parts[used]).groupby(cohort.table[unit][used].array)
            assert parts_of_unit.nunique().max() == 1


def test_the_authors_fold_is_tested_as_it_is(cohort, author_folds):
    arm = next(arm for arm in leak.ARMS if arm.unit == "author")
    found = leak.arm_parts(arm, cohort.table, cohort.labels, author_folds=author_folds)
    for k, parts in enumerate(found):
        np.testing.assert_array_equal(parts == "test", author_folds == k + 1)


# -- the author's file -------------------------------------------------------


def write_folds(path, values):
    with h5py.File(path, "w", userblock_size=512) as file:
        file["cvind"] = np.array(values, float)[None]
    return path


def test_the_authors_file_is_read_by_the_number_of_the_slice(tmp_path):
    write_folds(tmp_path / leak.AUTHOR_FILE, [1, 2, 3, 4, 5, 1])
    assert leak.read_author_folds(tmp_path, [2, 5, 6]).tolist() == [2, 5, 1]


def test_without_the_authors_file_its_arm_is_left_out_and_said_so(tmp_path, cohort):
    assert leak.read_author_folds(tmp_path, [1]) is None
    lines = []
    read = run(tmp_path / "run", cohort, progress=lines.append)
    assert "author" not in set(read["rows_leak"]["arm"])
    assert sum("author is left out" in line and leak.AUTHOR_FILE in line for line in lines) == 1


@pytest.mark.parametrize("values", [[1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 1, 1]])
def test_folds_for_other_slices_are_refused(tmp_path, values):
    write_folds(tmp_path / leak.AUTHOR_FILE, values)
    with pytest.raises(leak.LeakInputError, match="6 slices"):
        leak.read_author_folds(tmp_path, [1, 6])


# -- running -----------------------------------------------------------------


class Counting:
    """A nearest neighbor that counts its trainings and stops like Ctrl-C at one of them."""

    def __init__(self, stop_at=0):
        self.n, self.stop_at = 0, stop_at

    def fit(self, own, **_):
        self.n += 1
        if self.n == self.stop_at:
            raise KeyboardInterrupt
        return nearest_neighbor(own)


def test_a_killed_run_goes_on_between_the_arms_and_ends_with_the_same_bytes(
    tmp_path, cohort, author_folds
):
    killed, whole = Counting(stop_at=4), Counting()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", cohort, author_folds, network=killed.fit)
    assert not (tmp_path / "killed" / "rows_leak.csv.gz").exists()
    killed.stop_at = 0
    run(tmp_path / "killed", cohort, author_folds, network=killed.fit)
    run(tmp_path / "whole", cohort, author_folds, network=whole.fit)
    assert killed.n == len(leak.ARMS) + 1 and whole.n == len(leak.ARMS)
    for name in leak.FILES:
        killed_bytes, whole_bytes = (
            (tmp_path / run_name / name).read_bytes() for run_name in ("killed", "whole")
        )
        assert killed_bytes == whole_bytes, name


# -- publishing --------------------------------------------------------------


def test_what_is_published_can_be_recomputed_and_a_changed_number_is_found(finished, tmp_path):
    target = leak.publish(finished, tmp_path / "leak", profile=PROFILE)
    problems, recomputed = leak.STUDY.verify(target, publish._compare)
    assert problems == [] and {"table_leak.csv", "table_duplicates.csv"} <= recomputed
    manifest = json.loads((target / "manifest.json").read_text())
    assert manifest["source"] == "Patterns drawn at random."
    assert manifest["figures"] == {"fig_leak": {"shows_slices": False}}
    table = rowfiles.read_table(target / "table_leak.csv")
    rowfiles.write_table(table.assign(value=table["value"] + 0.01), target / "table_leak.csv")
    problems, _ = leak.STUDY.verify(target, publish._compare)
    assert any("table_leak.csv" in text and "value" in text for text in problems)
