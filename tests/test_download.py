import hashlib
import os
import re
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
from fake_cheng import no_file_beyond, open_folder, without_rights

from tumorcf_lib.data import download
from tumorcf_lib.data.archives import Archive
from tumorcf_lib.data.matfile import DatasetError

CONTENT = b"PK" + np.random.default_rng(0).bytes(699_998)
WRONG = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
NAME = "some.zip"
ARCHIVE = Archive(7, NAME, len(CONTENT), hashlib.md5(CONTENT).hexdigest())
ANSWERS = {  # of a source that has no file: status, what it sends, what is said of it
    "empty202": (202, b"", "HTTP 202"),
    "broken": (500, b"", "HTTP 500"),
    "html": (200, b"<html>robots?</html>".ljust(len(CONTENT)), "begins b'<html>robots"),
    "part_unasked": (206, CONTENT, "HTTP 206"),
    "wrong": (200, WRONG, "MD5 "),
    "long": (200, CONTENT + b"more", "a file of 700004 bytes"),
    "truncated": (200, CONTENT[:350_001], "a file of 350001 bytes"),
}
KEEP_A_PART = "empty202 broken html long truncated".split()
PART = CONTENT[:200_000]
ODD_REST = {  # of a source that is asked for the rest: status, what it sends, the range it names
    "range_refused": (416, b"", ""),
    "range_of_all": (206, CONTENT, "bytes 0-699999/700000"),
    "range_of_other_bytes": (206, CONTENT[:500_000], "bytes 200000-699999/700000"),
}


