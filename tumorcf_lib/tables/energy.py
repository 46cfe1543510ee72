"""Taking a tumor out changes a slice more than a sham does: is Net-Drop just that?

Tumors are often brighter than what is around them, so filling one in moves more intensity
than filling in the same shape of plain tissue. ``edit_rms`` measures it: the root mean square
of the change over the whole slice, in standard deviations of the slice. Two answers, both on the
headline infill and dilation. *Matched*: only shams that change about as much as the removal of
the tumor on the same slice. *Residual*: how the drop of shams grows with the log of their RMS,
learned within slices, gives the drop of a sham that would change as much as the removal.
"""

import numpy as np
import pandas as pd

from tumorcf_lib.stats import estimates, metrics
from tumorcf_lib.stats.claims import ALL
from tumorcf_lib.stats.estimates import LOG_ODDS, NOTHING, PROBABILITY, SUFFIXES

MATCH_FACTOR = 1.5
"""Shams within this factor of the removal's RMS, up or down, count as matched. Our choice."""

COLUMNS = (
    "quantity", "scale", "group", "effect", "low", "high", "mean_of_person_means", "n_slices",
    "n_persons", "note",
)  # fmt: skip
NO_SLOPE = "no slope: no slice has two shams of different RMS"


def slice_energy(rows, *, factor=MATCH_FACTOR):
    """What each slice's removal and shams change, and Net-Drop with that taken into account.

    Parameters
    ----------
    rows : DataFrame
        An audit's rows, of one network.
    factor : float
        Above 1. A sham is matched if its RMS lies within this factor of the removal's.

    Raises
    ------
    metrics.InvalidRowsError
        If a slice has several removals.

    Returns
    -------
    DataFrame
        One row per slice that has a removal and a sham, both with an RMS above 0: slice_id,
        person_id, label; n_sham, n_matched; rms_ratio (removal to the geometric mean of the
        shams); log_gap (its log); within (1.0 if the removal's RMS lies in the range of the
        shams', else 0.0: an adjustment would extrapolate); matched (1.0 or 0.0); and on both
        scales (log-odds with ``_lo``): net_drop, net_drop_matched (NaN without matched shams),
        net_drop_same (net_drop, NaN where net_drop_matched is), net_drop_residual
        (see :func:`residual`); sxx, sxy: sums of squares and products of log RMS and
        drop of the shams around their means on this slice.
    """
    slices, shams = _slices_and_shams(estimates.headline_rows(rows))
    owner = shams.pop("owner").to_numpy()  # (n_shams,) position of the slice
    x = np.log(shams["rms"].to_numpy())
    gap = slices["log_rms"].to_numpy()[owner] - x
    # The published five digits must not decide who lies on the edge.
    is_matched = np.abs(gap) <= np.log(factor) + 1e-9
    n = len(slices)
    slices["n_sham"] = np.bincount(owner, minlength=n)
    slices["n_matched"] = np.bincount(owner, weights=is_matched, minlength=n).astype(int)
    slices["matched"] = (slices["n_matched"] > 0).astype(float)
    slices["log_gap"] = _mean(gap, owner, n)
    slices["rms_ratio"] = np.exp(slices["log_gap"])
    above, below = (np.bincount(owner, weights=side, minlength=n) for side in (gap <= 0, gap >= 0))
    slices["within"] = ((above > 0) & (below > 0)).astype(float)
    around = x - _mean(x, owner, n)[owner]
    slices["sxx"] = np.bincount(owner, weights=around**2, minlength=n)
    for suffix in SUFFIXES.values():
        p_sham = shams[f"p{suffix}"].to_numpy()
        removed = slices.pop(f"removed{suffix}")
        slices[f"net_drop{suffix}"] = _mean(p_sham, owner, n) - removed
        matched = _mean(np.where(is_matched, p_sham, 0), owner, n) * slices["n_sham"]
        matched = matched / slices["n_matched"].where(slices["n_matched"] > 0)
        slices[f"net_drop_matched{suffix}"] = matched - removed
        slices[f"net_drop_same{suffix}"] = slices[f"net_drop{suffix}"].where(matched.notna())
        # A sham's drop is p_orig - p_sham, so its slope is minus that of p_sham.
        slices[f"sxy{suffix}"] = -np.bincount(owner, weights=around * p_sham, minlength=n)
        slopes = slices["label"].map(_slopes(slices, suffix))
        slices[f"net_drop_residual{suffix}"] = (
            slices[f"net_drop{suffix}"] - slopes * slices["log_gap"]
        )
    return slices.drop(columns="log_rms")


