"""One slice of the published dataset: the MATLAB 7.3 (HDF5) structure ``cjdata`` of an N.mat."""

import itertools
import math
import re
import zlib
from typing import NamedTuple

import cv2
import h5py
import numpy as np

FETCH_AGAIN = "Move this file away and fetch it again (python -m tumorcf_lib download)"
MAX_FILE_BYTES = 1 << 23  # of an N.mat; the published ones have less than 1 MB
MAX_PIXELS = 1 << 22  # 2048 x 2048; the published slices have 512 x 512
FIELDS = ("image", "tumorMask", "tumorBorder", "label", "PID")
MIN_BORDER_IOU = 0.5  # of tumorBorder and tumorMask; the real slices have 0.74 to 0.97
MIN_BRIGHT_SHARE = 0.25  # of a tumor's pixels, brighter than air; the real ones have 0.82 up
FOREIGN = (
    # how such a file begins, what it is, what to do
    (rb"MATLAB 5\.0", "one of MATLAB 5", "Save it by MATLAB's save(..., '-v7.3')"),
    (rb"version https://git-lfs", "a pointer of Git LFS", "Run `git lfs pull` where it lies"),
    (rb"[./\w]{0,99}annex/objects", "a pointer of git-annex", "Run `git annex get .` there"),
    (rb"\s*<", "a web page", FETCH_AGAIN),
)


class DatasetError(RuntimeError):
    """The dataset is missing, incomplete or damaged."""


class CorruptSliceError(DatasetError):
    """A slice that is not as published: its number and file, what was expected, and got."""

    def __init__(self, number, where, expected, got, *, todo=FETCH_AGAIN):
        super().__init__(f"Slice {number} ({where}): expected {expected}, got {got}. {todo}.")


class RawSlice(NamedTuple):
    """A slice as published: image and mask upright (height, width), label 1, 2 or 3."""

    image: np.ndarray
    mask: np.ndarray
    label: int
    patient_id: str


class _Odd(Exception):
    """Something in a file: what was expected, and what came."""


def parse(content, number, where):
    """The slice in the bytes of an N.mat: image in its dtype, bool mask, label, patient ID.

    Raises CorruptSliceError, naming the slice and its file, for anything not as published.
    """
    for begins, kind, todo in FOREIGN:
        if re.match(begins, content):
            raise CorruptSliceError(number, where, "a MATLAB 7.3 (HDF5) file", kind, todo=todo)
    try:
        fields = _fields(content)
        image, mask = fields["image"].T, fields["tumorMask"].T
        _check_image(image)
        _check_mask(mask, image, fields["tumorBorder"])
        label, codes = fields["label"].ravel().tolist(), fields["PID"].ravel()
        if label not in ([1], [2], [3]):
            raise _Odd("a label of 1, 2 or 3", label[:4])
        patient = "".join(map(chr, codes)).strip()
        if not (0 < len(codes) <= 100 and patient and patient.isascii() and patient.isprintable()):
            raise _Odd("a PID of printable ASCII codes", codes[:8])
        return RawSlice(
            np.ascontiguousarray(image), np.ascontiguousarray(mask, bool), int(label[0]), patient
        )
    except _Odd as odd:
        raise CorruptSliceError(number, where, *odd.args) from None
    except Exception as error:  # a damaged file can raise nearly anything
        got = f"{len(content)} bytes that cannot be read as one ({error})"
        raise CorruptSliceError(number, where, "a MATLAB 7.3 (HDF5) file", got) from error


def _fields(content):
    """The arrays of ``cjdata`` as stored, {name: array}."""
    # The file image driver reads from memory without a temporary file
    with h5py.File(h5py.h5f.open_file_image(content)) as file:
        return {name: _numbers(_own(file, name), f"cjdata.{name}") for name in FIELDS}


def _own(file, name):
    """A field in the file itself: links may lead elsewhere."""
    for place in ("cjdata", f"cjdata/{name}"):
        if not isinstance(file.get(place, getlink=True), h5py.HardLink):
            raise _Odd(f"a field cjdata.{name} in the file", "none, or a link")
    return file[f"cjdata/{name}"]


