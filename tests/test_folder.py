"""Claims about reading a reader's own slices; every file is written by the test itself."""

import struct
import zlib

import cv2
import nibabel
import numpy as np
import pandas as pd
import pytest
import tifffile
from fake_cheng import open_folder, without_rights

from tumorcf_lib.data import preprocess
from tumorcf_lib.data.cohort import Cohort
from tumorcf_lib.edits import audit
from tumorcf_lib.stats import metrics
from tumorcf_lib.your_model import images
from tumorcf_lib.your_model import slices as folder
from tumorcf_lib.your_model.slices import InvalidManifestError, MaskSizeError, UnreadableSliceError

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
    [("a.png", np.uint8), ("a.png", np.uint16), ("a.tif", np.uint8), ("a.tif", np.uint16),
     ("a.tif", np.float32), ("a.bmp", np.uint8), ("a.npy", np.float64), ("a.npy", np.int16),
     ("a.nii", np.int16), ("a.nii.gz", np.float32), ("ä.PNG", np.uint8)],
)  # fmt: skip
def test_every_format_gives_the_pixels_that_were_written(tmp_path, name, dtype):
    cohort = one_slice(tmp_path, name, SLICE.astype(dtype))
    np.testing.assert_array_equal(cohort.slices[0], SLICE)
    np.testing.assert_array_equal(cohort.masks[0], MASK)
    assert cohort.masks[0].dtype == bool


def test_mask_is_whatever_is_not_zero(tmp_path):
    values = np.where(MASK, SLICE, 0)
    values[2, 3] = 1
    for name, array in (("m.png", values), ("m.npy", -values.astype(float)),
                        ("m.tif", np.dstack([values * 0, values, values * 0]))):  # fmt: skip
        cohort = one_slice(tmp_path, "a.png", SLICE, array, name)
        np.testing.assert_array_equal(cohort.masks[0], values != 0)


def test_color_of_equal_channels_keeps_its_bits_and_other_color_becomes_luminance(tmp_path):
    gray = one_slice(tmp_path, "a.png", np.dstack([SLICE] * 3))
    np.testing.assert_array_equal(gray.slices[0], SLICE)
    assert "color" not in gray.source
    pure = np.zeros((3, 4, 3), np.uint8)
    pure[0, 0], pure[0, 1], pure[0, 2] = (0, 0, 200), (0, 200, 0), (200, 0, 0)  # OpenCV: B, G, R
    color = one_slice(tmp_path, "b.png", pure)
    np.testing.assert_allclose(color.slices[0][0, :3], [59.8, 117.4, 22.8], rtol=1e-6)
    assert "1 in color, taken as luminance" in color.source


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


def test_patients_are_persons_and_one_with_two_classes_counts_once_in_each(tmp_path):
    for name in "abcd":
        write(tmp_path / f"{name}.png", SLICE)
    rows = ["a.png,,glioma,MR1A", "b.png,,none,MR1A", "c.png,,glioma,MR1B", "d.png,,glioma,MR1B"]
    cohort = folder.read_folder(manifest(tmp_path, rows))
    assert cohort.persons.tolist() == ["MR1A · glioma", "MR1A · none", "MR1B", "MR1B"]
    assert "1 patients in several classes" in cohort.source


@pytest.mark.parametrize(
    ("rows", "columns", "words"),
    [([], "image,mask,label,patient", ["none below the header"]),
     (["a.png,,glioma"], "image,mask,label", ["line 1", "Add patient"]),
     (["a.png,,,P1"], "image,mask,label,patient", ["line 2", "'label'"]),
     (["a.png,,glioma,P1", "a.png,,glioma,P2"], "image,mask,label,patient",
      ["line 3", "'a.png' again"]),
     (["a.png,,glioma,P1", "a.png,,Glioma,P2"], "image,mask,label,patient,slice_id",
      ["'Glioma' and 'glioma'", "one way"]),
     (["a.png,,all,P1"], "image,mask,label,patient", ["'all'", "Rename"]),
     (["a.png,,glioma,P1,1.5"], "image,mask,label,patient,index", ["line 2", "'1.5'"]),
     (["a.nii,,glioma,P1," + "9" * 5000], "image,mask,label,patient,index", ["line 2", "'9999"]),
     (["x.png,a.png,,glioma,P1"], "image,mask,label,patient", ["CSV", "Length of header"]),
     (["a.png,,glioma,P1", "x.png,a.png,,glioma,P1"], "image,mask,label,patient", ["line 3"])],
)  # fmt: skip
def test_a_wrong_table_is_named_with_its_line(tmp_path, rows, columns, words):
    if "slice_id" in columns:
        rows = [f"{row},{i}" for i, row in enumerate(rows)]
    with pytest.raises(InvalidManifestError) as error:
        folder.read_folder(manifest(tmp_path, rows, columns))
    for word in ["manifest.csv", *words]:
        assert word in str(error.value)


