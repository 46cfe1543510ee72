"""One writer at a time: a folder is held by the process that writes to it.

The hold is the operating system's: it ends with its process, however that ends, so a killed
run never has to be unlocked by hand.
"""

import contextlib
import os
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows outside WSL: nothing is held there
    fcntl = None

WAIT_S = 10.0
"""A kernel whose runner was killed notices within a second or two, and ends."""

_held: dict[Path, int] = {}


class InUseError(RuntimeError):
    """A folder that another process writes to; ``holder`` is its number, 0 if unknown."""

    def __init__(self, path, holder):
        self.holder = holder
        super().__init__(f"{path} is held by process {holder or 'unknown'}")


def hold(path: Path, *, wait_s=0.0) -> None:
    """Hold a lock file for this process until :func:`release` or the process's end.

    Holding what this process holds already changes nothing. Where the file system knows no
    locks, nothing is held.

    Parameters
    ----------
    path : pathlib.Path
        Made if need be; holds the number of the process that held it last.
    wait_s : float
        How long to wait for another process to let go.

    Raises
    ------
    InUseError
        If another process still holds it then.
    """
    path = Path(path).absolute()
    if fcntl is None or path in _held:
        return
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < until:
                time.sleep(0.1)
                continue
            holder = os.pread(file, 20, 0)
            os.close(file)
            raise InUseError(path, int(holder) if holder.strip().isdigit() else 0) from None
        except OSError:  # no locks on this file system
            os.close(file)
            return
        os.ftruncate(file, 0)
        os.pwrite(file, b"%d\n" % os.getpid(), 0)
        _held[path] = file
        return


def release(path: Path) -> None:
    """Let go of a lock file; nothing happens if this process does not hold it."""
    file = _held.pop(Path(path).absolute(), None)
    if file is not None:
        os.close(file)


@contextlib.contextmanager
def held(path: Path, *, wait_s=0.0):
    """Hold a lock file while the context lasts; within one process, too, one context at a time.

    Parameters
    ----------
    path, wait_s
        As of :func:`hold`. The file stays: to remove it would let two processes lock two files
        of one name.

    Yields
    ------
    bool
        Whether the lock is held; False where the system or the disk knows no locks.

    Raises
    ------
    InUseError
        If another holds it all that time.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "lock"
    >>> with held(path) as is_held:
    ...     try:
    ...         with held(path):
    ...             print("both hold it")
    ...     except InUseError:
    ...         print("one at a time")
    one at a time
    """
    path = Path(path).absolute()
    if path in _held:
        raise InUseError(path, os.getpid())
    hold(path, wait_s=wait_s)
    try:
        yield path in _held
    finally:
        release(path)
