"""A reader's own slices: a table of files becomes a cohort, prepared as a classifier gets it.

The table (``manifest.csv``) has one row a slice: ``python -m tumorcf_lib audit --help`` says what
its columns mean.
"""

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from tumorcf_lib.data import preprocess
from tumorcf_lib.data.cohort import Cohort
from tumorcf_lib.edits import plan
from tumorcf_lib.your_model import InputError, counting, images, manifests

SCALES = {"zscore": "z-scored", "unit": "scaled to 0 to 1", "raw": "as stored"}
ZSCORE_ONLY = ("original_refit", "remove_refit", "silhouette")
AIR_GAP = 0.05  # how far below the darkest pixel air is put while edits are made, of the range


@dataclass(frozen=True)
class FileStack(Sequence):
    """Slices or masks that stay in their files: ``stack[i]`` reads the i-th anew."""

    readers: tuple  # of functions without arguments, to an array and a note

    def __len__(self):
        return len(self.readers)

    def __getitem__(self, index):
        return self.readers[index]()[0]


def read_folder(manifest, *, classes=None) -> Cohort:
    """The cohort of a manifest: every file is read once and checked, and read again on use.

    Parameters
    ----------
    manifest : path
        The table described above, CSV with commas, semicolons or tabs; or a folder that
        holds a ``manifest.csv``.
    classes : sequence of str, optional
        Class names **in the order of your classifier's outputs**. If left out, the labels
        in alphabetical order, as scikit-learn and Keras's folder loaders number them.

    Returns
    -------
    Cohort
        Named like the folder. Slices as stored, (height, width), or (height, width, channels)
        where channels differ. A NIfTI mask is brought to its slice's grid if flips and swaps of
        axes do it. A patient with slices of several classes ("no tumor" beside a tumor) counts
        once in each, since patients are resampled within classes. ``table`` also says what
        was found: height, width, lowest, highest, border (the value of most border pixels, else
        NaN), mask_pixels, mask_notes, slice_notes, and a checksum of the pixels of both.

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
    read = []
    with counting("read", len(table)) as bar:
        for line, row in zip(table.index, table.to_dict("records"), strict=True):
            read.append(_read(row, manifest.parent, f"{manifest}, line {line}"))
            bar.update()
    slices, masks, found = zip(*read, strict=True)
    persons, n_split = manifests.persons(table)
    kept = pd.DataFrame(found).assign(
        slice_id=table["slice_id"].to_numpy(object),
        label=table["label"].map(classes.index).values,
        patient_id=table["patient"].to_numpy(object),
        person_id=persons,
    )
    n_empty = int((kept["mask_pixels"] == 0).sum())
    source = f"{len(table)} slices listed in {manifest.name}"
    source += f"; {n_empty} with an empty mask" if n_empty else ""
    source += f"; {n_split} patients in several classes, counted once in each" if n_split else ""
    stacks = FileStack(slices), FileStack(masks)
    return Cohort(manifest.resolve().parent.name, *stacks, kept, classes, f"{source}.")


def _read(row, folder, where):
    """Readers of one slice and its mask, and what was found in them."""
    channel = int(row["channel"]) if row["channel"].isdecimal() else row["channel"] or None
    index = int(row["index"]) if row["index"] else None
    path, how = _path(folder, row["image"]), {"index": index, "axis": int(row["axis"] or 2)}
    read_slice = partial(images.read_slice, path, channel=channel, where=where, **how)
    image, note = read_slice()
    read_mask = partial(_empty, image.shape[:2])
    if row["mask"]:
        how |= {"like": path, "labels": row["mask_label"], "where": where}
        read_mask = partial(images.read_mask, _path(folder, row["mask"]), **how)
    mask, mask_note = read_mask()
    if mask.shape != image.shape[:2]:
        raise InputError(
            f"{where}: expected a mask of its slice's size {image.shape[:2]}, got {mask.shape} in "
            f"{row['mask']}. Export both from the same grid; resizing a mask here would guess."
        )
    edge = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    facts = {
        "height": image.shape[0],
        "width": image.shape[1],
        "lowest": float(image.min()),
        "highest": float(image.max()),
        "border": float(edge.flat[0]) if (edge == edge.flat[0]).mean() > 0.9 else np.nan,
        "mask_pixels": int(mask.sum()),
        "mask_notes": mask_note,
        "slice_notes": note,
        "checksum": zlib.crc32(np.ascontiguousarray(mask), zlib.crc32(np.ascontiguousarray(image))),
    }
    return read_slice, read_mask, facts


def _path(folder, name):
    """A path of the manifest; one written on Windows has backslashes."""
    path = folder / name
    return path if os.path.exists(path) or "\\" not in name else folder / name.replace("\\", "/")


def _empty(shape):
    return np.zeros(shape, bool), ""


# -- As a classifier gets them -----------------------------------------------


def prepare(cohort, *, size_px=224, scale="zscore", fit="pad", air=None) -> Cohort:
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
    if air is not None and scale != "raw":
        raise InputError(f"--air {air:g} needs --scale raw, got {scale}: air is a stored value.")
    size = (size_px, size_px) if isinstance(size_px, int) else size_px
    fitted = partial(preprocess.fitted, size=tuple(size), fit=fit) if size else lambda image: image
    fitted_slice = fitted if air is None else partial(_around, np.float32(air), fitted)
    slices, masks = [], []
    for i in range(len(cohort)):
        stored, mask = np.asarray(cohort.slices[i]), np.asarray(cohort.masks[i])
        planes = np.moveaxis(stored, 2, 0) if stored.ndim == 3 else [stored]
        planes = [fitted_slice(_on_scale(plane, scale)) for plane in planes]
        image = np.stack(planes, axis=2) if stored.ndim == 3 else planes[0]
        if air is not None:
            is_air = ~fitted(~_at_air(stored, air)) & _at_air(image, air)  # what is padded is air
            if not is_air.any():
                raise InputError(
                    f"Expected pixels at --air {air:g} in every slice, slice "
                    f"{str(cohort.table['slice_id'].iloc[i])!r} has none: leave it, or --air, out."
                )
            low, high = image.min(), np.percentile(image, 99)
            image[is_air] = low - AIR_GAP * max(high - low, 1e-3)
        slices.append(image)
        masks.append(fitted(mask))
    shapes = {image.shape for image in slices}
    if len(shapes) > 1:
        raise InputError(
            f"Expected slices of one size and number of channels, {cohort.name} has "
            f"{sorted(shapes, key=str)[:4]}. Give --size, and a column channel."
        )
    return replace(cohort, slices=np.stack(slices), masks=np.stack(masks))


def with_air(predict, air):
    """A `predict` that is shown air at its stored value again; see :func:`prepare`."""
    if air is None:
        return predict

    def shown(slices):
        lowest = slices.min(axis=tuple(range(1, slices.ndim)), keepdims=True)
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


def _on_scale(image, scale):
    if scale == "zscore":
        return preprocess.fit_intensity_map(image)(image)
    image = image.astype(np.float32)
    if scale == "raw":
        return image
    low, high = image.min(), image.max()
    return (image - low) / (high - low or 1)


def _around(air, fitted, image):
    """A slice brought to a size by ``fitted``, which pads with the minimum, where air is none: what
    is above air and what is below it apart, so that both are padded with air."""
    above, below = np.maximum(image - air, 0), np.maximum(air - image, 0)
    return fitted(above) - fitted(below) + air


def _at_air(image, air):
    near = np.abs(image - np.float32(air)) <= 1e-5 * max(1.0, abs(air))
    return near.all(axis=2) if near.ndim == 3 else near
