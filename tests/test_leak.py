"""What a leak is worth: planted leaks with a known answer, resuming, and what is published."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from pictures import named
from sklearn.neighbors import KNeighborsClassifier

from tumorcf_lib import rowfiles, steps
from tumorcf_lib.publish import sections
from tumorcf_lib.stats.rows import in_front
from tumorcf_lib.study import leak, side_studies, unit
from tumorcf_lib.tables import leak as leak_tables
from tumorcf_lib.tables.leak import APART, DIFFERENCE, KNOWN, OWN, SHUFFLED

PROFILE = dataclasses.replace(leak.PROFILE, size_px=8, n_resamples=200)
N_PERSONS, N_SLICES = 120, 2


@pytest.fixture(scope="module")
def cohort():
    """Every person has a pattern of its own, and two IDs; the pattern says nothing of the class."""
    rng = np.random.default_rng(0)
    patterns = rng.normal(500, 100, (N_PERSONS, 8, 8)).repeat(2 * N_SLICES, axis=0)
    slices = patterns + rng.normal(0, 5, patterns.shape)
    labels = np.arange(N_PERSONS).repeat(2 * N_SLICES) % 3
    ids = np.repeat([f"MR{k:04d}{end}" for k in range(N_PERSONS) for end in ("", "B")], N_SLICES)
    return named(slices, np.zeros(slices.shape, bool), labels, ids, classes=("A", "B", "C"))


def nearest_neighbor(own, **_):
    """Knows every training slice by heart."""
    folder = steps.begin(own.folder / unit.NETWORK, own.depends_on)
    history = pd.DataFrame({"epoch": [1], "seconds": [0.0]})
    rowfiles.write_table(in_front(history, **own.names), folder / unit.HISTORY)
    steps.seal(folder)
    trained, pixels = own.parts == "train", own.prepared.slices.reshape(len(own.parts), -1)
    model = KNeighborsClassifier(1).fit(pixels[trained], own.labels[trained])
    return lambda slices: model.predict_proba(np.asarray(slices).reshape(len(slices), -1))


def run(folder, cohort, network=nearest_neighbor):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unit, "trained", network)
        patch.setattr(leak.published, "read", lambda *_, **__: cohort)
        leak.run(folder, PROFILE)


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
    found = leak_tables.leak_table(rows, n_resamples=200)
    return found.set_index(["labels", "arm", "score", "group"])


@pytest.mark.parametrize("labels", [OWN, SHUFFLED])
def test_slices_known_by_heart_are_right_with_the_leak_and_by_chance_without(table, labels):
    apart, known, more = (table.loc[labels, k, "right", "all"] for k in (APART, KNOWN, DIFFERENCE))
    assert abs(apart["effect"] - 1 / 3) < 0.2 and known["effect"] > 0.95
    assert more["effect"] == pytest.approx(known["effect"] - apart["effect"])
    assert more["low"] > 0
    n_folds = 5 if labels == OWN else leak.N_CANARY_FOLDS
    assert more["n_slices"] == N_PERSONS * N_SLICES * n_folds // 5


def test_both_arms_test_the_same_half_and_learn_from_as_many_slices_of_each_class(rows, cohort):
    tested = rows.groupby(["labels", "fold", "arm"])["slice_id"].agg(sorted).unstack("arm")
    assert (tested[APART] == tested[KNOWN]).all()
    assert rows.groupby(["labels", "fold"])["n_trained"].nunique().eq(1).all()
    n_own = rows.groupby("arm")["n_own_trained"].unique()
    assert n_own[KNOWN].tolist() == [N_SLICES] and n_own[APART].tolist() == [0]
    who, is_tested = (cohort.persons, cohort.labels), np.isin(cohort.persons, cohort.persons[:96])
    parts = (leak.arm_parts(*who, is_tested, k, np.random.default_rng(0)) for k in (APART, KNOWN))
    apart, known = (np.bincount(cohort.labels[own == "train"]) for own in parts)
    assert (apart == known).all()


def test_canary_labels_stay_with_the_person(rows):
    canary = rows[rows["labels"] == SHUFFLED]
    assert canary.groupby("person_id")["shown_label"].nunique().eq(1).all()
    assert 0.4 < (canary["shown_label"] != canary["label"]).mean() < 0.9
    plain = rows[rows["labels"] == OWN]
    assert (plain["shown_label"] == plain["label"]).all()
    assert set(canary["fold"]) == set(range(leak.N_CANARY_FOLDS))


def test_a_killed_run_goes_on_between_the_arms_to_the_same_bytes(finished, tmp_path, cohort):
    trained = []

    def network(own, **_):
        trained.append(own.folder)
        if len(trained) == 4:
            raise KeyboardInterrupt
        return nearest_neighbor(own)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, cohort, network)
    assert not (tmp_path / "rows_leak.csv.gz").exists()
    run(tmp_path, cohort, network)
    assert len(trained) == 4 + 4 * 2 + 1  # arms of the first fold and of the others, 1 twice
    for name in leak.FILES:
        assert (tmp_path / name).read_bytes() == (finished / name).read_bytes(), name


def test_what_is_published_can_be_recomputed_and_is_told_in_its_numbers(finished, tmp_path):
    target = leak.STUDY.publish(finished, tmp_path / "leak", profile=PROFILE)
    assert side_studies.wrong_tables(target, leak.STUDY.derive)[0] == []
    assert steps.read_json(target / "manifest.json")["source"] == "Drawn for a test."
    text = "\n".join(sections.sentences("leak", side_studies.reader(target)))
    table = rowfiles.read_table(target / "table_leak.csv")
    of_all = table[(table["score"] == "right") & (table["group"] == "all")]
    assert all(f"{value:.3f}" in text for value in of_all["effect"])


def test_slices_of_the_tested_patients_in_training_are_counted_patient_by_patient():
    persons, arms = list("AAAB"), (APART, KNOWN)
    same = {"labels": OWN, "person_id": persons, "slice_id": range(4), "label": "glioma"}
    same |= {"shown_label": "glioma", "p_meningioma": 0.0, "p_glioma": 1.0, "p_pituitary": 0.0}
    n_own = {APART: 0, KNOWN: [6, 6, 6, 2]}
    rows = pd.concat([pd.DataFrame({**same, "arm": k, "n_own_trained": n_own[k]}) for k in arms])
    table = leak_tables.leak_table(rows, n_resamples=2).query("arm == @KNOWN and group == 'all'")
    assert table["n_own_trained"].item() == 4  # not 5, the mean over slices
