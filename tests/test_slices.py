import os
import struct
import zlib

import cv2
import nibabel
import numpy as np
import pandas as pd
import pytest
from pictures import named
from PIL import Image

from tumorcf_lib import __main__ as command
from tumorcf_lib.data import preprocess
from tumorcf_lib.edits import audit, head
from tumorcf_lib.your_model import InputError, slices as folder

SLICE = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
MASK = SLICE > 150


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(array, bytes):
        path.write_bytes(array)
    elif path.suffix == ".npy":
        np.save(path, array)
    elif path.name.endswith((".nii", ".nii.gz")):
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), path)
    else:
        assert cv2.imwrite(str(path), array)


def read(tmp_path, *rows, columns="", **options):
    """The cohort of a manifest with these rows; columns beyond the four may be named alone."""
    if not columns.startswith("image"):
        columns = f"image,mask,label,patient,{columns}".rstrip(",")
    path = tmp_path / "manifest.csv"
    path.write_text("\n".join([columns, *rows]) + "\n")
    return folder.read_folder(path, **options)


DEEP = SLICE.astype(np.uint16) * 50
SEQUENCES = np.dstack([SLICE, SLICE[::-1], SLICE[:, ::-1]])
LARGER = SEQUENCES.repeat(2, axis=0).repeat(2, axis=1)
NEARLY = np.dstack([SLICE, SLICE + 1, SLICE])  # a gray JPEG's colors

STORED = {  # as it is written, and as it is read
    "deep.png": (DEEP, DEEP),
    "a.tif": (SLICE.astype(np.float32), SLICE),
    "a.nii.gz": (SLICE.astype(np.int16), SLICE),
    "ä.PNG": (SLICE, SLICE),
    "nan.npy": (np.where(MASK, np.nan, SLICE + 7.0), np.where(MASK, 7, SLICE + 7.0)),
    "deep.tif": (np.dstack([DEEP] * 3), DEEP),
    "nearly.png": (NEARLY, SLICE + 1),
    "opaque.png": (np.dstack([SLICE, SLICE, SLICE, SLICE * 0 + 255]), SLICE),
    "color.png": (SEQUENCES[..., ::-1], SEQUENCES),  # OpenCV writes blue first
    "first.npy": (np.moveaxis(LARGER, 2, 0), LARGER),
}


def test_every_format_gives_the_pixels_that_were_written_and_gray_if_channels_are_alike(tmp_path):
    for name, (stored, wanted) in STORED.items():
        write(tmp_path / name, stored)
        found = read(tmp_path, f"{name},,glioma,P1")
        np.testing.assert_array_equal(found.slices[0], wanted, err_msg=name)
        assert ("NaN is taken as air" in found.table["slice_notes"][0]) == (name == "nan.npy")


def test_a_slice_is_taken_by_index_axis_and_channel_and_its_mask_alike(tmp_path):
    volume = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    write(tmp_path / "v.nii", volume)
    write(tmp_path / "m.nii.gz", (volume % 2).astype(np.uint8))
    write(tmp_path / "c.nii", np.stack([volume, volume * 3], 3))
    write(tmp_path / "c.npy", np.dstack([SLICE, SLICE * 2, SLICE * 3]))
    taken = {  # line of the table: its slice, and the name that it gets
        "v.nii,m.nii.gz,glioma,P1,3,,": (volume[:, :, 3], "v.nii[3]"),
        "v.nii,m.nii.gz,glioma,P1,0,1,": (volume[:, 0, :], "v.nii[0] axis 1"),
        "c.nii,,glioma,P2,1,,1": (volume[:, :, 1] * 3, "c.nii[1] channel 1"),
        "c.nii,,glioma,P2,2,,all": (volume[:, :, 2, None] * [1, 3], "c.nii[2] channel all"),
        "c.npy,,glioma,P3,,,2": (SLICE * 3, "c.npy channel 2"),
    }
    cohort = read(tmp_path, *taken, columns="index,axis,channel")
    for found, (wanted, _) in zip(cohort.slices, taken.values(), strict=True):
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(cohort.masks[1], volume[:, 0, :] % 2 == 1)
    assert cohort.table["slice_id"].tolist() == [name for _, name in taken.values()]


