"""Strangers' slices through the command: each way of storing them gives a slow loop's number."""

import cv2
import nibabel
import numpy as np
import pandas as pd
import pytest

from tumorcf_lib import __main__ as command
from tumorcf_lib.edits.scores import slice_scores
from tumorcf_lib.your_model import nulls, running

PX, N = 48, 24
LABELS = ["left", "right"] * (N // 2)
MODULE = """
import numpy as np
def predict(slices):
    slices = slices if slices.ndim == 3 else slices[..., 1]
    half = slices.shape[2] // 2
    z = 0.35 * (slices[:, :, half:].mean(axis=(1, 2)) - slices[:, :, :half].mean(axis=(1, 2)))
    return 1 / (1 + np.exp(np.stack([2 * z, -2 * z], axis=1)))
"""


def drawn():
    """Heads with a tumor on the left or on the right, and its mask."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:PX, :PX] - (PX - 1) / 2
    head = (y / 20) ** 2 + (x / 17) ** 2 < 1
    images, masks = np.zeros((N, PX, PX), np.uint8), np.zeros((N, PX, PX), bool)
    for i in range(N):
        image = head * (90 + 5 * rng.normal(size=(PX, PX)))
        masks[i] = np.hypot(y - rng.uniform(-4, 4), x - (6 if i % 2 else -6)) < 3.5 + i % 2
        image[masks[i]] = 170 + 40 * (i % 2)
        images[i] = np.clip(image, 0, 255)
    return images, masks


IMAGES, MASKS = drawn()


@pytest.fixture(scope="module")
def truth():
    """Delta-Drop by a loop of its own: OpenCV's Navier-Stokes on the stored pixels."""
    scope, falls = {}, []
    exec(MODULE, scope)
    for image, mask, label in zip(IMAGES.astype(np.float32), MASKS, LABELS, strict=True):
        removed = cv2.inpaint(image, mask.astype(np.uint8), 3, cv2.INPAINT_NS)
        p = scope["predict"](np.stack([image, removed]))[:, int(label == "right")]
        falls.append(p[0] - p[1])
    return np.mean(falls)


def files(images=IMAGES, masks=MASKS * np.uint8(255), image="{}.png", mask="m{}.png"):
    for i in range(N):
        for array, name in ((images[i], image.format(i)), (masks[i], mask.format(i))):
            np.save(name, array) if name.endswith("npy") else cv2.imwrite(name, array)
    return {"image": image, "mask": mask}


def volumes():
    """One NIfTI volume, and a mask whose first two axes run the other way, as its affine says."""
    flipped = [[-1, 0, 0, PX - 1], [0, -1, 0, PX - 1], [0, 0, 1, 0], [0, 0, 0, 1]]
    for name, array, affine in (
        ("v", IMAGES, np.eye(4)),
        ("m", MASKS[:, ::-1, ::-1] * np.uint8(1), np.array(flipped)),
    ):
        nibabel.save(nibabel.Nifti1Image(np.moveaxis(array, 0, 2), affine), f"{name}.nii.gz")
    return {"image": "v.nii.gz", "mask": "m.nii.gz", "index": "{}"}


OUTSIDE = np.where(IMAGES > 0, IMAGES.astype(np.float32), np.nan)
SEQUENCES = np.stack([255 - IMAGES, IMAGES, IMAGES // 2], axis=-1)
CASES = {
    "plain": (files, "", ""),
    "a volume, its mask flipped": (volumes, "", "brought to the slice's grid"),
    "three sequences": (lambda: files(SEQUENCES, image="{}.tif"), "", "3 channels that differ"),
    "JPEG masks": (lambda: files(mask="m{}.jpg"), "", "above half the largest counts"),
    "NaN outside the head": (lambda: files(OUTSIDE, image="{}.npy"), "", "NaN is taken as air"),
    "not square": (
        lambda: files(IMAGES[:, :, 4:-4], MASKS[:, :, 4:-4] * np.uint8(255)),
        f"--size {PX}",
        "[48, 40]): they are padded to squares. Choose --fit stretch",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_however_slices_are_stored_the_number_is_that_of_a_slow_loop(
    tmp_path, monkeypatch, truth, capsys, name
):
    write, options, warning = CASES[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(nulls, "N_RANDOM", 3)
    (tmp_path / f"cases_h7_{len(name)}.py").write_text(MODULE)
    table = pd.DataFrame(
        [
            {column: words.format(i) for column, words in row.items()}
            for row in [write()]
            for i in range(N)
        ]
    )
    table.assign(label=LABELS, patient=table.index).to_csv("manifest.csv", index=False)
    words = (
        f"audit --manifest manifest.csv --predict cases_h7_{len(name)}:predict --out r "
        f"--size 0 --scale raw --places 2 {options}"
    )
    assert command.main(words.split()) == 0
    found = slice_scores(running.read_rows("r/rows.csv"))["delta_drop"].mean()
    assert found == pytest.approx(truth, abs=0.03 if name.startswith("NaN") else 1e-4)
    err = capsys.readouterr().err
    assert warning in err and (warning or "Warning" not in err)
