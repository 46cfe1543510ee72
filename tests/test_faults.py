"""Each layout of the dataset meets each fault; what reads to the end are the very twelve slices."""

import os
import shutil
import zipfile

import pytest
from fake_cheng import NAMES, check_slices, dataset, mat_bytes, unpack

from tumorcf_lib.data import published
from tumorcf_lib.data.matfile import DatasetError


def flat(folder):
    unpack(folder, *NAMES)
    (folder / "a" / "b").mkdir(parents=True)
    for path in sorted(folder.glob("*_*/*.mat")):
        path.rename(folder / "a" / "b" / path.name)


def zip_of_zips(folder):
    with zipfile.ZipFile(folder / "1512427.zip", "w") as outer:
        for name in NAMES:
            outer.write(folder / name, name)
            (folder / name).unlink()


def sample_on_top(folder):
    unpack(folder, *NAMES)
    shutil.copy(folder / NAMES[0][:-4] / "1.mat", folder / "1.mat")


def beside_other_versions(folder):
    (folder / "native").mkdir()
    (folder / "native" / "2.mat").write_bytes(b"another slice 2")


LAYOUTS = {
    "archives": lambda folder: None,
    "archive of archives": zip_of_zips,
    "four folders": lambda folder: unpack(folder, *NAMES),
    "loose and deep": flat,
    "a sample on top": sample_on_top,
    "beside other versions": beside_other_versions,
}


def written(change):
    return lambda path: path.write_bytes(change(path.read_bytes()))


def replaced(make):
    return lambda path: (path.unlink(), make(path))


def sunk(path):
    deep = path.parent.joinpath(*"1234567")
    deep.mkdir(parents=True)
    path.rename(deep / path.name)


def doubled(path, content=lambda content: content):
    """The same name again beside it, perhaps with other bytes."""
    (path.parent / "other").mkdir()
    (path.parent / "other" / path.name).write_bytes(content(path.read_bytes()))


def one_bit(content):
    return content[:-99] + b"\x01" + content[-98:]


OF_A_FILE = {
    "gone": lambda path: path.unlink(),
    "empty": written(lambda content: b""),
    "cut in half": written(lambda content: content[: len(content) // 2]),
    "blank begin": written(lambda content: bytes(600) + content[600:]),
    "a web page": written(lambda content: b"<!DOCTYPE html><p>A robot?" * 9),
    "renamed .txt": lambda path: path.rename(f"{path}.txt"),
    "capitals": lambda path: path.rename(path.with_suffix(path.suffix.upper())),
    "far deeper": sunk,
    "a dead link": replaced(lambda path: path.symlink_to("nowhere")),
    "a link to a device": replaced(lambda path: path.symlink_to("/dev/zero")),
    "a pipe": replaced(os.mkfifo),
    "doubled alike": doubled,
    "doubled, one bit": lambda path: doubled(path, one_bit),
}


def foreign(name, number, **changes):
    """Another file of that name, of the slice that is drawn for the number."""
    return lambda folder: (folder / name).write_bytes(mat_bytes(folder.parent, number, **changes))


OF_THE_FOLDER = {
    "another number": foreign("13.mat", 13, label=3, patient="new"),
    "an old version of a slice": foreign("5.mat", 5, label=2, patient="MR1", size=20),
    "a slice under another number": foreign("77.mat", 3, label=1, patient="P0b"),
    "an archive of something else": lambda folder: zipfile.ZipFile(folder / "own.zip", "w").close(),
    "a circle": lambda folder: (folder / "again").symlink_to(folder),
    "notes of a Mac": lambda folder: (folder / "._4.mat").write_bytes(b"notes"),
}


def one_of(folder):
    """A file to do harm to: slice 8 where slices are loose, else the archive that holds it."""
    return [*folder.rglob("8.mat"), *folder.rglob(NAMES[2]), folder / "1512427.zip"][0]


NAMED = ("8.mat", "/5.mat", "13.mat", "77.mat", "Missing: ", "1512427.zip", *NAMES)  # one of them


@pytest.mark.usefixtures("published_12")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_fault_ends_in_silence(tmp_path, layout):
    packed, wrong = dataset(tmp_path / "packed"), []
    for number, fault in enumerate((None, *OF_A_FILE, *OF_THE_FOLDER)):
        folder = tmp_path / f"{number}" / "data"
        shutil.copytree(packed, folder)
        LAYOUTS[layout](folder)
        if fault:
            (OF_A_FILE | OF_THE_FOLDER)[fault](one_of(folder) if fault in OF_A_FILE else folder)
        try:
            found = published.read(folder, cache_dir=tmp_path / f"{number}" / "c", progress=False)
            check_slices(found)
        except DatasetError as error:
            if fault is None or not any(word in str(error) for word in NAMED):
                wrong.append(f"{fault}: {error}")
        except Exception as error:  # other slices among them
            wrong.append(f"{fault}: {type(error).__name__} {error}")
        shutil.rmtree(tmp_path / f"{number}")
    assert not wrong, "\n".join(wrong)
