import numpy as np
import pytest
from pictures import cohort

from tumorcf_lib.controls import detector
from tumorcf_lib.edits import audit, plan
from tumorcf_lib.tables.controls import quality_table


def test_a_filled_sham_is_compared_with_its_slice_at_the_first_places_without_a_flag():
    prepared, infills = cohort(), ("telea", "biharmonic")
    edits = (plan.Edit("original"), plan.Edit("sham", "navier_stokes"))
    edits += plan.control_edits(infills, (30,), 64, 3)
    rows = audit.audit(lambda s: np.full((len(s), 3), 1 / 3), prepared, edits=edits, n_places=4)
    measured = detector.measure(prepared, rows.assign(flag=""), n_places=2)
    assert list(measured.columns) == list(detector.QUALITY)
    one = measured[(measured["slice_id"] == "103") & (measured["infill"] == "telea")].iloc[1]
    own = rows[(rows["slice_id"] == "103") & (rows["infill"] == "telea") & (rows["edit"] == "sham")]
    row = own[own["place"] == one["place"]].iloc[0]
    slice, mask = prepared.slices[3], prepared.masks[3]
    region = plan.region_of(mask, row)
    filled = plan.recreate(slice, mask, row)
    assert one["mae"] == pytest.approx(np.abs(filled - slice)[region].mean())
    assert one["n_pixels"] == region.sum() and one["place"] == 1
    first = (rows["edit"] == "sham") & (rows["place"] == 0)
    flagged = detector.measure(prepared, rows.assign(flag=np.where(first, "scalp", "")))
    assert (flagged["place"] > 0).all()
    nothing = detector.measure(prepared, rows.assign(flag="air"))
    assert nothing.empty and quality_table(nothing, n_resamples=5).empty
