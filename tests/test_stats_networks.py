"""Intervals hold for other patients and other trainings, and nothing is read into noise."""

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib.stats import networks

FOLDS, PATIENTS = 5, 14  # of a class, in a fold


def patients(rng, sd=0.1):
    return rng.normal(0, sd, (FOLDS, PATIENTS))


def drawn(rng, *, seeds, truth=0.0, sd_network=0.05, sd_slice=0.1, patient=None):
    """Scores of a cohort whose answer is known: truth + network + patient + slice."""
    patient = patients(rng) if patient is None else patient
    network = rng.normal(0, sd_network, (seeds, FOLDS))
    rows = []
    for seed in range(seeds):
        for fold in range(FOLDS):
            for k in range(PATIENTS):
                level = truth + network[seed, fold] + patient[fold, k]
                rows += [(seed, fold, f"{fold}-{k}", level + noise)
                         for noise in rng.normal(0, sd_slice, 1 + k % 3)]  # fmt: skip
    return pd.DataFrame(rows, columns=["training_seed", "fold", "person_id", "score"])


def test_every_patient_counts_the_same_however_many_slices():
    rows = pd.DataFrame({"training_seed": 0, "fold": 0, "person_id": list("aaab"),
                         "score": [1.0, 1.0, 1.0, 0.0]})  # fmt: skip
    assert networks.mean(rows, "score").value == 0.5


def test_errors_are_those_of_the_formula_written_out():
    rng = np.random.default_rng(0)
    rows = drawn(rng, seeds=3)
    e = networks.mean(rows, "score")
    by_patient = rows.groupby(["person_id", "training_seed"])["score"].mean().unstack()
    patients = by_patient.mean(axis=1).var(ddof=1) / len(by_patient)
    network = 0.0
    for fold in range(FOLDS):
        own = by_patient[by_patient.index.str.startswith(f"{fold}-")]
        network += (len(own) / len(by_patient)) ** 2 * own.mean().var(ddof=1) / 3
    assert e.value == pytest.approx(by_patient.to_numpy().mean())
    assert e.error == pytest.approx(np.sqrt(patients + network))
    assert e.network_error == pytest.approx(np.sqrt(network))


@pytest.mark.parametrize("seeds", [1, 3])
def test_intervals_cover_the_truth_of_another_training_on_other_patients(seeds):
    rng = np.random.default_rng(seeds)
    hits, n = 0, 300
    for _ in range(n):
        null = networks.null_of(drawn(rng, seeds=2), "score")
        low, high = networks.mean(drawn(rng, seeds=seeds, truth=0.3), "score", null=null).interval
        hits += low <= 0.3 <= high
    assert 0.93 <= hits / n <= 0.99


def test_networks_that_know_nothing_earn_a_verdict_in_at_most_five_of_a_hundred_tests():
    rng = np.random.default_rng(7)
    n, earned = 300, 0
    for _ in range(n):  # the same patients are asked of both, as in the study
        same = {"truth": 0.04, "patient": patients(rng)}
        null = networks.null_of(drawn(rng, seeds=2, **same), "score")
        e = networks.mean(drawn(rng, seeds=1, **same), "score", null=null)
        verdict, _ = networks.verdict(e, null, networks.against_null(e, null))
        earned += verdict != networks.OPEN
    assert earned / n <= 0.05


def test_a_real_effect_holds_and_its_opposite_does_not():
    rng = np.random.default_rng(1)
    null = networks.null_of(drawn(rng, seeds=2), "score")
    for truth, expected in ((0.3, networks.HOLDS), (-0.3, networks.FAILS)):
        e = networks.mean(drawn(rng, seeds=3, truth=truth), "score", null=null)
        p = networks.against_null(e, null)
        assert networks.verdict(e, null, p) == (expected, "")
        assert networks.verdict(e, null, p, "below")[0] != expected


def test_with_one_seed_the_networks_spread_is_that_of_networks_that_know_nothing():
    rng = np.random.default_rng(2)
    rows, null = drawn(rng, seeds=1), networks.Null(0.0, 0.2, 10)
    alone, beside = (networks.mean(rows, "score", null=n) for n in (None, null))
    assert np.isnan(alone.network_error)
    assert beside.network_error == pytest.approx(0.2 / np.sqrt(FOLDS))
    assert beside.error == pytest.approx(np.hypot(alone.error, 0.2 / np.sqrt(FOLDS)))


def test_a_band_holds_the_mean_of_as_many_such_networks():
    rng, inside, n = np.random.default_rng(3), 0, 400
    for _ in range(n):
        known, other = rng.normal(0.04, 0.05, 10), rng.normal(0.04, 0.05, 5)
        null = networks.Null(known.mean(), known.std(ddof=1), 10)
        low, high = null.band(5)
        inside += low <= other.mean() <= high
    assert 0.92 <= inside / n <= 0.98


def test_without_networks_that_know_nothing_nothing_is_told():
    e = networks.mean(drawn(np.random.default_rng(0), seeds=2, truth=1.0), "score")
    nobody = networks.null_of(pd.DataFrame(columns=["training_seed", "fold", "person_id", "score"],
                                           dtype=float), "score")  # fmt: skip
    p = networks.against_null(e, nobody)
    assert networks.verdict(e, nobody, p) == (networks.OPEN, "no networks to compare with")
