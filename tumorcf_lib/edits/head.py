"""The head in a slice: its outline, how deep a pixel lies in it, and what is no brain."""

from dataclasses import dataclass

import cv2
import numpy as np
import scipy.ndimage

from tumorcf_lib.edits import regions

HEAD_LEVEL = 0.12
"""Brightness that counts as head: this share of the way from air to the 99th percentile."""

RIM_SHARE = 1 / 16
"""Thickness of scalp and skull, as share of the slice's shorter side: about 14 mm."""

AIR_LEVEL = 0.2
"""Brightness below which a pixel is air or bone, between air (0) and the 99th percentile (1).

Fluid in the ventricles is mostly a little brighter on contrast-enhanced T1 slices.
"""

BRAIN_LEVELS = 0.15, 0.8
"""Mean brightness around a pixel of the brain, on the same scale."""

BRAIN_SD = 0.13
"""Largest standard deviation around a pixel of the brain: face and neck are more varied."""

BRAIN_PX = 112
"""Shorter side of the slice on which the brain is searched; its other constants depend on it."""

MIN_BRAIN = 0.2
"""Least share of the head that a brain has to take to count as found."""


@dataclass(frozen=True, eq=False)
class Head:
    """Maps of one slice, each of its shape.

    Parameters
    ----------
    mask : ndarray of bool
        See :func:`head_mask`.
    depth_px : ndarray of float64
        Distance of a pixel to the nearest one outside the head; 0 outside. Beyond the
        slice's border nothing counts as outside.
    brain : ndarray of bool
        See :func:`brain_mask`.
    air : ndarray of bool
        Sinuses, throat and the bone around them: pixels darker than `AIR_LEVEL` and
        deeper than scalp and skull.
    """

    mask: np.ndarray
    depth_px: np.ndarray
    brain: np.ndarray
    air: np.ndarray


def find_head(slice):
    """All maps of a slice's head.

    Examples
    --------
    >>> found = find_head(np.pad(np.ones((20, 20), np.float32), 10))
    >>> print(found.depth_px[20, 9:13], found.brain[20, 9:15])
    [0. 1. 2. 3.] [False False False  True  True  True]
    """
    mask = head_mask(slice)
    depth_px = _depth(mask)
    inner = mask & (depth_px > RIM_SHARE * min(slice.shape))
    air = inner & (slice < _level(slice, AIR_LEVEL))
    return Head(mask, depth_px, brain_mask(slice, mask, inner), air)


def brain_mask(slice, mask, inner):
    """Roughly the brain: the largest evenly bright area of the head, bays and holes filled.

    Good enough to tell brain from scalp and skull, and mostly from face and neck; a neck as
    even as the phantom's passes for brain. No segmentation. The tumor belongs to it where it is
    not cut off by the skull.

    Parameters
    ----------
    slice : ndarray of float32, shape (height, width)
    mask : ndarray of bool, shape (height, width)
        The head.
    inner : ndarray of bool, shape (height, width)
        The head without scalp and skull: all that is returned if no even area is found
        (less than `MIN_BRAIN` of the head).

    Returns
    -------
    ndarray of bool, shape (height, width)
    """
    height, width = slice.shape
    shrink = max(1.0, min(slice.shape) / BRAIN_PX)
    size = round(width / shrink), round(height / shrink)
    low, high = _level(slice, 0), _level(slice, 1)
    if low == high:
        return inner
    image = cv2.resize((slice - low) / (high - low), size, interpolation=cv2.INTER_AREA)
    mean, square = cv2.blur(image, (5, 5)), cv2.blur(image * image, (5, 5))
    even = (mean > BRAIN_LEVELS[0]) & (mean < BRAIN_LEVELS[1])
    even &= square - mean * mean < BRAIN_SD**2
    even &= cv2.resize(inner.view(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT) > 0
    opened = cv2.morphologyEx(even.astype(np.uint8), cv2.MORPH_OPEN, regions.disc(3))
    largest = _largest_area(opened)
    if largest is None:
        return inner
    brain = _filled(cv2.dilate(_closed(largest, 8), regions.disc(1)))
    brain = cv2.resize(brain, (width, height), interpolation=cv2.INTER_NEAREST_EXACT) > 0
    brain &= mask
    return brain if np.count_nonzero(brain) >= MIN_BRAIN * np.count_nonzero(mask) else inner


def head_mask(slice):
    """Everything inside the outline of the head, sinuses and ventricles included.

    The largest connected area clearly brighter than air, its bays closed and its
    holes filled. Wrapped or neighboring tissue that touches the head counts as head.

    Parameters
    ----------
    slice : ndarray of float32, shape (height, width)
        Any intensity scale; the air around the head must be its darkest part.

    Returns
    -------
    ndarray of bool, shape (height, width)
        Empty if the slice is constant.

    Examples
    --------
    >>> head = np.pad(np.ones((20, 20), np.float32), 10)
    >>> head[18:22, 18:22] = 0  # a dark sinus
    >>> bool(head_mask(head)[10:30, 10:30].all())
    True
    """
    # Blurring by a pixel keeps the noise of the air from passing the level.
    blurred = cv2.GaussianBlur(np.asarray(slice, np.float32), (0, 0), 1)
    largest = _largest_area((blurred > _level(slice, HEAD_LEVEL)).astype(np.uint8))
    if largest is None:
        return np.zeros(slice.shape, bool)
    # Large enough to bridge the nostrils and the ear canals.
    closed = _closed(largest, max(1, round(min(slice.shape) / 45)))
    # The blurred outline lies a pixel outside the true one.
    return regions.dilate(_filled(closed).astype(bool), -1)


def _level(slice, share):
    air = slice.min()
    return air + share * (np.percentile(slice, 99) - air)


def _depth(mask):
    if mask.all():  # nothing to measure from
        return np.full(mask.shape, float(max(mask.shape)))
    return scipy.ndimage.distance_transform_edt(mask)


def _largest_area(image):
    """The largest connected area of an uint8 image, as uint8; None if there is none."""
    n_areas, areas, stats, _ = cv2.connectedComponentsWithStats(image, connectivity=4)
    if n_areas == 1:
        return None
    return (areas == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])).astype(np.uint8)


def _closed(image, reach):
    # Padded, since a closing glues whatever comes near the border to the border.
    closed = cv2.morphologyEx(np.pad(image, reach), cv2.MORPH_CLOSE, regions.disc(reach))
    return closed[reach:-reach, reach:-reach].copy()


def _filled(image):
    outlines, _ = cv2.findContours(image, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(image, outlines, -1, 1, cv2.FILLED)
    return image
