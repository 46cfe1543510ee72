"""Claims about the command line's audit, on a tiny folder and modules written by the test."""

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
import sys
import numpy as np

calls = []

def predict(slices):
    p = 1 / (1 + np.exp(-(slices[:, 14:23, 20:29].mean(axis=(1, 2)) - 130) / 15))
    return np.column_stack([p, 1 - p])

def swapped(slices):
    return predict(slices)[:, ::-1]

def broken(slices):
    return slices[:, 0, 0] / {}

def one_column(slices):
    return predict(slices)[:, [0, 1, 1]]

def dropout(slices):
    calls.append(0)
    return predict(slices * (1 + 0.3 * (len(calls) % 2)))

def batch(slices):
    z = slices[:, 14:23, 20:29].mean(axis=(1, 2))
    p = 1 / (1 + np.exp((z.mean() - z) / (z.std() + 1e-5)))
    return np.column_stack([p, 1 - p])

def unit(slices):
    gap = slices[:, 14:23, 20:29].mean(axis=(1, 2)) - slices[:, 30, 30]
    p = 0.5 + np.clip(gap, 0.02, 0.4) - 0.1 if abs(slices).max() <= 1 else 0.6 + 0 * gap
    return np.column_stack([p, 1 - p])

def faint(slices):
    gap = slices[:, 14:23, 20:29].mean(axis=(1, 2)) - slices[:, 30, 30]
    p = 1 / (1 + np.exp(-(gap - 0.3) / 20))
    return np.column_stack([p, 1 - p])

def spot(slices):
    gap = slices.max(axis=(1, 2)) - np.median(slices, axis=(1, 2))
    p = (gap > 50) * 0.8 + 0.1
    return np.column_stack([p, 1 - p])

def stops(slices):
    calls.append(0)
    if len(calls) > 40:
        raise KeyboardInterrupt
    return predict(slices)

