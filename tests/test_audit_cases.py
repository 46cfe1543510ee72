"""Strangers' slices through the command: each way of storing them gives a slow loop's number."""

import argparse
import sys

import cv2
import nibabel
import numpy as np
import pandas as pd
import pytest

from tumorcf_lib.edits.scores import slice_scores
from tumorcf_lib.your_model import InputError, audit as command, running

PX, N = 48, 24
MODULE = """
import numpy as np
def predict(slices):
    slices = slices if slices.ndim == 3 else slices[..., 1]
    half = slices.shape[2] // 2
    z = 0.35 * (slices[:, :, half:].mean(axis=(1, 2)) - slices[:, :, :half].mean(axis=(1, 2)))
    return 1 / (1 + np.exp(np.stack([2 * z, -2 * z], axis=1)))
"""
LABELS = ["left", "right"] * (N // 2)


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


def volume(folder, name, array, affine=np.eye(4)):
    """Slices as one NIfTI volume; the fourth axis, if any, stays the last."""
    nibabel.save(nibabel.Nifti1Image(np.moveaxis(array, 0, 2), np.array(affine)), folder / name)


def pictures(folder, name, arrays):
    for i, array in enumerate(arrays):
        if name.endswith("npy"):
            np.save(folder / name.format(i), array)
        else:
            cv2.imwrite(str(folder / name.format(i)), array)


def masks_of(ending, change=lambda m: m * np.uint8(255)):
    def write(folder):
        pictures(folder, "{}.png", IMAGES)
        pictures(folder, f"m{{}}{ending}", map(change, MASKS))
        return {"image": "{}.png", "mask": f"m{{}}{ending}"}

    return write


def images_of(ending, stack):
    def write(folder):
        pictures(folder, f"{{}}{ending}", stack)
        pictures(folder, "m{}.png", MASKS * np.uint8(255))
        return {"image": f"{{}}{ending}", "mask": "m{}.png"}

    return write


def volumes(affine=np.eye(4), step=1, channels=None):
    def write(folder):
        stack = IMAGES if channels is None else np.stack([IMAGES // 2, IMAGES], axis=-1)
        volume(folder, "v.nii.gz", stack)
        volume(folder, "m.nii.gz", (MASKS * np.uint8(1))[:, ::step, ::step], affine)
        row = {"image": "v.nii.gz", "mask": "m.nii.gz", "index": "{}"}
        return row if channels is None else row | {"channel": channels}

    return write


FLIPPED = [[-1, 0, 0, PX - 1], [0, -1, 0, PX - 1], [0, 0, 1, 0], [0, 0, 0, 1]]
OUTSIDE = np.where(IMAGES > 0, IMAGES.astype(np.float32), np.nan)
SOFT = ".npy", lambda m: cv2.GaussianBlur(m.astype(np.float32), (0, 0), 4)
SEQUENCES = np.stack([255 - IMAGES, IMAGES, IMAGES // 2], axis=-1)
CASES = {
    "plain": (masks_of(".png"), ""), "a volume": (volumes(), ""),
    "mask of flipped axes": (volumes(FLIPPED, -1), "brought to the slice's grid"),
    "4-D, a channel": (volumes(channels="1"), ""),
    "4-D, all channels": (volumes(channels="all"), "2 channels that differ"),
    "three sequences": (images_of(".tif", SEQUENCES), "3 channels that differ"),
    "JPEG masks": (masks_of(".jpg"), "above half the largest counts"),
    "NaN outside the head": (images_of(".npy", OUTSIDE), ""),
}
REFUSED = {
    "mask of another affine": (volumes(np.diag([-1, -1, 1, 1])), "affine of the mask .* of the sl"),
    "4-D, no channel": (volumes(channels=""), "Add a column channel"),
    "soft masks": (masks_of(*SOFT), "a soft mask"),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "cases_h7.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(nulls, "N_RANDOM", 3)
    yield tmp_path
    sys.modules.pop("cases_h7", None)
    sys.path[:] = [entry for entry in sys.path if entry != str(tmp_path)]


def audited(folder, write, options=""):
    row = write(folder)
    table = pd.DataFrame([{name: words.format(i) for name, words in row.items()}
                          for i in range(N)])
    table.assign(label=LABELS, patient=table.index).to_csv("manifest.csv", index=False)
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    words = ("audit --manifest manifest.csv --predict cases_h7:predict --out r --size 0 "
             f"--scale raw --places 2 {options}")
    chosen = parser.parse_args(words.split())
    chosen.action(chosen)
    return slice_scores(running.read_rows("r/rows.csv"))["delta_drop"].mean()


@pytest.mark.parametrize("name", CASES)
def test_however_slices_are_stored_the_number_is_that_of_a_slow_loop(here, truth, capsys, name):
    write, warning = CASES[name]
    found = audited(here, write)
    assert found == pytest.approx(truth, abs=0.03 if name.startswith("NaN") else 1e-4)
    err = capsys.readouterr().err
    assert warning in err and (warning or "Warning" not in err)


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_give_a_wrong_number_is_refused(here, name):
    write, words = REFUSED[name]
    with pytest.raises(InputError, match=f"line 2: .*{words}"):
        audited(here, write)
    assert not (here / "r").exists()


def test_slices_that_are_not_square_are_padded_or_stretched_and_that_is_said(here, truth, capsys):
    def narrow(folder):
        pictures(folder, "{}.png", IMAGES[:, :, 4:-4])
        pictures(folder, "m{}.png", MASKS[:, :, 4:-4] * np.uint8(255))
        return {"image": "{}.png", "mask": "m{}.png"}

    assert audited(here, narrow, f"--size {PX}") == pytest.approx(truth, abs=1e-4)
    assert "[48, 40]): they are padded to squares; --fit stretch" in capsys.readouterr().err
    assert audited(here, narrow, f"--size {PX} --fit stretch") != pytest.approx(truth, abs=1e-4)
    assert "stretched to squares; --fit pad" in capsys.readouterr().err
