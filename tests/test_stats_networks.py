"""Intervals hold for other patients and other trainings, and nothing is read into noise."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats as laws

from tumorcf_lib.stats import networks, nulls

FOLDS = 5


COHORT, PHANTOM, FEW = (42, 42, 42, 42, 41), (13, 12, 12, 12, 13), (5, 4, 4, 4, 5)  # by folds


@pytest.mark.parametrize(
    "seeds, sizes", [(1, COHORT), (3, COHORT), (1, PHANTOM), (2, PHANTOM), (3, PHANTOM), (2, FEW)]
)
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
        rows = wide.stack().rename("score").reset_index()
        return nulls.null_of("score", rows.assign(naming=0))

    for _ in range(n):
        known = null() if seeds == 1 else nulls.NO_NULL
        low, high = networks.of_means(layout(seeds, 0.3), folds, 0, null=known).interval
        hits += low <= 0.3 <= high
    assert 0.93 <= hits / n <= 0.97


def half(seeds, **null):
    """The estimate from 70 patients' scores around 0.5."""
    scores = np.random.default_rng(0).normal(0.5, 0.1, (70, seeds))
    return networks.of_means(scores, np.arange(70) % FOLDS, 0, **null)


@pytest.mark.parametrize("n, words", [(0, "no networks"), (3, "too few networks"), (4, "")])
def test_few_networks_that_know_nothing_judge_nothing(n, words):
    null = nulls.Null(0.0, 0.01, 4, n, 0.01, 8) if n else nulls.NO_NULL
    e = half(seeds=1, null=null)
    verdict, reason = nulls.verdict(e, null, nulls.against_null(e, null))
    assert verdict == (nulls.OPEN if words else nulls.HOLDS)
    assert reason == (f"{words} to compare with" if words else "")


@pytest.mark.parametrize("deals, deal", [(2, 0.0), (2, 0.5), (2, 0.95), (4, 0.95)])
def test_networks_that_know_nothing_are_told_apart_in_at_most_one_of_twenty_cases(deals, deal):
    """However much of what they score is their deal's, if the three answers have equal variances;
    bands hold as many as they should. ``deal``: the share of the networks' variance that networks
    of one deal of the labels have in common. Those that are judged, of two seeds, are all of one
    deal; the others are of ``deals``."""
    rng, folds, n = np.random.default_rng(0), np.repeat(np.arange(FOLDS), 42), 1000

    def named(*shape):  # three answers, of which one falls as the others rise
        x = rng.normal(0, np.sqrt(3 / 2), (*shape, 3))
        return x - x.mean(axis=-1, keepdims=True)

    def layout(n_deals, n_seeds):  # (patients, networks, namings)
        dealt = np.repeat(0.05 * np.sqrt(deal) * named(1, n_deals), n_seeds, axis=1)
        network = dealt + 0.05 * np.sqrt(1 - deal) * named(FOLDS, n_deals * n_seeds)
        rest = 0.07 * named(len(folds), n_deals * n_seeds)
        return 0.1 * named(len(folds), 1) + network[folds] + rest

    keys = [range(len(folds)), range(deals), range(3)]
    keys = pd.MultiIndex.from_product(keys, names=["person_id", "training_seed", "naming"])
    alarms = inside = 0
    for _ in range(n):
        own, nothing = layout(1, 2)[..., 0], layout(deals, 1)
        rows = pd.Series(nothing.ravel(), keys).rename("score").reset_index()
        null = nulls.null_of("score", rows.assign(fold=folds[rows["person_id"]]))
        e, (low, high) = networks.of_means(own, folds, 0), null.band
        alarms += nulls.against_null(e, null) < 0.05
        inside += low <= e.value <= high
    assert alarms / n <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / n) and inside / n >= 0.93


def rows_of(scores):
    """A patient a fold with ``scores[deal, naming]`` in each."""
    keys = pd.MultiIndex.from_product([range(len(scores)), range(FOLDS), range(3)])
    rows = pd.Series(np.repeat(scores, FOLDS, axis=0).ravel(), keys, name="score")
    rows = rows.rename_axis(["training_seed", "fold", "naming"]).reset_index()
    return rows.assign(person_id=rows["fold"])


def test_of_a_single_deal_and_of_deals_that_lack_folds_nothing_is_concluded():
    rows = rows_of([[0.1, -0.2, 0.1], [0.0, 0.3, -0.3]])
    one = nulls.null_of("score", rows[rows["training_seed"] == 0])
    assert one.n == FOLDS and np.isnan(one.band).all()
    null = nulls.null_of("score", rows[(rows["training_seed"] == 0) | (rows["fold"] > 0)])
    assert null.n == 2 * FOLDS - 1 and np.isnan(null.band).all()
    assert np.isnan(nulls.against_null(half(seeds=2), null))


def test_what_all_names_of_a_deals_answers_have_in_common_counts_as_one_more_deal_would_add_it():
    null = nulls.null_of("score", rows_of([[0.2, 0.2, 0.2], [0.0, 0.0, 0.0]]))
    assert null.mean == pytest.approx(0.1) and null.df == pytest.approx(1)
    assert null.sd == pytest.approx(np.sqrt(0.02 * 1.5))  # of two, and of their mean


def test_deals_that_lack_folds_do_not_count_beside_whole_ones():
    scores = np.array([[0.1, -0.2, 0.1], [0.0, 0.3, -0.3], [5.0, -2.0, -3.0]])
    rows = rows_of(scores)
    lacks = rows[(rows["training_seed"] < 2) | (rows["fold"] > 0)]
    null, whole = (nulls.null_of("score", r) for r in (lacks, rows[rows["training_seed"] < 2]))
    assert (null.mean, null.sd, null.df) == pytest.approx((whole.mean, whole.sd, whole.df))
    assert null.n == 3 * FOLDS - 1


def test_without_any_error_p_says_only_whether_the_numbers_are_the_same():
    for value, p in ((0.5, 1.0), (0.6, 0.0)):
        e = networks.Estimate(value, 0.0, 4.0, 0.0, 5, 5, 2)
        assert nulls.against_null(e, nulls.ONE_HALF) == p


@pytest.mark.parametrize("n, is_known", [(3, False), (4, True)])
def test_fewer_than_four_networks_that_know_nothing_have_no_band(n, is_known):
    reach = laws.t.ppf(0.975, 4) * 0.2
    wanted = (0.1 - reach, 0.1 + reach) if is_known else (np.nan, np.nan)
    assert nulls.Null(0.1, 0.2, 4, n).band == pytest.approx(wanted, nan_ok=True)


def test_the_interval_of_a_share_keeps_within_its_bounds_and_the_value_stays():
    e = networks.Estimate(0.98, 0.1, 9.0, 0.0, 10, 10, 1)
    reach = laws.t.ppf(0.975, 9) * 0.1
    assert e.columns("share", bounds=(0, 1)) == pytest.approx(
        {"share": 0.98, "low": 0.98 - reach, "high": 1.0}
    )
