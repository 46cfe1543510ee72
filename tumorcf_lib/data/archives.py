"""The published archives of the dataset: which they are, and where they lie."""

import errno
import hashlib
import json
import math
import re
import shutil
import zipfile
from pathlib import Path
from typing import NamedTuple

from tumorcf_lib.data.cjdata import DatasetError

DATASET = "Figshare brain tumor dataset (Cheng, doi 10.6084/m9.figshare.1512427)"
N_PUBLISHED = 3064
CACHE_FORMAT = 1  # raise it when the arrays made of the archives change their form
PLACES = (("*", ".zip"), ("*", ".mat"), ("*/*", ".zip"), ("*/*", ".mat"), ("*/*/*", ".mat"))
"""Where slices are looked for, in this order; the first place that has some is read."""
MAX_TABLE_BYTES = 1 << 23  # of an archive's table of contents; those of the published have < 0.1 MB
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""System errors of a write that found the disk, or the user's part of it, full."""


class DatasetNotFoundError(DatasetError):
    """A folder without the dataset, or with some of its archives only."""


class CorruptArchiveError(DatasetError):
    """An archive that is damaged, or that could harm the reader's machine."""


class DataAccessError(DatasetError):
    """A folder or file that is there but may not be read, or written."""


class NoRoomError(DatasetError):
    """A disk without room for the arrays made of the slices."""


class Archive(NamedTuple):
    """A published file: its number at Figshare, name, size in bytes and MD5."""

    file_id: int
    name: str
    n_bytes: int
    md5: str

    def __str__(self):
        return f"{self.name} ({self.n_bytes} bytes, MD5 {self.md5})"


PUBLISHED = (
    Archive(
        3381290, "brainTumorDataPublic_1-766.zip", 214401279, "74b949ad33f042e6e103523091cd1428"
    ),
    Archive(
        3381296, "brainTumorDataPublic_767-1532.zip", 217848429, "7e8a875500d2c8a346f270538e29890e"
    ),
    Archive(
        3381293, "brainTumorDataPublic_1533-2298.zip", 215563856, "8227bf6080cb71f15a88be8d25c79ae7"
    ),
    Archive(
        3381302, "brainTumorDataPublic_2299-3064.zip", 231679762, "b378a80d6174e5317d59eb28430c6652"
    ),
)


def has_dataset(folder):
    """Whether the folder holds the dataset: a quick look that reads no slice.

    Parameters
    ----------
    folder : path

    Returns
    -------
    bool
        False, too, if some but not all of the four published archives are there.

    Raises
    ------
    DataAccessError
        As :func:`find`.
    """
    return not lacking(find(folder))


def fingerprint(folder):
    """Hash of the names, sizes and times of the dataset's files; "no dataset" without them."""
    entries = []
    for path in find(folder):
        stat = path.stat()
        name = path.relative_to(folder).as_posix()
        entries.append((name, stat.st_size, stat.st_mtime_ns))
    if not entries:
        return "no dataset"
    return hashlib.sha256(json.dumps([CACHE_FORMAT, entries]).encode()).hexdigest()


def find(folder):
    """The archives, or else the N.mat files, that hold the slices; complete or not.

    Parameters
    ----------
    folder : path

    Returns
    -------
    list of Path
        All from the first place that has some: the folder's archives, its .mat files, then
        the same one folder deeper. Empty without any, or without the folder.

    Raises
    ------
    DataAccessError
        If the folder is a file, or it, a folder in it or an archive may not be read.
    """
    folder = Path(folder)
    try:
        next(folder.iterdir(), None)  # glob would take a folder that may not be read for empty
    except FileNotFoundError:
        return []
    except OSError as error:
        raise no_access(folder, error) from error
    for place, suffix in PLACES:
        paths = (path for path in folder.glob(place) if path.suffix.lower() == suffix)
        found = sorted(path for path in paths if _holds_slices(path))
        if found:
            return found
    return []


def lacking(files):
    """The published archives that are missing where some of them are, or where nothing is."""
    names = {path.name for path in files}
    missing = [archive for archive in PUBLISHED if archive.name not in names]
    return [] if files and len(missing) == len(PUBLISHED) else missing


