"""Claims about the person bootstrap."""

import time

import numpy as np
import pytest

from tumorcf_lib import _resampling, stats


def _sample(rng, *, n_persons=12, n_strata=3, between=1.0, max_slices=6):
    """Values of persons with unequal numbers of slices, persons in turn in the strata."""
    n_slices = rng.integers(1, max_slices + 1, n_persons)
    who = np.repeat(np.arange(n_persons), n_slices)
    values = rng.normal(0, between, n_persons)[who] + rng.normal(0, 1, len(who))
    return values, np.array([f"p{k:02d}" for k in who]), who % n_strata


def _resamples_by_loop(values, persons, strata, counts_of, statistic):
    """Slow reference: concatenates the drawn persons' slices and applies the statistic."""
    names = sorted(set(persons))
    results = []
    for counts in counts_of:
        rows = []
        for name, times in zip(names, counts, strict=True):
            for _ in range(int(times)):
                rows += [i for i in range(len(values)) if persons[i] == name]
        results.append(statistic(np.array(rows)))
    return np.array(results)


def _draws(persons, strata, seed, n):
    """The counts that a generator of this seed draws."""
    _, people = _resampling.checked(np.zeros(len(persons)), persons, strata)
    return people.draw(np.random.default_rng(seed), n)


def test_every_resample_holds_as_many_persons_of_each_stratum_as_the_sample():
    _, persons, strata = _sample(np.random.default_rng(0))
    counts = _draws(persons, strata, 1, 50)
    stratum_of = {p: s for p, s in zip(persons, strata, strict=True)}
    for stratum in range(3):
        columns = [k for k, p in enumerate(sorted(stratum_of)) if stratum_of[p] == stratum]
        assert (counts[:, columns].sum(axis=1) == len(columns)).all()


def test_mean_equals_a_slow_loop_over_drawn_persons():
    values, persons, strata = _sample(np.random.default_rng(2))
    estimate = stats.bootstrap_mean(values, persons, strata, rng=np.random.default_rng(3),
                                    n_resamples=60, null=0.0)
    slow = _resamples_by_loop(values, persons, strata, _draws(persons, strata, 3, 60),
                              lambda i: values[i].mean())
    assert estimate.value == pytest.approx(values.mean())
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.percentile(slow, [2.5, 97.5])))
    n_rare = min((slow <= 0).sum(), (slow >= 0).sum())
    assert estimate.p == pytest.approx(min(1, 2 * (n_rare + 1) / 61))
    by_person = [values[persons == p].mean() for p in set(persons)]
    assert estimate.mean_of_person_means == pytest.approx(np.mean(by_person))
    assert (estimate.n_slices, estimate.n_persons) == (len(values), 12)


def test_difference_equals_a_slow_loop_when_persons_are_in_both_groups():
    values, persons, strata = _sample(np.random.default_rng(4))
    first = np.random.default_rng(5).random(len(values)) < 0.4
    estimate = stats.bootstrap_difference(values, first, persons, strata,
                                          rng=np.random.default_rng(6), n_resamples=60)
    slow = _resamples_by_loop(values, persons, strata, _draws(persons, strata, 6, 60),
                              lambda i: values[i][first[i]].mean() - values[i][~first[i]].mean())
    assert estimate.value == pytest.approx(values[first].mean() - values[~first].mean())
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.percentile(slow, [2.5, 97.5])))
    assert estimate.n_persons_smallest == min(len(set(persons[first])), len(set(persons[~first])))


def _matched_by_loop(values, first, cells):
    total, weight = 0.0, 0
    for cell in set(cells):
        one, two = values[first & (cells == cell)], values[~first & (cells == cell)]
        if len(one) and len(two):
            total, weight = total + (one.mean() - two.mean()) * len(one), weight + len(one)
    return total / weight


