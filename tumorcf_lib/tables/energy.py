"""Taking a tumor out changes a slice more than a sham does: is Net-Drop just that?

Tumors are often brighter than what is around them, so filling one in moves more intensity
than filling in the same shape of plain tissue. ``edit_rms`` measures it: the root mean square
of the change over the whole slice, in standard deviations of the slice. Two answers, both on the
headline infill and dilation. *Matched*: only shams that change about as much as the removal of
the tumor on the same slice (:func:`of_like_energy`). *Residual*: how the drop of the usual shams
grows with the log of their RMS, learned within slices, gives the drop of a sham that would change
as much as the removal.
"""

import numpy as np
import pandas as pd

from tumorcf_lib.edits.scores import arrays
from tumorcf_lib.edits.sites import MATCHED_RATIOS
from tumorcf_lib.stats import estimates, rows as stats_rows

NO_SLOPE = "no slope: no slice has two shams of different RMS"


def of_like_energy(rows):
    """The shams, usual and extra ones, whose RMS is 0.8 to 1.25 of the removal's on their slice."""
    removal = rows[rows["edit"] == "remove"].set_index("slice_id")["edit_rms"]
    shams = rows[rows["edit"].isin(("sham", "sham_matched"))]
    share = shams["edit_rms"] / shams["slice_id"].map(removal)
    return shams[share.between(*MATCHED_RATIOS)]


def slice_energy(rows):
    """What each slice's removal and shams change, and Net-Drop with that taken into account.

    One row per slice that has a removal and a usual sham, both with an RMS above 0: slice_id,
    person_id, label; n_sham; n_matched (:func:`of_like_energy`); rms_ratio (removal to the
    geometric mean of the usual shams); log_gap (its log); within (1.0 if the removal's RMS lies in
    the range of the usual shams', else 0.0: an adjustment would extrapolate); matched (1.0 or 0.0);
    and on both scales (log-odds with ``_lo``): net_drop, net_drop_matched (NaN without matched
    shams), net_drop_same (net_drop, NaN where net_drop_matched is), net_drop_residual (see
    :func:`residual`); sxx, sxy: sums of squares and products of log RMS and drop of the usual shams
    around their means on this slice.
    """
    slices, shams, like = _slices_and_shams(stats_rows.headline_rows(rows))
    by, like = slices["slice_id"], like.groupby("slice_id")
    owner, n = shams.pop("owner").to_numpy(), len(slices)  # position of the slice, (n_shams,)

    def total(values):
        return np.bincount(owner, weights=values, minlength=n)

    n_sham = np.bincount(owner, minlength=n)
    x = np.log(shams["edit_rms"].to_numpy())
    gap = slices.pop("log_rms").to_numpy()[owner] - x
    around = x - (total(x) / n_sham)[owner]
    slices = slices.assign(
        n_sham=n_sham,
        n_matched=by.map(like.size()).fillna(0).astype(int),
        log_gap=total(gap) / n_sham,
        within=((total(gap <= 0) > 0) & (total(gap >= 0) > 0)).astype(float),
        sxx=total(around**2),
    )
    slices["matched"] = (slices["n_matched"] > 0).astype(float)
    slices["rms_ratio"] = np.exp(slices["log_gap"])
    for suffix in stats_rows.SUFFIXES.values():
        p_sham, removed = shams[f"p{suffix}"].to_numpy(), slices.pop(f"removed{suffix}")
        net = slices[f"net_drop{suffix}"] = total(p_sham) / n_sham - removed
        mean = by.map(like[f"p{suffix}"].mean())
        slices[f"net_drop_matched{suffix}"] = mean - removed
        slices[f"net_drop_same{suffix}"] = net.where(mean.notna())
        # A sham's drop is p_orig - p_sham, so its slope is minus that of p_sham.
        slices[f"sxy{suffix}"] = -total(around * p_sham)
        sums = slices.groupby("label")[[f"sxy{suffix}", "sxx"]].sum()
        slope = pd.Series(_ratio(*sums.to_numpy().T), sums.index)
        slices[f"net_drop_residual{suffix}"] = net - slices["label"].map(slope) * slices["log_gap"]
    return slices


def residual(energy, column="net_drop_residual", *, n_resamples):
    """Net-Drop less what the larger change of a removal alone would explain.

    For each class the drop of a sham is regressed on its log RMS, within slices (each slice has
    its own level), and the line is followed to the removal's RMS: adjusted Net-Drop = Delta-Drop
    - (Sham-Drop + slope x (log RMS of the removal - mean log RMS of its shams)). Every
    resample of patients estimates the slopes again.

    Mean over slices of ``net_drop_residual`` or, in log-odds, of ``net_drop_residual_lo``. NaN
    where a class has no slope.
    """
    suffix = column.removeprefix("net_drop_residual")
    people, counts = estimates.drawn(energy, n_resamples)
    total, n = 0.0, 0.0  # of each resample, slopes by class
    for label in np.unique(energy["label"]):
        own = (energy["label"] == label).to_numpy()
        names = (f"net_drop{suffix}", "log_gap", f"sxy{suffix}", "sxx")
        net, gap, sxy, sxx = (counts @ people.total(np.where(own, energy[c], 0)) for c in names)
        total = total + net - _ratio(sxy, sxx) * gap
        n = n + counts @ people.total(own.astype(float))
    values = total / n  # (1 + n_resamples,)
    return estimates.from_replicates(values, people, by_slice=energy[column])


