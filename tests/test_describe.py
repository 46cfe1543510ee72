import numpy as np
import pandas as pd

from tumorcf_lib.data import cohort, describe


def ragged_cohort():
    slices = [np.ones((4, 4)), np.ones((2, 5)), np.ones((3, 3))]
    masks = [np.zeros(s.shape, bool) for s in slices]
    masks[0][1, :3] = True
    masks[1][:] = True
    return cohort.from_arrays(
        slices, masks, [0, 1, 0], ["MR1A", "x", "MR1"], classes=("a", "b"), name="r", source="."
    )


def test_tumor_area_is_counted_and_shared_per_slice_of_its_own_size():
    table = describe.slice_table(ragged_cohort())
    assert table["tumor_px"].tolist() == [3, 10, 0]
    assert table["tumor_share"].tolist() == [3 / 16, 1, 0]
    assert table[["height", "width"]].values.tolist() == [[4, 4], [2, 5], [3, 3]]
    assert table["label"].tolist() == ["a", "b", "a"]
    assert table["person_id"].tolist() == ["MR1", "x", "MR1"]


def slices(planes=None):
    table = pd.DataFrame({"label": ["a"] * 21 + ["b"] * 3, "tumor_share": [*range(21), 3, 1, 2]})
    return table if planes is None else table.assign(plane=planes)


def test_without_planes_examples_lie_at_the_percentiles_of_their_class():
    chosen = describe.examples(slices(), ("a", "b"))
    assert chosen["tumor_share"].tolist() == [1, 10, 19, 1, 2, 3]
    assert chosen.index.tolist() == [1, 10, 19, 22, 23, 21]


def test_with_planes_there_is_the_median_slice_of_each_plane():
    planes = ["axial"] * 7 + ["coronal"] * 7 + ["sagittal"] * 7 + ["axial", "coronal", "sagittal"]
    chosen = describe.examples(slices(planes), ("a", "b"))
    assert chosen["tumor_share"].tolist() == [3, 10, 17, 3, 1, 2]
    assert chosen["shown_as"].tolist() == ["axial", "coronal", "sagittal"] * 2


def test_the_middle_example_of_a_class_has_its_median_tumor_area():
    chosen = describe.middle_examples(slices(), ("b", "a"))
    assert chosen["tumor_share"].tolist() == [2, 10]
    assert chosen["label"].tolist() == ["b", "a"]


def test_persons_are_counted_once_by_the_form_of_their_id():
    table = pd.DataFrame({"person_id": ["MR1", "MR1", "7", "MR2"], "label": [0, 0, 0, 1]})
    sites = describe.sites(table, ("a", "b"))
    assert sites["persons with MR IDs"].tolist() == [1, 1]
    assert sites["other persons"].tolist() == [1, 0]
