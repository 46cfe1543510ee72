"""The cases are the same each time. For more: ``TUMORCF_FUZZ=50000 pytest tests/test_fuzz.py``."""

import os
import tempfile
from collections import Counter
from pathlib import Path
from unittest import mock

import cv2
import nibabel
import numpy as np
import pytest
from fake_cheng import check_slices, draw, mat_bytes, zip_bytes
from hypothesis import given, settings, strategies as st

from tumorcf_lib.data import archives, matfile, published
from tumorcf_lib.your_model import InputError, slices as folder

MORE = int(os.environ.get("TUMORCF_FUZZ") or 0)


def damaged(files, n_cases):
    """``test(name, content)`` is called with files of which some bytes are others, gone or new; it
    says how a case ended, and at least a tenth has to be refused."""

    def decorate(test):
        ends = Counter()

        @settings(max_examples=MORE or n_cases, derandomize=True, database=None)
        @given(st.data())
        def each(data):
            name = data.draw(st.sampled_from(sorted(files)))
            content = files[name]
            start = data.draw(st.integers(0, len(content) - 1))
            stop = start + data.draw(st.integers(0, 16) | st.just(len(content)))
            ends[test(name, content[:start] + data.draw(st.binary()) + content[stop:])] += 1

        def tested():
            each()
            assert ends["refused"] > 0.1 * ends.total(), ends

        return tested

    return decorate


with tempfile.TemporaryDirectory() as scratch:
    SLICES = {n: mat_bytes(Path(scratch), n, packed=True) for n in (1, 2, 3)}
    PLAIN = mat_bytes(Path(scratch), 1)


@damaged({"packed": SLICES[1], "plain": PLAIN}, 400)
def test_a_damaged_slice_is_refused_or_valid(name, content):
    try:
        found = matfile.parse(content, 1, "a.zip/1.mat")
    except matfile.CorruptSliceError as error:
        assert str(error).startswith("Slice 1 (a.zip/1.mat): expected "), error
        return "refused"
    image, mask = draw(1)
    if name == "packed":  # as published: every pixel has a checksum
        assert np.array_equal(found.image, image) and np.array_equal(found.mask, mask)
    assert found.image.shape == found.mask.shape and np.isfinite(found.image).all()
    assert found.mask.dtype == bool and found.mask.any()
    assert found.label in (1, 2, 3) and found.patient_id.isprintable() and found.patient_id
    return "valid"


ZIP = zip_bytes({f"{n}.mat": content for n, content in SLICES.items()} | {"cvind.mat": b"x"})


@damaged({"plain": ZIP, "nested": zip_bytes({"data/all.zip": ZIP})}, 100)
def test_a_damaged_archive_is_refused_or_gives_the_very_slices(name, content):
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(archives, "N_PUBLISHED", 3)
        patch.setattr(archives, "owner", lambda number: mock.ANY)
        data, cache = Path(place, "data"), Path(place, "cache")
        data.mkdir()
        (data / "own.zip").write_bytes(content)
        try:
            check_slices(published.read(data, cache_dir=cache, progress=False), 3)
        except matfile.DatasetError as error:
            assert "own.zip" in str(error), error
            assert not [path for path in cache.glob("*") if path.name != ".lock"]
            return "refused"
    return "same slices"


def pictures():
    image = np.random.default_rng(0).integers(0, 255, (12, 10)).astype(np.uint8)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        for name in ("a.png", "a.jpg", "a.bmp"):
            cv2.imwrite(str(scratch / name), image)
        cv2.imwrite(str(scratch / "a.tif"), image.astype(np.uint16) * 200)
        np.save(scratch / "a.npy", image.astype(np.float32))
        for name in ("a.nii", "a.nii.gz"):
            nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), scratch / name)
        return {path.name: path.read_bytes() for path in sorted(scratch.iterdir())}


@pytest.mark.filterwarnings("ignore")
@damaged(pictures(), 100)
def test_a_damaged_picture_of_a_reader_is_refused_or_valid(name, content):
    with tempfile.TemporaryDirectory() as place:
        Path(place, name).write_bytes(content)
        Path(place, "manifest.csv").write_text(f"image,mask,label,patient\n{name},,glioma,P1\n")
        try:
            image = folder.read_folder(place).slices[0]
        except InputError as error:
            assert "line 2" in str(error) and name in str(error), error
            return "refused"
    assert image.ndim in (2, 3) and image.size and np.isfinite(image).all()
    return "valid"
