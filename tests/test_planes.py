"""Planes: persons apart, hand labels of the real cohort only, and how accuracy is counted."""

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib.config import CLASSES
from tumorcf_lib.controls import planes
from tumorcf_lib.data import preprocess
from tumorcf_lib.data.cohort import Cohort, from_arrays
from tumorcf_lib.phantoms import cohort as phantom


@pytest.fixture(scope="module")
def prepared():
    return preprocess.prepare(phantom.make_cohort(16, 2, size_px=96, seed=1), 96)


def noise_cohort(name="toy", n_persons=60, n_slices=3, **columns):
    """Each person's slices are all one picture of noise, so that a leak would be plain."""
    pictures = np.random.default_rng(0).normal(size=(n_persons, 32, 32)).astype(np.float32)
    persons = [f"p{i:02d}" for i in range(n_persons)]
    made = from_arrays(
        np.repeat(pictures, n_slices, axis=0),
        np.zeros((n_persons * n_slices, 32, 32), bool),
        np.repeat(np.arange(n_persons) % 3, n_slices),
        np.repeat(persons, n_slices),
        classes=CLASSES,
        name=name,
        source="Noise.",
        slice_ids=range(1, n_persons * n_slices + 1),
    )
    table = made.table.assign(**columns)
    return Cohort(made.name, made.slices, made.masks, table, made.classes, made.source)


def test_most_phantoms_show_their_plane(prepared):
    rows = planes.estimate_planes(prepared)
    share = (rows["plane"] == prepared.table["plane"]).mean()
    assert share > 0.85  # 48 persons; 0.995 with the demo's 201
    np.testing.assert_allclose(rows[[f"p_{p}" for p in planes.PLANES]].sum(axis=1), 1)
    assert list(rows.columns[:4]) == ["slice_id", "person_id", "label", "plane"]


def test_a_person_is_estimated_without_the_persons_own_slices():
    """Learned from, a person's other slices, alike to the bit, would give the plane away."""
    drawn = np.random.default_rng(1).choice(planes.PLANES, 60)
    cohort = noise_cohort(plane=np.repeat(drawn, 3))
    rows = planes.estimate_planes(cohort)
    assert (rows["plane"] == rows["known_plane"]).mean() < 0.55


def test_a_cohort_without_known_planes_has_none_and_says_why():
    cohort = noise_cohort()
    assert planes.estimate_planes(cohort) is None
    assert planes.why_not(cohort) == "no slice of cohort 'toy' has a known plane"


def test_hand_labels_name_each_slice_once_and_all_planes_often():
    file = planes.importlib.resources.files("tumorcf_lib.controls") / "plane_labels.csv"
    labels = pd.read_csv(file)
    assert len(labels) == 209 and labels["slice_id"].is_unique
    assert labels["slice_id"].between(1, 3064).all()
    assert set(labels["plane"]) == set(planes.PLANES)
    assert labels["plane"].value_counts().min() > 50


def test_edges_are_counted_in_their_cell_by_their_direction():
    slice = np.zeros((64, 64), np.float32)
    slice[40:, :] = 1  # one edge from left to right, between rows 39 and 40
    found = planes.edge_directions(slice).reshape(8, 8, 8)
    expected = np.zeros((8, 8, 8))
    expected[4, :, 4] = 1  # row 39: gradient 1/2 in 8 pixels of each cell; 90 degrees: bin 4 of 8
    expected[5, :, 4] = 1  # row 40
    np.testing.assert_allclose(found, expected / expected.mean())


def rows_of(right, persons, label="glioma"):
    plane = np.where(right, "axial", "coronal")
    return pd.DataFrame(
        {
            "slice_id": range(len(right)),
            "person_id": persons,
            "label": label,
            "plane": plane,
            "p_axial": 0.5,
            "p_coronal": 0.5,
            "known_plane": "axial",
        }
    )


def test_accuracy_counts_slices_of_known_plane_only():
    rows = rows_of([True, True, True, False, True], list("abbcd"))
    rows.loc[4, "known_plane"] = np.nan
    table = planes.accuracy_table(rows, n_resamples=50).set_index("group")
    assert table.loc["all", "accuracy"] == 0.75
    assert table.loc["all", ["n_slices", "n_persons"]].tolist() == [4, 3]
    assert table.loc["all", "low"] <= 0.75 <= table.loc["all", "high"]
