"""Sensitivity of Net-Drop: each class's mean by a linear mixed model.

The bootstrap draws persons; a mixed model says the same in another way: slices scatter around
their person, persons around their class (a random intercept, fitted by REML). Its Wald
intervals use Student's t with the persons less the coefficients as degrees of freedom, since
with ten persons a class the normal law would promise too much.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from tumorcf_lib.stats import estimates, stats
from tumorcf_lib.stats import persons as _resampling
from tumorcf_lib.stats.claims import ALL

SCORES = ("net_drop", "net_drop_lo")
OPTIMIZER = {"method": ["bfgs"], "gtol": 1e-6}
"""One variance ratio is to be found, so a tight gradient costs nothing, and the numbers then
do not hang on the machine."""

COMMON, OWN = "common variances", "own variances"
COLUMNS = (
    "score", "model", "group", "effect", "low", "high", "p", "sd_persons", "sd_slices",
    "boot_effect", "boot_low", "boot_high", "n_slices", "n_persons", "reason",
)  # fmt: skip


class NoFitError(ValueError):
    """Data to which the mixed model cannot be fitted; the text says why in a few words."""


@dataclass(frozen=True)
class Fit:
    """Coefficients of a mixed model with their covariance, and its two standard deviations."""

    coefficients: np.ndarray  # (k,)
    covariance: np.ndarray  # (k, k)
    df: int
    sd_persons: float
    sd_slices: float

    def estimate(self, weights):
        """A weighted sum of the coefficients: effect, low, high and two-sided p against 0."""
        weights = np.asarray(weights, float)
        value = float(weights @ self.coefficients)
        error = float(np.sqrt(weights @ self.covariance @ weights))
        reach = stdtrit(self.df, (1 + _resampling.CONFIDENCE) / 2) * error
        return {"effect": value, "low": value - reach, "high": value + reach,
                "p": float(2 * stdtr(self.df, -abs(value) / error))}


def fit(values, design, persons):
    """Linear model with a random intercept of each person, by REML.

    Parameters
    ----------
    values : array of float, shape (n,)
    design : array of float, shape (n, k)
    persons : array, shape (n,)

    Returns
    -------
    Fit

    Raises
    ------
    NoFitError
        Too few persons or repeats, nothing to explain, collinear columns, no convergence, or
        no variance left between persons: a Wald interval would then count slices as if each
        were a person, so there is none.

    Examples
    --------
    >>> values = [1.0, 1.2, 1.9, 2.1, 3.0, 3.1]
    >>> found = fit(values, np.ones((6, 1)), list("aabbcc"))
    >>> found.coefficients.round(3), found.df  # balanced: the mean of the person means
    (array([2.05]), 2)
    """
    values, design = np.asarray(values, float), np.asarray(design, float)
    n_persons, k = len(set(persons)), design.shape[1]
    spread = values.std() if len(values) else 0.0
    if n_persons <= k:
        raise NoFitError(f"{n_persons} persons for {k} coefficients")
    if n_persons == len(values):
        raise NoFitError("no person has a second slice")
    if spread <= stats.ROUNDING:
        raise NoFitError("all values are alike")
    if np.linalg.matrix_rank(design) < k:
        raise NoFitError("the columns are collinear")
    if not _persons_differ(values, design, persons):
        raise NoFitError("the model finds no variance between persons")
    found = _converged(MixedLM(values / spread, design, groups=np.asarray(persons)))
    between, within = float(found.cov_re[0, 0]), float(found.scale)
    covariance = found.cov_params()[:k, :k] * spread**2
    if not (np.diag(covariance) > 0).all():
        raise NoFitError("the standard errors are not finite")
    return Fit(found.fe_params * spread, covariance, n_persons - k,
               float(np.sqrt(between) * spread), float(np.sqrt(within) * spread))


def _persons_differ(values, design, persons):
    """Whether the restricted likelihood rises as the persons' variance leaves 0.

    Asked beforehand, since at 0 the optimizer ends in singular matrices.
    """
    q, _ = np.linalg.qr(design)  # (n, k)
    residual = values - q @ (q.T @ values)
    _, owner = np.unique(np.asarray(persons), return_inverse=True)
    sums = np.bincount(owner, weights=residual)
    trace = len(values) - sum((np.bincount(owner, weights=column) ** 2).sum() for column in q.T)
    free = len(values) - design.shape[1]
    return (sums**2).sum() > (1 + stats.ROUNDING) * trace * (residual @ residual) / free


def _converged(model):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # The states behind these warnings are asked for below.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UserWarning)
        try:
            found = model.fit(reml=True, **OPTIMIZER)
        except np.linalg.LinAlgError as error:
            raise NoFitError("singular") from error
    if not found.converged:
        raise NoFitError("the model did not converge")
    return found


def mixed_table(scores, *, n_resamples, columns=SCORES):
    """Each class's mean score by a mixed model, beside the bootstrap's.

    Parameters
    ----------
    scores : DataFrame
        From ``metrics.slice_scores``; slices without a score are left out of it.
    n_resamples : int
        Of the bootstrap that stands beside.
    columns : sequence of str

    Returns
    -------
    DataFrame
        score, model, group, effect, low, high (95 % Wald), p, sd_persons, sd_slices, boot_effect,
        boot_low, boot_high (mean over slices, persons resampled), n_slices, n_persons,
        reason (why there is no fit). Models: "common variances": score ~ class, one model
        for all classes; "own variances": one for each class, which lets classes differ in
        how far slices and persons scatter. Group "all" is the mean of the class means,
        weighed by slices. A mixed model weighs persons with few slices more than the mean
        over slices does, so effects lie between it and the mean of person means.
    """
    rows = []
    for column in columns:
        own = scores[np.isfinite(scores[column].to_numpy(float))]
        classes = estimates.classes_of(own["label"])
        fits = {COMMON: _common(own, column, classes), OWN: _by_class(own, column, classes)}
        for model, found in fits.items():
            for group in (ALL, *classes):
                here = estimates.of_group(own, group)
                e = estimates.mean(here, column, n_resamples=n_resamples)
                rows.append({
                    "score": column, "model": model, "group": group, **found[group],
                    "boot_effect": e.value, "boot_low": e.low, "boot_high": e.high,
                    "n_slices": e.n_slices, "n_persons": e.n_persons,
                })
    return pd.DataFrame(rows, columns=list(COLUMNS))


def class_means(scores, column):
    """Mean of a score by a mixed model with variances of its own for each class.

    Returns
    -------
    dict of str to dict
        For "all" and each class: effect, low, high, p, sd_persons, sd_slices, reason.
    """
    own = scores[np.isfinite(scores[column].to_numpy(float))]
    return _by_class(own, column, estimates.classes_of(own["label"]))


def _common(own, column, classes):
    """One model: a mean for each class, the same two variances for all."""
    if own.empty:
        return {ALL: _no_fit(estimates.NO_SLICES)}
    design = np.stack([own["label"] == name for name in classes], axis=1)  # (n, n_classes)
    shares = np.mean(design, axis=0)
    weights = {ALL: shares, **dict(zip(classes, np.eye(len(classes)), strict=True))}
    try:
        found = fit(own[column], design, own["person_id"].to_numpy())
    except NoFitError as error:
        return {group: _no_fit(str(error)) for group in weights}
    sds = {"sd_persons": found.sd_persons, "sd_slices": found.sd_slices, "reason": ""}
    return {group: {**found.estimate(w), **sds} for group, w in weights.items()}


def _by_class(own, column, classes):
    """A model for each class; their means, weighed by slices, are those of all."""
    result, fits = {}, []
    for name in classes:
        here = own[own["label"] == name]
        try:
            found = fit(here[column], np.ones((len(here), 1)), here["person_id"].to_numpy())
        except NoFitError as error:
            result[name] = _no_fit(str(error))
            continue
        fits.append((len(here) / len(own), found))
        result[name] = {**found.estimate([1]), "sd_persons": found.sd_persons,
                        "sd_slices": found.sd_slices, "reason": ""}
    missing = [name for name in classes if result[name]["reason"]]
    result[ALL] = _weighed(fits) if classes and not missing else _no_fit(
        f"no fit of {', '.join(missing)}" if classes else estimates.NO_SLICES)
    return result


def _weighed(fits):
    """Mean of independent models' means; degrees of freedom after Satterthwaite."""
    weights = np.array([share for share, _ in fits])
    means = np.array([found.coefficients[0] for _, found in fits])
    parts = np.array([found.covariance[0, 0] for _, found in fits]) * weights**2
    df = parts.sum() ** 2 / np.sum(parts**2 / [found.df for _, found in fits])
    whole = Fit(np.array([weights @ means]), np.array([[parts.sum()]]), df, np.nan, np.nan)
    return {**whole.estimate([1]), "sd_persons": np.nan, "sd_slices": np.nan, "reason": ""}


def _no_fit(reason):
    nothing = dict.fromkeys(("effect", "low", "high", "p", "sd_persons", "sd_slices"), np.nan)
    return {**nothing, "reason": reason}
