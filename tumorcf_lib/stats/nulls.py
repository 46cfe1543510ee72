"""What would a score be if the networks knew nothing? Bands, p, and what becomes of a claim.

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
class Null:
    """Where the same score falls if networks know nothing: ``mean``, ``sd`` and, by Student's law,
    ``df``, see :func:`null_from`; of ``n`` networks. ``network_sd`` is how far these lie apart
    within one deal of the labels, patients' part taken off, with ``network_df``."""

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


def freedom(variance, *parts):
    """Satterthwaite's degrees of freedom; never fewer than those of one (variance, freedom)."""
    return max(min(df for _, df in parts), variance**2 / sum(v**2 / df for v, df in parts))


def null_of(column, first, *second):
    """What networks that know nothing score: values as in :func:`stats.networks.by_patient`, with
    ``naming`` (see :func:`tables.fold_scores.renamed`); each training_seed is a deal of the labels,
    with a network a fold. With ``second``, of other patients, the first's mean less the second's.
    """
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
    patients' part of the variance. Only deals with as many folds as any count. Of a single deal
    nothing is known: where another would lie, no spread of its own says.

    Notes
    -----
    Who knows nothing of the classes could give its answers any names, if training weights the
    classes alike. Renamed in a circle, deal d has three scores, each as good as the others:
    ``x = m + a_d + b_dk``, where b_d1 + b_d2 + b_d3 is 0: two degrees of freedom a deal. A
    difference of probabilities, which sum to 1, has m = a_d = 0. The variance is that of b, of a,
    and of m over deals.
    """
    folds = by_network.groupby(DEAL)
    deals = scores[(folds.size() == folds.size().max()).reindex(scores.index)]
    deals = deals.groupby("training_seed")
    mean, n_deals = deals.mean(), deals.ngroups
    n = len(by_network.groupby(["training_seed", "fold"]))
    of_networks = float(np.maximum(0.0, folds.var(ddof=1).mean() - of_patients)) ** 0.5
    apart = (1 + 1 / n_deals) * float(mean.var(ddof=1))  # NaN of a single deal
    spread = float(((scores - deals.transform("mean")) ** 2).mean())
    variance, df = spread + apart, 2 * n_deals
    if apart > 1e-12 * variance:  # not by rounding alone
        df = freedom(variance, (spread, df), (apart, n_deals - 1))
    found = float(mean.mean()) if n_deals > 1 else np.nan, variance**0.5, df, n
    return Null(*found, of_networks, max(1, n - scores.index.unique("training_seed").size))


def against_null(estimate, null):
    """Two-sided p of the estimate being one of networks that know nothing, by Student's law.

    Examples
    --------
    >>> from tumorcf_lib.stats.networks import Estimate
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
