"""The one store of kept results: made once, whole or not there, by one writer, checked when read.

A result's folder remembers in ``step.json`` what it was made of and, when it is finished, the hash
of each of its files.
"""

import contextlib
import functools
import hashlib
import json
import os
import shutil
import time
import zipfile
import zlib
from pathlib import Path

from tumorcf_lib import config

try:
    import fcntl
except ImportError:  # Windows outside WSL: nothing is held there
    fcntl = None

UNFINISHED = "unfinished-"
"""Begins the name of what is being written or removed: of no worth if a kill leaves it."""

CHECKPOINT = "checkpoint.npz"
"""State of a training, as big as some networks: of no use once what was trained is stored."""

DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, OSError, RuntimeError, TypeError)
DAMAGE += (ValueError,)
"""What reading a file of arrays raises if some of its bits have changed."""

WAIT_S = 10.0  # a kernel whose runner was killed notices within a second or two, and ends
RECORD, LOCK = "step.json", "in_use"
INTERRUPTED = "it was interrupted"

LARGE_BYTES = 10_000_000
_held: dict[Path, int] = {}


class InUseError(RuntimeError):
    """A folder that another process writes to, by its number."""

    def __init__(self, path, holder):
        super().__init__(
            f"Another process ({holder or 'unknown'}) writes to {config.shown(path)}: a run, or a "
            "notebook that is open in JupyterLab. Wait until it has finished, stop it, or shut its "
            "kernel down, and run the same again."
        )


class RecordError(RuntimeError):
    """A result's record that is not there, or cannot be read; its words say which."""


@contextlib.contextmanager
def being_written(path: Path):
    """Another name, of the same suffix, to write a file under; it gets its own when all of it is
    on the disk. After an error the half is removed: on a full disk it would be in the way."""
    unfinished = path.with_name(f"{UNFINISHED}{path.name}")
    try:
        yield unfinished
        with open(unfinished, "r+b") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file that is there as a whole or not at all; text as UTF-8."""
    with being_written(path) as unfinished:
        unfinished.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def read_json(path: Path):
    """The content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, content, *, sort_keys=False) -> None:
    """Write a JSON file as a whole; an entry a line, so that differences can be read."""
    write_whole(path, json.dumps(content, indent=1, sort_keys=sort_keys) + "\n")


def remove_whole(folder: Path) -> None:
    """Remove a folder, if it is there; a kill leaves nothing under its name."""
    shutil.rmtree(_aside(folder), ignore_errors=True)


@contextlib.contextmanager
def being_filled(folder: Path):
    """An empty folder beside another, whose place it takes when it is filled.

    A kill leaves the old folder or the new one; between two renames, for an instant, neither."""
    new = folder.with_name(f"{UNFINISHED}{folder.name}")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        old = _aside(folder)
        new.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _aside(folder):
    """Where a folder lies under another name, to be removed."""
    aside = folder.with_name(f"{UNFINISHED}removal-{folder.name}")
    shutil.rmtree(aside, ignore_errors=True)
    if folder.exists():
        folder.rename(aside)
    return aside


def clear_unfinished(folder: Path) -> None:
    """Remove what a killed process was writing or removing in a folder and below."""
    for left in sorted(folder.rglob(f"{UNFINISHED}*")):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)


def hold(path: Path, *, wait_s=0.0) -> None:
    """Hold a lock file until :func:`release` or this process's end, however it ends.

    Holding what this process holds changes nothing; where the file system knows no locks,
    nothing is held. :class:`InUseError` if another process still holds it after ``wait_s``."""
    path = Path(path).absolute()
    if fcntl is None or path in _held:
        return
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() >= until:
                holder = os.pread(file, 20, 0).decode(errors="replace").strip()
                os.close(file)
                raise InUseError(path, holder) from None
            time.sleep(0.1)
        except OSError:  # no locks on this file system
            os.close(file)
            return
    os.ftruncate(file, 0)
    os.pwrite(file, b"%d\n" % os.getpid(), 0)
    _held[path] = file


