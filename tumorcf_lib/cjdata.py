"""One slice of the published dataset: the MATLAB structure ``cjdata`` of an N.mat file."""

from typing import NamedTuple

import h5py
import numpy as np


class DatasetError(RuntimeError):
    """The dataset is missing, incomplete or damaged."""


class CorruptSliceError(DatasetError):
    """A slice that is not as published; nothing of such a dataset is kept.

    Parameters
    ----------
    number : int
        N of the slice.
    where : str
        Its file, or its archive and name in it.
    expected, got : str
    todo : str
    """

    def __init__(self, number, where, expected, got, *, todo="Fetch this file again"):
        super().__init__(f"Slice {number} ({where}): expected {expected}, got {got}. {todo}.")
        self.number, self.where = number, where


class RawSlice(NamedTuple):
    """A slice as published: image and mask upright (height, width), label 1, 2 or 3."""

    image: np.ndarray
    mask: np.ndarray
    label: int
    patient_id: str


def parse(content, number, where):
    """The slice in the bytes of an N.mat file, checked.

    MATLAB's version 7.3 files are HDF5: arrays lie transposed, and text is an array of
    UTF-16 codes.

    Parameters
    ----------
    content : bytes
        The whole file.
    number : int
        N, for messages.
    where : str
        The file, for messages.

    Returns
    -------
    RawSlice
        ``image`` keeps its dtype; ``mask`` is bool, of the same shape and not empty.

    Raises
    ------
    CorruptSliceError
        Naming the slice and file, what was expected and what was found.
    """

    def require(condition, expected, got):
        if not condition:
            raise CorruptSliceError(number, where, expected, got)

    fields = _fields(content, number, where)
    image, mask = fields["image"].T, fields["tumorMask"].T
    require(
        image.ndim == 2 and image.size and image.dtype.kind in "uif",
        "an image (height, width) of numbers", f"{image.dtype} of shape {image.shape}",
    )  # fmt: skip
    require(
        image.dtype.kind != "f" or np.isfinite(image).all(),
        "finite pixels", "NaN or infinite ones",
    )  # fmt: skip
    require(
        mask.shape == image.shape, f"a tumorMask of the image's size {image.shape}", f"{mask.shape}"
    )
    require(
        mask.dtype.kind in "buif" and np.isin(mask, (0, 1)).all(),
        "a tumorMask of 0 and 1", f"{mask.dtype} with other values",
    )  # fmt: skip
    require(mask.any(), "a tumorMask with a tumor", "an empty one")
    label = _single(fields["label"])
    require(label in (1, 2, 3), "a label of 1, 2 or 3", f"{label}")
    patient_id = _text(fields["PID"])
    require(patient_id, "a PID of UTF-16 character codes", f"{fields['PID'].ravel()[:8]}")
    image = np.ascontiguousarray(image, image.dtype.newbyteorder("="))
    return RawSlice(image, np.ascontiguousarray(mask, bool), int(label), patient_id)


def _fields(content, number, where):
    """The arrays of ``cjdata`` that the study needs, {name: array as stored}."""
    try:
        # The file image driver reads from memory without a temporary file
        with h5py.File(h5py.h5f.open_file_image(content)) as file:
            if "cjdata" not in file:
                raise CorruptSliceError(number, where, "a structure cjdata", f"{list(file)}")
            group = file["cjdata"]
            for name in ("image", "tumorMask", "label", "PID"):
                if name not in group or not isinstance(group[name], h5py.Dataset):
                    raise CorruptSliceError(
                        number, where, f"a field cjdata.{name}", f"the fields {list(group)}"
                    )
            return {name: group[name][()] for name in ("image", "tumorMask", "label", "PID")}
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        if isinstance(error, DatasetError):
            raise
        raise CorruptSliceError(
            number, where, "a MATLAB 7.3 (HDF5) file",
            f"{len(content)} bytes that are none: {error}",
        ) from error  # fmt: skip


def _single(values):
    """The only number of an array; None if it holds another count or no numbers."""
    values = np.asarray(values)
    return values.item() if values.size == 1 and values.dtype.kind in "uif" else None


def _text(codes):
    """The text of an array of UTF-16 codes; "" if it is none."""
    codes = np.asarray(codes)
    if codes.dtype.kind not in "ui" or not codes.size or codes.min() < 32 or codes.max() > 0xFFFF:
        return ""
    try:
        return codes.ravel().astype("<u2").tobytes().decode("utf-16-le").strip()
    except UnicodeDecodeError:
        return ""
