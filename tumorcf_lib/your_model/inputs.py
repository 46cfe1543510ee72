"""From slices as stored to what a classifier gets: one scale, one size, air that edits can see."""

import cv2
import numpy as np
from tqdm import tqdm

from tumorcf_lib.data import preprocess
from tumorcf_lib.data.cohort import Cohort
from tumorcf_lib.edits import plan
from tumorcf_lib.your_model import InputError

SCALES = ("zscore", "unit", "raw")
ZSCORE_ONLY = ("original_refit", "remove_refit", "silhouette")
AIR_GAP = 0.05  # how far below the darkest pixel air is put while edits are made, of the range


def prepare(cohort, *, size_px=224, scale="zscore", fit="pad", air=None, progress=False) -> Cohort:
    """The cohort as a classifier gets it: float32, one size, on the scale it was trained on.

    Parameters
    ----------
    cohort : Cohort
        Slices as stored.
    size_px : int, pair of int, or None
        Side of the squares, or (height, width), that they are resized to; None keeps them as
        they are, which needs slices of one size.
    scale : {"zscore", "unit", "raw"}
        What the pixels are mapped to, slice by slice and channel by channel, before the resize.
        "zscore": clipped to the 1st and 99th percentile, then mean 0, standard deviation 1 (the
        study's own, as :func:`data.preprocess.prepare`). "unit": the minimum to 0, the maximum
        to 1. "raw": as stored; the rest (division by 255) is done in `predict`.
    fit : {"pad", "stretch"}
        What is done to slices of another shape: padded with their own air, or stretched.
    air : float, optional
        The stored value of air where that is not the slice's minimum (skull-stripped, z-scored
        slices have 0 there). Needs ``scale="raw"``. Such pixels are put a little below the
        darkest one, so that edits see air; :func:`with_air` undoes that for the classifier.
    progress : bool

    Returns
    -------
    Cohort
        Slices float32, (n, height, width) or (n, height, width, channels), masks bool
        (n, height, width), in memory. Edits act on these, so pixels that an edit does not
        change reach the classifier unchanged.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"slice_id": [1], "label": [0], "patient_id": "A",
    ...                       "person_id": "A"})
    >>> toy = Cohort("toy", np.array([[[0, 50], [100, 200]]]), np.ones((1, 2, 2), bool), table,
    ...              ("glioma",), "four pixels")
    >>> prepare(toy, size_px=None, scale="unit").slices.tolist()
    [[[0.0, 0.25], [0.5, 1.0]]]
    """
    if scale not in SCALES:
        raise InputError(f"There is no scale {scale!r}; choose one of: {', '.join(SCALES)}.")
    if air is not None and scale != "raw":
        raise InputError(f"--air {air:g} needs --scale raw, got {scale}: air is a stored value.")
    size = (size_px, size_px) if isinstance(size_px, int) else size_px
    slices, found = [], []
    for i in tqdm(range(len(cohort)), desc="preparing slices", disable=not progress):
        try:
            image, mask = np.asarray(cohort.slices[i]), np.asarray(cohort.masks[i])
            is_air = np.zeros(mask.shape, bool) if air is None else _at_air(image, air)
            image = _by_channel(image, lambda one: _fitted(_on_scale(one, scale), size, fit))
            if air is not None:
                is_air = _fitted(is_air, size, fit) & _at_air(image, air)
                low, high = image.min(), np.percentile(image, 99)
                image[is_air] = low - AIR_GAP * max(high - low, 1e-3)
            slices.append(image)
            found.append(_fitted(mask, size, fit))
        except preprocess.InvalidSliceError as error:
            slice_id = cohort.table["slice_id"].iloc[i]
            raise InputError(f"Slice {slice_id} of {cohort.name}: {error}") from error
    shapes = {image.shape for image in slices}
    if len(shapes) > 1:
        raise InputError(
            f"Expected slices of one size and number of channels, {cohort.name} has "
            f"{sorted(shapes, key=str)[:4]}. Give --size, and a column channel."
        )
    return Cohort(
        cohort.name, np.stack(slices), np.stack(found), cohort.table, cohort.classes, cohort.source
    )


def with_air(predict, air):
    """A `predict` that is shown air at its stored value again; see :func:`prepare`."""
    if air is None:
        return predict

    def shown(slices):
        axes = tuple(range(1, slices.ndim))
        lowest = slices.min(axis=axes, keepdims=True)
        return predict(np.where(slices == lowest, np.float32(air), slices))

    return shown


def headline_edits(scale="zscore"):
    """The headline edits that make sense on a scale, for :func:`edits.audit.audit`.

    ``original_refit``, ``remove_refit`` and ``silhouette`` are defined on z-scores and left out
    on other scales. Add :func:`edits.plan.control_edits` for other infills and dilations.

    Examples
    --------
    >>> [edit.name for edit in headline_edits("raw")]
    ['original', 'remove', 'only', 'background', 'blank', 'sham', 'sham_only']
    """
    leave_out = () if scale == "zscore" else ZSCORE_ONLY
    return tuple(edit for edit in plan.HEADLINE_EDITS if edit.name not in leave_out)


def _by_channel(image, change):
    if image.ndim == 2:
        return change(image)
    return np.stack([change(image[..., k]) for k in range(image.shape[2])], axis=2)


def _on_scale(image, scale):
    if scale == "zscore":
        return preprocess.fit_intensity_map(image)(image)
    image = np.asarray(image).astype(np.float32)
    if scale == "raw":
        return image
    low, high = image.min(), image.max()
    return (image - low) / (high - low) if high > low else np.zeros_like(image)


def _fitted(image, size, fit):
    """A slice (float32) or mask (bool) at a size; squares by padding are the study's own."""
    if size is None or image.shape == tuple(size):
        return image
    height, width = size
    is_mask = image.dtype == bool
    if height == width and (fit == "pad" or image.shape[0] == image.shape[1]):
        resize = preprocess.resize_mask if is_mask else preprocess.resize_slice
        return resize(image, height)
    if min(height, width) < 1:
        raise preprocess.InvalidSliceError(f"size_px is from 1 up, not {size!r}.")
    if fit == "pad":  # to the proportions wanted, centered
        tall = max(image.shape[0], round(image.shape[1] * height / width))
        wide = max(image.shape[1], round(image.shape[0] * width / height))
        whole = np.full((tall, wide), image.min() if not is_mask else False, image.dtype)
        top, left = (tall - image.shape[0]) // 2, (wide - image.shape[1]) // 2
        whole[top : top + image.shape[0], left : left + image.shape[1]] = image
        image = whole
    if is_mask:
        under = [((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(size, image.shape)]
        return image[np.ix_(*under)]
    smaller = image.shape[0] * image.shape[1] > height * width
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    resized = cv2.resize(image, (width, height), interpolation=method)
    return np.clip(resized, image.min(), image.max())


def _at_air(image, air):
    near = np.abs(image - np.float32(air)) <= 1e-5 * max(1.0, abs(air))
    return near.all(axis=2) if near.ndim == 3 else near
