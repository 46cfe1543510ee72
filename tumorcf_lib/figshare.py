"""The Figshare brain tumor dataset, read once from its archives and kept as arrays."""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from tumorcf_lib import archives, cjdata
from tumorcf_lib.archives import (
    CorruptArchiveError,
    DatasetNotFoundError,
    fingerprint,
    has_dataset,
)
from tumorcf_lib.cjdata import CorruptSliceError, DatasetError
from tumorcf_lib.cohort import SliceStack, from_arrays
from tumorcf_lib.config import CLASSES
from tumorcf_lib.leakage import person_ids

__all__ = [
    "CorruptArchiveError", "CorruptSliceError", "DatasetError", "DatasetNotFoundError",
    "describe", "fingerprint", "has_dataset", "read",
]  # fmt: skip



def describe(folder, *, cache_dir, progress=True):
    """One sentence on what the folder's slices are; reads them if that was not done before."""
    return _meta(_cached(folder, cache_dir, progress))["source"]


def read(folder, *, cache_dir, progress=True):
    """The dataset as a cohort, from the four archives or from loose N.mat files.

    The archives stay packed. The first call reads and checks every slice and writes all of
    them as flat arrays into a folder of ``cache_dir``; later calls map those into memory
    within milliseconds. Files of another name, size or time make another cache.

    Parameters
    ----------
    folder : path
        Holds the published ZIPs, or one ZIP of them, or N.mat files, at its top or in
        folders in it. Other files (``cvind.mat``) are passed over.
    cache_dir : path
        Where caches are kept.
    progress : bool
        Show a progress bar while reading.

    Returns
    -------
    Cohort
        Named "cheng", sorted by N; ``slice_id`` is N (int); slices keep their own size and
        dtype. ``source`` says whether the archives are the published ones, by MD5.

    Raises
    ------
    DatasetNotFoundError
        Telling which files belong where, with sizes and MD5s.
    CorruptArchiveError, CorruptSliceError
        Naming the file, what was expected and what was found.
    """
    cache = _cached(folder, cache_dir, progress)
    table = pd.read_csv(cache / "table.csv", dtype={"patient_id": str}, keep_default_na=False)
    shapes = table[["height", "width"]].to_numpy()
    offsets = np.append(0, np.cumsum(shapes.prod(axis=1))[:-1])
    slices, masks = (
        SliceStack(np.load(cache / name, mmap_mode="r"), shapes, offsets)
        for name in ("slices.npy", "masks.npy")
    )
    return from_arrays(
        slices, masks, table["label"], table["patient_id"], classes=CLASSES, name="cheng",
        source=_meta(cache)["source"], slice_ids=table["slice_id"],
    )  # fmt: skip


def _cached(folder, cache_dir, progress):
    """Folder of the arrays of this dataset, made first if need be."""
    files = archives.find(folder)
    missing = archives.lacking(files)
    if missing:
        raise archives.not_found(folder, missing)
    cache = Path(cache_dir) / f"cheng-{fingerprint(folder)[:12]}"
    if _is_complete(cache):
        return cache
    cache.parent.mkdir(parents=True, exist_ok=True)
    # Written aside and renamed at the end: a run that stops halfway leaves no cache
    with tempfile.TemporaryDirectory(dir=cache.parent, prefix="reading-") as aside:
        new, scratch = Path(aside) / "new", Path(aside) / "scratch"
        new.mkdir()
        scratch.mkdir()
        with archives.open_members(files, scratch) as (members, holders):
            if not members:
                raise archives.not_found(folder, archives.PUBLISHED)
            table, values = _write_arrays(new, members, progress)
            verified = {archives.md5(path) for path in holders}
        _write_table(new, table, _sentence(table, values, verified))
        if not _is_complete(cache):  # another process may have been faster
            shutil.rmtree(cache, ignore_errors=True)
            new.rename(cache)
    return cache


def _meta(cache):
    return json.loads((cache / "meta.json").read_text())


def _is_complete(cache):
    """Whether the cache was finished and all its files still have their sizes."""
    try:
        sizes = _meta(cache)["sizes"]
        return all((cache / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError):
        return False


def _write_arrays(new, members, progress):
    """Check every slice and write slices.npy and masks.npy; the table and the value range."""
    rows, low, high, dtype = [], np.inf, -np.inf, None
    with open(new / "slices.npy", "wb") as slices, open(new / "masks.npy", "wb") as masks:
        for member in tqdm(members, desc="reading slices", unit="", disable=not progress):
            image, mask, label, patient = cjdata.parse(member.read(), member.number, member.where)
            if dtype is None:  # the number of pixels is known at the end only
                dtype = image.dtype
                _write_headers(slices, masks, dtype, 0)
            if image.dtype != dtype:
                raise CorruptSliceError(
                    member.number, member.where, f"{dtype} pixels as in slice {rows[0][0]}",
                    image.dtype,
                )  # fmt: skip
            slices.write(image.tobytes())
            masks.write(mask.tobytes())
            rows.append((member.number, label - 1, patient, *image.shape))
            low, high = min(low, image.min()), max(high, image.max())
        _write_headers(slices, masks, dtype, sum(height * width for *_, height, width in rows))
    table = pd.DataFrame(rows, columns=["slice_id", "label", "patient_id", "height", "width"])
    return table, (low, high)


def _write_headers(slices, masks, dtype, n_pixels):
    """NumPy pads a header so that the length of its array can grow in place."""
    for file, kind in ((slices, dtype), (masks, np.dtype(bool))):
        file.seek(0)
        header = {"descr": kind.str, "fortran_order": False, "shape": (n_pixels,)}
        np.lib.format.write_array_header_1_0(file, header)


def _write_table(new, table, source):
    _check_persons(table)
    table.to_csv(new / "table.csv", index=False, lineterminator="\n")
    sizes = {path.name: path.stat().st_size for path in new.iterdir()}
    (new / "meta.json").write_text(json.dumps({"source": source, "sizes": sizes}, indent=1))


def _check_persons(table):
    """One class per person: found before there is a cache of a wrong set."""
    persons = person_ids(table["patient_id"])
    firsts = table.groupby(persons)[["slice_id", "label"]].transform("first")
    for i in np.flatnonzero(table["label"] != firsts["label"]):
        number, first = table["slice_id"][i], firsts.iloc[i]
        raise CorruptSliceError(
            number, f"{number}.mat",
            f"label {first['label'] + 1} as in slice {first['slice_id']} of person {persons[i]}",
            f"label {table['label'][i] + 1}", todo="Fetch both files again",
        )  # fmt: skip


def _sentence(table, values, md5s):
    """What was read, for run headers and captions."""
    sides = sorted(set(zip(table["height"], table["width"])))
    sizes = " to ".join(f"{h} x {w}" for h, w in dict.fromkeys((sides[0], sides[-1])))
    part = "" if len(table) == archives.N_PUBLISHED else f" of {archives.N_PUBLISHED}"
    if not md5s:
        kind = "loose .mat files, for which no MD5 is published"
    elif md5s == {archive.md5 for archive in archives.PUBLISHED}:
        kind = "published archives (MD5 verified)"
    else:
        kind = "an unlisted copy (MD5 differs from the published archives)"
    return (
        f"{archives.DATASET}, {len(table)}{part} slices of {table['patient_id'].nunique()} "
        f"patients, {sizes} px, values {values[0]:g} to {values[1]:g}: {kind}."
    )
