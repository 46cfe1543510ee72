"""The Figshare brain tumor dataset, read once from its files and kept as arrays."""

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
MADE_AS = {"format": 5}  # the arrays made of the slices
SOURCE = "source.txt"
COLUMNS = "number label patient_id height width pixels dtype low high".split()


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
        SliceStack(np.memmap(cache / name, dtype, mode="r"), shapes, offsets)
        for name, dtype in (("slices", table["dtype"][0]), ("masks", bool))
    )
    names = {"name": "cheng", "source": (cache / SOURCE).read_text(encoding="utf-8")}
    names |= {"classes": config.CLASSES, "slice_ids": table["number"]}
    return from_arrays(slices, masks, table["label"] - 1, table["patient_id"], **names)


def _place(folder, cache_dir):
    """Where the arrays belong that are made of these very slices in this folder."""
    where = steps.sha256(str(Path(folder).resolve()).encode())
    return Path(cache_dir) / f"cheng-{where[:8]}-{finding.fingerprint(folder)[:12]}"


def _cached(folder, cache_dir, progress):
    """Folder of the arrays of this dataset, made first if need be."""
    found = finding.require(folder)
    cache = _place(folder, cache_dir)
    if not _is_whole(cache):
        how = {"by": "the environment variable TUMORCF_RUNS", "wait_s": WAIT_S}
        with archives.writing(cache.parent, "the slices", **how) as is_alone:
            if is_alone:
                steps.clear_unfinished(cache.parent)  # of a run that was killed
            if not _is_whole(cache):  # another process may have been faster
                for old in cache.parent.glob(f"{cache.name[:15]}*"):
                    steps.remove_whole(old)
                with steps.being_filled(cache) as new:
                    _make(new, found, progress)
    return cache


def _is_whole(cache):
    return (cache / steps.RECORD).is_file() and steps.why_stale(cache, MADE_AS) is None


def _make(new, found, progress):
    """Read and check every slice; its pixels and a line on it go into an empty folder."""
    steps.begin(new, MADE_AS)
    for note in found.notes if progress else ():
        tqdm.write(f"passed over: {note}")
    rows = []
    with (
        archives.Reader(new) as read_one,
        open(new / "slices", "wb") as slices,
        open(new / "masks", "wb") as masks,
    ):
        for entry in tqdm(found.entries, desc="reading slices", unit="", disable=not progress):
            raw = matfile.parse(read_one(entry), entry.number, entry.where)
            image = raw.image
            if not rows:
                archives.check_room(new, len(found.entries) * (image.nbytes + raw.mask.nbytes))
            slices.write(image.tobytes())
            masks.write(raw.mask.tobytes())
            pixels = steps.sha256(image), image.dtype.str, image.min(), image.max()
            rows.append((entry.number, raw.label, raw.patient_id, *image.shape, *pixels))
        table = pd.DataFrame(rows, columns=COLUMNS)
        _check(table, found)
        source = _sentence(table, read_one.md5s(), found)
    table.to_csv(new / "table.csv", index=False, lineterminator="\n")
    (new / SOURCE).write_text(source, encoding="utf-8")
    steps.seal(new)


def _check(table, found):
    """Slices beside each other; in the whole dataset, the label and patient of each number."""
    owned = zip(found.entries, table["label"], table["patient_id"])
    for entry, label, patient in [] if found.missing else owned:
        owner = archives.owner(entry.number)
        if owner != (label, patient):
            got = f"label {label} and patient {patient} (two files exchanged, or renumbered?)"
            raise entry.corrupt("label {} and patient {} as published".format(*owner), got)
    table = table.assign(patient=person_ids(table["patient_id"]), dataset="this")
    for column, same in (("number", "pixels"), ("label", "patient"), ("dtype", "dataset")):
        first = table.groupby(same)["number"].transform("idxmin")
        usual = table[column][first].to_numpy()
        for i in np.flatnonzero(table[column] != usual)[:1]:
            entry, other = found.entries[i], found.entries[first[i]]
            raise entry.corrupt(
                f"{column} {usual[i]} as slice {other.number} ({other.where}) of the same {same}",
                table[column][i],
                todo=FETCH_AGAIN.replace("this", "either"),
            )


def _sentence(table, md5s, found):
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
        f"patient IDs, {sizes} px, values {table['low'].min():g} to "
        f"{table['high'].max():g}: {kind}."
    )