def residual(energy, *, scale=PROBABILITY, n_resamples):
    """Net-Drop less what the larger change of a removal alone would explain.

    For each class the drop of a sham is regressed on its log RMS, within slices (each slice has
    its own level), and the line is followed to the removal's RMS: adjusted Net-Drop = Delta-Drop
    - (Sham-Drop + slope x (log RMS of the removal - mean log RMS of its shams)). Every
    resample of persons estimates the slopes anew.

    Parameters
    ----------
    energy : DataFrame
        From :func:`slice_energy`; all of it, or one class.
    scale : {"probability", "log-odds"}
    n_resamples : int

    Returns
    -------
    Estimate
        Mean over slices. NaN where a class has no slope.
    """
    if energy.empty:
        return NOTHING
    suffix = SUFFIXES[scale]
    people, counts = estimates.drawn(energy, n_resamples)
    once = np.ones((1, len(people.names)))
    value = _adjusted(once, energy, people, suffix)[0]
    adjusted = energy[f"net_drop_residual{suffix}"].to_numpy()
    person_means = people.total(adjusted) / people.total(np.ones(len(energy)))
    return estimates.from_replicates(
        value, _adjusted(counts, energy, people, suffix), people, null=0.0,
        person_means=person_means.mean(),
    )  # fmt: skip


def slope(energy, *, scale=PROBABILITY, n_resamples):
    """Rise of a sham's drop per unit of log RMS, within slices of one class.

    Parameters and return as in :func:`residual`; ``value`` above 0 means that larger changes
    lower the true class's probability more.
    """
    if energy.empty:
        return NOTHING
    people, counts = estimates.drawn(energy, n_resamples)
    sums = [people.total(energy[f"{name}"]) for name in (f"sxy{SUFFIXES[scale]}", "sxx")]
    once = np.ones((1, len(people.names)))
    value, replicates = (_ratio(c @ sums[0], c @ sums[1]) for c in (once, counts))
    return estimates.from_replicates(value[0], replicates, people, null=0.0)


def median_ratio(energy, *, n_resamples):
    """Median over slices of ``rms_ratio``, with an interval over persons."""
    if energy.empty:
        return NOTHING
    people, counts = estimates.drawn(energy, n_resamples)
    values = energy["rms_ratio"].to_numpy()
    person_means = people.total(values) / people.total(np.ones(len(values)))
    return estimates.from_replicates(
        np.median(values), weighted_medians(values, counts[:, people.owner]), people,
        person_means=person_means.mean(),
    )  # fmt: skip


def weighted_medians(values, weights):
    """Median of values that are repeated, once for each row of whole-numbered weights.

    Parameters
    ----------
    values : ndarray, shape (n,)
    weights : ndarray, shape (n_resamples, n)

    Returns
    -------
    ndarray, shape (n_resamples,)

    Examples
    --------
    >>> weighted_medians(np.array([3.0, 1.0, 2.0]), np.array([[1, 1, 1], [2, 2, 0], [3, 0, 0]]))
    array([2., 2., 3.])
    """
    order = np.argsort(values, kind="stable")
    values, reached = values[order], np.cumsum(weights[:, order], axis=1)
    half = reached[:, -1:] / 2
    lower = np.argmax(reached >= half, axis=1)
    upper = np.argmax(reached > half, axis=1)
    return (values[lower] + values[upper]) / 2