LABELS = np.array([[0, 1, 2, 4]] * 3, np.uint8)
ONE = np.where(MASK, SLICE, 0)
ONE[2, 3] = 1
Y, X = np.mgrid[:40, :40]
SOFT = cv2.GaussianBlur((np.hypot(Y - 20, X - 20) < 9).astype(np.float32), (0, 0), 6)
NOISE = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)


def test_a_mask_is_what_is_not_zero_or_chosen_and_pictures_are_none(tmp_path):
    def mask(name, stored, chosen=""):
        write(tmp_path / "a.npy", np.zeros(stored.shape[:2]))
        write(tmp_path / name, stored)
        cohort = read(tmp_path, f"a.npy,{name},glioma,P1,{chosen}", columns="mask_label")
        return cohort.masks[0], cohort.table["mask_notes"][0]

    for name, stored, chosen, wanted in (
        ("m.npy", ONE.astype(float), "", ONE != 0),
        ("m.tif", np.dstack([ONE * 0, ONE, ONE * 0]), "", ONE != 0),
        ("labels.png", LABELS, "", LABELS > 0),
        ("labels.png", LABELS, "1 4", np.isin(LABELS, (1, 4))),
        ("soft.npy", SOFT, ">0.5", SOFT > 0.5),
    ):
        found, note = mask(name, stored, chosen)
        np.testing.assert_array_equal(found, wanted)
        assert ("all count" in note) == (not chosen)
    for name, stored, words in (
        ("soft.npy", SOFT, "line 2: .*a soft mask.*>0.5"),
        ("overlay.png", NOISE, "line 2: .*a picture of .* colors: an overlay"),
        ("picture.png", NOISE[..., 0], "a picture"),
    ):
        with pytest.raises(InputError, match=words):
            mask(name, stored)
    palette = Image.fromarray(MASK.astype(np.uint8), mode="P")
    palette.putpalette([255, 255, 255, 10, 10, 10])  # a white background: numbers count
    palette.save(tmp_path / "p.png")
    write(tmp_path / "a.npy", SLICE)
    np.testing.assert_array_equal(read(tmp_path, "a.npy,p.png,glioma,P1").masks[0], MASK)


FLIPPED = [[-1, 0, 0, 5], [0, -1, 0, 4], [0, 0, 1, 0], [0, 0, 0, 1]]
SWAPPED = np.eye(4)[[1, 0, 2, 3]]
HALF_A_STEP = np.eye(4) + np.outer([1, 0, 0, 0], [0, 0, 0, 0.5])


def test_a_mask_is_brought_to_the_grid_of_its_volume_or_refused_with_both_affines(tmp_path):
    true = np.random.default_rng(0).random((6, 5, 4)) > 0.7
    write(tmp_path / "v.nii", np.arange(120, dtype=np.int16).reshape(6, 5, 4))

    def masks(stored, affine):
        """Slice 2 of each axis."""
        image = nibabel.Nifti1Image(stored.astype(np.uint8), np.array(affine))
        nibabel.save(image, tmp_path / "m.nii")
        rows = [f"v.nii,m.nii,glioma,P{axis},2,{axis}" for axis in range(3)]
        return read(tmp_path, *rows, columns="index,axis").masks

    for stored, affine in (true[::-1, ::-1], FLIPPED), (true.transpose(1, 0, 2), SWAPPED):
        for mask, wanted in zip(masks(stored, affine), (true[2], true[:, 2], true[:, :, 2])):
            np.testing.assert_array_equal(mask, wanted)
    for affine in (np.diag([2, 2, 2, 1]), HALF_A_STEP):
        with pytest.raises(InputError, match=r"affine of the mask .*of the slice .*Resample"):
            masks(true, affine)


