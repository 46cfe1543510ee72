"""Files and folders that are there as a whole or not at all, whenever the process is killed."""

import contextlib
import errno
import os
import shutil
from pathlib import Path

from tumorcf_lib import paths

UNFINISHED = "unfinished-"
"""Begins the name of whatever is being written or removed."""

LEFTOVERS = f"{UNFINISHED}*"
"""What a kill may leave behind; nothing of it counts."""

CHECKPOINT = "checkpoint.npz"
"""State of a training, as big as some networks: of no use once what was trained is stored."""


class DiskFullError(OSError):
    """No room for a file that is about to be written."""


@contextlib.contextmanager
def being_written(path: Path):
    """Another name to write a file under, which gets its own when it is complete.

    Then all of it is on the disk, so that a power cut leaves no empty file of that name. After
    an error the half is removed: on a full disk it would be in the way.

    Yields
    ------
    pathlib.Path
        Of the same suffix, for writers that go by it.
    """
    unfinished = path.with_name(f"{UNFINISHED}{path.name}")
    try:
        yield unfinished
        with open(unfinished, "r+b") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file that is there as a whole or not at all.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_whole(folder / "a.txt", "all of it")
    >>> [path.name for path in folder.iterdir()]
    ['a.txt']
    """
    with being_written(path) as unfinished:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file, which has its new name when it is complete."""
    with being_written(target) as unfinished:
        shutil.copyfile(source, unfinished)


def remove_whole(folder: Path) -> None:
    """Remove a folder, if it is there; a kill leaves nothing under its name."""
    if folder.exists():
        going = folder.with_name(f"{UNFINISHED}removal-{folder.name}")
        shutil.rmtree(going, ignore_errors=True)
        folder.rename(going)
        shutil.rmtree(going)


@contextlib.contextmanager
def being_filled(folder: Path):
    """An empty folder beside another, whose place it takes when it is filled.

    A kill leaves the old folder or the new one; between two renames, for an instant, neither.
    What it leaves half done has names that git ignores, and is removed the next time.
    """
    new = folder.with_name(f"{UNFINISHED}{folder.name}")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        going = folder.with_name(f"{UNFINISHED}removal-{folder.name}")
        shutil.rmtree(going, ignore_errors=True)
        if folder.exists():
            folder.rename(going)
        new.rename(folder)
        shutil.rmtree(going, ignore_errors=True)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def clear_unfinished(folder: Path) -> None:
    """Remove what a killed process was writing or removing in a folder and below."""
    for left in sorted(folder.rglob(LEFTOVERS)):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)


def reserve(path: Path) -> None:
    """Take the room on the disk for all of a file's bytes, also for those not written yet.

    A file that is mapped into memory is full of holes at first, and a disk that is full when
    they are filled ends the process without a word.

    Raises
    ------
    DiskFullError
        If there is no room; the file is removed.
    """
    n_bytes = path.stat().st_size
    try:
        with open(path, "r+b") as file:
            if hasattr(os, "posix_fallocate") and n_bytes:
                os.posix_fallocate(file.fileno(), 0, n_bytes)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return  # a file system that cannot reserve
        path.unlink(missing_ok=True)
        raise DiskFullError(
            f"No room on the disk for {n_bytes / 1e6:.0f} MB of {paths.shown(path)}. Free some, "
            "or move everything that runs write (TUMORCF_RUNS=<folder>), and run the same again."
        ) from None
