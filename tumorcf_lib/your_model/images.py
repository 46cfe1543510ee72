"""One slice, or one mask, out of one file: PNG, TIFF, JPEG, BMP, NPY, NIfTI or DICOM."""

import contextlib

import cv2
import nibabel
import numpy as np
from nibabel import orientations
from PIL import Image, UnidentifiedImageError

from tumorcf_lib.your_model import InputError

PICTURES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
VOLUMES = (".nii", ".nii.gz")
DICOM = (".dcm", ".dicom", ".ima")
KNOWN = (*PICTURES, ".npy", *VOLUMES, *DICOM)
MAX_CHANNELS = 16
ALIKE = 0.02
"""Channels that differ by less of the slice's range, on average, are one gray slice (JPEG)."""

FEW_VALUES = 16
"""A mask of at most so many whole numbers may hold labels; one of more is soft, or a picture."""

MAX_BETWEEN = 0.25
"""Share of a slice that may lie between a tenth and nine tenths of a soft mask's range."""


def read_slice(path, *, where, index=None, axis=2, channel=None):
    """One slice as stored, (height, width) or (height, width, channels), and a note ("" if as it
    is). It is finite: NaN is air. `where` (file and line of the table) begins each error."""
    with _named(path, where) as kind:
        if kind in VOLUMES:
            array = _checked(_of_volume(nibabel.load(path), index, axis, channel))
        else:
            array = _checked(_of_file(path, kind, index))
        known = np.isfinite(array)
        if not known.any() or np.isinf(array).any():
            raise InputError(
                f"expected numbers, got {np.count_nonzero(~known)} of {array.size} NaN or "
                "infinite. NaN is taken as air where a slice has other pixels."
            )
        if array.ndim == 3 and isinstance(channel, int):
            if channel >= array.shape[2]:
                raise InputError(f"expected a channel below {array.shape[2]}, got {channel}.")
            array, known = array[..., channel], known[..., channel]
        notes = []
        if not known.all():
            array = np.where(known, array, array[known].min())
            notes.append("NaN is taken as air: the darkest value of the slice")
        array = _gray_if_alike(array)
        if array.ndim == 3:
            notes.append(
                f"{array.shape[2]} channels that differ: the classifier gets all of them (a column "
                "channel chooses one)"
            )
        return array, "; ".join(notes)


def read_mask(path, *, where, like=None, index=None, axis=2, labels=""):
    """One mask, bool (height, width), and a note on how it was read ("" if as it is).

    A NIfTI mask is brought to the grid of the NIfTI slice `like` where flips and swaps of axes do
    that exactly. `labels` says which values are tumor, such as "1 4" or ">0.5"; all but 0 if empty.
    """
    with _named(path, where) as kind:
        if kind in VOLUMES:
            volume = nibabel.load(path)
            if like is not None and like.name.lower().endswith(VOLUMES):
                volume = _on_grid(volume, nibabel.load(like))
            array = _checked(_of_volume(volume, index, axis))
        else:
            array = _checked(_of_file(path, kind, index if kind in DICOM else None, palette=True))
        if not np.isfinite(array).all():
            raise InputError("expected finite numbers in a mask, got others. Write 0 outside.")
        return _inside(array, labels)


def largest(path, *, where, labels=""):
    """The slice, across the last axis of a NIfTI mask, with the largest tumor; None without one."""
    with _named(path, where):
        volume = np.asanyarray(nibabel.load(path).dataobj)
        areas = chosen(volume.reshape(volume.shape[:3]), labels).sum(axis=(0, 1))
        return int(areas.argmax()) if areas.any() else None


