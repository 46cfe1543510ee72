import zipfile

import pytest
from fake_cheng import NAMES, dataset, mat_bytes, write_archives

from tumorcf_lib import archives
from tumorcf_lib.archives import CorruptArchiveError
from tumorcf_lib.cjdata import CorruptSliceError


def numbers(folder, tmp_path):
    """Slice numbers found in a folder."""
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    with archives.open_members(archives.find(folder), scratch) as (members, _):
        return [member.number for member in members]


def test_the_published_files_are_four_with_distinct_ids_and_sums():
    assert [archive.name for archive in archives.PUBLISHED] == list(NAMES)
    assert len({archive.file_id for archive in archives.PUBLISHED}) == 4
    assert all(len(archive.md5) == 32 for archive in archives.PUBLISHED)
    assert sum(archive.n_bytes for archive in archives.PUBLISHED) == 879493326


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
    with archives.open_members(archives.find(folder), tmp_path) as (members, _):
        with pytest.raises(CorruptSliceError, match=r"Slice 4 \(own.zip/4.mat\).*checksum"):
            members[0].read()


def test_lacking_names_what_is_missing_of_the_published_set(tmp_path):
    folder = dataset(tmp_path / "data")
    assert archives.lacking(archives.find(folder)) == []
    (folder / NAMES[2]).unlink()
    assert archives.lacking(archives.find(folder)) == [archives.PUBLISHED[2]]
    assert archives.lacking([]) == list(archives.PUBLISHED)
    assert archives.lacking([folder / "own.zip"]) == []


def test_the_home_folder_is_not_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert archives.shown(tmp_path / "data") == "~/data"
    assert archives.shown("/elsewhere/data") == "/elsewhere/data"
