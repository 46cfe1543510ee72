"""Claims about fillings compared with the tissue that they hide."""

import numpy as np
import pytest
from pictures import cohort
from skimage.metrics import structural_similarity

from tumorcf_lib.controls import quality
from tumorcf_lib.edits import audit, plan
from tumorcf_lib.tables.controls import quality_table


@pytest.mark.parametrize("place", [np.s_[25:, 29:], np.s_[:1, :1], np.s_[12:20, 15:17]])
def test_errors_are_those_of_the_regions_pixels_in_windows_of_the_whole_slice(place):
    rng = np.random.default_rng(2)
    slice, region = rng.normal(5, 1, (34, 36)).astype(np.float32), np.zeros((34, 36), bool)
    region[place] = True
    filled = slice + np.where(region, np.float32(0.5), 0)
    mae, rmse, ssim = quality.errors(slice, filled, region)
    assert (mae, rmse) == pytest.approx((0.5, 0.5))
    noisy = np.where(region, rng.normal(5, 1, slice.shape), slice).astype(np.float32)
    for other, found in ((filled, ssim), (noisy, quality.errors(slice, noisy, region)[2])):
        how = {"win_size": 7, "data_range": float(np.ptp(slice)), "full": True}
        _, whole = structural_similarity(slice.astype(float), other.astype(float), **how)
        assert found == pytest.approx(whole[region].mean())


def test_a_filled_sham_is_compared_with_its_slice_at_the_first_places_without_a_flag():
    prepared, infills = cohort(), ("telea", "mirror")
    edits = (plan.Edit("original"), plan.Edit("sham", "navier_stokes"))
    edits += plan.control_edits(infills, (30,), 64, 3)
    rows = audit.audit(lambda s: np.full((len(s), 3), 1 / 3), prepared, edits=edits, n_places=4)
    measured = quality.measure(prepared, rows.assign(flag=""), n_places=2)
    assert list(measured.columns) == list(quality.COLUMNS)
    one = measured[(measured["slice_id"] == "103") & (measured["infill"] == "telea")].iloc[1]
    own = rows[(rows["slice_id"] == "103") & (rows["infill"] == "telea") & (rows["edit"] == "sham")]
    row = own[own["place"] == one["place"]].iloc[0]
    slice, mask = prepared.slices[3], prepared.masks[3]
    region = plan.region_of(mask, row)
    wanted = quality.errors(slice, plan.recreate(slice, mask, row), region)
    assert tuple(one[["mae", "rmse", "ssim"]]) == pytest.approx(wanted)
    assert one["n_pixels"] == region.sum() and one["place"] == 1
    first = (rows["edit"] == "sham") & (rows["place"] == 0)
    flagged = quality.measure(prepared, rows.assign(flag=np.where(first, "scalp", "")))
    assert (flagged["place"] > 0).all()
    nothing = quality.measure(prepared, rows.assign(flag="air"))
    assert nothing.empty and quality_table(nothing, n_resamples=5).empty
