import numpy as np
import pytest
import real_cheng
from hypothesis import assume, given, strategies as st
from hypothesis.extra import numpy as hnp
from pictures import named

from tumorcf_lib.data import preprocess
from tumorcf_lib.data.preprocess import InvalidSliceError

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24)
SLICES = hnp.arrays(np.int16, SHAPES, elements=st.integers(-500, 4095))
SIZES = st.integers(1, 40)


def slow_input(slice):
    low, high = np.percentile(slice, (1, 99))
    if high <= low:
        return np.zeros(slice.shape)
    scaled = [(min(max(float(v), low), high) - low) / (high - low) for v in np.ravel(slice)]
    mean = sum(scaled) / len(scaled)
    std = (sum((v - mean) ** 2 for v in scaled) / len(scaled)) ** 0.5
    return np.reshape([(v - mean) / std for v in scaled], slice.shape)


@given(SLICES)
def test_the_map_is_clip_then_min_max_then_z_score(slice):
    mapped = preprocess.fit_intensity_map(slice)(slice)
    np.testing.assert_allclose(mapped, slow_input(slice), atol=1e-4)


@given(hnp.arrays(bool, SHAPES), SIZES)
def test_a_resized_mask_takes_the_pixel_under_each_new_center(mask, size_px):
    height, width = mask.shape
    side = max(height, width)
    square = np.zeros((side, side), bool)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = mask
    got = preprocess.resize_mask(mask, size_px)
    assert got.dtype == bool
    for y in range(size_px):
        for x in range(size_px):
            at_y, at_x = (y + 0.5) * side / size_px, (x + 0.5) * side / size_px
            assert got[y, x] == square[int(at_y + 1e-9), int(at_x + 1e-9)]  # on an edge: below


@given(hnp.arrays(bool, SHAPES))
def test_slice_and_mask_are_padded_alike(mask):
    assume(not mask.all())  # else the tumor is the slice's minimum, too
    side = max(mask.shape)
    padded = preprocess.resize_slice(mask.astype(np.uint8), side)
    np.testing.assert_array_equal(preprocess.resize_mask(mask, side), padded > 0)


def test_pixels_that_span_more_than_a_float_are_refused():
    with pytest.raises(InvalidSliceError, match="float64"):
        preprocess.network_input(np.array([[-1.5e308, 1.5e308]]), 4)


def test_prepare_makes_each_slice_and_mask_keeps_the_table_and_names_a_broken_slice():
    rng = np.random.default_rng(0)
    slices = [rng.integers(0, 99, shape) for shape in ((20, 20), (30, 30), (20, 26))]
    ragged = named(slices, [s > 60 for s in slices], [0, 1, 1], "abc", slice_ids=[7, 8, 9])
    prepared = preprocess.prepare(ragged, 16)
    assert prepared.slices.dtype == np.float32 and prepared.masks.dtype == bool
    for i, slice in enumerate(slices):
        expected = preprocess.network_input(slice, 16), preprocess.resize_mask(slice > 60, 16)
        np.testing.assert_array_equal(prepared.slices[i], expected[0])
        np.testing.assert_array_equal(prepared.masks[i], expected[1])
    assert prepared.table.equals(ragged.table)
    slices[1] = np.full((30, 30), np.nan)
    with pytest.raises(InvalidSliceError, match="Slice 8 of toy: .*900 of 900"):
        preprocess.prepare(ragged, 16)


@pytest.mark.real
def test_no_real_tumor_vanishes_at_224_px_and_corners_are_air():
    whole = real_cheng.cohort()
    prepared = preprocess.prepare(whole.subset(np.arange(0, len(whole), 40)), 224)
    assert prepared.masks.any(axis=(1, 2)).all()
    above_air = prepared.slices[:, 0, 0] - prepared.slices.min(axis=(1, 2))
    assert (above_air < 0.5).mean() > 0.9


def test_a_refitted_map_shifts_pixels_outside_the_edit_and_a_frozen_one_does_not():
    rng = np.random.default_rng(0)
    image = rng.normal(size=(20, 20)).astype(np.float32)
    mask = np.zeros((20, 20), bool)
    mask[:5, :5] = True
    edited = np.where(mask, np.float32(9), image)
    assert preprocess.shift_outside(image, edited, mask) == 0
    refit = preprocess.refit(image), preprocess.refit(edited)
    slow = max(float(abs(refit[1] - refit[0])[y, x]) for y, x in np.argwhere(~mask))
    assert preprocess.shift_outside(*refit, mask) == slow > 0.1