def not_found(folder, missing):
    """The error that says which files the user should put where."""
    found = "has none of its files" if len(missing) == len(PUBLISHED) else "lacks some of its files"
    files = "\n".join(f"    {archive}" for archive in missing)
    others = {path.name: _why_passed_over(path) for path in sorted(Path(folder).glob("*"))}
    aside = "".join(f"; {name} there {why}" for name, why in others.items() if why)
    return DatasetNotFoundError(
        f"The {DATASET} was expected in {shown(folder)}, which {found}{aside}. Put there, "
        f"unopened:\n{files}\n`python -m tumorcf_lib download` fetches them; by hand they are at "
        "https://doi.org/10.6084/m9.figshare.1512427. The environment variable TUMORCF_DATA "
        "names another folder. Without the dataset, the profile demo runs on the phantom."
    )


def no_access(path, error, *, to="read", by="--data or TUMORCF_DATA"):
    """The error for a folder or file that is there but may not be read, or written."""
    return DataAccessError(
        f"Expected to {to} {shown(path)}, got {type(error).__name__} ({error.strerror}). Check "
        f"what lies there and whether you may {to} it (ls -ld), or name another folder by {by}."
    )


def no_room(folder, needed, what):
    """The error for a disk that cannot hold what has to be written."""
    return NoRoomError(
        f"{what} need {math.ceil(needed / 1e6)} MB in {shown(folder)}, and "
        f"{shutil.disk_usage(folder).free / 1e6:.0f} MB are free there. Make room and run again, "
        "or let the environment variable TUMORCF_RUNS name a folder on another disk; nothing "
        "unfinished was kept."
    )


def md5(path):
    """MD5 of a file, as published for the archives."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def shown(path):
    """The path for messages, with the home folder as ~."""
    path = Path(path).absolute()
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)


def is_slice(name):
    """Whether a name, with folders or without, is that of a slice: N.mat, in any capitals.

    >>> is_slice("deep/folder/12.mat"), is_slice("12.MAT"), is_slice("cvind.mat")
    (True, True, False)
    """
    return re.fullmatch(r"(.*/)?[0-9]{1,9}\.mat", str(name), re.IGNORECASE) is not None


def is_archive(name):
    """Whether a name is that of a ZIP archive, in any capitals; not of a Mac's notes on one.

    >>> is_archive("deep/a.ZIP"), is_archive("__MACOSX/._a.zip")
    (True, False)
    """
    name = Path(name).name.lower()
    return name.endswith(".zip") and not name.startswith("._")


def names_in(archive):
    """Names of an open archive's members, with slashes also where Windows put others."""
    return [info.filename.replace("\\", "/") for info in archive.infolist()]


def why_not_zip(path):
    """What is wrong with a file that should be a ZIP archive; "" if nothing is."""
    try:
        with open(path, "rb") as file:  # zipfile makes objects of the whole table at once
            end = zipfile._EndRecData(file)
        if end and end[zipfile._ECD_SIZE] > MAX_TABLE_BYTES:
            return f"a table of contents of {end[zipfile._ECD_SIZE]} bytes, over {MAX_TABLE_BYTES}"
        with zipfile.ZipFile(path):
            return ""
    except PermissionError as error:
        raise no_access(path, error) from error
    except Exception as error:  # a damaged archive can raise nearly anything
        return f"{error}" or type(error).__name__


def _why_passed_over(path):
    """Why something in the folder was of no use, if that may surprise."""
    if path.is_dir():
        try:
            next(path.iterdir(), None)
        except OSError as error:
            return f"may not be read ({error.strerror})"
    if path.is_dir() or not is_archive(path):
        return ""
    if why_not_zip(path):
        return "is no complete ZIP archive"
    return "" if _holds_slices(path) else "holds no N.mat"


def _holds_slices(path):
    try:
        if not path.is_file():
            return False
    except PermissionError as error:  # a folder that may be listed, but not opened
        raise no_access(path.parent, error) from error
    if not is_archive(path):
        return is_slice(path.name)
    if path.name in {archive.name for archive in PUBLISHED}:
        return True  # even if damaged: better refused by name than passed over
    if why_not_zip(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(is_slice(name) or is_archive(name) for name in names_in(archive))
