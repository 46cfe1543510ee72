"""One slice out of one file: PNG, TIFF, JPEG, BMP, NPY, NIfTI or DICOM."""

import importlib.util
import math
import warnings
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError

from tumorcf_lib.your_model import InputError

PICTURES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
VOLUMES = (".nii", ".nii.gz")
DICOM = (".dcm", ".dicom", ".ima")
LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
MAX_CHANNELS = 16
ALIKE = 0.02
"""Channels that differ by less of the slice's range, on average, are one gray slice (JPEG)."""

MAX_PIXELS = 2**26
"""Of a slice, 8192 x 8192: a header that states more is damaged, or meant to fill the memory."""


def read_slice(path, *, index=None, axis=2, channel=None):
    """One slice as stored.

    Parameters
    ----------
    path : path
    index : int, optional
        Which slice of a NIfTI volume or frame of a DICOM file, from 0.
    axis : {0, 1, 2}
        Across which axis of the volume.
    channel : int or "all", optional
        Which channel, or volume of a 4-D NIfTI file, which needs one.

    Returns
    -------
    ndarray of int or float, shape (height, width) or (height, width, channels), finite
        Pictures of equal channels (or nearly so) are gray; NaN becomes the slice's minimum: air.
    """
    array = read(Path(path), index, axis, channel)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        known = np.isfinite(array)
        if not known.any() or np.isinf(array).any():
            raise InputError(
                f"expected numbers in {path}, got {np.count_nonzero(~known)} of {array.size} NaN "
                "or infinite. NaN is taken as air where a slice has other pixels."
            )
        array = np.where(known, array, array[known].min())
    if array.ndim == 2:
        return array
    if isinstance(channel, int):
        if channel >= array.shape[2]:
            raise InputError(
                f"expected a channel from 0 to {array.shape[2] - 1} for {path}, got {channel}."
            )
        return np.ascontiguousarray(array[..., channel])
    return _gray_if_alike(array)


def read(path, index, axis, channel, palette=False):
    """The file's array (height, width) or (height, width, channels)."""
    kind = kind_of(path)
    if index is not None and kind not in VOLUMES + DICOM:
        raise InputError(
            f"expected a NIfTI volume to take slice {index} of, got {path}. Leave index empty for "
            "files of one slice."
        )
    try:
        if not path.is_file():
            raise InputError(
                f"expected the file {path}, got none there. Paths are relative to the manifest; "
                "check its spelling, capitals too."
            )
        if kind == ".npy":
            array = np.load(path, mmap_mode="r", allow_pickle=False)  # stated but missing: refused
            _check_size(array.shape, path)
            array = np.array(array)
            if array.ndim == 3 and array.shape[0] <= 4 < min(array.shape[1:]):
                array = np.moveaxis(array, 0, 2)
        elif kind in VOLUMES:
            array = read_nifti(path, index, axis, channel)
        elif kind in DICOM:
            array = _read_dicom(path, index)
        else:
            array = _read_picture(path, palette)
    except InputError:
        raise
    except Exception as error:  # readers of damaged files raise what they like
        raise InputError(
            f"expected a readable {kind} file, got {type(error).__name__} from {path}: {error}. "
            "Write the file again, or check that you may read it."
        ) from error
    return _checked(array, path)


def kind_of(path):
    """The ending by which a file is read."""
    name = path.name.lower()
    known = (*PICTURES, ".npy", *VOLUMES, *DICOM)
    for kind in known:
        if name.endswith(kind):
            return kind
    raise InputError(f"expected a file ending in {', '.join(known)}, got {path}. Convert it.")


def _check_size(shape, path):
    if math.prod(shape[:2]) > MAX_PIXELS:
        raise _too_large(path, f"shape {tuple(shape)}")


