"""Where the slices of the dataset lie in a folder, and whether all of them are there."""

import functools
import hashlib
import json
import os
import re
import stat
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tumorcf_lib import config
from tumorcf_lib.data import archives
from tumorcf_lib.data.archives import CorruptArchiveError, DatasetNotFoundError, Entry, numbers_of
from tumorcf_lib.data.matfile import FETCH_AGAIN

MAX_DEPTH = 5  # folders below the dataset's own in which slices are looked for
MAX_ENTRIES = 50_000  # files and folders looked at: a home folder may be named by mistake
PACKED = (".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".part", ".crdownload")


class Found(NamedTuple):
    """What a folder holds: its slices, each number once, and what was passed over, in words."""

    entries: list
    notes: list

    @property
    def missing(self):
        """Numbers of published slices that are not there."""
        return sorted(_all() - {entry.number for entry in self.entries})


def is_partial():
    """Whether the user allowed a part of the dataset (``--partial``, TUMORCF_PARTIAL=1)."""
    return os.environ.get("TUMORCF_PARTIAL", "") not in ("", "0")


def has_dataset(folder):
    """Whether the folder holds the whole dataset, or the part that is allowed: reads no slice."""
    found = find(folder)
    return bool(found.entries) and (is_partial() or not found.missing)


def require(folder):
    """What :func:`find` finds, if it is whole or a part is allowed; else an error says what lacks.

    Raises DatasetNotFoundError, CorruptArchiveError, CorruptSliceError or DataAccessError.
    """
    found = find(folder)
    if not found.entries or (found.missing and not is_partial()):
        raise not_found(folder, found)
    for entry in [] if is_partial() else found.entries:
        own = numbers_of(entry.inner or entry.path.name)
        if entry.number not in own:
            raise CorruptArchiveError(
                f"{entry.where} was not expected there: {_holder(entry, Path(folder))} holds the "
                f"slices {ranges(own)} as published. {FETCH_AGAIN}, or allow it by --partial."
            )
    return found


def fingerprint(folder):
    """Hash of the numbers, sizes and CRC-32 of the dataset's slices; "no dataset" without any.

    Neither the files' times nor their places count, nor what lies beside them.
    """
    entries = find(folder).entries
    if not entries:
        return "no dataset"
    facts = sorted((e.number, e.n_bytes, e.crc, not e.name) for e in entries)
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def find(folder):
    """The slices in the folder and below, in archives or loose: a Found; empty without it.

    If the archives at the top, or the loose files there, or those one folder deeper ... are the
    whole dataset, they are taken alone; else all together, where copies count once.
    """
    found, notes = [], []
    for files in _places(Path(folder), notes):
        own = [entry for path in files for entry in _entries(path, notes)]
        if {entry.number for entry in own} >= _all():
            return Found(_distinct(own), [])
        found += own
    return Found(_distinct(found), notes)


def not_found(folder, found):
    """The error that says which slices are missing, and which files belong where."""
    missing, todo = found.missing, ""
    has = "has none of its files" if Path(folder).exists() else "does not exist"
    if found.entries:
        held = sorted({_holder(entry, Path(folder)) for entry in found.entries})
        held = ", ".join(held[:6] + ["..."] * (len(held) > 6))
        has = f"holds {len(found.entries)} of its {archives.N_PUBLISHED} slices ({held})"
        todo = "To go on with what is there, add --partial (TUMORCF_PARTIAL=1). "
    has += "".join(f"; {note}" for note in found.notes[:8])
    needed = [archive for archive in archives.PUBLISHED if numbers_of(archive.name) & set(missing)]
    files = "".join(f"\n    {archive}" for archive in needed or archives.PUBLISHED)
    return DatasetNotFoundError(
        f"The {archives.DATASET} was expected in {config.shown(folder)}, which "
        f"{has}. Missing: {ranges(missing)}. Put there, unopened:{files}\n"
        "`python -m tumorcf_lib download` fetches them; by hand they are at "
        f"https://doi.org/10.6084/m9.figshare.1512427. {todo}The environment variable TUMORCF_DATA "
        "names another folder. Without the dataset, the profile demo runs on the phantom."
    )


def ranges(numbers, most=8):
    """Whole numbers in words, the first stretches of them.

    >>> ranges([1, 2, 3, 7])
    '1-3, 7'
    """
    numbers, parts = np.array(sorted(numbers)), []
    for stretch in np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1):
        first, *others = stretch.tolist() or ["none"]
        parts.append(f"{first}-{others[-1]}" if others else f"{first}")
    rest = f" and more ({len(numbers)} in all)" if parts[most:] else ""
    return ", ".join(parts[:most]) + rest


