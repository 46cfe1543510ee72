"""The published archives, fetched with resume and checked before they get their names."""

import os
import shutil
import threading
import time
from pathlib import Path

import requests
import urllib3
from tqdm import tqdm

from tumorcf_lib import __version__, config, steps
from tumorcf_lib.data.archives import NO_ROOM, PUBLISHED, md5, no_access, no_room
from tumorcf_lib.data.matfile import DatasetError

SOURCES = (
    "https://api.figshare.com/v2/file/download/{file_id}",
    "https://ndownloader.figshare.com/files/{file_id}",
    "https://figshare.com/ndownloader/files/{file_id}",
)
N_TRIES = 4
TIMEOUT_S = (15.0, 60.0)  # to connect, and for a source to bring SLOW_BYTES more
PIECE_BYTES = 1 << 16
SLOW_BYTES = 1 << 16  # less than this in one try, or in the time above, is nothing
HEADERS = {
    "User-Agent": f"tumorcf/{__version__} (a paper's companion)",
    "Accept-Encoding": "identity",  # sizes and ranges are those of the file
}


class DownloadError(DatasetError):
    """No source gave the file; the message says how to put it in place by hand."""


class _SourceError(Exception):
    """A source that will not give the file."""


class _PassingError(_SourceError):
    """A source that may give the file when it is asked again."""


def download(
    folder, *, sources=SOURCES, archives=PUBLISHED, progress=True, pause_s=1.0, timeout_s=TIMEOUT_S
):
    """Fetch the archives that the folder lacks, from the first source that gives each; the paths.

    A file is written as ``<name>.part``, resumed after any interruption, and renamed when its
    size and MD5 are those published. Raises DownloadError; nothing is ever overwritten.
    """
    folder = Path(folder)

    def lacking():
        return [archive for archive in archives if not _is_in_place(folder / archive.name, archive)]

    try:
        if lacking():  # a folder that is complete need not be one to write into
            folder.mkdir(parents=True, exist_ok=True)
            with steps.held(folder / ".lock"):  # two writers would spoil one partial file
                missing = lacking()
                _check_room(folder, missing)
                for i, archive in enumerate(missing):
                    named = f"{archive.name} ({i + 1} of {len(missing)})"
                    options = {"unit": "B", "unit_scale": True, "disable": not progress}
                    with tqdm(desc=named, total=archive.n_bytes, **options) as bar:
                        failures = _fetch(archive, folder, sources, bar, pause_s, timeout_s)
                    if failures:
                        raise DownloadError(_by_hand(folder, missing[i:], failures))
    except steps.InUseError as error:
        raise DownloadError(
            f"Another process downloads into {config.shown(folder)}. Wait for it, or end it."
        ) from error
    except OSError as error:
        if error.errno in NO_ROOM and folder.is_dir():
            _check_room(folder, lacking(), is_full=True)
        raise no_access(error.filename or folder, error, to="write", by="--data") from error
    return [folder / archive.name for archive in archives]


def _check_room(folder, missing, *, is_full=False):
    needed = sum(max(a.n_bytes - _size(folder / f"{a.name}.part"), 0) for a in missing)
    if is_full or shutil.disk_usage(folder).free < needed:
        todo = " (what was fetched is kept), or name another folder by --data."
        raise no_room(folder, "archives", needed, todo)


def _is_in_place(path, archive):
    if not os.path.lexists(path):
        return False
    n_bytes = path.stat().st_size if path.is_file() else None  # a pipe or device is not opened
    if n_bytes != archive.n_bytes or md5(path) != archive.md5:
        raise DownloadError(
            f"{config.shown(path)} is there ({n_bytes} bytes) but is not the published {archive}. "
            "Nothing was overwritten: move it away, or name another folder by --data."
        )
    return True


def _fetch(archive, folder, sources, bar, pause_s, timeout_s):
    """Bring one archive into its place; without success, what each source said."""
    part, failures = folder / f"{archive.name}.part", []
    say = (lambda text: None) if bar.disable else bar.write
    for source in sources:
        url = source.format(file_id=archive.file_id)
        n_tries, furthest = 0, _size(part)
        while True:
            try:
                _receive(url, archive, part, bar, timeout_s)
                part.replace(folder / archive.name)
                return []
            except _SourceError as error:
                reason = error
            n_tries = 0 if _size(part) >= furthest + SLOW_BYTES else n_tries + 1
            furthest = max(furthest, _size(part))
            if not isinstance(reason, _PassingError) or n_tries == N_TRIES:
                break
            wait_s = pause_s * 2 ** max(n_tries - 1, 0)
            say(f"{url}: {reason}; asked again in {wait_s:.0f} s")
            time.sleep(wait_s)
        failures.append(f"{url}: {reason}")
        say(f"{failures[-1]}; left")
    return failures


