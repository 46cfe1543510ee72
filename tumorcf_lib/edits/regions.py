"""Regions of a slice: boolean masks grown, shrunk and bounded; and the errors of editing one."""

import cv2
import numpy as np


class InvalidEditError(ValueError):
    """A slice or mask that cannot be edited, or an infill that does not exist."""


class ImpossibleEditError(InvalidEditError):
    """Valid input for which this edit does not exist; `reason` says why in a few words."""

    reason = "impossible"


def dilate(mask, dilation_px):
    """The mask grown by `dilation_px` pixels in every direction, or shrunk if negative.

    The structuring element is the disc of all offsets at most `dilation_px` long:
    OpenCV's own "ellipse" is wider than a disc at these sizes. Pixels beyond the
    border count as neither: growing is cut there, and shrinking does not start there.

    Parameters
    ----------
    mask : ndarray of bool, shape (height, width)
    dilation_px : int

    Returns
    -------
    ndarray of bool, shape (height, width)
        Possibly empty if `dilation_px` is negative.

    Examples
    --------
    >>> dot = np.zeros((5, 5), bool)
    >>> dot[2, 2] = True
    >>> dilate(dot, 2).astype(int)
    array([[0, 0, 1, 0, 0],
           [0, 1, 1, 1, 0],
           [1, 1, 1, 1, 1],
           [0, 1, 1, 1, 0],
           [0, 0, 1, 0, 0]])
    >>> bool((dilate(dilate(dot, 2), -2) == dot).all())
    True
    """
    if dilation_px == 0:
        return mask.copy()
    grow = cv2.dilate if dilation_px > 0 else cv2.erode
    return grow(mask.astype(np.uint8), disc(abs(dilation_px))).astype(bool)


def dilate_square(mask):
    """The mask and the eight neighbors of each of its pixels.

    Examples
    --------
    >>> dilate_square(np.array([[True, False, False], [False] * 3])).astype(int)
    array([[1, 1, 0],
           [1, 1, 0]])
    """
    return cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)


def disc(radius_px):
    """All offsets at most `radius_px` long, as an uint8 kernel of side 2 * radius_px + 1.

    Examples
    --------
    >>> disc(1)
    array([[0, 1, 0],
           [1, 1, 1],
           [0, 1, 0]], dtype=uint8)
    """
    y, x = np.ogrid[-radius_px : radius_px + 1, -radius_px : radius_px + 1]
    return (y * y + x * x <= radius_px * radius_px).astype(np.uint8)


def bounding_box(mask):
    """Rows and columns that hold all True pixels: (top, bottom, left, right), ends excluded.

    Examples
    --------
    >>> bounding_box(np.array([[False, False, False], [False, True, True]]))
    (1, 2, 1, 3)
    """
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        raise InvalidEditError("An empty mask has no bounding box; check `mask.any()` first.")
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
