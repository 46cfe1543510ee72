import dataclasses

import keras
import numpy as np
import pandas as pd
import pytest
from pictures import cohort

from tumorcf_lib import config
from tumorcf_lib.controls import detector
from tumorcf_lib.edits import infills
from tumorcf_lib.tables.classifiers import detector_table

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
    slices = prepared.slices.copy()
    slices[PARTS == "validation"] = np.nan
    made = []
    for own in (prepared, dataclasses.replace(prepared, slices=slices)):
        keras.utils.set_random_seed(0)
        made.append(detector.detect(PROFILE, own, PARTS, ("navier_stokes",), n_training=12))
    pd.testing.assert_frame_equal(*made)
