"""Estimates over patients *and* networks.

What would other patients have said, and what another training? Every patient is tested by one
network of each training seed, that of the patient's fold. The estimate is the mean over patients,
each counting the same, of the mean over seeds. Its variance has the patients' and the networks'
part, see :func:`mean`. Nothing is drawn at random: a second run says the same.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from tumorcf_lib.stats.nulls import FEWEST, NO_NULL, freedom
from tumorcf_lib.stats.persons import CONFIDENCE


@dataclass(frozen=True)
class Estimate:
    """A mean over patients and networks.

    ``value`` with ``error`` (standard error) and ``df`` (Satterthwaite's degrees of freedom);
    ``network_error`` is the networks' part of the error, NaN with a single seed."""

    value: float
    error: float
    df: float
    network_error: float
    n_patients: int
    n_slices: int
    n_seeds: int

    @property
    def interval(self):
        """The 95 percent interval, by Student's law."""
        if not self.df >= 1:
            return np.nan, np.nan
        reach = stdtrit(self.df, (1 + CONFIDENCE) / 2) * self.error
        return self.value - reach, self.value + reach

    def columns(self, name="effect", *, ends="", bounds=(-np.inf, np.inf)):
        """As columns of a table: the value, and low and high, which keep within the bounds."""
        low, high = np.clip(self.interval, *bounds)
        return {name: self.value, f"{ends}low": low, f"{ends}high": high}

    @property
    def counts(self):
        """The columns of a table that say of how many it is."""
        return {name: getattr(self, name) for name in ("n_patients", "n_slices", "n_seeds")}


def by_patient(values, column):
    """Patients' means of a score by each seed's network.

    Parameters
    ----------
    values : DataFrame
        One row a slice and seed: training_seed, fold, person_id, and the score; slices without
        a value are left out.
    column : str

    Returns
    -------
    means, folds : ndarray, shape (n_patients, n_seeds) and (n_patients,)
        Every patient with a value of every seed.
    n_slices : int

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"training_seed": 0, "fold": [0, 0, 1], "person_id": list("aab"),
    ...                      "x": [0.0, 1.0, 0.3]})
    >>> means, folds, n_slices = by_patient(rows, "x")
    >>> means.tolist(), folds.tolist(), n_slices
    ([[0.5], [0.3]], [0, 1], 3)
    """
    own = values[np.isfinite(values[column].to_numpy(float))]
    wide = own.groupby(["fold", "person_id", "training_seed"])[column].mean().unstack().dropna()
    if wide.empty:
        return np.empty((0, 0)), np.empty(0, int), 0
    n_slices = int((own["training_seed"] == own["training_seed"].min()).sum())
    return wide.to_numpy(float), wide.index.get_level_values("fold").to_numpy(), n_slices


def mean(values, column, *, null=NO_NULL):
    """Mean of a score over patients and networks.

    Parameters
    ----------
    values, column
        As in :func:`by_patient`.
    null : Null, optional
        With a single seed, the networks' spread is taken from these.

    Returns
    -------
    Estimate
        NaN without patients; without an interval where no fold has two.

    Notes
    -----
    The score of patient i by the network of seed s of its fold f is
    ``x = m + patient_i + network_fs + rest_is``, with variances P, N and R. With n patients, S
    seeds and the folds' shares w_f of the patients, the mean over all has the variance

        (P + R / S) / n  +  N * sum(w_f ** 2) / S.

    The first part is the variance of patients' means *within* folds over n: there, networks cancel.
    The second is :func:`network_variance`. A mean of a fold's patients varies between seeds by
    N + R / n_f, so R / n_f, already in the first part, is taken off.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"training_seed": 0, "fold": 0, "person_id": list("abcd"),
    ...                      "x": [0.1, 0.2, 0.3, 0.4]})
    >>> e = mean(rows, "x")
    >>> round(e.value, 3), round(e.error, 4), e.df  # sd 0.129 / sqrt(4)
    (0.25, 0.0645, 3.0)
    """
    return of_means(*by_patient(values, column), null=null)


def of_means(means, folds, n_slices, *, null=NO_NULL):
    """The :func:`mean` of what :func:`by_patient` returns."""
    n, n_seeds = means.shape
    if n == 0:
        return Estimate(np.nan, np.nan, np.nan, np.nan, 0, 0, 0)
    n_folds = len(np.unique(folds))
    within, free = _within(means.mean(axis=1, keepdims=True), folds)
    patients = within / n
    network, total, df = network_variance(means, folds)
    if n_seeds < 2 and null.n >= FEWEST:
        network = total = null.network_sd**2 / n_folds
        df = null.network_df
    added = 0.0 if np.isnan(network) else network
    error2 = patients + added
    if free and added:
        free = freedom(error2, (patients, free), (total, df))
    found = float(means.mean()), float(np.sqrt(error2)), float(free), float(np.sqrt(network))
    return Estimate(*found, n, n_slices, n_seeds)


def _within(values, folds):
    """Pooled variance within folds of each column (n, k) about its fold's mean; its freedom."""
    centered = np.concatenate(
        [values[folds == f] - values[folds == f].mean(axis=0) for f in np.unique(folds)]
    )
    free = len(values) - len(np.unique(folds))
    return (float((centered**2).sum() / free / values.shape[1]) if free else np.nan), free


def network_variance(means, folds):
    """Variance of a mean over patients that is due to the networks, and its degrees of freedom.

    Of each fold the variance between its seeds' networks of the mean over its patients, by the
    fold's share of the patients; less what patients and slices add to it by chance, the
    interaction of patients and seeds.

    Returns the variance (never below 0), what it was before, and the degrees of freedom.

    Examples
    --------
    >>> network_variance(np.array([[0.0, 0.2]]), np.array([0]))  # var 0.02 of two, mean of two
    (0.01, 0.01, 1)
    >>> network_variance(np.array([[0.0, 0.2], [0.2, 0.0]]), np.array([0, 0]))  # all by chance
    (0.0, 0.0, 1)
    """
    n, n_seeds = means.shape
    numbers = np.unique(folds)
    if n_seeds < 2:
        return np.nan, np.nan, 0
    before = sum(
        np.mean(folds == fold) ** 2 * means[folds == fold].mean(axis=0).var(ddof=1) / n_seeds
        for fold in numbers
    )
    apart, free = _within(means - means.mean(axis=1, keepdims=True), folds)
    by_chance = apart * n_seeds / (n_seeds - 1) / n / n_seeds if free else 0.0
    before = round(float(before), 15)
    return max(0.0, round(before - by_chance, 15)), before, len(numbers) * (n_seeds - 1)
