"""The published archives, fetched with resume and checked before they get their names."""

import contextlib
import itertools
import multiprocessing
import os
import time
from multiprocessing.pool import ThreadPool

import requests
from tqdm import tqdm

from tumorcf_lib import __version__, config
from tumorcf_lib.data.archives import PUBLISHED, check_room, md5, writing
from tumorcf_lib.data.matfile import DatasetError

SOURCES = (
    "https://api.figshare.com/v2/file/download/{file_id}",
    "https://ndownloader.figshare.com/files/{file_id}",
    "https://figshare.com/ndownloader/files/{file_id}",
)
N_TRIES = 4  # that bring no new piece, before a source is left
PAUSE_S = 1.0  # after the first of them; it doubles
CONNECT_S = 15.0
PIECE_BYTES = 1 << 16
PIECE_S = 60.0  # a source that needs longer for a piece is silent
HEADERS = {
    "User-Agent": f"tumorcf/{__version__} (a paper's companion)",
    "Accept-Encoding": "identity",  # sizes and ranges are those of the file
}


class _SourceError(Exception):
    """A source that will not give the file."""


class _PassingError(Exception):
    """A source that may give the file when it is asked again."""


def download(folder):
    """Fetch the archives that the folder lacks, each from the first source that gives it.

    A file is written as ``<name>.part``, resumed after any interruption, and renamed when its
    size and MD5 are those published. Raises DatasetError; nothing is ever overwritten.
    """
    missing = _missing(folder)
    if missing:  # a folder that is complete need not be one to write into
        needed = sum(archive.n_bytes - _size(_part(folder, archive)) for archive in missing)
        what = f"the archives ({needed / 1e6:.1f} MB)"
        with writing(folder, what, "--data"):  # two would spoil one partial file
            check_room(folder, needed)
            for archive in _missing(folder):
                failures = _fetch(archive, folder)
                if failures:
                    raise DatasetError(_by_hand(folder, _missing(folder), failures))


def _missing(folder):
    """Archives that are not there; another file of such a name is refused."""
    missing = [archive for archive in PUBLISHED if not os.path.lexists(folder / archive.name)]
    for archive in set(PUBLISHED) - set(missing):
        path = folder / archive.name
        n_bytes = path.stat().st_size if path.is_file() else None  # a pipe or device is not opened
        if n_bytes != archive.n_bytes or md5(path) != archive.md5:
            raise DatasetError(
                f"{config.shown(path)} is there ({n_bytes} bytes) but is not the published "
                f"{archive}. Nothing was overwritten: move it away, or name another folder by "
                "--data."
            )
    return missing


def _part(folder, archive):
    return folder / f"{archive.name}.part"


def _size(part):
    return part.stat().st_size if part.exists() else 0


def _fetch(archive, folder):
    """Bring one archive into its place; without success, what each source said."""
    part, failures = _part(folder, archive), []
    with tqdm(desc=archive.name, total=archive.n_bytes, unit="B", unit_scale=True) as bar:
        for source in SOURCES:
            url = source.format(file_id=archive.file_id)
            n_tries, furthest = 0, _size(part)
            while n_tries < N_TRIES:
                if n_tries:
                    time.sleep(PAUSE_S * 2 ** (n_tries - 1))
                try:
                    _receive(url, archive, part, bar)
                    part.replace(folder / archive.name)
                    return []
                except _SourceError as error:
                    reason, n_tries = error, N_TRIES
                except _PassingError as error:
                    reason = error
                    n_tries = n_tries + 1 if _size(part) < furthest + PIECE_BYTES else 1
                    furthest = max(furthest, _size(part))
                bar.write(f"{url}: {reason}")
            failures.append(f"{url}: {reason}")
    return failures


def _receive(url, archive, part, bar):
    """Add to the partial file what one request brings, until it is the published one."""
    before = _size(part)
    if before < archive.n_bytes:
        with contextlib.closing(_answer(url, before)) as answer:  # refused, it is left at once
            _append(answer, archive, part, bar)
    if (n_bytes := _size(part)) < archive.n_bytes:
        raise _PassingError(f"stopped after {n_bytes} of {archive.n_bytes} bytes")
    if (found := md5(part)) != archive.md5:
        part.unlink()
        raise (_PassingError if before else _SourceError)(f"MD5 {found}, not {archive.md5}")


def _append(answer, archive, part, bar):
    """Write an answer's pieces after what there is, if they go on from there, or in its place."""
    response, start = next(answer), _size(part)
    status, headers = response.status_code, response.headers
    is_rest = start > 0 and status in (206, 416)
    rest = f"bytes {start}-{archive.n_bytes - 1}/{archive.n_bytes}"
    if is_rest and headers.get("Content-Range") != rest:
        part.unlink()  # next time the whole is asked for
        raise _PassingError("no such part of the file")
    if not is_rest and status != 200:
        is_passing = status == 429 or status >= 500
        raise (_PassingError if is_passing else _SourceError)(f"HTTP {status} {response.reason}")
    length = headers.get("Content-Length", str(archive.n_bytes))
    if not is_rest and length != str(archive.n_bytes):
        raise _SourceError(f"a file of {length} bytes, not {archive.n_bytes}")
    first = next(answer, b"")
    if not first:
        return  # nothing came, which is no reason to begin again
    if not is_rest and first[:2] != b"PK":
        raise _SourceError(f"no ZIP archive but something that begins {first[:40]!r}")
    # A source without ranges begins again; only now is what came before given up
    with open(part, "ab" if is_rest else "wb") as file:
        for piece in itertools.chain([first], answer):
            file.write(piece)
            file.flush()
            bar.update(file.tell() - bar.n)
            if file.tell() > archive.n_bytes:
                return


def _answer(url, start):
    """What a source answers to a request from a byte on: its response, then its pieces.

    A thread asks, and is left to itself when a piece takes too long: a source may send its
    headers, or the sizes of its chunks, a byte a minute, which is no silence to a socket.
    """
    asked, thread = _asked(url, start), ThreadPool(1)
    try:
        while (item := thread.apply_async(next, (asked, None)).get(PIECE_S)) is not None:
            yield item
    except multiprocessing.TimeoutError:
        raise _PassingError(f"less than {PIECE_BYTES} bytes in {PIECE_S:g} s") from None
    except Exception as error:  # of the network, in many kinds
        raise _PassingError(f"{type(error).__name__}: {error}") from error
    finally:
        thread.terminate()


def _asked(url, start):
    headers = HEADERS | ({"Range": f"bytes={start}-"} if start else {})
    how = {"headers": headers, "stream": True, "timeout": (CONNECT_S, PIECE_S)}
    with requests.get(url, **how) as response:
        yield response
        while piece := response.raw.read(PIECE_BYTES):
            yield piece


def _by_hand(folder, missing, failures):
    reasons, files = ("".join(f"    {line}\n" for line in lines) for lines in (failures, missing))
    return (
        f"{missing[0].name} could not be fetched:\n{reasons}"
        f"Fetch by a browser, from https://doi.org/10.6084/m9.figshare.1512427, and put unopened "
        f"into {config.shown(folder)}:\n{files}"
        "Or try again later: what was fetched is kept, and the download goes on from there."
    )
