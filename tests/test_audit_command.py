"""Claims about the command line's audit, on a tiny folder and a module written by the test."""

import argparse
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib import config, your_model
from tumorcf_lib.edits import plan
from tumorcf_lib.your_model import InputError, audit as audit_command, nulls, running, slices

MODULE = """
import numpy as np

calls = []

def predict(slices):
    p = 1 / (1 + np.exp(-(slices[:, 14:23, 20:29].mean(axis=(1, 2)) - 130) / 15))
    return np.column_stack([p, 1 - p])

def swapped(slices):
    return predict(slices)[:, ::-1]

def stops(slices):
    calls.append(0)
    if len(calls) > 20:
        raise KeyboardInterrupt
    return predict(slices)
"""
PX, N = 48, 40


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Slices, half of them with a tumor; a module of predictors; the current folder is here."""
    y, x = np.mgrid[:PX, :PX]
    head = np.where(np.hypot(y - 24, x - 24) < 20, 100.0, 0.0)
    tumor = np.hypot(y - 18, x - 24) < 4
    np.save(tmp_path / "mask.npy", tumor)
    lines = ["image,mask,label,patient"]
    for i in range(N):
        np.save(tmp_path / f"{i}.npy", head + 100 * tumor if i % 2 else head + i / N)
        mask, label = ("mask.npy", "tumor") if i % 2 else ("", "NA")
        lines.append(f"{i}.npy,{mask},{label},{'NA' if i == 1 else f'P{i}'}")
    (tmp_path / "slices.csv").write_text("\n".join(lines))
    (tmp_path / "my_module_h7.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(nulls, "N_RANDOM", 5)
    monkeypatch.setattr(sys, "argv", ["tumorcf"])
    yield tmp_path
    sys.modules.pop("my_module_h7", None)


def run(*arguments, predict="my_module_h7:predict", out="report"):
    parser = argparse.ArgumentParser()
    audit_command.add_parser(parser.add_subparsers())
    words = f"audit --manifest slices.csv --predict {predict} --size 48 --scale raw"
    words += " --classes tumor,NA --places 2" + (f" --out {out}" if out else "")
    sys.argv[1:] = [*words.split(), *arguments]
    options = parser.parse_args(sys.argv[1:])
    return options.action(options)


def test_rows_and_report_are_written_and_named(folder, capsys):
    assert run("--title", "Mine", "--out", str(folder / "report")) == 0
    said = capsys.readouterr().out
    assert "report/report.html" in said and "Classes, in this order: tumor, NA." in said
    rows = running.read_rows(folder / "report" / "rows.csv")
    made = rows[rows["reason"] == ""]
    assert made["edit"].value_counts()["sham"] == N  # half the slices, two places each
    without = rows[(rows["label"] == "NA") & (rows["edit"] == "remove")]
    assert (without["reason"] == "empty mask").all() and "NA" in set(rows["patient_id"])
    page = (folder / "report" / "report.html").read_text()
    assert "<title>Mine</title>" in page and "--predict my_module_h7:predict" in page
    assert str(folder) not in page  # it may go to others
    assert not (folder / "report" / "parts").exists()
    told = json.loads((folder / "report" / "audit.json").read_text())[0]
    assert len(told["SHA-256 of its module"]) == 64 and told["seed"] == 0


def test_options_reach_the_audit(folder):
    options = "--size 0 --infills telea --dilations=-32,21 --seed 7 --control-places 1 --no-slices"
    run(*options.split(), "--batch-size", "3")
    rows = running.read_rows(folder / "report" / "rows.csv")
    assert set(rows["seed"]) == {7} and "silhouette" not in set(rows["edit"])
    removed = rows[rows["edit"] == "remove"]
    # 48 of 512 pixels: 21 become 2, -32 become -3
    assert set(zip(removed["infill"], removed["dilation_px"], strict=True)) == {
        ("navier_stokes", 0),
        ("telea", 0),
        ("navier_stokes", 2),
        ("navier_stokes", -3),
    }
    page = (folder / "report" / "report.html").read_text()
    assert "intensities as stored" in page and "Other infills, other dilations" in page
    assert "What the classifier was shown" not in page


def test_an_interrupted_audit_goes_on_and_ends_in_the_same_rows(folder, monkeypatch):
    run(out="whole")
    monkeypatch.setattr(running, "CHUNK", 8)
    with pytest.raises(KeyboardInterrupt):
        run("--batch-size", "8", predict="my_module_h7:stops")
    parts = folder / "report" / "parts" / "0"
    kept = {path.name: path.stat().st_mtime_ns for path in parts.glob("*.csv")}
    assert 0 < len(kept) < N / 8
    sys.modules["my_module_h7"].stops = sys.modules["my_module_h7"].predict
    looked, remove = {}, shutil.rmtree

    def look_and_remove(place):
        looked.update({path.name: path.stat().st_mtime_ns for path in parts.glob("*.csv")})
        remove(place)

    monkeypatch.setattr(running.shutil, "rmtree", look_and_remove)
    run("--batch-size", "8", predict="my_module_h7:stops")
    assert kept.items() <= looked.items()  # not made again
    whole, again = (running.read_rows(folder / name / "rows.csv") for name in ("whole", "report"))
    pd.testing.assert_frame_equal(whole, again)


def test_another_classifier_does_not_go_on_from_the_rows_of_the_first(folder):
    run("--check", out=None)
    module, cohort = sys.modules["my_module_h7"], slices.read_folder("slices.csv")

    def rows(predict):
        return running.rows_of(
            predict,
            8,
            lambda at: slices.prepare(cohort.subset(at), size_px=None, scale="raw"),
            folder=folder / "parts",
            key={"key": 1},
            edits=[plan.Edit("original")],
        )

    first = rows(module.predict)
    assert (rows(module.swapped)["p_NA"] - first["p_NA"]).abs().max() > 0.5


def test_without_a_terminal_lines_say_how_far_it_is(monkeypatch, capsys):
    def counted():
        with your_model.counting("audited", 80) as bar:
            for _ in range(4):
                bar.update(20)
        return capsys.readouterr().err

    assert "slices," not in counted()  # nothing before half a minute
    monkeypatch.setattr(your_model, "LOG_SECONDS", 0)
    lines = counted()
    assert re.findall(r"audited (\d+) of 80 slices", lines)[-4:] == ["20", "40", "60", "80"]
    assert re.search(r"audited 40 of 80 slices, \d\d:\d\d left", lines)


def test_two_classifiers_stand_side_by_side(folder):
    run("--predict", "my_module_h7:swapped")
    names = {path.name for path in (folder / "report").iterdir()}
    assert {"rows1.csv", "rows2.csv", "report.html"} <= names
    page = (folder / "report" / "report.html").read_text()
    assert "Side by side" in page and page.count("my_module_h7:swapped") > 2


def test_check_measures_nothing(folder, capsys):
    assert run("--check") == 0
    said = capsys.readouterr().out
    assert "accuracy with --scale unit" in said and "predicted: 0." in said
    assert [path.name for path in (folder / "report").iterdir()] == ["check.html"]
    assert "<img" in (folder / "report" / "check.html").read_text()


def test_a_folder_with_rows_of_others_is_left_alone(folder):
    (folder / "report").mkdir()
    (folder / "report" / "rows.csv").write_text("mine")
    with pytest.raises(InputError, match="holds rows.csv, which no audit has written"):
        run()
    assert (folder / "report" / "rows.csv").read_text() == "mine"
    (folder / "file").write_text("a file")
    with pytest.raises(InputError, match="file is a file. Name another"):
        run(out="file")


@pytest.mark.parametrize("option", ["--dilations=5,x", "--size=-5", "--batch-size=0"])
def test_a_number_that_is_none_is_refused(folder, option):
    with pytest.raises(SystemExit):
        run(option)


def test_a_manifest_is_written_for_a_layout(folder, capsys):
    parser = argparse.ArgumentParser()
    audit_command.add_parser(parser.add_subparsers())
    options = parser.parse_args("manifest . --layout pairs --label glioma --out m.csv".split())
    assert options.action(options) == 0
    assert f"{N} slices of {N} patients in m.csv" in capsys.readouterr().out
    assert set(pd.read_csv("m.csv")["label"]) == {"glioma"}


def test_adding_the_command_loads_no_heavy_package():
    code = (
        "import argparse, sys; from tumorcf_lib.your_model import audit as a; "
        "a.add_parser(argparse.ArgumentParser().add_subparsers()); "
        "print(sorted({'numpy', 'pandas', 'cv2', 'keras'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=config.ROOT, check=True
    )
    assert done.stdout.strip() == "[]"
