import pytest
from fake_cheng import NAMES, dataset, open_folder, without_rights, write_archives

from tumorcf_lib.data import archives
from tumorcf_lib.data.archives import DataAccessError


def test_the_published_files_are_four_with_distinct_ids_and_sums():
    assert [archive.name for archive in archives.PUBLISHED] == list(NAMES)
    assert len({archive.file_id for archive in archives.PUBLISHED}) == 4
    assert all(len(archive.md5) == 32 for archive in archives.PUBLISHED)
    assert sum(archive.n_bytes for archive in archives.PUBLISHED) == 879493326


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


def test_a_number_too_long_to_be_one_is_no_slice():
    assert archives.is_slice("000000012.mat")
    assert not archives.is_slice("9" * 5000 + ".mat")
    assert not archives.is_slice("4.mat.txt") and not archives.is_slice("-4.mat")


@pytest.mark.parametrize("mode", [0, 0o444, 0o111])
@pytest.mark.parametrize("place", ["", "sub"])
def test_a_folder_that_may_not_be_read_is_not_taken_for_an_empty_one(mode, place):
    with open_folder() as top:
        folder = dataset(top / place / "data").parent if place else dataset(top / "data")
        closed = folder / "data" if place else folder
        with without_rights(closed, mode):
            if place and not mode & 0o400:  # one of many things in a folder: named, no error
                assert archives.find(folder) == []
                words = "data there may not be read (Permission denied)"
                assert words in str(archives.not_found(folder, archives.PUBLISHED))
            else:
                with pytest.raises(DataAccessError) as caught:
                    archives.has_dataset(folder)
                words = f"to read {closed}, got PermissionError (Permission denied)"
                assert words in str(caught.value) and "TUMORCF_DATA" in str(caught.value)
        assert archives.has_dataset(folder)


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "data.zip").write_bytes(b"x")
    with pytest.raises(DataAccessError, match="data.zip, got NotADirectoryError"):
        archives.find(tmp_path / "data.zip")


def test_folders_with_names_of_files_are_passed_over(tmp_path):
    for name in (NAMES[0], "4.mat"):
        (tmp_path / name).mkdir()
    assert archives.find(tmp_path) == []


def test_a_broken_archive_is_named_where_nothing_else_was_found(tmp_path):
    (tmp_path / "own.zip").write_bytes(b"PK no archive")
    (tmp_path / "notes.txt").write_text("of no concern")
    (tmp_path / "folder.zip").mkdir()
    write_archives(tmp_path, {"code.zip": {"a.py": b""}})
    assert archives.find(tmp_path) == []
    error = archives.not_found(tmp_path, archives.PUBLISHED)
    assert "notes.txt" not in str(error) and "folder.zip" not in str(error)
    words = "none of its files; code.zip there holds no N.mat; own.zip there is no complete ZIP"
    assert words in str(error)
