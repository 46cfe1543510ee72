"""The detector of edits: a control that cannot be seen, and one that cannot be missed."""

import dataclasses

import keras
import numpy as np
import pandas as pd
import pytest

from tumorcf_lib import config
from tumorcf_lib.controls import detector
from tumorcf_lib.data import cohort
from tumorcf_lib.edits import infills, regions
from tumorcf_lib.edits.infills import Infill
from tumorcf_lib.tables.classifiers import detector_table

PROFILE = dataclasses.replace(config.get("smoke"), size_px=64, weights=None)
N = 30


def heads():
    """Textured discs with a small tumor, two slices a person."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64] - 31.5
    inside = y**2 + x**2 < 27**2
    slices = np.full((N, 64, 64), -1.5, np.float32)
    slices[:, inside] = rng.normal(1, 0.5, size=(N, inside.sum()))
    masks = np.zeros((N, 64, 64), bool)
    masks[:, 34:41, 20:27] = True
    persons = np.repeat(np.arange(N // 2), 2)
    return cohort.from_arrays(
        slices,
        masks,
        persons % 2,
        [f"p{i}" for i in persons],
        classes=("a", "b"),
        name="toy",
        source="Discs.",
    )


@pytest.fixture(scope="module")
def prepared():
    return heads()


@pytest.fixture(scope="module")
def parts():
    return np.repeat(["train", "validation", "test"], [16, 4, 10])


@pytest.fixture(scope="module")
def rows(prepared, parts):
    """Detectors of an edit that changes nothing, of a black hole, and of a rare one."""
    rare = {"left": 5}  # fills five slices' shams, then none

    def refuse(slice, region, avoid, found):
        rare["left"] -= 1
        if rare["left"] < 0:
            raise regions.ImpossibleEditError("Not here.")
        return slice.copy()

    patch = pytest.MonkeyPatch()
    patch.setitem(infills.INFILLS, "hole", Infill(lambda hole: np.full_like(hole.values, -4)))
    patch.setitem(infills.INFILLS, "rare", Infill(refuse, needs_whole_slice=True))
    patch.setitem(infills.INFILLS, "nothing", Infill(lambda s, r, a, f: s, needs_whole_slice=True))
    keras.utils.set_random_seed(0)
    made = detector.detect(PROFILE, prepared, parts, ("nothing", "hole", "rare"))
    patch.undo()
    return made


def test_each_tested_slice_is_seen_untouched_and_edited_by_each_detector(rows, prepared, parts):
    assert list(rows.columns) == list(detector.COLUMNS)
    tested = prepared.table["slice_id"].to_numpy()[parts == "test"]
    for _, own in rows[rows["infill"] != "rare"].groupby(["infill", "view"]):
        assert own["slice_id"].tolist() == np.repeat(tested, 2).tolist()
        assert own["edited"].tolist() == [0, 1] * 10
    assert set(rows["view"]) == {"slice", "patch"}
    assert set(rows["label"]) == {"a", "b"}


def test_an_edit_that_changes_nothing_is_not_seen(rows):
    table = detector_table(rows, n_resamples=50)
    nothing = table[(table["infill"] == "nothing") & (table["group"] == "all")]
    np.testing.assert_allclose(nothing["auc"], 0.5, atol=1e-6)
    assert (nothing["verdict"] == "undecided").all()


def test_equal_seeds_score_alike_and_validation_slices_are_never_read(prepared, parts):
    slices = prepared.slices.copy()
    slices[parts == "validation"] = np.nan
    poisoned = dataclasses.replace(prepared, slices=slices)
    made = []
    for own in (prepared, poisoned):
        keras.utils.set_random_seed(0)
        made.append(detector.detect(PROFILE, own, parts, ("navier_stokes",), n_training=12))
    pd.testing.assert_frame_equal(*made)


def test_a_person_in_both_parts_is_refused(prepared, parts):
    torn = parts.copy()
    torn[0] = "test"
    with pytest.raises(detector.DetectorInputError, match="1 patients.*'p0'"):
        detector.detect(PROFILE, prepared, torn, ("navier_stokes",))


def test_a_patch_covers_the_box_and_its_margin_in_cells_of_the_map():
    features = np.arange(8 * 8).reshape(8, 8, 1)
    # Rows 20 to 30 less and plus 4 of 64: cells 2 to 4; columns 0 to 5: cells 0 and 1.
    patch = detector._patch(features, (20, 30, 0, 5), (64, 64))
    assert patch[..., 0].tolist() == features[2:5, 0:2, 0].tolist()
