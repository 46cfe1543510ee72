import io
import resource
import shutil
import struct
import tracemalloc
import zipfile
from types import SimpleNamespace

import pytest
from fake_cheng import NAMES, dataset, mat_bytes, write_archives

from tumorcf_lib.data import archives, members
from tumorcf_lib.data.archives import CorruptArchiveError, DataAccessError, NoRoomError
from tumorcf_lib.data.cjdata import CorruptSliceError


def numbers(folder, tmp_path):
    """Slice numbers found in a folder."""
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    with members.open_members(archives.find(folder), scratch) as (found, _):
        return [member.number for member in found]


def test_members_are_sorted_by_number_not_by_name(tmp_path):
    assert numbers(dataset(tmp_path / "data"), tmp_path) == list(range(1, 13))


def test_files_that_are_no_slice_are_passed_over(tmp_path):
    content = mat_bytes(tmp_path, 4)
    others = {"cvind.mat": b"x", "README.txt": b"x", "__MACOSX/._4.mat": b"x", "4b.mat": b"x"}
    contents = {"deep/folder/4.mat": content, **others}
    folder = write_archives(tmp_path / "data", {"own.zip": contents})
    (folder / "cvind5fold.mat").write_bytes(b"x")
    (folder / "cvind.mat").write_bytes(b"x")
    (folder / "notes.zip").write_bytes(b"no archive")
    write_archives(folder, {"code.zip": {"a.py": b"x"}})
    assert numbers(folder, tmp_path) == [4]


@pytest.mark.parametrize("place", ["", "sub", "sub/deeper"])
def test_loose_files_are_found_also_deeper(tmp_path, place):
    folder = tmp_path / "data" / place
    folder.mkdir(parents=True)
    for number in (10, 9):
        (folder / f"{number}.mat").write_bytes(mat_bytes(tmp_path, number))
    (folder / "cvind.mat").write_bytes(b"x")
    assert numbers(tmp_path / "data", tmp_path) == [9, 10]


def test_archives_come_before_loose_files_and_the_top_before_folders(tmp_path):
    folder = write_archives(tmp_path / "data", {"own.zip": {"2.mat": mat_bytes(tmp_path, 2)}})
    (folder / "native").mkdir()
    for place in ("3.mat", "native/2.mat"):
        (folder / place).write_bytes(mat_bytes(tmp_path, 3))
    assert numbers(folder, tmp_path) == [2]


def test_one_archive_of_archives_is_read_too(tmp_path):
    inner = dataset(tmp_path / "inner")
    outer = tmp_path / "data"
    write_archives(outer, {"all.zip": {f"x/{name}": (inner / name).read_bytes() for name in NAMES}})
    assert numbers(outer, tmp_path) == list(range(1, 13))
    (tmp_path / "aside").mkdir()
    with members.open_members([outer / "all.zip"], tmp_path / "aside") as (_, holders):
        held = [path.read_bytes() for path in holders]  # by them the set is known as published
    assert held == [(inner / name).read_bytes() for name in NAMES]


def test_a_number_that_comes_twice_is_refused_with_both_places(tmp_path):
    content = mat_bytes(tmp_path, 4)
    write_archives(tmp_path / "data", {"a.zip": {"4.mat": content}, "b.zip": {"x/4.mat": content}})
    with pytest.raises(CorruptSliceError, match="a.zip/4.mat.*b.zip/x/4.mat"):
        numbers(tmp_path / "data", tmp_path)


def test_a_truncated_archive_is_refused_with_what_it_should_be(tmp_path):
    folder = dataset(tmp_path / "data")
    path = folder / NAMES[1]
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CorruptArchiveError) as caught:
        numbers(folder, tmp_path)
    for words in (NAMES[1], "7e8a875500d2c8a346f270538e29890e", "217848429", "again"):
        assert words in str(caught.value)


def test_a_member_with_a_wrong_checksum_is_named(tmp_path):
    folder = write_archives(tmp_path / "data", {"own.zip": {}})
    with zipfile.ZipFile(folder / "own.zip", "w") as archive:  # stored: a flipped byte stays one
        archive.writestr("4.mat", mat_bytes(tmp_path, 4))
    content = bytearray((folder / "own.zip").read_bytes())
    content[5000] ^= 1
    (folder / "own.zip").write_bytes(content)
    with members.open_members(archives.find(folder), tmp_path) as (found, _):
        with pytest.raises(CorruptSliceError, match=r"Slice 4 \(own.zip/4.mat\).*checksum"):
            found[0].read()


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


