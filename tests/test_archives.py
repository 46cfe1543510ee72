"""Members of archives: read to the byte, and never more than they announce."""

import io
import struct
import tracemalloc
import zipfile

import pytest
from fake_cheng import NAMES, dataset, mat_bytes, write_archives

from tumorcf_lib.data import archives, finding
from tumorcf_lib.data.archives import CorruptArchiveError
from tumorcf_lib.data.matfile import CorruptSliceError


def zip_bytes(contents, method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method, compresslevel=1) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return file.getvalue()


def lying(content, *, n_bytes=None, flags=0):
    """An archive whose table of contents states other sizes or flags for its last member."""
    content = bytearray(content)
    entry = content.rindex(b"PK\1\2")
    content[entry + 8] |= flags
    if n_bytes is not None:
        content[entry + 24 : entry + 28] = struct.pack("<I", n_bytes)
    return bytes(content)


def contents(folder, aside):
    """Bytes of every slice in a folder, by number."""
    with archives.Reader(aside) as read:
        return {entry.number: read(entry) for entry in finding.find(folder).entries}


def test_the_published_files_hold_all_slices():
    assert sum(archive.n_bytes for archive in archives.PUBLISHED) == 879493326
    numbers = [archives.numbers_of(archive.name) for archive in archives.PUBLISHED]
    assert [len(own) for own in numbers] == [766] * 4
    assert set.union(*numbers) == set(range(1, archives.N_PUBLISHED + 1))


def test_names_of_slices_and_archives_in_any_capitals():
    assert archives.is_slice("deep/folder/12.mat") and archives.is_slice("a\\000000012.MAT")
    for name in ("cvind.mat", "9" * 5000 + ".mat", "-4.mat", "._4.mat", "4.mat:Zone.Identifier"):
        assert not archives.is_slice(name)
    assert archives.is_archive("deep/a.ZIP") and not archives.is_archive("__MACOSX/._a.zip")


def test_every_way_to_pack_gives_the_same_bytes(tmp_path):
    slices = {n: mat_bytes(tmp_path, n) for n in (1, 2, 3)}
    inner = zip_bytes({"3.Mat": slices[3], "__MACOSX/._3.mat": b"notes"})
    packed = {"1.MAT": slices[1], "deep\\2.mat": slices[2], "x/Inner.Zip": inner, "a.txt": b"x"}
    folder = write_archives(tmp_path / "data", {"OWN.ZIP": packed})
    assert contents(folder, tmp_path) == slices
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as archive:
        with archive.open("4.mat", "w", force_zip64=True) as file:
            file.write(slices[1])
    (tmp_path / "own.zip").rename(folder / "4.zip")
    assert contents(folder, tmp_path) == {**slices, 4: slices[1]}


def test_an_archive_of_the_archives_is_known_by_the_sums_of_those(tmp_path):
    inner = dataset(tmp_path / "inner")
    packed = {f"x/{name}": (inner / name).read_bytes() for name in NAMES}
    write_archives(tmp_path / "data", {"all.zip": packed})
    (tmp_path / "aside").mkdir()
    with archives.Reader(tmp_path / "aside") as read:
        for entry in finding.find(tmp_path / "data").entries:
            read(entry)
        assert read.md5s() == {archives.md5(inner / name) for name in NAMES}


@pytest.mark.parametrize(
    "content, words",
    [
        (lying(zip_bytes({"4.mat": b"x"}), n_bytes=2**31), "4.mat, which unpacks to 2147483648"),
        (lying(zip_bytes({"4.mat": b"x"}), flags=1), "4.mat by a password or a method"),
        (zip_bytes({"4.mat": bytes(99)}, zipfile.ZIP_LZMA), "4.mat by a password or a method"),
    ],
)
def test_a_member_that_could_fill_memory_is_refused_before_it_is_unpacked(tmp_path, content, words):
    (tmp_path / "own.zip").write_bytes(content)
    with pytest.raises(CorruptArchiveError, match="own.zip was expected to hold") as caught:
        finding.find(tmp_path)
    assert words in str(caught.value) and "python -m tumorcf_lib download" in str(caught.value)


def test_a_bomb_that_says_it_is_small_is_not_unpacked_beyond_that(tmp_path):
    content = lying(zip_bytes({"4.mat": bytes(50_000_000)}), n_bytes=10_000)
    (tmp_path / "own.zip").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(CorruptSliceError, match="expected 10000 bytes with the right checksum"):
        contents(tmp_path, tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000


def test_a_member_that_is_not_what_the_archive_says_is_named(tmp_path):
    (tmp_path / "own.zip").write_bytes(lying(zip_bytes({"4.mat": bytes(600)}), n_bytes=700))
    with pytest.raises(CorruptSliceError, match="expected 700 bytes .*, got 600 bytes"):
        contents(tmp_path, tmp_path)
    content = bytearray(zip_bytes({"4.mat": mat_bytes(tmp_path, 4)}, zipfile.ZIP_STORED))
    content[5000] ^= 1
    (tmp_path / "own.zip").write_bytes(content)
    with pytest.raises(CorruptSliceError, match=r"Slice 4 \(own.zip/4.mat\).*checksum.*Bad CRC"):
        contents(tmp_path, tmp_path)


def test_a_link_in_an_archive_is_not_followed(tmp_path):
    (tmp_path / "private").write_bytes(b"of the machine")
    link = zipfile.ZipInfo("4.mat")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as archive:
        archive.writestr(link, str(tmp_path / "private"))
    assert contents(tmp_path, tmp_path) == {4: str(tmp_path / "private").encode()}


def test_a_loose_file_far_too_large_is_refused_unread(tmp_path):
    with open(tmp_path / "4.mat", "wb") as file:
        file.truncate(10**12)  # a hole: it takes no room
    with pytest.raises(CorruptSliceError, match="Slice 4 .*/4.mat.*got 1000000000000"):
        finding.find(tmp_path)