def test_an_unknown_label_and_a_class_given_twice_are_named(tmp_path):
    path = manifest(tmp_path, ["a.png,,gliom,P1"])
    with pytest.raises(InvalidManifestError, match="line 2: .*out of glioma, none; got 'gliom'"):
        folder.read_folder(path, classes=["glioma", "none"])
    with pytest.raises(InvalidManifestError, match="one twice, as 'gliom' and 'gliom'"):
        folder.read_folder(path, classes=["gliom", "gliom"])


def test_a_manifest_that_is_missing_or_no_text_is_named(tmp_path):
    with pytest.raises(InvalidManifestError, match="FileNotFoundError"):
        folder.read_folder(tmp_path / "no.csv")
    write(tmp_path / "a.png", SLICE)
    with pytest.raises(InvalidManifestError, match="Save it as CSV"):
        folder.read_folder(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("array", "name", "words"),
    [(None, "a.png", ["got none there"]),
     (SLICE, "a.dcm", ["ending in", "Convert it"]),
     (np.where(MASK, np.nan, 1.0), "a.npy", ["finite pixels", "4 of 12"]),
     (np.zeros((2, 3, 4, 3)), "a.npy", ["shape (2, 3, 4, 3)"]),
     (np.zeros((0, 4)), "a.npy", ["shape (0, 4)"]),
     (np.zeros((3, 4), complex), "a.npy", ["complex"]),
     (np.zeros((3, 4, 5), np.uint8), "a.nii", ["one slice", "column index"]),
     (b"no picture", "a.png", ["OpenCV cannot decode"]),
     (b"no array", "a.npy", ["readable .npy file"]),
     (b"no volume", "a.nii", ["readable .nii file"])],
)  # fmt: skip
def test_a_file_without_a_slice_is_named_with_its_line(tmp_path, array, name, words):
    if isinstance(array, bytes):
        (tmp_path / name).write_bytes(array)
    elif name.endswith(".dcm"):
        (tmp_path / name).write_bytes(b"")
    elif array is not None:
        write(tmp_path / name, array)
    with pytest.raises(UnreadableSliceError) as error:
        folder.read_folder(manifest(tmp_path, [f"{name},,glioma,P1"]))
    for word in ["line 2", name, *words]:
        assert word in str(error.value)