def _numbers(data, name):
    """The numbers of an HDF5 dataset, if they are few, plain, and all in the file."""
    expected, dtype = f"an array of numbers, whole, as {name}", data.dtype
    if dtype.kind not in "buif" or dtype.itemsize > 8 or data.shape is None:
        raise _Odd(expected, f"{dtype} of shape {data.shape}")
    if max(data.size, math.prod(data.chunks or ())) > MAX_PIXELS:
        raise _Odd(expected, f"shape {data.shape}, chunks {data.chunks}")
    if dtype.byteorder == ">" or h5py.h5t.py_create(dtype, logical=True) != data.id.get_type():
        raise _Odd(expected, f"a variant of {dtype}")
    if data.external or data.is_virtual:
        raise _Odd(expected, "one that lies in another file")
    # HDF5 reads what is missing as zeros, and a short chunk as what memory holds
    if data.chunks is None:
        if data.id.get_storage_size() != data.nbytes:
            raise _Odd(expected, f"{data.id.get_storage_size()} of its {data.nbytes} bytes")
        return data[()]
    n_bytes = math.prod(data.chunks) * dtype.itemsize
    starts = [range(0, n, step) for n, step in zip(data.shape, data.chunks)]
    for start in itertools.product(*starts):
        info = data.id.get_chunk_info_by_coord(start)
        if info.byte_offset is None or info.filter_mask or info.size > MAX_FILE_BYTES:
            raise _Odd(expected, f"one without its chunk at {start}")
        content = data.id.read_direct_chunk(start)[1]
        if data.compression == "gzip":
            content = zlib.decompressobj().decompress(content, n_bytes + 1)
        if len(content) != n_bytes:
            raise _Odd(expected, f"a chunk at {start} that does not hold its {n_bytes} bytes")
    return data[()]


def _check_image(image):
    if image.ndim != 2 or not image.size or image.dtype.kind not in "uif":
        raise _Odd("an image (height, width) of numbers", f"{image.dtype} of shape {image.shape}")
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise _Odd("finite pixels", "NaN or infinite ones")
    if image.min() == image.max():
        raise _Odd("pixels that differ", f"{image.flat[0]} everywhere")


def _check_mask(mask, image, border):
    """A mask of 0 and 1, with a tumor, in the head, where the published outline has it."""
    if mask.shape != image.shape:
        raise _Odd(f"a tumorMask of the image's size {image.shape}", f"{mask.shape}")
    if not ((mask == 0) | (mask == 1)).all():
        raise _Odd("a tumorMask of 0 and 1", f"{mask.dtype} with other values")
    if not mask.any():
        raise _Odd("a tumorMask with a tumor", "an empty one")
    mask = mask != 0
    if mask.mean() > 0.5:
        raise _Odd("a tumorMask of a tumor", f"one of {mask.mean():.0%} of the slice (inverted?)")
    sparse = image[::4, ::4] if min(image.shape) >= 64 else image
    air, bright = float(image.min()), float(np.percentile(sparse, 99))
    share = np.mean(image[mask] > air + 0.05 * (bright - air))
    if share < MIN_BRIGHT_SHARE:
        raise _Odd("a tumorMask in the head", f"one whose pixels are dark as air ({share:.0%} not)")
    points = border.ravel()
    if len(points) < 6 or len(points) % 2 or not (np.abs(points) < 1 << 15).all():
        raise _Odd("a tumorBorder x1, y1, x2, y2, ...", f"{len(points)} numbers that are none")
    inside = np.zeros(mask.shape, np.uint8)
    cv2.fillPoly(inside, [np.rint(points.reshape(-1, 2)).astype(np.int32)], 1)
    iou = np.sum(mask & (inside > 0)) / np.sum(mask | (inside > 0))
    if iou < MIN_BORDER_IOU:
        raise _Odd(
            "a tumorMask inside the file's own tumorBorder",
            f"an overlap (IoU) of {iou:.2f} (transposed, or of another slice?)",
        )
