"""Strangers' slices and classifiers through the command: a number, a refusal, or a warning."""

import re
import sys
from dataclasses import dataclass

import cv2
import nibabel
import numpy as np
import pandas as pd
import pytest
from test_models import write_onnx

from tumorcf_lib import __main__ as command
from tumorcf_lib.edits.scores import slice_scores
from tumorcf_lib.your_model import nulls, running

PX, N = 48, 24
LABELS = ["left", "right"] * (N // 2)
MODULE = """
import numpy as np

calls = []

def predict(slices):
    slices = slices if slices.ndim == 3 else slices[..., 1]
    half = slices.shape[2] // 2
    z = 0.35 * (slices[:, :, half:].mean(axis=(1, 2)) - slices[:, :, :half].mean(axis=(1, 2)))
    return 1 / (1 + np.exp(np.stack([2 * z, -2 * z], axis=1)))

def in_place(slices):
    slices -= 100
    slices += 100
    return predict(slices)

def hard(slices):
    return np.eye(2)[predict(slices).argmax(axis=1)]

def of_unit_scale(slices):
    return predict(255 * slices if abs(slices).max() <= 1 else 0 * slices + 1)

def dropout(slices):
    calls.append(0)
    return predict(slices * (1 + 0.3 * (len(calls) % 2)))

def batch_statistics(slices):
    p = predict(slices)[:, 1]
    p = 1 / (1 + np.exp((p.mean() - p) / (p.std() + 1e-5)))
    return np.column_stack([1 - p, p])

def three_columns(slices):
    return predict(slices)[:, [0, 1, 1]]

def broken(slices):
    return slices[:, 0, 0] / {}

number = 3
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
FLOATS = IMAGES.astype(np.float32)
ROUGH = 20 * np.sin(np.arange(PX * PX).reshape(PX, PX))
OUTSIDE, TINY = np.zeros((2, *MASKS.shape), bool)
OUTSIDE[:, 1:4, 20:28], TINY[:, 20, 21] = True, True


@pytest.fixture(scope="module")
def truth():
    """Delta-Drop by a loop of its own: OpenCV's Navier-Stokes on the stored pixels."""
    scope, falls = {}, []
    exec(MODULE, scope)
    for image, mask, label in zip(FLOATS, MASKS, LABELS, strict=True):
        removed = cv2.inpaint(image, mask.astype(np.uint8), 3, cv2.INPAINT_NS)
        p = scope["predict"](np.stack([image, removed]))[:, int(label == "right")]
        falls.append(p[0] - p[1])
    return np.mean(falls)


def files(images=IMAGES, masks=MASKS, image="{}.png", mask="m{}.png"):
    """A file each; what the columns of the manifest say of slice {}."""
    for i in range(N):
        for array, name in ((images[i], image), (masks[i] * np.uint8(255), mask)):
            name = name.format(i)
            np.save(name, array) if name.endswith("npy") else cv2.imwrite(name, array)
    return {"image": image, "mask": mask}


def soft_masks():
    for i in range(N):
        np.save(f"m{i}.npy", cv2.GaussianBlur(MASKS[i] * 1.0, (0, 0), 3))
    return files() | {"mask": "m{}.npy"}


def volumes(images=IMAGES, **columns):
    """One volume of all slices; its mask stored the other way round, as the affines say."""
    flipped = np.array([[-1, 0, 0, PX - 1], [0, -1, 0, PX - 1], [0, 0, 1, 0], [0, 0, 0, 1]])
    for name, array, affine in (
        ("v", images, np.eye(4)),
        ("m", MASKS[:, ::-1, ::-1] * np.uint8(1), flipped),
    ):
        nibabel.save(nibabel.Nifti1Image(np.moveaxis(array, 0, 2), affine), f"{name}.nii.gz")
    return {"image": "v.nii.gz", "mask": "m.nii.gz", "index": "{}"} | columns


def onnx_file():
    half = np.where(np.arange(PX) < PX // 2, -1, 1) * np.ones((PX, 1)) * 0.35 * 2 / PX**2
    write_onnx("model.onnx", [2, 1, PX, PX], weights=half.astype(np.float32))
    return files()


NUMBER, NO_VERDICT, WARNED, REFUSED = "number", "no verdict", "a warning, by --check", "refusal"


@dataclass
class Case:
    """What is written and typed, and what comes of it."""

    write: object = files
    predict: str = "{module}:predict"
    options: str = ""
    says: str = ""  # a warning, or the refusal's words
    comes: str = NUMBER


FOUR_D = np.stack([255 - IMAGES, IMAGES], axis=-1)
SEQUENCES = np.stack([255 - IMAGES, IMAGES, IMAGES // 2], axis=-1)
NAN_AROUND = np.where(IMAGES > 0, FLOATS, np.nan)
NOT_DARKEST = np.where(IMAGES > 0, FLOATS - 120 + ROUGH, 0)
CASES = {
    "plain": Case(),
    "changed in place": Case(predict="{module}:in_place"),
    "a volume of channels": Case(lambda: volumes(FOUR_D), says="column channel", comes=REFUSED),
    "one of them, its mask flipped": Case(
        lambda: volumes(FOUR_D, channel="1"), says="brought to the slice's grid"
    ),
    "sequences": Case(lambda: files(SEQUENCES, image="{}.tif"), says="3 channels that differ"),
    "JPEG masks": Case(lambda: files(mask="m{}.jpg"), says="above half the largest counts"),
    "NaN outside": Case(lambda: files(NAN_AROUND, image="{}.npy"), says="NaN is taken as air"),
    "not square": Case(
        lambda: files(IMAGES[:, :, 4:-4], MASKS[:, :, 4:-4]),
        options=f"--size {PX}",
        says=r"\[48, 40\]\): they are padded to squares. Choose --fit stretch",
    ),
    "ONNX, two slices a call": Case(onnx_file, "model.onnx"),
    "hard labels": Case(predict="{module}:hard", says="hard labels", comes=WARNED),
    "air": Case(lambda: files(NOT_DARKEST, image="{}.npy"), options="--air 0", comes=WARNED),
    "air not said": Case(
        lambda: files(NOT_DARKEST, image="{}.npy"), says="--scale raw --air 0", comes=WARNED
    ),
    "wrong order": Case(
        options="--classes right,left", says="Check the order of your cl", comes=NO_VERDICT
    ),
    "another scale": Case(
        predict="{module}:of_unit_scale",
        says="With --scale unit the accuracy is 100%, with raw 50%",
        comes=WARNED,
    ),
    "a scale that leaves it unsure": Case(
        options="--scale zscore",
        says=r"With --scale raw the accuracy is as high .* with zscore 0\.5",
        comes=WARNED,
    ),
    "masks beside the head": Case(
        lambda: files(masks=OUTSIDE), says="lie mostly outside the head", comes=WARNED
    ),
    "masks of a pixel": Case(
        lambda: files(masks=TINY),
        options="--size 12",
        says="24 masks vanish in the resize",
        comes=NO_VERDICT,
    ),
    "inverted masks": Case(
        lambda: files(masks=~MASKS), says="cover 9.% .*are they inverted", comes=REFUSED
    ),
    "soft masks": Case(soft_masks, says="line 2: .*a soft mask.*>0.5", comes=REFUSED),
    "dropout": Case(
        predict="{module}:dropout", says="when asked twice .*model.eval", comes=REFUSED
    ),
    "batch statistics": Case(
        predict="{module}:batch_statistics", says="another batch .*batch stat", comes=REFUSED
    ),
    "more columns": Case(
        predict="{module}:three_columns", says="Name all its classes, .*--classes", comes=REFUSED
    ),
    "a mistake": Case(
        predict="{module}:broken",
        says=r"raised TypeError: unsupported .*, line 36\), given float32",
        comes=REFUSED,
    ),
    "no function": Case(predict="{module}:number", says="function number .*predict", comes=REFUSED),
}


@pytest.mark.parametrize("name", CASES)
def test_a_case_gives_a_slow_loops_number_a_refusal_with_the_remedy_or_a_warning(
    tmp_path, monkeypatch, truth, capsys, name
):
    case, module = CASES[name], f"case_{list(CASES).index(name)}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(nulls, "N_RANDOM", 3)
    monkeypatch.setattr(nulls, "N_COPIES", 2)
    (tmp_path / f"{module}.py").write_text(MODULE)
    columns = case.write()
    table = pd.DataFrame({key: [text.format(i) for i in range(N)] for key, text in columns.items()})
    table.assign(label=LABELS, patient=table.index).to_csv("manifest.csv", index=False)
    predict = case.predict.format(module=module)
    words = f"audit --manifest manifest.csv --predict {predict} --out r"
    words += " --size 0 --scale raw --places 2" + " --check" * (case.comes == WARNED)
    done = command.main([*words.split(), *case.options.split()])
    sys.modules.pop(module, None)
    said = capsys.readouterr().err
    assert re.search(case.says, said) and (case.says or "Warning" not in said), said
    assert done == (case.comes == REFUSED) and (tmp_path / "r").exists() == (done == 0)
    if case.comes == NUMBER:
        found = slice_scores(running.read_rows("r/rows.csv"))["delta_drop"].mean()
        assert found == pytest.approx(truth, abs=0.03 if name.startswith("NaN") else 1e-4)
    elif case.comes == NO_VERDICT:
        page = (tmp_path / "r" / "report.html").read_text()
        assert page.index("cannot be told: correct this first") < page.index('class="warning"')
