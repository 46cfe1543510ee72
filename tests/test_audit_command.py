"""Strangers' slices and classifiers through the command: a number, a refusal, or a warning."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import pytest
from test_models import write_onnx

from tumorcf_lib import __main__ as command, config
from tumorcf_lib.edits.scores import slice_scores
from tumorcf_lib.your_model import nulls, page, running

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

def batch_norm(slices):
    return predict(20 * (slices - slices.mean()) / (slices.std() + 1e-5) + 10)

def few(slices):
    assert len(slices) <= 8
    return predict(slices)

def standardized(slices):
    low = slices.min(axis=(1, 2), keepdims=True)
    return predict(100 + 0 * slices / (np.ptp(slices, axis=(1, 2), keepdims=True)))

def stops(slices):
    calls.append(0)
    if len(calls) > 32:
        raise KeyboardInterrupt
    return predict(slices)
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
        before, after = scope["predict"](np.stack([image, removed]))[:, int(label == "right")]
        falls.append(before - after)
    return np.mean(falls)


def files(images=IMAGES, masks=MASKS, image="{}.png", mask="m{}.png"):
    """A file each; what the columns of the manifest say of slice {}."""
    for i in range(N):
        for array, name in ((images[i], image), (masks[i] * np.uint8(255), mask)):
            name = name.format(i)
            np.save(name, array) if name.endswith("npy") else cv2.imwrite(name, array)
    return {"image": image, "mask": mask}


def onnx_file(name="model.onnx", given=f"float[2, 1, {PX}, {PX}] x", px=PX):
    half = np.where(np.arange(px) < px // 2, -1, 1) * np.ones((px, 1)) * 0.35 * 2 / px**2
    write_onnx(name, given, weights=half.astype(np.float32))
    return files()


NUMBER, NO_VERDICT, WARNED, REFUSED = "number", "no verdict", "a warning, by --check", "refusal"


class Case(NamedTuple):
    write: object = ()  # a function, or options of files()
    says: str = ""  # a warning, or the refusal's words
    comes: str = NUMBER
    predict: str = "mine_h7:predict"
    options: str = ""


BLACK, thrice = IMAGES.copy(), [0, 0, 0, *range(3, N)]
BLACK[3] = 0
COPIES = dict(images=IMAGES[thrice], masks=MASKS[thrice])
SEQUENCES = np.stack([255 - IMAGES, IMAGES, IMAGES // 2], axis=-1)
NOT_DARKEST = dict(images=np.where(IMAGES > 0, FLOATS - 120 + ROUGH, 0), image="{}.npy")
OBLONG = dict(images=IMAGES[:, :, 4:-4], masks=MASKS[:, :, 4:-4])
PADDED = r"\[48, 40\]\): --fit pad makes them so"
OTHER_SCALE = "With --scale unit the accuracy is 100% .*, with raw 50%"
UNSURE = r"With --scale raw the accuracy .*, with zscore \d+% and 0\.5"
OTHER_BATCH = "another batch: are batch stat"
CASES = {
    "PNG files, changed in place": Case(predict="mine_h7:in_place"),
    "sequences": Case(dict(images=SEQUENCES, image="{}.tif"), "3 channels that differ"),
    "JPEG masks": Case(dict(mask="m{}.jpg"), "above half the largest counts"),
    "not square": Case(OBLONG, PADDED, options=f"--size {PX}"),
    "ONNX, two slices a call": Case(onnx_file, predict="model.onnx"),
    "hard labels": Case((), "hard labels", WARNED, "mine_h7:hard"),
    "copies": Case(COPIES, "2 of 24 slices have the", WARNED),
    "a black slice": Case(dict(images=BLACK), "", WARNED),
    "at most eight slices a call": Case((), "another of .*--batch-size", REFUSED, "mine_h7:few"),
    "eight slices a call": Case(predict="mine_h7:few", options="--batch-size 8"),
    "a NaN of an empty slice": Case((), "4 of which are empty", REFUSED, "mine_h7:standardized"),
    "air": Case(NOT_DARKEST, "", WARNED, options="--air 0"),
    "air not said": Case(NOT_DARKEST, "--scale raw --air 0", WARNED),
    "wrong order": Case((), "Check the order of your", NO_VERDICT, options="--classes right,NA"),
    "another scale": Case((), OTHER_SCALE, WARNED, "mine_h7:of_unit_scale"),
    "a scale that leaves it unsure": Case((), UNSURE, WARNED, options="--scale zscore"),
    "masks beside the head": Case(dict(masks=OUTSIDE), "lie mostly outside the head", WARNED),
    "one mask for all": Case(dict(masks=MASKS[[0] * N]), "24 slices .* have 1 diff", WARNED),
    "masks of a pixel": Case(dict(masks=TINY), "24 of 24 masks", NO_VERDICT, options="--size 12"),
    "inverted masks": Case(dict(masks=~MASKS), "cover 9.% .*are they inverted", REFUSED),
    "dropout": Case((), "asked twice.*model.eval", REFUSED, "mine_h7:dropout"),
    "batch statistics": Case((), OTHER_BATCH, REFUSED, "mine_h7:batch_statistics"),
    "those of z-scores": Case((), OTHER_BATCH, REFUSED, "mine_h7:batch_norm", "--scale zscore"),
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The current folder, with a module of predictors; few networks that know nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(nulls, "N_RANDOM", 3)
    (tmp_path / "mine_h7.py").write_text(MODULE)
    yield tmp_path
    sys.modules.pop("mine_h7", None)


def typed(options="", write=(), predict="mine_h7:predict", out="r", size="--size 0"):
    """What is typed, once the files are written; options given again win."""
    columns = write() if callable(write) else files(**dict(write))
    table = pd.DataFrame({key: [text.format(i) for i in range(N)] for key, text in columns.items()})
    patients = ["NA", *range(1, N)]
    table.assign(label=LABELS, patient=patients).to_csv("manifest.csv", index=False)
    words = f"audit --manifest manifest.csv --predict {predict} {size} --scale raw --places 2"
    return [*words.split(), "--out", out, *options.split()]


def run(*options, **other):
    """The command's exit status."""
    sys.argv = ["tumorcf", *typed(*options, **other)]
    return command.main(sys.argv[1:])