def test_matched_difference_equals_a_slow_loop_over_cells():
    values, persons, strata = _sample(np.random.default_rng(7), n_persons=20)
    rng = np.random.default_rng(8)
    first, cells = rng.random(len(values)) < 0.4, rng.integers(0, 3, len(values))
    cells[np.flatnonzero(first)[0]] = 9  # a cell of one group only
    estimate = stats.bootstrap_matched_difference(values, first, cells, persons, strata,
                                                  rng=np.random.default_rng(9), n_resamples=60)
    slow = _resamples_by_loop(values, persons, strata, _draws(persons, strata, 9, 60),
                              lambda i: _matched_by_loop(values[i], first[i], cells[i]))
    assert estimate.value == pytest.approx(_matched_by_loop(values, first, cells))
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.percentile(slow, [2.5, 97.5])))
    assert estimate.n_slices == len(values) - 1


def test_matching_removes_a_difference_that_the_cells_explain():
    cells = np.repeat([0, 1], 40)
    values = np.where(cells == 1, 1.0, 0.0)
    first = np.tile([True, False, False, False], 20) ^ (cells == 1)  # rare in 0, common in 1
    persons, strata = np.arange(80), np.zeros(80)
    raw, matched = (
        stats.bootstrap_matched_difference(values, first, c, persons, strata,
                                           rng=np.random.default_rng(0), n_resamples=50)
        for c in (np.zeros(80), cells)
    )
    assert raw.value == pytest.approx(0.75 - 0.25)
    assert matched.value == 0


def test_matching_without_any_common_cell_has_no_value_and_no_verdict():
    first = np.repeat([True, False], 15)
    estimate = stats.bootstrap_matched_difference(np.ones(30), first, first, np.arange(30),
                                                  np.zeros(30), rng=np.random.default_rng(0),
                                                  n_resamples=20, null=0)
    assert np.isnan([estimate.value, estimate.low, estimate.p]).all()
    assert estimate.n_slices == estimate.n_persons_smallest == 0
    assert stats.verdict(estimate, 0, "below", np.nan) == "undecided"


def test_spread_difference_equals_a_slow_loop_over_drawn_persons():
    values, persons, strata = _sample(np.random.default_rng(10), n_strata=2, n_persons=14)
    first = strata == 0
    estimate = stats.bootstrap_spread_difference(values, first, persons, strata,
                                                 rng=np.random.default_rng(11), n_resamples=40)
    names = sorted(set(persons))
    mean_of = np.array([values[persons == p].mean() for p in names])
    in_first = np.array([first[persons == p][0] for p in names])

    def spread_difference(counts):
        drawn = [np.repeat(mean_of[g], counts[g].astype(int)) for g in (in_first, ~in_first)]
        return np.std(drawn[0], ddof=1) - np.std(drawn[1], ddof=1)

    slow = [spread_difference(c) for c in _draws(persons, strata, 11, 40)]
    assert estimate.value == pytest.approx(spread_difference(np.ones(14)))
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.percentile(slow, [2.5, 97.5])))
    assert np.isnan(estimate.mean_of_person_means)


def test_spread_of_a_far_shifted_constant_is_zero():
    persons = np.repeat(np.arange(24), 2)
    values = np.where(persons < 12, 1e9, persons % 2)
    estimate = stats.bootstrap_spread_difference(values, persons < 12, persons, persons < 12,
                                                 rng=np.random.default_rng(0), n_resamples=50)
    assert estimate.value == pytest.approx(-np.std(np.arange(12) % 2, ddof=1), abs=1e-6)
    assert estimate.high < 0


def test_general_form_agrees_with_the_vectorized_mean():
    values, persons, strata = _sample(np.random.default_rng(12))
    draws = stats.bootstrap(lambda i: [values[i].mean(), len(i)], persons, strata,
                            rng=np.random.default_rng(13), n_resamples=80)
    fast = stats.bootstrap_mean(values, persons, strata, rng=np.random.default_rng(13),
                                n_resamples=80)
    assert draws.shape == (80, 2)
    assert tuple(np.percentile(draws[:, 0], [2.5, 97.5])) == pytest.approx((fast.low, fast.high))


