"""The published archives, fetched with resume and checked before they get their names."""

import shutil
import time
from pathlib import Path

import requests
from tqdm import tqdm

from tumorcf_lib import __version__
from tumorcf_lib.archives import PUBLISHED, md5, shown
from tumorcf_lib.cjdata import DatasetError

SOURCES = (
    "https://api.figshare.com/v2/file/download/{file_id}",
    "https://ndownloader.figshare.com/files/{file_id}",
    "https://figshare.com/ndownloader/files/{file_id}",
)
N_TRIES = 4
TIMEOUT_S = (15, 60)  # to connect, between two pieces of a file
PIECE_BYTES = 1 << 14  # a cut loses less than one piece


class DownloadError(DatasetError):
    """No source gave the file; the message says how to put it in place by hand."""


class _Refused(Exception):
    """A source that will not give the file: go on to the next."""


class _Interrupted(Exception):
    """A source that may give the rest of the file when asked again."""

    def __init__(self, reason, wait_s=0.0):
        super().__init__(reason)
        self.wait_s = wait_s


def download(folder, *, sources=SOURCES, archives=PUBLISHED, progress=True, pause_s=1.0):
    """Fetch the archives that the folder lacks.

    A file is written as ``<name>.part`` and renamed when its size and MD5 are those of the
    published one. A download that was cut off goes on where it stopped.

    Parameters
    ----------
    folder : path
        Made if need be.
    sources : sequence of str
        Addresses with ``{file_id}`` and ``{name}`` to fill in, tried in this order.
    archives : sequence of tumorcf_lib.archives.Archive
    progress : bool
        Show a bar for each file.
    pause_s : float
        First wait before a source is asked again; each further wait is twice as long.

    Returns
    -------
    list of Path
        The archives, all with the published MD5.

    Raises
    ------
    DownloadError
        If no source gives a file, a file of that name with other contents is in its place,
        or the disk is too full. Names the files, sizes, MD5s and the folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    missing = [archive for archive in archives if not _is_in_place(folder, archive)]
    _check_space(folder, missing)
    with requests.Session() as session:
        session.headers["User-Agent"] = f"tumorcf/{__version__} (a paper's companion)"
        session.headers["Accept-Encoding"] = "identity"  # sizes and ranges are those of the file
        for i, archive in enumerate(missing):
            failures = _fetch(session, archive, folder, sources, progress, pause_s)
            if failures:
                raise DownloadError(_by_hand(folder, missing[i:], failures))
    return [folder / archive.name for archive in archives]


def _is_in_place(folder, archive):
    path = folder / archive.name
    if not path.exists():
        return False
    if path.stat().st_size != archive.n_bytes or md5(path) != archive.md5:
        raise DownloadError(
            f"{shown(path)} is there ({path.stat().st_size} bytes) but is not the published "
            f"{archive}. Nothing was overwritten: move it away, or name another folder by --data."
        )
    return True


def _check_space(folder, missing):
    parts = [folder / f"{archive.name}.part" for archive in missing]
    needed = sum(archive.n_bytes for archive in missing)
    needed -= sum(part.stat().st_size for part in parts if part.exists())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DownloadError(
            f"The archives need {needed / 1e6:.0f} MB more in {shown(folder)}, and "
            f"{free / 1e6:.0f} MB are free. Make room, or name another folder by --data."
        )


def _fetch(session, archive, folder, sources, progress, pause_s):
    """Get one archive from the first source that gives it; else what each source said."""
    part, failures = folder / f"{archive.name}.part", []
    for source in sources:
        url = source.format(file_id=archive.file_id, name=archive.name)
        try:
            _fetch_from(session, url, archive, part, progress, pause_s)
        except (_Refused, _Interrupted) as error:
            failures.append(f"{url}: {error}")
        else:
            part.replace(folder / archive.name)
            return []
    return failures


def _fetch_from(session, url, archive, part, progress, pause_s):
    """Ask one source until the file is whole; tries that bring some of it do not count."""
    n_tries, furthest = 0, _size(part)
    while True:
        before = _size(part)
        try:
            if before != archive.n_bytes:
                _receive(session, url, archive, part, progress)
            return _verify(part, archive, resumed=before > 0)
        except _Interrupted as error:
            n_tries = 0 if _size(part) > furthest else n_tries + 1
            furthest = max(furthest, _size(part))
            if n_tries >= N_TRIES:
                raise
            time.sleep(max(error.wait_s, pause_s * 2 ** max(n_tries - 1, 0)))


def _receive(session, url, archive, part, progress):
    """Add to the partial file what one request brings."""
    start = _size(part)
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        with session.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
            if response.status_code == 416:
                part.unlink(missing_ok=True)
                raise _Interrupted("HTTP 416, the partial file is too long")
            start = _start_of(response, start, archive)
            if start == 0:
                part.unlink(missing_ok=True)  # a source without ranges begins again
            _append(response, start, archive, part, progress)
    except requests.RequestException as error:
        raise _Interrupted(f"{type(error).__name__}: {error}") from error
    if _size(part) < archive.n_bytes:
        raise _Interrupted(f"the file stopped after {_size(part)} of {archive.n_bytes} bytes")


def _start_of(response, start, archive):
    """The byte at which this answer begins; refuses what cannot be the file."""
    status, kind = response.status_code, response.headers.get("Content-Type", "")
    if status == 429 or status >= 500:
        wait = response.headers.get("Retry-After", "")
        raise _Interrupted(f"HTTP {status}", min(float(wait), 60.0) if wait.isdecimal() else 0.0)
    if status == 202:
        raise _Refused("HTTP 202 with no file, which is a check for robots")
    if status not in (200, 206):
        raise _Refused(f"HTTP {status} {response.reason}")
    if kind.startswith("text/html"):
        raise _Refused("a web page in place of the file")
    if status == 206:
        expected = f"bytes {start}-{archive.n_bytes - 1}/{archive.n_bytes}"
        if response.headers.get("Content-Range", "") != expected:
            raise _Refused(f"range {response.headers.get('Content-Range')!r}, wanted {expected!r}")
        return start
    length = response.headers.get("Content-Length", str(archive.n_bytes))
    if length != str(archive.n_bytes):
        raise _Refused(f"a file of {length} bytes, not {archive.n_bytes}")
    return 0


def _append(response, start, archive, part, progress):
    bar = tqdm(
        desc=archive.name, total=archive.n_bytes, initial=start, unit="B", unit_scale=True,
        disable=not progress,
    )  # fmt: skip
    with bar, open(part, "ab") as file:
        for piece in response.iter_content(PIECE_BYTES):
            if start + len(piece) > archive.n_bytes:
                file.truncate(0)
                raise _Refused(f"more than the file's {archive.n_bytes} bytes")
            start += file.write(piece)
            bar.update(len(piece))


def _verify(part, archive, *, resumed):
    """Check the MD5; wrong bytes are thrown away, and asked for again if two answers made them."""
    found = md5(part)
    if found == archive.md5:
        return
    part.unlink()
    reason = f"MD5 {found}, not {archive.md5}"
    raise _Interrupted(reason) if resumed else _Refused(reason)


def _size(part):
    return part.stat().st_size if part.exists() else 0


def _by_hand(folder, missing, failures):
    files = "\n".join(f"    {archive}" for archive in missing)
    reasons = "\n".join(f"    {failure}" for failure in failures)
    return (
        f"{missing[0].name} could not be fetched:\n{reasons}\n"
        f"Fetch by a browser, from https://doi.org/10.6084/m9.figshare.1512427, and put unopened "
        f"into {shown(folder)}:\n{files}\n"
        "Or try again later: what was fetched is kept, and the download goes on from there."
    )
