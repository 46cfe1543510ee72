import zlib

import h5py
import numpy as np
import pytest
from fake_cheng import draw, mat_bytes, write_mat

from tumorcf_lib.data import matfile
from tumorcf_lib.data.matfile import CorruptSliceError

SLICE, MASK = draw(1)


def with_image(tmp_path, *how, fill=lambda image: None, **options):
    """The bytes of a slice's file whose image was made so, by h5py."""
    path = write_mat(tmp_path / "1.mat", SLICE, MASK, 1, "100360", drop=("image",))
    with h5py.File(path, "r+") as file:
        fill(file["cjdata"].create_dataset("image", *how, **options))
    return path.read_bytes()


@pytest.mark.parametrize("dtype, chunks", [("<u2", None), ("|u1", (16, 16)), ("<f4", (5, 7))])
def test_pixels_of_any_type_and_chunks_come_back(tmp_path, dtype, chunks):
    values = (SLICE % 256).astype(dtype)
    found = matfile.parse(with_image(tmp_path, data=values.T, chunks=chunks), 1, "1.mat")
    assert found.image.dtype == values.dtype and found.image.flags.c_contiguous
    np.testing.assert_array_equal(found.image, values)


def refused(content):
    with pytest.raises(CorruptSliceError) as caught:
        matfile.parse(content, 8, "a.zip/8.mat")
    assert str(caught.value).startswith("Slice 8 (a.zip/8.mat): expected ")
    return str(caught.value)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"drop": ("tumorBorder",)}, "a field cjdata.tumorBorder"),
        ({"label": 0}, "label of 1, 2 or 3, got [0.0]"),
        ({"tumorMask": np.ones((16, 15), np.uint8)}, "size (16, 16), got (15, 16)"),
        ({"tumorMask": MASK.T * 255}, "tumorMask of 0 and 1"),
        ({"tumorMask": MASK.T * 0}, "an empty one"),
        ({"tumorMask": 1 - MASK.T}, "98% of the slice (inverted?)"),
        ({"tumorBorder": np.arange(7.0)}, "tumorBorder x1, y1, x2, y2, ..., got 7 numbers"),
        ({"tumorMask": MASK}, "an overlap (IoU) of 0.00 (transposed"),
        ({"image": np.where(MASK, 0, SLICE).T}, "dark as air"),
        ({"image": np.full((16, 16), np.nan)}, "finite pixels"),
        ({"image": np.zeros((16, 16, 3))}, "(height, width) of numbers, got float64 of shape (3,"),
        ({"image": np.full((16, 16), 7)}, "pixels that differ, got 7 everywhere"),
        ({"image": SLICE.astype(">i2")}, "a variant of >i2"),
        ({"PID": np.array([[55], [10], [55]], np.uint16)}, "PID"),
        ({"patient": " "}, "PID of printable ASCII codes"),
    ],
)
def test_what_is_not_as_published_is_refused(tmp_path, changes, words):
    assert words in refused(mat_bytes(tmp_path, **changes))


@pytest.mark.parametrize(
    "content, words",
    [
        (b"MATLAB 5.0 MAT-file", "got one of MATLAB 5. Save it by MATLAB's save(..., '-v7.3')"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "`git lfs pull`"),
        (b"\n<!DOCTYPE html><p>Not found", "got a web page. Move this file away and fetch"),
        (b"../../.git/annex/objects/Xx/0.mat", "`git annex get .`"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "a MATLAB 7.3 (HDF5) file, got 107 bytes"),
    ],
)
def test_what_is_no_hdf5_is_named_with_what_to_do(content, words):
    assert words in refused(content)


@pytest.mark.parametrize("side, chunk", [(100_000, 100), (16, 4096)])
def test_more_than_a_slice_needs_is_refused_before_it_is_read(tmp_path, side, chunk):
    declared = {"chunks": (chunk, chunk), "maxshape": (None, None)}
    words = f"got shape ({side}, {side}), chunks ({chunk}, {chunk})"
    assert words in refused(with_image(tmp_path, (side, side), "i2", **declared))


def test_pixels_that_the_file_does_not_hold_are_no_zeros(tmp_path):
    def half(image):
        image[:8] = SLICE[:8]

    def packed(content):
        chunk, whole = zlib.compress(content), {"chunks": (16, 16), "compression": "gzip"}
        put = {"fill": lambda image: image.id.write_direct_chunk((0, 0), chunk)}
        return with_image(tmp_path, (16, 16), "i2", **put, **whole)

    without = with_image(tmp_path, (16, 16), "i2", chunks=(8, 16), fill=half)
    assert "got one without its chunk at (8, 0)" in refused(without)
    assert "got 0 of its 512 bytes" in refused(with_image(tmp_path, (16, 16), "i2"))
    matfile.parse(packed(SLICE.tobytes()), 1, "1.mat")
    for content in (SLICE[:8].tobytes(), bytes(50_000_000)):
        assert "not hold its 512 bytes" in refused(packed(content))


def test_what_lies_elsewhere_is_not_read(tmp_path):
    (tmp_path / "private").write_bytes(bytes(range(256)))
    place = [(str(tmp_path / "private"), 0, 256)]
    assert "lies in another file" in refused(with_image(tmp_path, (16, 16), "u1", external=place))
    path = write_mat(tmp_path / "1.mat", SLICE, MASK, 1, "100360", drop=("image",))
    with h5py.File(path, "r+") as file, h5py.File(tmp_path / "other.h5", "w") as other:
        other["image"] = draw(2)[0]
        file["cjdata/image"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/image")
    assert "a field cjdata.image in the file" in refused(path.read_bytes())


def test_a_field_that_is_no_array_of_numbers_is_refused(tmp_path):
    assert "cjdata.image" in refused(with_image(tmp_path, (4,), h5py.ref_dtype))
    assert "cjdata.image" in refused(with_image(tmp_path, data=h5py.Empty("i2")))
