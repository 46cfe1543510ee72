"""Claims about the midline of a head."""

import numpy as np
import pytest
from pictures import dot, two_halves

from tumorcf_lib.edits import symmetry


@pytest.mark.parametrize("tilt_deg, center", [(0, (60, 70)), (-10, (66, 63))])
def test_the_midline_of_a_symmetric_head_is_found(tilt_deg, center):
    slice = two_halves(np.random.default_rng(0), 128, tilt_deg=tilt_deg, center=center)
    found = symmetry.measure(slice)
    assert found.is_symmetric and found.score > 0.85 and found.overlap > 0.95
    assert abs(found.tilt_deg - tilt_deg) <= symmetry.FINER_DEG
    # Distance of the true center to the line found.
    angle = np.deg2rad(found.tilt_deg)
    dy, dx = center[0] - found.y, center[1] - found.x
    assert abs(np.cos(angle) * dx + np.sin(angle) * dy) < 1.5


def test_a_head_of_two_different_halves_is_not_symmetric():
    left, right = (two_halves(np.random.default_rng(seed), 128) for seed in (1, 2))
    mixed = left.copy()
    mixed[:, 64:] = right[:, 64:]
    assert symmetry.measure(left).is_symmetric and not symmetry.measure(mixed).is_symmetric


def test_what_is_excluded_changes_nothing():
    slice = two_halves(np.random.default_rng(3), 96)
    tumor = dot(slice.shape, 40, 30, radius=8)
    other = slice.copy()
    other[tumor] = 40
    found = [symmetry.measure(image, exclude=tumor) for image in (slice, other)]
    values = [(f.y, f.x, f.tilt_deg, f.score, f.overlap) for f in found]
    assert values[0] == values[1]
    np.testing.assert_array_equal(found[0].head, found[1].head)
