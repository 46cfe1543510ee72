import pytest
from fake_cheng import NAMES, a_part_will_do, dataset, mat_bytes, open_folder, without_rights

from tumorcf_lib.data import archives, finding
from tumorcf_lib.data.archives import DatasetNotFoundError
from tumorcf_lib.data.matfile import CorruptSliceError, DatasetError

pytestmark = pytest.mark.usefixtures("published_12")


def incomplete(folder):
    """What is said of a folder that lacks slices; with partial, the numbers that are there."""
    assert not finding.find(folder).is_enough
    with pytest.raises(DatasetNotFoundError) as caught:
        finding.require(folder)
    entries = finding.find(folder).entries
    with a_part_will_do():
        assert finding.find(folder).is_enough == bool(entries)
    return str(caught.value), [entry.number for entry in entries]


def test_what_is_missing_is_named_unless_a_part_is_allowed(tmp_path):
    folder = dataset(tmp_path / "data")
    (folder / NAMES[2]).rename(folder / "brain.tar.gz")
    (folder / "image_8.mat").write_bytes(b"x")
    (folder / "own.zip").write_bytes(b"PK no archive")
    (folder / "7.mat").symlink_to("nowhere")
    said, numbers = incomplete(folder)
    for words in (
        f"Missing: 7-9. Put there, unopened:\n    {NAMES[2]}",
        "brain.tar.gz and 1 more there: neither a file N.mat nor a ZIP archive",
        "own.zip there: cannot be read (File is not a zip file)",
        "7.mat there: a link to no file",
        "--partial (TUMORCF_PARTIAL=1)",
        "python -m tumorcf_lib download",
    ):
        assert words in said
    assert numbers == [1, 2, 3, 4, 5, 6, 10, 11, 12]


def test_a_folder_with_nothing_is_told_what_belongs_there(tmp_path):
    (tmp_path / "folder.zip").mkdir()
    for name, words in ("folder.zip", "has none of its files"), ("not_there", "does not exist"):
        said, numbers = incomplete(tmp_path / name)
        assert numbers == [] and "--partial" not in said
        assert f"expected in {tmp_path / name}, which {words}. Missing" in said
        assert all(str(archive) in said for archive in archives.PUBLISHED)


def test_copies_that_differ_do_not_hide_which_slices_are_missing(tmp_path):
    folder = dataset(tmp_path / "data")
    (folder / NAMES[1]).unlink()
    (folder / "7.mat").write_bytes(mat_bytes(tmp_path, 7, size=20))
    with pytest.raises(CorruptSliceError, match="Slice 7 .* differs; missing are 4-6[.]"):
        finding.require(folder)


def test_a_number_in_the_wrong_archive_is_refused(tmp_path):
    folder = dataset(tmp_path / "data")
    for old, new in (NAMES[0], "aside"), (NAMES[1], NAMES[0]), ("aside", NAMES[1]):
        (folder / old).rename(folder / new)
    words = f"Slice 1 .{NAMES[1]}/1.mat.: expected one of the slices 4-6 there"
    with pytest.raises(CorruptSliceError, match=words):
        finding.require(folder)
    (folder / "99.mat").write_bytes(mat_bytes(tmp_path, 99))
    with a_part_will_do():
        assert len(finding.require(folder).entries) == 12


def test_a_folder_that_may_not_be_read_is_not_taken_for_an_empty_one():
    with open_folder() as top:
        folder = dataset(top / "data")
        with without_rights(folder):
            with pytest.raises(DatasetError, match="PermissionError .*TUMORCF_DATA"):
                finding.find(folder).is_enough
            said, _ = incomplete(top)
            assert "data there: cannot be read (Permission denied)" in said
        (top / "lost+found").mkdir()
        (top / "lost+found" / "7.mat").write_bytes(b"of the system")
        with without_rights(top / "lost+found", 0o444):
            assert len(finding.require(top).entries) == 12
    with pytest.raises(DatasetError, match="test_finding.py, got NotADirectoryError"):
        finding.find(__file__)
