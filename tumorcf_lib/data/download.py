"""The published archives, fetched with resume and checked before they get their names."""

import os
import queue
import shutil
import threading
import time
from pathlib import Path

import requests
import urllib3
from tqdm import tqdm

from tumorcf_lib import __version__, config, steps
from tumorcf_lib.data.archives import NO_ROOM, PUBLISHED, md5
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
MAX_WAIT_S = 60.0  # a source that wants us to wait longer is passed over
HEADERS = {
    "User-Agent": f"tumorcf/{__version__} (a paper's companion)",
    "Accept-Encoding": "identity",  # sizes and ranges are those of the file
}


class DownloadError(DatasetError):
    """No source gave the file; the message says how to put it in place by hand."""


class _Refused(Exception):
    """A source that will not give the file: go on to the next."""


class _Interrupted(Exception):
    """A source that may give the rest (or the whole) of the file when asked again."""

    def __init__(self, reason, wait_s=0.0, *, whole=False):
        super().__init__(reason)
        self.wait_s, self.whole = wait_s, whole


def download(
    folder, *, sources=SOURCES, archives=PUBLISHED, progress=True, pause_s=1.0, timeout_s=TIMEOUT_S
):
    """Fetch the archives that the folder lacks, from the first source that gives each; the paths.

    A file is written as ``<name>.part``, resumed after any interruption, and renamed when its
    size and MD5 are those published. Raises DownloadError; nothing is ever overwritten.
    """
    folder = Path(folder)
    paths, missing = [folder / archive.name for archive in archives], archives
    try:
        missing = [archive for archive in archives if not _is_in_place(folder, archive)]
        if not missing:
            return paths  # a folder that is complete need not be one to write into
        folder.mkdir(parents=True, exist_ok=True)
        with steps.held(folder / ".lock"):  # two writers would spoil one partial file
            missing = [archive for archive in missing if not _is_in_place(folder, archive)]
            if shutil.disk_usage(folder).free < _needed(folder, missing):
                raise _no_room(folder, missing)
            for i, archive in enumerate(missing):
                bar = tqdm(
                    desc=f"{archive.name} ({i + 1} of {len(missing)})",
                    total=archive.n_bytes,
                    unit="B",
                    unit_scale=True,
                    disable=not progress,
                )
                with bar:
                    failures = _fetch(archive, folder, sources, bar, pause_s, timeout_s)
                if failures:
                    raise DownloadError(_by_hand(folder, missing[i:], failures))
    except steps.InUseError as error:
        raise DownloadError(
            f"Another process downloads into {config.shown(folder)}. Wait until it is done, or "
            "end it."
        ) from error
    except OSError as error:
        if error.errno in NO_ROOM and folder.is_dir():
            raise _no_room(folder, missing) from error
        raise DownloadError(
            f"Expected a folder to write into, got {type(error).__name__} ({error.strerror}) from "
            f"{config.shown(error.filename or folder)}. Make {config.shown(folder)} and what is "
            "in it readable and writable, or name another folder by --data."
        ) from error
    return paths


def _is_in_place(folder, archive):
    path = folder / archive.name
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
        url = source.format(file_id=archive.file_id, name=archive.name)
        n_tries, furthest, resumes = 0, _size(part), True
        while True:
            try:
                _receive(url, archive, part, bar, timeout_s, resumes)
                part.replace(folder / archive.name)
                return []
            except _Refused as error:
                reason = error
                break
            except _Interrupted as error:
                reason, resumes = error, resumes and not error.whole
                n_tries = 0 if _size(part) >= furthest + SLOW_BYTES else n_tries + 1
                furthest = max(furthest, _size(part))
                if n_tries >= N_TRIES:
                    break
                wait_s = max(error.wait_s, pause_s * 2 ** max(n_tries - 1, 0))
                say(f"{url}: {error}; asked again in {wait_s:.0f} s")
                time.sleep(wait_s)
        failures.append(f"{url}: {reason}")
        say(f"{failures[-1]}; left")
    return failures


def _receive(url, archive, part, bar, timeout_s, resumes):
    """Add to the partial file what one request brings, until it is the published one."""
    if _size(part) > archive.n_bytes:
        part.unlink()
    before = start = _size(part) if resumes or _size(part) == archive.n_bytes else 0
    if start < archive.n_bytes:
        try:
            pieces = _pieces(url, start, timeout_s)
            start = _start_of(next(pieces), start, archive)
            _append(pieces, part, start, archive, bar, timeout_s[1])
        except (requests.TooManyRedirects, ValueError) as error:  # addresses that make no sense
            raise _Refused(f"{type(error).__name__}: {error}") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _Interrupted(f"{type(error).__name__}: {error}") from error
    if _size(part) < archive.n_bytes:
        raise _Interrupted(f"stopped after {_size(part)} of {archive.n_bytes} bytes")
    with open(part, "rb+") as file:
        os.fsync(file)  # or a power cut might leave the name, and not all the bytes
    found = md5(part)
    if found != archive.md5:
        part.unlink()
        reason = f"MD5 {found}, not {archive.md5}"
        raise _Interrupted(reason, whole=True) if before else _Refused(reason)