class Source(BaseHTTPRequestHandler):
    """A file server whose first path part says how it behaves."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        behavior, asked = self.path.split("/")[1], self.headers.get("Range")
        is_first = all(seen != behavior for seen, _ in self.server.requests)
        self.server.requests.append((behavior, asked))
        start = int(asked[6:-1]) if asked else 0
        name, _, number = behavior.partition("-")
        if name in ANSWERS:
            self.answer(*ANSWERS[name][:2])
        elif name in ODD_REST and start:
            status, body, named = ODD_REST[name]
            self.answer(status, body, Content_Range=named)
        elif name == "dropping":
            self.send(start, stop=300_000)
        elif name == "cut":  # once, after so many bytes
            self.send(start, stop=int(number) if is_first else None)
        elif name == "no_ranges":
            self.send(0, stop=300_000 if is_first else None)
        elif name == "dripping":
            self.send(0, stop=0)
            self.drip(*(bytes([byte]) for byte in CONTENT))
        elif name == "dripping_headers":
            self.drip(b"HTTP/1.1 200 OK\r\n", *[b"X-A: b\r\n"] * 90, *[b"X"] * 5000)
        else:
            self.send(start)

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content_Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def send(self, start, stop=None):
        """The content from a byte on; the line is cut after ``stop`` bytes of it."""
        headers = {"Content_Length": len(CONTENT) - start}
        if start:
            headers["Content_Range"] = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        self.close_connection = stop is not None
        self.answer(206 if start else 200, CONTENT[start:][:stop], **headers)

    def drip(self, *pieces):
        self.close_connection = True
        with suppress(OSError):
            for piece in pieces:
                self.wfile.write(piece)
                if self.server.is_over.wait(0.02):
                    break


@pytest.fixture
def fetch(monkeypatch):
    """``fetch(folder, *behaviors)`` downloads from sources that behave so, without pauses;
    ``fetch.requests`` has what was asked: behavior and range."""
    monkeypatch.setattr(download, "PUBLISHED", [ARCHIVE])
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    with ThreadingHTTPServer(("127.0.0.1", 0), Source) as running:
        running.requests, running.is_over = [], threading.Event()
        running.handle_error = lambda *_: None  # clients hang up
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        address = f"http://127.0.0.1:{running.server_address[1]}"

        def fetch(folder, *behaviors):
            sources = [f"{address}/{behavior}/{{file_id}}" for behavior in behaviors]
            monkeypatch.setattr(download, "SOURCES", sources)
            download.download(folder)

        fetch.requests = running.requests
        yield fetch
        running.is_over.set()
        running.shutdown()
        thread.join()


def is_whole(folder):
    """The file is there with its bytes, and nothing else is."""
    names = sorted(path.name for path in folder.iterdir())
    return names == [".lock", NAME] and (folder / NAME).read_bytes() == CONTENT


def nothing_wrong_is_left(folder):
    return {path.name for path in folder.iterdir()} <= {".lock", f"{NAME}.part"}


@pytest.mark.parametrize("behavior", ["fine", "dropping", "no_ranges"])
def test_a_source_that_has_the_file_gives_it_whole(fetch, tmp_path, behavior):
    folder = tmp_path / "Ärzte & Söhne {0}" / "with spaces %s"
    fetch(folder, behavior)
    assert is_whole(folder)


@pytest.mark.parametrize("fault", ANSWERS)
def test_every_fault_is_named_leaves_nothing_wrong_and_the_next_source_completes(
    fetch, tmp_path, fault
):
    """With and without a part that was fetched before, which no answer without a file costs."""
    for part in (b"", PART):
        folder = tmp_path / f"{len(part)}"
        folder.mkdir()
        (folder / f"{NAME}.part").write_bytes(part)
        with pytest.raises(DatasetError, match=re.escape(ANSWERS[fault][-1])) as caught:
            fetch(folder, fault)
        for fact in (NAME, str(len(CONTENT)), ARCHIVE.md5, str(folder), f"/{fault}/7", "browser"):
            assert fact in str(caught.value)
        assert nothing_wrong_is_left(folder)
        if part and fault in KEEP_A_PART:
            assert (folder / f"{NAME}.part").read_bytes() == part
        fetch(folder, fault, "fine")
        assert is_whole(folder)


@pytest.mark.parametrize("fault", ["dripping", "dripping_headers"])
def test_a_wait_without_an_end_has_one(fetch, tmp_path, monkeypatch, fault):
    started = time.monotonic()
    with monkeypatch.context() as patch, pytest.raises(DatasetError, match="bytes in 0.3 s|imed"):
        patch.setattr(download, "PIECE_S", 0.3)
        fetch(tmp_path, fault)
    assert time.monotonic() - started < 15 and nothing_wrong_is_left(tmp_path)
    assert len(fetch.requests) <= 2 * download.N_TRIES
    fetch(tmp_path, "fine")
    assert is_whole(tmp_path)


def test_a_robot_check_is_not_asked_again_and_a_broken_source_after_waits_that_double(
    fetch, tmp_path, monkeypatch
):
    waited = []
    monkeypatch.setattr(download, "time", SimpleNamespace(sleep=waited.append))
    monkeypatch.setattr(download, "PAUSE_S", 1.5)
    fetch(tmp_path, "empty202", "html", "broken", "fine")
    asked = [behavior for behavior, _ in fetch.requests]
    assert asked == ["empty202", "html", *["broken"] * download.N_TRIES, "fine"]
    assert waited == [1.5, 3.0, 6.0]


def test_a_connection_cut_at_any_byte_goes_on_there(fetch, tmp_path):
    for n_bytes in (0, 65_536, len(CONTENT) - 1):
        folder, name = tmp_path / f"{n_bytes}", f"cut-{n_bytes}"
        fetch.requests.clear()
        fetch(folder, name)
        assert fetch.requests == [(name, None), (name, f"bytes={n_bytes}-" if n_bytes else None)]
        assert is_whole(folder)


@pytest.mark.parametrize(
    "part, n_requests", [(b"x" * 500, 2), (WRONG, 1), (CONTENT + b"more", 1), (CONTENT, 0)]
)
def test_a_partial_file_of_any_bytes_ends_in_the_right_ones(fetch, tmp_path, part, n_requests):
    (tmp_path / f"{NAME}.part").write_bytes(part)
    fetch(tmp_path, "fine")
    assert is_whole(tmp_path) and len(fetch.requests) == n_requests


@pytest.mark.parametrize("behavior", ODD_REST)
def test_a_source_that_cannot_give_the_rest_is_asked_for_the_whole(fetch, tmp_path, behavior):
    (tmp_path / f"{NAME}.part").write_bytes(PART)
    fetch(tmp_path, behavior)
    assert fetch.requests == [(behavior, "bytes=200000-"), (behavior, None)]
    assert is_whole(tmp_path)


@pytest.mark.parametrize("content", [WRONG, None])
def test_another_file_of_that_name_is_never_overwritten(fetch, tmp_path, content):
    if content is None:
        os.mkfifo(tmp_path / NAME)
    else:
        (tmp_path / NAME).write_bytes(content)
    with pytest.raises(DatasetError, match=" bytes.*Nothing was overwritten"):
        fetch(tmp_path, "fine")
    assert fetch.requests == [] and (tmp_path / NAME).exists()


def test_the_error_lists_every_archive_still_missing(fetch, tmp_path, monkeypatch):
    (tmp_path / NAME).write_bytes(CONTENT)
    others = [ARCHIVE._replace(name=name) for name in ("other.zip", "c")]
    monkeypatch.setattr(download, "PUBLISHED", [ARCHIVE, *others])
    with pytest.raises(DatasetError) as caught:
        fetch(tmp_path, "html")
    assert re.findall(r"(\S+) \(\d+ bytes, MD5", str(caught.value)) == ["other.zip", "c"]


def test_a_disk_that_gets_full_is_named_with_what_is_needed_and_costs_nothing(fetch, tmp_path):
    with no_file_beyond(300_000):
        with pytest.raises(DatasetError, match="archives .0.7 MB. to .*File too large"):
            fetch(tmp_path, "fine")
    fetch.requests.clear()
    fetch(tmp_path, "fine")
    assert fetch.requests == [("fine", "bytes=300000-")] and is_whole(tmp_path)


def test_a_folder_that_may_only_be_read_is_named_unless_it_is_complete(fetch, tmp_path):
    with open_folder() as top:
        with without_rights(top, 0o555):
            with pytest.raises(DatasetError, match="/.lock, got PermissionError .* --data"):
                fetch(top, "fine")
        (top / NAME).write_bytes(CONTENT)
        with without_rights(top, 0o555):
            fetch(top, "fine")
    (tmp_path / "data").write_bytes(b"")
    with pytest.raises(DatasetError, match="data, got FileExistsError .*--data"):
        fetch(tmp_path / "data", "fine")
    assert fetch.requests == []
