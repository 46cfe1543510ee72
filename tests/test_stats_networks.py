"""Intervals hold for other patients and other trainings, and nothing is read into noise."""

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib.stats import networks

FOLDS, PATIENTS = 5, 14  # of a class, in a fold


def drawn(rng, *, seeds, truth=0.0):
    """Scores of a cohort whose answer is known: truth + network + patient + slice."""
    patient, network = rng.normal(0, 0.1, (FOLDS, PATIENTS)), rng.normal(0, 0.05, (seeds, FOLDS))
    rows = []
    for seed, fold, k in np.ndindex(seeds, FOLDS, PATIENTS):
        level = truth + network[seed, fold] + patient[fold, k]
        slices = level + rng.normal(0, 0.1, 1 + k % 3)
        rows += [(seed, fold, f"{fold}-{k}", score) for score in slices]
    return pd.DataFrame(rows, columns=["training_seed", "fold", "person_id", "score"])


def test_errors_are_those_of_a_two_way_layout_written_out():
    """Of each fold: mean squares of patients and of what is neither patient nor network."""
    rows = drawn(np.random.default_rng(0), seeds=3)
    e = networks.mean(rows, "score")
    wide = rows.groupby(["person_id", "training_seed"])["score"].mean().unstack()
    within, network = 0.0, 0.0
    for fold in range(FOLDS):
        own = wide[wide.index.str.startswith(f"{fold}-")].to_numpy()
        within += sum((row.mean() - own.mean()) ** 2 for row in own)
        rest = sum(
            (own[i, s] - own[i].mean() - own[:, s].mean() + own.mean()) ** 2
            for i in range(PATIENTS)
            for s in range(3)
        ) / ((PATIENTS - 1) * 2)
        network += (own.mean(axis=0).var(ddof=1) - rest / PATIENTS) / FOLDS**2 / 3
    n = FOLDS * PATIENTS
    assert e.value == pytest.approx(wide.to_numpy().mean())
    assert e.network_error == pytest.approx(np.sqrt(network))
    assert e.error == pytest.approx(np.sqrt(within / (n - FOLDS) / n + network))


@pytest.mark.parametrize("seeds", [1, 3])
def test_intervals_cover_the_truth_of_another_training_on_other_patients(seeds):
    """95 of 100 intervals, within 2."""
    rng, folds = np.random.default_rng(seeds), np.repeat(np.arange(FOLDS), (13, 12, 12, 12, 13))
    hits, n = 0, 400 if seeds == 1 else 2000

    def layout(n_seeds, truth=0.0):
        patient = rng.normal(0, 0.1, (len(folds), 1))
        network = rng.normal(0, 0.05, (FOLDS, n_seeds))[folds]
        return truth + patient + network + rng.normal(0, 0.07, (len(folds), n_seeds))

    def null():
        keys = pd.MultiIndex.from_arrays([folds, range(len(folds))], names=["fold", "person_id"])
        wide = pd.DataFrame(layout(2), keys).rename_axis(columns="training_seed")
        return networks.null_of(wide.stack().rename("score").reset_index(), "score")

    for _ in range(n):
        known = null() if seeds == 1 else networks.NO_NULL
        low, high = networks.of_means(layout(seeds, 0.3), folds, 0, null=known).interval
        hits += low <= 0.3 <= high
    assert 0.93 <= hits / n <= 0.97


def test_few_networks_that_know_nothing_judge_nothing():
    rows = drawn(np.random.default_rng(0), seeds=1, truth=0.5)
    for n, words in ((0, "no networks"), (3, "too few networks"), (4, "")):
        null = networks.Null(0.0, 0.01, n, 0.01) if n else networks.NO_NULL
        e = networks.mean(rows, "score", null=null)
        verdict, reason = networks.verdict(e, null, networks.against_null(e, null))
        assert verdict == (networks.OPEN if words else networks.HOLDS)
        assert reason == (f"{words} to compare with" if words else "")