def _too_large(path, stated):
    return InputError(
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
    return InputError(
        f"expected one slice in {path}, got {n_pages} pages. Write each into its own file."
    )


def _undecodable(path):
    return InputError(
        f"expected a picture in {path}, got something that OpenCV cannot decode. Write the "
        "file again, for instance as PNG."
    )


def _read_picture(path, palette):
    _check_picture_size(path)
    if palette and path.suffix.lower() == ".png":
        with Image.open(path) as picture:
            if picture.mode == "P":  # numbers of colors: 0 is the background, whatever its color
                return np.array(picture)
    ok, pages = cv2.imdecodemulti(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if not ok or not len(pages):
        raise _undecodable(path)
    if len(pages) > 1:
        raise _of_pages(path, len(pages))
    image = pages[0]
    if image.ndim == 3 and image.shape[2] == 4:
        if (image[..., 3] != image[0, 0, 3]).any():
            raise InputError(
                f"expected an opaque picture in {path}, got one that is transparent in parts. "
                "Save it without an alpha channel."
            )
        image = image[..., :3]
    return image[..., ::-1] if image.ndim == 3 else image  # OpenCV has blue first


def read_nifti(path, index, axis, channel):
    import nibabel

    volume = nibabel.load(path)
    shape = volume.shape
    if axis <= 2:
        _check_size([n for k, n in enumerate(shape[:3]) if index is None or k != axis], path)
    if max(shape[3:], default=1) > 1 and channel is None:
        raise InputError(
            f"expected a volume of three axes, got shape {shape} in {path}. Add a column channel: "
            f"a number from 0 to {shape[3] - 1}, or all."
        )
    if index is None:
        if len(shape) < 2 or max(shape[2:3], default=1) > 1:
            raise InputError(
                f"expected a NIfTI file of one slice, got shape {shape} in {path}. Name the slice "
                "in a column index (and axis, if it is not 2)."
            )
        return np.asanyarray(volume.dataobj).reshape(*shape[:2], *shape[3:4])
    if len(shape) < 3 or axis > 2 or len(shape) > 4:
        raise InputError(
            f"expected a volume of three axes and an axis from 0 to 2, got shape {shape} and axis "
            f"{axis} for {path}. Take one volume of a series out first."
        )
    if index >= shape[axis]:
        raise InputError(
            f"expected an index from 0 to {shape[axis] - 1} (axis {axis}) for {path}, got {index}. "
            "Indices count from 0."
        )
    where = [slice(None)] * len(shape)
    where[axis] = index
    return np.asanyarray(volume.dataobj[tuple(where)])


def _read_dicom(path, index):
    if importlib.util.find_spec("pydicom") is None:
        raise InputError(f"expected the package pydicom to read {path}. pip install pydicom")
    import pydicom

    file = pydicom.dcmread(path)
    array = file.pixel_array
    if int(getattr(file, "NumberOfFrames", 1)) > 1:
        if index is None or index >= len(array):
            raise InputError(
                f"expected an index from 0 to {len(array) - 1} for {path}, got {index}. Name the "
                "frame in a column index."
            )
        array = array[index]
    slope, start = (
        float(getattr(file, f"Rescale{k}", d)) for k, d in (("Slope", 1), ("Intercept", 0))
    )
    array = array * np.float32(slope) + np.float32(start) if (slope, start) != (1, 0) else array
    inverted = getattr(file, "PhotometricInterpretation", "") == "MONOCHROME1"
    return array.max() - array if inverted else array


def _checked(array, path):
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or 0 in array.shape or array.shape[2:] > (MAX_CHANNELS,):
        raise InputError(
            f"expected one slice (height, width) or (height, width, channels), got shape "
            f"{array.shape} in {path}. Write one slice a file."
        )
    if array.dtype.kind not in "buif":
        raise InputError(
            f"expected integers or real numbers in {path}, got dtype {array.dtype}. Convert them."
        )
    return array.astype(np.uint8) if array.dtype.kind == "b" else array


def _gray_if_alike(image):
    """Channels as they are; one gray slice where all are alike."""
    first = image[..., :1]
    if (image == first).all():
        return np.ascontiguousarray(first[..., 0])
    gap = np.abs(image - first.astype(np.float64)).mean()
    if image.shape[2] == 3 and gap <= ALIKE * (float(image.max()) - float(image.min())):
        return (image @ LUMINANCE).astype(np.float32)
    return image