@pytest.mark.parametrize("name", CASES)
def test_a_case_gives_a_slow_loops_number_a_refusal_or_a_warning(place, truth, capsys, name):
    case = CASES[name]
    done = run(case.options + " --check" * (case.comes == WARNED), case.write, case.predict)
    out, said = capsys.readouterr()
    assert re.search(case.says, said) and (case.says or "Warning" not in said), said
    assert done == (case.comes == REFUSED) and not (done and list(place.glob("r/*.html")))
    if case.comes == NUMBER:
        found = slice_scores(running.read_rows("r/rows.csv"))["delta_drop"].mean()
        assert found == pytest.approx(truth, abs=1e-4)
    elif case.comes == NO_VERDICT:
        text = Path("r/report.html").read_text()
        assert text.index("cannot be told: correct this first") < text.index('class="warning"')
    elif case.comes == WARNED:  # nothing is measured
        assert "answers taken as softmax" in out and os.listdir("r") == ["check.html"]
        assert "check.html." in out and "beside" not in out
        assert "<img" in Path("r/check.html").read_text()


def test_rows_and_report_are_written_and_named_with_what_was_typed_but_no_folders(place, capsys):
    assert run(f"--title Mine --manifest={place}/manifest.csv", out=f"{place}/r") == 0
    said = capsys.readouterr().out
    assert "r/report.html" in said and "Classes, in this order: NA, right." in said
    rows, text = running.read_rows("r/rows.csv"), Path("r/report.html").read_text()
    assert (rows["edit"] == "sham").sum() == 2 * N
    assert "NA" in set(rows["patient_id"]) and set(rows["label"]) == {"NA", "right"}
    assert "<title>Mine</title>" in text and "--predict mine_h7:predict" in text
    assert "--out r" in text and "--manifest=manifest.csv" in text
    assert str(place) not in text  # it may go to others
    told = json.loads(Path("r/audit.json").read_text())[0]
    assert len(told["SHA-256"]) == 64 and told["seed"] == 0
    files = "audit.json report.html rows.csv table_edits.csv table_scores.csv"
    assert sorted(os.listdir("r")) == files.split()


