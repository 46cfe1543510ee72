"""Where the slices of the dataset lie in a folder, and whether all of them are there."""

import json
import os
import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tumorcf_lib import config, steps
from tumorcf_lib.data import archives
from tumorcf_lib.data.archives import DatasetNotFoundError, numbers_of
from tumorcf_lib.data.matfile import FETCH_AGAIN, DatasetError

MAX_DEPTH = 5  # folders below the dataset's own in which slices are looked for
MAX_ENTRIES = 50_000  # folders looked into: a home folder may be named by mistake
MAYBE = re.compile(r"(?!cvind|\._)[^:]*\.(mat|tar|t?gz|bz2|xz|7z|rar|part|crdownload)\b", re.I)
"""Names of files that may hold slices which nobody can read from there."""
NEITHER = "neither a file N.mat nor a ZIP archive of them (unpack others)"
DEAD = "a link to no file: fetch what it stands for (git annex get, dvc pull)"


class Found(NamedTuple):
    """What a folder holds: its slices, each number once, and what was passed over, in words."""

    entries: list
    notes: list

    @property
    def missing(self):
        """Numbers of published slices that are not there."""
        return sorted(_all() - {entry.number for entry in self.entries})

    @property
    def is_enough(self):
        """Whether these are all slices, or the user allowed a part."""
        return bool(self.entries) and (is_partial() or not self.missing)


def is_partial():
    """Whether the user allowed a part of the dataset (``--partial``, TUMORCF_PARTIAL=1)."""
    return os.environ.get("TUMORCF_PARTIAL", "") not in ("", "0")


def require(folder):
    """What :func:`find` finds, if it is enough and in the archives of its numbers; else an error
    says what lacks."""
    found = find(folder)
    if not found.is_enough:
        raise not_found(folder, found)
    for entry in [] if is_partial() else found.entries:
        own = numbers_of(entry.inner or entry.path.name)
        if entry.number not in own:
            todo = f"{FETCH_AGAIN}, or allow it by --partial"
            raise entry.corrupt(f"one of the slices {ranges(own)} there", entry.number, todo=todo)
    return found


def fingerprint(folder):
    """Hash of the numbers, sizes and CRC-32 of the dataset's slices.

    Neither the files' times nor their places count, nor what lies beside them.
    """
    facts = sorted((e.number, e.n_bytes, e.crc, not e.name) for e in find(folder).entries)
    return steps.sha256(json.dumps(facts).encode())


def find(folder):
    """The slices in the folder and below, in archives or loose: a Found; empty without it.

    If the archives at the top, or the loose files there, or those one folder deeper ... are the
    whole dataset, they are taken alone; else all together, where copies count once.
    """
    found, passed_over = [], defaultdict(list)
    for files in _files(Path(folder), passed_over):
        own = [entry for path in files for entry in _entries(path, passed_over)]
        if {entry.number for entry in own} >= _all():
            return Found(_distinct(own), [])
        found += own
    notes = [
        f"{paths[0].name}{f' and {len(paths) - 1} more' if paths[1:] else ''} there: {reason}"
        for reason, paths in passed_over.items()
    ]
    return Found(_distinct(found), notes)


def not_found(folder, found):
    """The error that says which slices are missing, and which files belong where."""
    missing, todo = found.missing, ""
    has = "has none of its files" if Path(folder).exists() else "does not exist"
    if found.entries:
        has = f"holds {len(found.entries)} of its {archives.N_PUBLISHED} slices"
        todo = "To go on with what is there, add --partial (TUMORCF_PARTIAL=1). "
    has += "".join(f"; {note}" for note in found.notes[:8])
    needed = [archive for archive in archives.PUBLISHED if numbers_of(archive.name) & set(missing)]
    files = "".join(f"\n    {archive}" for archive in needed)
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


def _files(top, passed_over):
    """Lists of files that may hold slices: the top's archives, its N.mat, those one deeper, ...

    What nobody can read from there is noted as ``passed_over``, {reason: paths}.
    """

    def note(error):
        if isinstance(error, FileNotFoundError):
            return
        if error.filename == str(top):
            raise DatasetError(
                f"Expected to read {config.shown(top)}, got {type(error).__name__} "
                f"({error.strerror}). Check your rights there (ls -ld), or name another folder by "
                "--data or TUMORCF_DATA."
            ) from error
        passed_over[f"cannot be read ({error.strerror})"].append(Path(error.filename))

    found, seen = defaultdict(list), set()
    for place, below, names in os.walk(top, onerror=note, followlinks=True):
        folder = Path(place)
        depth, is_known = len(folder.relative_to(top).parts), folder.resolve() in seen
        if len(seen) > MAX_ENTRIES and below:
            passed_over[f"not looked into: more than {MAX_ENTRIES} folders"].append(folder)
        if is_known or depth == MAX_DEPTH or len(seen) > MAX_ENTRIES:
            below.clear()
        seen.add(folder.resolve())
        below.sort()
        for path in [] if is_known else map(folder.joinpath, sorted(names)):
            is_one = archives.is_slice(path.name) or archives.is_archive(path.name)
            if is_one and os.path.isfile(path):  # nothing else is ever opened
                found[depth, path.suffix.lower() == ".mat"].append(path)
            elif is_one or MAYBE.match(path.name):
                passed_over[DEAD if os.path.islink(path) else NEITHER].append(path)
    return [found[place] for place in sorted(found)]


def _entries(path, passed_over):
    """The slices in a loose file or an archive; it is noted if it cannot be read."""
    try:
        status = path.stat()
        return archives.entries_of(path, status.st_size, status.st_mtime_ns)
    except Exception as error:  # a damaged archive can raise nearly anything
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        passed_over[f"cannot be read ({reason})"].append(path)
        return []


def _distinct(entries):
    """The slices by number, equal copies once; two that differ under one number are refused."""
    found = {}
    for entry in entries:
        other = found.setdefault(entry.number, entry)
        if (entry.n_bytes, entry.crc) != (other.n_bytes, other.crc):
            missing = ranges(_all() - {one.number for one in entries})
            raise other.corrupt(
                "one file for each slice number",
                f"another one, {entry.where}, that differs; missing are {missing}",
                todo="These may be renumbered copies, or versions of one: delete none; move them "
                "away and fetch the published set (python -m tumorcf_lib download) into a folder "
                "of its own",
            )
    return [found[number] for number in sorted(found)]
