import numpy as np
import pytest
from fake_cheng import draw, mat_bytes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tumorcf_lib import cjdata
from tumorcf_lib.cjdata import CorruptSliceError


@pytest.mark.parametrize("userblock", [0, 512])
def test_a_slice_comes_upright_with_its_label_and_patient(tmp_path, userblock):
    content = mat_bytes(tmp_path, 3, label=2, patient="MR051644B", userblock=userblock)
    found = cjdata.parse(content, 3, "3.mat")
    image, mask = draw(3)
    np.testing.assert_array_equal(found.image, image)
    np.testing.assert_array_equal(found.mask, mask.astype(bool))
    assert found.mask.dtype == bool
    assert (found.label, found.patient_id) == (2, "MR051644B")


@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<u2", "|u1", "<f4", "<f8"])
def test_the_dtype_is_kept_in_native_order(tmp_path, dtype):
    image, _ = draw(1)
    values = (image % 256).astype(dtype)
    found = cjdata.parse(mat_bytes(tmp_path, image=values.T), 1, "1.mat")
    assert found.image.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(found.image, values)
    assert found.image.flags.c_contiguous and found.mask.flags.c_contiguous


@pytest.mark.parametrize("field", ["image", "tumorMask", "label", "PID"])
def test_a_missing_field_is_named(tmp_path, field):
    content = mat_bytes(tmp_path, drop=(field,))
    with pytest.raises(CorruptSliceError, match=rf"Slice 8 \(a.zip/8.mat\).*cjdata.{field}"):
        cjdata.parse(content, 8, "a.zip/8.mat")


def test_the_border_is_not_needed(tmp_path):
    cjdata.parse(mat_bytes(tmp_path, drop=("tumorBorder",)), 1, "1.mat")


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"label": 0}, "label of 1, 2 or 3, got 0"),
        ({"label": 4}, "label of 1, 2 or 3, got 4"),
        ({"label": 1.5}, "got 1.5"),
        ({"label": np.nan}, "got nan"),
        ({"tumorMask": np.ones((16, 15), np.uint8)}, r"size \(16, 16\), got \(15, 16\)"),
        ({"tumorMask": np.full((16, 16), 255, np.uint8)}, "tumorMask of 0 and 1"),
        ({"tumorMask": np.zeros((16, 16), np.uint8)}, "an empty one"),
        ({"image": np.full((16, 16), np.nan)}, "finite pixels"),
        ({"image": np.full((16, 16), np.inf)}, "finite pixels"),
        ({"image": np.zeros((16, 16, 3))}, r"height, width\).*\(3, 16, 16\)"),
        ({"image": np.zeros((0, 0))}, r"\(0, 0\)"),
        ({"PID": np.zeros((1, 1), np.uint16)}, "PID"),
        ({"PID": np.zeros((0,), np.uint16)}, "PID"),
        ({"PID": np.array([[0xD800]], np.uint16)}, "PID"),
        ({"PID": np.array([[1.0]])}, "PID"),
    ],
)
def test_what_is_not_as_published_is_refused(tmp_path, changes, words):
    label = changes.pop("label", 1)
    content = mat_bytes(tmp_path, label=label, **changes)
    with pytest.raises(CorruptSliceError, match=words):
        cjdata.parse(content, 1, "1.mat")


@pytest.mark.parametrize(
    "content", [b"", b"MATLAB 5.0 MAT-file" + bytes(600), b"\x89HDF\r\n\x1a\n"]
)
def test_what_is_no_hdf5_is_refused(content):
    with pytest.raises(CorruptSliceError, match="a MATLAB 7.3"):
        cjdata.parse(content, 1, "1.mat")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_file_cut_anywhere_or_with_a_flipped_byte_parses_or_is_refused(tmp_path, data):
    content = mat_bytes(tmp_path)
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    place = data.draw(st.integers(0, len(content) - 1))
    flipped = bytearray(content)
    flipped[place] ^= data.draw(st.integers(1, 255))
    for damaged in (cut, bytes(flipped)):
        try:
            found = cjdata.parse(damaged, 1, "1.mat")
        except CorruptSliceError as error:
            assert "Slice 1 (1.mat)" in str(error)
        else:
            assert found.image.shape == found.mask.shape and found.label in (1, 2, 3)
