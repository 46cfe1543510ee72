"""The Figshare brain tumor dataset, read once from its archives and kept as arrays."""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from tumorcf_lib import steps
from tumorcf_lib.config import CLASSES
from tumorcf_lib.data import archives, cjdata, members
from tumorcf_lib.data.archives import (
    CorruptArchiveError,
    DataAccessError,
    DatasetNotFoundError,
    NoRoomError,
    fingerprint,
    has_dataset,
)
from tumorcf_lib.data.cjdata import CorruptSliceError, DatasetError
from tumorcf_lib.data.cohort import SliceStack, from_arrays
from tumorcf_lib.data.leakage import person_ids

__all__ = [
    "CorruptArchiveError", "CorruptSliceError", "DataAccessError", "DatasetError",
    "DatasetNotFoundError", "NoRoomError", "describe", "fingerprint", "has_dataset", "read",
]  # fmt: skip

WAIT_S = 1800.0  # for another process that reads the same dataset


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
    DataAccessError
        For a folder or file that may not be read or, for caches, written.
    NoRoomError
        Telling how much room the arrays need.
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
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with steps.held(cache.parent / ".lock", wait_s=WAIT_S) as is_alone:
            if not _is_complete(cache):  # another process may have been faster
                _make(cache, folder, files, progress, is_alone)
    except steps.InUseError as error:
        raise DataAccessError(
            f"Expected to read the dataset into {archives.shown(cache.parent)}, where another "
            f"process reads it for {WAIT_S / 60:.0f} minutes already. Wait for it, or end it."
        ) from error
    except OSError as error:
        path = error.filename or cache.parent
        raise archives.no_access(path, error, to="write", by="TUMORCF_RUNS") from error
    return cache


def _make(cache, folder, files, progress, is_alone):
    """Read every slice into a new cache, which gets its name when it is complete."""
    if is_alone:
        for left in cache.parent.glob("reading-*"):  # by a run that was killed
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=cache.parent, prefix="reading-") as aside:
        new, scratch = Path(aside) / "new", Path(aside) / "scratch"
        new.mkdir()
        scratch.mkdir()
        with members.open_members(files, scratch) as (found, holders):
            if not found:
                raise archives.not_found(folder, archives.PUBLISHED)
            room = _check_room(cache.parent, found)
            try:
                table, values = _write_arrays(new, found, progress)
                verified = {archives.md5(path) for path in holders}
                _write_table(new, table, _sentence(table, values, verified))
            except OSError as error:
                if error.errno in archives.NO_ROOM:
                    raise room from error
                raise
        shutil.rmtree(cache, ignore_errors=True)
        new.rename(cache)


def _check_room(folder, found):
    """The error for a full disk, raised at once if the arrays cannot fit."""
    first = cjdata.parse(found[0].read(), found[0].number, found[0].where)
    needed = len(found) * (first.image.nbytes + first.mask.nbytes)
    error = archives.no_room(folder, needed, f"The arrays of {len(found)} slices")
    if shutil.disk_usage(folder).free < needed:
        raise error
    return error


def _meta(cache):
    return json.loads((cache / "meta.json").read_text(encoding="utf-8"))


def _is_complete(cache):
    """Whether the cache was finished and all its files still have their sizes."""
    try:
        sizes = _meta(cache)["sizes"]
        return all((cache / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _write_arrays(new, found, progress):
    """Check every slice and write slices.npy and masks.npy; the table and the value range."""
    rows, low, high, dtype = [], np.inf, -np.inf, None
    with open(new / "slices.npy", "wb") as slices, open(new / "masks.npy", "wb") as masks:
        for member in tqdm(found, desc="reading slices", unit="", disable=not progress):
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
    _check_persons(table, [member.where for member in found])
    return table, (low, high)


def _write_headers(slices, masks, dtype, n_pixels):
    """NumPy pads a header so that the length of its array can grow in place."""
    for file, kind in ((slices, dtype), (masks, np.dtype(bool))):
        file.seek(0)
        header = {"descr": kind.str, "fortran_order": False, "shape": (n_pixels,)}
        np.lib.format.write_array_header_1_0(file, header)


def _write_table(new, table, source):
    table.to_csv(new / "table.csv", index=False, lineterminator="\n")
    sizes = {path.name: path.stat().st_size for path in new.iterdir()}
    text = json.dumps({"source": source, "sizes": sizes}, indent=1)
    (new / "meta.json").write_text(text, encoding="utf-8")


def _check_persons(table, places):
    """One class per person: found before there is a cache of a wrong set."""
    persons = person_ids(table["patient_id"])
    firsts = table.index.to_series().groupby(persons).transform("first")
    for i in np.flatnonzero(table["label"] != table["label"].to_numpy()[firsts]):
        first = firsts.iloc[i]
        raise CorruptSliceError(
            table["slice_id"][i], places[i],
            f"label {table['label'][first] + 1} as in slice {table['slice_id'][first]} "
            f"({places[first]}) of person {persons[i]}",
            f"label {table['label'][i] + 1}", todo=cjdata.FETCH_AGAIN.replace("this", "either"),
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
