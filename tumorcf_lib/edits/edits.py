"""Every edit of a slice as a pure function of (slice, mask).

An edit takes a prepared slice (float32, z-scored) and a boolean mask, and returns
a new float32 array. Its inputs are never modified, and pixels that an edit does
not speak about keep their bits. "Air" is the slice's own minimum.

A mask may be empty. `remove` and `background` then return a copy of the slice;
`only` and `silhouette` return nothing but air. :mod:`edits.audit` does not
send such edits to the network but writes the reason into their row.
"""

import cv2
import numpy as np

from tumorcf_lib.edits.infills import INFILLS, Hole
from tumorcf_lib.edits.regions import ImpossibleEditError, InvalidEditError, bounding_box, dilate

RADIUS_PX = 3
"""How far, in pixels, an infill looks around a pixel that it fills (the paper's radius)."""

RING_PX = RADIUS_PX + 1
"""Pixels around a region that an infill reads, and to which its brightness is compared."""

SILHOUETTE_VALUE = 1.0
"""Brightness (z-score) of every silhouette: the round number below the mean tumor, about 1.2."""


class NothingToInpaintFromError(ImpossibleEditError):
    """The region to remove covers the whole slice: no pixel is left to fill it from."""

    reason = "nothing to inpaint from"


def remove(slice, mask, *, infill="navier_stokes", radius_px=RADIUS_PX, dilation_px=0):
    """The slice with the masked region filled in from its surroundings.

    Parameters
    ----------
    slice : ndarray of float32, shape (height, width)
    mask : ndarray of bool, shape (height, width)
        True where the tumor (or the sham) is.
    infill : str
        A key of `INFILLS`.
    radius_px : int
        How far around each filled pixel the infill looks.
    dilation_px : int
        Grows (or, if negative, shrinks) the mask first, see :func:`dilate`.

    Returns
    -------
    ndarray of float32, shape (height, width)
        Bit-identical to `slice` outside the dilated mask; a copy if that is empty.

    Raises
    ------
    NothingToInpaintFromError
        If the dilated mask covers the slice.
    InvalidEditError
        For inputs of the wrong type or size, or an unknown infill.

    References
    ----------
    Bertalmio, Bertozzi and Sapiro, "Navier-Stokes, fluid dynamics, and image and
    video inpainting", CVPR 2001; as in ``cv2.inpaint``. Other infills: see
    :mod:`edits.infills`.

    Examples
    --------
    >>> brain = np.ones((9, 9), np.float32)
    >>> brain[4, 4] = 3
    >>> print(remove(brain, brain > 2)[4, 4])
    1.0
    """
    _check(slice, mask)
    if infill not in INFILLS:
        raise InvalidEditError(f"No infill {infill!r}; choose one of: {', '.join(INFILLS)}.")
    region = dilate(mask, dilation_px)
    edited = slice.copy()
    if not region.any():
        return edited
    if region.all():
        raise NothingToInpaintFromError(
            f"The region to remove covers all {region.size} pixels of the slice, so nothing is "
            "left to fill it from; check the mask, or dilate it less."
        )
    # The infill only ever looks radius + 1 pixels around the region, so this crop
    # gives the same bits as the whole slice, in a fraction of the time.
    crop = _crop_around(region, radius_px + 1)
    inside = region[crop]
    corner = crop[0].start, crop[1].start
    filled = INFILLS[infill](Hole(slice[crop].copy(), inside, radius_px, corner))
    edited[crop][inside] = filled[inside]
    return edited


def only(slice, mask):
    """The masked region as it is, on air; nothing but air if the mask is empty.

    Parameters and errors as in :func:`remove`.

    Examples
    --------
    >>> print(only(np.float32([[0, 5, 7]]), np.array([[False, True, False]])))
    [[0. 5. 0.]]
    """
    _check(slice, mask)
    return np.where(mask, slice, slice.min())


def background(slice, mask):
    """The slice with the masked region set to air, nothing inpainted.

    Parameters and errors as in :func:`remove`; a copy if the mask is empty.

    Examples
    --------
    >>> print(background(np.float32([[0, 5, 7]]), np.array([[False, True, False]])))
    [[0. 0. 7.]]
    """
    _check(slice, mask)
    return np.where(mask, slice.min(), slice)


def silhouette(slice, mask, *, value=SILHOUETTE_VALUE):
    """The mask alone, in one brightness, on air: what shape and place give away.

    The brightness is the same for all slices, but the air around it is the slice's
    own, as in :func:`only`. Parameters and errors as in :func:`remove`.

    Examples
    --------
    >>> print(silhouette(np.float32([[0, 5, 7]]), np.array([[False, True, False]])))
    [[0. 1. 0.]]
    """
    _check(slice, mask)
    return np.where(mask, np.float32(value), slice.min())


def blank(slice):
    """A slice of nothing but its own air: where a network falls when shown nothing.

    Examples
    --------
    >>> print(blank(np.float32([[0, 5, 7]])))
    [[0. 0. 0.]]
    """
    return np.full_like(slice, slice.min())


def edit_rms(original, edited):
    """Root mean square of the change, over all pixels of the slice.

    Parameters
    ----------
    original, edited : ndarray of one float type, shape (height, width)

    Returns
    -------
    float
        In the slices' unit (standard deviations); higher means a larger change.

    Examples
    --------
    >>> edit_rms(np.zeros((2, 2)), np.array([[0, 2.0], [0, 0]]))
    1.0
    """
    # OpenCV sums in double without the temporary arrays: a tenth of NumPy's time.
    return cv2.norm(original, edited, cv2.NORM_L2) / original.size**0.5


def _crop_around(region, margin_px):
    top, bottom, left, right = bounding_box(region)
    return (
        slice(max(top - margin_px, 0), bottom + margin_px),
        slice(max(left - margin_px, 0), right + margin_px),
    )


def _check(slice, mask):
    if slice.ndim != 2 or slice.dtype != np.float32:
        raise InvalidEditError(
            f"An edit needs a float32 slice (height, width), got {slice.dtype} {slice.shape}; "
            "prepare it with preprocess.network_input first."
        )
    if mask.shape != slice.shape or mask.dtype != bool:
        raise InvalidEditError(
            f"An edit needs a bool mask of the slice's shape {slice.shape}, "
            f"got {mask.dtype} {mask.shape}; prepare it with preprocess.resize_mask first."
        )
