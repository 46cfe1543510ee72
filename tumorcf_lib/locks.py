"""One process at a time: a lock that the system takes back when its holder is killed, too."""

import contextlib
import time

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class LockedError(RuntimeError):
    """Another process holds the lock."""


@contextlib.contextmanager
def held(path, *, wait_s=0.0):
    """Hold a lock while the context lasts.

    Parameters
    ----------
    path : Path
        Of the lock's own file, made if need be. It stays, empty: to remove it would let two
        processes lock two files of one name.
    wait_s : float
        How long to wait for another holder, in seconds.

    Yields
    ------
    bool
        Whether the lock is held; False where the system or the disk knows no locks.

    Raises
    ------
    LockedError
        If another process holds it all that time.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "lock"
    >>> with held(path) as is_held:
    ...     try:
    ...         with held(path):
    ...             print("both hold it")
    ...     except LockedError:
    ...         print("one at a time")
    one at a time
    """
    with open(path, "ab") as file:
        yield _lock(file, time.monotonic() + wait_s)  # given back when the file is closed


def _lock(file, deadline):
    while fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise LockedError(f"another process holds {file.name}") from None
            time.sleep(0.1)
        except OSError:  # a network disk without locks
            break
    return False
