"""Claims about the edits, against slow and obvious references."""

import cv2
import numpy as np
import pytest

from tumorcf_lib.edits import edits, regions

AIR = np.float32(-1.25)


def brain(rng, shape=(40, 36)):
    """A bumpy slice with a margin of air."""
    slice = np.full(shape, AIR, np.float32)
    slice[3:-3, 3:-3] = rng.normal(0.5, 0.3, (shape[0] - 6, shape[1] - 6)).clip(-1, 3)
    return slice


def blob(rng, shape=(40, 36), n_discs=3):
    """A union of discs that may hang over any border."""
    mask = np.zeros(shape, np.uint8)
    for _ in range(n_discs):
        center = int(rng.integers(shape[1])), int(rng.integers(shape[0]))
        cv2.circle(mask, center, int(rng.integers(1, 7)), 1, -1)
    return mask.astype(bool)


def inpaint_whole(slice, mask, radius_px=3):
    """Navier-Stokes on the whole slice, the mask first flattened to the mean around it."""
    rows, columns = np.nonzero(mask)
    near = np.zeros_like(mask)
    margin = radius_px + 1
    near[
        max(rows.min() - margin, 0) : rows.max() + margin + 1,
        max(columns.min() - margin, 0) : columns.max() + margin + 1,
    ] = True
    flat = slice.copy()
    flat[mask] = slice[near & ~mask].mean()
    return cv2.inpaint(flat, mask.astype(np.uint8), radius_px, cv2.INPAINT_NS)