number = 3
"""
PX, N = 48, 80


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
        patient = "NA" if i == 1 else f"P{i}"
        lines.append(
            f"{i}.npy,{'mask.npy' if i % 2 else ''},{'tumor' if i % 2 else 'NA'},{patient}"
        )
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
    assert run("--title", "Mine") == 0
    said = capsys.readouterr().out
    assert "report/report.html" in said
    assert "Classes, in this order: tumor, NA." in said
    rows = running.read_rows(folder / "report" / "rows.csv")
    made = rows[rows["reason"] == ""]
    assert made["edit"].value_counts()["sham"] == N  # half the slices, two places each
    assert (
        rows.loc[(rows["label"] == "NA") & (rows["edit"] == "remove"), "reason"] == "empty mask"
    ).all()
    assert "NA" in set(rows["patient_id"])
    page = (folder / "report" / "report.html").read_text()
    assert "<title>Mine</title>" in page
    assert "--predict my_module_h7:predict" in page
    assert not (folder / "report" / "parts").exists()
    told = json.loads((folder / "report" / "audit.json").read_text())[0]
    assert len(told["SHA-256 of its module"]) == 64 and told["seed"] == 0


def test_options_reach_the_audit(folder):
    options = "--size 0 --infills telea --dilations=-32,21 --seed 7 --control-places 1 --no-slices"
    run(*options.split(), "--batch-size", "3")
    rows = running.read_rows(folder / "report" / "rows.csv")
    assert set(rows["seed"]) == {7}
    assert "silhouette" not in set(rows["edit"])
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
    sys.modules["my_module_h7"].calls[:] = [0] * -1000
    monkeypatch.setattr(sys.modules["my_module_h7"], "stops", sys.modules["my_module_h7"].predict)
    looked, remove = {}, shutil.rmtree
    monkeypatch.setattr(
        running.shutil,
        "rmtree",
        lambda place: (
            looked.update({path.name: path.stat().st_mtime_ns for path in parts.glob("*.csv")}),
            remove(place),
        ),
    )
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
            n_places=1,
            seed=0,
            batch_size=8,
            edits=[plan.Edit("original")],
        )

    first = rows(module.predict)
    assert (rows(module.swapped)["p_NA"] - first["p_NA"]).abs().max() > 0.5


def test_without_a_terminal_lines_say_how_far_it_is(folder, monkeypatch, capsys):
    monkeypatch.setattr(running, "CHUNK", 20)
    run(out="quick")
    assert "slices," not in capsys.readouterr().err  # nothing before half a minute
    monkeypatch.setattr(your_model, "LOG_SECONDS", 0)
    run()
    lines = capsys.readouterr().err.splitlines()
    said = [line.partition(",")[0] for line in lines if line.startswith("audited")]
    wanted = [f"audited {n} of {N} slices" for n in (20, 40, 60, 80)]
    assert list(dict.fromkeys(said))[1:5] == wanted  # a slow machine says a line again
    assert re.search(r"audited 40 of 80 slices, \d\d:\d\d left", "\n".join(lines))


def test_two_classifiers_stand_side_by_side(folder):
    run("--predict", "my_module_h7:swapped")
    names = {path.name for path in (folder / "report").iterdir()}
    assert {"rows1.csv", "rows2.csv", "report.html"} <= names
    page = (folder / "report" / "report.html").read_text()
    assert "Side by side" in page and page.count("my_module_h7:swapped") > 2


def test_check_measures_nothing(folder, capsys):
    assert run("--check", out=None) == 0
    said = capsys.readouterr()
    assert "accuracy with --scale unit" in said.out and "predicted: 0." in said.out
    assert run("--check") == 0
    assert [path.name for path in (folder / "report").iterdir()] == ["check.html"]
    assert "<img" in (folder / "report" / "check.html").read_text()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dropout", "differently when asked twice .*model.eval"),
        ("batch", "differently in another batch .*batch statistics"),
        ("broken", r"raised TypeError: unsupported .*my_module_h7.py, line 15\), given float32"),
        ("one_column", r"got shapes \(16, 3\). Name all its classes"),
        ("number", "function number .*predict, swapped"),
    ],
)
def test_a_classifier_that_cannot_be_audited_is_refused_before_the_work(folder, name, words):
    with pytest.raises(InputError, match=words):
        run(predict=f"my_module_h7:{name}")
    assert not (folder / "report").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("swapped", "Check the order of your classifier's outputs"),
        ("unit", "With --scale unit the accuracy is 100%, with raw 50%"),
    ],
)
def test_a_wrong_order_or_scale_is_said_at_once_and_forbids_a_verdict(folder, capsys, name, words):
    run(predict=f"my_module_h7:{name}")
    assert f"Warning: {words}" in capsys.readouterr().err
    page = (folder / "report" / "report.html").read_text().replace("&#39;", "'")
    assert f"cannot be told: correct this first: {words}" in page
    assert page.index("cannot be told") < page.index('class="warning"') < page.index("By class")


def test_a_scale_on_which_the_classifier_is_far_surer_is_named(folder, capsys):
    run("--scale", "zscore", predict="my_module_h7:faint")
    said = capsys.readouterr().err
    assert re.search(r"With --scale raw the accuracy is as high .* with zscore 0\.5", said), said
    run(predict="my_module_h7:faint", out="report2")
    assert "the accuracy is as high" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (
            lambda m: np.roll(m, -18, axis=0) & (np.arange(PX)[:, None] < 4),
            (),
            "lie mostly outside the head",
        ),
        (
            lambda m: m & (np.add.outer(np.arange(PX), np.arange(PX)) == 42),
            ("--size", "12"),
            "masks vanish in the resize",
        ),
    ],
    ids=["outside", "vanished"],
)
def test_masks_that_cannot_be_right_are_said(folder, capsys, change, options, words):
    np.save(folder / "mask.npy", change(np.load(folder / "mask.npy")))
    run(*options, predict="my_module_h7:spot")
    assert words in capsys.readouterr().err
    assert "cannot be told" in (folder / "report" / "report.html").read_text()


def test_inverted_masks_are_refused(folder, capsys):
    np.save(folder / "mask.npy", ~np.load(folder / "mask.npy"))
    with pytest.raises(InputError, match="cover 98% of the slices: are they inverted"):
        run(predict="my_module_h7:unit")


def test_a_background_that_is_not_darkest_is_said_and_air_corrects_it(folder, capsys):
    for i in range(N):
        image = np.load(folder / f"{i}.npy")
        rough = 20 * np.sin(np.arange(PX * PX).reshape(PX, PX))
        np.save(folder / f"{i}.npy", np.where(image > 0, image - 120 + rough, 0))
    run(predict="my_module_h7:spot")
    assert "The background is 0" in capsys.readouterr().err
    run("--air", "0", predict="my_module_h7:spot", out="corrected")
    assert "The background is 0" not in capsys.readouterr().err


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