def test_options_reach_the_audit(place):
    options = "--infills telea --dilations=-32,21 --seed 7 --control-places 1 --no-slices"
    run(f"{options} --batch-size 3 --predict mine_h7:hard")
    for k in (1, 2):  # two classifiers
        rows = running.read_rows(f"r/rows{k}.csv")
        assert set(rows["seed"]) == {7} and "silhouette" not in set(rows["edit"])
        removed = rows[rows["edit"] == "remove"].groupby("infill")["dilation_px"].agg(set)
        assert removed.to_dict() == {"navier_stokes": {0, 2, -3}, "telea": {0}}  # 48 of 512 px
    text = Path("r/report.html").read_text()
    assert "intensities as stored" in text and "Other infills, other dilations" in text
    assert "What the classifier was shown" not in text and text.count("mine_h7:hard") > 2


@pytest.mark.parametrize("changed", ["nothing", "classifier", "masks"])
def test_an_interrupted_audit_goes_on_unless_answers_or_files_changed(place, monkeypatch, changed):
    monkeypatch.setattr(running, "CHUNK", 6)
    how = {"predict": "mine_h7:stops", "write": dict(masks=MASKS)}
    assert run("--batch-size 8", **how) == 130

    def written():
        parts = (place / "r" / running.UNFINISHED).rglob("*.csv")
        return {path.name: path.stat().st_mtime_ns for path in parts}

    kept, looked, remove, module = written(), {}, shutil.rmtree, sys.modules["mine_h7"]
    assert 0 < len(kept) < N / 6
    module.stops = lambda s: module.predict(100 - s if changed == "classifier" else s)
    how["write"] = dict(masks=MASKS[:, ::-1] if changed == "masks" else MASKS)  # of equal sizes

    def remove_and_look(at, **options):
        looked.clear()
        looked.update(written())  # at last the parts of the finished audit
        remove(at, **options)

    monkeypatch.setattr(running.shutil, "rmtree", remove_and_look)
    run("--batch-size 8", **how)
    assert not written() and (kept.items() <= looked.items()) == (changed == "nothing")
    monkeypatch.setattr(running, "CHUNK", 32)
    run(out="whole", **how)
    assert Path("whole/rows.csv").read_bytes() == Path("r/rows.csv").read_bytes()


def test_files_of_several_sizes_are_each_shown_with_slices_of_their_own_size(place, monkeypatch):
    sizes, draw = [], page.examples

    def examples(own, *of):
        sizes.append(own.masks.shape[1:])
        return draw(own, *of)

    monkeypatch.setattr(page, "examples", examples)
    for px in (PX, PX // 2):
        onnx_file(f"of_{px}.onnx", f"float[n, {px}, {px}, 1] x", px)
    assert run(f"--predict of_{PX // 2}.onnx", predict=f"of_{PX}.onnx", size="") == 0
    assert sizes == [(PX, PX), (PX // 2, PX // 2)]


def test_a_folder_with_rows_of_others_is_left_alone(place, capsys):
    (place / "r").mkdir()
    for path in (place / "r" / "rows.csv", place / "file"):
        path.write_text("mine")
    assert run() == run(out="file") == run(out="file/r") == run(out="") == 1
    said = capsys.readouterr().err
    assert "holds rows.csv, which no audit has written" in said
    assert said.count("can be made and written to") == 2 and "got none. Name it by --out" in said
    assert (place / "r" / "rows.csv").read_text() == "mine"


def test_a_file_is_audited_without_keras_and_other_heavy_packages(place):
    code = (
        "import sys; from tumorcf_lib.__main__ import main; main(sys.argv[1:]); "
        "heavy = 'keras tensorflow torch jax sklearn seaborn statsmodels nbformat'.split(); "
        "print(set(heavy) & set(sys.modules))"
    )
    words = [sys.executable, "-c", code, *typed(write=onnx_file, predict="model.onnx")]
    where = {"env": os.environ | {"PYTHONPATH": str(config.ROOT)}}
    done = subprocess.run(words, capture_output=True, text=True, check=False, **where)
    assert done.stdout.endswith("set()\n") and os.path.isfile("r/report.html"), done.stderr
