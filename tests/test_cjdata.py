import io
import struct
import tracemalloc
import zlib

import h5py
import numpy as np
import pytest
import scipy.io
from fake_cheng import draw, mat_bytes, write_mat

from tumorcf_lib.data import cjdata
from tumorcf_lib.data.cjdata import CorruptSliceError


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
    order = np.dtype(dtype).byteorder.replace("|", "=")
    found = cjdata.parse(mat_bytes(tmp_path, image=values.T, order=order), 1, "1.mat")
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
        ({"PID": np.array([[77, 82], [49, 50]], np.uint16)}, r"PID .* got \[77 82 49 50\]"),
        ({"PID": np.array([[ord("7")], [10]], np.uint16)}, "PID"),
        ({"PID": np.array([[32], [32]], np.uint16)}, "PID"),
        ({"patient": "nan"}, "PID of printable ASCII codes, got nan"),
        ({"PID": np.array([[0x3042]], np.uint16)}, "printable ASCII"),
        ({"image": np.full((16, 16), 7)}, "pixels that differ, got 7 everywhere"),
        ({"image": draw(1)[0].astype(">i2")}, "one byte order"),
        ({"image": np.full((16, 16), 1 + 1j)}, "cjdata.image, got complex"),
        ({"image": draw(1)[0] > 400}, "an image .height, width. of numbers, got bool"),
        ({"image": np.full((16, 16), b"text")}, "cjdata.image, got"),
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


def test_a_file_of_an_older_matlab_is_refused():
    file = io.BytesIO()
    image, mask = draw(1)
    scipy.io.savemat(file, {"cjdata": {"image": image, "tumorMask": mask, "label": 1, "PID": "7"}})
    with pytest.raises(CorruptSliceError, match="a MATLAB 7.3"):
        cjdata.parse(file.getvalue(), 1, "1.mat")


@pytest.mark.parametrize("label", [np.ones((2, 2)), np.ones((0, 0)), np.ones(2)])
def test_a_label_that_is_no_single_number_is_refused_with_its_shape(tmp_path, label):
    def relabel(group):
        group["label"] = label

    words = f"expected a label of 1, 2 or 3, got an array of shape {label.shape}"
    assert words in refused(changed(tmp_path, relabel, drop=("label",)))


def changed(tmp_path, change, **options):
    """The bytes of a slice's file after ``change`` was made to its structure cjdata."""
    path = write_mat(tmp_path / "1.mat", *draw(1), 1, "100360", **options)
    with h5py.File(path, "r+") as file:
        change(file["cjdata"])
    return path.read_bytes()


def refused(content):
    with pytest.raises(CorruptSliceError) as caught:
        cjdata.parse(content, 1, "1.mat")
    return str(caught.value)


def test_the_published_layout_is_read_with_its_chunks_and_notes(tmp_path):
    found = cjdata.parse(mat_bytes(tmp_path, packed=True), 1, "1.mat")
    np.testing.assert_array_equal(found.image, draw(1)[0])
    np.testing.assert_array_equal(found.mask, draw(1)[1])


def test_an_array_declared_far_too_large_is_refused_before_it_is_read(tmp_path):
    def declare(group):
        group.create_dataset("image", (100_000, 100_000), "i2", chunks=(100, 100))

    assert "got shape (100000, 100000)" in refused(changed(tmp_path, declare, drop=("image",)))


def layout(shape, chunks, **options):
    """A slice's file is changed so: its image has this shape, in such chunks, none written."""

    def declare(group):
        group.create_dataset(
            "image", shape, "i2", chunks=chunks, maxshape=(None,) * len(shape), **options
        )

    return declare


