import struct
import tracemalloc
import zipfile

import pytest
from fake_cheng import NAMES, dataset, mat_bytes, write_archives, zip_bytes

from tumorcf_lib.data import archives, finding
from tumorcf_lib.data.matfile import CorruptSliceError


def lying(member, n_bytes, *, flags=0):
    """An archive whose table of contents states another size or flags for its member 4.mat."""
    content = bytearray(zip_bytes({"4.mat": member}))
    entry = content.rindex(b"PK\1\2")
    content[entry + 8] |= flags
    content[entry + 24 : entry + 28] = struct.pack("<I", n_bytes)
    return bytes(content)


def contents(folder):
    with archives.Reader(folder.parent) as read:
        return {entry.number: read(entry) for entry in finding.find(folder).entries}


def test_the_published_files_hold_all_slices():
    numbers = [archives.numbers_of(archive.name) for archive in archives.PUBLISHED]
    assert [len(own) for own in numbers] == [766] * 4
    assert set.union(*numbers) == set(range(1, archives.N_PUBLISHED + 1))


def test_every_way_to_pack_in_any_capitals_gives_the_same_bytes_and_nothing_else(tmp_path):
    slices = {n: mat_bytes(tmp_path, n) for n in (1, 2, 3)}
    inner = zip_bytes({"3.Mat": slices[3], "__MACOSX/._3.mat": b"notes"})
    packed = {"1.MAT": slices[1], "deep\\2.mat": slices[2], "x/Inner.Zip": inner, "a.txt": b"x"}
    others = ("cvind.mat", "9" * 5000 + ".mat", "-4.mat", "4.mat:Zone.Identifier", "x/._a.zip")
    folder = write_archives(tmp_path / "data", {"OWN.ZIP": packed | dict.fromkeys(others, b"x")})
    assert contents(folder) == slices


def test_an_archive_of_the_archives_is_known_by_the_sums_of_those(tmp_path):
    inner = dataset(tmp_path / "inner")
    packed = {f"x/{name}": (inner / name).read_bytes() for name in NAMES}
    folder = write_archives(tmp_path / "data", {"all.zip": packed})
    with archives.Reader(tmp_path) as read:
        for entry in finding.find(folder).entries:
            read(entry)
        assert read.md5s() == {archives.md5(inner / name) for name in NAMES}


@pytest.mark.parametrize(
    "content, words",
    [
        (lying(b"x", 2**31), "unpack by method 8 to 2147483648"),
        (zip_bytes({"4.mat": bytes(99)}, zipfile.ZIP_LZMA), "unpack by method 14 to 99"),
        (b"PK no archive", "File is not a zip file"),
    ],
)
def test_an_archive_that_is_damaged_or_could_fill_memory_is_passed_over_and_named(
    tmp_path, content, words
):
    (tmp_path / "own.zip").write_bytes(content)
    found = finding.find(tmp_path)
    assert found.entries == [] and words in found.notes[0] and "own.zip" in found.notes[0]


def test_a_bomb_that_says_it_is_small_is_not_unpacked_beyond_that(tmp_path):
    (tmp_path / "own.zip").write_bytes(lying(bytes(50_000_000), 10_000))
    tracemalloc.start()
    with pytest.raises(CorruptSliceError, match="expected 10000 bytes with the right checksum"):
        contents(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000


def test_a_member_that_is_not_what_the_archive_says_is_named(tmp_path):
    flipped = bytearray(zip_bytes({"4.mat": mat_bytes(tmp_path, 4)}, zipfile.ZIP_STORED))
    flipped[5000] ^= 1
    for content, words in (
        (lying(bytes(600), 700), "700 bytes .*, got 600 bytes"),
        (lying(bytes(600), 600, flags=1), "600 bytes .*, got .* password"),
        (flipped, "bytes with the right checksum, got Bad CRC"),
    ):
        (tmp_path / "own.zip").write_bytes(content)
        with pytest.raises(CorruptSliceError, match=rf"Slice 4 \(own.zip/4.mat\): .*{words}"):
            contents(tmp_path)


def test_a_loose_file_far_too_large_is_passed_over_unread(tmp_path):
    with open(tmp_path / "4.mat", "wb") as file:
        file.truncate(10**12)  # a hole: it takes no room
    assert "4.mat there: cannot be read (a slice of 10000000" in finding.find(tmp_path).notes[0]
