"""Every edit of a slice as a pure function of (slice, mask).

An edit takes a prepared slice (float32, z-scored) and a boolean mask, and returns
a new float32 array. Its inputs are never modified, and pixels that an edit does
not speak about keep their bits. "Air" is the slice's own minimum.

A mask may be empty. `remove` and `background` then return a copy of the slice;
`only` and `silhouette` return nothing but air. :mod:`tumorcf_lib.audit` does not
send such edits to the network but writes the reason into their row.
"""

import cv2
import numpy as np

RADIUS_PX = 3
"""How far, in pixels, an infill looks around a pixel that it fills (the paper's radius)."""

SILHOUETTE_VALUE = 1.0
"""Brightness (z-score) of every silhouette: the round number below the mean tumor, about 1.2."""


class InvalidEditError(ValueError):
    """A slice or mask that cannot be edited, or an infill that does not exist."""


class ImpossibleEditError(InvalidEditError):
    """Valid input for which this edit does not exist; `reason` says why in a few words."""

    reason = "impossible"


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
    video inpainting", CVPR 2001; as in ``cv2.inpaint``.

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
    filled = INFILLS[infill](slice[crop].copy(), inside, radius_px)
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


def _crop_around(region, margin_px):
    top, bottom, left, right = bounding_box(region)
    return (
        slice(max(top - margin_px, 0), bottom + margin_px),
        slice(max(left - margin_px, 0), right + margin_px),
    )


def _navier_stokes(values, region, radius_px):
    # Within a pixel of the slice's border OpenCV reads what is under the mask, and the
    # tumor would leak into its own removal. Elsewhere this changes no bit.
    values[region] = values[~region].mean()
    return cv2.inpaint(values, region.astype(np.uint8), radius_px, cv2.INPAINT_NS)


INFILLS = {"navier_stokes": _navier_stokes}
"""Name -> function (values, region, radius_px) -> filled values, all of one crop's shape.

`values` is the function's own copy. A crop holds the region and radius_px + 1 pixels
around it, and at least one pixel outside the region; an infill's values outside the
region are ignored.
"""


def _check(slice, mask):
    if slice.ndim != 2 or slice.dtype != np.float32:
        raise InvalidEditError(
            f"An edit needs a float32 slice (height, width), got {slice.dtype} {slice.shape}; "
            "prepare it with preprocess.network_input first."
        )
    if mask.shape != slice.shape or mask.dtype != bool:
        raise InvalidEditError(
            f"An edit needs a bool mask of the slice's shape {slice.shape}, "
            f"got {mask.dtype} {mask.shape}; prepare it with preprocess.network_mask first."
        )
