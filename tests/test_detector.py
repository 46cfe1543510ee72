import dataclasses

import keras
import numpy as np
import pandas as pd
import pytest
from pictures import cohort

from tumorcf_lib import config
from tumorcf_lib.controls import detector
from tumorcf_lib.edits import audit, infills, plan
from tumorcf_lib.tables.classifiers import detector_table
from tumorcf_lib.tables.controls import quality_table

pytestmark = pytest.mark.usefixtures("three_blocks")

PROFILE = dataclasses.replace(config.get("smoke"), size_px=64, weights=None)
PARTS = np.repeat(["train", "validation", "test"], [16, 4, 10])


@pytest.fixture(scope="module")
def prepared():
    return cohort(30, classes=("a", "b"))


@pytest.fixture(scope="module")
def rows(prepared, three_blocks):
    """Detectors of an edit that changes nothing, and of a black hole."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(infills.INFILLS, "hole", lambda hole: np.full_like(hole.values, -4))
        patch.setitem(infills.INFILLS, "nothing", lambda hole: hole.values)
        return detector.detect(PROFILE, prepared, PARTS, ("nothing", "hole"))


def test_each_tested_slice_is_seen_untouched_and_edited_by_each_detector(rows, prepared):
    assert list(rows.columns) == list(detector.COLUMNS)
    tested = prepared.table["slice_id"].to_numpy()[PARTS == "test"]
    for _, own in rows.groupby(["infill", "view"]):
        assert own["slice_id"].tolist() == np.repeat(tested, 2).tolist()
        assert own["edited"].tolist() == [0, 1] * 10
    assert set(rows["view"]) == {"slice", "patch"} and set(rows["label"]) == {"a", "b"}


def test_an_edit_that_changes_nothing_is_not_seen_and_a_black_hole_is(rows):
    table = detector_table(rows, n_resamples=50).query("group == 'all'").set_index("infill")
    np.testing.assert_allclose(table.loc["nothing", "auc"], 0.5, atol=1e-6)
    assert (table.loc["hole", "auc"] > 0.8).all()  # of ten slices: 0.9 to 1, by the machine
    assert (table["n_persons"] == 5).all()


def test_equal_seeds_score_alike_and_validation_slices_are_never_read(prepared):
    hidden = cohort(30, classes=("a", "b"))
    hidden.slices[PARTS == "validation"] = np.nan
    made = []
    for own in (prepared, hidden):
        keras.utils.set_random_seed(0)
        made.append(detector.detect(PROFILE, own, PARTS, ("navier_stokes",), n_training=12))
    pd.testing.assert_frame_equal(*made)


def test_a_filled_sham_is_compared_with_its_slice_at_the_first_places_without_a_flag():
    prepared = cohort()
    edits = (plan.Edit("original"), plan.Edit("sham", "navier_stokes"))
    edits += plan.control_edits(("telea", "biharmonic"), (30,), 64, 3)
    rows = audit.audit(lambda s: np.full((len(s), 3), 1 / 3), prepared, edits=edits, n_places=4)
    measured = detector.measure(prepared, rows.assign(flag=""), n_places=2)
    chosen = "slice_id == '103' and infill == 'telea' and place == 1"
    (one,) = measured.query(chosen).to_dict("records")
    (row,) = rows.query(f"{chosen} and edit == 'sham'").to_dict("records")
    slice, mask = prepared.slices[3], prepared.masks[3]
    region, filled = plan.region_of(mask, row), plan.recreate(slice, mask, row)
    assert one["mae"] == pytest.approx(np.abs(filled - slice)[region].mean())
    assert one["n_pixels"] == region.sum() and measured["place"].max() == 1
    first = (rows["edit"] == "sham") & (rows["place"] == 0)
    flagged = detector.measure(prepared, rows.assign(flag=np.where(first, "scalp", "")))
    assert (flagged["place"] > 0).all()
    nothing = detector.measure(prepared, rows.assign(flag="air"))
    assert nothing.empty and quality_table(nothing, n_resamples=5).empty