def test_interval_of_many_alike_persons_has_the_width_of_the_normal_law():
    values = np.random.default_rng(14).normal(0, 1, 400)
    estimate = stats.bootstrap_mean(values, np.arange(400), np.zeros(400),
                                    rng=np.random.default_rng(15), n_resamples=4000)
    width = 2 * 1.959964 * values.std() / np.sqrt(400)
    assert estimate.high - estimate.low == pytest.approx(width, rel=0.05)


def test_copies_of_a_slice_do_not_narrow_the_interval():
    values = np.random.default_rng(16).normal(0, 1, 30)
    once, tenfold = (
        stats.bootstrap_mean(np.repeat(values, n), np.repeat(np.arange(30), n),
                             np.zeros(30 * n), rng=np.random.default_rng(17), n_resamples=200)
        for n in (1, 10)
    )
    assert (once.low, once.high) == pytest.approx((tenfold.low, tenfold.high))
    assert (tenfold.n_slices, tenfold.n_persons) == (300, 30)


def test_the_interval_covers_the_truth_about_as_often_as_promised():
    rng, n_runs, n_covered, n_naive = np.random.default_rng(18), 300, 0, 0
    for _ in range(n_runs):
        values, persons, strata = _sample(rng, n_persons=45, between=1.0)
        e = stats.bootstrap_mean(values, persons, strata, rng=rng, n_resamples=250)
        n_covered += e.low <= 0 <= e.high
        naive = stats.bootstrap_mean(values, np.arange(len(values)), strata, rng=rng,
                                     n_resamples=250)
        n_naive += naive.low <= 0 <= naive.high
    assert 0.89 <= n_covered / n_runs <= 0.98
    assert n_naive < n_covered - 20  # drawing slices promises too much


def test_p_value_is_rarely_small_under_the_null_and_tiny_far_from_it():
    rng = np.random.default_rng(19)
    p = []
    for _ in range(200):
        values, persons, strata = _sample(rng, n_persons=45)
        p.append(stats.bootstrap_mean(values, persons, strata, rng=rng, n_resamples=200,
                                      null=0).p)
    assert np.mean(np.array(p) < 0.05) < 0.12
    far = stats.bootstrap_mean(values + 50, persons, strata, rng=rng, n_resamples=199, null=0)
    assert far.p == pytest.approx(2 / 200)


@pytest.mark.parametrize("null, expected", [
    (0, 2 * (0 + 1) / 10), (2.5, 2 * (2 + 1) / 10), (5, 1.0), (None, np.nan)])
def test_p_value_counts_resamples_beyond_the_null_on_the_rarer_side(null, expected):
    replicates = [1, 2, 3, 4, 5, 6, 7, 8, 9, np.nan]
    assert stats.bootstrap_p(replicates, null) == pytest.approx(expected, nan_ok=True)


def test_resamples_with_an_empty_group_are_left_out():
    values = np.array([5.0, 1.0, 1.0, 1.0])
    estimate = stats.bootstrap_difference(values, [True, False, False, False], list("abcd"),
                                          [0] * 4, rng=np.random.default_rng(0), n_resamples=99)
    assert (estimate.value, estimate.low, estimate.high) == (4, 4, 4)


@pytest.mark.parametrize("values, persons, strata, words", [
    ([], [], [], "one value per slice"),
    ([1.0, np.nan], ["a", "b"], [0, 0], "1 of 2 values are NaN"),
    ([1.0, 2.0], ["a"], [0, 0], "`persons` has shape"),
    ([1.0, 2.0], ["a", "a"], [0, 1], "more than one stratum .first: 'a'"),
])
def test_unusable_arrays_are_refused_by_name(values, persons, strata, words):
    with pytest.raises(stats.StatsInputError, match=words):
        stats.bootstrap_mean(values, persons, strata, rng=np.random.default_rng(0))


def test_the_full_dataset_takes_seconds_at_most():
    rng = np.random.default_rng(20)
    persons = rng.integers(0, 209, 3064)
    start = time.perf_counter()
    stats.bootstrap_mean(rng.random(3064), persons, persons % 3, rng=rng)
    assert time.perf_counter() - start < 5  # 0.1 s on an idle core
