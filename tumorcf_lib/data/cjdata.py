"""One slice of the published dataset: the MATLAB structure ``cjdata`` of an N.mat file.

The file is read as if a stranger had made it: nothing outside it is opened, nothing is
unpacked beyond a bound, and pixels that the file declares but does not hold are no zeros.
"""

import itertools
import math
import zlib
from typing import NamedTuple

import h5py
import numpy as np

FETCH_AGAIN = "Move this file away and fetch it again (python -m tumorcf_lib download)"
MAX_FILE_BYTES = 1 << 26  # of an N.mat; the published ones have less than 1 MB
MAX_PIXELS = 1 << 24  # 4096 x 4096; the published slices have 512 x 512
MAX_CHUNKS = 4096
FIELDS = ("image", "tumorMask", "label", "PID")
NOBODY = ("", "nan", "None")  # what missing IDs become on the way through tables
MATLAB_DTYPES = {"single": "float32", "double": "float64", "logical": "uint8", "char": "uint16"}
DEFLATE, SHUFFLE = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE


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

    def __init__(self, number, where, expected, got, *, todo=FETCH_AGAIN):
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
        ``patient_id`` is printable ASCII, as all published ones.

    Raises
    ------
    CorruptSliceError
        Naming the slice and file, what was expected and what was found.
    """

    def require(condition, expected, got):
        if not condition:
            raise CorruptSliceError(number, where, expected, got)

    require(
        len(content) <= MAX_FILE_BYTES,
        f"at most {MAX_FILE_BYTES} bytes in a slice's file", f"{len(content)}",
    )  # fmt: skip
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
        mask.dtype.kind in "buif" and ((mask == 0) | (mask == 1)).all(),
        "a tumorMask of 0 and 1", f"{mask.dtype} with other values",
    )  # fmt: skip
    require(mask.any(), "a tumorMask with a tumor", "an empty one")
    require(image.min() < image.max(), "pixels that differ", f"{image.flat[0]} everywhere")
    label = _single(fields["label"])
    found = label if label is not None else f"an array of shape {fields['label'].shape}"
    require(label in (1, 2, 3), "a label of 1, 2 or 3", f"{found}")
    patient_id = _text(fields["PID"])
    require(
        patient_id not in NOBODY,
        "a PID of printable ASCII codes", patient_id or f"{fields['PID'].ravel()[:8]}",
    )  # fmt: skip
    orders = {a.dtype.newbyteorder("=") == a.dtype for a in fields.values() if a.itemsize > 1}
    require(len(orders) <= 1, "one byte order in all fields", "both")
    image = np.ascontiguousarray(image, image.dtype.newbyteorder("="))
    return RawSlice(image, np.ascontiguousarray(mask, bool), int(label), patient_id)


def _fields(content, number, where):
    """The arrays of ``cjdata`` that the study needs, {name: array as stored}."""
    try:
        # The file image driver reads from memory without a temporary file
        with h5py.File(h5py.h5f.open_file_image(content)) as file:
            group, arrays = _own(file, "cjdata"), {}
            if not isinstance(group, h5py.Group):
                raise CorruptSliceError(
                    number, where, "a structure cjdata in the file", f"{list(file)[:8]}"
                )
            for name in FIELDS:
                dataset = _own(group, name)
                if not isinstance(dataset, h5py.Dataset):
                    raise CorruptSliceError(
                        number, where, f"a field cjdata.{name} in the file",
                        f"the fields {list(group)[:8]}",
                    )  # fmt: skip
                try:
                    arrays[name] = _numbers(dataset)
                except _Unread as error:
                    raise CorruptSliceError(
                        number, where, f"a small, plain, complete array as cjdata.{name}", error
                    ) from error
            return arrays
    except CorruptSliceError:
        raise
    except Exception as error:  # a damaged file can raise nearly anything
        raise CorruptSliceError(
            number, where, "a MATLAB 7.3 (HDF5) file",
            f"{len(content)} bytes that cannot be read as one ({error})",
        ) from error  # fmt: skip


def _own(group, name):
    """What lies under a name in the file itself; None for links, which may lead elsewhere."""
    is_own = isinstance(group.get(name, getlink=True), h5py.HardLink)
    return group[name] if is_own else None


class _Unread(Exception):
    """An array that is not read: too big, stored in an odd way, or not all there."""


def _numbers(dataset):
    """The numbers of a dataset, at most :data:`MAX_PIXELS`; raises _Unread with what it is."""
    dtype, settings = dataset.dtype, dataset.id.get_create_plist()
    if dtype.kind not in "buif" or dtype.itemsize > 8 or dataset.shape is None:
        raise _Unread(f"{dtype} of shape {dataset.shape}")
    if dataset.size > MAX_PIXELS:
        raise _Unread(f"shape {dataset.shape}")
    if h5py.h5t.py_create(dtype, logical=True) != dataset.id.get_type():
        raise _Unread(f"a variant of {dtype}")
    stated = dataset.attrs.get("MATLAB_class")
    stated = stated.decode("ascii") if isinstance(stated, bytes) else dtype.name
    if MATLAB_DTYPES.get(stated, stated) != dtype.name:
        raise _Unread(f"{dtype} where MATLAB's note says {stated}")
    if settings.get_external_count() or settings.get_layout() == h5py.h5d.VIRTUAL:
        raise _Unread("one that lies in another file")
    if dataset.chunks is not None:
        return _from_chunks(dataset, settings)
    stored = dataset.id.get_storage_size()
    if stored != dataset.nbytes:
        raise _Unread(f"{stored} of its {dataset.nbytes} bytes")
    return dataset[()]


def _from_chunks(dataset, settings):
    """As :func:`_numbers`, of what lies in chunks: HDF5 itself would unpack them unbounded."""
    filters = [settings.get_filter(i) for i in range(settings.get_nfilters())]
    numbers = [number for number, *_ in filters]
    if numbers not in ([], [DEFLATE], [SHUFFLE, DEFLATE]):
        raise _Unread(f"one packed by HDF5's filters {numbers}")
    if SHUFFLE in numbers and filters[0][2] != (dataset.dtype.itemsize,):
        raise _Unread(f"one shuffled by {filters[0][2]} bytes")
    shape, steps, width = dataset.shape, dataset.chunks, dataset.dtype.itemsize
    starts = [range(0, n, step) for n, step in zip(shape, steps)]
    n_chunks, n_bytes = math.prod(map(len, starts)), math.prod(steps) * width
    # The last chunk of a row or column may reach beyond the array, so twice each way
    if n_chunks > MAX_CHUNKS or n_bytes > dataset.nbytes or n_chunks * n_bytes > 4 * dataset.nbytes:
        raise _Unread(f"{n_chunks} chunks of {n_bytes} bytes for {dataset.nbytes} in all")
    values = np.empty(shape, dataset.dtype)
    for start in itertools.product(*starts):
        content = _unpacked(dataset, start, n_bytes, is_packed=DEFLATE in numbers)
        if SHUFFLE in numbers:  # all first bytes of the numbers, then all second ones, ...
            content = np.frombuffer(content, np.uint8).reshape(width, -1).T.tobytes()
        chunk = np.frombuffer(content, dataset.dtype).reshape(steps)
        inside = values[tuple(slice(at, at + step) for at, step in zip(start, steps))]
        inside[...] = chunk[tuple(map(slice, inside.shape))]
    return values


def _unpacked(dataset, start, n_bytes, *, is_packed):
    """The bytes of the chunk that begins there; never more than it should have."""
    size = dataset.id.get_chunk_info_by_coord(start).size
    if size > MAX_FILE_BYTES:
        raise _Unread(f"a chunk of {size} bytes")
    # Fails for a chunk that cannot be found, where reading the whole gives zeros
    left_out, content = dataset.id.read_direct_chunk(start)
    if left_out:
        raise _Unread(f"a chunk of {size} bytes without its filters")
    is_whole = True
    if is_packed:
        unpacking = zlib.decompressobj()
        content = unpacking.decompress(content, n_bytes + 1)
        is_whole = unpacking.eof
    if len(content) != n_bytes or not is_whole:
        raise _Unread(f"a chunk that does not hold its {n_bytes} bytes")
    return content


def _single(values):
    """The only number of an array; None if it holds another count or no numbers."""
    values = np.asarray(values)
    return values.item() if values.size == 1 and values.dtype.kind in "uif" else None


def _text(codes):
    """The text of an array of character codes; "" if it is no line of printable ASCII."""
    codes = np.asarray(codes)
    if codes.dtype.kind not in "ui" or not codes.size or codes.size > max(codes.shape, default=1):
        return ""
    if codes.min() < 32 or codes.max() > 126:
        return ""
    return "".join(map(chr, codes.ravel().tolist())).strip()
