"""From a slice as stored to a network input: clip, min-max, z-score, resize.

The intensity map is fitted once, on the original slice. Edits are made after it, on
the network input, so a pixel that an edit leaves alone keeps its exact bits.
"""

import dataclasses
import math
from dataclasses import dataclass

import cv2
import numpy as np
from tqdm import tqdm


class InvalidSliceError(ValueError):
    """A slice that cannot become a network input."""


def _as_image(slice):
    """The slice as float64 (height, width), or an InvalidSliceError that says why not."""
    image = np.asarray(slice, np.float64)
    n_bad = image.size - np.count_nonzero(np.isfinite(image))
    if n_bad:
        raise InvalidSliceError(
            f"All pixels must be finite; {n_bad} of {image.size} are NaN or infinite. "
            "Repair or leave out this slice."
        )
    return image


@dataclass(frozen=True)
class IntensityMap:
    """Clip to [low, high], min-max to [0, 1], then (value - mean) / std.

    Made by :func:`fit_intensity_map`; calling it maps a slice of any size. ``low`` and
    ``high`` are on the slice's own scale, ``mean`` and ``std`` on [0, 1]. A map of a
    slice without contrast (``std`` 0) sends every pixel to 0.

    Examples
    --------
    >>> to_z = IntensityMap(low=0.0, high=200.0, mean=0.5, std=0.25)
    >>> to_z(np.array([[-10, 0, 100, 200, 999]]))
    array([[-2., -2.,  0.,  2.,  2.]], dtype=float32)
    """

    low: float
    high: float
    mean: float
    std: float

    def __call__(self, slice):
        """The mapped slice, float32, same shape."""
        image = _as_image(slice)
        if self.std == 0:
            return np.zeros(image.shape, np.float32)
        scaled = (np.clip(image, self.low, self.high) - self.low) / (self.high - self.low)
        return ((scaled - self.mean) / self.std).astype(np.float32)


def fit_intensity_map(slice):
    """The intensity map of one slice, to be frozen and reused for all its edits.

    Clips at the paper's 1st and 99th percentile. Where both agree (a constant slice,
    or air but for fewer than 1 % of the pixels) the map sends everything to 0.

    >>> fitted = fit_intensity_map(np.arange(101).reshape(1, 101))
    >>> fitted.low, fitted.high
    (1.0, 99.0)
    """
    image = _as_image(slice)
    lowest, highest = float(image.min()), float(image.max())
    if math.isinf(highest - lowest):
        raise InvalidSliceError(
            f"Pixels from {lowest:g} to {highest:g} span more than a float64 holds. Rescale them."
        )
    low, high = (float(value) for value in np.percentile(image, (1, 99)))
    if not high > low:
        return IntensityMap(low, low, 0.0, 0.0)
    scaled = (np.clip(image, low, high) - low) / (high - low)
    return IntensityMap(low, high, float(scaled.mean()), float(scaled.std()))


