"""The download against a server that behaves in every way seen: whole, or named and resumable."""

import hashlib
import os
import re
import resource
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
from fake_cheng import open_folder, without_rights

from tumorcf_lib import steps
from tumorcf_lib.data import download
from tumorcf_lib.data.archives import Archive
from tumorcf_lib.data.download import DownloadError
from tumorcf_lib.data.matfile import DatasetError

CONTENT = b"PK" + np.random.default_rng(0).bytes(699_998)
WRONG = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
NAME = "some.zip"
ARCHIVE = Archive(7, NAME, len(CONTENT), hashlib.md5(CONTENT).hexdigest())

ANSWERS = {
    # source that has no file: status, what it sends, what is said of it
    "empty202": (202, b"", "HTTP 202"),
    "forbidden": (403, b"no", "HTTP 403"),
    "broken": (500, b"", "HTTP 500"),
    "html": (200, b"<html>robots?</html>".ljust(len(CONTENT)), "begins b'<html>robots"),
    "json": (200, b'{"message": "no"}', "a file of 17 bytes"),
    "part_unasked": (206, CONTENT, "HTTP 206"),
}
CHUNKED = {  # the same, of status 200 and undeclared length
    "long": (CONTENT + b"more", "more than the file's"),
    "truncated": (CONTENT[:350_001], "stopped after"),
}
FAULTS = {name: of[-1] for name, of in (ANSWERS | CHUNKED).items()}
FAULTS["wrong"] = "MD5 "


