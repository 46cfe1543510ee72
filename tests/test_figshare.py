import os
import resource
import shutil
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import real_cheng
from fake_cheng import NAMES, dataset, draw, mat_bytes, write_archives

from tumorcf_lib import steps
from tumorcf_lib.data import archives, published
from tumorcf_lib.data.published import (
    CorruptSliceError,
    DataAccessError,
    DatasetNotFoundError,
    NoRoomError,
)


def read(folder, tmp_path):
    return published.read(folder, cache_dir=tmp_path / "cache", progress=False)


def caches(tmp_path):
    """Caches, and whatever a reading left beside them; the lock's own file stays."""
    return sorted(path.name for path in (tmp_path / "cache").iterdir() if path.name != ".lock")


def test_slices_masks_labels_and_ids_come_as_they_are_in_the_files(tmp_path):
    found = read(dataset(tmp_path / "data"), tmp_path)
    assert (found.name, len(found)) == ("cheng", 12)
    assert found.classes == ("meningioma", "glioma", "pituitary")
    assert found.table["slice_id"].tolist() == list(range(1, 13))
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 2]
    assert found.table["patient_id"][:6].tolist() == ["P0a", "P0a", "P0b", "MR1", "MR1B", "MR1B"]
    assert set(found.persons[3:6]) == {"MR1"}
    for i in range(12):
        image, mask = draw(i + 1, 24 if i + 1 == 5 else 16)
        np.testing.assert_array_equal(found.slices[i], image)
        np.testing.assert_array_equal(found.masks[i], mask.astype(bool))
        assert found.slices[i].dtype == np.int16 and found.masks[i].dtype == bool


def test_the_second_reading_opens_the_cache_and_gives_the_same(tmp_path, monkeypatch):
    folder = dataset(tmp_path / "data")
    first = read(folder, tmp_path)
    monkeypatch.setattr("tumorcf_lib.data.cjdata.parse", None)  # whoever parses again fails
    second = read(folder, tmp_path)
    assert isinstance(second.slices.flat, np.memmap)
    assert not second.slices[0].flags.writeable
    assert first.table.equals(second.table) and first.source == second.source
    for one, other in zip(first.slices, second.slices):
        np.testing.assert_array_equal(one, other)
    assert published.describe(folder, cache_dir=tmp_path / "cache") == first.source


def test_other_files_make_another_cache(tmp_path):
    folder = dataset(tmp_path / "data")
    read(folder, tmp_path)
    other = dataset(tmp_path / "other", sizes={7: 20})
    assert read(other, tmp_path).slices[6].shape == (20, 20)
    os.utime(folder / NAMES[0], ns=(1, 1))
    read(folder, tmp_path)
    assert len(caches(tmp_path)) == 3


def test_a_numpy_header_has_room_for_any_length(tmp_path):
    with open(tmp_path / "a", "wb") as one, open(tmp_path / "b", "wb") as other:
        published._write_headers(one, other, np.dtype("<i2"), 0)
        before = one.tell(), other.tell()
        published._write_headers(one, other, np.dtype("<i2"), 10**12)
        assert (one.tell(), other.tell()) == before


def test_a_failure_halfway_leaves_nothing_behind(tmp_path):
    folder = dataset(tmp_path / "data")
    contents = {"11.mat": mat_bytes(tmp_path, 11, label=4), "10.mat": mat_bytes(tmp_path, 10)}
    write_archives(folder, {NAMES[3]: contents})
    with pytest.raises(CorruptSliceError, match=r"Slice 11 .*2299-3064.zip/11.mat.*got 4"):
        read(folder, tmp_path)
    assert caches(tmp_path) == []


@pytest.mark.parametrize("name", ["slices.npy", "masks.npy", "table.csv", "meta.json"])
def test_a_damaged_cache_is_made_again(tmp_path, name):
    folder = dataset(tmp_path / "data")
    first = read(folder, tmp_path)
    path = next((tmp_path / "cache").glob(f"*/{name}"))
    path.write_bytes(path.read_bytes()[:-7])
    again = read(folder, tmp_path)
    assert again.table.equals(first.table)
    np.testing.assert_array_equal(again.slices[11], draw(12)[0])


@pytest.mark.parametrize("text", ["", "[]", '{"sizes": []}', '{"sizes": {"table.csv": "x"}}', "{"])
def test_a_cache_with_a_broken_record_is_made_again(tmp_path, text):
    folder = dataset(tmp_path / "data")
    read(folder, tmp_path)
    next((tmp_path / "cache").glob("*/meta.json")).write_text(text)
    assert len(read(folder, tmp_path)) == 12


