"""Claims about estimates with patients as the unit, their tables, and the mixed model."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats as laws

from tumorcf_lib.stats import estimates, mixed, persons
from tumorcf_lib.stats.rows import means


def sample(rng, *, n_persons=12, n_strata=3):
    """Values of patients with one to six slices, patients in turn in the strata."""
    who = np.repeat(np.arange(n_persons), rng.integers(1, 7, n_persons))
    values = rng.normal(0, 1, n_persons)[who] + rng.normal(0, 1, len(who))
    return values, np.array([f"p{k:02d}" for k in who]), who % n_strata


def slices(values, who, strata):
    return pd.DataFrame({"x": values, "person_id": who, "label": strata})


def mean(values, who, strata, n_resamples=100):
    return estimates.mean(slices(values, who, strata), "x", n_resamples=n_resamples)


def by_loop(values, who, strata, n, statistic):
    """Slow reference: concatenates the drawn patients' slices and applies the statistic."""
    results, names = [], sorted(set(who))
    for counts in persons.people_of(slices(values, who, strata)).draw(n):
        drawn = [np.flatnonzero(who == name) for name in np.repeat(names, counts.astype(int))]
        results.append(statistic(np.concatenate(drawn)))
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


def test_matched_difference_equals_a_slow_loop_over_cells():
    values, who, strata = sample(np.random.default_rng(7), n_persons=20)
    rng = np.random.default_rng(8)
    first, cells = rng.random(len(values)) < 0.4, rng.integers(0, 3, len(values))
    cells[np.flatnonzero(first)[0]] = 9  # a cell of one group only
    table = slices(values, who, strata)
    e = estimates.matched_difference(table, "x", first, cells, n_resamples=60)

    def matched(drawn):
        gaps = []
        for cell in set(cells):
            own = drawn[cells[drawn] == cell]
            one, two = values[own[first[own]]], values[own[~first[own]]]
            if len(one) and len(two):
                gaps += [one.mean() - two.mean()] * len(one)
        return np.mean(gaps)

    assert e.value == pytest.approx(matched(np.arange(len(values))))
    slow = by_loop(values, who, strata, 60, matched)
    assert (e.low, e.high) == pytest.approx(expanded(slow, e.n_persons, e.n_persons - 1))
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


def test_each_row_is_the_mean_and_interval_of_its_group_and_of_the_split_before():
    values, who, k = sample(np.random.default_rng(0), n_persons=30)
    scores = slices(values, who, np.array(["glioma", "meningioma", "other"])[k])
    scores["network"] = np.where(scores["person_id"] < "p15", "a", "b")
    scores.loc[:3, "x"] = np.nan
    groups = ["all", "meningioma", "glioma", "other", "pituitary"]
    table = means(scores, "x", by=["network"], groups=groups, n_resamples=50)
    assert list(table["group"][:5]) == groups and (table["n_slices"] == 0).sum() == 2
    assert table.loc[table["group"] == "pituitary", "effect"].isna().all()  # nobody has one
    table = table[table["n_slices"] > 0]
    for row in table.itertuples():
        own = scores[scores["network"] == row.network]
        own = own if row.group == "all" else own[own["label"] == row.group]
        own = own[own["x"].notna()]
        e = estimates.mean(own, "x", n_resamples=50)
        assert (row.effect, row.low, row.high) == (e.value, e.low, e.high)
        assert (row.n_slices, row.n_persons) == (len(own), own["person_id"].nunique())


def test_balanced_data_give_the_classical_analysis_of_variance():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, 8)[:, None] + rng.normal(0, 0.5, (8, 4))  # 4 slices of 8 patients
    error = np.sqrt(values.mean(axis=1).var(ddof=1) / 8)
    e = mixed.fit(values.ravel(), np.ones((32, 1)), np.repeat(range(8), 4)).iloc[0]
    reach = laws.t.ppf(0.975, 7) * error
    expected = (values.mean(), values.mean() - reach, values.mean() + reach)
    assert (e["effect"], e["low"], e["high"]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.filterwarnings("error")
def test_what_cannot_be_fitted_is_refused_by_name_and_without_a_warning():
    for values, who, reason in (
        (np.ones(12), np.repeat(range(4), 3), "all values are alike"),
        (np.arange(6.0), np.arange(6), "no person has a second slice"),
        (np.arange(4.0), np.zeros(4), "1 patients for 1 coefficients"),
        (np.tile([0.0, 1.0, 2.0], 5), np.repeat(range(5), 3), "no variance between persons"),
    ):
        with pytest.raises(mixed.NoFitError, match=reason):
            mixed.fit(values, np.ones((len(values), 1)), who)


def test_a_matched_difference_counts_the_smaller_groups_patients_of_usable_cells():
    table = pd.DataFrame({"x": [9.0, 5, 4, 2, 7], "person_id": list("abcde"), "label": 0})
    first = np.array([True, False, True, True, True])
    e = estimates.matched_difference(table, "x", first, [1, 1, 2, 1, 2], n_resamples=2)
    assert (e.n_slices, e.n_persons) == (3, 1)  # a and d beside b; c and e have no partner
    e = estimates.matched_difference(table, "x", ~first, [1, 1, 2, 1, 2], n_resamples=2)
    assert (e.n_slices, e.n_persons) == (3, 1)


def test_a_share_has_the_exact_interval_where_patients_have_one_row_or_all_agree():
    def share(values, who):
        table = pd.DataFrame({"x": values, "person_id": list(who), "label": 0})
        return estimates.share(table, "x", n_resamples=50), table

    for values, who, value, n in (
        ([1, 1, 1, 0], "abcd", 0.75, 4),
        ([1, 1, 1, 1], "aabb", 1.0, 2),
        ([0, 0, 0, 0], "aabb", 0.0, 2),
    ):
        e, _ = share(values, who)
        assert (e.low, e.high) == persons.exact_interval(value, n)
    e, table = share([1, 1, 1, 0, 0, 1], "aabbcc")
    assert e == estimates.mean(table, "x", n_resamples=50)
    assert (e.low, e.high) != persons.exact_interval(e.value, 3)