def test_dicom_is_read_or_the_package_is_named(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"")
    with pytest.raises(InputError, match="pydicom|readable .dcm"):
        read(tmp_path, "a.dcm,,glioma,P1")
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
    file.RescaleSlope, file.RescaleIntercept, file.NumberOfFrames = 2, -10, 2
    file.PixelData = np.stack([SLICE * 0, SLICE]).astype(np.uint16).tobytes()
    file.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(InputError, match="index from 0 to 1.*got None"):
        read(tmp_path, "a.dcm,,glioma,P1")
    cohort, stored = read(tmp_path, "a.dcm,,glioma,P1,1", columns="index"), SLICE * 2.0 - 10
    np.testing.assert_array_equal(cohort.slices[0], stored.max() - stored)


def test_a_table_comes_from_a_spreadsheet_or_from_windows(tmp_path):
    write(tmp_path / "sub" / "a.png", SLICE)
    write(tmp_path / "empty.png", SLICE * 0)
    for first, separator in (("", ","), ("", ";"), ("", "\t"), ("sep=;\n", ";")):  # Excel's
        text = "Image,mask,Label,patient\n\n sub\\a.png ,,none,007\nsub/a.png,empty.png,none,2\n"
        text = "\ufeff" + first + text.replace(",", separator)
        (tmp_path / "manifest.csv").write_text(text, encoding="utf-8")
        cohort = folder.read_folder(tmp_path)
        assert cohort.table["patient_id"].tolist() == ["007", "2"]
        assert "2 with an empty mask" in cohort.source and not np.any(cohort.masks)
        np.testing.assert_array_equal(cohort.slices[0], SLICE)
    (tmp_path / "manifest.csv").write_text("sep=;")
    with pytest.raises(InputError, match="Expected a table of slices"):
        folder.read_folder(tmp_path)


def test_classes_are_in_the_given_order_else_alphabetical(tmp_path):
    write(tmp_path / "a.png", SLICE)
    rows = ["a.png,,pituitary,P1,1", "a.png,,glioma,P1,2"]
    found = read(tmp_path, *rows, columns="slice_id")
    assert found.classes == ("glioma", "pituitary")
    assert found.persons.tolist() == ["P1 · pituitary", "P1 · glioma"]  # counts once in each
    given = read(tmp_path, *rows, columns="slice_id", classes=["pituitary", "none", "glioma"])
    assert given.classes == ("pituitary", "none", "glioma") and given.labels.tolist() == [0, 2]
    with pytest.raises(InputError, match="line 2: .*out of glioma, none; got 'pituitary'"):
        read(tmp_path, *rows, columns="slice_id", classes=["glioma", "none"])


