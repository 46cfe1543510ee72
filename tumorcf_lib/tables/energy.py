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


def of_like_energy(rows):
    """The shams, usual and extra ones, whose RMS is 0.8 to 1.25 of the removal's on their slice."""
    removal = rows[rows["edit"] == "remove"].set_index("slice_id")["edit_rms"]
    shams = rows[rows["edit"].isin(("sham", "sham_matched"))]
    share = shams["edit_rms"] / shams["slice_id"].map(removal)
    return shams[share.between(*MATCHED_RATIOS)]


def slice_energy(rows):
    """What each slice's removal and shams change, and Net-Drop with that taken into account.

    One row per slice that has a removal and a usual sham, both with an RMS above 0: slice_id,
    person_id, label; rms_ratio (removal to the geometric mean of the usual shams); log_gap (its
    log); net_drop, net_drop_matched (by shams :func:`of_like_energy`, NaN without any),
    net_drop_same (net_drop, NaN where net_drop_matched is), net_drop_residual (see
    :func:`residual`); sxx, sxy: sums of squares and products of log RMS and drop of the usual shams
    around their means on this slice.
    """
    rows = stats_rows.headline_rows(rows)
    labels, p = arrays(rows)
    rows = rows.assign(p=p[np.arange(len(p)), labels])
    rows = rows[rows["p"].notna() & (rows["edit_rms"] > 0)]
    rows = rows.assign(log_rms=np.log(rows["edit_rms"]))
    removal = rows[rows["edit"] == "remove"].set_index("slice_id")
    like = of_like_energy(rows).groupby("slice_id")["p"].mean()
    shams = rows[rows["edit"] == "sham"]
    of_slice = shams.groupby("slice_id")[["p", "log_rms"]]
    around = shams["log_rms"] - of_slice.transform("mean")["log_rms"]
    # A sham's drop is p_orig - p_sham, so its slope is minus that of p_sham.
    sums = shams.assign(sxx=around**2, sxy=-around * shams["p"]).groupby("slice_id")
    slices = removal[["person_id", "label"]].join(sums[["sxx", "sxy"]].sum(), how="inner")
    less_removal = (of_slice.mean() - removal[["p", "log_rms"]]).reindex(slices.index)
    slices = slices.assign(log_gap=-less_removal["log_rms"], net_drop=less_removal["p"])
    slices["rms_ratio"] = np.exp(slices["log_gap"])
    slices["net_drop_matched"] = (like - removal["p"]).reindex(slices.index)
    slices["net_drop_same"] = slices["net_drop"].where(slices["net_drop_matched"].notna())
    of_class = slices.groupby("label")[["sxy", "sxx"]].sum().reindex(slices["label"])
    slope = _ratio(*of_class.to_numpy().T)
    slices["net_drop_residual"] = slices["net_drop"] - slope * slices["log_gap"]
    return slices.rename_axis("slice_id").reset_index()


def residual(energy, column="net_drop_residual", *, n_resamples):
    """Mean of Net-Drop less what the larger change of a removal alone would explain.

    For each class the drop of a sham is regressed on its log RMS, within slices (each slice has
    its own level), and the line is followed to the removal's RMS: adjusted Net-Drop = Delta-Drop
    - (Sham-Drop + slope x (log RMS of the removal - mean log RMS of its shams)). Every
    resample of patients estimates the slopes again. NaN where a class has no slope, as with one
    sham a slice.
    """
    people, counts = estimates.drawn(energy, n_resamples)
    total, n = 0.0, 0.0  # of each resample, slopes by class
    for label in np.unique(energy["label"]):
        own = (energy["label"] == label).to_numpy()
        names = ("net_drop", "log_gap", "sxy", "sxx")
        net, gap, sxy, sxx = (counts @ people.total(np.where(own, energy[c], 0)) for c in names)
        total = total + net - _ratio(sxy, sxx) * gap
        n = n + counts @ people.total(own.astype(float))
    return estimates.from_replicates(total / n, people)


def median(energy, column, *, n_resamples):
    """Median over slices, with an interval over patients."""
    people, counts = estimates.drawn(energy, n_resamples)
    values = energy[column].to_numpy()
    return estimates.from_replicates(weighted_medians(values, counts[:, people.owner]), people)


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


QUANTITIES = {
    "rms_ratio": median,
    "net_drop": estimates.mean,
    "net_drop_matched": estimates.mean,
    "net_drop_same": estimates.mean,
    "net_drop_residual": residual,
}
"""Columns of :func:`slice_energy`, and how each is averaged over slices."""


def energy_table(rows, *, n_resamples):
    """Energy of removals against shams, and Net-Drop adjusted for it, overall and by class.

    Columns: quantity (of :data:`QUANTITIES`), scale, group, effect, low, high, n_slices, n_persons.
    The difference of ``net_drop_matched`` and ``net_drop_same`` is what matching does.
    """
    energy, options = slice_energy(rows), {"groups": stats_rows.groups(rows)}
    parts = [
        stats_rows.means(energy, name, how=how, n_resamples=n_resamples, **options)
        for name, how in QUANTITIES.items()
    ]
    table = pd.concat(parts, ignore_index=True).rename(columns={"score": "quantity"})
    table["scale"] = np.where(table["quantity"] == "rms_ratio", "ratio", stats_rows.PROBABILITY)
    return table[["quantity", "scale", "group", *stats_rows.NUMBERS]]


def _ratio(part, whole):
    """NaN where there is nothing to divide by, such as shams that all have one RMS."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 1e-12)
