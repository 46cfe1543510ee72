"""Claims about the mixed model: right where it can be worked out, silent and named where not."""

import warnings

import numpy as np
import pandas as pd
import pytest
from fake_rows import audit_rows
from scipy import stats as sps

from tumorcf_lib.stats import estimates, metrics, mixed


def _balanced(n_persons=8, n_slices=4, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, n_persons)[:, None] + rng.normal(0, 0.5, (n_persons, n_slices))
    return values.ravel(), np.repeat(np.arange(n_persons), n_slices)


def _ones(values):
    return np.ones((len(values), 1))


def _scores(**options):
    drops = {"meningioma": 0.4, "glioma": 0.0, "pituitary": 0.1}
    return metrics.slice_scores(audit_rows(drops, **options))


def _restricted(log_ratio, values, design, persons):
    """-2 x REML log-likelihood, up to a constant, with the covariance written out."""
    same = np.equal.outer(persons, persons)
    v = np.eye(len(values)) + np.exp(log_ratio) * same
    inverse = np.linalg.inv(v)
    normal = design.T @ inverse @ design
    beta = np.linalg.solve(normal, design.T @ inverse @ values)
    residual = values - design @ beta
    n, k = design.shape
    scale = residual @ inverse @ residual / (n - k)
    found = np.linalg.slogdet(v)[1] + np.linalg.slogdet(normal)[1] + (n - k) * np.log(scale)
    return found, beta, scale * np.linalg.inv(normal)


def test_balanced_data_give_the_classical_analysis_of_variance():
    values, persons = _balanced()
    means = values.reshape(8, 4).mean(axis=1)
    error = np.sqrt(means.var(ddof=1) / 8)
    e = mixed.fit(values, _ones(values), persons).estimate([1])
    reach = sps.t.ppf(0.975, 7) * error
    expected = (values.mean(), values.mean() - reach, values.mean() + reach)
    assert (e["effect"], e["low"], e["high"]) == pytest.approx(expected, rel=1e-4)
    assert e["p"] == pytest.approx(2 * sps.t.sf(abs(values.mean()) / error, 7), rel=1e-3)


def test_variances_are_those_of_the_analysis_of_variance():
    values, persons = _balanced()
    table = values.reshape(8, 4)
    within = table.var(axis=1, ddof=1).mean()
    between = table.mean(axis=1).var(ddof=1) - within / 4
    found = mixed.fit(values, _ones(values), persons)
    assert found.sd_slices == pytest.approx(np.sqrt(within), rel=1e-4)
    assert found.sd_persons == pytest.approx(np.sqrt(between), rel=1e-4)


def test_unbalanced_data_give_the_best_of_a_written_out_likelihood():
    values, persons = _balanced(10, 5, seed=2)
    keep = np.random.default_rng(1).random(len(values)) < 0.7
    values, persons = values[keep], persons[keep]
    design = np.column_stack([np.ones(len(values)), np.arange(len(values)) % 3])
    grid = np.linspace(-4, 6, 2001)
    best = grid[np.argmin([_restricted(g, values, design, persons)[0] for g in grid])]
    _, beta, covariance = _restricted(best, values, design, persons)
    found = mixed.fit(values, design, persons)
    assert found.coefficients == pytest.approx(beta, abs=1e-4)
    assert found.covariance.ravel() == pytest.approx(covariance.ravel(), rel=5e-3, abs=1e-4)


def test_the_unit_of_the_values_does_not_matter():
    values, persons = _balanced()
    one, small = (mixed.fit(s * values, _ones(values), persons).estimate([1]) for s in (1, 1e-4))
    for name in ("effect", "low", "high"):
        assert small[name] == pytest.approx(1e-4 * one[name], rel=1e-6)


@pytest.mark.parametrize("values, persons, reason", [
    (np.ones(12), np.repeat(range(4), 3), "all values are alike"),
    (np.arange(6.0), np.arange(6), "no person has a second slice"),
    (np.arange(4.0), np.zeros(4), "1 persons for 1 coefficients"),
    (np.tile([0.0, 1.0, 2.0], 5), np.repeat(range(5), 3), "no variance between persons"),
    (np.array([]), np.array([]), "0 persons"),
])  # fmt: skip
def test_what_cannot_be_fitted_is_refused_by_name_and_without_a_warning(values, persons, reason):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(mixed.NoFitError, match=reason):
            mixed.fit(values, _ones(values), persons)


