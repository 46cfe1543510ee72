"""Claims about the mixed model: right where it can be worked out, silent and named where not."""

import warnings

import numpy as np
import pytest
from scipy import stats as sps

from tumorcf_lib.stats import mixed


def _balanced(n_persons=8, n_slices=4, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, n_persons)[:, None] + rng.normal(0, 0.5, (n_persons, n_slices))
    return values.ravel(), np.repeat(np.arange(n_persons), n_slices)


def _ones(values):
    return np.ones((len(values), 1))


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


@pytest.mark.parametrize(
    "values, persons, reason",
    [
        (np.ones(12), np.repeat(range(4), 3), "all values are alike"),
        (np.arange(6.0), np.arange(6), "no person has a second slice"),
        (np.arange(4.0), np.zeros(4), "1 persons for 1 coefficients"),
        (np.tile([0.0, 1.0, 2.0], 5), np.repeat(range(5), 3), "no variance between persons"),
    ],
)
def test_what_cannot_be_fitted_is_refused_by_name_and_without_a_warning(values, persons, reason):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(mixed.NoFitError, match=reason):
            mixed.fit(values, _ones(values), persons)