def slope(energy, column="sxy", *, n_resamples):
    """Rise of a sham's drop per unit of log RMS, within slices of one class.

    From ``sxy`` or, in log-odds, ``sxy_lo``; above 0: larger changes lower the true class's
    probability more.
    """
    people, counts = estimates.drawn(energy, n_resamples)
    sums = [counts @ people.total(energy[name]) for name in (column, "sxx")]
    return estimates.from_replicates(_ratio(*sums), people)


def median(energy, column, *, n_resamples):
    """Median over slices, with an interval over patients."""
    people, counts = estimates.drawn(energy, n_resamples)
    values = energy[column].to_numpy()
    medians = weighted_medians(values, counts[:, people.owner])
    return estimates.from_replicates(medians, people, by_slice=values)


def weighted_medians(values, weights):
    """Median of values (n,) that are repeated, for each row of whole weights (n_resamples, n).

    >>> weighted_medians(np.array([3.0, 1.0, 2.0]), np.array([[1, 1, 1], [2, 2, 0], [3, 0, 0]]))
    array([2., 2., 3.])
    """
    order = np.argsort(values, kind="stable")
    values, reached = values[order], np.cumsum(weights[:, order], axis=1)
    half = reached[:, -1:] / 2
    lower, upper = np.argmax(reached >= half, axis=1), np.argmax(reached > half, axis=1)
    return (values[lower] + values[upper]) / 2


def energy_table(rows, *, n_resamples):
    """Energy of removals against shams, and Net-Drop adjusted for it, overall and by class.

    Columns: quantity, scale, group, effect, low, high, mean_of_person_means, n_slices, n_persons,
    note. Quantities: ``rms_ratio`` (median over slices), ``share_within`` (slices whose removal
    changes no more and no less than some of its shams: elsewhere the residual extrapolates),
    ``share_matched`` (slices with a matched sham), and on both scales ``net_drop`` (all shams),
    ``net_drop_matched``, ``net_drop_same`` (all shams of the slices that have a matched one: the
    difference to the former is what matching does), ``sham_slope`` (by class),
    ``net_drop_residual``.
    """
    energy, parts = slice_energy(rows), []
    for group in stats_rows.groups(rows):
        own = stats_rows.of_group(energy, group)

        def add(quantity, scale, column, how, note=""):
            part = stats_rows.means(
                energy, column, groups=[group], how=how, n_resamples=n_resamples
            )
            note = np.where(part["n_slices"] > 0, note, stats_rows.NO_SLICES)
            parts.append(part.assign(quantity=quantity, scale=scale, note=note))

        add("rms_ratio", "ratio", "rms_ratio", median)
        for name in ("within", "matched"):
            add(f"share_{name}", "share", name, estimates.share)
        for scale, suffix in stats_rows.SUFFIXES.items():
            for name in ("net_drop", "net_drop_matched", "net_drop_same"):
                add(name, scale, f"{name}{suffix}", estimates.mean)
            if group != stats_rows.ALL:
                add("sham_slope", scale, f"sxy{suffix}", slope)
            name = "net_drop_residual"
            add(name, scale, f"{name}{suffix}", residual, _extrapolation(own))
    columns = ["quantity", "scale", "group", *stats_rows.NUMBERS, "note"]
    return stats_rows.stacked(parts, columns)


def _extrapolation(energy):
    """In words, on how many slices the residual leaves the range of the shams."""
    if energy.empty or energy["net_drop_residual"].isna().any():
        return NO_SLOPE
    share = 1 - energy["within"].mean()
    return f"extrapolates on {share:.0%} of the slices" if share else ""


def _slices_and_shams(rows):
    """Usable slices (one row each), their usual shams with ``owner`` the slice's position, and
    those of like energy."""
    rows = rows[np.isfinite(rows["log_odds"].to_numpy(float)) & (rows["edit_rms"] > 0)]
    label, p = arrays(rows)
    values = rows[["slice_id", "person_id", "label"]].assign(
        edit=rows["edit"],
        p=p[np.arange(len(p)), label],
        p_lo=rows["log_odds"],
        edit_rms=rows["edit_rms"],
    )
    like, shams = of_like_energy(values), values[values["edit"] == "sham"]
    slices = values[values["edit"] == "remove"]
    slices = slices[slices["slice_id"].isin(shams["slice_id"])].reset_index(drop=True)
    owner = pd.Index(slices["slice_id"]).get_indexer(shams["slice_id"])
    shams = shams.assign(owner=owner)[owner >= 0].reset_index(drop=True)
    slices["log_rms"] = np.log(slices.pop("edit_rms"))
    slices = slices.rename(columns={"p": "removed", "p_lo": "removed_lo"})
    return slices.drop(columns="edit"), shams[["owner", "p", "p_lo", "edit_rms"]], like


def _ratio(part, whole):
    """NaN where there is nothing to divide by, such as shams that all have one RMS."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 1e-12)
