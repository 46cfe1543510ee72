"""The Figshare brain tumor dataset, read once from its files and kept as arrays."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from tumorcf_lib import config, steps
from tumorcf_lib.data import archives, finding, matfile
from tumorcf_lib.data.cohort import SliceStack, from_arrays
from tumorcf_lib.data.matfile import FETCH_AGAIN
from tumorcf_lib.data.split import person_ids

WAIT_S = 1800.0  # for another process that reads the same dataset
FORMAT = 4  # of the arrays made of the slices
SOURCE = "source.txt"
ELSEWHERE = (
    ", or let the environment variable TUMORCF_RUNS name a folder on another disk; nothing "
    "unfinished was kept."
)


def describe(folder, *, cache_dir):
    """One sentence on what the folder's slices are; reads them if that was not done before."""
    place = _place(folder, cache_dir)
    if not (place / SOURCE).is_file():
        _cached(folder, cache_dir, progress=True)
    return (place / SOURCE).read_text(encoding="utf-8")


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
    names = {"name": "cheng", "source": (cache / SOURCE).read_text(encoding="utf-8")}
    names |= {"classes": config.CLASSES, "slice_ids": table["slice_id"]}
    return from_arrays(slices, masks, table["label"], table["patient_id"], **names)


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
            needed = sum(entry.n_bytes for entry in found.entries)
            raise archives.no_room(cache.parent, "slices", needed, ELSEWHERE) from error
        path = error.filename or cache.parent
        raise archives.no_access(path, error, to="write", by="TUMORCF_RUNS") from error
    return cache


def _is_whole(cache):
    return (cache / steps.RECORD).is_file() and steps.why_stale(cache, {"format": FORMAT}) is None


def _make(new, found, progress):
    """Read every slice into an empty folder, checked."""
    steps.begin(new, {"format": FORMAT})
    for note in found.notes if progress else ():
        tqdm.write(f"passed over: {note}")
    with archives.Reader(new) as read_one:
        table, values = _write_arrays(new, found, read_one, progress)
        source = _sentence(table, values, read_one.md5s(), found)
    table.to_csv(new / "table.csv", index=False, lineterminator="\n")
    (new / SOURCE).write_text(source, encoding="utf-8")
    steps.seal(new)


def _write_arrays(new, found, read_one, progress):
    """Check every slice and write slices.npy and masks.npy; the table and the value range."""
    rows, known, low, high = [], {}, np.inf, -np.inf
    with open(new / "slices.npy", "wb") as slices, open(new / "masks.npy", "wb") as masks:
        for entry in tqdm(found.entries, desc="reading slices", unit="", disable=not progress):
            raw = matfile.parse(read_one(entry), entry.number, entry.where)
            image = raw.image
            if not rows:
                needed = len(found.entries) * (image.nbytes + raw.mask.nbytes)
                if shutil.disk_usage(new).free < needed:
                    raise archives.no_room(new.parent, "slices", needed, ELSEWHERE)
                _write_headers(slices, masks, image.dtype, 0)
            _check_among(raw, entry, known, is_whole=not found.missing)
            slices.write(image.tobytes())
            masks.write(raw.mask.tobytes())
            rows.append((entry.number, raw.label - 1, raw.patient_id, *image.shape))
            low, high = min(low, image.min()), max(high, image.max())
        n_pixels = sum(height * width for *_, height, width in rows)  # known at the end only
        _write_headers(slices, masks, image.dtype, n_pixels)
    table = pd.DataFrame(rows, columns=["slice_id", "label", "patient_id", "height", "width"])
    return table, (low, high)


def _check_among(raw, entry, known, *, is_whole):
    """A slice beside those before it, which are ``known``: pixels of their type and its own, one
    label a patient and, in the whole dataset, the label and patient of its number."""
    image, _, label, patient = raw
    dtype, first = known.setdefault("dtype", (image.dtype, entry))
    if image.dtype != dtype:
        raise entry.corrupt(f"{dtype} pixels as in slice {first.number}", image.dtype)
    owner = archives.owner(entry.number) if is_whole else None
    if owner not in (None, (label, patient)):
        got = f"label {label} and patient {patient} (two files exchanged, or renumbered?)"
        raise entry.corrupt("label {} and patient {} as published".format(*owner), got)
    pixels = hashlib.sha256(image.tobytes()).digest()
    first, owner = known.setdefault(pixels, (entry, patient))
    if first != entry:  # no two of the published slices are equal
        got = f"those of slice {first.number} ({first.where}) of patient {owner}"
        raise entry.corrupt(f"pixels of its own for patient {patient}", got)
    person = person_ids([patient])[0]
    usual, first = known.setdefault(("person", person), (label, entry))
    if label != usual:
        expected = f"label {usual} as in slice {first.number} ({first.where}) of patient {person}"
        todo = FETCH_AGAIN.replace("this", "either")
        raise entry.corrupt(expected, f"label {label}", todo=todo)


def _write_headers(slices, masks, dtype, n_pixels):
    """NumPy pads a header so that the length of its array can grow in place."""
    for file, kind in ((slices, dtype), (masks, np.dtype(bool))):
        file.seek(0)
        header = {"descr": kind.str, "fortran_order": False, "shape": (n_pixels,)}
        np.lib.format.write_array_header_1_0(file, header)


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
        f"patient IDs, {sizes} px, values {values[0]:g} to {values[1]:g}: {kind}."
    )
