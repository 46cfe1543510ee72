"""Claims about the person bootstrap."""

import math
import time

import numpy as np
import pytest
from scipy import stats as laws

from tumorcf_lib.stats import persons as _resampling
from tumorcf_lib.stats import stats


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
    return people.draw(n, np.random.default_rng(seed))


def _expanded(slow, n, df):
    """Slow reference of the expanded percentile interval, term by term."""
    tail = laws.norm.cdf(-math.sqrt(n / df) * laws.t.ppf(0.975, df))
    return tuple(np.quantile(slow, [tail, 1 - tail]))


def _p(slow, value, null, n, df):
    """Slow reference of the p-value."""
    error = np.std(slow, ddof=1) * math.sqrt(n / df)
    return max(2 * laws.t.sf(abs(value - null) / error, df), 0.5 ** (n - 1))


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
    assert (estimate.low, estimate.high) == pytest.approx(_expanded(slow, 12, 12 - 3))
    assert estimate.p == pytest.approx(_p(slow, values.mean(), 0, 12, 12 - 3))
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
    n = min(len(set(persons[first])), len(set(persons[~first])))
    assert estimate.n_persons_smallest == n
    assert (estimate.low, estimate.high) == pytest.approx(_expanded(slow, n, n - 1))


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
    n = estimate.n_persons_smallest
    assert (estimate.low, estimate.high) == pytest.approx(_expanded(slow, n, n - 1))
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


def _spread_by_loop(own):
    """Standard deviation between persons, one-way components, person by person."""
    means, squares, n_repeats = [], 0.0, 0
    for slices in own:
        means.append(sum(slices) / len(slices))
        squares += sum((x - means[-1]) ** 2 for x in slices)
        n_repeats += len(slices) - 1
    scatter = squares / n_repeats * np.mean([1 / len(slices) for slices in own])
    return math.sqrt(max(np.var(means, ddof=1) - scatter, 0))


def test_spread_difference_equals_a_slow_loop_over_drawn_persons():
    values, persons, strata = _sample(np.random.default_rng(10), n_strata=2, n_persons=14)
    estimate = stats.bootstrap_spread_difference(values, strata == 0, persons, strata,
                                                 rng=np.random.default_rng(11), n_resamples=40)
    names = sorted(set(persons))

    def spread_difference(counts):
        drawn = [[], []]
        for name, times in zip(names, counts, strict=True):
            own = persons == name
            drawn[strata[own][0]] += [values[own]] * int(times)
        return _spread_by_loop(drawn[0]) - _spread_by_loop(drawn[1])

    slow = [spread_difference(c) for c in _draws(persons, strata, 11, 40)]
    assert estimate.value == pytest.approx(spread_difference(np.ones(14)))
    assert (estimate.low, estimate.high) == pytest.approx(_expanded(slow, 7, 6))
    assert np.isnan(estimate.mean_of_person_means)


def test_spread_does_not_favor_the_group_with_more_slices_a_person():
    rng, n_persons, found, plain = np.random.default_rng(21), 12, [], []
    n_slices = np.repeat([2, 10], n_persons)  # both groups: SD 1 between, 1.5 within persons
    who = np.repeat(np.arange(2 * n_persons), n_slices)
    first = who >= n_persons
    for _ in range(300):
        values = rng.normal(0, 1, 2 * n_persons)[who] + rng.normal(0, 1.5, len(who))
        found.append(stats.bootstrap_spread_difference(values, first, who, first, rng=rng,
                                                       n_resamples=2).value)
        means = np.bincount(who, weights=values) / n_slices
        plain.append(means[n_persons:].std(ddof=1) - means[:n_persons].std(ddof=1))
    assert abs(np.mean(found)) < 0.1
    uncorrected = math.sqrt(1 + 2.25 / 10) - math.sqrt(1 + 2.25 / 2)  # -0.35
    assert np.mean(plain) == pytest.approx(uncorrected, abs=0.07)


