"""The Figshare brain tumor dataset, read once from its files and kept as arrays."""

import hashlib
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from tumorcf_lib import config, steps
from tumorcf_lib.data import archives, finding, matfile
from tumorcf_lib.data.cohort import SliceStack, from_arrays
from tumorcf_lib.data.matfile import FETCH_AGAIN, CorruptSliceError, DatasetError
from tumorcf_lib.data.split import person_ids

WAIT_S = 1800.0  # for another process that reads the same dataset
FORMAT = 4  # of the arrays made of the slices
SOURCE = "source.txt"


class NoRoomError(DatasetError):
    """A disk without room for the arrays made of the slices."""


def describe(folder, *, cache_dir):
    """One sentence on what the folder's slices are; reads them if that was not done before."""
    kept = _place(folder, cache_dir) / SOURCE
    if not kept.is_file():
        kept = _cached(folder, cache_dir, progress=True) / SOURCE
    return kept.read_text(encoding="utf-8")


def read(folder, *, cache_dir, progress=True):
    """The dataset as a cohort "cheng", by number (``slice_id``), of archives or loose N.mat files.

    The first call reads and checks all and keeps flat arrays in ``cache_dir``, which later calls
    map into memory. With TUMORCF_PARTIAL=1 a part of the 3064 slices will do. Every error is a
    DatasetError that names the file, what was expected, what came and what to do.
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
        slices,
        masks,
        table["label"],
        table["patient_id"],
        classes=config.CLASSES,
        name="cheng",
        source=(cache / SOURCE).read_text(encoding="utf-8"),
        slice_ids=table["slice_id"],
    )


def _place(folder, cache_dir):
    """Where the arrays belong that are made of these very slices in this folder."""
    where = steps.sha256(str(Path(folder).resolve()).encode())
    return Path(cache_dir) / f"cheng-{where[:8]}-{finding.fingerprint(folder)[:12]}"


def _cached(folder, cache_dir, progress):
    """Folder of the arrays of this dataset, made first if need be."""
    found = finding.require(folder)
    cache = _place(folder, cache_dir)
    if _is_whole(cache):
        return cache
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with steps.held(cache.parent / ".lock", wait_s=WAIT_S) as is_alone:
            if is_alone:
                steps.clear_unfinished(cache.parent)  # of a run that was killed
            if not _is_whole(cache):  # another process may have been faster
                for old in cache.parent.glob(f"{cache.name[:15]}*"):
                    steps.remove_whole(old)
                with steps.being_filled(cache) as new:
                    _make(new, found, progress)
    except steps.InUseError as error:
        raise archives.DataAccessError(
            f"Expected to read the dataset into {config.shown(cache.parent)}, where another "
            f"process reads it for {WAIT_S / 60:.0f} minutes already. Wait for it, or end it."
        ) from error
    except OSError as error:
        if error.errno in archives.NO_ROOM:
            raise _no_room(cache.parent, sum(entry.n_bytes for entry in found.entries)) from error
        path = error.filename or cache.parent
        raise archives.no_access(path, error, to="write", by="TUMORCF_RUNS") from error
    return cache


def _is_whole(cache):
    return (cache / steps.RECORD).is_file() and steps.why_stale(cache, {"format": FORMAT}) is None


def _make(new, found, progress):
    """Read every slice into an empty folder, checked."""
    steps.begin(new, {"format": FORMAT})
    with ExitStack() as stack:
        aside = stack.enter_context(tempfile.TemporaryDirectory(dir=new))
        read_one = archives.Reader(aside, stack)
        first = found.entries[0]
        raw = matfile.parse(read_one(first), first.number, first.where)
        needed = len(found.entries) * (raw.image.nbytes + raw.mask.nbytes)
        if shutil.disk_usage(new).free < needed:
            raise _no_room(new.parent, needed)
        for note in found.notes if progress else ():
            tqdm.write(f"passed over: {note}")
        table, values = _write_arrays(new, found, read_one, progress)
        source = _sentence(table, values, read_one.md5s(), found)
    table.to_csv(new / "table.csv", index=False, lineterminator="\n")
    (new / SOURCE).write_text(source, encoding="utf-8")
    steps.seal(new)


def _no_room(folder, needed):
    return NoRoomError(
        f"The slices need {needed / 1e6:.1f} MB in {config.shown(folder)}, and "
        f"{shutil.disk_usage(folder).free / 1e6:.1f} MB are free there. Make room and run again, "
        "or let the environment variable TUMORCF_RUNS name a folder on another disk; nothing "
        "unfinished was kept."
    )


def _write_arrays(new, found, read_one, progress):
    """Check every slice and write slices.npy and masks.npy; the table and the value range."""
    entries, is_whole = found.entries, not found.missing
    rows, pixels, low, high, dtype = [], {}, np.inf, -np.inf, None
    with open(new / "slices.npy", "wb") as slices, open(new / "masks.npy", "wb") as masks:
        for entry in tqdm(entries, desc="reading slices", unit="", disable=not progress):
            raw = matfile.parse(read_one(entry), entry.number, entry.where)
            image, mask, label, patient = raw
            if dtype is None:  # the number of pixels is known at the end only
                dtype = image.dtype
                _write_headers(slices, masks, dtype, 0)
            if image.dtype != dtype:
                expected = f"{dtype} pixels as in slice {rows[0][0]}"
                raise CorruptSliceError(entry.number, entry.where, expected, image.dtype)
            owner = archives.owner(entry.number) if is_whole else None
            if owner not in (None, (label, patient)):
                expected = "label {} and patient {} as published".format(*owner)
                got = f"label {label} and patient {patient} (two files exchanged, or renumbered?)"
                raise CorruptSliceError(entry.number, entry.where, expected, got)
            content = image.tobytes()
            other = pixels.setdefault(hashlib.sha256(content).digest(), (entry, patient))
            if other[0] != entry:  # no two of the published slices are equal
                raise CorruptSliceError(
                    entry.number,
                    entry.where,
                    f"pixels of its own for patient {patient}",
                    f"those of slice {other[0].number} ({other[0].where}) of patient {other[1]}",
                )
            slices.write(content)
            masks.write(mask.tobytes())
            rows.append((entry.number, label - 1, patient, *image.shape))
            low, high = min(low, image.min()), max(high, image.max())
        _write_headers(slices, masks, dtype, sum(height * width for *_, height, width in rows))
    table = pd.DataFrame(rows, columns=["slice_id", "label", "patient_id", "height", "width"])
    _check_labels(table, [entry.where for entry in entries])
    return table, (low, high)


def _write_headers(slices, masks, dtype, n_pixels):
    """NumPy pads a header so that the length of its array can grow in place."""
    for file, kind in ((slices, dtype), (masks, np.dtype(bool))):
        file.seek(0)
        header = {"descr": kind.str, "fortran_order": False, "shape": (n_pixels,)}
        np.lib.format.write_array_header_1_0(file, header)


def _check_labels(table, places):
    """One class per patient: found before there is a cache of a wrong set."""
    persons = person_ids(table["patient_id"])
    firsts = table.index.to_series().groupby(persons).transform("first")
    for i in np.flatnonzero(table["label"] != table["label"].to_numpy()[firsts]):
        first = firsts.iloc[i]
        raise CorruptSliceError(
            table["slice_id"][i],
            places[i],
            f"label {table['label'][first] + 1} as in slice {table['slice_id'][first]} "
            f"({places[first]}) of patient {persons[i]}",
            f"label {table['label'][i] + 1}",
            todo=FETCH_AGAIN.replace("this", "either"),
        )


def _sentence(table, values, md5s, found):
    """What was read, for run headers and captions."""
    sides = sorted(set(zip(table["height"], table["width"])))
    sizes = " to ".join(f"{h} x {w}" for h, w in dict.fromkeys((sides[0], sides[-1])))
    part = f" of {archives.N_PUBLISHED}" if found.missing else ""
    lacks = f" (partial: {finding.ranges(found.missing, 3)} missing)" if found.missing else ""
    if not md5s:
        kind = "loose .mat files, for which no MD5 is published"
    elif md5s == {archive.md5 for archive in archives.PUBLISHED}:
        kind = "published archives (MD5 verified)"
    else:
        kind = "an unlisted copy (MD5 differs from the published archives)"
    return (
        f"{archives.DATASET}, {len(table)}{part} slices{lacks} of {table['patient_id'].nunique()} "
        f"patients, {sizes} px, values {values[0]:g} to {values[1]:g}: {kind}."
    )