@contextlib.contextmanager
def _named(path, where):
    """The ending by which a file is read; whatever reading it raises, as an error that names it."""
    try:
        kind = next((k for k in KNOWN if path.name.lower().endswith(k)), None)
        if kind is None:
            raise InputError(f"expected a file ending in {', '.join(KNOWN)}. Convert it.")
        if not path.is_file():
            raise InputError(
                "expected this file, got none there. Paths are relative to the manifest; check "
                "its spelling, capitals too."
            )
        yield kind
    except InputError as error:
        raise InputError(f"{where}: {path}: {error}") from error
    except Exception as error:  # readers of damaged files raise what they like
        raise InputError(
            f"{where}: {path}: expected a readable {kind} file, got {type(error).__name__} "
            f"({error}). Write it again, check that you may read it, or install what is missing."
        ) from error


def _of_file(path, kind, index, palette=False):
    """The array of a picture, a NumPy or a DICOM file."""
    if kind in DICOM:
        return _dicom(path, index)
    _known_index(index, 1, "of a file that holds one slice")
    if kind in PICTURES:
        return _picture(path, palette)
    array = np.array(np.load(path, mmap_mode="r", allow_pickle=False))  # stated, missing: refused
    if array.ndim == 3 and array.shape[0] <= 4 < min(array.shape[1:]):
        return np.moveaxis(array, 0, 2)
    return array


