"""The published archives and their members, opened as if a stranger had packed them."""

import errno
import functools
import hashlib
import re
import shutil
import tempfile
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from tumorcf_lib import config
from tumorcf_lib.data.matfile import FETCH_AGAIN, MAX_FILE_BYTES, CorruptSliceError, DatasetError

DATASET = "Figshare brain tumor dataset (Cheng, doi 10.6084/m9.figshare.1512427)"
N_PUBLISHED = 3064
MAX_INNER_BYTES = 1 << 30  # of an archive in an archive; the published ones have 232 MB
OWNERS = Path(__file__).with_name("owners.csv")  # where a stretch of one patient's slices begins
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile unpacks others without a bound
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""System errors of a write that found the disk, or the user's part of it, full."""


class DatasetNotFoundError(DatasetError):
    """A folder without the dataset, or with some of its slices only."""


class CorruptArchiveError(DatasetError):
    """An archive that is damaged, or that holds what the published one does not."""


class DataAccessError(DatasetError):
    """A folder or file that is there but may not be read, or written."""


class NoRoomError(DatasetError):
    """A disk without room for what is to be written."""


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


def no_access(path, error, *, to="read", by="--data or TUMORCF_DATA"):
    """The error for a folder or file that is there but may not be read, or written."""
    return DataAccessError(
        f"Expected to {to} {config.shown(path)}, got {type(error).__name__} ({error.strerror}). "
        f"Check what lies there and whether you may {to} it (ls -ld), or name another folder by "
        f"{by}."
    )


def no_room(folder, what, needed, todo):
    """The error for a disk on which so many bytes have no room."""
    free = shutil.disk_usage(folder).free
    return NoRoomError(
        f"The {what} need {needed / 1e6:.1f} MB in {config.shown(folder)}, and {free / 1e6:.1f} MB "
        f"are free there. Make room and run again{todo}"
    )


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
    match = re.fullmatch(r"(?:.*[/\\])?brainTumorDataPublic_(\d{1,4})-(\d{1,4})\.zip", name)
    first, last = map(int, match.groups()) if match else (1, N_PUBLISHED)
    return set(range(first, last + 1))


@functools.cache
def _owners(path):
    return pd.read_csv(path, dtype={"patient_id": str}, keep_default_na=False, index_col="first")


def owner(number):
    """Label (1, 2, 3) and patient ID that a slice of this number was published with."""
    return tuple(_owners(OWNERS).loc[:number].iloc[-1]) if OWNERS else None


def opened(path, get=None):
    """A ZIP archive by its path, or in the file that ``get`` opens; an error of ours if none."""
    try:
        return zipfile.ZipFile(get() if get else path)
    except PermissionError as error:
        raise no_access(path, error) from error
    except Exception as error:  # a damaged archive can raise nearly anything
        wanted = "".join(f" The published file is {a}." for a in PUBLISHED if a.name == path.name)
        size = f"; it has {path.stat().st_size} bytes" if get is None else ""
        raise CorruptArchiveError(
            f"{config.shown(path)} is not a complete ZIP archive ({error or type(error).__name__})"
            f"{size}.{wanted} {FETCH_AGAIN}."
        ) from error


def entries_in(archive, path, inner=""):
    """The slices of an open archive, and of archives in it (not deeper), each size bounded."""
    called = f"{path.name}/{inner}".strip("/")
    for info in archive.infolist():
        name = info.filename
        is_inner = is_archive(name) and not inner
        if not is_inner and not is_slice(name):
            continue
        odd = ""
        if info.flag_bits & 1 or info.compress_type not in METHODS:
            odd = f"{name} by a password or a method other than ZIP's own"
        elif info.file_size > (MAX_INNER_BYTES if is_inner else MAX_FILE_BYTES):
            odd = f"{name}, which unpacks to {info.file_size} bytes"
        if odd:
            raise CorruptArchiveError(
                f"{called} was expected to hold small files N.mat, it holds {odd}. Nothing was "
                f"unpacked: it is not the published archive. {FETCH_AGAIN}."
            )
        if is_inner:
            with opened(path / name, functools.partial(archive.open, info)) as within:
                yield from entries_in(within, path, name)
        else:
            number = int(re.split(r"[/\\]", name)[-1][:-4])
            yield Entry(number, f"{called}/{name}", info.file_size, info.CRC, path, inner, name)


class Reader(ExitStack):
    """Reads slices; archives stay open, those in an archive are unpacked into the folder, while
    this lasts."""

    def __init__(self, folder):
        super().__init__()
        self.aside = Path(self.enter_context(tempfile.TemporaryDirectory(dir=folder)))
        self.archives = {}

    def __call__(self, entry):
        """The bytes of a slice: all that were announced, and no more."""
        if not entry.name:
            return loose(entry.path)
        try:
            with self._archive(entry.path, entry.inner).open(entry.name) as file:
                content = file.read(entry.n_bytes + 1)  # a bound, or a lying header fills memory
            got = f"{len(content)} bytes"
        except CorruptArchiveError:
            raise
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

    def _archive(self, path, inner):
        if (path, inner) not in self.archives:
            archive = self.enter_context(opened(path))
            if inner:
                unpacked = self.aside / f"{len(self.archives)}.zip"
                with archive.open(inner) as packed, open(unpacked, "wb") as file:
                    shutil.copyfileobj(packed, file, 1 << 20)
                archive = self.enter_context(opened(unpacked))
            self.archives[path, inner] = archive
        return self.archives[path, inner]


def loose(path):
    """The bytes of a loose N.mat, if they are no more than a slice may have."""
    where = f"{path.parent.name}/{path.name}"
    try:
        n_bytes = path.stat().st_size
        if n_bytes > MAX_FILE_BYTES:
            wanted = f"at most {MAX_FILE_BYTES} bytes"
            raise CorruptSliceError(int(path.stem), where, wanted, n_bytes)
        return path.read_bytes()
    except OSError as error:
        raise no_access(path, error) from error
