"""Small datasets in the published layout, drawn at random: no pixel of a patient."""

import io
import os
import resource
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import h5py
import numpy as np

NAMES = tuple(f"brainTumorDataPublic_{n}-{n + 2}.zip" for n in (1, 4, 7, 10))
MIXED = {5: 24}  # sizes of slices that do not have 16 px


def a_part_will_do():
    """As with the option --partial."""
    return mock.patch.dict(os.environ, TUMORCF_PARTIAL="1")


def draw(number, size=16, dtype=np.int16):
    """Image and mask of slice ``number``, upright; neither equals its own transpose."""
    rng = np.random.default_rng(number)
    image = rng.integers(0, 900, (size, size)).astype(dtype)
    mask = np.zeros((size, size), np.uint8)
    mask[2:5, 7:9] = 1
    return image, mask


def write_mat(
    path, image, mask, label, patient, /, *, userblock=512, packed=False, drop=(), **replace
):
    """An N.mat as MATLAB 7.3 writes it: arrays transposed, text as codes, a 512-byte header.

    With ``packed``, image and mask are in compressed chunks, as in the published files.
    """
    (top, left), (bottom, right) = np.argwhere(mask).min(0), np.argwhere(mask).max(0)
    corners = [left, top, right, top, right, bottom, left, bottom]
    fields = {
        "PID": np.array([[ord(letter)] for letter in patient], np.uint16),
        "image": image.T,
        "label": np.array([[label]], np.float64),
        "tumorBorder": np.array([corners], float),
        "tumorMask": mask.T,
    }
    with h5py.File(path, "w", userblock_size=userblock) as file:
        group = file.create_group("cjdata")
        for name in sorted((fields | replace).keys() - set(drop)):
            values, options = (fields | replace)[name], {}
            if packed and values.shape == mask.T.shape:
                options = {"chunks": (len(values), values.shape[1] // 2), "compression": "gzip"}
                options["shuffle"] = name == "image"
            group.create_dataset(name, data=values, **options)
    return Path(path)


def mat_bytes(folder, number=1, *, label=1, patient="100360", size=16, **changes):
    """The bytes of a slice's file."""
    path = write_mat(folder / "made.mat", *draw(number, size), label, patient, **changes)
    content = path.read_bytes()
    path.unlink()
    return content


def zip_bytes(contents, method=zipfile.ZIP_DEFLATED):
    """A ZIP of these members: {name: bytes}."""
    with zipfile.ZipFile(file := io.BytesIO(), "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return file.getvalue()


def write_archives(folder, contents_by_archive):
    """ZIPs of these members: {archive name: {member name: bytes}}."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, contents in contents_by_archive.items():
        (folder / name).write_bytes(zip_bytes(contents))
    return folder


def dataset(folder, sizes=MIXED):
    """Four archives of three slices each, slices 1-12, slice 5 of another size; the label goes by
    archive. MR1 and MR1B are one person. Even slices lack MATLAB's header, 12 is compressed."""
    contents = {}
    folder.mkdir(parents=True, exist_ok=True)
    for k, name in enumerate(NAMES):
        patients = ("MR1", "MR1B", "MR1B") if k == 1 else (f"P{k}a", f"P{k}a", f"P{k}b")
        contents[name] = {}
        for n, patient in enumerate(patients, 3 * k + 1):
            how = {"size": sizes.get(n, 16), "packed": n == 12, "userblock": 512 * (n % 2)}
            how |= {"label": min(k + 1, 3), "patient": patient}
            contents[name][f"{n}.mat"] = mat_bytes(folder, n, **how)
    return write_archives(folder, contents)


def unpack(folder, *names):
    """These archives unpacked into folders of their names, in their place."""
    for name in names:
        with zipfile.ZipFile(folder / name) as archive:
            archive.extractall(folder / name[:-4])
        (folder / name).unlink()
    return folder


@contextmanager
def no_file_beyond(n_bytes):
    """As on a disk that gets full: no file grows beyond so many bytes."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def open_folder():
    """A scratch folder that another user may look into, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def check_slices(found, n=12):
    """Numbers and pixels are those that were drawn."""
    assert found.table["slice_id"].tolist() == list(range(1, n + 1))
    for number, image, mask in zip(range(1, n + 1), found.slices, found.masks, strict=True):
        drawn = draw(number, MIXED.get(number, 16))
        assert np.array_equal(image, drawn[0]) and np.array_equal(mask, drawn[1]), number


@contextmanager
def without_rights(path, mode=0):
    """A file or folder with this mode, met by somebody to whom it applies: not the superuser."""
    "".encode("cp437")  # what zipfile loads on first use, perhaps from a closed folder
    before, user = path.stat().st_mode, os.geteuid()
    path.chmod(mode)
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(0)
        path.chmod(before)
