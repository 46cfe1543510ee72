"""Claims about reading a reader's own slices; every file is written by the test itself."""

import struct
import zlib

import cv2
import nibabel
import numpy as np
import pandas as pd
import pytest
from fake_cheng import open_folder, without_rights

from tumorcf_lib.data import preprocess
from tumorcf_lib.data.cohort import Cohort
from tumorcf_lib.edits import audit, head
from tumorcf_lib.your_model import InputError, manifests, slices as folder

SLICE = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
MASK = SLICE > 150


def write(path, array):
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.name.endswith((".nii", ".nii.gz")):
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), path)
    else:
        assert cv2.imwrite(str(path), array)


def manifest(tmp_path, rows, columns="image,mask,label,patient"):
    path = tmp_path / "manifest.csv"
    path.write_text("\n".join([columns, *rows]) + "\n")
    return path


def one_slice(tmp_path, name, array, mask=MASK, mask_name="mask.npy", **options):
    write(tmp_path / name, array)
    write(tmp_path / mask_name, mask)
    return folder.read_folder(manifest(tmp_path, [f"{name},{mask_name},glioma,P1"]), **options)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("a.png", np.uint8),
        ("a.png", np.uint16),
        ("a.tif", np.uint8),
        ("a.tif", np.uint16),
        ("a.tif", np.float32),
        ("a.bmp", np.uint8),
        ("a.npy", np.float64),
        ("a.npy", np.int16),
        ("a.nii", np.int16),
        ("a.nii.gz", np.float32),
        ("ä.PNG", np.uint8),
    ],
)
def test_every_format_gives_the_pixels_that_were_written(tmp_path, name, dtype):
    cohort = one_slice(tmp_path, name, SLICE.astype(dtype))
    np.testing.assert_array_equal(cohort.slices[0], SLICE)
    np.testing.assert_array_equal(cohort.masks[0], MASK)
    assert cohort.masks[0].dtype == bool


def test_mask_is_whatever_is_not_zero(tmp_path):
    values = np.where(MASK, SLICE, 0)
    values[2, 3] = 1
    for name, array in (
        ("m.png", values),
        ("m.npy", -values.astype(float)),
        ("m.tif", np.dstack([values * 0, values, values * 0])),
    ):
        cohort = one_slice(tmp_path, "a.png", SLICE, array, name)
        np.testing.assert_array_equal(cohort.masks[0], values != 0)


def test_equal_channels_are_gray_and_others_are_all_kept(tmp_path):
    gray = one_slice(tmp_path, "a.png", np.dstack([SLICE] * 3))
    np.testing.assert_array_equal(gray.slices[0], SLICE)
    sequences = np.dstack([SLICE, SLICE[::-1], SLICE[:, ::-1]])
    color = one_slice(tmp_path, "b.png", sequences[..., ::-1])  # OpenCV writes blue first
    np.testing.assert_array_equal(color.slices[0], sequences)
    deep = one_slice(tmp_path, "d.tif", np.dstack([SLICE.astype(np.uint16) * 50] * 3))
    np.testing.assert_array_equal(deep.slices[0], SLICE.astype(np.uint16) * 50)
    nearly = np.dstack([SLICE, SLICE + 1, SLICE]).astype(np.uint8)  # a gray JPEG's colors
    assert one_slice(tmp_path, "c.png", nearly).slices[0].ndim == 2


def test_a_column_takes_one_channel(tmp_path):
    write(tmp_path / "a.npy", np.dstack([SLICE, SLICE * 2, SLICE * 3]))
    write(tmp_path / "v.nii.gz", np.stack([np.dstack([SLICE] * 2), np.dstack([SLICE * 3] * 2)], 3))
    rows = ["a.npy,,glioma,P1,,2", "v.nii.gz,,glioma,P2,1,1"]
    cohort = folder.read_folder(manifest(tmp_path, rows, "image,mask,label,patient,index,channel"))
    np.testing.assert_array_equal(cohort.slices[0], SLICE * 3)
    np.testing.assert_array_equal(cohort.slices[1], SLICE * 3)
    with pytest.raises(InputError, match="channel: a number from 0 to 1, or all"):
        folder.read_folder(
            manifest(tmp_path, ["v.nii.gz,,glioma,P2,1"], "image,mask,label,patient,index")
        )


