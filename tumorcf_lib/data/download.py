"""The published archives, fetched with resume and checked before they get their names."""

import datetime
import email.utils
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import requests
import urllib3
from tqdm import tqdm

from tumorcf_lib import __version__, steps
from tumorcf_lib.config import shown
from tumorcf_lib.data.archives import NO_ROOM, PUBLISHED, Archive, md5
from tumorcf_lib.data.matfile import DatasetError

SOURCES = (
    "https://api.figshare.com/v2/file/download/{file_id}",
    "https://ndownloader.figshare.com/files/{file_id}",
    "https://figshare.com/ndownloader/files/{file_id}",
)
N_TRIES = 4
TIMEOUT_S = (15.0, 60.0)  # to connect, between two pieces of a file
PIECE_BYTES = 1 << 16
SLOW_BYTES = 1 << 16  # less than this in one try, or in the time between two pieces, is nothing
ZIP_BEGINS = b"PK"  # also the archives that are split or empty
MAX_WAIT_S = 60.0  # a source that wants us to wait longer is passed over


class DownloadError(DatasetError):
    """No source gave the file; the message says how to put it in place by hand."""


class _Refused(Exception):
    """A source that will not give the file: go on to the next."""


class _NoRanges(Exception):
    """A source that answers a request for the rest of a file with something else."""


class _Interrupted(Exception):
    """A source that may give the rest of the file when asked again."""

    def __init__(self, reason, wait_s=0.0):
        super().__init__(reason)
        self.wait_s = wait_s


def download(
    folder, *, sources=SOURCES, archives=PUBLISHED, progress=True, pause_s=1.0, timeout_s=TIMEOUT_S
):
    """Fetch the archives that the folder lacks.

    A file is written as ``<name>.part`` and renamed when its size and MD5 are those of the
    published one. A download that was cut off goes on where it stopped.

    Parameters
    ----------
    folder : path
        Made if need be.
    sources : sequence of str
        Addresses with ``{file_id}`` and ``{name}`` to fill in, tried in this order.
    archives : sequence of tumorcf_lib.data.archives.Archive
    progress : bool
        Show a bar for each file, with its rate and the time left, and say why a source is
        asked again or left.
    pause_s : float
        First wait before a source is asked again; each further wait is twice as long. A
        source that names a longer one (``Retry-After``) is given that, up to a minute.
    timeout_s : tuple of float
        Seconds to connect, and seconds that a source may be silent. One that brings less than
        64 kB in the latter counts as silent, too.

    Returns
    -------
    list of Path
        The archives, all with the published MD5.

    Raises
    ------
    DownloadError
        If no source gives a file, a file of that name with other contents is in its place,
        the folder cannot be written or the disk is too full, or another process downloads
        into it. Names the files, sizes, MD5s and the folder.
    """
    folder, missing = Path(folder), archives
    paths = [folder / archive.name for archive in archives]
    try:
        missing = _missing(folder, archives)
        if not missing:
            return paths  # a folder that is complete need not be one to write into
        folder.mkdir(parents=True, exist_ok=True)
        with steps.held(folder / ".lock"):  # two writers would spoil one partial file
            missing = _missing(folder, missing)
            if shutil.disk_usage(folder).free < _needed(folder, missing):
                raise _no_room(folder, missing)
            _fetch_all(folder, missing, sources, progress, pause_s, timeout_s)
    except steps.InUseError as error:
        raise DownloadError(
            f"Another process downloads into {shown(folder)}. Wait until it is done, or end it."
        ) from error
    except OSError as error:
        if error.errno in NO_ROOM and folder.is_dir():
            raise _no_room(folder, missing) from error
        raise DownloadError(
            f"Expected a folder to write into, got {type(error).__name__} ({error.strerror}) from "
            f"{shown(error.filename or folder)}. Make {shown(folder)} and what is in it readable "
            "and writable, or name another folder by --data."
        ) from error
    return paths