HEADER = b"{'descr': '<f8', 'fortran_order': False, 'shape': (60000, 60000), }"
PNG = cv2.imencode(".png", SLICE)[1].tobytes()
SIZE = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
FILES = {
    "a.png": SLICE,
    "turned.npy": MASK.T,
    "v.nii": np.zeros((3, 4, 5), np.uint8),
    "flat.nii": np.zeros((3, 4), np.uint8),
    "channels.nii": np.zeros((3, 4, 5, 2), np.uint8),
    "c.npy": SEQUENCES,
    "four.npy": np.zeros((2, 3, 4, 3)),
    "a.gif": b"",
    "infinite.npy": np.where(MASK, np.inf, 1.0),
    "clear.png": np.dstack([SEQUENCES, np.where(MASK, 255, 0).astype(np.uint8)]),
    # both state more than there is, and fill no memory:
    "bomb.png": PNG[:12] + SIZE + struct.pack(">I", zlib.crc32(SIZE)) + PNG[33:],
    "bomb.npy": b"\x93NUMPY\x01\x00" + struct.pack("<H", len(HEADER)) + HEADER,
}
WRONG = (  # lines below the header, columns beyond the four, what is said of them
    (["none.png,,glioma,P1"], "", "line 2: .*none.png: .*got none there"),
    (["a.gif,,glioma,P1"], "", "line 2: .*a.gif: .*ending in .*Convert it"),
    (["infinite.npy,,glioma,P1"], "", "line 2: .*infinite.npy: .*4 of 12 NaN or infinite"),
    (["four.npy,,glioma,P1"], "", r"line 2: .*four.npy: .*shape \(2, 3, 4, 3\)"),
    (["clear.png,,glioma,P1"], "", "line 2: .*clear.png: .*transparent in parts"),
    (["pages.tif,,glioma,P1"], "", "line 2: .*pages.tif: .*got 2 pages"),
    (["bomb.png,,glioma,P1"], "", "line 2: .*bomb.png: .*readable .png file"),
    (["bomb.npy,,glioma,P1"], "", "line 2: .*bomb.npy: .*readable .npy file"),
    (["v.nii,,glioma,P1"], "", "line 2: .*v.nii: .*an index from 0 to 4.*column index"),
    (["v.nii,,glioma,P1,5"], "index", r"line 2: .*0 to 4 \(axis 2\).* got 5"),
    (["a.png,,glioma,P1,1"], "index", "0 to 0 of a file that holds one slice, got 1. Leave it"),
    (["flat.nii,,glioma,P1,7"], "index", "0 to 0 .*got 7"),
    (["channels.nii,,glioma,P1,0"], "index", "column channel: a number from 0 to 1"),
    (["c.npy,,glioma,P1,3"], "channel", "a channel below 3, got 3"),
    (["a.png,turned.npy,glioma,P1"], "", r"line 2: .*\(3, 4\), got \(4, 3\) in turned"),
    ([], "", "none below the header"),
    (["a.png,,,P1"], "", "line 2: .*'label'"),
    (["a.png,,glioma,P1", "a.png,,glioma,P2"], "", "line 3: .*another slice .*'a.png'"),
    (["a.png,,glioma,P1,1", "a.png,,Glioma,P2,2"], "slice_id", r"\['Glioma', 'glioma'\]"),
    (["a.png,,all,P1"], "", r"got \['all'\]. Rename"),
    (["a.nii,,glioma,P1," + "9" * 5000], "index", "line 2: .*'9999"),
    (["a.png,,glioma,P1", "x.png,a.png,,glioma,P1"], "", "line 3"),
    (["a.png,,glioma,P1,P2"], "Patient", "line 1: .*patient more than once"),
    (["a.png,,glioma,P1,>0..5"], "mask_label", "line 2: .*like 1 4, or >0.5, .*got '>0..5'"),
)


def test_what_is_wrong_in_a_table_or_in_its_files_is_named_with_its_line(tmp_path):
    assert cv2.imwritemulti(str(tmp_path / "pages.tif"), [SLICE, SLICE + 1])
    for name, content in FILES.items():
        write(tmp_path / name, content)
    for rows, columns, words in WRONG:
        with pytest.raises(InputError, match=rf"manifest\.csv.*{words}"):
            read(tmp_path, *rows, columns=columns)
    with pytest.raises(InputError, match="line 1: .*Add patient"):
        read(tmp_path, "a.png,,glioma", columns="image,mask,label")
    os.mkfifo(tmp_path / "pipe.csv")
    for name in ("no.csv", "pipe.csv", "/dev/zero"):  # the last two have no end
        with pytest.raises(InputError, match="no regular file.*CSV file .UTF-8. with the columns"):
            folder.read_folder(tmp_path / name)


def cohort_of(slices, masks):
    n = len(slices)
    return named(slices, masks, [0] * n, ["P"] * n, classes=("glioma", "none"))


def shown(image, mask, air=None):
    """What a classifier is shown in an audit on stored intensities."""
    seen = []

    def predict(slices):
        seen.extend(slices.copy())
        return np.full((len(slices), 2), 0.5)

    edits, shown = folder.headline_edits("raw"), folder.with_air(predict, air)
    audit.audit(shown, cohort_of(image[None], mask[None]), edits=edits, n_places=2)
    return np.array(seen)