def test_spread_that_slices_alone_explain_is_floored_at_zero_and_needs_repeats():
    persons = np.repeat(np.arange(20), 2)
    first, alike = persons < 10, np.tile([-1.0, 1.0], 20)  # all person means are 0
    values = np.where(first, alike, persons)
    estimate = stats.bootstrap_spread_difference(values, first, persons, first,
                                                 rng=np.random.default_rng(0), n_resamples=50)
    assert estimate.value == pytest.approx(-np.std(np.arange(10), ddof=1))
    once = stats.bootstrap_spread_difference(values[::2], first[::2], persons[::2], first[::2],
                                             rng=np.random.default_rng(0), n_resamples=50)
    assert np.isnan([once.value, once.low, once.p]).all()


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
    assert _expanded(draws[:, 0], 12, 12 - 3) == pytest.approx((fast.low, fast.high))


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


def _coverage(n_persons, n_strata, seed, n_runs=800, n_resamples=400):
    """How often the expanded and the plain interval of a mean hold the truth, 0."""
    rng, expanded, plain = np.random.default_rng(seed), 0, 0
    stratum = np.arange(n_persons) % n_strata
    for _ in range(n_runs):
        values = rng.normal(0, 1, n_persons)
        people = _resampling.checked(values, np.arange(n_persons), stratum)[1]
        replicates = people.draw(n_resamples, rng) @ values / n_persons
        low, high = _resampling.interval(replicates, n_persons, n_persons - n_strata)
        expanded += low <= 0 <= high
        low, high = np.percentile(replicates, [2.5, 97.5])
        plain += low <= 0 <= high
    return expanded / n_runs, plain / n_runs


@pytest.mark.parametrize("n_persons, n_strata", [(10, 1), (13, 1), (12, 3)])
def test_the_interval_of_few_persons_covers_more_than_plain_percentiles(n_persons, n_strata):
    expanded, plain = _coverage(n_persons, n_strata, seed=22)
    assert plain < 0.92 < expanded < 0.97
    assert expanded > plain + 0.025


def test_one_person_a_stratum_gives_no_interval_and_no_p():
    estimate = stats.bootstrap_mean([0.4, 0.5], ["a", "b"], [0, 1], n_resamples=50, null=0,
                                    rng=np.random.default_rng(0))
    assert estimate.value == 0.45 and np.isnan([estimate.low, estimate.high, estimate.p]).all()


@pytest.mark.parametrize("n_persons", [10, 13])
def test_p_value_is_below_5_percent_in_about_5_percent_of_true_nulls(n_persons):
    rng, n_runs, p = np.random.default_rng(19), 600, []
    persons, stratum = np.arange(n_persons), np.zeros(n_persons)
    for _ in range(n_runs):
        values = rng.normal(0, 1, n_persons)
        p.append(stats.bootstrap_mean(values, persons, stratum, rng=rng, n_resamples=200,
                                      null=0).p)
    assert 0.025 < np.mean(np.array(p) < 0.05) < 0.08


def test_p_value_is_never_below_that_of_an_exact_sign_test():
    values, persons = np.random.default_rng(23).normal(50, 1, 12), np.arange(12)
    for shift in (values, np.full(12, 7.0)):  # far from the null; all persons alike
        far = stats.bootstrap_mean(shift, persons, np.zeros(12), n_resamples=99, null=0,
                                   rng=np.random.default_rng(0))
        assert far.p == laws.binomtest(12, 12).pvalue == 2.0**-11


def test_p_value_by_hand():
    # standard deviation sqrt(2.5), standard error sqrt(2.5 * 5 / 4), NaN left out
    replicates = [1, 2, 3, 4, 5, np.nan]
    wanted = 2 * laws.t.sf(3 / math.sqrt(2.5 * 5 / 4), 4)
    assert stats.bootstrap_p(replicates, 0, value=3, n_persons=5) == pytest.approx(wanted)
    for null, n_persons in ((None, 5), (0, 1)):
        assert np.isnan(stats.bootstrap_p(replicates, null, value=3, n_persons=n_persons))


@pytest.mark.parametrize("dust", [0.0, 1e-8, -9e-7])
def test_p_value_of_an_estimate_at_the_null_is_one_even_without_any_scatter(dust):
    for replicates in (np.full(50, dust), np.linspace(-1, 1, 50)):
        assert stats.bootstrap_p(replicates, 0, value=dust, n_persons=20) == 1


def test_resamples_with_an_empty_group_are_left_out():
    values = np.array([5.0, 5.0, 1.0, 1.0, 1.0])
    estimate = stats.bootstrap_difference(values, [True, True, False, False, False],
                                          list("abcde"), [0] * 5, n_resamples=99,
                                          rng=np.random.default_rng(0))
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
