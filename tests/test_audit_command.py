"""Claims about the command line's audit, on a tiny folder and modules written by the test."""

import argparse
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib import config
from tumorcf_lib.your_model import audit as audit_command

MODULE = """
import numpy as np

def predict(slices):
    p = 1 / (1 + np.exp(-slices[:, 12:24, 16:32].mean(axis=(1, 2))))
    return np.column_stack([p, 1 - p])

def broken(slices):
    return slices[:, 0, 0] / {}

def logits(slices):
    return np.zeros((len(slices), 2))

def one_column(slices):
    return predict(slices)[:, :1]

def undefined(slices):
    return predict(slices) * np.nan

def nothing(slices):
    predict(slices)

number = 3
"""
HEAD_PX, N = 48, 4


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Four slices, two with a tumor; a module of predictors; the current folder is here."""
    y, x = np.mgrid[:HEAD_PX, :HEAD_PX]
    head = np.where(np.hypot(y - 24, x - 24) < 20, 100.0, 0.0)
    tumor = np.hypot(y - 18, x - 24) < 4
    np.save(tmp_path / "mask.npy", tumor)
    lines = ["image,mask,label,patient"]
    for i in range(N):
        np.save(tmp_path / f"{i}.npy", head + 80 * tumor if i % 2 else head + i)
        lines.append(f"{i}.npy,{'mask.npy' if i % 2 else ''},{'tumor' if i % 2 else 'none'},P{i}")
    (tmp_path / "slices.csv").write_text("\n".join(lines))
    (tmp_path / "my_module_h7.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("my_module_h7", None)
    sys.path[:] = [entry for entry in sys.path if entry != str(tmp_path)]


def run(*arguments, predict="my_module_h7:predict"):
    parser = argparse.ArgumentParser()
    audit_command.add_parser(parser.add_subparsers())
    options = parser.parse_args(
        ["audit", "--manifest", "slices.csv", "--predict", predict, "--out", "report", "--size",
         "48", "--places", "2", *arguments]
    )  # fmt: skip
    return options.action(options)


def test_rows_and_report_are_written_and_named(folder, capsys):
    assert run("--classes", "tumor,none", "--title", "Mine") == 0
    said = capsys.readouterr().out
    assert "report/report.html" in said
    assert "Classes, in this order: tumor, none." in said
    rows = pd.read_csv(folder / "report" / "rows.csv", keep_default_na=False)
    made = rows[rows["reason"] == ""]
    assert made["edit"].value_counts()["sham"] == 2 * 2  # two slices with a tumor, two places
    assert (rows.loc[(rows["label"] == "none") & (rows["edit"] == "remove"), "reason"]
            == "empty mask").all()  # fmt: skip
    page = (folder / "report" / "report.html").read_text()
    assert "<title>Mine</title>" in page
    assert "my_module_h7:predict" in page


def test_options_reach_the_audit(folder):
    run("--scale", "raw", "--size", "0", "--infills", "telea", "--dilations=-64,21", "--seed", "7",
        "--control-places", "1", "--batch-size", "3", "--no-slices")  # fmt: skip
    rows = pd.read_csv(folder / "report" / "rows.csv", keep_default_na=False)
    assert set(rows["seed"]) == {7}
    assert "silhouette" not in set(rows["edit"])
    removed = rows[rows["edit"] == "remove"]
    # 48 of 512 pixels: 21 become 2, -64 become -6
    assert set(zip(removed["infill"], removed["dilation_px"], strict=True)) == {
        ("navier_stokes", 0), ("telea", 0), ("navier_stokes", 2), ("navier_stokes", -6),
    }  # fmt: skip
    page = (folder / "report" / "report.html").read_text()
    assert "intensities as stored" in page
    assert "What the classifier was shown" not in page


@pytest.mark.parametrize(
    ("predict", "words"),
    [("my_module_h7", ["module:function", "my_module:predict"]),
     ("no_such_module_h7:predict", ["no_such_module_h7", "Run the command in the folder"]),
     ("my_module_h7.py:predict", ["without folder and .py", "--predict my_module_h7:predict"]),
     ("code/my_module_h7:predict", ["in its folder", "--predict my_module_h7:predict"]),
     ("my_module_h7:number", ["function number", "predict, broken, logits, one_column"]),
     ("my_module_h7:predictt", ["function predictt"])],
)  # fmt: skip
def test_a_predict_that_cannot_be_found_is_named(folder, predict, words):
    with pytest.raises(audit_command.AuditCommandError) as error:
        run(predict=predict)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("option", "words"),
    [("--dilations=5,x", "expected whole numbers separated by commas, got '5,x'"),
     ("--size=-5", "expected a whole number from 0 up, got '-5'"),
     ("--batch-size=0", "expected a whole number from 1 up, got '0'"),
     ("--places=few", "expected a whole number from 0 up, got 'few'")],
)  # fmt: skip
def test_a_number_that_is_none_is_answered_by_what_was_expected(folder, capsys, option, words):
    with pytest.raises(SystemExit):
        run(option)
    assert words in capsys.readouterr().err


def test_a_report_that_could_not_be_written_is_refused_before_the_work(folder):
    (folder / "report").write_text("a file")
    with pytest.raises(audit_command.AuditCommandError, match="report is a file. Name another"):
        run(predict="no_such_module_h7:predict")


def test_an_error_in_the_readers_function_is_shown_as_such(folder):
    with pytest.raises(audit_command.PredictFailedError) as error:
        run(predict="my_module_h7:broken")
    said = str(error.value)
    assert said.startswith("my_module_h7:broken raised TypeError: unsupported operand")
    assert "(my_module_h7.py, line 9), given float32 slices of shape (" in said


def test_an_error_in_the_readers_module_is_shown_as_such(folder):
    (folder / "bad_module_h7.py").write_text("import os\nimport no_such_package_h7\n")
    with pytest.raises(audit_command.PredictFailedError, match="bad_module_h7 raised ModuleNotFou"):
        run(predict="bad_module_h7:predict")


def test_every_error_for_people_is_listed(folder):
    from tumorcf_lib.edits import audit
    from tumorcf_lib.your_model import slices as folders

    listed = audit_command.errors()
    for name, words in {
        "logits": "apply a softmax", "one_column": "per class of the cohort; got (30, 1)",
        "undefined": "got 60 NaN or infinite", "nothing": "did it forget to return?",
    }.items():  # fmt: skip
        with pytest.raises(audit.PredictionError) as error:
            run(predict=f"my_module_h7:{name}")
        assert words in str(error.value)
    assert issubclass(audit.PredictionError, listed)
    assert issubclass(folders.MaskSizeError, listed)


def test_adding_the_command_loads_no_heavy_package():
    code = (
        "import argparse, sys; from tumorcf_lib.your_model import audit_command as a; "
        "a.add_parser(argparse.ArgumentParser().add_subparsers()); "
        "print(sorted({'numpy', 'pandas', 'cv2', 'keras'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=config.ROOT, check=True
    )
    assert done.stdout.strip() == "[]"