@pytest.mark.parametrize(
    "shape, chunks, words",
    [
        ((16, 16), (16, 17), "got 1 chunks of 544 bytes for 512 in all"),
        ((16, 16), (1, 256), "got 16 chunks of 512 bytes for 512 in all"),
        ((4096, 4096), (8192, 8192), "got 1 chunks of 134217728 bytes for 33554432 in all"),
        ((64, 65), (1, 1), "got 4160 chunks of 2 bytes for 8320 in all"),
    ],
)
def test_chunks_that_an_array_of_that_size_does_not_need_are_refused_before_unpacking(
    tmp_path, monkeypatch, shape, chunks, words
):
    content = changed(tmp_path, layout(shape, chunks, compression="gzip"), drop=("image",))
    monkeypatch.setattr(cjdata, "_unpacked", None)  # whoever unpacks fails by another error
    assert words in refused(content)


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"},
                                     {"compression": "gzip", "shuffle": True}])  # fmt: skip
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "|u1", "<f8"])
@pytest.mark.parametrize("chunks", [(16, 16), (5, 7), (1, 16), (9, 1)])
def test_chunks_of_any_shape_give_the_pixels_that_were_written(tmp_path, dtype, chunks, options):
    values = (draw(1)[0] % 256).astype(dtype)
    order = dtype[0].replace("|", "=")

    def pack(group):
        group.create_dataset("image", data=values.T, chunks=chunks, **options)

    found = cjdata.parse(changed(tmp_path, pack, drop=("image",), order=order), 1, "1.mat")
    assert found.image.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(found.image, values)


def packed_as(tmp_path, packed):
    """A file whose image of 512 bytes is one chunk of these packed bytes."""

    def pack(group):
        image = group.create_dataset("image", (16, 16), "i2", chunks=(16, 16), compression="gzip")
        image.id.write_direct_chunk((0, 0), packed)

    return changed(tmp_path, pack, drop=("image",))


