"""A stage holds while all that it was made of is as it was, and says what is not."""

import json
import re
from dataclasses import replace

import pandas as pd
import pytest
from matplotlib.figure import Figure

from tumorcf_lib import config, pins, steps
from tumorcf_lib.study import made_by, results, stages

CELL = "from tumorcf_lib import one\none.f()"


@pytest.fixture(autouse=True)
def repository(tmp_path, monkeypatch):
    """Notebooks and a library of a few lines, so that a test can change them."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "tumorcf_lib").mkdir()
    for name in stages.NAMES:
        write_notebook(tmp_path, name, CELL)
        monkeypatch.setitem(made_by.DATA_CODE, name, ("one", "two"))
        monkeypatch.setitem(made_by.SHOWN_CODE, name, ("look.COLOR",))
    monkeypatch.setattr(made_by, "PHANTOM", ())
    monkeypatch.setattr(made_by, "DATASET", ())
    monkeypatch.setattr(config, "ROOT", tmp_path)
    monkeypatch.setattr(config, "NOTEBOOKS", tmp_path / "notebooks")
    write_library(tmp_path, one="", other="x = 1\n", look="COLOR = 'red'\nSIZE = 1\n")
    write_library(tmp_path, two="def g():\n    '''Old words.'''\n    return 1\n")
    return tmp_path


def write_library(root, **texts):
    for name, text in texts.items():
        (root / "tumorcf_lib" / f"{name}.py").write_text(text)


def write_notebook(root, name, source, prose="words"):
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": prose},
        {"cell_type": "code", "metadata": {"tags": ["setup"]}, "source": "!not python"},
        {"cell_type": "code", "metadata": {}, "source": source},
    ]
    (root / "notebooks" / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))


def finish(study, name, value=1, unread=1):
    """A stage that reads the tables of those before it and writes its own."""
    stage = results.open_stage(study, name)
    for needed in stages.NEEDS[name]:
        stage.read(needed, "table_x")
    stage.save_table(pd.DataFrame({"x": [0, unread]}), "table_unread")
    stage.save_table(pd.DataFrame({"x": [value]}), "table_x")
    stage.save_figure(Figure(), "fig01", data={"x": [1]}, shows_slices=False)
    stage.finish()


def why(study, name="01_data"):
    return stages.why_stale(study, name)


def test_words_and_foreign_code_do_not_count_but_cells_and_named_code_do(study, repository):
    finish(study, "01_data")
    write_library(repository, other="x = 2\n", look="COLOR = 'red'\nSIZE = 2\n")
    write_library(repository, two="def g():\n    '''New.'''\n    # a comment\n    return 1\n")
    write_notebook(repository, "01_data", CELL, prose="better words")
    assert why(study) is None
    write_notebook(repository, "01_data", CELL + "\none.f(2)")
    assert why(study) == "the code changed since"
    write_notebook(repository, "01_data", CELL)
    write_library(repository, look="COLOR = 'blue'\n")
    assert why(study) == f"{stages.SHOWN} changed since"
    finish(study, "02_preprocessing")  # figures of 01 are none of its business
    write_library(repository, two="def g():\n    return 2\n")
    assert why(study) == "the code changed since"


def test_another_seed_profile_or_package_makes_a_stage_stale(study, monkeypatch):
    finish(study, "01_data")
    assert why(replace(study, seed=1)) == "the seed changed since (0, now 1)"
    bigger = replace(study, profile=replace(study.profile, size_px=97))
    assert why(bigger) == "the profile changed since"
    with pytest.raises(stages.StageError, match="02_preprocessing needs .* the profile changed"):
        results.open_stage(bigger, "02_preprocessing")
    keras = pins.version_of("keras")
    monkeypatch.setattr(pins, "version_of", lambda name: "99")
    assert why(study) == f"the package keras changed since ({keras}, now 99)"


def test_only_changed_data_of_an_earlier_stage_reaches_later_ones(study):
    finish(study, "01_data")
    finish(study, "02_preprocessing")
    finish(study, "01_data", unread=7)
    assert why(study, "02_preprocessing") is None
    finish(study, "01_data", value=2)
    assert why(study, "02_preprocessing") == "the data of 01_data changed since"


def test_a_file_that_vanished_or_was_cut_or_edited_makes_a_stage_stale(study):
    finish(study, "01_data")
    table = study.folder / "01_data" / "table_x.csv"
    for spoil in (lambda: table.write_text("x\n7\n"), lambda: table.write_text("x"), table.unlink):
        spoil()
        assert why(study).startswith("its file table_x.csv is missing, cut off, or changed")
    with pytest.raises(stages.StageError, match="its file table_x.csv is missing") as error:
        results.open_stage(study, "05_counterfactuals")
    assert "\n    ./run_all.sh --profile smoke --to 03\n" in str(error.value)
    finish(study, "01_data")
    picture = study.folder / "01_data" / "figures" / "fig01.png"
    picture.write_bytes(picture.read_bytes() + b"!")
    assert why(study).startswith("its file figures/fig01.png is missing, cut off, or changed")


@pytest.mark.parametrize("text", ['{"fingerp', "null", '{"fingerprint": 1}'])
def test_a_record_that_is_cut_off_or_none_is_damaged_and_named(study, text):
    finish(study, "01_data")
    finish(study, "02_preprocessing")
    (study.folder / "01_data" / steps.RECORD).write_text(text)
    assert re.fullmatch("its record .*01_data/step.json is damaged; remove it", why(study))
    assert why(study, "02_preprocessing") == "the data of 01_data changed since"
    with pytest.raises(steps.RecordError, match="01_data/step.json"):
        stages.record(study, "01_data")


def test_a_dataset_changed_in_place_is_read_again_by_who_read_it(study, tmp_path, monkeypatch):
    monkeypatch.setenv("TUMORCF_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "1.mat").write_text("a slice")
    real = replace(study, profile=config.get("paper-lite"))
    for name in ("01_data", "02_preprocessing", "03_training"):
        finish(real, name)
    (tmp_path / "data" / "1.mat").write_text("another slice")
    assert why(real, "01_data") == why(real, "02_preprocessing") == "the dataset changed since"
    assert why(real, "03_training") is None  # goes by what 02 makes of it
