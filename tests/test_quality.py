import numpy as np
import pytest
from skimage.metrics import structural_similarity

from tumorcf_lib.controls import quality
from tumorcf_lib.data import cohort
from tumorcf_lib.edits import audit, plan
from tumorcf_lib.tables.controls import quality_table

INFILLS = ("telea", "mirror")


def heads(n, size=56):
    """Round, mirror-symmetric heads with some texture, a small tumor in each."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    inside = y**2 + x**2 < (0.42 * size) ** 2
    slices = np.full((n, size, size), -1.5, np.float32)
    texture = 1 + 0.3 * np.cos(y / 3) * np.cos(x / 4)
    noise = rng.normal(0, 0.1, size=(n, size, size))
    slices[:, inside] = (texture + noise)[:, inside]
    masks = np.zeros((n, size, size), bool)
    masks[:, 30:35, 18:24] = True
    slices[masks] += 1
    return cohort.from_arrays(
        slices,
        masks,
        np.arange(n) % 2,
        [f"p{i}" for i in range(n)],
        classes=("a", "b"),
        name="toy",
        source="Discs.",
    )


@pytest.fixture(scope="module")
def prepared():
    return heads(6)


@pytest.fixture(scope="module")
def rows(prepared):
    def predict(slices):
        return np.full((len(slices), 2), 0.5)

    edits = (plan.Edit("original"), plan.Edit("sham", "navier_stokes"))
    edits += plan.control_edits(INFILLS, (30,), 56, 3)
    return audit.audit(predict, prepared, edits=edits, n_places=4)


def test_errors_are_those_of_the_regions_pixels_alone():
    slice = np.random.default_rng(1).normal(size=(20, 20)).astype(np.float32)
    region = np.zeros((20, 20), bool)
    region[5:8, 5:9] = True
    filled = slice.copy()
    filled[region] += np.tile([1, -3], 6).astype(np.float32)
    mae, rmse, _ = quality.errors(slice, filled, region)
    assert mae == pytest.approx(2) and rmse == pytest.approx(np.sqrt(5))


@pytest.mark.parametrize("corner", [(0, 0), (8, 11), (25, 29), (0, 14)])
@pytest.mark.parametrize("shape", [(1, 1), (4, 3), (9, 7)])
def test_similarity_of_the_crop_is_that_of_the_whole_slice(corner, shape):
    rng = np.random.default_rng(2)
    slice = rng.normal(size=(34, 36)).astype(np.float32)
    region = np.zeros(slice.shape, bool)
    region[corner[0] : corner[0] + shape[0], corner[1] : corner[1] + shape[1]] = True
    filled = np.where(region, rng.normal(size=slice.shape), slice).astype(np.float32)
    whole = structural_similarity(
        slice.astype(float),
        filled.astype(float),
        win_size=7,
        full=True,
        data_range=float(slice.max() - slice.min()),
    )[1]
    assert quality.errors(slice, filled, region)[2] == pytest.approx(whole[region].mean())


def test_a_filled_sham_is_held_against_the_slice_it_was_made_from(prepared, rows):
    measured = quality.measure(prepared, rows, n_places=2)
    assert list(measured.columns) == list(quality.COLUMNS)
    one = measured[(measured["slice_id"] == 3) & (measured["infill"] == "telea")].iloc[1]
    own = rows[(rows["slice_id"] == 3) & (rows["infill"] == "telea") & (rows["edit"] == "sham")]
    own = own[own["place"] == one["place"]].iloc[0]
    slice, mask = prepared.slices[3], prepared.masks[3]
    region = plan.region_of(mask, own)
    difference = plan.recreate(slice, mask, own)[region].astype(float) - slice[region]
    assert one["mae"] == pytest.approx(np.abs(difference).mean())
    assert one["rmse"] == pytest.approx(np.sqrt((difference**2).mean()))
    assert one["n_pixels"] == region.sum() and one["label"] == "b"


def test_flagged_places_are_left_out(prepared, rows):
    flagged = rows.copy()
    flagged["flag"] = np.where((rows["edit"] == "sham") & (rows["place"] == 0), "scalp", "")
    assert (quality.measure(prepared, flagged)["place"] > 0).all()
    flagged["flag"] = np.where(rows["edit"] == "sham", "air", "")
    nothing = quality.measure(prepared, flagged)
    assert nothing.empty and list(nothing.columns) == list(quality.COLUMNS)
    assert quality_table(nothing, n_resamples=5).empty
