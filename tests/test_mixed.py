"""Claims about the mixed model: right where it can be worked out, silent and named where not."""

import warnings

import numpy as np
import pytest
from scipy import stats as sps

from tumorcf_lib.stats import mixed


def test_balanced_data_give_the_classical_analysis_of_variance():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, 8)[:, None] + rng.normal(0, 0.5, (8, 4))  # 4 slices of 8 patients
    error = np.sqrt(values.mean(axis=1).var(ddof=1) / 8)
    e = mixed.fit(values.ravel(), np.ones((32, 1)), np.repeat(range(8), 4)).iloc[0]
    reach = sps.t.ppf(0.975, 7) * error
    expected = (values.mean(), values.mean() - reach, values.mean() + reach)
    assert (e["effect"], e["low"], e["high"]) == pytest.approx(expected, rel=1e-4)


def test_what_cannot_be_fitted_is_refused_by_name_and_without_a_warning():
    for values, persons, reason in (
        (np.ones(12), np.repeat(range(4), 3), "all values are alike"),
        (np.arange(6.0), np.arange(6), "no person has a second slice"),
        (np.arange(4.0), np.zeros(4), "1 patients for 1 coefficients"),
        (np.tile([0.0, 1.0, 2.0], 5), np.repeat(range(5), 3), "no variance between persons"),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(mixed.NoFitError, match=reason):
                mixed.fit(values, np.ones((len(values), 1)), persons)
