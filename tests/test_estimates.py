"""Claims about intervals and differences with patients as the unit."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats as laws

from tumorcf_lib.stats import estimates, persons


def sample(rng, *, n_persons=12, n_strata=3, between=1.0, max_slices=6):
    """Values of patients with unequal numbers of slices, patients in turn in the strata."""
    n_slices = rng.integers(1, max_slices + 1, n_persons)
    who = np.repeat(np.arange(n_persons), n_slices)
    values = rng.normal(0, between, n_persons)[who] + rng.normal(0, 1, len(who))
    return values, np.array([f"p{k:02d}" for k in who]), who % n_strata


def slices(values, who, strata):
    return pd.DataFrame({"x": values, "person_id": who, "label": strata})


def mean(values, who, strata, n_resamples=100):
    return estimates.mean(slices(values, who, strata), "x", n_resamples=n_resamples)


def by_loop(values, who, strata, n, statistic):
    """Slow reference: concatenates the drawn patients' slices and applies the statistic."""
    results = []
    for counts in persons.people_of(slices(values, who, strata)).draw(n):
        rows = []
        for name, times in zip(sorted(set(who)), counts, strict=True):
            rows += [i for i in range(len(values)) if who[i] == name] * int(times)
        results.append(statistic(np.array(rows)))
    return np.array(results)


def expanded(slow, n, df):
    """Slow reference of the expanded percentile interval, term by term."""
    tail = laws.norm.cdf(-math.sqrt(n / df) * laws.t.ppf(0.975, df))
    return tuple(np.quantile(slow, [tail, 1 - tail]))


def test_mean_equals_a_slow_loop_over_drawn_patients():
    values, who, strata = sample(np.random.default_rng(2))
    e = mean(values, who, strata, 60)
    slow = by_loop(values, who, strata, 60, lambda i: values[i].mean())
    assert e.value == pytest.approx(values.mean())
    assert (e.low, e.high) == pytest.approx(expanded(slow, 12, 12 - 3))
    assert (e.n_slices, e.n_persons) == (len(values), 12)


def matched_by_loop(values, first, cells):
    total, weight = 0.0, 0
    for cell in set(cells):
        one, two = values[first & (cells == cell)], values[~first & (cells == cell)]
        if len(one) and len(two):
            total, weight = total + (one.mean() - two.mean()) * len(one), weight + len(one)
    return total / weight


def test_matched_difference_equals_a_slow_loop_over_cells():
    values, who, strata = sample(np.random.default_rng(7), n_persons=20)
    rng = np.random.default_rng(8)
    first, cells = rng.random(len(values)) < 0.4, rng.integers(0, 3, len(values))
    cells[np.flatnonzero(first)[0]] = 9  # a cell of one group only
    table = slices(values, who, strata)
    e = estimates.matched_difference(table, "x", first, cells, n_resamples=60)
    slow = by_loop(
        values, who, strata, 60, lambda i: matched_by_loop(values[i], first[i], cells[i])
    )
    assert e.value == pytest.approx(matched_by_loop(values, first, cells))
    n = e.n_persons
    assert (e.low, e.high) == pytest.approx(expanded(slow, n, n - 1))
    assert e.n_slices == len(values) - 1


def test_the_interval_covers_the_truth_about_as_often_as_promised_and_slices_would_not():
    rng, n_runs, n_covered, n_naive = np.random.default_rng(18), 300, 0, 0
    for _ in range(n_runs):
        values, who, strata = sample(rng, n_persons=45)
        e, naive = (mean(values, unit, strata, 250) for unit in (who, np.arange(len(values))))
        n_covered += e.low <= 0 <= e.high
        n_naive += naive.low <= 0 <= naive.high
    assert 0.89 <= n_covered / n_runs <= 0.98
    assert n_naive < n_covered - 20


@pytest.mark.parametrize("n_persons, n_strata", [(10, 1), (12, 3)])
def test_the_interval_of_few_patients_covers_more_than_plain_percentiles(n_persons, n_strata):
    rng, covered, n_runs = np.random.default_rng(22), np.zeros(2), 800
    people = persons.people_of(slices(0, np.arange(n_persons), np.arange(n_persons) % n_strata))
    counts = people.draw(400)
    for _ in range(n_runs):
        replicates = counts @ rng.normal(0, 1, n_persons) / n_persons
        ends = persons.interval(replicates, *people.free), np.percentile(replicates, [2.5, 97.5])
        covered += [low <= 0 <= high for low, high in ends]
    wide, plain = covered / n_runs
    assert plain < 0.92 < wide < 0.97 and wide > plain + 0.025


def test_one_patient_a_stratum_gives_no_interval():
    e = mean([0.4, 0.5], ["a", "b"], [0, 1])
    assert e.value == 0.45 and np.isnan([e.low, e.high]).all()


def test_resamples_with_an_empty_group_are_left_out():
    table, first = slices([5.0, 5, 1, 1, 1], list("abcde"), 0), np.arange(5) < 2
    e = estimates.matched_difference(table, "x", first, [0] * 5)
    assert (e.value, e.low, e.high) == (4, 4, 4)


def test_a_patient_of_two_classes_is_refused_by_name():
    with pytest.raises(persons.StatsInputError, match="more than one stratum .first: 'a'"):
        mean([1.0, 2.0], ["a", "a"], [0, 1])