def _receive(url, archive, part, bar, timeout_s):
    """Add to the partial file what one request brings, until it is the published one."""
    if _size(part) > archive.n_bytes:
        part.unlink()
    before = _size(part)
    if before < archive.n_bytes:
        _watched(url, archive, part, bar, timeout_s)
    n_bytes = _size(part)
    if n_bytes < archive.n_bytes:
        raise _PassingError(f"stopped after {n_bytes} of {archive.n_bytes} bytes")
    found = md5(part)
    if found != archive.md5:
        part.unlink()
        raise (_PassingError if before else _SourceError)(f"MD5 {found}, not {archive.md5}")


def _watched(url, archive, part, bar, timeout_s):
    """One request, made by a thread that is left to itself once it brings too little.

    A source may send its headers, or the sizes of its chunks, a byte a minute, which is no
    silence to a socket.
    """
    n_received, errors, is_over = [], [], threading.Event()

    def bring():
        try:
            _append(url, archive, part, bar, timeout_s, n_received, is_over)
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            errors.append(_PassingError(f"{type(error).__name__}: {error}"))
        except Exception as error:
            errors.append(error)

    thread, n_before = threading.Thread(target=bring, daemon=True), 0
    thread.start()
    while thread.is_alive():
        thread.join(timeout_s[1])
        n_more, n_before = sum(n_received) - n_before, sum(n_received)
        if thread.is_alive() and n_more < SLOW_BYTES:
            is_over.set()
            raise _PassingError(f"only {n_more} bytes in {timeout_s[1]:g} s")
    if errors:
        raise errors[0]


def _append(url, archive, part, bar, timeout_s, n_received, is_over):
    start = _size(part)
    headers = HEADERS | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(url, headers=headers, stream=True, timeout=timeout_s) as response:
        start = _start_of(response, part, archive)
        piece = response.raw.read1(PIECE_BYTES)
        if not piece:
            return  # nothing came, which is no reason to begin again
        if start == 0 and piece[:2] != b"PK"[: len(piece)]:
            raise _SourceError(f"no ZIP archive but something that begins {piece[:40]!r}")
        # A source without ranges begins again; only now is what came before given up
        with open(part, "ab" if start else "wb") as file:
            while piece and not is_over.is_set():
                if file.tell() + len(piece) > archive.n_bytes:
                    raise _SourceError(f"more than the file's {archive.n_bytes} bytes")
                file.write(piece)
                file.flush()
                bar.update(file.tell() - bar.n)
                n_received.append(len(piece))
                piece = response.raw.read1(PIECE_BYTES)


def _start_of(response, part, archive):
    """The byte at which this answer begins; refuses what cannot be the file."""
    status, headers, start = response.status_code, response.headers, _size(part)
    if status == 429 or status >= 500:
        raise _PassingError(f"HTTP {status}")
    if status == 202:
        raise _SourceError("HTTP 202 with no file, which is a check for robots")
    if start and status in (206, 416):
        rest = f"bytes {start}-{archive.n_bytes - 1}/{archive.n_bytes}"
        if status == 206 and headers.get("Content-Range", "") == rest:
            return start
        part.unlink()  # next time the whole is asked for
        raise _PassingError("no such part of the file")
    if status != 200:
        raise _SourceError(f"HTTP {status} {response.reason}")
    length = headers.get("Content-Length", str(archive.n_bytes))
    if length != str(archive.n_bytes):
        raise _SourceError(f"a file of {length} bytes, not {archive.n_bytes}")
    return 0


def _size(part):
    return part.stat().st_size if part.exists() else 0


def _by_hand(folder, missing, failures):
    reasons, files = ("".join(f"    {line}\n" for line in lines) for lines in (failures, missing))
    return (
        f"{missing[0].name} could not be fetched:\n{reasons}"
        f"Fetch by a browser, from https://doi.org/10.6084/m9.figshare.1512427, and put unopened "
        f"into {config.shown(folder)}:\n{files}"
        "Or try again later: what was fetched is kept, and the download goes on from there."
    )
