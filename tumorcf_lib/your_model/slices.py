"""A reader's own slices: a table of files becomes a cohort, ready for the audit.

The table (``manifest.csv``) has one row a slice:

======== =======================================================================
image    the slice: PNG, TIFF, JPEG or BMP (8 or 16 bit, float), NPY, NIfTI; its
         path is relative to the manifest
mask     the tumor: a file of the same size, inside is what is not zero; empty
         if the slice shows no tumor
label    name of the class
patient  whose slice it is: patients, not slices, are resampled for intervals
index    only for NIfTI volumes: which slice of the image and its mask, from 0
axis     only for NIfTI volumes: across which axis, 0, 1 or 2 (2 if left out)
slice_id optional name of the slice; made of image and index if left out
======== =======================================================================
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from tumorcf_lib.data import preprocess
from tumorcf_lib.data.cohort import Cohort
from tumorcf_lib.edits import plan
from tumorcf_lib.your_model import images, manifests
from tumorcf_lib.your_model.manifests import FolderError, InvalidManifestError

__all__ = [
    "FileStack", "FolderError", "InvalidManifestError", "MaskSizeError", "UnreadableSliceError",
    "headline_edits", "prepare", "read_folder",
]  # fmt: skip

SCALES = ("zscore", "unit", "raw")
ZSCORE_ONLY = ("original_refit", "remove_refit", "silhouette")


class UnreadableSliceError(FolderError):
    """A file that is missing, cannot be read, or holds no gray slice."""


class MaskSizeError(FolderError):
    """A mask of another size than its slice."""


@dataclass(frozen=True)
class FileStack(Sequence):
    """Slices or masks that stay in their files until they are asked for.

    ``stack[i]`` reads the i-th file anew, so memory does not grow with the cohort.
    """

    readers: tuple

    def __len__(self):
        return len(self.readers)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return FileStack(self.readers[index])
        return self.readers[index]()


def read_folder(manifest, *, classes=None, name=None, progress=False) -> Cohort:
    """The cohort of a manifest: every file is read once and checked, and read again on use.

    Parameters
    ----------
    manifest : path
        The table described above, CSV with commas, semicolons or tabs; or a folder that
        holds a ``manifest.csv``.
    classes : sequence of str, optional
        Class names **in the order of your classifier's outputs**. If left out, the labels
        in alphabetical order, as scikit-learn and Keras's folder loaders number them.
    name : str, optional
        Of the cohort; the folder's name if left out.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Cohort
        Slices as stored: gray images keep their dtype; color images of three equal channels
        become that channel, others their luminance (0.299 R + 0.587 G + 0.114 B; float32);
        ``source`` says how many. NIfTI slices are ``array[:, :, index]`` as stored,
        neither turned nor reoriented. A patient is a person. One with slices of several
        classes ("no tumor" beside a tumor) counts as one person in each, since persons are
        resampled within classes; ``source`` says how many.

    Raises
    ------
    InvalidManifestError
        Columns or labels that make no cohort.
    UnreadableSliceError
        A file that is missing or holds no gray slice.
    MaskSizeError
        A mask of another size than its slice.

    All three are :class:`FolderError` and name file and line, what was expected, what
    came, and what to do.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> np.save(folder / "a.npy", np.eye(3))
    >>> _ = (folder / "manifest.csv").write_text(
    ...     "image,mask,label,patient\\na.npy,a.npy,glioma,P1\\n", encoding="utf-8")
    >>> cohort = read_folder(folder)
    >>> cohort.classes, cohort.slices[0].shape, int(cohort.masks[0].sum())
    (('glioma',), (3, 3), 3)
    """
    manifest = Path(manifest)
    manifest = manifest / "manifest.csv" if manifest.is_dir() else manifest
    table = manifests.read(manifest)
    classes = manifests.checked_classes(table["label"], classes, manifest)
    slices, masks, n_color, n_empty = [], [], 0, 0
    lines = zip(table.index, table.to_dict("records"), strict=True)
    for line, row in tqdm(lines, "reading slices", len(table), disable=not progress):
        where = f"{manifest}, line {line}"
        read_slice, read_mask, in_color, is_empty = _readers_of(row, manifest.parent, where)
        slices.append(read_slice)
        masks.append(read_mask)
        n_color, n_empty = n_color + in_color, n_empty + is_empty
    persons, n_split = manifests.persons(table)
    kept = pd.DataFrame({
        "slice_id": table["slice_id"].to_numpy(object),
        "label": [classes.index(label) for label in table["label"]],
        "patient_id": table["patient"].to_numpy(object), "person_id": persons,
    })  # fmt: skip
    source = _source(manifest, len(table), n_color, n_empty, n_split)
    name = manifest.resolve().parent.name if name is None else str(name)
    return Cohort(name, FileStack(tuple(slices)), FileStack(tuple(masks)), kept, classes, source)


def prepare(cohort, *, size_px=224, scale="zscore", progress=False) -> Cohort:
    """The cohort as a classifier gets it: float32, one size, on the scale it was trained on.

    Parameters
    ----------
    cohort : Cohort
        Slices as stored.
    size_px : int or None
        Side of the squares they are resized to, after padding with their own air (see
        :func:`data.preprocess.resize_slice`); None keeps them as they are, which
        needs slices of one size.
    scale : {"zscore", "unit", "raw"}
        What the pixels are mapped to, slice by slice, before the resize. "zscore": clipped
        to the 1st and 99th percentile, then mean 0, standard deviation 1 (the study's own,
        as :func:`data.preprocess.prepare`). "unit": the slice's minimum to 0, its
        maximum to 1. "raw": as stored; whatever your network needs (division by 255, three
        channels) is done in `predict`.
    progress : bool

    Returns
    -------
    Cohort
        Slices float32, masks bool, both (n, height, width), in memory. Edits act on these,
        so pixels that an edit does not change reach the classifier unchanged.

    Examples
    --------
    >>> table = pd.DataFrame({"slice_id": [1], "label": [0], "patient_id": "A",
    ...                       "person_id": "A"})
    >>> toy = Cohort("toy", np.array([[[0, 50], [100, 200]]]), np.ones((1, 2, 2), bool), table,
    ...              ("glioma",), "four pixels")
    >>> prepare(toy, size_px=None, scale="unit").slices.tolist()
    [[[0.0, 0.25], [0.5, 1.0]]]
    """
    if scale not in SCALES:
        raise FolderError(f"There is no scale {scale!r}; choose one of: {', '.join(SCALES)}.")
    if size_px is None:
        shapes = {np.shape(image) for image in cohort.slices}
        if len(shapes) > 1:
            raise FolderError(
                f"Without size_px all slices have to be of one size; {cohort.name} has "
                f"{sorted(shapes)[:4]}. Give the size that your classifier takes."
            )
    slices, masks = [], []
    for i in tqdm(range(len(cohort)), desc="preparing slices", disable=not progress):
        try:
            image, mask = _on_scale(cohort.slices[i], scale), cohort.masks[i]
            slices.append(image if size_px is None else preprocess.resize_slice(image, size_px))
            masks.append(mask if size_px is None else preprocess.resize_mask(mask, size_px))
        except preprocess.InvalidSliceError as error:
            slice_id = cohort.table["slice_id"].iloc[i]
            raise FolderError(f"Slice {slice_id} of {cohort.name}: {error}") from error
    return Cohort(
        cohort.name, np.stack(slices), np.stack(masks), cohort.table, cohort.classes, cohort.source
    )


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


def _on_scale(image, scale):
    if scale == "zscore":
        return preprocess.fit_intensity_map(image)(image)
    image = np.asarray(image).astype(np.float32)
    if scale == "raw":
        return image
    low, high = image.min(), image.max()
    return (image - low) / (high - low) if high > low else np.zeros_like(image)


def _source(manifest, n_slices, n_color, n_empty, n_split):
    parts = [f"{n_slices} slices listed in {manifest.name}"]
    if n_color:
        parts.append(f"{n_color} in color, taken as luminance")
    if n_empty:
        parts.append(f"{n_empty} with an empty mask")
    if n_split:
        parts.append(f"{n_split} patients in several classes, one person in each")
    return "; ".join(parts) + "."


def _readers_of(row, folder, where):
    """Readers of one slice and its mask; both are read once and checked.

    Returns
    -------
    read_slice, read_mask : callable
    in_color, is_empty : bool
        Whether the slice was in color, and whether its mask is empty.
    """
    options = {"index": int(row["index"]) if row["index"] else None,
               "axis": int(row["axis"] or 2)}  # fmt: skip
    read_slice = partial(_read, images.read_slice, folder / row["image"], where, options)
    image, in_color = read_slice()
    if row["mask"]:
        read_mask = partial(_read, images.read_mask, folder / row["mask"], where, options)
    else:
        read_mask = partial(np.zeros, image.shape, bool)
    mask = read_mask()
    if mask.shape != image.shape:
        raise MaskSizeError(
            f"{where}: expected a mask of its slice's size {image.shape}, got {mask.shape} in "
            f"{row['mask']}. Export both from the same grid; resizing a mask here would guess."
        )
    return partial(_first, read_slice), read_mask, in_color, not mask.any()


def _read(reader, path, where, options):
    # An index is for volumes; a mask drawn on one slice may lie in a file of its own.
    if not path.name.lower().endswith(images.VOLUMES) and reader is images.read_mask:
        options = {}
    try:
        return reader(path, **options)
    except images.UnreadableImageError as error:
        raise UnreadableSliceError(f"{where}: {error}") from error


def _first(read_slice):
    return read_slice()[0]
