"""Claims about the contrast that a removal leaves of a tumor."""

import numpy as np
import pictures
import pytest

from tumorcf_lib.edits import audit, edits, regions
from tumorcf_lib.edits.plan import Edit


def test_contrast_left_is_the_share_of_the_step_at_the_rim_that_remains():
    slice, mask = np.zeros((40, 40), np.float32), np.zeros((40, 40), bool)
    mask[10:20, 10:20] = True
    slice[mask] = 3
    slice[:5] = 50  # beyond the ring
    for inside, wanted in ((3, 1.0), (1, 1 / 3), (0, 0.0), (-1, -1 / 3)):
        edited = np.where(mask, np.float32(inside), slice)
        assert audit.contrast_left(slice, edited, mask) == pytest.approx(wanted)
    shifted = slice + 7  # a new level for all is no contrast
    assert audit.contrast_left(slice, shifted, mask) == pytest.approx(1)


def test_a_tumor_without_contrast_or_a_slice_without_a_tumor_has_no_share_left():
    slice, mask = np.ones((9, 9), np.float32), np.zeros((9, 9), bool)
    assert np.isnan(audit.contrast_left(slice, slice, mask))
    mask[4, 4] = True
    assert np.isnan(audit.contrast_left(slice, slice, mask))
    assert np.isnan(audit.contrast_left(slice, slice, np.ones_like(mask)))


def test_every_removal_of_every_slice_has_a_row_and_the_share_that_its_own_edit_leaves():
    slices = pictures.cohort(2)
    slices.masks[1] = False
    removals = [Edit("remove", "telea"), Edit("remove", "navier_stokes", 2)]
    rows = audit.contrast_rows(slices, removals)
    assert rows["slice_id"].tolist() == ["100", "100", "101", "101"]
    assert rows["contrast_left"].isna().tolist() == [False, False, True, True]  # no tumor
    mask = slices.masks[0]
    ring = regions.dilate(mask, 4) & ~mask
    for row, edit in zip(rows.itertuples(), removals):
        how = {"infill": edit.infill, "dilation_px": edit.dilation_px}
        assert (row.infill, row.dilation_px) == tuple(how.values())
        images = slices.slices[0], edits.remove(slices.slices[0], mask, **how)
        before, after = (image[mask].mean() - image[ring].mean() for image in images)
        assert row.contrast_left == pytest.approx(after / before, abs=1e-4)