def _pieces(url, start, timeout_s):
    """The answer to a request, then its bytes as they come, read by a thread of its own.

    A source may send its headers, or the sizes of its chunks, a byte a minute, which is no
    silence to a socket: when nothing came in time, the thread is left to itself.
    """
    came, is_over = queue.Queue(8), threading.Event()

    def bring():
        try:
            headers = {**HEADERS, "Range": f"bytes={start}-"} if start else HEADERS
            with requests.get(url, headers=headers, stream=True, timeout=timeout_s) as response:
                came.put(response)
                while not is_over.is_set() and (piece := response.raw.read1(PIECE_BYTES)):
                    came.put(piece)
            came.put(None)
        except Exception as error:
            came.put(error)

    threading.Thread(target=bring, daemon=True).start()
    try:
        while (item := came.get(timeout=sum(timeout_s))) is not None:
            if isinstance(item, Exception):
                raise item
            yield item
    except queue.Empty:
        raise _Interrupted(f"timed out: nothing in {sum(timeout_s):g} s") from None
    finally:
        is_over.set()
        while not came.empty():
            came.get_nowait()


def _append(pieces, part, start, archive, bar, window_s):
    piece = next(pieces, b"")
    if not piece:
        return  # nothing came, which is no reason to begin again
    if start == 0 and piece[:2] != b"PK"[: len(piece)]:
        raise _Refused(f"no ZIP archive but something that begins {piece[:40]!r}")
    began, ends, n_in_window = start, time.monotonic() + window_s, 0
    # A source without ranges begins again; only now is what came before given up
    with open(part, "ab" if start else "wb") as file:
        while piece:
            start += len(piece)
            if start > archive.n_bytes:
                file.truncate(began)
                raise _Refused(f"more than the file's {archive.n_bytes} bytes")
            file.write(piece)
            bar.update(start - bar.n)
            n_in_window += len(piece)
            if time.monotonic() > ends:
                if n_in_window < SLOW_BYTES:
                    raise _Interrupted(f"only {n_in_window} bytes in {window_s:g} s")
                ends, n_in_window = time.monotonic() + window_s, 0
            piece = next(pieces, b"")


def _start_of(response, start, archive):
    """The byte at which this answer begins; refuses what cannot be the file."""
    status, headers = response.status_code, response.headers
    if status == 429 or status >= 500:
        asked = headers.get("Retry-After", "")
        wait_s = float(asked) if asked.isdecimal() else 0.0
        if wait_s > MAX_WAIT_S:
            raise _Refused(f"HTTP {status}, wants to be asked in {wait_s:.0f} s")
        raise _Interrupted(f"HTTP {status}", wait_s)
    if status == 202:
        raise _Refused("HTTP 202 with no file, which is a check for robots")
    rest = f"bytes {start}-{archive.n_bytes - 1}/{archive.n_bytes}"
    if start and status in (206, 416):
        if status == 206 and headers.get("Content-Range", "") == rest:
            return start
        raise _Interrupted("no such part of the file", whole=True)
    if status != 200:
        raise _Refused(f"HTTP {status} {response.reason}")
    length = headers.get("Content-Length", str(archive.n_bytes))
    if length != str(archive.n_bytes):
        raise _Refused(f"a file of {length} bytes, not {archive.n_bytes}")
    return 0


def _size(part):
    return part.stat().st_size if part.exists() else 0


def _needed(folder, missing):
    """Bytes that are still to come."""
    sizes = [(archive.n_bytes, _size(folder / f"{archive.name}.part")) for archive in missing]
    return sum(max(n_bytes - there, 0) for n_bytes, there in sizes)


def _no_room(folder, missing):
    missing = [archive for archive in missing if not (folder / archive.name).exists()]
    return DownloadError(
        f"The archives need {_needed(folder, missing) / 1e6:.1f} MB more in "
        f"{config.shown(folder)}, and {shutil.disk_usage(folder).free / 1e6:.1f} MB are free. Make "
        "room and run again (what was fetched is kept), or name another folder by --data."
    )


def _by_hand(folder, missing, failures):
    files = "\n".join(f"    {archive}" for archive in missing)
    reasons = "\n".join(f"    {failure}" for failure in failures)
    return (
        f"{missing[0].name} could not be fetched:\n{reasons}\n"
        f"Fetch by a browser, from https://doi.org/10.6084/m9.figshare.1512427, and put unopened "
        f"into {config.shown(folder)}:\n{files}\n"
        "Or try again later: what was fetched is kept, and the download goes on from there."
    )
