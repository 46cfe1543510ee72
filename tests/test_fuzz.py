"""Files damaged at random: an error of ours or the very slices, never a crash or nonsense.

The cases are the same each time. For many more: ``TUMORCF_FUZZ=50000 pytest tests/test_fuzz.py``.
"""

import os

import cv2
import nibabel
import numpy as np
import pytest
from fake_cheng import draw, mat_bytes

from tumorcf_lib.data import matfile
from tumorcf_lib.your_model import InputError, slices as folder


def damaged(files, n_cases):
    """So many times one of the files {name: bytes}, some bytes of it others, gone or new."""
    rng = np.random.default_rng(0)
    for _ in range(int(os.environ.get("TUMORCF_FUZZ") or n_cases)):
        name = str(rng.choice(sorted(files)))
        content, start = files[name], int(rng.integers(len(files[name])))
        stop = len(content) if rng.random() < 0.3 else start + int(rng.integers(17))
        yield name, content[:start] + rng.bytes(int(rng.integers(20))) + content[stop:]


def test_a_damaged_slice_is_refused_or_valid(tmp_path):
    (image, mask), n_refused = draw(1), 0
    files = {kind: mat_bytes(tmp_path, packed=kind == "packed") for kind in ("packed", "plain")}
    for name, content in damaged(files, 400):
        try:
            found = matfile.parse(content, 1, "a.zip/1.mat")
        except matfile.CorruptSliceError as error:
            assert str(error).startswith("Slice 1 (a.zip/1.mat): expected "), error
            n_refused += 1
            continue
        if name == "packed":  # as published: every pixel has a checksum
            assert np.array_equal(found.image, image) and np.array_equal(found.mask, mask)
        assert found.image.shape == found.mask.shape and np.isfinite(found.image).all()
        assert found.mask.dtype == bool and found.mask.any()
        assert found.label in (1, 2, 3) and found.patient_id.isprintable() and found.patient_id
    assert 40 < n_refused


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_picture_of_a_reader_is_refused_or_valid(tmp_path):
    picture, n_refused = np.random.default_rng(0).integers(0, 255, (12, 10)).astype(np.uint8), 0
    for name in ("a.png", "a.jpg", "a.bmp"):
        cv2.imwrite(str(tmp_path / name), picture)
    cv2.imwrite(str(tmp_path / "a.tif"), picture.astype(np.uint16) * 200)
    np.save(tmp_path / "a.npy", picture.astype(np.float32))
    for name in ("a.nii", "a.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(picture, np.eye(4)), tmp_path / name)
    files = {path.name: path.read_bytes() for path in sorted(tmp_path.iterdir())}
    for name, content in damaged(files, 100):
        (tmp_path / name).write_bytes(content)
        (tmp_path / "manifest.csv").write_text(f"image,mask,label,patient\n{name},,glioma,P1\n")
        try:
            image = folder.read_folder(tmp_path).slices[0]
        except InputError as error:
            assert "line 2" in str(error) and name in str(error), error
            n_refused += 1
            continue
        assert image.ndim in (2, 3) and image.size and np.isfinite(image).all()
    assert 10 < n_refused