def test_nan_is_air_where_a_slice_has_other_pixels(tmp_path):
    cohort = one_slice(tmp_path, "a.npy", np.where(SLICE > 100, np.nan, SLICE + 7.0))
    np.testing.assert_array_equal(cohort.slices[0], np.where(SLICE > 100, 7, SLICE + 7.0))
    assert "NaN is taken as air" in cohort.table["slice_notes"][0]


def test_soft_masks_overlays_and_jpegs_do_not_pass_silently(tmp_path):
    y, x = np.mgrid[:40, :40]
    true = np.hypot(y - 20, x - 20) < 9
    image = np.where(true, 200, 90).astype(np.uint8)
    assert cv2.imwrite(str(tmp_path / "m.jpg"), true * np.uint8(255))
    write(tmp_path / "a.png", image)
    cohort = folder.read_folder(manifest(tmp_path, ["a.png,m.jpg,glioma,P1"]))
    np.testing.assert_array_equal(cohort.masks[0], true)
    assert "above half" in cohort.table["mask_notes"][0]
    soft = cv2.GaussianBlur(true.astype(np.float32), (0, 0), 6)
    with pytest.raises(InputError, match="line 2: .*a soft mask.*>0.5"):
        one_slice(tmp_path, "a.png", image, soft)
    path = manifest(
        tmp_path, ["a.png,mask.npy,glioma,P1,>0.5"], "image,mask,label,patient,mask_label"
    )
    np.testing.assert_array_equal(folder.read_folder(path).masks[0], soft > 0.5)
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    with pytest.raises(InputError, match="an overlay"):
        one_slice(tmp_path, "a.png", image, noise, "overlay.png")
    with pytest.raises(InputError, match="a picture"):
        one_slice(tmp_path, "a.png", image, noise[..., 0], "picture.png")


def test_a_palette_counts_by_number_not_by_color(tmp_path):
    from PIL import Image

    picture = Image.fromarray(MASK.astype(np.uint8), mode="P")
    picture.putpalette([255, 255, 255, 10, 10, 10])  # a white background
    picture.save(tmp_path / "m.png")
    write(tmp_path / "a.png", SLICE)
    cohort = folder.read_folder(manifest(tmp_path, ["a.png,m.png,glioma,P1"]))
    np.testing.assert_array_equal(cohort.masks[0], MASK)


def test_labels_of_a_mask_are_chosen_by_a_column(tmp_path):
    labels = np.array([[0, 1, 2, 4]] * 3, np.uint8)
    write(tmp_path / "a.png", SLICE)
    write(tmp_path / "m.png", labels)
    columns = "image,mask,label,patient,mask_label"
    for chosen, wanted in (("", labels > 0), ("1 4", np.isin(labels, (1, 4))), ("2", labels == 2)):
        row = f"a.png,m.png,glioma,P1,{chosen}"
        cohort = folder.read_folder(manifest(tmp_path, [row], columns))
        np.testing.assert_array_equal(cohort.masks[0], wanted)
    assert "labels" not in cohort.table["mask_notes"][0]


def volumes(tmp_path, change, affine):
    """A volume and its mask, the mask stored by `change` with that affine."""
    rng = np.random.default_rng(0)
    true = rng.random((6, 5, 4)) > 0.7
    nibabel.save(
        nibabel.Nifti1Image(np.arange(120, dtype=np.int16).reshape(6, 5, 4), np.eye(4)),
        tmp_path / "v.nii",
    )
    nibabel.save(nibabel.Nifti1Image(change(true).astype(np.uint8), affine), tmp_path / "m.nii")
    rows = [f"v.nii,m.nii,glioma,P{axis},2,{axis}" for axis in range(3)]
    return true, manifest(tmp_path, rows, "image,mask,label,patient,index,axis")


