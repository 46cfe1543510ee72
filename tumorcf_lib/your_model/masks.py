"""One mask out of one file: which values are tumor, and on whose grid."""

from pathlib import Path

import numpy as np

from tumorcf_lib.your_model import InputError, images

FEW_VALUES = 16
"""A mask of at most so many whole numbers holds labels; one of more is a soft one or a picture."""

MAX_BETWEEN = 0.25
"""Share of a slice that may lie between a tenth and nine tenths of a soft mask's range."""


def read_mask(path, *, like=None, index=None, axis=2, labels=""):
    """One mask and what had to be done to read it.

    Parameters
    ----------
    path : path
    like : path, optional
        Of the slice: a NIfTI mask is brought to the grid of a NIfTI slice where flips, swaps of
        axes and whole steps do that exactly.
    index, axis
        As in :func:`read_slice`.
    labels : str
        Which values are tumor, such as "1 4" or ">0.5"; all but 0 if empty.

    Returns
    -------
    mask : ndarray of bool, shape (height, width)
    notes : list of str
        Such as "many values: above half the largest counts as tumor".
    """
    path = Path(path)
    volumes = (
        images.kind_of(path) in images.VOLUMES,
        like is not None and images.kind_of(Path(like)) in images.VOLUMES,
    )
    notes = []
    if all(volumes) and index is not None:
        array, moved = _read_on_grid(path, Path(like), index, axis)
        notes += ["brought to the slice's grid by the files' affines"] if moved else []
    else:
        own = index if volumes[0] or images.kind_of(path) in images.DICOM else None
        array = images.read(path, own, axis, None, palette=True)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(
            f"expected finite numbers in the mask {path}, got NaN or infinite ones. Write 0 "
            "outside the tumor, anything else inside."
        )
    mask, note = _inside(array, labels, path)
    return mask, notes + ([note] if note else [])


def _inside(array, labels, path):
    """Where a mask is tumor, and how that was decided."""
    if array.ndim == 3:
        colors = np.unique(array.reshape(-1, array.shape[2]), axis=0)
        if len(colors) > FEW_VALUES and not (array == array[..., :1]).all():
            raise InputError(
                f"expected a mask in {path}, got a picture of {len(colors)} colors: an overlay? "
                "Write the tumor alone: 0 outside, one value inside."
            )
        array = array.max(axis=2) if (array >= 0).all() else (array != 0).any(axis=2)
    if array.dtype.kind == "b":
        return array, ""
    values = np.unique(array)
    if labels.startswith(">"):
        return array > float(labels[1:]), ""
    if labels:
        return np.isin(array, [int(n) for n in labels.replace("+", " ").split()]), ""
    whole = array.dtype.kind in "ui" or (values == np.rint(values)).all()
    if len(values) <= 2 and (len(values) == 1 or 0 in values):
        return array != 0, ""
    if whole and len(values) <= FEW_VALUES and np.abs(values).max() <= 2 * FEW_VALUES:
        inside = ", ".join(f"{v:g}" for v in values if v)
        return array != 0, f"labels {inside}: all count as tumor (a column mask_label chooses)"
    low, high = min(0, values[0]), values[-1]
    if low < 0:
        return array != 0, ""
    inside = array > high / 2
    between = (array > 0.1 * high) & (array < 0.9 * high)
    if between.mean() > MAX_BETWEEN or between.sum() > inside.sum():
        raise InputError(
            f"expected a mask in {path}, got {len(values)} values from {values[0]:g} to {high:g}, "
            f"{between.sum()} pixels neither in nor out: a soft mask, or a picture? Write the "
            "tumor alone, or say above what it begins in a column mask_label, such as >0.5."
        )
    if len(values) <= FEW_VALUES and whole and between.any():  # none between: a JPEG's ringing
        return array != 0, f"{len(values)} values: all but 0 count as tumor"
    return inside, "many values (a JPEG, soft edges): above half the largest counts as tumor"


def _read_on_grid(path, like, index, axis):
    """A slice of a mask's volume on the grid of another volume, and whether it had to be moved."""
    import nibabel

    mask, image = nibabel.load(path), nibabel.load(like)
    known = [v.header.get("sform_code", 1) or v.header.get("qform_code", 1) for v in (mask, image)]
    step = np.linalg.solve(mask.affine, image.affine)  # from the slice's voxels to the mask's
    shape = image.shape[:3]
    if not all(known) or np.allclose(step, np.eye(4), atol=1e-2) or axis > 2:
        if mask.shape[:3] != shape and all(known):
            raise _of_other_grid(path, mask, image, "of another shape")
        return images.read_nifti(path, index, axis, None), False
    whole = np.rint(step).astype(int)
    if not np.allclose(step, whole, atol=1e-2) or (np.abs(whole[:3, :3]).sum(axis=0) != 1).any():
        raise _of_other_grid(path, mask, image, "turned or scaled")
    at = [np.array([index]) if k == axis else np.arange(n) for k, n in enumerate(shape)]
    grid = np.stack(np.meshgrid(*at, indexing="ij")).reshape(3, -1)  # (3, n_pixels)
    voxels = whole[:3, :3] @ grid + whole[:3, 3:]
    inside = ((voxels >= 0) & (voxels < np.array(mask.shape[:3])[:, None])).all(axis=0)
    if not inside.all():
        raise _of_other_grid(path, mask, image, "beside it")
    data = np.asanyarray(mask.dataobj).reshape(mask.shape[:3])
    array = data[tuple(voxels)].reshape([n for k, n in enumerate(shape) if k != axis])
    return array, True


def _of_other_grid(path, mask, image, how):
    words = [f"{v.shape[:3]} {np.round(v.affine, 4).tolist()}" for v in (mask, image)]
    return InputError(
        f"expected the mask {path} on its slice's grid, got one {how}: shape and affine of the "
        f"mask {words[0]}, of the slice {words[1]}. Resample the mask to the slice's grid (nearest "
        "neighbor), or correct the affine that is wrong."
    )
