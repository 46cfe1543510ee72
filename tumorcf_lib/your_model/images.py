"""One slice out of one file: PNG, TIFF, JPEG, BMP, NPY or NIfTI, gray or in color."""

import math
import warnings
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError

PICTURES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
VOLUMES = (".nii", ".nii.gz")
LUMINANCE = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue (ITU-R BT.601, as in OpenCV)."""

MAX_PIXELS = 2**26
"""Of a slice, 8192 x 8192: a header that states more is damaged, or meant to fill the memory."""


class UnreadableImageError(ValueError):
    """A file that is missing, cannot be read, or holds no single slice."""


def read_slice(path, *, index=None, axis=2):
    """One slice as stored, gray.

    Parameters
    ----------
    path : path
    index : int, optional
        Which slice of a NIfTI volume, from 0.
    axis : {0, 1, 2}
        Across which axis of the volume.

    Returns
    -------
    slice : ndarray of int or float, shape (height, width), finite
        Color images of three equal channels become that channel, others their luminance
        (float32).
    in_color : bool
        Whether the channels differed.

    Raises
    ------
    UnreadableImageError
        Saying what was expected, what came, and what to do.
    """
    image, in_color = _to_gray(_read(Path(path), index, axis), path)
    n_bad = image.size - np.count_nonzero(np.isfinite(image))
    if n_bad:
        raise UnreadableImageError(
            f"expected finite pixels in {path}, got {n_bad} of {image.size} NaN or infinite. "
            "Repair the slice or leave it out."
        )
    return image, in_color


def read_mask(path, *, index=None, axis=2):
    """One mask, bool (height, width): True where the file is not zero (in any channel)."""
    image = _read(Path(path), index, axis)
    if not np.isfinite(image).all():
        raise UnreadableImageError(
            f"expected finite numbers in the mask {path}, got NaN or infinite ones. Write 0 "
            "outside the tumor, anything else inside."
        )
    return (image != 0).any(axis=2) if image.ndim == 3 else image != 0


def _read(path, index, axis):
    """The file's array (height, width) or (height, width, 3: red, green, blue)."""
    kind = _kind(path)
    if index is not None and kind not in VOLUMES:
        raise UnreadableImageError(
            f"expected a NIfTI volume to take slice {index} of, got {path}. Leave index empty for "
            "files of one slice."
        )
    try:
        if not path.is_file():
            raise UnreadableImageError(
                f"expected the file {path}, got none there. Paths are relative to the manifest; "
                "check its spelling, capitals too."
            )
        if kind == ".npy":
            array = np.load(path, mmap_mode="r", allow_pickle=False)  # stated but missing: refused
            _check_size(array.shape, path)
            array = np.array(array)
        elif kind in VOLUMES:
            array = _read_nifti(path, index, axis)
        else:
            array = _read_picture(path)
    except UnreadableImageError:
        raise
    except Exception as error:  # readers of damaged files raise what they like
        raise UnreadableImageError(
            f"expected a readable {kind} file, got {type(error).__name__} from {path}: {error}. "
            "Write the file again, or check that you may read it."
        ) from error
    return _checked(array, path)


def _kind(path):
    name = path.name.lower()
    for kind in (*PICTURES, ".npy", *VOLUMES):
        if name.endswith(kind):
            return kind
    raise UnreadableImageError(
        f"expected a file ending in {', '.join((*PICTURES, '.npy', *VOLUMES))}, got {path}. "
        "Convert it to one of these."
    )


def _check_size(shape, path):
    if math.prod(shape[:2]) > MAX_PIXELS:
        raise _too_large(path, f"shape {tuple(shape)}")


def _too_large(path, stated):
    return UnreadableImageError(
        f"expected a slice of at most {MAX_PIXELS} pixels in {path}, got {stated} by its header. "
        "Write the file again, or crop the slice."
    )


def _check_picture_size(path):
    """By the header alone: OpenCV reserves what it states before it looks further."""
    try:
        with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
            with Image.open(path) as picture:
                if picture.format == "TIFF" and picture.n_frames > 1:
                    raise _of_pages(path, picture.n_frames)
                return _check_size(picture.size[::-1], path)
    except Image.DecompressionBombError:
        raise _too_large(path, f"more than {2 * Image.MAX_IMAGE_PIXELS}") from None
    except UnidentifiedImageError:  # Pillow knows less of TIFF: no colors of 16 bits
        pass
    try:
        with tifffile.TiffFile(path) as file:
            if len(file.pages) > 1:
                raise _of_pages(path, len(file.pages))
            _check_size(file.pages[0].shape, path)
    except tifffile.TiffFileError:
        raise _undecodable(path) from None


def _of_pages(path, n_pages):
    return UnreadableImageError(
        f"expected one slice in {path}, got {n_pages} pages. Write each into its own file."
    )


def _undecodable(path):
    return UnreadableImageError(
        f"expected a picture in {path}, got something that OpenCV cannot decode. Write the "
        "file again, for instance as PNG."
    )


def _read_picture(path):
    _check_picture_size(path)
    ok, pages = cv2.imdecodemulti(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if not ok or not len(pages):
        raise _undecodable(path)
    if len(pages) > 1:
        raise _of_pages(path, len(pages))
    image = pages[0]
    if image.ndim == 3 and image.shape[2] == 4:
        image = _without_alpha(image, path)
    return image[..., ::-1] if image.ndim == 3 else image  # OpenCV has blue first


def _without_alpha(image, path):
    if (image[..., 3] != image[0, 0, 3]).any():
        raise UnreadableImageError(
            f"expected an opaque picture in {path}, got one that is transparent in parts. Save it "
            "without an alpha channel."
        )
    return image[..., :3]


def _read_nifti(path, index, axis):
    import nibabel

    volume = nibabel.load(path)
    shape = volume.shape
    if axis <= 2:
        in_slice = [n for k, n in enumerate(shape[:3]) if index is None or k != axis]
        _check_size(in_slice, path)
    if index is None:
        if len(shape) < 2 or max(shape[2:], default=1) > 1:
            raise UnreadableImageError(
                f"expected a NIfTI file of one slice, got shape {shape} in {path}. Name the slice "
                "in a column index (and axis, if it is not 2)."
            )
        return np.asanyarray(volume.dataobj).reshape(shape[:2])
    if len(shape) < 3 or max(shape[3:], default=1) > 1 or axis > 2:
        raise UnreadableImageError(
            f"expected a volume of three axes and an axis from 0 to 2, got shape {shape} and axis "
            f"{axis} for {path}. Take one volume of a series out first."
        )
    if index >= shape[axis]:
        raise UnreadableImageError(
            f"expected an index from 0 to {shape[axis] - 1} (axis {axis}) for {path}, got {index}. "
            "Indices count from 0."
        )
    where = [slice(None)] * 3 + [0] * (len(shape) - 3)
    where[axis] = index
    return np.asanyarray(volume.dataobj[tuple(where)])


def _checked(array, path):
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or 0 in array.shape:
        raise UnreadableImageError(
            f"expected one slice (height, width), gray or RGB, got shape {array.shape} in {path}. "
            "Write one slice a file."
        )
    if array.dtype.kind not in "buif":
        raise UnreadableImageError(
            f"expected integers or real numbers in {path}, got dtype {array.dtype}. Convert them."
        )
    return array


def _to_gray(image, path):
    if image.dtype.kind == "b":
        image = image.astype(np.uint8)
    if image.ndim == 2:
        return image, False
    red = image[..., 0]
    if (image == red[..., None]).all():
        return np.ascontiguousarray(red), False
    return (image @ LUMINANCE).astype(np.float32), True