EDITS = {
    "remove": edits.remove,
    "only": edits.only,
    "background": edits.background,
    "silhouette": edits.silhouette,
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_returns_a_new_float32_array_and_leaves_its_inputs_alone(name):
    rng = np.random.default_rng(0)
    slice, mask = brain(rng), blob(rng)
    slice.setflags(write=False)
    mask.setflags(write=False)
    edited = EDITS[name](slice, mask)
    assert edited.dtype == np.float32 and edited.shape == slice.shape
    assert edited.flags.writeable and not np.shares_memory(edited, slice)


@pytest.mark.parametrize("seed", range(10))
def test_inpainting_the_crop_gives_the_bits_of_inpainting_the_whole_slice(seed):
    rng = np.random.default_rng(seed)
    slice, mask = brain(rng), blob(rng, n_discs=1 + seed % 4)
    np.testing.assert_array_equal(edits.remove(slice, mask), inpaint_whole(slice, mask))


@pytest.mark.parametrize(
    "rows, columns",
    [
        (slice(0, 5), slice(0, 5)),  # a corner
        (slice(-4, None), slice(-9, None)),
        (slice(10, 20), slice(0, 1)),  # one border, one pixel wide
        (slice(0, None), slice(7, 12)),  # from border to border
        (slice(0, 39), slice(0, 36)),  # all but the last row
        (slice(17, 18), slice(17, 18)),  # a single pixel
    ],
)
def test_masks_that_touch_the_border_are_inpainted_like_the_whole_slice(rows, columns):
    image, mask = brain(np.random.default_rng(1)), np.zeros((40, 36), bool)
    mask[rows, columns] = True
    np.testing.assert_array_equal(edits.remove(image, mask), inpaint_whole(image, mask))


@pytest.mark.parametrize("dilation_px", [-2, 0, 3])
def test_removal_leaves_pixels_outside_the_dilated_mask_bit_identical(dilation_px):
    rng = np.random.default_rng(3)
    slice, mask = brain(rng), blob(rng)
    edited = edits.remove(slice, mask, dilation_px=dilation_px)
    outside = ~regions.dilate(mask, dilation_px)
    np.testing.assert_array_equal(edited[outside], slice[outside])
    assert (edited[~outside] != slice[~outside]).any()


@pytest.mark.parametrize("seed", range(5))
def test_removal_does_not_see_what_was_under_the_mask(seed):
    rng = np.random.default_rng(seed)
    slice, mask = brain(rng), blob(rng)  # many touch the border, where plain OpenCV does see it
    other = slice.copy()
    other[mask] = 99
    np.testing.assert_array_equal(edits.remove(slice, mask), edits.remove(other, mask))


@pytest.mark.parametrize("value", [0.0, edits.SILHOUETTE_VALUE])
def test_only_background_and_silhouette_agree_with_a_pixel_loop(value):
    rng = np.random.default_rng(6)
    slice, mask = brain(rng), blob(rng)
    kept, emptied, shape = (np.zeros_like(slice) for _ in range(3))
    for y in range(slice.shape[0]):
        for x in range(slice.shape[1]):
            kept[y, x] = slice[y, x] if mask[y, x] else AIR
            emptied[y, x] = AIR if mask[y, x] else slice[y, x]
            shape[y, x] = value if mask[y, x] else AIR
    np.testing.assert_array_equal(edits.only(slice, mask), kept)
    np.testing.assert_array_equal(edits.background(slice, mask), emptied)
    np.testing.assert_array_equal(edits.silhouette(slice, mask, value=value), shape)


@pytest.mark.parametrize("dilation_px", [0, 5])
def test_a_mask_of_the_whole_slice_cannot_be_removed(dilation_px):
    slice, mask = brain(np.random.default_rng(9)), np.ones((40, 36), bool)
    if dilation_px:
        mask[:3] = False  # the dilation fills this
    with pytest.raises(edits.NothingToInpaintFromError, match="all 1440 pixels") as raised:
        edits.remove(slice, mask, dilation_px=dilation_px)
    assert raised.value.reason == "nothing to inpaint from"


@pytest.mark.parametrize("dilation_px", [-3, -1, 0, 1, 2, 4])
def test_dilation_agrees_with_a_loop_over_distances(dilation_px):
    mask = blob(np.random.default_rng(10), (24, 20))
    # Growing: a pixel within reach of the mask. Shrinking: none of the background within reach.
    wanted = np.zeros_like(mask)
    near = np.argwhere(mask if dilation_px >= 0 else ~mask)
    for y in range(24):
        for x in range(20):
            distances = np.hypot(near[:, 0] - y, near[:, 1] - x)
            reached = (distances <= abs(dilation_px)).any()
            wanted[y, x] = reached if dilation_px >= 0 else mask[y, x] and not reached
    np.testing.assert_array_equal(regions.dilate(mask, dilation_px), wanted)


def test_edit_rms_agrees_with_a_hand_calculation_and_with_numpy():
    assert edits.edit_rms(np.float32([[0, 0]]), np.float32([[3, 4]])) == pytest.approx(12.5**0.5)
    rng = np.random.default_rng(11)
    slice, mask = brain(rng), blob(rng)
    edited = edits.remove(slice, mask)
    by_numpy = np.sqrt(np.mean((edited.astype(float) - slice.astype(float)) ** 2))
    assert edits.edit_rms(slice, edited) == pytest.approx(by_numpy, rel=1e-6)


def test_an_edit_refuses_what_it_cannot_edit_and_says_what_it_expects():
    slice, mask = brain(np.random.default_rng(12)), np.zeros((40, 36), bool)
    wrong = [
        (slice.astype(np.float64), mask, "float32 slice .* got float64"),
        (slice[None], mask, r"got float32 \(1, 40, 36\)"),
        (slice, mask.astype(np.uint8), "bool mask .* got uint8"),
        (slice, mask[1:], r"shape \(40, 36\), got bool \(39, 36\)"),
    ]
    for edit in EDITS.values():
        for image, region, message in wrong:
            with pytest.raises(regions.InvalidEditError, match=message):
                edit(image, region)
    with pytest.raises(regions.InvalidEditError, match="'magic'.*navier_stokes"):
        edits.remove(slice, mask, infill="magic")
    with pytest.raises(regions.InvalidEditError, match="empty mask"):
        regions.bounding_box(mask)