class Source(BaseHTTPRequestHandler):
    """A file server whose first path part says how it behaves."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        behavior = self.path.strip("/").split("/")[0]
        self.server.requests.append((behavior, self.headers.get("Range")))
        self.start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        self.is_first = sum(seen == behavior for seen, _ in self.server.requests) == 1
        if behavior in ANSWERS:
            self.answer(*ANSWERS[behavior][:2])
        elif behavior in CHUNKED:
            self.chunked(CHUNKED[behavior][0])
        else:
            getattr(self, behavior)()

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content_Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def chunked(self, body):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))

    def send(self, content, stop=None):
        """The content from the byte asked for; the line is cut after ``stop`` bytes of it."""
        headers = {"Content_Length": len(content) - self.start}
        if self.start:
            headers["Content_Range"] = f"bytes {self.start}-{len(content) - 1}/{len(content)}"
        self.close_connection = stop is not None
        self.answer(206 if self.start else 200, content[self.start :][:stop], **headers)

    def fine(self):
        self.send(CONTENT)

    def dropping(self):
        self.send(CONTENT, stop=300_000)

    def no_ranges(self):
        self.close_connection = self.is_first
        self.answer(200, CONTENT[: 300_000 if self.is_first else None], Content_Length=len(CONTENT))

    def wrong(self):
        self.send(WRONG)

    def range_refused(self):
        self.answer(416) if self.start else self.fine()

    def mute_midway(self):
        self.send(CONTENT, stop=max(400_000 - self.start, 0))
        self.wfile.flush()
        self.server.is_over.wait(20)

    def dripping(self):
        self.send(CONTENT, stop=0)
        with suppress(OSError):
            for byte in CONTENT:
                self.wfile.write(bytes([byte]))
                if self.server.is_over.wait(0.02):
                    break


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass  # a client that hangs up is what many tests are about


@pytest.fixture
def server():
    with Server(("127.0.0.1", 0), Source) as running:
        running.requests, running.is_over = [], threading.Event()
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        address = f"http://127.0.0.1:{running.server_address[1]}"
        yield SimpleNamespace(url=address, requests=running.requests)
        running.is_over.set()
        running.shutdown()
        thread.join()


def fetch(server, folder, *behaviors, **options):
    sources = [f"{server.url}/{behavior}/{{file_id}}" for behavior in behaviors]
    options = {"progress": False, "pause_s": 0.0, **options}
    return download.download(folder, sources=sources, archives=[ARCHIVE], **options)


def is_whole(folder):
    """The file is there with its bytes, and nothing else is."""
    names = {path.name for path in folder.iterdir()}
    return names == {".lock", NAME} and (folder / NAME).read_bytes() == CONTENT


def nothing_wrong_is_left(folder):
    """At most a partial file, and no file under the final name."""
    return {path.name for path in folder.iterdir()} <= {".lock", f"{NAME}.part"}


@pytest.mark.parametrize("behavior", ["dropping", "no_ranges"])
def test_a_source_that_has_the_file_gives_it_whole(server, tmp_path, behavior):
    folder = tmp_path / "Ärzte & Söhne {0}" / "with spaces %s"
    assert fetch(server, folder, behavior) == [folder / NAME]
    assert is_whole(folder)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_named_leaves_nothing_wrong_and_the_next_source_completes(
    server, tmp_path, fault
):
    """With and without a part that was fetched before, which no answer without a file costs."""
    for part in (b"", CONTENT[:200_000]):
        folder = tmp_path / f"{len(part)}"
        folder.mkdir()
        if part:
            (folder / f"{NAME}.part").write_bytes(part)
        words = "." if part and fault in ("part_unasked", "wrong") else re.escape(FAULTS[fault])
        with pytest.raises(DownloadError, match=words) as caught:
            fetch(server, folder, fault)
        for fact in (NAME, str(len(CONTENT)), ARCHIVE.md5, str(folder), f"/{fault}/7", "browser"):
            assert fact in str(caught.value)
        assert nothing_wrong_is_left(folder)
        if part and fault not in ("part_unasked", "wrong", "long", "truncated"):
            assert (folder / f"{NAME}.part").read_bytes() == part
        fetch(server, folder, fault, "fine")
        assert is_whole(folder)


@pytest.mark.parametrize("fault", ["mute_midway", "dripping"])
def test_a_wait_without_an_end_has_one(server, tmp_path, fault):
    with pytest.raises(DownloadError, match="imed out|Timeout|only .* bytes in 0.3 s"):
        fetch(server, tmp_path, fault, timeout_s=(0.3, 0.3))
    assert nothing_wrong_is_left(tmp_path)
    fetch(server, tmp_path, "fine")
    assert is_whole(tmp_path)


def test_a_robot_check_is_not_asked_again_and_a_broken_source_after_waits_that_double(
    server, tmp_path, monkeypatch
):
    waited = []
    monkeypatch.setattr(download, "time", SimpleNamespace(sleep=waited.append))
    fetch(server, tmp_path, "empty202", "forbidden", "html", "broken", "fine", pause_s=1.5)
    asked = [behavior for behavior, _ in server.requests]
    assert asked == ["empty202", "forbidden", "html", *["broken"] * download.N_TRIES, "fine"]
    assert waited == [1.5, 3.0, 6.0]


@pytest.mark.parametrize(
    "part, n_requests", [(b"x" * 500, 2), (WRONG, 1), (CONTENT + b"more", 1), (CONTENT, 0)]
)
def test_a_partial_file_of_any_bytes_ends_in_the_right_ones(server, tmp_path, part, n_requests):
    (tmp_path / f"{NAME}.part").write_bytes(part)
    fetch(server, tmp_path, "fine")
    assert is_whole(tmp_path) and len(server.requests) == n_requests


def test_a_source_that_cannot_give_the_rest_is_asked_for_the_whole(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:200_000])
    fetch(server, tmp_path, "range_refused")
    assert server.requests == [("range_refused", "bytes=200000-"), ("range_refused", None)]
    assert is_whole(tmp_path)


@pytest.mark.parametrize("content", [WRONG, None])
def test_another_file_of_that_name_is_never_overwritten(server, tmp_path, content):
    if content is None:
        os.mkfifo(tmp_path / NAME)
    else:
        (tmp_path / NAME).write_bytes(content)
    with pytest.raises(DownloadError, match=" bytes.*Nothing was overwritten"):
        fetch(server, tmp_path, "fine")
    assert server.requests == [] and (tmp_path / NAME).exists()


def test_a_disk_that_gets_full_is_named_with_what_is_needed_and_costs_nothing(server, tmp_path):
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))  # writes beyond that fail
    try:
        with pytest.raises(DatasetError, match="need 0.4 MB in .*what was fetched is kept"):
            fetch(server, tmp_path, "fine")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    server.requests.clear()
    fetch(server, tmp_path, "fine")
    assert server.requests == [("fine", "bytes=300000-")] and is_whole(tmp_path)


def test_a_folder_that_may_only_be_read_is_named_unless_it_is_complete(server, tmp_path):
    with open_folder() as top:
        with without_rights(top, 0o555):
            with pytest.raises(DatasetError, match="/.lock, got PermissionError .* --data"):
                fetch(server, top, "fine")
        (top / NAME).write_bytes(CONTENT)
        with without_rights(top, 0o555):
            assert fetch(server, top, "fine") == [top / NAME]
    (tmp_path / "data").write_bytes(b"")
    with pytest.raises(DatasetError, match="data, got FileExistsError .*--data"):
        fetch(server, tmp_path / "data", "fine")
    assert server.requests == []


def test_two_processes_do_not_write_one_file(server, tmp_path):
    with steps.held(tmp_path / ".lock"):
        with pytest.raises(DownloadError, match="Another process downloads into"):
            fetch(server, tmp_path, "fine")
