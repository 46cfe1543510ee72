import numpy as np
import pandas as pd
import pytest
from pictures import named

from tumorcf_lib.data import cohort
from tumorcf_lib.data.cohort import SliceStack


@pytest.mark.parametrize("kind", ["array", "list", "stack"])
def test_a_subset_has_the_slices_masks_and_rows_asked_for(kind):
    slices, masks = np.arange(48).reshape(3, 4, 4), np.arange(48).reshape(3, 4, 4) % 5 == 0
    if kind == "list":
        slices, masks = list(slices), list(masks)
    if kind == "stack":
        slices, masks = (
            SliceStack(values.ravel(), np.full((3, 2), 4), np.arange(3) * 16)
            for values in (slices, masks)
        )
        assert np.shares_memory(slices[1], slices.flat)
    whole = named(slices, masks, [0, 1, 1], "abc", slice_ids=[7, 8, 9])
    asked = ([2, 0, -1], [2, 0, 2]), (np.array([True, False, True]), [0, 2]), ([], [])
    for indices, wanted in asked:
        part = whole.subset(indices)
        assert part.table["slice_id"].tolist() == [whole.table["slice_id"][i] for i in wanted]
        assert part.table.index.tolist() == list(range(len(wanted)))
        assert len(part.slices) == len(part.masks) == len(wanted)
        for image, mask, i in zip(part.slices, part.masks, wanted, strict=True):
            np.testing.assert_array_equal(image, whole.slices[i])
            np.testing.assert_array_equal(mask, whole.masks[i])
            assert np.shares_memory(image, whole.slices[i])
            np.testing.assert_array_equal(part.subset([-1]).slices[0], part.slices[-1])


def test_tumor_area_is_counted_and_shared_per_slice_of_its_own_size():
    masks = [np.eye(4) > 0, np.ones((2, 5), bool), np.zeros((3, 3), bool)]
    made = named(masks, masks, [0, 1, 0], ["MR1A", "x", "MR1"], classes=("x", "y"))
    table = cohort.slice_table(made)
    assert table["tumor_px"].tolist() == [4, 10, 0]
    assert table["tumor_share"].tolist() == [4 / 16, 1, 0]
    assert table[["height", "width"]].values.tolist() == [[4, 4], [2, 5], [3, 3]]
    assert table["label"].tolist() == ["x", "y", "x"]
    assert table["person_id"].tolist() == ["MR1", "x", "MR1"]


def test_without_planes_examples_lie_at_the_percentiles_of_their_class():
    slices = pd.DataFrame({"label": ["a"] * 21 + ["b"] * 3, "tumor_share": [*range(21), 3, 1, 2]})
    chosen = cohort.examples(slices, ("a", "b"))
    assert chosen["tumor_share"].tolist() == [1, 10, 19, 1, 2, 3]
    assert chosen.index.tolist() == [1, 10, 19, 22, 23, 21]