# -- inner parts -------------------------------------------------------------


def _all():
    return set(range(1, archives.N_PUBLISHED + 1))


def _holder(entry, top):
    """The archive, or the folder of loose files, that holds a slice, as seen from the top."""
    path = entry.path.relative_to(top)
    return f"{path}/{entry.inner}".strip("/") if entry.name else f"{path.parent}/"


def _places(top, notes):
    """Lists of files that may hold slices: the top's archives, its N.mat, those one deeper, ..."""
    seen, level = set(), [top]
    for depth in range(MAX_DEPTH + 1):
        files, below, others, dead = {".zip": [], ".mat": []}, [], [], []
        for parent in level:
            try:
                inside = [(path, *_kind(path)) for path in sorted(parent.iterdir())]
            except FileNotFoundError:
                continue
            except OSError as error:
                if depth == 0:
                    raise archives.no_access(parent, error) from error
                notes.append(f"{parent.relative_to(top)} there may not be read ({error.strerror})")
                continue
            for path, kind, key in inside:
                if kind == "folder":
                    below += [] if key in seen else [path]
                    seen.add(key)
                elif archives.is_slice(path.name) or archives.is_archive(path.name):
                    known = {"file": files[path.suffix.lower()], "dead link": dead}
                    known.get(kind, others).append(path)
                elif path.name.lower().endswith(PACKED):
                    notes.append(f"{path.name} there is no ZIP archive: unpack it")
                elif re.search(r"(?i)^(?!cvind|\._)[^:]*\.mat", path.name):
                    others.append(path)
        if dead:
            raise DatasetNotFoundError(
                f"{len(dead)} links in {config.shown(top)} lead nowhere, the first of them "
                f"{dead[0].relative_to(top)}. Fetch what they stand for (git annex get, dvc "
                "pull), or remove them."
            )
        if others:
            notes.append(
                f"{len(others)} files there are no slices by name or kind ({others[0].name}, ...): "
                "a slice is a regular file called N.mat"
            )
        yield from files.values()
        level = below if len(seen) + sum(map(len, files.values())) < MAX_ENTRIES else []


def _kind(path):
    """What a name stands for, and the folder's own number; only regular files are ever opened."""
    try:
        status = path.stat()
    except OSError:
        if path.is_symlink():  # to nowhere, or around in a loop
            return "dead link", None
        raise
    if stat.S_ISDIR(status.st_mode):
        return "folder", (status.st_dev, status.st_ino)
    return ("file" if stat.S_ISREG(status.st_mode) else "device"), None


def _entries(path, notes):
    """The slices in a loose file or an archive; a foreign archive that is none is noted."""
    status = path.stat()
    try:
        return _listed(path, status.st_size, status.st_mtime_ns)
    except CorruptArchiveError as error:
        is_published = path.name in {archive.name for archive in archives.PUBLISHED}
        if is_published or error.__cause__ is None:
            raise  # better refused by name than passed over
        notes.append(f"{path.name} there is no complete ZIP archive ({error.__cause__})")
        return []


@functools.lru_cache(maxsize=8192)
def _listed(path, n_bytes, mtime_ns):
    if archives.is_slice(path.name):
        where = f"{path.parent.name}/{path.name}"
        return [Entry(int(path.stem), where, n_bytes, zlib.crc32(archives.loose(path)), path)]
    with archives.opened(path) as archive:
        return list(archives.entries_in(archive, path))


def _distinct(entries):
    """The slices by number, equal copies once; two that differ under one number are refused."""
    found = {}
    for entry in entries:
        other = found.setdefault(entry.number, entry)
        if (entry.n_bytes, entry.crc) != (other.n_bytes, other.crc):
            got = f"another one, {entry.where}, that differs: two slices, or versions of one"
            if missing := _all() - {one.number for one in entries}:
                got += f"; missing are {ranges(missing)}"
            todo = (
                "These may be renumbered copies: delete none; move them away and fetch the "
                "published set (python -m tumorcf_lib download) into a folder of its own"
            )
            raise other.corrupt("one file for each slice number", got, todo=todo)
    return [found[number] for number in sorted(found)]
