"""What Net-Drop goes along with: how large a tumor is, how bright, how deep.

:func:`slice_covariates` measures the slices; everything else is computed from tables.
"""

import numpy as np
import pandas as pd

from tumorcf_lib.edits import head, regions
from tumorcf_lib.stats import estimates, mixed
from tumorcf_lib.stats.persons import ROUNDING
from tumorcf_lib.stats.rows import NO_SLICES, classes_of, groups, of_group, stacked

RING_PX = 5
"""Width of the ring around a tumor that its brightness is compared with."""

COVARIATES = ("area", "contrast", "depth")
"""Of a slice's tumor: log of its pixels; brightness above its ring, see
:func:`slice_covariates`; mean distance from the head's surface."""

FITTED = ["effect", "low", "high"]
RESAMPLED = ["ols", "boot_low", "boot_high"]
"""Columns of a slope: by the mixed model, and by least squares."""


def slice_covariates(slices, masks, slice_ids):
    """Area and contrast of the tumor on each prepared slice.

    contrast: mean inside the mask minus mean of the ring (every pixel of the head outside the mask
    and within ``RING_PX`` of it), in standard deviations of the slice; above 0: brighter than what
    is around it; NaN for an empty mask or without a ring.

    >>> slice = np.zeros((1, 40, 40), np.float32)
    >>> slice[0, 4:36, 4:36] = 1
    >>> mask = np.zeros((1, 40, 40), bool)
    >>> mask[0, 18:22, 18:22] = True
    >>> slice[mask] = 3
    >>> slice_covariates(slice, mask, ["7"]).values.tolist()
    [['7', 16, 0.01, 2.0]]
    """
    rows = []
    for slice_id, slice, mask in zip(slice_ids, slices, masks, strict=True):
        area = np.count_nonzero(mask)
        rows.append((slice_id, area, area / mask.size, _contrast(slice, mask)))
    return pd.DataFrame(rows, columns=["slice_id", "area_px", "area_share", "contrast"])


def with_depth(covariates, rows):
    """The covariates with ``depth_px``: mean distance of the tumor's pixels to the head's surface.

    From an audit's rows of `only`, the tumor itself at dilation 0; NaN where there are none."""
    own = rows[(rows["edit"] == "only") & (rows["dilation_px"] == 0)]
    depth = own.drop_duplicates("slice_id").set_index("slice_id")["depth_px"]
    return covariates.assign(depth_px=covariates["slice_id"].map(depth))


def covariate_table(scores, covariates, *, n_resamples):
    """Does Net-Drop go along with the tumor's area, contrast or depth?

    ``effect``: change of the score per standard deviation (``unit``) of the covariate, the others
    held fixed, with its 95 % Wald interval from the mixed model; ``ols``: the same by least
    squares, with an interval over persons. Group "all" has an intercept for each class; covariates
    are standardized over the slices of the group. No cause follows."""
    data = with_scores(scores, covariates)
    parts = []
    for column in ("net_drop", "net_drop_lo"):
        own = data[np.isfinite(data[[column, *COVARIATES]].to_numpy(float)).all(axis=1)]
        for group in groups(scores):
            part = _slopes(of_group(own, group), column, n_resamples)
            parts.append(part.assign(score=column, group=group))
    what, n = ["score", "group", "covariate", "unit"], ["n_slices", "n_persons"]
    return stacked(parts, [*what, *FITTED, *RESAMPLED, *n, "reason"])


def _contrast(slice, mask):
    ring = regions.dilate(mask, RING_PX) & ~mask & head.head_mask(slice)
    if not ring.any():  # nor is there one round an empty mask
        return np.nan
    return float(slice[mask].mean(dtype=np.float64) - slice[ring].mean(dtype=np.float64))


def with_scores(scores, covariates):
    """Scores of slices with the covariates of each: area (log of its pixels), contrast, depth."""
    pixels = covariates["area_px"].astype(float)
    table = covariates[["slice_id", "contrast"]].assign(
        area=np.log(pixels.where(pixels > 0)), depth=covariates["depth_px"]
    )
    return scores.merge(table, on="slice_id", how="left", validate="one_to_one")


def _slopes(own, column, n_resamples):
    """Coefficients of the covariates among these slices, by both ways."""
    names = list(COVARIATES)
    units = own[names].std(ddof=0)
    table = pd.DataFrame({"covariate": names, "unit": units.to_numpy()})
    table = table.assign(n_slices=len(own), n_persons=own["person_id"].nunique(), reason="")
    table[[*FITTED, *RESAMPLED]] = np.nan
    classes = classes_of(own["label"])
    flat = [name for name in names if not units[name] > ROUNDING]
    if own.empty or flat:
        reason = f"no variation in {', '.join(flat)}" if len(own) else NO_SLICES
        return table.assign(reason=reason)
    z = (own[names] - own[names].mean()) / units
    intercepts = [(own["label"] == name).to_numpy(float) for name in classes]
    design = np.column_stack([z, *intercepts])
    try:
        found = mixed.fit(own[column], design, own["person_id"].to_numpy())
    except mixed.NoFitError as error:
        table["reason"] = str(error)
    else:
        table[FITTED] = found[FITTED].to_numpy()[: len(names)]
    slopes = _least_squares(own, column, design, n_resamples)
    table[RESAMPLED] = slopes[: len(names)]
    return table


def _least_squares(own, column, design, n_resamples):
    """Least squares with intervals over persons, (k, 3): value, low, high."""
    people, counts = estimates.drawn(own, n_resamples)
    k, n_persons = design.shape[1], len(people.names)
    products = np.einsum("ni,nj->nij", design, np.column_stack([design, own[column]]))
    sums = np.zeros((n_persons, k, k + 1))
    np.add.at(sums, people.owner, products)
    normal = np.tensordot(counts, sums, axes=1)  # (1 + n_resamples, k, k + 1)
    solvable = np.linalg.cond(normal[:, :, :k]) < 1e10
    solved = np.full((len(counts), k), np.nan)
    solved[solvable] = np.linalg.solve(normal[solvable, :, :k], normal[solvable, :, k:])[..., 0]
    found = [estimates.from_replicates(draws, people) for draws in solved.T]
    return np.array([(e.value, e.low, e.high) for e in found])
