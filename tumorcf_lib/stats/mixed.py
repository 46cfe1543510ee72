"""A linear mixed model: slices scatter around their patient, patients around a plane.

The random intercept of each patient is fitted by REML. Its Wald
intervals use Student's t with the patients less the coefficients as degrees of freedom, since
with ten patients a class the normal law would promise too much.
"""

import warnings

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from tumorcf_lib.stats.persons import CONFIDENCE, ROUNDING

OPTIMIZER = {"method": ["bfgs"], "gtol": 1e-6}
"""One variance ratio is to be found, so a tight gradient costs nothing, and the numbers then
do not hang on the machine."""


class NoFitError(ValueError):
    """Data to which the mixed model cannot be fitted; the text says why in a few words."""


def fit(values, design, persons):
    """Linear model with a random intercept of each patient, by REML.

    Parameters
    ----------
    values : array of float, shape (n,)
    design : array of float, shape (n, k)
    persons : array, shape (n,)

    Returns
    -------
    DataFrame, a row a coefficient
        effect, low, high.

    Raises
    ------
    NoFitError
        Too few patients or repeats, nothing to explain, collinear columns, no convergence, or
        no variance left between patients: a Wald interval would then count slices as if each
        were a patient, so there is none.

    Examples
    --------
    >>> values = [1.0, 1.2, 1.9, 2.1, 3.0, 3.1]
    >>> found = fit(values, np.ones((6, 1)), list("aabbcc"))
    >>> found["effect"].round(3).tolist()  # balanced: the mean of the person means
    [2.05]
    """
    values, design = np.asarray(values, float), np.asarray(design, float)
    n_persons, k = len(set(persons)), design.shape[1]
    spread = values.std() if len(values) else 0.0
    if n_persons <= k:
        raise NoFitError(f"{n_persons} patients for {k} coefficients")
    if n_persons == len(values):
        raise NoFitError("no person has a second slice")
    if spread <= ROUNDING:
        raise NoFitError("all values are alike")
    if np.linalg.matrix_rank(design) < k:
        raise NoFitError("the columns are collinear")
    if not _persons_differ(values, design, persons):
        raise NoFitError("the model finds no variance between persons")
    from statsmodels.regression.mixed_linear_model import MixedLM  # takes a second to import

    found = _converged(MixedLM(values / spread, design, groups=np.asarray(persons)))
    covariance = found.cov_params()[:k, :k] * spread**2
    if not (np.diag(covariance) > 0).all():
        raise NoFitError("the standard errors are not finite")
    effect, error = found.fe_params * spread, np.sqrt(np.diag(covariance))
    reach = stdtrit(n_persons - k, (1 + CONFIDENCE) / 2) * error
    return pd.DataFrame({"effect": effect, "low": effect - reach, "high": effect + reach})


def _persons_differ(values, design, persons):
    """Whether the restricted likelihood rises as the patients' variance leaves 0.

    Asked beforehand, since at 0 the optimizer ends in singular matrices.
    """
    q, _ = np.linalg.qr(design)  # (n, k)
    residual = values - q @ (q.T @ values)
    _, owner = np.unique(np.asarray(persons), return_inverse=True)
    sums = np.bincount(owner, weights=residual)
    trace = len(values) - sum((np.bincount(owner, weights=column) ** 2).sum() for column in q.T)
    free = len(values) - design.shape[1]
    return (sums**2).sum() > (1 + ROUNDING) * trace * (residual @ residual) / free


def _converged(model):
    from statsmodels.tools.sm_exceptions import ConvergenceWarning

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
