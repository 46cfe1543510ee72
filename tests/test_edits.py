import cv2
import numpy as np
import pytest
from pictures import blob

from tumorcf_lib.edits import edits, regions

AIR = np.float32(-1.25)


def brain(rng, shape=(40, 36)):
    slice = np.full(shape, AIR, np.float32)
    slice[3:-3, 3:-3] = rng.normal(0.5, 0.3, (shape[0] - 6, shape[1] - 6)).clip(-1, 3)
    return slice


EDITS = (edits.remove, edits.only, edits.background, edits.silhouette)


def test_an_edit_returns_a_new_float32_array_and_leaves_its_inputs_alone():
    rng = np.random.default_rng(0)
    slice, mask = brain(rng), blob(rng)
    slice.setflags(write=False)
    mask.setflags(write=False)
    for edit in EDITS:
        edited = edit(slice, mask)
        assert edited.dtype == np.float32 and edited.shape == slice.shape
        assert edited.flags.writeable and not np.shares_memory(edited, slice)


def test_inpainting_the_crop_gives_the_bits_of_inpainting_the_whole_slice():
    image, masks = brain(np.random.default_rng(1)), np.zeros((5, 40, 36), bool)
    masks[0, :5, :5] = masks[1, 10:20, 0] = masks[2, :, 7:12] = masks[3, :39] = masks[4, 17, 17] = 1
    for mask in (*masks, *(blob(np.random.default_rng(seed)) for seed in range(10))):
        top, bottom, left, right = regions.bounding_box(mask)
        near = np.zeros_like(mask)
        near[max(top - 4, 0) : bottom + 4, max(left - 4, 0) : right + 4] = True
        flat = np.where(mask, image[near & ~mask].mean(), image)
        whole = cv2.inpaint(flat, mask.astype(np.uint8), 3, cv2.INPAINT_NS)
        np.testing.assert_array_equal(edits.remove(image, mask), whole)


@pytest.mark.parametrize("dilation_px", [-2, 0, 3])
def test_removal_leaves_pixels_outside_the_dilated_mask_bit_identical(dilation_px):
    rng = np.random.default_rng(3)
    slice, mask = brain(rng), blob(rng)
    edited = edits.remove(slice, mask, dilation_px=dilation_px)
    outside = ~regions.dilate(mask, dilation_px)
    np.testing.assert_array_equal(edited[outside], slice[outside])
    assert (edited[~outside] != slice[~outside]).any()


@pytest.mark.parametrize("dilation_px", [-3, -1, 0, 1, 4])
def test_dilation_agrees_with_a_loop_over_distances(dilation_px):
    mask = blob(np.random.default_rng(10), (24, 20))
    # Growing: a pixel within reach of the mask. Shrinking: none of the background within reach.
    wanted = np.zeros_like(mask)
    near = np.argwhere(mask if dilation_px >= 0 else ~mask)
    for y, x in np.ndindex(mask.shape):
        reached = (np.hypot(*(near - [y, x]).T) <= abs(dilation_px)).any()
        wanted[y, x] = reached if dilation_px >= 0 else mask[y, x] and not reached
    np.testing.assert_array_equal(regions.dilate(mask, dilation_px), wanted)


def test_an_edit_refuses_what_it_cannot_edit_and_says_what_it_expects():
    slice, mask = brain(np.random.default_rng(12)), np.zeros((40, 36), bool)
    wrong = [
        (slice.astype(np.float64), mask, "float32 slice .* got float64"),
        (slice, mask.astype(np.uint8), "bool mask .* got uint8"),
        (slice, mask[1:], r"shape \(40, 36\), got bool \(39, 36\)"),
    ]
    for edit in EDITS:
        for image, region, message in wrong:
            with pytest.raises(regions.InvalidEditError, match=message):
                edit(image, region)
