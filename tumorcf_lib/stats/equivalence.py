"""The equivalence test: is a mean so near to zero that the difference does not matter?"""

import numpy as np
from scipy.special import stdtr, stdtrit


def tost(values, margin, *, alpha=0.05):
    """Two one-sided t-tests that a mean lies within +-margin of 0 (Schuirmann 1987).

    Parameters
    ----------
    values : array of float, shape (n,)
        One per network; finite.
    margin : float
        NaN: no test, the interval only.

    Returns
    -------
    dict
        n_networks, effect, low, high (1 - 2 alpha), sd, smallest, largest, margin, p, verdict.

    Examples
    --------
    >>> found = tost([-0.01, 0.0, 0.01, 0.0], 0.02)
    >>> found["verdict"], round(found["high"], 4)
    ('equivalent', 0.0096)
    """
    values = np.asarray(values, np.float64)
    n, mean = len(values), float(values.mean())
    sd = float(values.std(ddof=1)) if n > 1 else np.nan
    error = sd / n**0.5
    reach = float(stdtrit(n - 1, 1 - alpha)) * error if n > 1 else np.nan
    p = np.nan
    if n > 1 and np.isfinite(margin):
        gap = margin - abs(mean)  # to the nearer margin, which gives the larger p
        p = float(stdtr(n - 1, -gap / error)) if error > 0 else float(gap <= 0)
    verdict = "" if np.isnan(margin) else "equivalent" if p < alpha else "not shown"
    return {
        "n_networks": n, "effect": mean, "low": mean - reach, "high": mean + reach, "sd": sd,
        "smallest": float(values.min()), "largest": float(values.max()), "margin": margin,
        "p": p, "verdict": verdict,
    }  # fmt: skip