def refused(folder, tmp_path, content):
    """What is said of this archive; nothing may have been unpacked anywhere."""
    folder.mkdir(exist_ok=True)
    (folder / "own.zip").write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    (tmp_path / "scratch").mkdir()
    with pytest.raises(CorruptArchiveError) as caught:
        numbers(folder, tmp_path)
    assert set(tmp_path.rglob("*")) == {*before, tmp_path / "scratch"}
    assert f"{folder / 'own.zip'} was expected to hold" in str(caught.value)
    assert "python -m tumorcf_lib download" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["../4.mat", "a/../../4.mat", "/4.mat", "C:/4.mat", "..\\4.mat", "../evil.zip", "../notes.txt"],
)
def test_an_archive_with_paths_that_climb_out_is_refused(tmp_path, name):
    content = zip_bytes({"3.mat": b"x", name: b"x"})
    assert "leads out of its folder" in refused(tmp_path / "data", tmp_path, content)


def test_backslashes_of_windows_are_folders(tmp_path):
    contents = {"own.zip": {"deep\\4.mat": mat_bytes(tmp_path, 4)}}
    assert numbers(write_archives(tmp_path / "data", contents), tmp_path) == [4]


@pytest.mark.parametrize("name", ["4.mat", "inner.zip"])
def test_a_bomb_that_says_so_is_refused_before_it_is_unpacked(tmp_path, name):
    content = lying(zip_bytes({name: b"x"}), n_bytes=(1 << 31) - 1)
    words = refused(tmp_path / "data", tmp_path, content)
    assert f"{name}, which unpacks to 2147483647 bytes" in words


def test_slices_that_together_unpack_to_too_much_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(members, "MAX_TOTAL_BYTES", 1000)
    content = zip_bytes({"4.mat": bytes(600), "5.mat": bytes(600)})
    assert "slices of more than 1000 bytes" in refused(tmp_path / "data", tmp_path, content)


def test_a_bomb_that_says_it_is_small_is_not_unpacked_beyond_that(tmp_path):
    content = lying(zip_bytes({"4.mat": bytes(50_000_000)}), n_bytes=10_000)
    (tmp_path / "own.zip").write_bytes(content)
    tracemalloc.start()
    with members.open_members([tmp_path / "own.zip"], tmp_path) as (found, _):
        with pytest.raises(CorruptSliceError, match="expected 10000 bytes with the right checksum"):
            found[0].read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000


def test_a_member_shorter_than_its_archive_says_is_refused(tmp_path):
    (tmp_path / "own.zip").write_bytes(lying(zip_bytes({"4.mat": bytes(600)}), n_bytes=700))
    with members.open_members([tmp_path / "own.zip"], tmp_path) as (found, _):
        with pytest.raises(CorruptSliceError, match="expected 700 bytes .*, got 600 bytes"):
            found[0].read()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_unpack_without_a_bound_are_refused(tmp_path, method):
    content = zip_bytes({"4.mat": bytes(1000)}, method)
    assert "packed by another method" in refused(tmp_path / "data", tmp_path, content)


@pytest.mark.parametrize("name", ["4.mat", "inner.zip"])
def test_a_member_with_a_password_is_refused(tmp_path, name):
    content = lying(zip_bytes({name: b"x"}), flags=1)
    assert f"{name}, which needs a password" in refused(tmp_path / "data", tmp_path, content)


def test_archives_are_looked_for_one_level_deep_only(tmp_path):
    content = zip_bytes({"4.mat": b"x"})
    for k in range(3):
        content = zip_bytes({f"{k}.zip": content})
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "own.zip").write_bytes(content)
    with pytest.raises(CorruptArchiveError, match=r"own.zip/2.zip .* holds 1.zip, an archive in"):
        numbers(tmp_path / "data", tmp_path)


def test_a_broken_archive_in_an_archive_is_named_by_both(tmp_path):
    folder = write_archives(tmp_path / "data", {"own.zip": {"x/inner.zip": b"no archive"}})
    with pytest.raises(CorruptArchiveError, match=r"own.zip/x/inner.zip is not a complete ZIP"):
        numbers(folder, tmp_path)


def test_a_member_renamed_in_the_table_of_contents_does_not_vanish(tmp_path):
    content = bytearray(zip_bytes({"3.mat": b"x", "4.mat": b"x"}))
    content[content.rindex(b"4.mat") + 4] = ord("x")
    (tmp_path / "own.zip").write_bytes(content)
    with pytest.raises(CorruptArchiveError, match="'4.max' and header b'4.mat' differ"):
        numbers(tmp_path, tmp_path)


def test_a_link_in_an_archive_is_not_followed(tmp_path):
    (tmp_path / "private.mat").write_bytes(mat_bytes(tmp_path, 4))
    link = zipfile.ZipInfo("4.mat")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as archive:
        archive.writestr(link, str(tmp_path / "private.mat"))
    with members.open_members([tmp_path / "own.zip"], tmp_path) as (found, _):
        assert found[0].read() == str(tmp_path / "private.mat").encode()


