import gzip
import hashlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
from fake_cheng import open_folder, without_rights

from tumorcf_lib import config, steps
from tumorcf_lib.data import download
from tumorcf_lib.data.archives import Archive
from tumorcf_lib.data.download import DownloadError

CONTENT = b"PK" + np.random.default_rng(0).bytes(699_998)
WRONG = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
NAME = "some.zip"
ARCHIVE = Archive(7, NAME, len(CONTENT), hashlib.md5(CONTENT).hexdigest())


class Source(BaseHTTPRequestHandler):
    """A file server whose first path part says how it behaves."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        behavior = self.path.strip("/").split("/")[0]
        self.server.requests.append((behavior, self.headers.get("Range")))
        name, _, number = behavior.partition("-")
        getattr(self, name)(*map(int, filter(None, [number])))

    @property
    def start(self):
        """The byte that the request wants to begin at."""
        return int((self.headers.get("Range") or "bytes=0-")[6:-1])

    def answer(self, status, body=b"", kind="application/zip", **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in {"Content_Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def send(self, content, stop=None):
        """The content from the byte asked for; the line is cut after ``stop`` bytes of it."""
        start = self.start
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

    def moved_with_a_flood(self):
        """Sends as much along with the new address as anybody takes."""
        self.close_connection = True
        self.answer(302, Location="/fine/7", Content_Length=10**9)
        with suppress(OSError):
            for _ in range(100):
                self.wfile.write(bytes(1_000_000))
                self.server.n_flood += 1

    def dropping(self):
        self.send(CONTENT, stop=300_000)

    def silent(self):
        self.close_connection = True

    def stuck(self):
        """Always breaks off at the same byte."""
        self.cut_before(400_000)

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
        pieces = (body, b"") if body else (b"",)
        self.wfile.write(b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces))

    def busy_once(self):
        if self.count("busy_once") == 1:
            return self.answer(503, Retry_After="0")
        self.fine()

    def broken(self):
        self.answer(500)

    def cut(self, n_bytes):
        """Breaks off once, after so many bytes."""
        self.send(CONTENT, stop=n_bytes if self.count(f"cut-{n_bytes}") == 1 else None)

    def cut_before(self, n_bytes):
        """Always breaks off before this byte."""
        self.send(CONTENT, stop=max(n_bytes - self.start, 0))

    def short(self, n_bytes):
        """A truncated copy: so many bytes are all that this source says to have."""
        self.answer(200, CONTENT[:n_bytes])

    def short_undeclared(self, n_bytes):
        self.chunked(CONTENT[:n_bytes])

    # -- stalls: silent until the test ends ----------------------------------

    def mute(self):
        self.stall()

    def mute_after_headers(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.stall()

    def mute_midway(self):
        self.cut_before(400_000)
        self.wfile.flush()
        self.stall()

    def dripping(self):
        self.send(CONTENT, stop=0)
        for byte in CONTENT:
            self.wfile.write(bytes([byte]))
            if self.server.is_over.wait(0.02):
                break

    def stall(self):
        self.close_connection = True
        self.server.is_over.wait(20)

    # -- odd answers to a request for the rest of the file --------------------

    def range_of_all(self):
        everything = f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"
        self.to_range(CONTENT, Content_Range=everything)

    def range_unnamed(self):
        self.to_range(CONTENT[self.start :])

    def range_of_another_file(self):
        named = f"bytes {self.start}-{len(CONTENT)}/{len(CONTENT) + 1}"
        self.to_range(CONTENT[self.start :] + b"x", Content_Range=named)

    def range_refused(self):
        if self.start:
            return self.answer(416)
        self.fine()

    def to_range(self, body, **headers):
        if self.start:
            return self.answer(206, body, **headers)
        self.fine()

    def part_unasked(self):
        self.answer(206, CONTENT, Content_Range=f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}")

    def range_of_other_bytes(self):
        """Right in its words, with the bytes of the beginning."""
        named = f"bytes {self.start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        self.to_range(CONTENT[: len(CONTENT) - self.start], Content_Range=named)

    def range_and_more(self):
        named = f"bytes {self.start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        self.to_range(CONTENT[self.start :] + b"more", Content_Range=named)

    # -- other ways to be no file ---------------------------------------------

    def html_untyped(self):
        self.answer(200, b"\n<!DOCTYPE html>".ljust(len(CONTENT)))

    def html_unending(self):
        self.chunked(b"<html>" + bytes(100_000))

    def html_in_capitals(self):
        self.answer(200, b"PK".ljust(len(CONTENT)), kind="Text/HTML")

    def login(self):
        self.answer(302, Location="/html/7")

    def json_undeclared(self):
        self.chunked(b'{"message": "no"}')

    def nothing_undeclared(self):
        self.chunked(b"")

    def packed(self):
        self.answer(200, CONTENT, Content_Encoding="gzip")

    def packing(self):
        """Packs for whoever takes it, as the browser of a person does."""
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            return self.answer(200, gzip.compress(CONTENT), Content_Encoding="gzip")
        self.fine()

    def endless_redirect(self):
        self.answer(302, Location="/endless_redirect/7")

    def senseless_redirect(self):
        self.answer(302, Location="http://[::bad/7")

    def local_redirect(self):
        self.answer(302, Location="file:///etc/hostname")

    def no_http(self):
        self.close_connection = True
        self.wfile.write(b"220 ready\r\n")

    def busy(self, wait_s):
        self.answer(429, Retry_After=wait_s)

    def busy_until(self, wait_s):
        self.answer(503, Retry_After=formatdate(time.time() + wait_s, usegmt=True))

    def busy_vaguely(self):
        self.answer(503, Retry_After="soon")

    def count(self, behavior):
        return sum(seen == behavior for seen, _ in self.server.requests)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass  # a client that hangs up is what many tests are about


@pytest.fixture
def server():
    with Server(("127.0.0.1", 0), Source) as running:
        running.requests, running.is_over, running.n_flood = [], threading.Event(), 0
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        address = f"http://127.0.0.1:{running.server_address[1]}"
        yield SimpleNamespace(url=address, requests=running.requests, running=running)
        running.is_over.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def naps(monkeypatch):
    """Seconds that were waited for between requests; nobody really waits."""
    waited = []
    monkeypatch.setattr(download, "time", SimpleNamespace(
        sleep=waited.append, monotonic=time.monotonic))  # fmt: skip
    return waited


def fetch(server, folder, *behaviors, archives=(ARCHIVE,), **options):
    sources = [f"{server.url}/{behavior}/{{file_id}}" for behavior in behaviors]
    options = {"progress": False, "pause_s": 0.0, **options}
    return download.download(folder, sources=sources, archives=archives, **options)


def is_whole(folder):
    """The file is there with its bytes, and nothing else is."""
    return sorted(path.name for path in folder.iterdir()) == [".lock", NAME] and (
        (folder / NAME).read_bytes() == CONTENT
    )


@pytest.mark.parametrize(
    "behavior", ["fine", "moved", "dropping", "no_ranges", "busy_once", "packing"]
)
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
        ("json_undeclared", "no ZIP archive but something that begins b'{\"message\""),
        ("login", "a web page"),
        ("html_in_capitals", "a web page"),
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


def test_a_partial_file_longer_than_the_whole_is_asked_for_from_its_beginning(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT + b"more")
    fetch(server, tmp_path, "fine")
    assert server.requests == [("fine", None)] and is_whole(tmp_path)


def test_a_partial_file_that_is_whole_needs_no_request(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT)
    fetch(server, tmp_path, "fine")
    assert server.requests == [] and is_whole(tmp_path)


def test_what_is_in_place_is_not_fetched_again(server, tmp_path):
    (tmp_path / NAME).write_bytes(CONTENT)
    assert fetch(server, tmp_path, "fine") == [tmp_path / NAME]
    assert server.requests == []
    assert [path.name for path in tmp_path.iterdir()] == [NAME]  # it may be read-only


@pytest.mark.parametrize("content", [b"", b"mine", WRONG])
def test_another_file_of_that_name_is_never_overwritten(server, tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(DownloadError, match=f"{len(content)} bytes.*Nothing was overwritten"):
        fetch(server, tmp_path, "fine")
    assert (tmp_path / NAME).read_bytes() == content and server.requests == []


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
    with pytest.raises(DownloadError, match="need 0.7 MB more .* 0.1 MB are free"):
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


FAULTS = (
    "empty202", "forbidden", "html", "html_untyped", "html_unending", "json", "wrong",
    "short_chunked", "long_chunked", "silent", "stuck", "broken", "packed", "endless_redirect",
    "senseless_redirect", "local_redirect", "no_http", "part_unasked", "busy-3600",
    "html_in_capitals", "login", "json_undeclared", "nothing_undeclared",
)  # fmt: skip
STALLS = ("mute", "mute_after_headers", "mute_midway", "dripping")


def nothing_wrong_is_left(folder):
    """At most a partial file, and no file under the final name."""
    return {path.name for path in folder.iterdir()} <= {".lock", f"{NAME}.part"}


@pytest.mark.parametrize("part", [b"", CONTENT[:200_000]])
@pytest.mark.parametrize("fault", FAULTS)
def test_after_every_fault_nothing_wrong_is_left_and_a_rerun_completes(
    server, tmp_path, fault, part
):
    if part:
        (tmp_path / f"{NAME}.part").write_bytes(part)
    with pytest.raises(DownloadError):
        fetch(server, tmp_path, fault)
    assert nothing_wrong_is_left(tmp_path)
    fetch(server, tmp_path, "fine")
    assert is_whole(tmp_path)


@pytest.mark.parametrize("fault", STALLS)
def test_a_source_that_stalls_is_left_and_a_rerun_completes(server, tmp_path, fault):
    with pytest.raises(DownloadError, match="Timeout|timed out|only .* bytes in 0.3 s"):
        fetch(server, tmp_path, fault, timeout_s=(5.0, 0.3))
    assert nothing_wrong_is_left(tmp_path)
    assert len(server.requests) <= 2 * download.N_TRIES
    fetch(server, tmp_path, "fine")
    assert is_whole(tmp_path)


def test_after_a_stall_the_next_source_goes_on_with_what_came(server, tmp_path):
    fetch(server, tmp_path, "mute_midway", "fine", timeout_s=(5.0, 0.5))
    assert server.requests[-1] == ("fine", "bytes=400000-")
    assert is_whole(tmp_path)


CUTS = (0, 1, 2, 1023, 65_535, 65_536, 65_537, 131_072, 350_001, len(CONTENT) - 1)


@pytest.mark.parametrize("n_bytes", CUTS)
def test_a_connection_cut_at_any_byte_goes_on_there(server, tmp_path, n_bytes):
    fetch(server, tmp_path, f"cut-{n_bytes}")
    again = f"bytes={n_bytes}-" if n_bytes else None
    assert server.requests == [(f"cut-{n_bytes}", None), (f"cut-{n_bytes}", again)]
    assert is_whole(tmp_path)


def test_connections_cut_at_twenty_random_bytes_cost_no_byte_twice(server, tmp_path):
    start = 0
    for n_bytes in sorted(np.random.default_rng(1).integers(1, len(CONTENT), 20).tolist()):
        server.requests.clear()
        with pytest.raises(DownloadError, match="IncompleteRead"):
            fetch(server, tmp_path, f"cut_before-{n_bytes}")
        assert (tmp_path / f"{NAME}.part").read_bytes() == CONTENT[:n_bytes]
        assert nothing_wrong_is_left(tmp_path)
        wanted = [wanted for _, wanted in server.requests]
        assert wanted[0] == (f"bytes={start}-" if start else None)
        assert set(wanted[1:]) == {f"bytes={n_bytes}-"}
        start = n_bytes
    fetch(server, tmp_path, "fine")
    assert is_whole(tmp_path)


@pytest.mark.parametrize("n_bytes", CUTS)
@pytest.mark.parametrize("behavior", ["short", "short_undeclared"])
def test_a_truncated_copy_is_refused_and_a_rerun_completes(server, tmp_path, behavior, n_bytes):
    with pytest.raises(DownloadError, match=f"a file of {n_bytes} bytes|stopped after {n_bytes} "):
        fetch(server, tmp_path, f"{behavior}-{n_bytes}")
    assert nothing_wrong_is_left(tmp_path)
    fetch(server, tmp_path, "fine")
    assert is_whole(tmp_path)


@pytest.mark.parametrize("n_bytes", CUTS[1:])
@pytest.mark.parametrize("behavior", ["fine", "no_ranges"])
def test_a_partial_file_of_any_length_is_completed(server, tmp_path, n_bytes, behavior):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:n_bytes])
    fetch(server, tmp_path, behavior)
    assert is_whole(tmp_path)


@pytest.mark.parametrize(
    "behavior",
    ["range_of_all", "range_unnamed", "range_of_another_file", "range_refused",
     "range_of_other_bytes"],
)  # fmt: skip
def test_a_source_that_cannot_give_the_rest_is_asked_for_the_whole(server, tmp_path, behavior):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:200_000])
    fetch(server, tmp_path, behavior)
    assert server.requests == [(behavior, "bytes=200000-"), (behavior, None)]
    assert is_whole(tmp_path)


@pytest.mark.parametrize(
    "fault",
    ["html", "html_untyped", "html_unending", "json", "json_undeclared", "nothing_undeclared",
     "login", "forbidden", "range_and_more"],
)  # fmt: skip
def test_an_answer_that_is_no_file_does_not_cost_what_was_fetched_before(server, tmp_path, fault):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:200_000])
    with pytest.raises(DownloadError):
        fetch(server, tmp_path, fault)
    assert (tmp_path / f"{NAME}.part").read_bytes() == CONTENT[:200_000]


def test_what_comes_along_with_a_new_address_is_not_read(server, tmp_path):
    fetch(server, tmp_path, "moved_with_a_flood")
    assert is_whole(tmp_path)
    assert server.running.n_flood < 50  # megabytes: what lies in the system's own buffers


def test_a_senseless_redirect_is_not_asked_again(server, tmp_path):
    for behavior in ("senseless_redirect", "local_redirect"):
        with pytest.raises(DownloadError):
            fetch(server, tmp_path, behavior)
    assert len(server.requests) == 2


def test_each_wait_is_twice_the_one_before_and_there_are_few(server, tmp_path, naps):
    with pytest.raises(DownloadError):
        fetch(server, tmp_path, "broken", pause_s=1.5)
    assert naps == [1.5, 3.0, 6.0]


def test_a_source_is_not_asked_before_the_time_that_it_names(server, tmp_path, naps):
    for behavior in ("busy-40", "busy_until-40"):
        with pytest.raises(DownloadError):
            fetch(server, tmp_path, behavior, pause_s=1.0)
    assert naps[:3] == [40.0] * 3
    assert naps[3:] == pytest.approx([40.0] * 3, abs=2)  # a date has whole seconds


@pytest.mark.parametrize("behavior", ["busy-3600", "busy_until-3600"])
def test_a_source_that_wants_more_than_a_minute_is_left_at_once(server, tmp_path, naps, behavior):
    fetch(server, tmp_path, behavior, "fine")
    assert [seen for seen, _ in server.requests] == [behavior, "fine"] and naps == []
    with pytest.raises(DownloadError, match="wants to be asked in 3[56].. s"):
        fetch(server, tmp_path / "other", behavior)


def test_a_wait_that_nobody_understands_is_our_own(server, tmp_path, naps):
    with pytest.raises(DownloadError):
        fetch(server, tmp_path, "busy_vaguely", pause_s=1.0)
    assert naps == [1.0, 2.0, 4.0]


def test_progress_shows_the_rate_the_time_left_and_why_a_source_was_left(
    server, tmp_path, capsys
):
    fetch(server, tmp_path, "forbidden", "dropping", progress=True)
    shown = capsys.readouterr()
    assert "/forbidden/7: HTTP 403" in shown.out and "left" in shown.out
    assert "asked again in 0 s" in shown.out
    assert f"{NAME} (1 of 1): 100%" in shown.err
    assert re.search(r"700k/700k \[00:0\d<00:00, .*B/s\]", shown.err)


def test_without_progress_nothing_is_printed(server, tmp_path, capsys):
    fetch(server, tmp_path, "forbidden", "dropping")
    assert capsys.readouterr() == ("", "")


def test_a_disk_that_fills_up_is_named_with_what_is_needed_and_costs_nothing(server, tmp_path):
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))  # writes beyond that fail
    try:
        with pytest.raises(DownloadError, match="need 0.4 MB more .*what was fetched is kept"):
            fetch(server, tmp_path, "fine")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert nothing_wrong_is_left(tmp_path)
    server.requests.clear()
    fetch(server, tmp_path, "fine")
    assert server.requests == [("fine", "bytes=300000-")] and is_whole(tmp_path)


def test_every_byte_is_on_the_disk_before_the_file_has_its_name(server, tmp_path, monkeypatch):
    synced = []

    def sync(file):
        stat = download.os.fstat(file if isinstance(file, int) else file.fileno())
        synced.append((stat.st_ino, stat.st_size, (tmp_path / NAME).exists()))

    monkeypatch.setattr(download.os, "fsync", sync)
    fetch(server, tmp_path, "fine")
    assert synced == [((tmp_path / NAME).stat().st_ino, len(CONTENT), False)]


FETCH = """
import signal, sys
from pathlib import Path
from tumorcf_lib.data import archives, download
signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs of a shell may ignore it
name, n_bytes, md5 = sys.argv[3:]
archive = archives.Archive(7, name, int(n_bytes), md5)
download.download(Path(sys.argv[1]), sources=[sys.argv[2]], archives=[archive], progress=False)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_process_ended_in_mid_file_keeps_what_came_and_frees_the_folder(server, tmp_path, how):
    arguments = [str(tmp_path), f"{server.url}/mute_midway/7", *map(str, ARCHIVE[1:])]
    process = subprocess.Popen(
        [sys.executable, "-c", FETCH, *arguments], cwd=config.ROOT, stderr=subprocess.PIPE
    )
    part, until = tmp_path / f"{NAME}.part", time.monotonic() + 60
    while not (part.exists() and part.stat().st_size) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(how)
    process.communicate(timeout=30)
    assert process.returncode == -how and nothing_wrong_is_left(tmp_path)
    n_bytes = part.stat().st_size
    server.requests.clear()
    fetch(server, tmp_path, "fine")
    assert server.requests == [("fine", f"bytes={n_bytes}-")] and is_whole(tmp_path)


