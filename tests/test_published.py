import os
import shutil
import zipfile
from types import SimpleNamespace

import fake_cheng as cheng
import numpy as np
import pytest
import real_cheng
from fake_cheng import NAMES

from tumorcf_lib import steps
from tumorcf_lib.data import archives, published
from tumorcf_lib.data.matfile import CorruptSliceError, DatasetError


@pytest.fixture
def folder(tmp_path, published_12):
    return cheng.dataset(tmp_path / "data")


def read(folder, tmp_path):
    return published.read(folder, cache_dir=tmp_path / "cache", progress=False)


def caches(tmp_path):
    """Caches, and whatever a reading left beside them; the lock's own file stays."""
    return sorted(path.name for path in (tmp_path / "cache").iterdir() if path.name != ".lock")


def members_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_slices_masks_labels_and_ids_come_as_they_are_in_the_files(folder, tmp_path):
    packed = read(folder, tmp_path)
    loose = read(cheng.unpack(folder, *NAMES), tmp_path)
    assert "loose .mat files" in loose.source
    for found in packed, loose:
        cheng.check_slices(found)
        assert found.slices[0].dtype == np.int16 and found.masks[0].dtype == bool
        assert found.classes == ("meningioma", "glioma", "pituitary")
        assert found.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 2]
        assert found.table["patient_id"][2:6].tolist() == ["P0b", "MR1", "MR1B", "MR1B"]
        assert set(found.persons[3:6]) == {"MR1"}


def test_the_second_reading_opens_the_cache_wherever_and_whenever_the_files_were_put(
    folder, tmp_path, monkeypatch
):
    first = read(folder, tmp_path)
    monkeypatch.setattr("tumorcf_lib.data.matfile.parse", None)
    os.utime(folder / NAMES[0], ns=(1, 1))
    (folder / "notes.txt").write_text("x")
    (folder / "deep").mkdir()
    (folder / NAMES[2]).rename(folder / "deep" / NAMES[2])
    second = read(folder, tmp_path)
    assert isinstance(second.slices.flat, np.memmap)
    assert not second.slices[0].flags.writeable
    assert first.table.equals(second.table) and first.source == second.source
    cheng.check_slices(second)
    assert published.describe(folder, cache_dir=tmp_path / "cache") == first.source


def test_other_bytes_in_the_folder_replace_its_cache_and_no_other(folder, tmp_path):
    read(folder, tmp_path)
    read(cheng.dataset(tmp_path / "other", sizes={8: 20}), tmp_path)
    assert len(caches(tmp_path)) == 2
    cheng.dataset(folder, sizes={7: 20})
    assert read(folder, tmp_path).slices[6].shape == (20, 20)
    assert len(caches(tmp_path)) == 2


