import numpy as np
import pytest
from pictures import dot

from tumorcf_lib.edits import head, regions


def drawn(size=112, *, seed=0):
    """Scalp, skull, brain and, below it, a face of bright and dark patches with a sinus."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    slice = np.full((size, size), -1.2)
    slice[np.hypot((y - 0.5) / 0.46, (x - 0.5) / 0.42) < 1] = 2.5  # scalp
    slice[np.hypot((y - 0.5) / 0.42, (x - 0.5) / 0.38) < 1] = -0.6  # skull
    brain = (np.hypot((y - 0.5) / 0.38, (x - 0.5) / 0.34) < 1) & (y < 0.6)
    face = (np.hypot((y - 0.5) / 0.38, (x - 0.5) / 0.34) < 1) & (y > 0.63)
    slice[brain] = 0.5
    side = size // 28
    patches = np.kron(rng.choice([-0.5, 2.5], (30, 30)), np.ones((side, side)))
    slice[face] = patches[:size, :size][face]
    sinus = np.hypot(y - 0.75, x - 0.5) < 0.07
    slice[sinus] = -1.2
    slice += rng.normal(0, 0.05, slice.shape)
    return slice.astype(np.float32), brain, face, sinus


@pytest.mark.parametrize("size", [112, 400])
def test_brain_is_told_from_scalp_face_and_sinus_at_any_size(size):
    slice, brain, face, sinus = drawn(size)
    found = head.find_head(slice)
    assert found.brain[brain].mean() > 0.9
    assert found.brain[face].mean() < 0.2
    assert found.brain.sum() < 1.3 * brain.sum()
    assert found.air[sinus].mean() > 0.9 and found.air[brain].mean() < 0.02
    assert not (found.brain & ~found.mask).any() and not (found.air & ~found.mask).any()


def test_the_head_is_found_in_noise_with_its_dark_holes_and_without_specks():
    rng = np.random.default_rng(13)
    truth = dot((96, 96), 48, 48, 34)
    slice = np.where(truth, 1.0, -1.2) + rng.normal(0, 0.04, truth.shape)
    slice[44:52, 44:52] = -1.2  # a ventricle
    slice[2:5, 2:5] = 1.0  # a label burnt into the corner
    found = head.head_mask(slice.astype(np.float32))
    assert found[44:52, 44:52].all() and not found[2:5, 2:5].any()
    assert not (found & ~regions.dilate(truth, 2)).any() and not (truth & ~found).any()