def test_capitals_hide_no_slice_and_no_archive(tmp_path):
    contents = {f"{n}.MAT": mat_bytes(tmp_path, n) for n in (4, 5)}
    inner = zip_bytes({"6.Mat": mat_bytes(tmp_path, 6)})
    write_archives(tmp_path / "data", {"OWN.ZIP": {**contents, "deep/Inner.Zip": inner}})
    assert numbers(tmp_path / "data", tmp_path) == [4, 5, 6]
    (tmp_path / "loose").mkdir()
    for name in ("4.MAT", "5.mat"):
        (tmp_path / "loose" / name).write_bytes(contents["4.MAT"])
    assert numbers(tmp_path / "loose", tmp_path) == [4, 5]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("4.mat", "4.mat"), ("4.mat", "4.MAT"), ("4.mat", "x/04.mat")])
def test_a_number_that_comes_twice_in_one_archive_is_refused(tmp_path, names):
    content = mat_bytes(tmp_path, 4)
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as archive:
        for name in names:
            archive.writestr(name, content)
    with pytest.raises(CorruptSliceError, match=f"own.zip/{names[0]}.*own.zip/{names[1]}"):
        numbers(tmp_path, tmp_path)


def test_what_a_mac_notes_on_an_archive_is_none(tmp_path):
    inner = zip_bytes({"4.mat": mat_bytes(tmp_path, 4)})
    write_archives(tmp_path, {"own.zip": {"a.zip": inner, "__MACOSX/._a.zip": b"notes"}})
    assert numbers(tmp_path, tmp_path) == [4]


def test_archives_that_together_unpack_to_too_much_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(members, "MAX_INNER_BYTES", 1000)
    content = zip_bytes({"a.zip": bytes(600), "b.zip": bytes(600)})
    assert "archives of more than 1000 bytes" in refused(tmp_path / "data", tmp_path, content)


def test_a_table_of_contents_that_would_fill_memory_is_refused_unread(tmp_path):
    content = bytearray(zip_bytes({"4.mat": b"x"}))
    entry, end = content.rindex(b"PK\1\2"), content.rindex(b"PK\5\6")
    n_entries = archives.MAX_TABLE_BYTES // (end - entry) + 1
    table = bytes(content[entry:end]) * n_entries
    content[end + 12 : end + 16] = struct.pack("<I", len(table))
    content[entry:end] = table
    inner = zip_bytes({"inner.zip": bytes(content)})
    assert len(inner) < 100_000  # unpacked by zipfile, its entries would take a hundred times that
    for folder, packed in (("top", bytes(content)), ("deep", inner)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / NAMES[0]).write_bytes(packed)
        tracemalloc.start()
        with pytest.raises(CorruptArchiveError, match=f"contents of {len(table)} bytes, over"):
            with members.open_members([tmp_path / folder / NAMES[0]], tmp_path / folder):
                pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 5_000_000


def test_archives_with_sizes_of_64_bits_are_read(tmp_path):
    content = mat_bytes(tmp_path, 4)
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as archive:
        with archive.open("4.mat", "w", force_zip64=True) as file:
            file.write(content)
    with members.open_members([tmp_path / "own.zip"], tmp_path) as (found, _):
        assert found[0].read() == content


def test_other_files_may_be_packed_in_any_way(tmp_path):
    content = zip_bytes({"4.mat": b"x", "notes.txt": b"x"})
    (tmp_path / "own.zip").write_bytes(lying(content, flags=1))
    assert numbers(tmp_path, tmp_path) == [4]


def test_no_room_to_unpack_an_archive_in_an_archive_is_said_with_its_size(tmp_path, monkeypatch):
    content = zip_bytes({"inner.zip": zip_bytes({"4.mat": bytes(3_000_000)}, zipfile.ZIP_STORED)})
    (tmp_path / "own.zip").write_bytes(content)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=2_000_000))
        with pytest.raises(NoRoomError, match="archives in own.zip need 4 MB.* 2 MB are free"):
            numbers(tmp_path, tmp_path)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(NoRoomError, match="need 4 MB"):
            numbers(tmp_path, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def test_a_loose_file_far_too_large_is_refused_unread(tmp_path):
    with open(tmp_path / "4.mat", "wb") as file:
        file.truncate(10**12)  # a hole: it takes no room
    with members.open_members([tmp_path / "4.mat"], tmp_path) as (found, _):
        with pytest.raises(CorruptSliceError, match="Slice 4 .*/4.mat.*got 1000000000000"):
            found[0].read()


def test_a_loose_file_that_vanished_is_named(tmp_path):
    with members.open_members([tmp_path / "4.mat"], tmp_path) as (found, _):
        with pytest.raises(DataAccessError, match="4.mat, got FileNotFoundError"):
            found[0].read()
