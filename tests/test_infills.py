import cv2
import numpy as np
import pytest
from pictures import blob
from scipy.ndimage import distance_transform_edt

from tumorcf_lib.edits import edits, infills, regions

REACH_PX = edits.RADIUS_PX + 1
SHAPE = (40, 36)


def noise(rng):
    return rng.normal(0.5, 0.3, SHAPE).astype(np.float32)


@pytest.mark.parametrize("name", infills.INFILLS)
def test_an_infill_sees_nothing_under_the_region_and_nothing_beyond_its_reach(name):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        slice, mask = noise(rng), blob(rng)  # many touch the border
        slice.setflags(write=False)
        edited = edits.remove(slice, mask, infill=name)
        top, bottom, left, right = regions.bounding_box(mask)
        rows = np.s_[max(top - REACH_PX, 0) : bottom + REACH_PX]
        columns = np.s_[max(left - REACH_PX, 0) : right + REACH_PX]
        other = np.full_like(slice, 77)
        other[rows, columns] = slice[rows, columns]
        other[mask] = rng.choice([-50, 99], mask.sum())  # beyond the range of all else
        again = edits.remove(other, mask, infill=name)
        np.testing.assert_array_equal(edited[mask], again[mask])
        np.testing.assert_array_equal(edited[~mask], slice[~mask])


def test_telea_is_opencv_on_256_levels_of_the_range_outside_the_region():
    rng = np.random.default_rng(2)
    slice, mask = noise(rng), blob(rng)
    mask[:2] = mask[-2:] = mask[:, :2] = mask[:, -2:] = False  # where OpenCV needs no help
    slice[0, 0], slice[-1, -1] = -1, 3  # the range, wherever the crop ends
    hole = infills.Hole(slice.copy(), mask, 3)
    levels = np.rint((slice + 1) * (255 / 4)).clip(0, 255).astype(np.uint8)
    levels[mask] = 0
    wanted = cv2.inpaint(levels, mask.astype(np.uint8), 3, cv2.INPAINT_TELEA) * (4 / 255) - 1
    np.testing.assert_allclose(infills.telea(hole)[mask], wanted[mask], atol=1e-6)


@pytest.mark.parametrize("seed", range(2))
def test_ring_mean_and_gaussian_blur_are_means_of_a_loop_over_the_ring(seed):
    rng = np.random.default_rng(seed)
    slice, mask = noise(rng), blob(rng)
    around = np.argwhere(~mask & (distance_transform_edt(~mask) <= REACH_PX))
    flat = edits.remove(slice, mask, infill="ring_mean")[mask]
    np.testing.assert_allclose(flat, slice[tuple(around.T)].mean(dtype=float), rtol=1e-6)
    filled = edits.remove(slice, mask, infill="gaussian_blur")
    sigma = max(1, distance_transform_edt(mask).max() / 2)
    for y, x in np.argwhere(mask):
        dy, dx = (around - [y, x]).T
        weight = np.exp(-(dy**2 + dx**2) / (2 * sigma**2))
        weight[np.maximum(abs(dy), abs(dx)) > np.ceil(3 * sigma)] = 0  # the kernel ends there
        mean = (weight * slice[tuple(around.T)]).sum() / weight.sum()
        assert filled[y, x] == pytest.approx(mean, abs=1e-5)


@pytest.mark.parametrize("seed", range(2))
def test_without_its_noise_noisy_linear_makes_every_pixel_its_neighbors_mean(seed, monkeypatch):
    monkeypatch.setattr(infills, "NOISE_SD", 0)
    rng = np.random.default_rng(seed)
    slice, mask = noise(rng), blob(rng)
    mask[:3, 5:9] = True  # at the border, too
    filled = edits.remove(slice, mask, infill="noisy_linear")
    for y, x in np.argwhere(mask):
        values, weights = [], []
        for dy, dx in infills.NEIGHBORS:
            if 0 <= y + dy < SHAPE[0] and 0 <= x + dx < SHAPE[1]:
                values.append(filled[y + dy, x + dx])
                weights.append(1 / 12 if dy and dx else 1 / 6)
        assert filled[y, x] == pytest.approx(np.average(values, weights=weights), abs=1e-5)


def test_the_noise_has_the_stated_size_and_differs_by_place_and_shape():
    slice = np.zeros((100, 100), np.float32)
    masks = np.zeros((3, 100, 100), bool)
    masks[0, 20:80, 20:80] = masks[1, 20:80, 21:81] = masks[2, 20:81, 20:80] = True
    first, moved, larger = (
        edits.remove(slice, mask, infill="noisy_linear")[21:79, 22:79] for mask in masks
    )
    for field in (first, moved, larger):
        assert field.std() == pytest.approx(infills.NOISE_SD, rel=0.05)
    for one, other in ((first[:, 1:], moved[:, :-1]), (first, larger)):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("name", sorted(infills.INFILLS.keys() - {"biharmonic"}))  # too slow
def test_many_fillings_of_one_slice_are_one(name):
    """OpenCV's precise distances differed by a rounding bit now and then, for some shapes."""
    rng = np.random.default_rng(3)
    slice = rng.normal(size=(128, 128)).astype(np.float32)
    kept = []
    for _ in range(25):
        mask = np.zeros(slice.shape, np.uint8)
        axes = tuple(int(a) for a in rng.integers(5, 30, 2))
        cv2.ellipse(mask, (64, 64), axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
        found = set()
        for length in rng.integers(1, 5000, 20):
            kept.append(bytes(int(length)))  # so that arrays come to lie elsewhere each time
            found.add(edits.remove(slice, mask.astype(bool), infill=name).tobytes())
        assert len(found) == 1