def test_a_chunk_that_unpacks_to_more_than_its_size_is_refused_without_unpacking_it(tmp_path):
    content = packed_as(tmp_path, zlib.compress(bytes(50_000_000)))
    tracemalloc.start()
    assert "a chunk that does not hold its 512 bytes" in refused(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000


def test_a_chunk_that_is_not_all_there_is_refused(tmp_path):
    packed = zlib.compress(draw(1)[0].tobytes())
    cjdata.parse(packed_as(tmp_path, packed), 1, "1.mat")
    words = "a chunk that does not hold its 512 bytes"
    assert words in refused(packed_as(tmp_path, zlib.compress(bytes(range(256)))))
    assert words in refused(packed_as(tmp_path, packed[:-1]))  # of its checksum
    other = packed[:-1] + bytes([packed[-1] ^ 1])
    assert "incorrect data check" in refused(packed_as(tmp_path, other))


def test_a_chunk_that_states_more_bytes_than_a_file_has_is_refused_unread(tmp_path):
    packed = zlib.compress(draw(1)[0].tobytes())
    content = packed_as(tmp_path, packed)
    stated = struct.pack("<II", len(packed), 0)  # and the filters left out: none
    assert content.count(stated) == 1
    content = content.replace(stated, struct.pack("<II", (1 << 31) - 1, 0))
    assert "got a chunk of 2147483647 bytes." in refused(content)


def test_filters_other_than_matlabs_are_refused(tmp_path):
    def pack(group):
        group.create_dataset("image", data=draw(1)[0], compression="lzf")

    assert "packed by HDF5's filters [32000]" in refused(changed(tmp_path, pack, drop=("image",)))


def test_bytes_that_were_not_compressed_as_stated_are_no_pixels(tmp_path):
    def shuffle(group):
        group.create_dataset("image", data=draw(1)[0], chunks=(16, 16), shuffle=True)

    assert "packed by HDF5's filters [2]" in refused(changed(tmp_path, shuffle, drop=("image",)))
    content = mat_bytes(tmp_path, packed=True)
    name = content.index(b"shuffle\0") + len(b"shuffle\0")
    assert content[name] == 2  # bytes of a pixel, by which they were shuffled
    content = content[:name] + b"\4" + content[name + 1 :]
    assert "one shuffled by (4,) bytes" in refused(content)


def test_pixels_that_the_file_does_not_hold_are_no_zeros(tmp_path):
    def leave_out(group):
        group.create_dataset("image", (16, 16), "i2", chunks=(8, 16))
        group["image"][:8] = draw(1)[0][:8]

    def skip_filters(group):
        image = group.create_dataset("image", (16, 16), "i2", chunks=(16, 16), compression="gzip")
        image.id.write_direct_chunk((0, 0), draw(1)[0].tobytes(), filter_mask=1)

    def declare(group):
        group.create_dataset("image", (16, 16), "i2")

    assert "chunk" in refused(changed(tmp_path, leave_out, drop=("image",)))
    without = "a chunk of 512 bytes without its filters"
    assert without in refused(changed(tmp_path, skip_filters, drop=("image",)))
    assert "got 0 of its 512 bytes" in refused(changed(tmp_path, declare, drop=("image",)))


def test_a_field_that_leads_elsewhere_is_not_followed(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["image"] = draw(2)[0]
    for link in (
        h5py.ExternalLink(str(tmp_path / "other.h5"), "/image"),
        h5py.SoftLink("/cjdata/tumorBorder"), h5py.SoftLink("/nowhere"),
    ):  # fmt: skip
        content = changed(tmp_path, lambda group: group.__setitem__("image", link), drop=("image",))
        assert "a field cjdata.image in the file" in refused(content)


def test_a_field_that_is_no_array_of_numbers_is_refused(tmp_path):
    def refer(group):
        group["image"] = np.array([group["tumorMask"].ref] * 4, h5py.ref_dtype)

    def record(group):
        group["image"] = np.zeros((16, 16), [("a", "i2"), ("b", "i2")])

    def lengthen(group):
        group.create_dataset("image", (16, 16), h5py.vlen_dtype(np.int16))

    def nest(group):
        group.create_group("image")

    def empty(group):
        group["image"] = h5py.Empty("i2")

    said = {
        refer: "object of shape (4,)", record: "[('a', '<i2'), ('b', '<i2')] of shape (16, 16)",
        lengthen: "object of shape (16, 16)", nest: "the fields ['PID', 'image',",
        empty: "int16 of shape None",
    }  # fmt: skip
    for change, words in said.items():
        assert f"got {words}" in refused(changed(tmp_path, change, drop=("image",)))


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="no wider numbers here")
def test_numbers_wider_than_matlabs_are_refused(tmp_path):
    content = mat_bytes(tmp_path, image=draw(1)[0].T.astype(np.longdouble))
    assert f"got {np.dtype(np.longdouble)} of shape (16, 16)" in refused(content)


def test_a_structure_that_is_none_or_elsewhere_is_named(tmp_path):
    path = write_mat(tmp_path / "1.mat", *draw(1), 1, "100360")
    for place in (np.arange(3), h5py.SoftLink("/other"), None):
        with h5py.File(path, "r+") as file:
            if "other" not in file:
                file.move("cjdata", "other")
            file.pop("cjdata", None)
            if place is not None:
                file["cjdata"] = place
        assert "a structure cjdata in the file, got ['" in refused(path.read_bytes())


def test_pixels_in_another_file_of_the_machine_are_not_read(tmp_path):
    (tmp_path / "private").write_bytes(bytes(range(256)))

    def point(group):
        place = [(str(tmp_path / "private"), 0, 256)]
        group.create_dataset("image", (16, 16), "u1", external=place)

    def borrow(group):
        layout = h5py.VirtualLayout((16, 16), "i2")
        layout[:] = h5py.VirtualSource(tmp_path / "private", "image", (16, 16))
        group.create_virtual_dataset("image", layout)

    for change in (point, borrow):
        assert "lies in another file" in refused(changed(tmp_path, change, drop=("image",)))


def test_numbers_of_another_kind_than_matlab_notes_are_refused(tmp_path):
    def note(group):
        group["image"].attrs["MATLAB_class"] = np.bytes_("uint16")

    assert "int16 where MATLAB's note says uint16" in refused(changed(tmp_path, note))


def test_numbers_with_odd_bits_are_refused(tmp_path):
    def store(group):
        kind = h5py.h5t.NATIVE_INT16.copy()
        kind.set_precision(9)
        space = h5py.h5s.create_simple((16, 16))
        dataset = h5py.h5d.create(group.id, b"image", kind, space)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(draw(1)[0] % 100))

    assert "a variant of int16" in refused(changed(tmp_path, store, drop=("image",)))


def test_a_file_far_too_large_for_a_slice_is_refused(monkeypatch):
    monkeypatch.setattr(cjdata, "MAX_FILE_BYTES", 100)
    assert "at most 100 bytes in a slice's file, got 101" in refused(bytes(101))


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_cut_anywhere_is_refused(tmp_path, packed):
    content = mat_bytes(tmp_path, packed=packed)
    for n_bytes in range(0, len(content), 61):
        assert "expected a MATLAB 7.3 (HDF5) file, got" in refused(content[:n_bytes])


def test_an_error_says_what_to_do(tmp_path):
    assert "fetch it again (python -m tumorcf_lib download)." in refused(b"")
