"""Files and folders that are there as a whole or not at all, whenever the process is killed."""

import errno
import os
import shutil
from pathlib import Path

from tumorcf_lib import paths

UNFINISHED = "unfinished-"
"""Begins the name of whatever is being written or removed."""

LEFTOVERS = (f"{UNFINISHED}*", "*.unfinished.*")
"""What a kill may leave behind; nothing of it counts."""


class DiskFullError(OSError):
    """No room for a file that is about to be written."""


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file under another name, and give it its own when it is complete.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_whole(folder / "a.txt", "all of it")
    >>> [path.name for path in folder.iterdir()]
    ['a.txt']
    """
    unfinished = path.with_name(f"{UNFINISHED}{path.name}")
    unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
    unfinished.replace(path)


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file, which has its new name when it is complete."""
    unfinished = target.with_name(f"{UNFINISHED}{target.name}")
    shutil.copyfile(source, unfinished)
    unfinished.replace(target)


def remove_whole(folder: Path) -> None:
    """Remove a folder, if it is there; a kill leaves nothing under its name."""
    if folder.exists():
        going = folder.with_name(f"{UNFINISHED}removal-{folder.name}")
        shutil.rmtree(going, ignore_errors=True)
        folder.rename(going)
        shutil.rmtree(going)


def clear_unfinished(folder: Path) -> None:
    """Remove what a killed process was writing or removing in a folder and below."""
    for pattern in LEFTOVERS:
        for left in sorted(folder.rglob(pattern)):
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