@pytest.mark.parametrize(
    ("change", "affine"),
    [
        (lambda m: m[::-1, ::-1], [[-1, 0, 0, 5], [0, -1, 0, 4], [0, 0, 1, 0]]),
        (lambda m: m.transpose(1, 0, 2), [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]]),
    ],
    ids=["flipped", "swapped"],
)
def test_a_mask_is_brought_to_the_grid_of_its_volume(tmp_path, change, affine):
    true, path = volumes(tmp_path, change, np.vstack([affine, [0, 0, 0, 1]]))
    cohort = folder.read_folder(path)
    for mask, wanted in zip(cohort.masks, (true[2], true[:, 2], true[:, :, 2]), strict=True):
        np.testing.assert_array_equal(mask, wanted)
    assert "brought to the slice's grid" in cohort.table["mask_notes"][0]


@pytest.mark.parametrize(
    "affine",
    [
        np.diag([-1, -1, 1, 1]),
        np.diag([2, 2, 2, 1]),
        [[1, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
        [[0.8, -0.6, 0, 0], [0.6, 0.8, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
    ],
    ids=["beside", "scaled", "half a step", "turned"],
)
def test_a_mask_of_another_grid_is_refused_with_both_affines(tmp_path, affine):
    _, path = volumes(tmp_path, lambda m: m, np.array(affine, float))
    with pytest.raises(InputError, match=r"affine of the mask .*of the slice .*Resample"):
        folder.read_folder(path)


def test_paths_from_windows_are_found(tmp_path):
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub" / "a.png", SLICE)
    cohort = folder.read_folder(manifest(tmp_path, ["sub\\a.png,,glioma,P1"]))
    np.testing.assert_array_equal(cohort.slices[0], SLICE)


def test_dicom_is_read_or_the_package_is_named(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"")
    with pytest.raises(InputError, match="pydicom|readable .dcm"):
        folder.read_folder(manifest(tmp_path, ["a.dcm,,glioma,P1"]))
    pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom: pydicom")
    from pydicom.dataset import FileDataset, FileMetaDataset

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    file = FileDataset(str(tmp_path / "a.dcm"), {}, file_meta=meta, preamble=bytes(128))
    file.Rows, file.Columns = SLICE.shape
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME1"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 16, 15, 0
    file.RescaleSlope, file.RescaleIntercept = 2, -10
    file.PixelData = SLICE.astype(np.uint16).tobytes()
    file.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    cohort = folder.read_folder(manifest(tmp_path, ["a.dcm,,glioma,P1"]))
    stored = SLICE * 2.0 - 10
    np.testing.assert_array_equal(cohort.slices[0], stored.max() - stored)
    file.NumberOfFrames = 2
    file.PixelData = np.stack([SLICE * 0, SLICE]).astype(np.uint16).tobytes()
    file.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(InputError, match="index from 0 to 1 .*got None"):
        folder.read_folder(manifest(tmp_path, ["a.dcm,,glioma,P1"]))
    path = manifest(tmp_path, ["a.dcm,,glioma,P1,1"], "image,mask,label,patient,index")
    np.testing.assert_array_equal(folder.read_folder(path).slices[0], stored.max() - stored)


def test_volume_slices_are_taken_by_axis_and_index_for_image_and_mask_alike(tmp_path):
    volume = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    write(tmp_path / "v.nii.gz", volume)
    write(tmp_path / "m.nii.gz", (volume % 2).astype(np.uint8))
    rows = ["v.nii.gz,m.nii.gz,glioma,P1,3,", "v.nii.gz,m.nii.gz,glioma,P1,0,1"]
    path = manifest(tmp_path, rows, "image,mask,label,patient,index,axis")
    cohort = folder.read_folder(path)
    np.testing.assert_array_equal(cohort.slices[0], volume[:, :, 3])
    np.testing.assert_array_equal(cohort.slices[1], volume[:, 0, :])
    np.testing.assert_array_equal(cohort.masks[1], volume[:, 0, :] % 2 == 1)
    assert cohort.table["slice_id"].tolist() == ["v.nii.gz[3]", "v.nii.gz[0] axis 1"]


def test_a_slice_without_a_tumor_needs_no_mask_file(tmp_path):
    write(tmp_path / "a.png", SLICE)
    write(tmp_path / "empty.png", SLICE * 0)
    rows = ["a.png,,no tumor,P1", "./a.png,empty.png,no tumor,P2"]
    cohort = folder.read_folder(manifest(tmp_path, rows))
    assert not cohort.masks[0].any() and not cohort.masks[1].any()
    assert "2 with an empty mask" in cohort.source


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_spreadsheets_save_with_other_separators_and_a_byte_order_mark(tmp_path, separator):
    write(tmp_path / "a.png", SLICE)
    text = "Image,mask,Label,patient\n\n a.png ,,glioma,007\n".replace(",", separator)
    (tmp_path / "manifest.csv").write_text("\ufeff" + text, encoding="utf-8")
    cohort = folder.read_folder(tmp_path)
    assert cohort.table["patient_id"].tolist() == ["007"]
    assert cohort.name == tmp_path.name


def test_classes_are_in_the_given_order_else_alphabetical(tmp_path):
    write(tmp_path / "a.png", SLICE)
    write(tmp_path / "b.png", SLICE)
    path = manifest(tmp_path, ["b.png,,pituitary,P1", "a.png,,glioma,P2"])
    assert folder.read_folder(path).classes == ("glioma", "pituitary")
    given = folder.read_folder(path, classes=["pituitary", "none", "glioma"])
    assert given.classes == ("pituitary", "none", "glioma")
    assert given.labels.tolist() == [0, 2]
    with pytest.raises(InputError, match="line 2: .*out of glioma, none; got 'pituitary'"):
        folder.read_folder(path, classes=["glioma", "none"])
    with pytest.raises(InputError, match="classes, got 'glioma' and 'glioma'"):
        folder.read_folder(path, classes=["glioma", "glioma"])


def test_patients_are_persons_and_one_with_two_classes_counts_once_in_each(tmp_path):
    for name in "abcd":
        write(tmp_path / f"{name}.png", SLICE)
    rows = ["a.png,,glioma,MR1A", "b.png,,none,MR1A", "c.png,,glioma,MR1B", "d.png,,glioma,MR1B"]
    cohort = folder.read_folder(manifest(tmp_path, rows))
    assert cohort.persons.tolist() == ["MR1A · glioma", "MR1A · none", "MR1B", "MR1B"]
    assert "1 patients in several classes" in cohort.source


@pytest.mark.parametrize(
    ("rows", "columns", "words"),
    [
        ([], "image,mask,label,patient", ["none below the header"]),
        (["a.png,,glioma"], "image,mask,label", ["line 1", "Add patient"]),
        (["a.png,,,P1"], "image,mask,label,patient", ["line 2", "'label'"]),
        (
            ["a.png,,glioma,P1", "a.png,,glioma,P2"],
            "image,mask,label,patient",
            ["line 3", "'a.png' again"],
        ),
        (
            ["a.png,,glioma,P1", "a.png,,Glioma,P2"],
            "image,mask,label,patient,slice_id",
            ["'glioma' and 'Glioma'", "one way"],
        ),
        (["a.png,,all,P1"], "image,mask,label,patient", ["'all'", "Rename"]),
        (["a.png,,glioma,P1,1.5"], "image,mask,label,patient,index", ["line 2", "'1.5'"]),
        (["a.nii,,glioma,P1," + "9" * 5000], "image,mask,label,patient,index", ["line 2", "'9999"]),
        (["x.png,a.png,,glioma,P1"], "image,mask,label,patient", ["CSV", "Length of header"]),
        (["a.png,,glioma,P1", "x.png,a.png,,glioma,P1"], "image,mask,label,patient", ["line 3"]),
    ],
)
def test_a_wrong_table_is_named_with_its_line(tmp_path, rows, columns, words):
    if "slice_id" in columns:
        rows = [f"{row},{i}" for i, row in enumerate(rows)]
    with pytest.raises(InputError) as error:
        folder.read_folder(manifest(tmp_path, rows, columns))
    for word in ["manifest.csv", *words]:
        assert word in str(error.value)


def test_a_manifest_that_is_missing_or_no_text_is_named(tmp_path):
    with pytest.raises(InputError, match="FileNotFoundError"):
        folder.read_folder(tmp_path / "no.csv")
    write(tmp_path / "a.png", SLICE)
    with pytest.raises(InputError, match="CSV file .UTF-8. with the columns"):
        folder.read_folder(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("array", "name", "words"),
    [
        (None, "a.png", ["got none there"]),
        (SLICE, "a.gif", ["ending in", "Convert it"]),
        (np.where(MASK, np.inf, 1.0), "a.npy", ["4 of 12 NaN or infinite"]),
        (np.zeros((2, 3, 4, 3)), "a.npy", ["shape (2, 3, 4, 3)"]),
        (np.zeros((0, 4)), "a.npy", ["shape (0, 4)"]),
        (np.zeros((3, 4), complex), "a.npy", ["complex"]),
        (np.zeros((3, 4, 5), np.uint8), "a.nii", ["an index from 0 to 4", "column index"]),
        (b"no picture", "a.png", ["OpenCV can decode"]),
        (b"no array", "a.npy", ["readable .npy file"]),
        (b"no volume", "a.nii", ["readable .nii file"]),
    ],
)
def test_a_file_without_a_slice_is_named_with_its_line(tmp_path, array, name, words):
    if isinstance(array, bytes):
        (tmp_path / name).write_bytes(array)
    elif name.endswith(".gif"):
        (tmp_path / name).write_bytes(b"")
    elif array is not None:
        write(tmp_path / name, array)
    with pytest.raises(InputError) as error:
        folder.read_folder(manifest(tmp_path, [f"{name},,glioma,P1"]))
    for word in ["line 2", name, *words]:
        assert word in str(error.value)


def test_a_header_that_states_more_than_there_is_fills_no_memory(tmp_path):
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    content = cv2.imencode(".png", SLICE)[1].tobytes()
    png = content[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[33:]
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (60000, 60000), }"
    npy = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(96)
    nifti = bytearray(nibabel.Nifti1Image(np.zeros((3, 4), np.uint8), np.eye(4)).to_bytes())
    nifti[42:46] = struct.pack("<2h", 30_000, 30_000)  # dim[1], dim[2]
    for name, damaged in (("a.png", png), ("a.npy", npy), ("a.nii", nifti)):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(InputError, match=f"line 2: expected a readable .*{name}"):
            folder.read_folder(manifest(tmp_path, [f"{name},,glioma,P1"]))


def test_pages_and_transparency_are_no_slice(tmp_path):
    pages = [SLICE, SLICE + 1]
    assert cv2.imwritemulti(str(tmp_path / "pages.tif"), pages)
    with pytest.raises(InputError, match="got 2 pages"):
        folder.read_folder(manifest(tmp_path, ["pages.tif,,glioma,P1"]))
    alpha = np.dstack([SLICE, SLICE, SLICE, np.where(MASK, 255, 0).astype(np.uint8)])
    write(tmp_path / "clear.png", alpha)
    with pytest.raises(InputError, match="transparent in parts"):
        folder.read_folder(manifest(tmp_path, ["clear.png,,glioma,P1"]))
    alpha[..., 3] = 255
    np.testing.assert_array_equal(one_slice(tmp_path, "opaque.png", alpha).slices[0], SLICE)


def test_a_file_that_may_not_be_read_is_named_with_its_line():
    with open_folder() as top:
        (top / "sub").mkdir()
        write(top / "sub" / "a.png", SLICE)
        path = manifest(top, ["sub/a.png,,glioma,P1"])
        for closed in (top / "sub", top / "sub" / "a.png"):
            with without_rights(closed):
                with pytest.raises(InputError, match="line 2: .*PermissionError .*a.png"):
                    folder.read_folder(path)
        assert len(folder.read_folder(path)) == 1


def test_a_name_too_long_for_a_file_is_named_with_its_line(tmp_path):
    with pytest.raises(InputError, match="line 2: .*File name too long"):
        folder.read_folder(manifest(tmp_path, ["x" * 300 + ".png,,glioma,P1"]))


def test_an_index_beyond_the_volume_or_without_one_is_named(tmp_path):
    write(tmp_path / "v.nii", np.zeros((3, 4, 5), np.uint8))
    columns = "image,mask,label,patient,index"
    with pytest.raises(InputError, match=r"0 to 4 \(axis 2\) .* got 5"):
        folder.read_folder(manifest(tmp_path, ["v.nii,,glioma,P1,5"], columns))
    write(tmp_path / "a.png", SLICE)
    with pytest.raises(InputError, match="Leave index empty"):
        folder.read_folder(manifest(tmp_path, ["a.png,,glioma,P1,0"], columns))


def test_a_mask_of_another_size_is_rejected_with_both_sizes(tmp_path):
    with pytest.raises(InputError, match=r"line 2: .*\(3, 4\), got \(4, 3\) in mask\.npy"):
        one_slice(tmp_path, "a.png", SLICE, MASK.T)


def test_slices_stay_in_their_files(tmp_path):
    cohort = one_slice(tmp_path, "a.npy", SLICE)
    np.save(tmp_path / "a.npy", SLICE + 1)
    np.testing.assert_array_equal(cohort.slices[0], SLICE + 1)
    (tmp_path / "a.npy").unlink()
    with pytest.raises(InputError, match="line 2"):
        cohort.slices[0]


def random_cohort(shapes=((40, 40), (50, 30))):
    rng = np.random.default_rng(0)
    slices = [rng.integers(5, 4000, shape).astype(np.uint16) for shape in shapes]
    masks = [rng.random(shape) > 0.9 for shape in shapes]
    n = len(shapes)
    table = pd.DataFrame(
        {"slice_id": range(n), "label": [0] * n, "patient_id": ["P"] * n, "person_id": ["P"] * n}
    )
    return Cohort("random", slices, masks, table, ("glioma", "none"), "random numbers")


def test_zscore_is_the_preparation_of_the_study_bit_for_bit():
    cohort = random_cohort()
    ours, studys = folder.prepare(cohort, size_px=32), preprocess.prepare(cohort, 32)
    np.testing.assert_array_equal(ours.slices, studys.slices)
    np.testing.assert_array_equal(ours.masks, studys.masks)
    assert ours.slices.dtype == np.float32 and ours.masks.dtype == bool


def test_raw_only_resizes_and_unit_spans_zero_to_one():
    cohort = random_cohort()
    raw = folder.prepare(cohort, size_px=32, scale="raw")
    np.testing.assert_array_equal(raw.slices[1], preprocess.resize_slice(cohort.slices[1], 32))
    unit = folder.prepare(random_cohort([(20, 20)]), size_px=None, scale="unit")
    assert unit.slices.shape == (1, 20, 20)
    assert (unit.slices.min(), unit.slices.max()) == (0, 1)


def test_what_cannot_be_prepared_is_named():
    with pytest.raises(InputError, match="one size"):
        folder.prepare(random_cohort(), size_px=None)


def test_other_shapes_are_padded_or_stretched():
    cohort = random_cohort([(40, 30)])
    cohort.slices[0][:] = 0
    cohort.slices[0][10:30, 10:20] = 100
    cohort.masks[0][:] = cohort.slices[0] > 0
    padded = folder.prepare(cohort, size_px=40, scale="raw")
    assert np.argwhere(padded.masks[0]).min(0).tolist() == [10, 15]
    stretched = folder.prepare(cohort, size_px=40, scale="raw", fit="stretch")
    assert np.argwhere(stretched.masks[0]).min(0).tolist() == [10, 13]
    np.testing.assert_allclose(stretched.slices[0][20, 15:25], 100)
    wide = folder.prepare(cohort, size_px=(40, 60), scale="raw")
    assert np.argwhere(wide.masks[0]).min(0).tolist() == [10, 25]


def test_air_that_is_not_darkest_is_air_to_edits_and_itself_to_the_classifier():
    image = np.zeros((40, 40), np.float32)
    image[10:30, 10:30] = np.random.default_rng(0).normal(0.5, 0.8, (20, 20))
    mask = np.zeros((40, 40), bool)
    mask[14:17, 14:17] = True
    table = pd.DataFrame({"slice_id": ["a"], "label": 0, "patient_id": "A", "person_id": "A"})
    cohort = Cohort("toy", [image], [mask], table, ("x", "y"), "drawn")
    prepared = folder.prepare(cohort, size_px=None, scale="raw", air=0.0)
    assert prepared.slices.min() < image.min()
    assert head.head_mask(prepared.slices[0]).mean() == pytest.approx(400 / 1600, abs=0.06)
    assert head.head_mask(image).mean() > 0.9  # what the edits would have gone by
    seen = []
    audit.audit(
        folder.with_air(lambda s: seen.extend(s.copy()) or np.full((len(s), 2), 0.5), 0.0),
        prepared,
        edits=folder.headline_edits("raw"),
        n_places=2,
    )
    np.testing.assert_array_equal(seen[0], image)
    assert (np.array(seen)[:, 0, 0] == 0).all()
    with pytest.raises(InputError, match="needs --scale raw"):
        folder.prepare(cohort, air=0.0)


def test_edits_of_channels_are_the_edits_of_each_channel():
    cohort = random_cohort([(48, 48)])
    y, x = np.mgrid[:48, :48]
    inside = np.hypot(y - 24, x - 24) < 20
    base = (cohort.slices[0] * inside).astype(np.float32)
    mask = np.hypot(y - 18, x - 24) < 4
    table = cohort.table.iloc[:1]
    both = np.stack([base, base[::-1].copy()], axis=2)
    made = {"gray": [], "both": []}
    for name, image in (("gray", base), ("both", both)):
        one = Cohort("toy", image[None], mask[None], table, ("x", "y"), "drawn")
        audit.audit(
            lambda s: made[name].extend(s.copy()) or np.full((len(s), 2), 0.5),
            one,
            edits=folder.headline_edits("raw")[:4],
            n_places=1,
        )
    assert len(made["gray"]) == 4  # original, remove, only, background
    for gray, color in zip(made["gray"], made["both"], strict=True):
        np.testing.assert_array_equal(color[..., 0], gray)


def test_tables_of_common_layouts_are_written(tmp_path):
    for case in ("BraTS-01", "BraTS-02"):
        (tmp_path / "brats" / case).mkdir(parents=True)
        mask = np.zeros((6, 5, 4), np.uint8)
        mask[2:4, 2, 3] = 4
        write(tmp_path / "brats" / case / f"{case}-seg.nii.gz", mask)
        write(tmp_path / "brats" / case / f"{case}-t1c.nii.gz", mask * 3 + 1)
        write(tmp_path / "brats" / case / f"{case}-t2w.nii.gz", mask)
    table, path = manifests.write(tmp_path / "brats", "brats")
    assert table["index"].tolist() == ["3", "3"] and table["patient"][0] == "BraTS-01"
    assert folder.read_folder(path).masks[0].sum() == 2
    with pytest.raises(InputError, match="there already"):
        manifests.write(tmp_path / "brats", "brats")
    for name in ("imagesTr", "labelsTr"):
        (tmp_path / "msd" / name).mkdir(parents=True)
        stored = np.stack([mask] * 2, 3) if name == "imagesTr" else mask
        write(tmp_path / "msd" / name / "c1.nii.gz", stored)
    _, path = manifests.write(tmp_path / "msd", "msd", channel="1")
    np.testing.assert_array_equal(folder.read_folder(path).slices[0], mask[:, :, 3])
    for name in ("glioma/TCGA_1/p_1.png", "glioma/TCGA_1/p_1_mask.png", "none/n2_1.png"):
        (tmp_path / "classes" / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / "classes" / name, SLICE)
    table, _ = manifests.write(tmp_path / "classes", "classes")
    assert table[["label", "patient"]].values.tolist() == [["glioma", "TCGA_1"], ["none", "n2"]]
    assert table["mask"].tolist() == ["glioma/TCGA_1/p_1_mask.png", ""]
    for name in ("images/7.png", "masks/7.png"):
        (tmp_path / "pairs" / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / "pairs" / name, SLICE)
    table, _ = manifests.write(tmp_path / "pairs", "pairs")
    assert table[["image", "mask"]].values.tolist() == [["images/7.png", "masks/7.png"]]
    with pytest.raises(InputError, match="found none"):
        manifests.write(tmp_path / "pairs", "brats", "other.csv")