def test_a_folder_that_may_only_be_read_is_named_unless_it_is_complete(server):
    with open_folder() as top:
        with without_rights(top, 0o555):
            with pytest.raises(DownloadError, match="PermissionError .*/.lock.* --data"):
                fetch(server, top, "fine")
        (top / NAME).write_bytes(CONTENT)
        with without_rights(top, 0o555):
            fetch(server, top, "fine")
    assert server.requests == []


def test_a_folder_may_have_any_name(server, tmp_path):
    folder = tmp_path / "Ärzte & Söhne {0}" / "with spaces %s"
    fetch(server, folder, "fine")
    assert is_whole(folder)


def test_a_folder_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "data").write_bytes(b"")
    with pytest.raises(DownloadError, match="FileExistsError .*data.*--data"):
        fetch(server, tmp_path / "data", "fine")


def test_what_another_process_fetched_meanwhile_is_not_fetched_again(
    server, tmp_path, monkeypatch
):
    @contextmanager
    def held(path):
        (tmp_path / NAME).write_bytes(CONTENT)
        yield

    monkeypatch.setattr(download.locks, "held", held)
    fetch(server, tmp_path, "fine")
    assert server.requests == []


def test_two_processes_do_not_write_one_file(server, tmp_path):
    with steps.held(tmp_path / ".lock"):
        with pytest.raises(DownloadError, match="Another process downloads into"):
            fetch(server, tmp_path, "fine")
    assert server.requests == []
