"""Every fault of the data, from its file to the reader: named, nothing kept, a rerun completes."""

import io
import zipfile

import h5py
import numpy as np
import pytest
from fake_cheng import NAMES, dataset, draw, mat_bytes, open_folder, without_rights, write_mat
from test_members import lying, zip_bytes

from tumorcf_lib.data import published
from tumorcf_lib.data.cjdata import DatasetError

SLICE, MASK = draw(4)
BAD_SLICES = {
    # name: changes of 4.mat, what the message must say
    "no image": ({"drop": ("image",)}, "a field cjdata.image"),
    "no mask": ({"drop": ("tumorMask",)}, "a field cjdata.tumorMask"),
    "no label": ({"drop": ("label",)}, "a field cjdata.label"),
    "no PID": ({"drop": ("PID",)}, "a field cjdata.PID"),
    "empty PID": ({"PID": np.zeros((0,), np.uint16)}, "a PID of printable"),
    "three channels": ({"image": np.zeros((16, 16, 3))}, "an image (height, width)"),
    "one row": ({"image": np.arange(16)}, "an image (height, width)"),
    "mask of another size": ({"tumorMask": np.ones((15, 16))}, "of the image's size (16, 16)"),
    "empty mask": ({"tumorMask": MASK * 0}, "a tumorMask with a tumor, got an empty one"),
    "NaN": ({"image": np.where(MASK, np.nan, SLICE)}, "finite pixels"),
    "infinite": ({"image": np.where(MASK, np.inf, SLICE)}, "finite pixels"),
    "label 0": ({"label": 0}, "a label of 1, 2 or 3, got 0"),
    "label 4": ({"label": 4}, "a label of 1, 2 or 3, got 4"),
    "another label than its person": ({"label": 1}, "label 1 as in slice 4"),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A whole dataset: {archive name: bytes}."""
    folder = dataset(tmp_path_factory.mktemp("good") / "data")
    return {name: (folder / name).read_bytes() for name in NAMES}


def rezipped(content, **members):
    """The second archive, with these members (``m4`` is 4.mat) in place of its own."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            new.writestr(name, members.pop(f"m{name[:-4]}", None) or old.read(name))
        for name, added in members.items():
            new.writestr(name, added)
    return file.getvalue()


def bad_slice(tmp_path, changes):
    return mat_bytes(tmp_path, 4, **{"label": 2, "patient": "MR1", **changes})


def bomb(tmp_path):
    path = write_mat(tmp_path / "4.mat", SLICE, MASK, 2, "MR1", drop=("image",))
    with h5py.File(path, "r+") as file:
        file["cjdata"].create_dataset("image", (10**6, 10**6), "i2", chunks=(1000, 1000))
    return path.read_bytes()


BAD_ARCHIVES = {
    # name: the second archive made of the good one, what the message must say
    "truncated archive": (lambda c, _: c[:-100], [NAMES[1], "7e8a875500d2c8a346f270538e29890e"]),
    "half an archive": (lambda c, _: c[: len(c) // 2], [NAMES[1], "217848429"]),
    "empty archive": (lambda c, _: b"", [NAMES[1], "it has 0 bytes"]),
    "web page": (lambda c, _: b"<html>robots?</html>" * 99, [NAMES[1], "not a complete ZIP"]),
    "paths that climb out": (
        lambda c, _: rezipped(c, **{"../../evil.mat": b"x"}), [NAMES[1], "../../evil.mat"],
    ),
    "truncated slice": (
        lambda c, t: rezipped(c, m4=bad_slice(t, {})[:2500]), ["Slice 4", "a MATLAB 7.3", "2500"],
    ),
    "empty slice": (
        lambda c, _: rezipped(c, **{"13.mat": b""}), ["Slice 13", "13.mat", "got 0 bytes"],
    ),
    "slice that is not HDF5": (
        lambda c, _: rezipped(c, m4=b"MATLAB 5.0 MAT-file" * 40), ["Slice 4", "a MATLAB 7.3"],
    ),
    "slice that would fill memory": (
        lambda c, t: rezipped(c, m4=bomb(t)), ["Slice 4", "got shape (1000000, 1000000)"],
    ),
    "archive that would fill memory": (
        lambda c, _: lying(rezipped(c, **{"13.mat": b"x"}), n_bytes=2**31),
        [NAMES[1], "13.mat", "2147483648 bytes", "Nothing was unpacked"],
    ),
    "archive that would fill memory and hides it": (
        lambda c, _: lying(rezipped(c, **{"13.mat": bytes(50_000_000)}), n_bytes=9),
        ["Slice 13", f"{NAMES[1]}/13.mat", "expected 9 bytes with the right checksum"],
    ),
    "archives in archives in archives": (
        lambda c, _: zip_bytes({"a.zip": zip_bytes({"b.zip": c})}), [NAMES[1], "b.zip"],
    ),
    "one number twice": (
        lambda c, t: rezipped(c, **{"again/4.mat": bad_slice(t, {})}),
        ["Slice 4", f"{NAMES[1]}/4.mat", f"{NAMES[1]}/again/4.mat", "Keep only one"],
    ),
    "number of another archive": (
        lambda c, t: rezipped(c, **{"2.mat": bad_slice(t, {})}),
        ["Slice 2", f"{NAMES[0]}/2.mat", f"{NAMES[1]}/2.mat"],
    ),
}  # fmt: skip


def read(folder, tmp_path):
    return published.read(folder, cache_dir=tmp_path / "cache", progress=False)


def what_is_left(tmp_path):
    """Names of caches, and of parts of some; the lock's own file stays."""
    return [path.name for path in (tmp_path / "cache").iterdir() if path.name != ".lock"]


def check(tmp_path, good, damaged, words):
    folder = tmp_path / "data"
    folder.mkdir()
    for name, content in good.items():
        (folder / name).write_bytes(damaged if name == NAMES[1] else content)
    before = set(folder.iterdir())
    with pytest.raises(DatasetError) as caught:
        read(folder, tmp_path)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "python -m tumorcf_lib download" in message or "Keep only one of the two" in message
    assert what_is_left(tmp_path) == [] and set(folder.iterdir()) == before

    (folder / NAMES[1]).write_bytes(good[NAMES[1]])
    cohort = read(folder, tmp_path)
    assert cohort.table["slice_id"].tolist() == list(range(1, 13))
    np.testing.assert_array_equal(cohort.slices[3], SLICE)


@pytest.mark.parametrize("fault", BAD_SLICES)
def test_a_bad_slice_is_named_leaves_nothing_and_a_rerun_completes(tmp_path, good, fault):
    changes, words = BAD_SLICES[fault]
    damaged = rezipped(good[NAMES[1]], m4=bad_slice(tmp_path, changes))
    number = 5 if "person" in fault else 4  # the second of the two is named
    places = [f"Slice {number} ({NAMES[1]}/{number}.mat): expected "]
    check(tmp_path, good, damaged, [words, *places])


@pytest.mark.parametrize("fault", BAD_ARCHIVES)
def test_a_bad_archive_is_named_leaves_nothing_and_a_rerun_completes(tmp_path, good, fault):
    damage, words = BAD_ARCHIVES[fault]
    check(tmp_path, good, damage(good[NAMES[1]], tmp_path), words)


@pytest.mark.parametrize("k", range(12))
def test_an_archive_cut_anywhere_is_refused(tmp_path, good, k):
    content = good[NAMES[1]]
    cut = len(content) * k // 12
    check(tmp_path, good, content[:cut], [NAMES[1], f"it has {cut} bytes"])


@pytest.mark.parametrize("share", np.linspace(0, 0.99, 8))
def test_a_slice_cut_anywhere_is_refused(tmp_path, good, share):
    content = bad_slice(tmp_path, {})
    cut = content[: int(len(content) * share)]
    words = [f"Slice 13 ({NAMES[1]}/13.mat): expected a MATLAB 7.3 (HDF5) file, got {len(cut)} by"]
    check(tmp_path, good, rezipped(good[NAMES[1]], **{"13.mat": cut}), words)


@pytest.mark.parametrize("fault", ["empty mask", "NaN", "label 4", "no PID"])
def test_a_bad_loose_file_is_named_leaves_nothing_and_a_rerun_completes(tmp_path, fault):
    changes, words = BAD_SLICES[fault]
    folder = tmp_path / "loose"
    folder.mkdir()
    for number, changed in ((3, {}), (4, changes)):
        (folder / f"{number}.mat").write_bytes(bad_slice(tmp_path, changed))
    with pytest.raises(DatasetError) as caught:
        read(folder, tmp_path)
    assert words in str(caught.value) and "Slice 4 (loose/4.mat): expected" in str(caught.value)
    assert what_is_left(tmp_path) == []
    (folder / "4.mat").write_bytes(bad_slice(tmp_path, {}))
    assert len(read(folder, tmp_path)) == 2


@pytest.mark.parametrize("name, mode", [("", 0), ("", 0o444), (NAMES[1], 0)])
def test_what_may_not_be_read_is_named_leaves_nothing_and_a_rerun_completes(name, mode):
    with open_folder() as top:
        folder = dataset(top / "data")
        (top / "cache").mkdir()
        (top / "cache").chmod(0o777)
        with without_rights(folder / name, mode):
            with pytest.raises(published.DataAccessError) as caught:
                read(folder, top)
        assert f"Expected to read {folder / name}, got PermissionError" in str(caught.value)
        assert "ls -ld" in str(caught.value) and what_is_left(top) == []
        assert len(read(folder, top)) == 12