def _huge_png():
    """A picture of 12 pixels whose header states 60000 x 60000."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    content = cv2.imencode(".png", SLICE)[1].tobytes()
    return content[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[33:]


def _huge_npy():
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (60000, 60000), }"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(96)


def _huge_nifti():
    volume = nibabel.Nifti1Image(np.zeros((3, 4), np.uint8), np.eye(4))
    content = bytearray(volume.to_bytes())
    content[42:46] = struct.pack("<2h", 30_000, 30_000)  # dim[1], dim[2]
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [("a.png", _huge_png, "at most 67108864 pixels .*got more than"),
     ("a.npy", _huge_npy, "mmap length is greater than file size"),
     ("a.nii", _huge_nifti, "at most 67108864 pixels .*got shape .30000, 30000")],
)  # fmt: skip
def test_what_a_header_states_is_bounded_before_it_is_reserved(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content())
    with pytest.raises(UnreadableSliceError, match=f"line 2: .*{words}"):
        folder.read_folder(manifest(tmp_path, [f"{name},,glioma,P1"]))


def test_colors_of_16_bits_are_read(tmp_path):
    gray = SLICE.astype(np.uint16) * 50
    cohort = one_slice(tmp_path, "a.tif", np.dstack([gray] * 3))
    np.testing.assert_array_equal(cohort.slices[0], gray)


def test_pages_and_transparency_are_no_slice(tmp_path):
    pages = [SLICE, SLICE + 1]
    assert cv2.imwritemulti(str(tmp_path / "pages.tif"), pages)
    with pytest.raises(UnreadableSliceError, match="got 2 pages"):
        folder.read_folder(manifest(tmp_path, ["pages.tif,,glioma,P1"]))
    alpha = np.dstack([SLICE, SLICE, SLICE, np.where(MASK, 255, 0).astype(np.uint8)])
    write(tmp_path / "clear.png", alpha)
    with pytest.raises(UnreadableSliceError, match="transparent in parts"):
        folder.read_folder(manifest(tmp_path, ["clear.png,,glioma,P1"]))
    alpha[..., 3] = 255
    np.testing.assert_array_equal(one_slice(tmp_path, "opaque.png", alpha).slices[0], SLICE)


def test_pages_are_not_decoded_whatever_size_they_state(tmp_path, monkeypatch):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for _ in range(2):
            file.write(SLICE, photometric="minisblack", contiguous=False)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
        for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            file.pages[1].tags[tag].overwrite(60_000)
    monkeypatch.setattr(images.cv2, "imdecodemulti", None)  # whoever decodes fails otherwise
    with pytest.raises(UnreadableSliceError, match="line 2: .*got 2 pages"):
        folder.read_folder(manifest(tmp_path, ["a.tif,,glioma,P1"]))


def test_a_file_that_may_not_be_read_is_named_with_its_line():
    with open_folder() as top:
        (top / "sub").mkdir()
        write(top / "sub" / "a.png", SLICE)
        path = manifest(top, ["sub/a.png,,glioma,P1"])
        for closed in (top / "sub", top / "sub" / "a.png"):
            with without_rights(closed):
                with pytest.raises(UnreadableSliceError, match="line 2: .*PermissionError .*a.png"):
                    folder.read_folder(path)
        assert len(folder.read_folder(path)) == 1


def test_a_name_too_long_for_a_file_is_named_with_its_line(tmp_path):
    with pytest.raises(UnreadableSliceError, match="line 2: .*File name too long"):
        folder.read_folder(manifest(tmp_path, ["x" * 300 + ".png,,glioma,P1"]))


def test_an_index_beyond_the_volume_or_without_one_is_named(tmp_path):
    write(tmp_path / "v.nii", np.zeros((3, 4, 5), np.uint8))
    columns = "image,mask,label,patient,index"
    with pytest.raises(UnreadableSliceError, match=r"0 to 4 \(axis 2\) .* got 5"):
        folder.read_folder(manifest(tmp_path, ["v.nii,,glioma,P1,5"], columns))
    write(tmp_path / "a.png", SLICE)
    with pytest.raises(UnreadableSliceError, match="Leave index empty"):
        folder.read_folder(manifest(tmp_path, ["a.png,,glioma,P1,0"], columns))


def test_a_mask_of_another_size_is_rejected_with_both_sizes(tmp_path):
    with pytest.raises(MaskSizeError, match=r"line 2: .*\(3, 4\), got \(4, 3\) in mask\.npy"):
        one_slice(tmp_path, "a.png", SLICE, MASK.T)


def test_slices_stay_in_their_files(tmp_path):
    cohort = one_slice(tmp_path, "a.npy", SLICE)
    np.save(tmp_path / "a.npy", SLICE + 1)
    np.testing.assert_array_equal(cohort.slices[0], SLICE + 1)
    (tmp_path / "a.npy").unlink()
    with pytest.raises(UnreadableSliceError, match="line 2"):
        cohort.slices[0]


def random_cohort(shapes=((40, 40), (50, 30))):
    rng = np.random.default_rng(0)
    slices = [rng.integers(5, 4000, shape).astype(np.uint16) for shape in shapes]
    masks = [rng.random(shape) > 0.9 for shape in shapes]
    n = len(shapes)
    table = pd.DataFrame({"slice_id": range(n), "label": [0] * n, "patient_id": ["P"] * n,
                          "person_id": ["P"] * n})  # fmt: skip
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
    with pytest.raises(folder.FolderError, match="one size"):
        folder.prepare(random_cohort(), size_px=None)
    with pytest.raises(folder.FolderError, match="'z'; choose one of: zscore, unit, raw"):
        folder.prepare(random_cohort(), scale="z")
    with pytest.raises(folder.FolderError, match="Slice 0 of random: size_px"):
        folder.prepare(random_cohort(), size_px=0)


def test_edits_that_are_defined_on_z_scores_are_left_out_of_other_scales():
    names = {scale: [edit.name for edit in folder.headline_edits(scale)] for scale in folder.SCALES}
    assert set(names["zscore"]) - set(names["raw"]) == set(folder.ZSCORE_ONLY)
    assert names["raw"] == names["unit"]


def test_a_folder_with_a_class_of_no_tumor_is_audited_with_reasons(tmp_path):
    y, x = np.mgrid[:48, :48]
    head = np.where(np.hypot(y - 24, x - 24) < 20, 100, 0).astype(np.uint8)
    tumor = np.hypot(y - 18, x - 24) < 4
    write(tmp_path / "a.png", np.where(tumor, 200, head).astype(np.uint8))
    write(tmp_path / "t.png", tumor.astype(np.uint8) * 255)
    write(tmp_path / "b.png", head)
    path = manifest(tmp_path, ["a.png,t.png,tumor,P1", "b.png,,none,P2"])
    prepared = folder.prepare(folder.read_folder(path), size_px=None, scale="raw")
    rows = audit.audit(
        lambda slices: np.tile([0.4, 0.6], (len(slices), 1)), prepared,
        edits=folder.headline_edits("raw"), n_places=2,
    )  # fmt: skip
    none = rows[rows["label"] == "none"].set_index("edit")["reason"]
    assert none["original"] == none["blank"] == ""
    assert none["remove"] == none["sham"] == "empty mask"
    assert metrics.slice_scores(rows).set_index("label").loc["tumor", "net_drop"] == 0


def test_images_can_be_read_without_a_manifest(tmp_path):
    write(tmp_path / "a.png", SLICE)
    image, in_color = images.read_slice(tmp_path / "a.png")
    assert not in_color
    np.testing.assert_array_equal(image, SLICE)