def _missing(folder, archives):
    return [archive for archive in archives if not _is_in_place(folder, archive)]


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


def _needed(folder, missing):
    """Bytes that are still to come."""
    sizes = [(archive.n_bytes, _size(folder / f"{archive.name}.part")) for archive in missing]
    return sum(max(n_bytes - there, 0) for n_bytes, there in sizes)


def _no_room(folder, missing):
    missing = [archive for archive in missing if not (folder / archive.name).exists()]
    return DownloadError(
        f"The archives need {_needed(folder, missing) / 1e6:.1f} MB more in {shown(folder)}, and "
        f"{shutil.disk_usage(folder).free / 1e6:.1f} MB are free. Make room and run again (what "
        "was fetched is kept), or name another folder by --data."
    )


def _fetch_all(folder, missing, sources, progress, pause_s, timeout_s):
    with requests.Session() as session:
        session.headers["User-Agent"] = f"tumorcf/{__version__} (a paper's companion)"
        session.headers["Accept-Encoding"] = "identity"  # sizes and ranges are those of the file
        session.hooks["response"] = _leave_unread  # requests would read all that a redirect sends
        for i, archive in enumerate(missing):
            part = folder / f"{archive.name}.part"
            bar = tqdm(
                desc=f"{archive.name} ({i + 1} of {len(missing)})", total=archive.n_bytes,
                initial=min(_size(part), archive.n_bytes), unit="B", unit_scale=True,
                disable=not progress,
            )  # fmt: skip
            with bar:
                fetching = _Fetching(session, archive, part, bar, pause_s, timeout_s)
                failures = fetching.from_first_of(sources)
            if failures:
                raise DownloadError(_by_hand(folder, missing[i:], failures))


def _leave_unread(response, **_):
    if response.is_redirect:
        response.close()