def test_files_that_changed_places_are_named_by_whose_the_number_is(folder, tmp_path, monkeypatch):
    """Each is whole and in its archive; only its number's label and patient give it away."""
    ids = "P0a P0a P0b MR1 MR1B MR1B P2a P2a P2b P3a P3a P3b".split()
    monkeypatch.setattr(archives, "owner", lambda n: (min((n + 2) // 3, 3), ids[n - 1]))
    assert len(read(folder, tmp_path)) == 12
    members = members_of(folder / NAMES[0])
    members["2.mat"], members["3.mat"] = members["3.mat"], members["2.mat"]
    cheng.write_archives(folder, {NAMES[0]: members})
    words = "Slice 2 .*patient P0a as published, got label 1 and patient P0b .two files exchanged"
    with pytest.raises(CorruptSliceError, match=words):
        read(folder, tmp_path)


def test_the_source_says_whose_copy_it_is_how_much_and_that_a_part_is_not_the_whole(
    folder, tmp_path, monkeypatch
):
    source = read(folder, tmp_path).source
    assert "), 12 slices of 8 patient IDs, 16 x 16 to 24 x 24 px, values" in source
    assert str(tmp_path) not in source
    ours = [a._replace(md5=archives.md5(folder / a.name)) for a in archives.PUBLISHED]
    for theirs, words in (
        (archives.PUBLISHED[3], "an unlisted copy (MD5 differs from the published archives)"),
        (ours[3], "published archives (MD5 verified)"),
    ):
        shutil.rmtree(tmp_path / "cache")
        monkeypatch.setattr(archives, "PUBLISHED", (*ours[:3], theirs))
        assert words in read(folder, tmp_path).source
    (folder / NAMES[1]).unlink()
    with cheng.a_part_will_do():
        source = read(folder, tmp_path).source
    assert "9 of 12 slices (partial: 4-6 missing) of 6 patient IDs" in source
    with pytest.raises(archives.DatasetNotFoundError, match="Missing: 4-6"):
        read(folder, tmp_path)


@pytest.mark.parametrize(
    "changes, words",  # of 4.mat
    [
        ({"label": 1}, f"Slice 5 ({NAMES[1]}/5.mat): expected label 1 as"),
        (
            {"image": cheng.draw(1)[0].T},
            f"({NAMES[1]}/4.mat): expected number 1 as slice 1 ({NAMES[0]}/1.mat) of the same",
        ),
        ({"image": cheng.draw(4)[0].T * 1.0}, "expected dtype <i2 as slice 1"),
    ],
)
def test_a_slice_that_contradicts_others_is_named_leaves_nothing_and_a_rerun_completes(
    folder, tmp_path, changes, words
):
    members = members_of(folder / NAMES[1])
    members["4.mat"] = cheng.mat_bytes(tmp_path, 4, **{"label": 2, "patient": "MR1", **changes})
    cheng.write_archives(folder, {NAMES[1]: members})
    with pytest.raises(DatasetError) as caught:
        read(folder, tmp_path)
    assert words in str(caught.value) and "python -m tumorcf_lib download" in str(caught.value)
    assert caches(tmp_path) == []
    cheng.check_slices(read(cheng.dataset(folder), tmp_path))


def test_patient_ids_of_any_printable_letters_come_back_as_they_were(tmp_path):
    patients = ('A,"B";', "007", "1e5", "NA", "-", "#x", "'", "a b")
    contents = {}
    for n, patient in enumerate(patients, 1):
        contents[f"{n}.mat"] = cheng.mat_bytes(tmp_path, n, patient=patient)
    folder = cheng.write_archives(tmp_path / "data", {"own.zip": contents})
    with cheng.a_part_will_do():
        for _ in ("read", "mapped from the cache"):
            assert read(folder, tmp_path).table["patient_id"].tolist() == list(patients)


@pytest.mark.parametrize("name", ["masks", "table.csv", "step.json"])
def test_a_damaged_cache_is_made_again(folder, tmp_path, name):
    first = read(folder, tmp_path)
    for damage in (lambda content: content[:-7], lambda content: content[:-1] + b"\x01"):
        path = next((tmp_path / "cache").glob(f"*/{name}"))
        path.write_bytes(damage(path.read_bytes()))
        again = read(folder, tmp_path)
        assert again.table.equals(first.table)
        cheng.check_slices(again)
    path = next((tmp_path / "cache").glob(f"*/{name}"))
    path.unlink()
    os.mkfifo(path)  # whoever opens it waits for ever
    assert len(read(folder, tmp_path)) == 12


def test_what_another_process_is_reading_is_left_alone_and_what_a_killed_one_left_is_removed(
    folder, tmp_path, monkeypatch
):
    (tmp_path / "cache" / "unfinished-cheng-1").mkdir(parents=True)
    monkeypatch.setattr(published, "WAIT_S", 0.0)
    with steps.held(tmp_path / "cache" / ".lock"):
        with pytest.raises(DatasetError, match="Another process writes the slices to"):
            read(folder, tmp_path)
    assert caches(tmp_path) == ["unfinished-cheng-1"]
    with monkeypatch.context() as patch:
        patch.setattr(steps, "fcntl", None)  # where no locks are known it may still be read
        assert len(read(folder, tmp_path)) == 12
        assert "unfinished-cheng-1" in caches(tmp_path)
    shutil.rmtree(next((tmp_path / "cache").glob("cheng-*")))
    read(folder, tmp_path)
    assert [name[:6] for name in caches(tmp_path)] == ["cheng-"]


@pytest.mark.usefixtures("published_12")
def test_a_disk_too_small_or_filling_up_leaves_no_cache(tmp_path, monkeypatch):
    large = cheng.dataset(tmp_path / "large", sizes=dict.fromkeys(range(1, 13), 200))
    packed = {name: (large / name).read_bytes() for name in NAMES}
    folder = cheng.write_archives(tmp_path / "data", {"all.zip": packed})
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1_000))
        with pytest.raises(DatasetError, match="slices to .*cache.*1.4 MB are needed, only 0.0"):
            read(folder, tmp_path)
    for n_bytes in (200_000, 700_000):  # unpacks no archive; writes not all arrays
        with cheng.no_file_beyond(n_bytes), pytest.raises(DatasetError, match="TUMORCF_RUNS"):
            read(folder, tmp_path)
    assert caches(tmp_path) == []
    assert len(read(folder, tmp_path)) == 12


@pytest.mark.real
def test_the_real_slices_have_the_published_counts():
    whole = real_cheng.cohort()
    assert [archives.owner(n) for n in range(1, 3065)] == list(
        zip(whole.labels + 1, whole.table["patient_id"])
    )
    counts = whole.table.groupby("label").agg(n=("slice_id", "size"), ids=("patient_id", "nunique"))
    assert counts["n"].tolist() == [708, 1426, 930]
    assert counts["ids"].tolist() == [82, 89, 62]
    assert len(set(whole.persons)) == 209