def _picture(path, palette):
    """By OpenCV, which keeps 16 bits of color; Pillow looks at the header first, for bombs."""
    with contextlib.suppress(UnidentifiedImageError), Image.open(path) as picture:
        if palette and picture.mode == "P":  # numbers of colors: 0 is outside, whatever its color
            return np.array(picture)
    _, pages = cv2.imdecodemulti(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if not pages:
        raise InputError("expected a picture, got a file that OpenCV cannot decode.")
    if len(pages) != 1:
        raise InputError(
            f"expected one slice, got {len(pages)} pages that OpenCV can decode. Write each into "
            "a file of its own, for instance as PNG."
        )
    image = pages[0]
    if image.ndim == 3 and image.shape[2] == 4:
        if (image[..., 3] != image[0, 0, 3]).any():
            found = "expected no alpha channel, got a picture transparent in parts"
            raise InputError(f"{found}. Save it opaque: a mask as 0 outside, 255 inside.")
        image = image[..., :3]
    return image[..., ::-1] if image.ndim == 3 else image  # OpenCV has blue first


def _dicom(path, index):
    import pydicom
    from pydicom.pixels import apply_modality_lut

    file = pydicom.dcmread(path)
    array = apply_modality_lut(file.pixel_array, file)
    n_frames = int(getattr(file, "NumberOfFrames", 1))
    frame = _known_index(index, n_frames, "of frames")
    array = array[frame] if n_frames > 1 else array
    inverted = getattr(file, "PhotometricInterpretation", "") == "MONOCHROME1"
    return array.max() - array if inverted else array


def _of_volume(volume, index, axis, channel=None):
    """A slice of a NIfTI volume; a fourth axis becomes its channels, if one or "all" are named."""
    shape = volume.shape
    if max(shape[3:], default=1) > 1 and channel is None:
        raise InputError(
            f"expected a volume of three axes, got shape {shape}. Add a column channel: a number "
            f"from 0 to {shape[3] - 1}, or all."
        )
    is_volume = len(shape) > 2
    n = shape[axis] if is_volume else 1
    index = _known_index(index, n, f"(axis {axis}) of a volume of shape {shape}")
    where = [slice(None)] * len(shape)
    if is_volume:
        where[axis] = index
    return np.asanyarray(volume.dataobj[tuple(where)])


def _known_index(index, n, what):
    """Which of n slices is meant; the only one needs no index."""
    if (index is None and n > 1) or (index or 0) >= n:
        advice = "Name it in a column index (and axis, if not 2)" if n > 1 else "Leave it out"
        raise InputError(f"expected an index from 0 to {n - 1} {what}, got {index}. {advice}.")
    return index or 0


def _on_grid(mask, image):
    """The mask on the image's grid, by the affines of both."""
    known = [v.header.get("sform_code", 1) or v.header.get("qform_code", 1) for v in (mask, image)]
    if not all(known) or min(len(mask.shape), len(image.shape)) < 3:
        return mask
    turn = orientations.ornt_transform(
        *(orientations.io_orientation(v.affine) for v in (mask, image))
    )
    moved = mask.as_reoriented(turn)
    shape = image.shape[:3]
    off = np.linalg.solve(moved.affine, image.affine) - np.eye(4)  # in voxels
    if moved.shape[:3] != shape or np.abs(off * [*shape, 1]).sum(axis=1).max() > 0.1:
        words = [f"{v.shape[:3]} {np.round(v.affine, 4).tolist()}" for v in (mask, image)]
        raise InputError(
            f"expected a mask on its slice's grid, got another: shape and affine of the mask "
            f"{words[0]}, of the slice {words[1]}. Resample the mask to the slice's grid (nearest "
            "neighbor), or correct the affine that is wrong."
        )
    return moved


def _checked(array):
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or 0 in array.shape or array.shape[2:] > (MAX_CHANNELS,):
        raise InputError(
            "expected one slice (height, width) or (height, width, channels), got shape "
            f"{array.shape}. Write one slice a file."
        )
    if array.dtype.kind not in "buif":
        raise InputError(f"expected whole or real numbers, got {array.dtype}. Convert them.")
    return array.astype(np.uint8) if array.dtype.kind == "b" else array


def _gray_if_alike(image):
    """Channels as they are; one gray slice where all are alike."""
    if image.ndim == 3:
        gap = np.abs(image - image[..., :1].astype(np.float64)).mean()
        span = float(image.max()) - float(image.min())
        if gap == 0 or (image.shape[2] == 3 and gap <= ALIKE * span):
            image = image[..., 1]  # green has most of the luminance
    return np.ascontiguousarray(image)


def chosen(array, labels):
    """Where a mask has one of the values that a mask_label names; all but 0 if it is empty."""
    if labels.startswith(">"):
        return array > float(labels[1:])
    if labels:
        return np.isin(array, [int(n) for n in labels.replace("+", " ").split()])
    return array != 0


def _inside(array, labels):
    """Where a mask is tumor, and how that was decided."""
    if array.ndim == 3:
        colors = np.unique(array.reshape(-1, array.shape[2]), axis=0)
        if len(colors) > FEW_VALUES and not (array == array[..., :1]).all():
            raise InputError(
                f"expected a mask, got a picture of {len(colors)} colors: an overlay? Write the "
                "tumor alone: 0 outside, one value inside."
            )
        array = array.max(axis=2)
    if labels:
        inside = chosen(array, labels)
        none = f"no value that mask_label names ({labels}); the largest is {array.max():g}"
        return inside, "" if inside.any() or not array.any() else none
    values = np.unique(array)
    if len(values) == 1 or (len(values) == 2 and 0 in values):
        return array != 0, ""
    few, high = len(values) <= FEW_VALUES and (values == np.rint(values)).all(), values[-1]
    inside, between = array > high / 2, (array > 0.1 * high) & (array < 0.9 * high)
    are_labels = few and high <= 2 * FEW_VALUES
    is_soft = between.mean() > MAX_BETWEEN or between.sum() > inside.sum()
    if not are_labels and (values[0] < 0 or is_soft):
        raise InputError(
            f"expected a mask, got {len(values)} values from {values[0]:g} to {high:g}: a soft "
            "mask, or a picture? Write the tumor alone, or say above what it begins in a column "
            "mask_label, such as >0.5."
        )
    if are_labels or (few and between.any()):  # none between: a JPEG's ringing
        named = ", ".join(f"{v:g}" for v in values if v)
        return array != 0, f"labels {named}: all count as tumor (a column mask_label chooses)"
    return inside, "many values (a JPEG, soft edges): above half the largest counts as tumor"