def fitted(image, size, *, fit="pad"):
    """A slice (float32) or mask (bool) at a size (height, width): slices by area averaging down and
    bilinearly up, masks by nearest neighbor. "pad" first brings it to the proportions wanted,
    centered on its own air (its minimum), an odd rest below or right; "stretch" does not."""
    if image.shape == size:
        return image
    (height, width), is_mask = size, image.dtype == bool
    low, high = image.min(), image.max()
    if fit == "pad":
        tall = max(image.shape[0], round(image.shape[1] * height / width))
        wide = max(image.shape[1], round(image.shape[0] * width / height))
        above, left = (tall - image.shape[0]) // 2, (wide - image.shape[1]) // 2
        around = (above, tall - image.shape[0] - above), (left, wide - image.shape[1] - left)
        image = np.pad(image, around, constant_values=False if is_mask else low)
    if is_mask:
        # By whole numbers: OpenCV's ties, a center on an edge, differ between its versions
        under = [(2 * np.arange(n) + 1) * m // (2 * n) for n, m in zip(size, image.shape)]
        return image[np.ix_(*under)]
    if image.shape == size:
        return image
    smaller = image.shape[0] * image.shape[1] > height * width
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    resized = cv2.resize(image, (width, height), interpolation=method)
    # Weights that sum to one up to rounding can leave the range by a bit; air must stay the minimum
    return np.clip(resized, low, high)


def resize_slice(slice, size_px):
    """The slice at ``size_px`` by ``size_px``, float32: area averaging down, bilinear up.

    A slice that is not square is first padded with its own air (its minimum), centered.

    >>> resize_slice(np.array([[0, 0, 4, 4], [0, 0, 4, 8], [1, 1, 2, 2], [1, 1, 2, 2]]), 2)
    array([[0., 5.],
           [1., 2.]], dtype=float32)
    """
    return fitted(_as_image(slice).astype(np.float32), (size_px, size_px))


def resize_mask(mask, size_px):
    """The mask at ``size_px`` by ``size_px`` by nearest neighbor, padded as its slice is.

    The pixel taken is the one under the new pixel's center, so that mask and slice stay
    aligned. A structure thinner than a new pixel may vanish.

    >>> resize_mask(np.array([[True, False], [False, True]]), 4).astype(int)
    array([[1, 1, 0, 0],
           [1, 1, 0, 0],
           [0, 0, 1, 1],
           [0, 0, 1, 1]])
    """
    return fitted(mask, (size_px, size_px))


def network_input(slice, size_px):
    """One slice as the network sees it: clip, min-max, z-score, resize; float32.

    Mean 0 and standard deviation 1 before the resize; all zeros without contrast. Pixels
    multiplied by a positive factor or shifted give the same.
    """
    return resize_slice(fit_intensity_map(slice)(slice), size_px)


def refit(edited):
    """An edited network input with an intensity map of its own: the sensitivity check.

    Fitting it again after a bright tumor is gone shifts every other pixel.
    """
    return fit_intensity_map(edited)(edited)


def steps(slice, size_px):
    """A slice after every step on its way to the network, for looking at: {step: image}.

    "as stored", "clipped", "0 to 1", "z-scored" at its own size, then "network input".
    """
    image, fitted = _as_image(slice), fit_intensity_map(slice)
    clipped = np.clip(image, fitted.low, fitted.high)
    span = fitted.high - fitted.low or 1.0
    return {
        "as stored": image,
        "clipped": clipped,
        "0 to 1": (clipped - fitted.low) / span,
        "z-scored": fitted(slice),
        "network input": network_input(slice, size_px),
    }


def shift_outside(original, edited, mask):
    """Largest change of a pixel outside the mask, in the unit of the slices; 0 if none changed.

    Examples
    --------
    >>> mask = np.array([[True, False]])
    >>> float(shift_outside(np.float32([[5, 1]]), np.float32([[0, 1.5]]), mask))
    0.5
    """
    return np.max(np.abs(edited - original), where=~mask, initial=0)


def prepare(cohort, size_px, *, out_slices=None, out_masks=None, progress=False):
    """A cohort of network inputs: what every later stage edits, trains on and audits.

    Parameters
    ----------
    cohort : Cohort
        Slices as stored, sizes may differ.
    size_px : int
        Side of the network input.
    out_slices, out_masks : ndarray or memmap, optional
        float32 and bool, shape (n, size_px, size_px), filled in place: for results that
        should live on disk.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Cohort
        Same table; ``slices`` float32, ``masks`` bool, both (n, size_px, size_px).
    """
    shape = (len(cohort), size_px, size_px)
    slices = np.empty(shape, np.float32) if out_slices is None else out_slices
    masks = np.empty(shape, bool) if out_masks is None else out_masks
    for i in tqdm(range(len(cohort)), desc="preparing slices", disable=not progress):
        try:
            slices[i] = network_input(cohort.slices[i], size_px)
            masks[i] = resize_mask(cohort.masks[i], size_px)
        except InvalidSliceError as error:
            slice_id = cohort.table["slice_id"].iloc[i]
            raise InvalidSliceError(f"Slice {slice_id} of {cohort.name}: {error}") from error
    return dataclasses.replace(cohort, slices=slices, masks=masks)
