import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from tumorcf_lib.stats import concordance


def slow_w(values):
    """Kendall's W as in the textbook, item by item."""
    n, m = values.shape
    ranks = np.column_stack([rankdata(values[:, j]) for j in range(m)])
    sums = [sum(ranks[i]) for i in range(n)]
    s = sum((total - sum(sums) / n) ** 2 for total in sums)
    ties = 0
    for j in range(m):
        for value in set(values[:, j]):
            t = sum(1 for other in values[:, j] if other == value)
            ties += t**3 - t
    return 12 * s / (m**2 * (n**3 - n) - m * ties)


def test_kendalls_w_of_a_textbook_example():
    # Ranks (1 2 3 4), (2 1 3 4), (1 3 2 4): sums 4 6 8 12, S = 35, W = 12 * 35 / (9 * 60).
    values = np.transpose([[1, 2, 3, 4], [2, 1, 3, 4], [1, 3, 2, 4]])
    assert concordance.kendall_w(values) == pytest.approx(420 / 540)


def test_kendalls_w_with_ties_equals_the_slow_loop():
    values = np.random.default_rng(0).integers(0, 5, size=(20, 4)).astype(float)
    assert concordance.kendall_w(values) == pytest.approx(slow_w(values))


def test_unrelated_rankings_agree_by_one_over_the_number_of_raters():
    rng = np.random.default_rng(1)
    draws = [concordance.kendall_w(rng.normal(size=(30, 5))) for _ in range(400)]
    assert np.mean(draws) == pytest.approx(1 / 5, abs=0.01)


@pytest.mark.parametrize("values", [np.ones((4, 3)), np.ones((1, 3)), np.arange(4.0)[:, None]])
def test_w_is_nan_without_two_ranked_items_and_two_raters(values):
    assert np.isnan(concordance.kendall_w(values))


def test_agreement_of_a_resample_is_that_of_its_slices_written_out():
    rng = np.random.default_rng(2)
    values = rng.integers(0, 6, size=(9, 3)).astype(float)
    person = np.array([0, 0, 1, 1, 1, 2, 3, 3, 3])
    counts = np.array([[1.0, 1, 1, 1], [2, 0, 1, 1], [0, 3, 0, 1]])
    w, rho = concordance.rank_agreement(values, np.eye(4)[person], counts)
    for k, drawn in enumerate(counts.astype(int)):
        written_out = values[np.repeat(np.arange(9), drawn[person])]
        assert w[k] == pytest.approx(slow_w(written_out))
        pairs = [(0, 1), (0, 2), (1, 2)]
        mean = np.mean([spearmanr(written_out[:, i], written_out[:, j])[0] for i, j in pairs])
        assert rho[k] == pytest.approx(mean)
