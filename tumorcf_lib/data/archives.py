"""The published archives and their members, opened as if a stranger had packed them."""

import errno
import functools
import hashlib
import re
import shutil
import tempfile
import zipfile
import zlib
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from tumorcf_lib import config, steps
from tumorcf_lib.data.matfile import MAX_FILE_BYTES, CorruptSliceError, DatasetError

DATASET = "Figshare brain tumor dataset (Cheng, doi 10.6084/m9.figshare.1512427)"
N_PUBLISHED = 3064
MAX_INNER_BYTES = 1 << 30  # of an archive in an archive; the published ones have 232 MB
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile unpacks others without a bound
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""System errors of a write that found the disk, or the user's part of it, full."""


class DatasetNotFoundError(DatasetError):
    """A folder without the dataset, or with some of its slices only."""


class Archive(NamedTuple):
    """A published file: its number at Figshare, name, size in bytes and MD5."""

    file_id: int
    name: str
    n_bytes: int
    md5: str

    def __str__(self):
        return f"{self.name} ({self.n_bytes} bytes, MD5 {self.md5})"


PUBLISHED = tuple(
    Archive(file_id, f"brainTumorDataPublic_{numbers}.zip", n_bytes, md5)
    for file_id, numbers, n_bytes, md5 in (
        (3381290, "1-766", 214401279, "74b949ad33f042e6e103523091cd1428"),
        (3381296, "767-1532", 217848429, "7e8a875500d2c8a346f270538e29890e"),
        (3381293, "1533-2298", 215563856, "8227bf6080cb71f15a88be8d25c79ae7"),
        (3381302, "2299-3064", 231679762, "b378a80d6174e5317d59eb28430c6652"),
    )
)


class Entry(NamedTuple):
    """One N.mat: its number, its place (for messages), size, checksum, and how to get at it."""

    number: int
    where: str
    n_bytes: int
    crc: int
    path: Path  # of the loose file, or of the archive
    inner: str = ""  # archive in the archive
    name: str = ""  # member; "" for a loose file

    def corrupt(self, expected, got, **todo):
        """The error for this slice."""
        return CorruptSliceError(self.number, self.where, expected, got, **todo)


def check_room(folder, needed):
    """OSError where the folder's disk has no room for so many bytes."""
    if (free := shutil.disk_usage(folder).free) < needed:
        words = f"{needed / 1e6:.1f} MB are needed, only {free / 1e6:.1f} MB are free"
        raise OSError(errno.ENOSPC, words)


@contextmanager
def writing(folder, what, by, *, wait_s=0.0):
    """A folder that this process alone writes to; whether locks are known there.

    What the system has against it becomes a DatasetError: name another folder ``by`` this.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with steps.held(folder / ".lock", wait_s=wait_s) as is_alone:
            yield is_alone
    except steps.InUseError as error:
        raise DatasetError(
            f"Another process writes {what} to {config.shown(folder)}. Wait for it, or end it."
        ) from error
    except OSError as error:
        raise DatasetError(
            f"Expected to write {what} to {config.shown(error.filename or folder)}, got "
            f"{type(error).__name__} ({error.strerror}). Make room, check your rights there "
            f"(ls -ld), or name another folder by {by}."
        ) from error


def md5(path):
    """MD5 of a file, as published for the archives."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def is_slice(name):
    return re.fullmatch(r"(.*[/\\])?[0-9]{1,9}\.mat", str(name), re.IGNORECASE | re.DOTALL)


def is_archive(name):
    """Not what a Mac notes on one."""
    name = re.split(r"[/\\]", str(name))[-1].lower()
    return name.endswith(".zip") and not name.startswith("._")


def numbers_of(name):
    """The slices that an archive should hold by its name; all of them by another name."""
    match = re.search(r"brainTumorDataPublic_(\d{1,4})-(\d{1,4})\.zip\Z", name)
    first, last = map(int, match.groups()) if match else (1, N_PUBLISHED)
    return set(range(first, last + 1))


@functools.cache
def _owners():
    """A line for each stretch of one patient's slices, by its first number."""
    path = Path(__file__).with_name("owners.csv")
    return pd.read_csv(path, dtype={"patient_id": str}, keep_default_na=False, index_col="first")


def owner(number):
    """Label (1, 2, 3) and patient ID that a slice of this number was published with."""
    return tuple(_owners().loc[:number].iloc[-1])


@functools.lru_cache(maxsize=8192)
def entries_of(path, n_bytes, mtime_ns):
    """The slices in a loose N.mat or in an archive, which has this size and time.

    A damaged one can raise nearly anything, one that is too large raises ValueError.
    """
    if not is_slice(path.name):
        with zipfile.ZipFile(path) as archive:
            return list(_members(archive, path))
    if n_bytes > MAX_FILE_BYTES:
        raise ValueError(f"a slice of {n_bytes} bytes")
    crc, where = zlib.crc32(path.read_bytes()), f"{path.parent.name}/{path.name}"
    return [Entry(int(path.stem), where, n_bytes, crc, path)]


def _members(archive, path, inner=""):
    """The slices of an open archive, and of archives in it (not deeper), each size bounded."""
    for info in archive.infolist():
        name = info.filename
        is_inner = is_archive(name) and not inner
        if not is_inner and not is_slice(name):
            continue
        most = MAX_INNER_BYTES if is_inner else MAX_FILE_BYTES
        if info.compress_type not in METHODS or info.file_size > most:
            method = f"method {info.compress_type}"
            raise ValueError(f"{name} in it would unpack by {method} to {info.file_size} bytes")
        if is_inner:
            with archive.open(info) as file, zipfile.ZipFile(file) as within:
                yield from _members(within, path, name)
        else:
            number = int(re.split(r"[/\\]", name)[-1][:-4])
            where = "/".join(filter(None, (path.name, inner, name)))
            yield Entry(number, where, info.file_size, info.CRC, path, inner, name)


class Reader(ExitStack):
    """Reads slices; archives stay open, those in an archive are unpacked into the folder, while
    this lasts."""

    def __init__(self, folder):
        super().__init__()
        self.aside = Path(self.enter_context(tempfile.TemporaryDirectory(dir=folder)))
        self.archives = {}

    def __call__(self, entry):
        """The bytes of a slice: all that were announced, and no more."""
        try:
            with self._opened(entry) as file:
                content = file.read(entry.n_bytes + 1)  # a bound, or a lying header fills memory
            got = f"{len(content)} bytes"
        except Exception as error:  # a damaged archive can raise nearly anything
            if getattr(error, "errno", None) in NO_ROOM:
                raise
            content, got = b"", f"{error}"
        if len(content) != entry.n_bytes or not content:
            raise entry.corrupt(f"{entry.n_bytes} bytes with the right checksum", got)
        return content

    def md5s(self):
        """Those of the archives that were read."""
        return {md5(archive.filename) for archive in self.archives.values()}

    def _opened(self, entry):
        if not entry.name:
            return open(entry.path, "rb")
        if (place := (entry.path, entry.inner)) not in self.archives:
            archive = self.enter_context(zipfile.ZipFile(entry.path))
            if entry.inner:
                path = archive.extract(entry.inner, self.aside / f"{len(self.archives)}")
                archive = self.enter_context(zipfile.ZipFile(path))
            self.archives[place] = archive
        return self.archives[place].open(entry.name)