def test_what_a_killed_reading_left_is_removed_by_the_next(tmp_path):
    (tmp_path / "cache" / "reading-abc" / "new").mkdir(parents=True)
    read(dataset(tmp_path / "data"), tmp_path)
    assert [name[:6] for name in caches(tmp_path)] == ["cheng-"]


def test_what_another_process_is_reading_is_left_alone(tmp_path, monkeypatch):
    folder = dataset(tmp_path / "data")
    (tmp_path / "cache" / "reading-abc").mkdir(parents=True)
    monkeypatch.setattr(published, "WAIT_S", 0.0)
    with steps.held(tmp_path / "cache" / ".lock"):
        with pytest.raises(DataAccessError, match="another process reads it"):
            read(folder, tmp_path)
    assert caches(tmp_path) == ["reading-abc"]


def test_without_locks_what_may_be_another_reading_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / "cache" / "reading-abc").mkdir(parents=True)
    monkeypatch.setattr(steps, "fcntl", None)
    assert len(read(dataset(tmp_path / "data"), tmp_path)) == 12
    assert "reading-abc" in caches(tmp_path)


def test_what_another_process_read_meanwhile_is_not_read_again(tmp_path, monkeypatch):
    folder, own = dataset(tmp_path / "data"), steps.held

    @contextmanager
    def held(path, *, wait_s):
        monkeypatch.setattr(steps, "held", own)
        read(folder, tmp_path)
        monkeypatch.setattr("tumorcf_lib.data.cjdata.parse", None)  # whoever parses again fails
        yield True

    monkeypatch.setattr(steps, "held", held)
    assert len(read(folder, tmp_path)) == 12


def test_a_disk_too_small_is_noticed_before_the_reading(tmp_path, monkeypatch):
    folder = dataset(tmp_path / "data", sizes=dict.fromkeys(range(1, 13), 200))
    free = SimpleNamespace(free=1_300_000)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda folder: free)
        # 12 slices of 200 x 200 pixels of 2 bytes, and a mask byte each: 1.44 MB
        with pytest.raises(NoRoomError, match="12 slices need 2 MB in .*cache, and 1 MB are free"):
            read(folder, tmp_path)
    assert caches(tmp_path) == []
    assert len(read(folder, tmp_path)) == 12