def test_zscore_is_the_preparation_of_the_study_bit_for_bit():
    rng = np.random.default_rng(0)
    slices = [rng.integers(5, 4000, shape).astype(np.uint16) for shape in ((40, 40), (50, 30))]
    cohort = cohort_of(slices, [image > 3600 for image in slices])
    ours, studys = folder.prepare(cohort, size_px=32), preprocess.prepare(cohort, 32)
    np.testing.assert_array_equal(ours.slices, studys.slices)
    np.testing.assert_array_equal(ours.masks, studys.masks)
    assert ours.slices.dtype == np.float32 and ours.masks.dtype == bool
    raw = folder.prepare(cohort, size_px=32, scale="raw")
    np.testing.assert_array_equal(raw.slices[1], preprocess.resize_slice(slices[1], 32))
    with pytest.raises(InputError, match="one size"):
        folder.prepare(cohort, size_px=None)


def test_other_shapes_are_padded_or_stretched():
    image = np.zeros((40, 30))
    image[10:30, 10:20] = 100
    cohort = cohort_of([image], [image > 0])
    for size, fit, left in (40, "pad", 15), (40, "stretch", 13), ((40, 60), "pad", 25):
        made = folder.prepare(cohort, size_px=size, scale="raw", fit=fit)
        assert np.argwhere(made.masks[0]).min(0).tolist() == [10, left]
        inside = made.slices[0][made.masks[0]]
        assert np.median(inside) == 100 and made.slices[0][0, 0] == 0


def test_air_that_is_not_darkest_is_air_to_edits_and_itself_to_the_classifier():
    image, mask = np.zeros((40, 40), np.float32), np.zeros((40, 40), bool)
    image[10:30, 10:30] = np.random.default_rng(0).normal(0.5, 0.8, (20, 20))
    mask[14:17, 14:17] = True
    cohort, raw = cohort_of([image], [mask]), {"size_px": None, "scale": "raw"}
    prepared = folder.prepare(cohort, air=0.0, **raw).slices[0]
    assert head.head_mask(prepared).mean() == pytest.approx(400 / 1600, abs=0.06)
    assert head.head_mask(image).mean() > 0.9  # what the edits would have gone by
    seen = shown(prepared, mask, 0.0)
    np.testing.assert_array_equal(seen[0], image)
    assert (seen[:, 0, 0] == 0).all()
    with pytest.raises(InputError, match="needs --scale raw"):
        folder.prepare(cohort, air=0.0)
    with pytest.raises(InputError, match="at --air 9 in every slice, slice '0' has none"):
        folder.prepare(cohort, air=9.0, **raw)