def release(path: Path) -> None:
    """Let go of a lock file; nothing happens if this process does not hold it."""
    file = _held.pop(Path(path).absolute(), None)
    if file is not None:
        os.close(file)


@contextlib.contextmanager
def held(path: Path, *, wait_s=0.0):
    """Hold a lock file in a context, one at a time, in this process, too; yields whether it is.

    The file stays: to remove it would let two processes lock two files of one name."""
    path = Path(path).absolute()
    if path in _held:
        raise InUseError(path, os.getpid())
    hold(path, wait_s=wait_s)
    try:
        yield path in _held
    finally:
        release(path)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    """Hash of a file's content; of a large one once a process, while its size and time stay."""
    stat = path.stat()
    if stat.st_size >= LARGE_BYTES:
        return _sha256_at(path, stat.st_size, stat.st_mtime_ns)
    return _sha256_at.__wrapped__(path)


@functools.cache
def _sha256_at(path, *_):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def begin(folder: Path, depends_on: dict) -> Path:
    """The folder to make a result in: finished, or as a kill left it, for equal ``depends_on``.

    Else it is emptied, as it is if a file was changed since it was finished."""
    reason = why_stale(folder, depends_on)
    if reason not in (None, INTERRUPTED):
        if changed := changed_file(folder):
            shown = config.shown(folder / changed)
            print(f"{shown} is not as it was made: made again.", flush=True)
        remove_whole(folder)
    if reason is not None:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / RECORD, {"depends_on": _marks(depends_on)})
    return folder


def seal(folder: Path) -> None:
    """Finish a result: remember the hash of every file, and forget the states of trainings."""
    forget_checkpoints(folder)
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    hashes = hashes_of(folder, sorted(set(found) - {RECORD}))
    write_json(folder / RECORD, read_record(folder) | {"hashes": hashes})


def why_stale(folder: Path, depends_on: dict) -> str | None:
    """Why a result has to be made (again), in words; None if it holds."""
    try:
        kept = read_record(folder)
    except RecordError as error:
        return str(error)
    now, then = _marks(depends_on), kept["depends_on"]
    changed = [key for key in {**then, **now} if now.get(key) != then.get(key)]
    if changed:
        return f"{changed[0]} changed since"
    return why_foreign(folder, kept["hashes"]) if "hashes" in kept else INTERRUPTED


def changed_file(folder: Path) -> str | None:
    """A file that is not as it was when the result was finished, or the damaged record."""
    try:
        return _foreign(folder, read_record(folder).get("hashes", {}))
    except RecordError:
        return RECORD if (folder / RECORD).is_file() else None


def why_foreign(folder: Path, hashes: dict) -> str | None:
    """Which of a record's files is not the one that was made, in words; else None."""
    name = _foreign(folder, hashes)
    return name and f"its file {name} is missing, cut off, or changed since"


def _foreign(folder, hashes):
    files = ((name, folder / name, digest) for name, digest in hashes.items())
    wrong = (name for name, path, was in files if not path.is_file() or file_sha256(path) != was)
    return next(wrong, None)


def hashes_of(folder: Path, names) -> dict[str, str]:
    """Hashes of some files of a folder, as a record has them."""
    return {name: file_sha256(folder / name) for name in names}


def read_record(folder: Path) -> dict:
    """What a result says of itself, or :class:`RecordError`."""
    path = folder / RECORD
    try:
        kept = read_json(path)
        return kept | {"depends_on": dict(kept["depends_on"])}
    except FileNotFoundError:
        raise RecordError("it was never finished") from None
    except (ValueError, KeyError, TypeError):
        raise RecordError(f"its record {config.shown(path)} is damaged; remove it") from None


def _marks(depends_on):
    texts = {k: json.dumps(v, sort_keys=True, default=str) for k, v in depends_on.items()}
    return {key: sha256(text.encode()) for key, text in texts.items()}


def forget_checkpoints(folder: Path) -> None:
    """Remove the states of trainings in a folder and below, when their results are stored."""
    for path in folder.rglob(CHECKPOINT):
        path.unlink()
