"""Estimates over patients *and* networks, and the band of networks that know nothing.

What would other patients have said, and what another training? Every patient is tested by one
network of each training seed, that of the patient's fold. The estimate is the mean over patients,
each counting the same, of the mean over seeds. Its variance has the patients' and the networks'
part, see :func:`mean`. Nothing is drawn at random: a second run says the same.

Networks of labels shuffled over the patients know nothing, but need not score 0: they are the null,
under every name that their answers could have.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from tumorcf_lib.stats.persons import CONFIDENCE

HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot be told"
"""What becomes of a claim about our network."""

FEWEST = 4
"""With fewer networks that know nothing, nothing is judged: how far they spread is not known."""

DEAL = ["training_seed", "naming"]
"""Of networks that know nothing: who was dealt which label, and which answer has which name."""


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
    n_networks: int = 0  # seeds times folds

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


@dataclass(frozen=True)
class Null:
    """Where the same score falls if networks know nothing: ``mean``, ``sd`` and, by Student's law,
    ``df``, see :func:`null_of`; of ``n`` networks. ``network_sd`` is how far they lie apart within
    one deal of the labels, patients' part taken off, with ``network_df``."""

    mean: float
    sd: float
    df: float
    n: int
    network_sd: float = np.nan
    network_df: float = np.nan

    @property
    def band(self):
        """Where 95 of 100 fall."""
        if self.n < FEWEST:
            return np.nan, np.nan
        reach = stdtrit(self.df, (1 + CONFIDENCE) / 2) * self.sd
        return self.mean - reach, self.mean + reach

    @property
    def columns(self):
        """The band as columns of a table."""
        return dict(zip(("null_low", "null_high"), self.band, strict=True))


NO_NULL = Null(np.nan, np.nan, np.nan, 0)  # there are no networks that know nothing
ONE_HALF = Null(0.5, 0.0, np.nan, 0)  # what is compared with a number


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
    patients, of_networks = within / n, n_seeds * n_folds
    network, total, df = network_variance(means, folds)
    if n_seeds < 2 and null.n >= FEWEST:
        network = total = null.network_sd**2 / n_folds
        df = null.network_df
    added = 0.0 if np.isnan(network) else network
    error2 = patients + added
    if free and added:
        free = freedom(error2, (patients, free), (total, df))
    found = float(means.mean()), float(np.sqrt(error2)), float(free), float(np.sqrt(network))
    return Estimate(*found, n, n_slices, n_seeds, of_networks)


def freedom(variance, *parts):
    """Satterthwaite's degrees of freedom; never fewer than those of one (variance, freedom)."""
    return max(min(df for _, df in parts), variance**2 / sum(v**2 / df for v, df in parts))


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


def null_of(column, first, *second):
    """What networks that know nothing score: values as in :func:`by_patient`, with ``naming`` (see
    :func:`tables.fold_scores.renamed`); each training_seed is a deal of the labels, with a network
    a fold. With ``second``, of other patients, the first's mean less the second's."""
    scores = by_network = of_patients = 0.0
    for sign, values in zip((1, -1), (first, *second)):
        own = values[np.isfinite(values[column].to_numpy(float))]
        by = own.groupby([*DEAL, "fold", "person_id"])[column].mean()
        scores = scores + sign * by.groupby(DEAL).mean()
        network = by.groupby([*DEAL, "fold"])
        by_network = by_network + sign * network.mean()
        of_patients += np.nan_to_num((network.var(ddof=1) / network.size()).mean())
    known = scores.dropna(), by_network.dropna(), of_patients
    return null_from(*known) if len(scores) else NO_NULL


def null_from(scores, by_network, of_patients):
    """The :class:`Null` of scores by :data:`DEAL`, and by fold, too, where ``of_patients`` is
    patients' part of the variance.

    Who knows nothing of the classes could give its answers any names. Renamed in a circle, deal d
    has three scores, each as good as the others: ``x = m + a_d + b_dk``, where b_d1 + b_d2 + b_d3
    is 0: two degrees of freedom a deal. A difference of probabilities, which sum to 1, has
    m = a_d = 0. The variance is that of b, of a, and of m over deals.
    """
    deals = scores.groupby("training_seed")
    n_deals, mean = len(deals), deals.mean()
    spread = float(((scores - deals.transform("mean")) ** 2).mean())
    apart = float(mean.var(ddof=1)) * (1 + 1 / n_deals) if n_deals > 1 else 0.0
    variance, df = spread + apart, 2 * n_deals
    if apart > 1e-12 * variance:  # not by rounding alone
        df = freedom(variance, (spread, df), (apart, n_deals - 1))
    folds = by_network.groupby(DEAL)
    of_networks = max(0.0, float(folds.var(ddof=1).mean()) - of_patients) ** 0.5
    n = len(by_network.groupby(["training_seed", "fold"]))
    return Null(float(scores.mean()), variance**0.5, df, n, of_networks, max(1, n - n_deals))


def against_null(estimate, null):
    """Two-sided p of the estimate being one of networks that know nothing, by Student's law.

    Examples
    --------
    >>> e = Estimate(0.3, 0.03, 60.0, 0.01, 70, 700, 3)
    >>> against_null(e, Null(0.0, 0.04, 4, 10)) < 0.01
    True
    """
    if not np.isfinite(null.mean) or 0 < null.n < FEWEST or not estimate.df >= 1:
        return np.nan
    error2, df = estimate.error**2 + null.sd**2, estimate.df
    if error2 <= 0:
        return 1.0 if estimate.value == null.mean else 0.0
    df = freedom(error2, (estimate.error**2, df), (null.sd**2, null.df)) if null.sd else df
    return float(2 * stdtr(df, -abs(estimate.value - null.mean) / np.sqrt(error2)))


def verdict(estimate, null, p, side="above", *, alone=np.nan):
    """What becomes of the claim that a score is above (or below) its null.

    ``p`` is after Holm's correction over all claims, in both directions; ``alone``, for the reason,
    before it. ``side``: "above" or "below". Returns :data:`HOLDS`, :data:`FAILS` (the other side,
    beyond chance) or :data:`OPEN`, and why.
    """
    if not np.isfinite(p):
        few = "too few" if null.n else "no"
        return OPEN, f"{few} networks to compare with" if estimate.n_patients else "no slices"
    if p >= 1 - CONFIDENCE:
        among = " once all claims are counted" if alone < 1 - CONFIDENCE else ""
        return OPEN, f"within the reach of chance{among}"
    return (HOLDS if (estimate.value > null.mean) == (side == "above") else FAILS), ""
