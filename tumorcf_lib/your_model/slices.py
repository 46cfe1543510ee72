"""A reader's own slices: a table of files becomes a cohort, ready for the audit.

The table (``manifest.csv``) has one row a slice:

========== =====================================================================
image      the slice: PNG, TIFF, JPEG or BMP (8 or 16 bit, float), NPY, NIfTI,
           DICOM; its path is relative to the manifest
mask       the tumor: a file of the same size, inside is what is not zero; empty
           if the slice shows no tumor
label      name of the class
patient    whose slice it is: patients, not slices, are resampled for intervals
index      only for volumes: which slice of the image and its mask, from 0
axis       only for NIfTI volumes: across which axis, 0, 1 or 2 (2 if left out)
channel    which channel of several, or volume of a 4-D NIfTI file; "all" for all
mask_label which values of the mask are tumor, such as "1 4" or ">0.5" (all but 0)
slice_id   optional name of the slice; made of the others if left out
========== =====================================================================
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from tumorcf_lib.data.cohort import Cohort
from tumorcf_lib.your_model import InputError, images, manifests, masks


@dataclass(frozen=True)
class FileStack(Sequence):
    """Slices or masks that stay in their files: ``stack[i]`` reads the i-th anew."""

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
        Slices as stored, (height, width) or (height, width, channels) where channels differ. A
        NIfTI mask is brought to its slice's grid if flips, swaps of axes and whole steps do it.
        A patient with slices of several classes ("no tumor" beside a tumor) counts as one person
        in each, since persons are resampled within classes. ``table`` also says what was found:
        height, width, channels, lowest, highest, border (the value of all border pixels, else
        NaN), mask_pixels, mask_corners (how many corners are inside), mask_notes.

    Raises
    ------
    InputError
        Naming file and line, what was expected, what came, and what to do.

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
    readers, found = [], []
    lines = zip(table.index, table.to_dict("records"), strict=True)
    for line, row in tqdm(lines, "reading slices", len(table), disable=not progress):
        read_slice, read_mask, facts = _readers_of(row, manifest.parent, f"{manifest}, line {line}")
        readers.append((read_slice, read_mask))
        found.append(facts)
    persons, n_split = manifests.persons(table)
    kept = pd.DataFrame({
        "slice_id": table["slice_id"].to_numpy(object),
        "label": [classes.index(label) for label in table["label"]],
        "patient_id": table["patient"].to_numpy(object), "person_id": persons,
        **pd.DataFrame(found),
    })  # fmt: skip
    parts = [f"{len(table)} slices listed in {manifest.name}"]
    n_empty = int((kept["mask_pixels"] == 0).sum())
    parts += [f"{n_empty} with an empty mask"] if n_empty else []
    parts += [f"{n_split} patients in several classes, one person in each"] if n_split else []
    name = manifest.resolve().parent.name if name is None else str(name)
    stacks = [FileStack(tuple(stack)) for stack in zip(*readers, strict=True)]
    return Cohort(name, *stacks, kept, classes, "; ".join(parts) + ".")


def _readers_of(row, folder, where):
    """Readers of one slice and its mask, and what was found in them."""
    channel = int(row["channel"]) if row["channel"].isdecimal() else row["channel"] or None
    options = {"index": int(row["index"]) if row["index"] else None,
               "axis": int(row["axis"] or 2)}  # fmt: skip
    path = _path(folder, row["image"])
    read_slice = partial(_named, images.read_slice, path, where, channel=channel, **options)
    image = read_slice()
    notes = []
    if row["mask"]:
        read = partial(_named, masks.read_mask, _path(folder, row["mask"]), where, like=path,
                       labels=row["mask_label"], **options)  # fmt: skip
        mask, notes = read()
        read_mask = partial(_first, read)
    else:
        read_mask = partial(np.zeros, image.shape[:2], bool)
        mask = read_mask()
    if mask.shape != image.shape[:2]:
        raise InputError(
            f"{where}: expected a mask of its slice's size {image.shape[:2]}, got {mask.shape} in "
            f"{row['mask']}. Export both from the same grid; resizing a mask here would guess."
        )
    edge = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    low, high = float(image.min()), float(image.max())
    return read_slice, read_mask, {
        "height": image.shape[0], "width": image.shape[1],
        "channels": 1 if image.ndim == 2 else image.shape[2], "lowest": low, "highest": high,
        "border": float(edge.flat[0]) if (edge == edge.flat[0]).mean() > 0.9 else np.nan,
        "mask_pixels": int(mask.sum()), "mask_notes": "; ".join(notes),
        "mask_corners": int(mask[[0, 0, -1, -1], [0, -1, 0, -1]].sum()),
    }  # fmt: skip


def _path(folder, name):
    """A path of the manifest; one written on Windows has backslashes."""
    path = folder / name
    return path if os.path.exists(path) or "\\" not in name else folder / name.replace("\\", "/")


def _named(reader, path, where, **options):
    try:
        return reader(path, **options)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _first(read):
    return read()[0]
