"""How much of a tumor's contrast is left where it was taken out."""

import numpy as np
import pandas as pd

from tumorcf_lib.edits import edits, plan
from tumorcf_lib.edits.regions import dilate


def contrast_left(slice, edited, mask):
    """Share of the tumor's contrast that an edit leaves inside the mask.

    The contrast is the mean inside the mask minus the mean of the ring within `edits.RING_PX`
    around it. `slice`, `edited`: ndarray of float32 (height, width), `edited` with the tumor
    removed at whatever dilation; `mask`: ndarray of bool, not dilated.

    Returns
    -------
    float
        0: nothing is left; 1: all of it; negative: it is reversed. NaN without contrast. Near 0
        it is a ratio of small numbers: summarize slices by the median.

    Examples
    --------
    >>> slice = np.zeros((9, 9), np.float32)
    >>> slice[4, 4] = 4
    >>> contrast_left(slice, slice / 4, slice > 0)
    0.25
    """
    if not mask.any() or mask.all():
        return float("nan")
    ring = dilate(mask, edits.RING_PX) & ~mask
    before, after = (
        image[mask].mean(dtype=np.float64) - image[ring].mean(dtype=np.float64)
        for image in (slice, edited)
    )
    return float(after / before) if before else float("nan")


def rows_of(cohort, removals):
    """What each of these removals leaves on each slice of a prepared cohort.

    Columns: slice_id, person_id, label (class name), infill, dilation_px, contrast_left (NaN where
    the removal cannot be made).
    """
    rows, own = [], (cohort.table["slice_id"], cohort.persons, cohort.labels)
    for *who, label, slice, mask in zip(*own, cohort.slices, cohort.masks, strict=True):
        for row, edited in plan.edits_of(slice, mask, removals, 0, None):
            left = np.nan if edited is None else contrast_left(slice, edited, mask)
            _, _, infill, dilation_px, *_ = row
            rows.append((*who, cohort.classes[label], infill, dilation_px, left))
    columns = ["slice_id", "person_id", "label", "infill", "dilation_px", "contrast_left"]
    return pd.DataFrame(rows, columns=columns).round({"contrast_left": 5})