def test_what_is_padded_is_air_though_air_is_not_darkest():
    image = np.full((40, 20), -2.5, np.float32)
    image[:8], image[8:12] = 1.5, 4
    cohort = cohort_of([image], [image == 4])
    for size, wanted in ((40, image), (20, image[::2, ::2])):
        prepared = folder.prepare(cohort, size_px=size, scale="raw", air=1.5)
        whole = np.full((size, size), 1.5, np.float32)
        whole[:, size // 4 : -size // 4] = wanted
        np.testing.assert_array_equal(shown(prepared.slices[0], prepared.masks[0], 1.5)[0], whole)


def test_edits_and_shams_of_channels_are_those_of_each_channel():
    y, x = np.mgrid[:224, :224]
    pixels = np.random.default_rng(0).integers(5, 4000, (224, 224))
    base = (pixels * (np.hypot(y - 112, x - 112) < 90)).astype(np.float32)
    mask = np.hypot(y - 80, x - 112) < 8
    gray, color = (shown(slice, mask) for slice in (base, np.stack([base, 2 * base], axis=2)))
    np.testing.assert_array_equal(color[..., 0], gray)
    np.testing.assert_array_equal(color[..., 1], 2 * gray)


def test_tables_of_common_layouts_are_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def written(layout, options=""):
        assert command.main(f"manifest {layout} --layout {layout} {options}".split()) == 0
        path = tmp_path / layout / "manifest.csv"
        return folder.read_folder(path), pd.read_csv(path, dtype=str, keep_default_na=False)

    mask = np.zeros((6, 5, 4), np.uint8)
    mask[2:4, 2, 3] = 4
    mask[:, :, 1] = 1  # more of another label
    notes = b"what a Mac notes on a file"
    pictures = [f"glioma/TCGA_{k}/p_1{end}.png" for k in (1, 2) for end in ("", "_mask")]
    of_classes = *pictures, "none/n2_1.png", ".ipynb_checkpoints/n2_1.png"
    for name, stored in (
        ("brats/BraTS-01/BraTS-01-seg.nii.gz", mask),
        ("brats/BraTS-01/BraTS-01-t1c.nii.gz", mask * 3 + 1),
        ("brats/BraTS-01/._BraTS-01-seg.nii.gz", notes),
        ("brats/BraTS-02/BraTS-02-seg.nii.gz", mask),
        ("brats/BraTS-02/BraTS-02-t2w.nii.gz", mask),
        ("brats/BraTS-03/BraTS-03-seg.nii.gz", mask % 4),
        ("brats/BraTS-03/BraTS-03-t1c.nii.gz", mask),
        ("msd/imagesTr/c1.nii.gz", np.stack([mask * 0, mask], 3)),
        ("msd/labelsTr/c1.nii.gz", mask),
        *((f"pairs/{name}/7.png", SLICE) for name in ("images", "masks", "images/P8", "masks/P8")),
        *((f"classes/{name}", SLICE) for name in of_classes),
        ("classes/none/._n2_1.png", notes),
        ("damaged/c/c-seg.nii.gz", b"no volume"),
        ("damaged/c/c-t1c.nii.gz", mask),
        *((f"twice/{name}.png", SLICE) for name in ("7", "7_mask_1", "mask_7")),
        ("alone/7_mask.png", SLICE),
    ):
        write(tmp_path / name, stored)

    cohort, table = written("brats", "--label glioma --mask-label 4")
    said = capsys.readouterr().out
    assert "1 slices of 1 patients in " in said and "glioma 1 (1)" in said
    assert "Left out: BraTS-02 has no sequence t1c." in said
    assert "Left out: BraTS-03 has no tumor in its mask." in said
    assert table[["index", "patient"]].values.tolist() == [["3", "BraTS-01"]]
    np.testing.assert_array_equal(cohort.slices[0], mask[:, :, 3] * 3 + 1)
    assert cohort.masks[0].sum() == 2 and cohort.classes == ("glioma",)
    cohort, _ = written("msd", "--channel 1 --mask-label 4")
    np.testing.assert_array_equal(cohort.slices[0], mask[:, :, 3])
    _, table = written("classes", "--mask-label 20")
    assert table["patient"].tolist() == ["TCGA_1", "TCGA_2", "n2"]
    assert table["mask"].tolist() == [pictures[1], pictures[3], ""]
    _, table = written("pairs", "--mask-label 20")
    assert table["mask"].tolist() == ["masks/7.png", "masks/P8/7.png"]
    command.main("manifest pairs --layout pairs --out ../other/o.csv --mask-label 20".split())
    assert len(folder.read_folder(tmp_path / "other" / "o.csv")) == 2
    for typed, words in (
        ("pairs --layout pairs", "there already"),
        ("pairs --layout msd --out o", "in pairs, found none"),
        ("pairs --layout classes --out o", "a folder a class in pairs, got images"),
        ("pairs --layout pairs --out o --mask-label one", "as --mask-label, got 'one'"),
        ("gone --layout classes", "found none at gone"),
        ("twice --layout pairs", "one mask an image, got"),
        ("alone --layout pairs", "found none for 1 masks"),
        ("damaged --layout brats", "c-seg.nii.gz: expected a readable .nii.gz file"),
    ):
        assert command.main(f"manifest {typed}".split()) == 1
        assert words in capsys.readouterr().err
