"""The published archives of the dataset: which they are, where they lie, what is in them."""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tumorcf_lib.cjdata import CorruptSliceError, DatasetError

DATASET = "Figshare brain tumor dataset (Cheng, doi 10.6084/m9.figshare.1512427)"
N_PUBLISHED = 3064
CACHE_FORMAT = 1  # raise it when the arrays made of the archives change their form
PLACES = ("*.zip", "*.mat", "*/*.zip", "*/*.mat", "*/*/*.mat")
"""Where slices are looked for, in this order; the first place that has some is read."""


class DatasetNotFoundError(DatasetError):
    """A folder without the dataset, or with some of its archives only."""


class CorruptArchiveError(DatasetError):
    """An archive that cannot be opened."""


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


class Member(NamedTuple):
    """One N.mat: its number, where it is (for messages), and how to get its bytes."""

    number: int
    where: str
    read: Callable[[], bytes]

def has_dataset(folder):
    """Whether the folder holds the dataset: a quick look that reads no slice.

    Parameters
    ----------
    folder : path

    Returns
    -------
    bool
        False, too, if some but not all of the four published archives are there.
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
        the same one folder deeper. Empty without any.
    """
    for place in PLACES:
        found = sorted(path for path in Path(folder).glob(place) if _holds_slices(path))
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
    return DatasetNotFoundError(
        f"The {DATASET} was expected in {shown(folder)}, which {found}. Put there, unopened:\n"
        f"{files}\n`python -m tumorcf_lib download` fetches them; by hand they are at "
        "https://doi.org/10.6084/m9.figshare.1512427. The environment variable TUMORCF_DATA "
        "names another folder. Without the dataset, the profile demo runs on the phantom."
    )


@contextmanager
def open_members(files, scratch):
    """All slices in these files, to be read while the context lasts.

    Parameters
    ----------
    files : list of Path
        As from :func:`find`.
    scratch : Path
        An empty folder, where archives that lie inside an archive are put.

    Yields
    ------
    members : list of Member
        Sorted by slice number, each number once.
    archives : list of Path
        The archives that hold them; empty for loose files.

    Raises
    ------
    CorruptArchiveError, CorruptSliceError
        A file that is no complete archive; two files with one number.
    """
    members = [
        Member(int(path.stem), f"{path.parent.name}/{path.name}", path.read_bytes)
        for path in files
        if path.suffix == ".mat"
    ]
    archives, waiting = [], [path for path in files if path.suffix == ".zip"]
    with ExitStack() as stack:
        while waiting:
            path = waiting.pop(0)
            try:
                archive = stack.enter_context(zipfile.ZipFile(path))
                inner = [name for name in archive.namelist() if name.endswith(".zip")]
                waiting += [Path(archive.extract(name, scratch)) for name in inner]
            except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                raise _corrupt(path, error) from error
            held = _members_of(archive, path.name)
            members += held
            archives += [path] if held else []
        members.sort(key=lambda member: member.number)
        _check_distinct(members)
        yield members, archives


def md5(path):
    """MD5 of a file, as published for the archives."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def shown(path):
    """The path for messages, with the home folder as ~."""
    path = Path(path).absolute()
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)


def _is_slice(name):
    return Path(name).suffix == ".mat" and Path(name).stem.isdecimal()


def _holds_slices(path):
    if path.suffix == ".mat":
        return _is_slice(path)
    if path.name in {archive.name for archive in PUBLISHED}:
        return True  # even if damaged: better refused by name than passed over
    try:
        with zipfile.ZipFile(path) as archive:
            return any(_is_slice(name) or name.endswith(".zip") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return False


def _members_of(archive, archive_name):
    return [
        Member(int(Path(name).stem), f"{archive_name}/{name}", partial(_unpack, archive, name))
        for name in archive.namelist()
        if _is_slice(name)
    ]


def _unpack(archive, name):
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError) as error:
        raise CorruptSliceError(
            Path(name).stem, f"{Path(archive.filename).name}/{name}",
            "a member that unpacks with the right checksum", f"{error}",
        ) from error  # fmt: skip


def _check_distinct(members):
    for one, other in zip(members, members[1:]):
        if one.number == other.number:
            raise CorruptSliceError(
                one.number, one.where, "one file for each slice number",
                f"a second one, {other.where}", todo="Keep only one of the two",
            )  # fmt: skip


def _corrupt(path, error):
    published = [str(archive) for archive in PUBLISHED if archive.name == path.name]
    wanted = f" The published file is {published[0]}." if published else ""
    return CorruptArchiveError(
        f"{shown(path)} is not a complete ZIP archive ({error}); it has {path.stat().st_size} "
        f"bytes.{wanted} Delete it and fetch it again: python -m tumorcf_lib download."
    )
