import hashlib
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest

from tumorcf_lib import download
from tumorcf_lib.archives import Archive
from tumorcf_lib.download import DownloadError

CONTENT = np.random.default_rng(0).bytes(700_000)
WRONG = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
NAME = "some.zip"
ARCHIVE = Archive(7, NAME, len(CONTENT), hashlib.md5(CONTENT).hexdigest())


class Source(BaseHTTPRequestHandler):
    """A file server whose first path part says how it behaves."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        behavior = self.path.strip("/").split("/")[0]
        self.server.requests.append((behavior, self.headers.get("Range")))
        getattr(self, behavior)()

    def answer(self, status, body=b"", kind="application/zip", **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in {"Content_Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def send(self, content, stop=None):
        """The content from the byte asked for; the line is cut after ``stop`` bytes of it."""
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        if start >= len(content):
            return self.answer(416)
        headers = {}
        if start:
            headers["Content_Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        headers["Content_Length"] = len(content) - start
        self.close_connection = stop is not None
        self.answer(206 if start else 200, content[start:][:stop], **headers)

    def fine(self):
        self.send(CONTENT)

    def empty202(self):
        self.answer(202)

    def forbidden(self):
        self.answer(403, b"no")

    def html(self):
        self.answer(200, b"<html>robots?</html>", kind="text/html; charset=utf-8")

    def json(self):
        self.answer(200, b'{"message": "no"}', kind="application/json")

    def moved(self):
        self.answer(302, Location="/fine/7")

    def dropping(self):
        self.send(CONTENT, stop=300_000)

    def silent(self):
        self.close_connection = True

    def stuck(self):
        """Always breaks off at the same byte."""
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        self.send(CONTENT, stop=max(400_000 - start, 0))

    def no_ranges(self):
        cut = 300_000 if self.count("no_ranges") == 1 else None
        self.close_connection = cut is not None
        self.answer(200, CONTENT[:cut], Content_Length=len(CONTENT))

    def wrong(self):
        self.send(WRONG)

    def short_chunked(self):
        self.chunked(b"<html>not typed as such</html>")

    def long_chunked(self):
        self.chunked(CONTENT + b"more")

    def chunked(self, body):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))

    def busy_once(self):
        if self.count("busy_once") == 1:
            return self.answer(503, Retry_After="0")
        self.fine()

    def broken(self):
        self.answer(500)

    def count(self, behavior):
        return sum(seen == behavior for seen, _ in self.server.requests)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Source) as running:
        running.requests = []
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        address = f"http://127.0.0.1:{running.server_address[1]}"
        yield SimpleNamespace(url=address, requests=running.requests)
        running.shutdown()
        thread.join()


def fetch(server, folder, *behaviors, archives=(ARCHIVE,)):
    sources = [f"{server.url}/{behavior}/{{file_id}}" for behavior in behaviors]
    return download.download(
        folder, sources=sources, archives=archives, progress=False, pause_s=0.0
    )


def is_whole(folder):
    """The file is there with its bytes, and nothing else is."""
    return [path.name for path in folder.iterdir()] == [NAME] and (
        (folder / NAME).read_bytes() == CONTENT
    )


@pytest.mark.parametrize("behavior", ["fine", "moved", "dropping", "no_ranges", "busy_once"])
def test_a_source_that_has_the_file_gives_it_whole(server, tmp_path, behavior):
    folder = tmp_path / "new" / "folder"
    assert fetch(server, folder, behavior) == [folder / NAME]
    assert is_whole(folder)


@pytest.mark.parametrize(
    "behavior",
    ["empty202", "forbidden", "html", "json", "wrong", "long_chunked", "short_chunked", "silent",
     "stuck", "broken"],
)  # fmt: skip
def test_after_a_source_that_fails_the_next_one_is_asked(server, tmp_path, behavior):
    fetch(server, tmp_path, behavior, "fine")
    assert is_whole(tmp_path)


@pytest.mark.parametrize(
    "behavior, words",
    [
        ("empty202", "HTTP 202"),
        ("forbidden", "HTTP 403"),
        ("html", "a web page"),
        ("json", "a file of 17 bytes"),
        ("wrong", "MD5 "),
        ("long_chunked", "more than the file's 700000 bytes"),
        ("silent", "ConnectionError"),
        ("stuck", "Error"),
        ("broken", "HTTP 500"),
    ],
)
def test_if_all_fail_the_error_says_why_and_how_to_do_it_by_hand(
    server, tmp_path, behavior, words
):
    with pytest.raises(DownloadError, match=words) as caught:
        fetch(server, tmp_path, behavior)
    for fact in (NAME, str(len(CONTENT)), ARCHIVE.md5, str(tmp_path), f"/{behavior}/7"):
        assert fact in str(caught.value)
    assert not (tmp_path / NAME).exists()


def test_a_robot_check_is_not_asked_again(server, tmp_path):
    fetch(server, tmp_path, "empty202", "forbidden", "html", "fine")
    assert [behavior for behavior, _ in server.requests] == [
        "empty202", "forbidden", "html", "fine"
    ]  # fmt: skip


def test_a_source_that_brings_nothing_is_asked_a_few_times_only(server, tmp_path):
    with pytest.raises(DownloadError):
        fetch(server, tmp_path, "broken")
    assert len(server.requests) == download.N_TRIES


def test_a_cut_download_goes_on_where_it_stopped(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:123_456])
    fetch(server, tmp_path, "fine")
    assert server.requests == [("fine", "bytes=123456-")]
    assert is_whole(tmp_path)


def test_what_one_run_fetched_is_kept_for_the_next(server, tmp_path):
    with pytest.raises(DownloadError):
        fetch(server, tmp_path, "stuck")
    kept = (tmp_path / f"{NAME}.part").read_bytes()
    assert CONTENT.startswith(kept) and 0 <= 400_000 - len(kept) < download.PIECE_BYTES
    server.requests.clear()
    fetch(server, tmp_path, "fine")
    assert server.requests == [("fine", f"bytes={len(kept)}-")]


@pytest.mark.parametrize("part", [b"x" * 500, WRONG, CONTENT + b"more", b"x" * 700_001])
def test_a_partial_file_of_other_bytes_is_thrown_away(server, tmp_path, part):
    (tmp_path / f"{NAME}.part").write_bytes(part)
    fetch(server, tmp_path, "fine")
    assert is_whole(tmp_path)


def test_a_partial_file_that_is_whole_needs_no_request(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT)
    fetch(server, tmp_path, "fine")
    assert server.requests == [] and is_whole(tmp_path)


def test_what_is_in_place_is_not_fetched_again(server, tmp_path):
    (tmp_path / NAME).write_bytes(CONTENT)
    assert fetch(server, tmp_path, "fine") == [tmp_path / NAME]
    assert server.requests == []


def test_another_file_of_that_name_is_never_overwritten(server, tmp_path):
    (tmp_path / NAME).write_bytes(b"mine")
    with pytest.raises(DownloadError, match="4 bytes.*Nothing was overwritten"):
        fetch(server, tmp_path, "fine")
    assert (tmp_path / NAME).read_bytes() == b"mine"


def test_the_error_lists_every_archive_still_missing(server, tmp_path):
    other = ARCHIVE._replace(name="other.zip")
    (tmp_path / NAME).write_bytes(CONTENT)
    with pytest.raises(DownloadError) as caught:
        fetch(server, tmp_path, "forbidden", archives=(ARCHIVE, other, ARCHIVE._replace(name="c")))
    listed = str(caught.value).split("unopened")[1]
    assert "other.zip (" in listed and "c (" in listed and NAME not in listed.replace("other.", "")


def test_a_disk_too_small_is_noticed_before_the_download(server, tmp_path, monkeypatch):
    free = SimpleNamespace(free=100_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)
    with pytest.raises(DownloadError, match="need 1 MB more .* 0 MB are free"):
        fetch(server, tmp_path, "fine")
    assert server.requests == []


def test_unreachable_hosts_end_in_the_same_error(tmp_path):
    with pytest.raises(DownloadError, match="ConnectionError"):
        download.download(
            tmp_path, sources=["http://127.0.0.1:9/{file_id}"], archives=[ARCHIVE],
            progress=False, pause_s=0.0,
        )  # fmt: skip


def test_the_published_sources_are_asked_in_order_of_reliability():
    urls = [source.format(file_id=3381290, name=NAME) for source in download.SOURCES]
    assert urls == [
        "https://api.figshare.com/v2/file/download/3381290",
        "https://ndownloader.figshare.com/files/3381290",
        "https://figshare.com/ndownloader/files/3381290",
    ]