def test_a_disk_that_fills_up_while_reading_leaves_no_cache(tmp_path):
    folder = dataset(tmp_path / "data", sizes=dict.fromkeys(range(1, 13), 200))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, hard))  # writes beyond that fail
    try:
        with pytest.raises(NoRoomError, match="need 2 MB .*TUMORCF_RUNS"):
            read(folder, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert caches(tmp_path) == []
    assert len(read(folder, tmp_path)) == 12


def test_a_place_for_caches_that_cannot_be_written_is_named(tmp_path):
    folder = dataset(tmp_path / "data")
    (tmp_path / "cache").write_bytes(b"")
    with pytest.raises(DataAccessError, match="to write .*cache, got FileExists.*TUMORCF_RUNS"):
        read(folder, tmp_path)


def test_two_labels_for_one_person_are_refused(tmp_path):
    contents = {
        "1.mat": mat_bytes(tmp_path, 1, label=2, patient="MR7"),
        "2.mat": mat_bytes(tmp_path, 2, label=3, patient="MR7B"),
    }
    folder = write_archives(tmp_path / "data", {"own.zip": contents})
    with pytest.raises(CorruptSliceError, match=r"2 \(own.zip/2.mat\).* 2 as in slice 1 .* MR7"):
        read(folder, tmp_path)
    assert caches(tmp_path) == []


def test_patient_ids_of_any_printable_letters_come_back_as_they_were(tmp_path):
    patients = ('A,"B";', "007", "1e5", "NA", "-", "#x", "'", "a b")
    contents = {
        f"{n}.mat": mat_bytes(tmp_path, n, patient=patient) for n, patient in enumerate(patients)
    }
    folder = write_archives(tmp_path / "data", {"own.zip": contents})
    for _ in ("read", "mapped from the cache"):
        assert read(folder, tmp_path).table["patient_id"].tolist() == list(patients)


def test_pixels_of_two_dtypes_are_refused(tmp_path):
    contents = {
        "1.mat": mat_bytes(tmp_path, 1),
        "2.mat": mat_bytes(tmp_path, 2, image=np.eye(16)),
    }
    folder = write_archives(tmp_path / "data", {"own.zip": contents})
    with pytest.raises(CorruptSliceError, match="Slice 2 .*int16 pixels as in slice 1, got float"):
        read(folder, tmp_path)


def test_an_unlisted_copy_is_read_and_called_so(tmp_path):
    source = read(dataset(tmp_path / "data"), tmp_path).source
    assert "an unlisted copy (MD5 differs from the published archives)" in source
    assert "12 of 3064 slices of 8 patients, 16 x 16 to 24 x 24 px, values" in source
    assert str(tmp_path) not in source


def test_archives_with_the_published_sums_are_called_verified(tmp_path, monkeypatch):
    folder = dataset(tmp_path / "data")
    listed = tuple(a._replace(md5=archives.md5(folder / a.name)) for a in archives.PUBLISHED)
    monkeypatch.setattr(archives, "PUBLISHED", listed)
    assert "published archives (MD5 verified)" in read(folder, tmp_path).source


def test_one_changed_archive_makes_the_set_unlisted(tmp_path, monkeypatch):
    folder = dataset(tmp_path / "data")
    listed = [a._replace(md5=archives.md5(folder / a.name)) for a in archives.PUBLISHED]
    listed[3] = archives.PUBLISHED[3]
    monkeypatch.setattr(archives, "PUBLISHED", tuple(listed))
    assert "unlisted" in read(folder, tmp_path).source


def test_loose_files_are_read_and_called_so(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "8.mat").write_bytes(mat_bytes(tmp_path, 8))
    found = read(folder, tmp_path)
    assert "1 of 3064 slices of 1 patients" in found.source and "loose .mat" in found.source
    np.testing.assert_array_equal(found.slices[0], draw(8)[0])


def test_a_folder_without_the_dataset_is_told_what_belongs_there(tmp_path):
    for folder in (tmp_path, tmp_path / "not_there"):
        with pytest.raises(DatasetNotFoundError) as caught:
            read(folder, tmp_path)
        for archive in archives.PUBLISHED:
            for fact in (archive.name, str(archive.n_bytes), archive.md5):
                assert fact in str(caught.value)
        assert not published.has_dataset(folder)
        assert published.fingerprint(folder) == "no dataset"


def test_an_incomplete_set_is_told_which_archive_is_missing(tmp_path):
    folder = dataset(tmp_path / "data")
    assert published.has_dataset(folder)
    (folder / NAMES[1]).unlink()
    assert not published.has_dataset(folder)
    with pytest.raises(DatasetNotFoundError, match="lacks some") as caught:
        read(folder, tmp_path)
    assert NAMES[1] in str(caught.value) and NAMES[0] not in str(caught.value)


def test_archives_without_slices_are_no_dataset(tmp_path):
    folder = write_archives(tmp_path / "data", {name: {"a.txt": b"x"} for name in NAMES})
    with pytest.raises(DatasetNotFoundError):
        read(folder, tmp_path)
    assert caches(tmp_path) == []


@pytest.mark.real
def test_the_real_slices_have_the_published_counts():
    whole = real_cheng.cohort()
    counts = whole.table.groupby("label").agg(n=("slice_id", "size"), ids=("patient_id", "nunique"))
    assert counts["n"].tolist() == [708, 1426, 930]
    assert counts["ids"].tolist() == [82, 89, 62]
    assert len(set(whole.persons)) == 209
    assert whole.table["slice_id"].tolist() == list(range(1, 3065))
    assert (pd.Series(whole.labels).diff().dropna() != 0).sum() <= 20  # sorted by class, nearly
    for mask in whole.masks[::50]:
        assert mask.any() and not mask.all()


@pytest.mark.real
def test_real_slices_of_two_sizes_read_from_loose_files(tmp_path):
    folder = real_cheng.folder() / "native512"
    if not folder.exists():
        pytest.skip("this copy of the dataset has no folder native512")
    native, whole = read(folder, tmp_path), real_cheng.cohort()
    assert {slice.shape for slice in native.slices} == {(256, 256), (512, 512)}
    for i, number in enumerate(native.table["slice_id"]):
        if native.slices[i].shape == (512, 512):  # the same anatomy at half the size
            blocks = native.slices[i].reshape(256, 2, 256, 2).mean(axis=(1, 3))
            found = np.corrcoef(blocks.ravel(), whole.slices[number - 1].ravel())[0, 1]
            assert found > 0.99
            inside = native.masks[i].reshape(256, 2, 256, 2).mean(axis=(1, 3)) > 0.5
            assert (inside == whole.masks[number - 1]).mean() > 0.99
