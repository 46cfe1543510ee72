import numpy as np
import pytest
from scipy.stats import rankdata

from tumorcf_lib.stats.estimates import rank_agreement


def slow_w(values):
    """Kendall's W as in the textbook, item by item."""
    n, m = values.shape
    sums = rankdata(values, axis=0).sum(axis=1)
    s = sum((total - sum(sums) / n) ** 2 for total in sums)
    levels = [t for column in values.T for t in np.unique(column, return_counts=True)[1]]
    ties = sum(t**3 - t for t in levels)
    return 12 * s / (m**2 * (n**3 - n) - m * ties)


def test_agreement_of_a_resample_is_that_of_its_slices_written_out():
    rng = np.random.default_rng(2)
    values = rng.integers(0, 6, size=(9, 3)).astype(float)
    person = np.array([0, 0, 1, 1, 1, 2, 3, 3, 3])
    counts = np.array([[1.0, 1, 1, 1], [2, 0, 1, 1], [0, 3, 0, 1]])
    w = rank_agreement(values, np.eye(4)[person], counts)
    written_out = [values[np.repeat(np.arange(9), drawn[person])] for drawn in counts.astype(int)]
    assert w == pytest.approx([slow_w(items) for items in written_out])