def energy_table(rows, *, n_resamples):
    """Energy of removals against shams, and Net-Drop adjusted for it, overall and by class.

    Parameters
    ----------
    rows : DataFrame
        An audit's rows, of one network.
    n_resamples : int

    Returns
    -------
    DataFrame
        quantity, scale, group, effect, low, high, mean_of_person_means, n_slices, n_persons,
        note. Quantities: ``rms_ratio`` (median over slices), ``share_within`` (slices whose
        removal changes no more and no less than some of its shams: elsewhere the residual
        extrapolates), ``share_matched`` (slices with a matched sham), and on both
        scales ``net_drop`` (all shams), ``net_drop_matched``, ``net_drop_same`` (all shams of
        the slices that have a matched one: the difference to the former is what matching does),
        ``sham_slope`` (by class), ``net_drop_residual``.
    """
    energy = slice_energy(rows)
    found = []
    for group in estimates.groups(rows):
        own = estimates.of_group(energy, group)
        found.append(("rms_ratio", "ratio", group, median_ratio(own, n_resamples=n_resamples), ""))
        for name, column in (("share_within", "within"), ("share_matched", "matched")):
            share = estimates.share(own, column, n_resamples=n_resamples)
            found.append((name, "share", group, share, ""))
        for scale in (PROBABILITY, LOG_ODDS):
            found += _adjustments(own, group, scale, n_resamples)
    rows = [
        {"quantity": quantity, "scale": scale, "group": group, **estimates.columns_of(estimate),
         "note": note if estimate.n_slices else estimates.NO_SLICES}
        for quantity, scale, group, estimate, note in found
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def extrapolation(energy):
    """In words, on how many slices the residual leaves the range of the shams.

    Examples
    --------
    >>> extrapolation(pd.DataFrame({"within": [1.0, 0.0, 0.0, 0.0], "net_drop_residual": 0.1}))
    'extrapolates on 75% of the slices'
    """
    if energy.empty:
        return estimates.NO_SLICES
    if energy["net_drop_residual"].isna().any():
        return NO_SLOPE
    share = 1 - energy["within"].mean()
    return f"extrapolates on {share:.0%} of the slices" if share else ""


def _slices_and_shams(rows):
    """Usable slices (one row each) and their usable shams, with ``owner`` the slice's position."""
    rows = rows[np.isfinite(rows["log_odds"].to_numpy(float)) & (rows["edit_rms"] > 0)]
    classes = metrics.class_names(rows)
    p = rows[[f"p_{name}" for name in classes]].to_numpy(float)  # (n_rows, n_classes)
    label = pd.Index(classes).get_indexer(rows["label"])
    values = rows[["slice_id", "person_id", "label"]].assign(
        edit=rows["edit"], p=p[np.arange(len(p)), label], p_lo=rows["log_odds"],
        rms=rows["edit_rms"],
    )  # fmt: skip
    shams = values[values["edit"] == "sham"]
    slices = values[values["edit"] == "remove"]
    slices = slices[slices["slice_id"].isin(shams["slice_id"])].reset_index(drop=True)
    if slices["slice_id"].duplicated().any():
        raise metrics.InvalidRowsError(
            f"Expected one removal per slice, got {slices['slice_id'].duplicated().sum()} more. "
            "Give the rows of one network at a time."
        )
    owner = pd.Index(slices["slice_id"]).get_indexer(shams["slice_id"])
    shams = shams.assign(owner=owner)[owner >= 0].reset_index(drop=True)
    slices["log_rms"] = np.log(slices.pop("rms"))
    slices = slices.rename(columns={"p": "removed", "p_lo": "removed_lo"})
    return slices.drop(columns="edit"), shams[["owner", "p", "p_lo", "rms"]]


def _mean(values, owner, n):
    return np.bincount(owner, weights=values, minlength=n) / np.bincount(owner, minlength=n)


def _slopes(slices, suffix):
    sums = slices.groupby("label")[[f"sxy{suffix}", "sxx"]].sum()
    return pd.Series(_ratio(sums[f"sxy{suffix}"].to_numpy(), sums["sxx"].to_numpy()), sums.index)


def _ratio(part, whole):
    """NaN where there is nothing to divide by, such as shams that all change alike."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 1e-12)


def _adjusted(counts, energy, people, suffix):
    """Adjusted Net-Drop of each resample, slopes by class, (n_resamples,)."""
    total, n = 0.0, 0.0
    for label in np.unique(energy["label"]):
        own = (energy["label"] == label).to_numpy()
        names = (f"net_drop{suffix}", "log_gap", f"sxy{suffix}", "sxx")
        net, gap, sxy, sxx = (counts @ people.total(np.where(own, energy[c], 0)) for c in names)
        total = total + net - _ratio(sxy, sxx) * gap
        n = n + counts @ people.total(own.astype(float))
    return total / n


def _adjustments(own, group, scale, n_resamples):
    suffix, options = SUFFIXES[scale], {"n_resamples": n_resamples}
    for quantity in ("net_drop", "net_drop_matched", "net_drop_same"):
        yield quantity, scale, group, estimates.mean(own, f"{quantity}{suffix}", **options), ""
    if group != ALL:
        yield "sham_slope", scale, group, slope(own, scale=scale, **options), ""
    adjusted = residual(own, scale=scale, **options)
    yield "net_drop_residual", scale, group, adjusted, extrapolation(own)
