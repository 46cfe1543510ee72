"""Strangers' slices and classifiers through the command: a number, a refusal, or a warning."""

import importlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

import cv2
import nibabel
import numpy as np
import pandas as pd
import pytest
from test_models import write_onnx

from tumorcf_lib import __main__ as command, config, your_model
from tumorcf_lib.edits import plan
from tumorcf_lib.edits.scores import slice_scores
from tumorcf_lib.your_model import nulls, running, slices

PX, N = 48, 24
LABELS = ["NA", "right"] * (N // 2)  # a class called NA is no missing one
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

def stops(slices):
    calls.append(0)
    if len(calls) > 32:
        raise KeyboardInterrupt
    return predict(slices)

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
    predict: str = "mine_h7:predict"
    options: str = ""
    says: str = ""  # a warning, or the refusal's words
    comes: str = NUMBER


FOUR_D = np.stack([255 - IMAGES, IMAGES], axis=-1)
SEQUENCES = np.stack([255 - IMAGES, IMAGES, IMAGES // 2], axis=-1)
NAN_AROUND = np.where(IMAGES > 0, FLOATS, np.nan)
NOT_DARKEST = np.where(IMAGES > 0, FLOATS - 120 + ROUGH, 0)
CASES = {
    "plain": Case(),
    "changed in place": Case(predict="mine_h7:in_place"),
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
    "hard labels": Case(predict="mine_h7:hard", says="hard labels", comes=WARNED),
    "air": Case(lambda: files(NOT_DARKEST, image="{}.npy"), options="--air 0", comes=WARNED),
    "air not said": Case(
        lambda: files(NOT_DARKEST, image="{}.npy"), says="--scale raw --air 0", comes=WARNED
    ),
    "wrong order": Case(
        options="--classes right,NA", says="Check the order of your cl", comes=NO_VERDICT
    ),
    "another scale": Case(
        predict="mine_h7:of_unit_scale",
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
    "dropout": Case(predict="mine_h7:dropout", says="asked twice.*model.eval", comes=REFUSED),
    "batch statistics": Case(
        predict="mine_h7:batch_statistics", says="another batch: are batch stat", comes=REFUSED
    ),
    "more columns": Case(
        predict="mine_h7:three_columns", says="Name all its classes, .*--classes", comes=REFUSED
    ),
    "a mistake": Case(
        predict="mine_h7:broken",
        says=r"raised TypeError: unsupported .*, line 36\), given float32",
        comes=REFUSED,
    ),
    "no function": Case(predict="mine_h7:number", says="function number .*predict", comes=REFUSED),
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The current folder, with a module of predictors; few networks that know nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(nulls, "N_RANDOM", 3)
    monkeypatch.setattr(nulls, "N_COPIES", 2)
    (tmp_path / "mine_h7.py").write_text(MODULE)
    yield tmp_path
    sys.modules.pop("mine_h7", None)


def run(options="", write=files, predict="mine_h7:predict", out="r"):
    """The command's exit status; options given again win."""
    columns = write()
    table = pd.DataFrame({key: [text.format(i) for i in range(N)] for key, text in columns.items()})
    patients = ["NA", *range(1, N)]
    table.assign(label=LABELS, patient=patients).to_csv("manifest.csv", index=False)
    words = f"audit --manifest manifest.csv --predict {predict} --size 0 --scale raw --places 2"
    sys.argv = ["tumorcf", *words.split(), *(["--out", out] if out else []), *options.split()]
    return command.main(sys.argv[1:])


@pytest.mark.parametrize("name", CASES)
def test_a_case_gives_a_slow_loops_number_a_refusal_with_the_remedy_or_a_warning(
    place, truth, capsys, name
):
    case = CASES[name]
    done = run(case.options + " --check" * (case.comes == WARNED), case.write, case.predict)
    said = capsys.readouterr().err
    assert re.search(case.says, said) and (case.says or "Warning" not in said), said
    assert done == (case.comes == REFUSED) and (place / "r").exists() == (done == 0)
    if case.comes == NUMBER:
        found = slice_scores(running.read_rows("r/rows.csv"))["delta_drop"].mean()
        assert found == pytest.approx(truth, abs=0.03 if name.startswith("NaN") else 1e-4)
    elif case.comes == NO_VERDICT:
        page = (place / "r" / "report.html").read_text()
        assert page.index("cannot be told: correct this first") < page.index('class="warning"')


def test_rows_and_report_are_written_and_named(place, capsys):
    assert run("--title Mine", out=str(place / "r")) == 0
    said = capsys.readouterr().out
    assert "r/report.html" in said and "Classes, in this order: NA, right." in said
    rows = running.read_rows("r/rows.csv")
    assert (rows["edit"] == "sham").sum() == 2 * N
    assert "NA" in set(rows["patient_id"]) and set(rows["label"]) == {"NA", "right"}
    page = (place / "r" / "report.html").read_text()
    assert "<title>Mine</title>" in page and "--predict mine_h7:predict" in page
    assert str(place) not in page  # it may go to others
    told = json.loads((place / "r" / "audit.json").read_text())[0]
    assert len(told["SHA-256 of its module"]) == 64 and told["seed"] == 0
    files = {"rows.csv", "table_scores.csv", "table_edits.csv", "audit.json", "report.html"}
    assert {path.name for path in (place / "r").iterdir()} == files


def test_options_reach_the_audit(place):
    options = "--infills telea --dilations=-32,21 --seed 7 --control-places 1 --no-slices"
    run(f"{options} --batch-size 3 --predict mine_h7:hard")
    for k in (1, 2):  # two classifiers
        rows = running.read_rows(f"r/rows{k}.csv")
        assert set(rows["seed"]) == {7} and "silhouette" not in set(rows["edit"])
        removed = rows[rows["edit"] == "remove"]
        # 48 of 512 pixels: 21 become 2, -32 become -3
        assert set(zip(removed["infill"], removed["dilation_px"], strict=True)) == {
            ("navier_stokes", 0),
            ("telea", 0),
            ("navier_stokes", 2),
            ("navier_stokes", -3),
        }
    page = (place / "r" / "report.html").read_text()
    assert "intensities as stored" in page and "Other infills, other dilations" in page
    assert "What the classifier was shown" not in page
    assert "Side by side" in page and page.count("mine_h7:hard") > 2


def test_an_interrupted_audit_goes_on_and_ends_in_the_same_rows(place, monkeypatch):
    run(out="whole")
    monkeypatch.setattr(running, "CHUNK", 6)
    assert run("--batch-size 8", predict="mine_h7:stops") == 130
    parts = place / "r" / "parts"
    kept = {path.name: path.stat().st_mtime_ns for path in parts.rglob("*.csv")}
    assert 0 < len(kept) < N / 6
    sys.modules["mine_h7"].stops = sys.modules["mine_h7"].predict
    looked, remove = {}, shutil.rmtree

    def look_and_remove(place):
        looked.update({path.name: path.stat().st_mtime_ns for path in parts.rglob("*.csv")})
        remove(place)

    monkeypatch.setattr(running.shutil, "rmtree", look_and_remove)
    run("--batch-size 8", predict="mine_h7:stops")
    assert kept.items() <= looked.items() and not parts.exists()  # not made again
    whole, again = (running.read_rows(f"{name}/rows.csv") for name in ("whole", "r"))
    pd.testing.assert_frame_equal(whole, again)


def test_another_classifier_does_not_go_on_from_the_rows_of_the_first(place):
    module, how = importlib.import_module("mine_h7"), {"edits": [plan.Edit("original")]}
    files()
    (place / "manifest.csv").write_text("image,mask,label,patient\n1.png,m1.png,right,P\n")
    cohort = slices.read_folder(place, classes=("left", "right"))

    def p_left(predict):
        of = {"folder": place, "key": 1, **how}
        rows = running.rows_of(predict, 1, lambda at: slices.prepare(cohort.subset(at)), **of)
        return rows["p_left"][0]

    first, other = (p_left(lambda s, k=k: module.predict(k * s)) for k in (200, -200))
    assert first < 0.1 and other == pytest.approx(1 - first)


def test_without_a_terminal_lines_say_how_far_it_is(monkeypatch, capsys):
    def counted():
        with your_model.counting("audited", 80) as bar:
            for _ in range(4):
                bar.update(20)
        return capsys.readouterr().err

    assert "slices," not in counted()  # nothing before half a minute
    monkeypatch.setattr(your_model, "LOG_SECONDS", 0)
    lines = counted()
    said = re.findall(r"audited (\d+) of 80 slices", lines)
    assert list(dict.fromkeys(said)) == ["0", "20", "40", "60", "80"]
    assert re.search(r"audited 40 of 80 slices, \d\d:\d\d left", lines)


def test_check_measures_nothing(place, capsys):
    assert run("--check") == 0
    said = capsys.readouterr().out
    assert "accuracy with --scale unit" in said and "predicted: 0." in said
    assert [path.name for path in (place / "r").iterdir()] == ["check.html"]
    assert "<img" in (place / "r" / "check.html").read_text()


def test_a_folder_with_rows_of_others_is_left_alone(place, capsys):
    (place / "r").mkdir()
    for path in (place / "r" / "rows.csv", place / "file"):
        path.write_text("mine")
    assert run() == run(out="file") == run(out="") == 1
    said = capsys.readouterr().err
    for words in ("holds rows.csv, which no audit has written", "file, which is a file", "--out"):
        assert words in said
    assert (place / "r" / "rows.csv").read_text() == "mine"


def test_a_number_that_is_none_is_refused(place):
    for option in ("--dilations=5,x", "--size=-5", "--batch-size=0"):
        with pytest.raises(SystemExit):
            run(option)


def test_a_manifest_is_written_for_a_layout(place, capsys):
    (place / "images").mkdir()
    files(image="images/{}.png", mask="images/{}_mask.png")
    words = "manifest . --layout pairs --label glioma --out m.csv"
    assert command.main(words.split()) == 0
    assert f"{N} slices of {N} patients in m.csv" in capsys.readouterr().out
    assert set(pd.read_csv("m.csv")["label"]) == {"glioma"}


def test_adding_the_command_loads_no_heavy_package():
    code = (
        "import argparse, sys; from tumorcf_lib.your_model import audit as a; "
        "a.add_parser(argparse.ArgumentParser().add_subparsers()); "
        "print(sorted({'numpy', 'pandas', 'cv2', 'keras'} & set(sys.modules)))"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, cwd=config.ROOT, check=True)
    assert done.stdout.strip() == "[]"
