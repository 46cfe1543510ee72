"""The slices in loose files and ZIP archives, opened as if a stranger had packed them.

What an archive says of itself is held against bounds before anything is unpacked, and
unpacking never goes beyond what it said.
"""

import shutil
import zipfile
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tumorcf_lib.data import archives
from tumorcf_lib.data.archives import CorruptArchiveError, shown
from tumorcf_lib.data.cjdata import MAX_FILE_BYTES, CorruptSliceError

MAX_INNER_BYTES = 1 << 30  # of the archives in an archive; the published ones have 880 MB in all
MAX_TOTAL_BYTES = 1 << 34  # of all slices unpacked; the published ones have less than 3 GB
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile unpacks others without a bound


class Member(NamedTuple):
    """One N.mat: its number, where it is (for messages), and how to get its bytes."""

    number: int
    where: str
    read: Callable[[], bytes]


@contextmanager
def open_members(files, scratch):
    """All slices in these files, to be read while the context lasts.

    Parameters
    ----------
    files : list of Path
        As from :func:`data.archives.find`.
    scratch : Path
        An empty folder, where archives that lie inside an archive are put.

    Yields
    ------
    members : list of Member
        Sorted by slice number, each number once.
    holders : list of Path
        The archives that hold them; empty for loose files.

    Raises
    ------
    CorruptArchiveError, CorruptSliceError
        A file that is no complete archive, or one that could do harm: paths that climb out,
        members that unpack to more than a slice, archives in archives in an archive; two
        files with one number.
    tumorcf_lib.data.archives.DataAccessError, tumorcf_lib.data.archives.NoRoomError
    """
    members = [
        Member(int(path.stem), f"{path.parent.name}/{path.name}", partial(_read_loose, path))
        for path in files
        if not archives.is_archive(path)
    ]
    holders, total = [], 0
    # Each with the name to call it by: a packed one lies somewhere else once it is unpacked
    waiting = [(path, path) for path in files if archives.is_archive(path)]
    with ExitStack() as stack:
        while waiting:
            path, called = waiting.pop(0)
            archive = stack.enter_context(_open(path, called))
            inner, slices = _checked(archive, called, is_inner=path != called)
            for info in inner:
                unpacked = scratch / f"{len(list(scratch.iterdir()))}.zip"
                _unpack(archive, info, called, unpacked)
                waiting.append((unpacked, called / info.filename))
            total += sum(info.file_size for info, _ in slices)
            if total > MAX_TOTAL_BYTES:
                raise _refused(called, f"slices of more than {MAX_TOTAL_BYTES} bytes in all")
            members += [_member(archive, *entry, called) for entry in slices]
            holders += [path] if slices else []
        members.sort(key=lambda member: member.number)
        _check_distinct(members)
        yield members, holders


def _open(path, called):
    wrong = archives.why_not_zip(path)
    if wrong:
        raise _corrupt(path, called, wrong)
    return zipfile.ZipFile(path)


def _checked(archive, called, *, is_inner):
    """Those of an archive's members that are archives, and those that are slices: (info, name)."""
    inner, slices = [], []
    for info, name in zip(archive.infolist(), archives.names_in(archive)):
        first, *others = name.split("/")
        if first in ("", "..") or ":" in first or ".." in others:
            raise _refused(called, f"{info.filename!r}, a path that leads out of its folder")
        if archives.is_slice(name):
            _check_size(info, called, MAX_FILE_BYTES)
            slices.append((info, name))
        elif archives.is_archive(name):
            if is_inner:
                raise _refused(called, f"{info.filename}, an archive in an archive in an archive")
            _check_size(info, called, MAX_INNER_BYTES)
            inner.append(info)
        try:
            archive.open(info).close()  # the member's own header has to agree with the list
        except RuntimeError:
            pass  # packed in a way that zipfile does not know, and no slice: passed over
        except Exception as error:  # a damaged archive can raise nearly anything
            raise _corrupt(Path(archive.filename), called, f"{info.filename}: {error}") from error
    if sum(info.file_size for info in inner) > MAX_INNER_BYTES:
        raise _refused(called, f"archives of more than {MAX_INNER_BYTES} bytes in all")
    return inner, slices


def _check_size(info, called, max_bytes):
    """Refuse what cannot be unpacked, or only to more than is sensible, before unpacking it."""
    if info.flag_bits & 1:
        raise _refused(called, f"{info.filename}, which needs a password")
    if info.compress_type not in METHODS:
        raise _refused(called, f"{info.filename}, packed by another method ({info.compress_type})")
    if info.file_size > max_bytes:
        raise _refused(
            called, f"{info.filename}, which unpacks to {info.file_size} bytes, over {max_bytes}"
        )


def _unpack(archive, info, called, target):
    """Copy an archive that lies in an archive to where it can be opened."""
    no_room = archives.no_room(target.parent, info.file_size, f"The archives in {called.name}")
    if shutil.disk_usage(target.parent).free < info.file_size:
        raise no_room
    try:
        with archive.open(info) as packed, open(target, "wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
    except Exception as error:  # a damaged archive can raise nearly anything
        if isinstance(error, OSError) and error.errno in archives.NO_ROOM:
            raise no_room from error
        raise _corrupt(Path(archive.filename), called, f"{info.filename}: {error}") from error


def _member(archive, info, name, called):
    number, where = int(Path(name).stem), f"{called.name}/{name}"
    return Member(number, where, partial(_read, archive, info, number, where))


def _read(archive, info, number, where):
    try:
        with archive.open(info) as file:
            content = file.read(info.file_size + 1)  # a bound, or a header that lies fills memory
    except Exception as error:  # as above
        content, wrong = None, f"{error}"
    else:
        wrong = f"{len(content)} bytes"
    if content is None or len(content) != info.file_size:
        raise CorruptSliceError(
            number, where, f"{info.file_size} bytes with the right checksum", wrong
        )
    return content


def _read_loose(path):
    where = f"{path.parent.name}/{path.name}"
    try:
        n_bytes = path.stat().st_size
        if n_bytes > MAX_FILE_BYTES:
            raise CorruptSliceError(
                int(path.stem), where, f"at most {MAX_FILE_BYTES} bytes", f"{n_bytes}"
            )
        return path.read_bytes()
    except OSError as error:
        raise archives.no_access(path, error) from error


def _check_distinct(members):
    for one, other in zip(members, members[1:]):
        if one.number == other.number:
            raise CorruptSliceError(
                one.number, one.where, "one file for each slice number",
                f"a second one, {other.where}", todo="Keep only one of the two",
            )  # fmt: skip


def _corrupt(path, called, error):
    published = [str(archive) for archive in archives.PUBLISHED if archive.name == called.name]
    wanted = f" The published file is {published[0]}." if published else ""
    return CorruptArchiveError(
        f"{shown(called)} is not a complete ZIP archive ({error}); it has {path.stat().st_size} "
        f"bytes.{wanted} Move it away and fetch it again: python -m tumorcf_lib download."
    )


def _refused(called, what):
    return CorruptArchiveError(
        f"{shown(called)} was expected to hold small files N.mat, it holds {what}. Nothing was "
        "unpacked: it is not the published archive. Move it away and fetch that: "
        "python -m tumorcf_lib download."
    )
