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


@pytest.mark.parametrize("sizes", [(42, 42, 42, 42, 41), (13, 12, 12, 12, 13)])  # of the folds
@pytest.mark.parametrize("seeds", [1, 3])
def test_intervals_cover_the_truth_of_another_training_on_other_patients(seeds, sizes):
    """95 of 100 intervals, within 2."""
    rng, folds = np.random.default_rng(seeds), np.repeat(np.arange(FOLDS), sizes)
    hits, n = 0, 400 if seeds == 1 else 2000

    def layout(n_seeds, truth=0.0):
        patient = rng.normal(0, 0.1, (len(folds), 1))
        network = rng.normal(0, 0.05, (FOLDS, n_seeds))[folds]
        return truth + patient + network + rng.normal(0, 0.07, (len(folds), n_seeds))

    def null():
        keys = pd.MultiIndex.from_arrays([folds, range(len(folds))], names=["fold", "person_id"])
        wide = pd.DataFrame(layout(2), keys).rename_axis(columns="training_seed")
        return networks.null_of("score", wide.stack().rename("score").reset_index())

    for _ in range(n):
        known = null() if seeds == 1 else networks.NO_NULL
        low, high = networks.of_means(layout(seeds, 0.3), folds, 0, null=known).interval
        hits += low <= 0.3 <= high
    assert 0.93 <= hits / n <= 0.97


def test_with_one_seed_the_networks_spread_is_that_of_networks_that_know_nothing():
    rng = np.random.default_rng(2)
    rows, null = drawn(rng, seeds=1), networks.Null(0.0, 0.25, 10, 0.2)
    alone, beside = (networks.mean(rows, "score", null=n) for n in (networks.NO_NULL, null))
    assert np.isnan(alone.network_error)
    assert beside.network_error == pytest.approx(0.2 / np.sqrt(FOLDS))
    assert beside.error == pytest.approx(np.hypot(alone.error, 0.2 / np.sqrt(FOLDS)))


def test_a_band_holds_another_such_network_or_the_mean_of_some():
    rng, inside, alone, n = np.random.default_rng(3), 0, 0, 400
    for _ in range(n):
        known, other = rng.normal(0.04, 0.05, 10), rng.normal(0.04, 0.05, 5)
        null = networks.Null(known.mean(), known.std(ddof=1), 10)
        low, high = null.band(5)
        inside += low <= other.mean() <= high
        low, high = null.band()
        alone += low <= other[0] <= high
    assert 0.92 <= inside / n <= 0.98 and 0.92 <= alone / n <= 0.98


@pytest.mark.parametrize("n, words", [(0, "no networks"), (3, "too few networks"), (4, "")])
def test_few_networks_that_know_nothing_judge_nothing(n, words):
    rows = drawn(np.random.default_rng(0), seeds=1, truth=0.5)
    null = networks.Null(0.0, 0.01, n, 0.01) if n else networks.NO_NULL
    e = networks.mean(rows, "score", null=null)
    verdict, reason = networks.verdict(e, null, networks.against_null(e, null))
    assert verdict == (networks.OPEN if words else networks.HOLDS)
    assert reason == (f"{words} to compare with" if words else "")


def rates(sizes, *, deals=2, deal=0.0, n=1000):
    """Of networks that know nothing, read against others: how often the interval holds the truth,
    and how often p is below 0.05.

    ``deal``: the share of the networks' variance that networks of one deal of the labels have in
    common. Those that are judged, of two seeds, are all of one deal; the others are of ``deals``.
    """
    rng, folds = np.random.default_rng(0), np.repeat(np.arange(FOLDS), sizes)
    of_deal, of_network = 0.05 * np.sqrt(deal), 0.05 * np.sqrt(1 - deal)

    def layout(n_deals, n_seeds):
        dealt = np.repeat(rng.normal(0, of_deal, n_deals), n_seeds)
        network = dealt + rng.normal(0, of_network, (FOLDS, n_deals * n_seeds))
        patient = rng.normal(0, 0.1, (len(folds), 1))
        return patient + network[folds] + rng.normal(0, 0.07, (len(folds), n_deals * n_seeds))

    held = alarms = 0
    for _ in range(n):
        own, nothing = layout(1, 2), layout(deals, 1)
        by = [part[folds == fold] for part in nothing.T for fold in range(FOLDS)]
        of_patients = np.mean([part.var(ddof=1) / len(part) for part in by])
        null = networks.null_from(pd.Series([part.mean() for part in by]), of_patients, deals)
        e = networks.of_means(own, folds, 0, null=null)
        held += e.interval[0] <= 0 <= e.interval[1]
        alarms += networks.against_null(e, null) < 0.05
    return held / n, alarms / n


@pytest.mark.parametrize("sizes", [(PATIENTS,) * FOLDS, (5, 4, 4, 4, 5)])
def test_intervals_of_two_seeds_cover_the_truth_with_few_patients_too(sizes):
    held, _ = rates(sizes)
    assert 0.925 <= held <= 0.965


@pytest.mark.parametrize("deals, deal", [(1, 0.5), (2, 0.5), (2, 0.7)])
def test_networks_that_know_nothing_are_told_apart_at_most_as_often_as_they_should_be(deals, deal):
    """One degree of freedom less than networks, where one deal has five, would be too many."""
    _, alarms = rates((42,) * FOLDS, deals=deals, deal=deal)
    assert alarms <= 0.05


def test_what_two_shuffles_cannot_tell_is_how_far_shuffles_lie_apart():
    """Where nearly all the networks' variance is their deal's, more than one in twenty is a false
    alarm: RESULTS says that the bands may be too narrow."""
    _, alarms = rates((42,) * FOLDS, deal=0.95)
    assert 0.05 < alarms <= 0.21


def test_a_shuffle_gives_two_degrees_of_freedom_and_what_shares_no_shuffle_one_less_than_networks():
    known = {"mean": 0.0, "sd": 0.05, "n": 10}
    free = {deals: networks.Null(**known, deals=deals).free for deals in (0, 1, 2, 10)}
    assert free == {0: 9, 1: 2, 2: 4, 10: 9}
    rows = drawn(np.random.default_rng(0), seeds=2)
    assert networks.null_of("score", rows).deals == 2
