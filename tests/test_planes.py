import numpy as np
import pandas as pd
from pictures import named

from tumorcf_lib.controls import planes
from tumorcf_lib.data import preprocess
from tumorcf_lib.phantoms import cohort as phantom


def test_most_phantoms_show_their_plane():
    prepared = preprocess.prepare(phantom.make_cohort(12, 1, size_px=96, seed=1), 96)
    rows = planes.estimate_planes(prepared)
    share = (rows["plane"] == prepared.table["plane"]).mean()
    assert share > 0.8  # of 36 persons; 0.995 of the demo's 201
    np.testing.assert_allclose(rows[[f"p_{p}" for p in planes.PLANES]].sum(axis=1), 1)
    assert list(rows.columns[:4]) == ["slice_id", "person_id", "label", "plane"]


def test_a_person_is_estimated_without_the_persons_own_slices():
    """A person's slices are one picture of noise: learned from, they would give the plane away."""
    rng, persons = np.random.default_rng(0), np.arange(60).repeat(3)
    slices = rng.normal(size=(60, 32, 32)).astype(np.float32)[persons]
    cohort = named(slices, np.zeros(slices.shape, bool), persons % 3, persons)
    assert planes.estimate_planes(cohort) is None
    assert planes.why_not(cohort) == "no slice of cohort 'toy' has a known plane"
    cohort.table["plane"] = np.repeat(rng.choice(planes.PLANES, 60), 3)
    rows = planes.estimate_planes(cohort)
    assert (rows["plane"] == rows["known_plane"]).mean() < 0.55


def test_edges_are_counted_in_their_cell_by_their_direction():
    slice = np.zeros((64, 64), np.float32)
    slice[40:, :] = 1  # one edge from left to right, between rows 39 and 40
    found = planes.edge_directions(slice).reshape(8, 8, 8)
    expected = np.zeros((8, 8, 8))
    expected[4, :, 4] = 1  # row 39: gradient 1/2 in 8 pixels of each cell; 90 degrees: bin 4 of 8
    expected[5, :, 4] = 1  # row 40
    np.testing.assert_allclose(found, expected / expected.mean())


def test_accuracy_counts_slices_of_known_plane_only():
    rows = pd.DataFrame({"slice_id": range(5), "person_id": list("abbcd"), "label": "glioma"})
    rows["plane"] = ["axial", "axial", "axial", "coronal", "axial"]
    rows = rows.assign(p_axial=0.5, p_coronal=0.5, known_plane="axial")
    rows.loc[4, "known_plane"] = np.nan
    table = planes.accuracy_table(rows, n_resamples=50).set_index("group")
    assert table.loc["all", "accuracy"] == 0.75
    assert table.loc["all", ["n_slices", "n_persons"]].tolist() == [4, 3]
    assert table.loc["all", "low"] <= 0.75 <= table.loc["all", "high"]