@dataclass(frozen=True)
class _Fetching:
    """One archive on its way into its partial file."""

    session: requests.Session
    archive: Archive
    part: Path
    bar: tqdm
    pause_s: float
    timeout_s: tuple[float, float]

    def from_first_of(self, sources):
        """Get the archive from the first source that gives it; else what each source said."""
        failures = []
        for source in sources:
            url = source.format(file_id=self.archive.file_id, name=self.archive.name)
            try:
                self._from(url)
            except (_Refused, _Interrupted) as error:
                failures.append(f"{url}: {error}")
                self._say(f"{failures[-1]}; left")
            else:
                with open(self.part, "rb+") as file:
                    os.fsync(file)  # or a power cut might leave the name, and not all the bytes
                self.part.replace(self.part.with_suffix(""))
                return []
        return failures

    def _from(self, url):
        """Ask one source until the file is whole; tries that bring enough of it do not count."""
        n_tries, furthest, wants_ranges = 0, _size(self.part), True
        while True:
            if _size(self.part) > self.archive.n_bytes:
                self.part.unlink()
            before = _size(self.part)
            try:
                if before != self.archive.n_bytes:
                    self._receive(url, before if wants_ranges else 0)
                return self._verify(resumed=before > 0)
            except _NoRanges:
                wants_ranges = False  # asked again at once, for the whole
            except _Interrupted as error:
                has_gained = _size(self.part) >= furthest + SLOW_BYTES
                n_tries = 0 if has_gained else n_tries + 1
                furthest = max(furthest, _size(self.part))
                if n_tries >= N_TRIES:
                    raise
                wait_s = max(error.wait_s, self.pause_s * 2 ** max(n_tries - 1, 0))
                self._say(f"{url}: {error}; asked again in {wait_s:.0f} s")
                time.sleep(wait_s)

    def _receive(self, url, start):
        """Add to the partial file what one request brings."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        try:
            with self.session.get(
                url, headers=headers, stream=True, timeout=self.timeout_s
            ) as response:
                start = _start_of(response, start, self.archive)
                self._append(response.raw, start)
        except (requests.TooManyRedirects, ValueError) as error:  # addresses that make no sense
            raise _Refused(f"{type(error).__name__}: {error}") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _Interrupted(f"{type(error).__name__}: {error}") from error
        if _size(self.part) < self.archive.n_bytes:
            raise _Interrupted(
                f"the file stopped after {_size(self.part)} of {self.archive.n_bytes} bytes"
            )

    def _append(self, raw, start):
        piece = raw.read1(PIECE_BYTES)  # what has come; read would wait for a full piece
        if not piece:
            return  # nothing came, which is no reason to begin again
        if start == 0 and piece[:2] != ZIP_BEGINS[: len(piece)]:
            raise _Refused(f"no ZIP archive but something that begins {piece[:40]!r}")
        began = start
        window_s = self.timeout_s[1]
        window_ends, n_in_window = time.monotonic() + window_s, 0
        # A source without ranges begins again; only now is what came before given up
        with open(self.part, "ab" if start else "wb") as file:
            while piece:
                start += len(piece)
                if start > self.archive.n_bytes:
                    file.truncate(began)
                    raise _Refused(f"more than the file's {self.archive.n_bytes} bytes")
                file.write(piece)
                self.bar.update(start - self.bar.n)
                n_in_window += len(piece)
                if time.monotonic() > window_ends:
                    if n_in_window < SLOW_BYTES:
                        raise _Interrupted(f"only {n_in_window} bytes in {window_s:g} s")
                    window_ends, n_in_window = time.monotonic() + window_s, 0
                piece = raw.read1(PIECE_BYTES)

    def _verify(self, *, resumed):
        """Check the MD5; wrong bytes are thrown away, and asked for again if they were resumed."""
        found = md5(self.part)
        if found == self.archive.md5:
            return
        self.part.unlink()
        reason = f"MD5 {found}, not {self.archive.md5}"
        raise _Interrupted(reason) if resumed else _Refused(reason)

    def _say(self, text):
        if not self.bar.disable:
            self.bar.write(text)


def _start_of(response, start, archive):
    """The byte at which this answer begins; refuses what cannot be the file."""
    status, headers = response.status_code, response.headers
    if status == 429 or status >= 500:
        raise _asked_to_wait(status, headers.get("Retry-After", ""))
    if status == 202:
        raise _Refused("HTTP 202 with no file, which is a check for robots")
    if status == 416 and start:
        raise _NoRanges
    if status not in (200, 206):
        raise _Refused(f"HTTP {status} {response.reason}")
    if headers.get("Content-Type", "").lower().startswith("text/html"):
        raise _Refused("a web page in place of the file")
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise _Refused(f"the file packed by {headers['Content-Encoding']}, which nobody asked for")
    if status == 206:
        expected = f"bytes {start}-{archive.n_bytes - 1}/{archive.n_bytes}"
        if start and headers.get("Content-Range", "") == expected:
            return start
        if start:
            raise _NoRanges
        raise _Refused("a part of the file, though the whole was asked for")
    length = headers.get("Content-Length", str(archive.n_bytes))
    if length != str(archive.n_bytes):
        raise _Refused(f"a file of {length} bytes, not {archive.n_bytes}")
    return 0


def _asked_to_wait(status, retry_after):
    """The error of a busy source, with the time that it asks for: seconds, or a date."""
    wait_s = 0.0
    if retry_after.isdecimal():
        wait_s = float(retry_after)
    elif retry_after:
        try:
            until = email.utils.parsedate_to_datetime(retry_after)
            wait_s = (until - datetime.datetime.now(until.tzinfo)).total_seconds()
        except ValueError:
            pass  # neither: our own pause
    if wait_s > MAX_WAIT_S:
        return _Refused(f"HTTP {status}, wants to be asked in {wait_s:.0f} s")
    return _Interrupted(f"HTTP {status}", wait_s)


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
