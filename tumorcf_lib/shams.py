"""Sham places: where else in the head a tumor-shaped hole could be.

A sham is the removal mask of a slice, moved and possibly mirrored, at a place that
is all head and no tumor. Removing it with the same infill asks what the *removal*
does to the network, whatever was removed. Every legal place is found, exactly.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import scipy.fft

from tumorcf_lib import edits

CLEARANCE_PX = edits.RADIUS_PX + 1
"""Free pixels between a sham and the tumor: no sham pixel within this distance of it.

An infill looks `RADIUS_PX` around each pixel it fills, and Navier-Stokes takes
gradients there, which reach one pixel further. Beyond that distance not a single
tumor pixel feeds the filling, so a sham removal is blind to the tumor.
"""

NO_PLACE = "no legal place"
"""The reason written into an audit row when a slice has no legal sham place."""

HEAD_LEVEL = 0.12
"""Brightness that counts as head: this share of the way from air to the 99th percentile."""


class InvalidPlaceError(ValueError):
    """A place that puts the moved mask beyond the slice."""


@dataclass(frozen=True)
class Place:
    """Where a mask is moved to.

    The mask is mirrored left-right within its own bounding box if `mirrored`, then
    moved down by `offset_y` and right by `offset_x` pixels.
    """

    offset_y: int
    offset_x: int
    mirrored: bool = False


def move(mask, place):
    """The mask at another place.

    Parameters
    ----------
    mask : ndarray of bool, shape (height, width)
        Not empty.
    place : Place

    Returns
    -------
    ndarray of bool, shape (height, width)

    Raises
    ------
    InvalidPlaceError
        If a part of the moved mask would leave the slice.

    Examples
    --------
    >>> mask = np.array([[True, True, False], [True, False, False], [False] * 3])
    >>> move(mask, Place(1, 1, mirrored=True)).astype(int)
    array([[0, 0, 0],
           [0, 1, 1],
           [0, 0, 1]])
    """
    shape, top, left = _shape_of(mask)
    top, left = top + int(place.offset_y), left + int(place.offset_x)
    bottom, right = top + shape.shape[0], left + shape.shape[1]
    if min(top, left) < 0 or bottom > mask.shape[0] or right > mask.shape[1]:
        raise InvalidPlaceError(
            f"{place} puts the mask's bounding box at rows {top}:{bottom}, columns {left}:{right}, "
            f"beyond the slice of shape {mask.shape}; was the place drawn for another mask?"
        )
    moved = np.zeros_like(mask)
    moved[top:bottom, left:right] = shape[:, ::-1] if place.mirrored else shape
    return moved


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
    air, bright = slice.min(), np.percentile(slice, 99)
    level = air + HEAD_LEVEL * (bright - air)
    # Blurring by a pixel keeps the noise of the air from passing the level.
    above = cv2.GaussianBlur(np.asarray(slice, np.float32), (0, 0), 1) > level
    n_areas, areas, stats, _ = cv2.connectedComponentsWithStats(
        above.astype(np.uint8), connectivity=4
    )
    if n_areas == 1:
        return np.zeros(slice.shape, bool)
    largest = 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])
    # Large enough to bridge the nostrils and the ear canals.
    reach = max(1, round(min(slice.shape) / 45))
    # Padded, since a closing glues whatever comes near the border to the border.
    padded = np.pad((areas == largest).astype(np.uint8), reach)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, edits.disc(reach))
    closed = closed[reach:-reach, reach:-reach].copy()
    outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(closed, outlines, -1, 1, cv2.FILLED)
    # The blurred outline lies a pixel outside the true one.
    return edits.dilate(closed.astype(bool), -1)


def legal_places(mask, head, *, tumor=None, clearance_px=CLEARANCE_PX):
    """Every place where the mask fits into the head without coming near the tumor.

    Parameters
    ----------
    mask : ndarray of bool, shape (height, width)
        The removal mask whose shape is moved.
    head : ndarray of bool, shape (height, width)
        The moved mask has to lie in it, wholly.
    tumor : ndarray of bool, shape (height, width), optional
        What the moved mask must stay away from; `mask` itself if not given. They
        differ when the removal mask is a dilated tumor.
    clearance_px : int
        Every pixel of the moved mask is further than this from every tumor pixel
        (Euclidean, between pixel centers); 0 forbids overlap only.

    Returns
    -------
    ndarray of int, shape (n_places, 3)
        Columns offset_y, offset_x, mirrored (0 or 1): first all unmirrored places,
        row by row, then the mirrored ones. A mask that is its own mirror image has
        no mirrored places, so that all moved masks differ. Empty if `mask` is.

    Notes
    -----
    The overlap of the mask with forbidden pixels is a correlation, computed for all
    offsets by FFT. Overlaps are whole numbers and the error of single precision
    stays below 0.05 at 512 pixels, so comparing with 0.5 is exact.

    Examples
    --------
    >>> mask = np.array([[True, False, False, False, False, False]])
    >>> head = np.array([[True, True, True, True, True, False]])
    >>> legal_places(mask, head, clearance_px=2)
    array([[0, 3, 0],
           [0, 4, 0]])
    """
    if not mask.any():
        return np.zeros((0, 3), np.int64)
    shape, top, left = _shape_of(mask)
    near = edits.dilate(mask if tumor is None else tumor, clearance_px)
    overlaps = _overlaps(shape, near | ~head)  # (1 or 2, n_tops, n_lefts)
    mirrored, tops, lefts = np.nonzero(overlaps < 0.5)
    return np.stack([tops - top, lefts - left, mirrored], axis=1)


def draw_places(places, n, rng):
    """Some of the legal places, all equally likely, without repetition.

    Parameters
    ----------
    places : ndarray of int, shape (n_places, 3)
        From :func:`legal_places`.
    n : int
        How many to draw.
    rng : numpy.random.Generator

    Returns
    -------
    list of Place
        Distinct; fewer than `n` if fewer exist, empty if there is none. The first
        places do not depend on `n`: asking for more adds to what one had.

    Examples
    --------
    >>> draw_places(np.array([[4, -7, 1]]), 3, np.random.default_rng(0))
    [Place(offset_y=4, offset_x=-7, mirrored=True)]
    """
    drawn = {}  # insertion-ordered
    while len(drawn) < min(n, len(places)):
        drawn[int(rng.integers(len(places)))] = None
    return [Place(int(y), int(x), bool(mirrored)) for y, x, mirrored in places[list(drawn)]]


def rng_for(seed, slice_id):
    """A generator that depends on the seed and the slice's ID alone, not on its neighbors.

    Examples
    --------
    >>> draws = [rng_for(0, slice_id).integers(1000) for slice_id in ("17", 17, "18")]
    >>> bool(draws[0] == draws[1] != draws[2])
    True
    """
    return np.random.default_rng([seed, *str(slice_id).encode()])


def _shape_of(mask):
    top, bottom, left, right = edits.bounding_box(mask)
    return mask[top:bottom, left:right], top, left


def _overlaps(shape, forbidden):
    """Forbidden pixels under the shape, and under its mirror image, at every position."""
    height, width = forbidden.shape
    shapes = [shape]
    if (shape != shape[:, ::-1]).any():
        shapes.append(shape[:, ::-1])
    # Positions at which the shape sticks out are not asked for, so nothing wraps
    # around and the transform needs no padding beyond a fast length.
    size = [scipy.fft.next_fast_len(side, real=True) for side in forbidden.shape]
    spectrum = scipy.fft.rfft2(forbidden.astype(np.float32), size)
    overlaps = [
        scipy.fft.irfft2(spectrum * scipy.fft.rfft2(s.astype(np.float32), size).conj(), size)
        for s in shapes
    ]
    valid = height - shape.shape[0] + 1, width - shape.shape[1] + 1
    return np.stack(overlaps)[:, : valid[0], : valid[1]]