def test_collinear_columns_are_refused():
    values, persons = _balanced()
    with pytest.raises(mixed.NoFitError, match="collinear"):
        mixed.fit(values, np.ones((len(values), 2)), persons)


def test_a_balanced_class_has_its_own_mean_in_both_models():
    scores = _scores()
    table = mixed.mixed_table(scores, n_resamples=50)
    own = table[table["score"] == "net_drop"].set_index(["model", "group"])
    for name, rows in scores.groupby("label"):
        for model in (mixed.COMMON, mixed.OWN):
            row = own.loc[(model, name)]
            assert row["effect"] == pytest.approx(rows["net_drop"].mean(), abs=1e-5)
            assert row["low"] < row["effect"] < row["high"]
            e = estimates.mean(rows, "net_drop", n_resamples=50)
            assert (row["boot_low"], row["boot_high"]) == (e.low, e.high)


def test_all_is_the_class_means_weighed_by_slices():
    scores = _scores()
    scores = scores.drop(scores.index[scores["label"] == "glioma"][::2])
    table = mixed.mixed_table(scores, n_resamples=50, columns=["net_drop"])
    shares = scores["label"].value_counts(normalize=True)
    for _, rows in table.groupby("model"):
        effects = rows.set_index("group")["effect"]
        expected = sum(shares[name] * effects[name] for name in shares.index)
        assert effects["all"] == pytest.approx(expected)


def test_independent_models_add_their_variances():
    table = mixed.mixed_table(_scores(), n_resamples=20, columns=["net_drop"])
    rows = table[table["model"] == mixed.OWN].set_index("group")
    t = sps.t.ppf(0.975, 11)
    errors = [(rows.loc[c, "high"] - rows.loc[c, "effect"]) / t / 3 for c in rows.index[1:]]
    variance = np.square(errors).sum()
    df = variance**2 / np.sum(np.array(errors) ** 4 / 11)
    reach = sps.t.ppf(0.975, df) * np.sqrt(variance)
    assert rows.loc["all", "high"] - rows.loc["all", "effect"] == pytest.approx(reach)


def test_one_class_that_cannot_be_fitted_leaves_the_others_and_says_so():
    scores = _scores()
    scores.loc[scores["label"] == "glioma", "net_drop"] = 0.0
    rows = mixed.mixed_table(scores, n_resamples=20, columns=["net_drop"])
    own = rows[rows["model"] == mixed.OWN].set_index("group")
    assert own.loc["glioma", "reason"] == "all values are alike"
    assert own.loc["all", "reason"] == "no fit of glioma"
    assert np.isnan(own.loc["glioma", "effect"]) and np.isfinite(own.loc["pituitary", "low"])


@pytest.mark.parametrize("n_slices", [1, 2])
def test_a_handful_of_slices_gives_rows_not_a_crash(n_slices):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = mixed.mixed_table(_scores(n_persons=2, n_slices=n_slices), n_resamples=10)
    assert len(table) == 2 * 2 * 4
    assert (np.isfinite(table["effect"]) | (table["reason"] != "")).all()


def test_slices_without_a_score_are_left_out():
    scores = _scores()
    scores.loc[::3, "net_drop"] = np.nan
    table = mixed.mixed_table(scores, n_resamples=20, columns=["net_drop"])
    assert table["n_slices"].iloc[0] == scores["net_drop"].notna().sum()
    none = mixed.mixed_table(scores.assign(net_drop=np.nan), n_resamples=5, columns=["net_drop"])
    assert none["reason"].ne("").all() and isinstance(none, pd.DataFrame)


@pytest.mark.parametrize("seed", range(12))
def test_persons_differ_exactly_where_the_likelihood_rises_from_zero(seed):
    rng = np.random.default_rng(seed)
    persons = rng.integers(0, 6, 24)
    values = rng.normal(size=24) + 0.3 * rng.normal(size=6)[persons]
    design = np.column_stack([np.ones(24), rng.normal(size=24)])
    at_zero, beyond = (_restricted(g, values, design, persons)[0] for g in (-16, -12))
    assert mixed._persons_differ(values, design, persons) == (beyond < at_zero)
