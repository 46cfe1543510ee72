import ast
import json
import sys

import pytest
from matplotlib.figure import Figure

from tumorcf_lib import config, pins
from tumorcf_lib.study import made_by, results, stages


@pytest.fixture
def small_repository(tmp_path, monkeypatch):
    """Notebooks and a library of a few lines, so that a test can change them."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "tumorcf_lib").mkdir()
    for name in stages.NAMES:
        write_notebook(tmp_path, name, "from tumorcf_lib import one\none.f()")
        monkeypatch.setitem(made_by.DATA_CODE, name, ("one", "two"))
        monkeypatch.setitem(made_by.SHOWN_CODE, name, ("look.COLOR",))
    monkeypatch.setattr(made_by, "PHANTOM", ())
    monkeypatch.setattr(made_by, "DATASET", ())
    (tmp_path / "tumorcf_lib" / "look.py").write_text("COLOR = 'red'\nSIZE = 1\n")
    (tmp_path / "tumorcf_lib" / "one.py").write_text('"""One."""\n')
    (tmp_path / "tumorcf_lib" / "two.py").write_text(
        "def g():\n    '''Old words.'''\n    return 1\n"
    )
    (tmp_path / "tumorcf_lib" / "other.py").write_text("x = 1\n")
    monkeypatch.setattr(config, "ROOT", tmp_path)
    monkeypatch.setattr(config, "NOTEBOOKS", tmp_path / "notebooks")
    return tmp_path


def write_notebook(root, name, source, prose="words"):
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": prose},
        {"cell_type": "code", "metadata": {"tags": ["setup"]}, "source": "!not python"},
        {"cell_type": "code", "metadata": {}, "source": source},
    ]
    (root / "notebooks" / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))


def finish(study, name, value=1):
    """A stage that reads the tables of those before it and writes its own."""
    stage = results.open_stage(study, name)
    for needed in stages.NEEDS[name]:
        stage.read(needed, "table_x")
    stage.save_table(results.pd.DataFrame({"x": [0, value]}), "table_unread")
    stage.save_table(results.pd.DataFrame({"x": [value]}), "table_x")
    stage.finish()


def test_a_finished_stage_holds_and_an_unfinished_one_says_so(study, small_repository):
    assert stages.why_stale(study, "01_data") == "it was never finished"
    finish(study, "01_data")
    assert stages.why_stale(study, "01_data") is None


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("two.py", "def g():\n    '''New words.'''\n    # a comment\n    return 1\n"),
        ("other.py", "x = 2\n"),
        ("look.py", "COLOR = 'red'\nSIZE = 2\n"),
    ],
)
def test_docstrings_comments_and_foreign_modules_do_not_count(study, small_repository, file, text):
    finish(study, "01_data")
    (small_repository / "tumorcf_lib" / file).write_text(text)
    assert stages.why_stale(study, "01_data") is None


def test_a_changed_color_makes_figures_stale_but_no_later_stage(study, small_repository):
    finish(study, "01_data")
    (small_repository / "tumorcf_lib" / "look.py").write_text("COLOR = 'blue'\nSIZE = 1\n")
    assert stages.why_stale(study, "01_data") == f"{stages.SHOWN} changed since"
    assert stages.why_stale(study, "01_data", shown=False) is None
    finish(study, "02_preprocessing")  # opens


def test_prose_of_a_notebook_does_not_count_but_its_code_does(study, small_repository):
    finish(study, "01_data")
    code = "from tumorcf_lib import one\none.f()"
    write_notebook(small_repository, "01_data", code, prose="better words")
    assert stages.why_stale(study, "01_data") is None
    write_notebook(small_repository, "01_data", "from tumorcf_lib import one\none.f(2)")
    assert stages.why_stale(study, "01_data") == "the code changed since"


def test_another_seed_or_profile_makes_a_stage_stale(study, small_repository):
    from dataclasses import replace

    finish(study, "01_data")
    assert stages.why_stale(replace(study, seed=1), "01_data") == "it was made with seed 0"
    bigger = replace(study, profile=replace(study.profile, size_px=97))
    assert stages.why_stale(bigger, "01_data") == "profile smoke changed since"


def test_only_changed_data_of_an_earlier_stage_reaches_later_ones(study, small_repository):
    finish(study, "01_data")
    finish(study, "02_preprocessing")
    finish(study, "01_data")  # again, the same data
    assert stages.why_stale(study, "02_preprocessing") is None
    first = results.open_stage(study, "01_data")
    first.save_table(results.pd.DataFrame({"x": [1]}), "table_x")
    first.save_table(results.pd.DataFrame({"x": [7]}), "table_unread")
    first.finish()
    assert stages.why_stale(study, "02_preprocessing") is None
    finish(study, "01_data", value=2)
    assert stages.why_stale(study, "02_preprocessing") == "the data of 01_data changed since"


def test_a_stage_of_another_profile_is_refused_by_its_name(study, small_repository):
    from dataclasses import replace

    finish(study, "01_data")
    demo = replace(study, profile=stages_profile("demo"))
    assert stages.why_stale(demo, "01_data") == "it was made for profile smoke"
    with pytest.raises(stages.StageError, match="02_preprocessing needs .* profile smoke") as error:
        results.open_stage(demo, "02_preprocessing")
    assert "./run_all.sh --profile demo --to 01" in str(error.value)


def stages_profile(name):
    from tumorcf_lib import config

    return config.get(name)


def test_a_file_that_vanished_or_was_cut_or_edited_makes_a_stage_stale(study, small_repository):
    finish(study, "01_data")
    table = study.folder / "01_data" / "table_x.csv"
    table.write_text("x\n7\n")  # of the same size
    assert "its file table_x.csv is not the one that was written" in why(study)
    table.write_text("x")
    assert why(study).startswith("its file table_x.csv has 1 bytes instead of 4")
    table.unlink()
    assert why(study) == "its file table_x.csv is missing"


def why(study, name="01_data"):
    return stages.why_stale(study, name)


def test_cut_off_weights_are_refused_by_name_with_the_command_that_makes_them(
    study, small_repository
):
    for name in ("01_data", "02_preprocessing"):
        finish(study, name)
    third = results.open_stage(study, "03_training")
    weights = third.folder / "weights_fold0.npz"
    results.np.savez(weights, layer=results.np.arange(100))
    third.keep(weights)
    third.finish()
    weights.write_bytes(weights.read_bytes()[:-50])
    with pytest.raises(stages.StageError, match="its file weights_fold0.npz has") as error:
        results.open_stage(study, "04_evaluation")
    assert "./run_all.sh --profile smoke --to 03" in str(error.value)


def test_a_figure_that_vanished_or_was_drawn_over_makes_a_stage_stale(study, small_repository):
    stage = results.open_stage(study, "01_data")
    stage.save_figure(Figure(), "fig01", data={"x": [1]}, shows_slices=False)
    stage.finish()
    assert why(study) is None
    picture = study.folder / "01_data" / "figures" / "fig01.png"
    picture.write_bytes(picture.read_bytes() + b"!")
    assert why(study).startswith("its figure fig01.png is not the one")
    picture.unlink()
    assert why(study) == "its figure fig01 is missing"


def test_a_later_stage_opened_first_names_the_one_command_that_helps(study, small_repository):
    with pytest.raises(stages.StageError, match=r"\./run_all\.sh --profile smoke --to 03") as error:
        results.open_stage(study, "05_counterfactuals")
    assert "!python -m tumorcf_lib run --profile smoke --to 03" in str(error.value)
    assert "run the notebooks before this one" in str(error.value)


@pytest.mark.parametrize(
    "text", ["", '{"fingerp', "null", "[]", "{}", '{"fingerprint": 1}', "\x00" * 40]
)
def test_a_record_that_is_cut_off_or_none_is_damaged_and_named(study, small_repository, text):
    finish(study, "01_data")
    finish(study, "02_preprocessing")
    path = study.folder / "01_data" / stages.RECORD
    path.write_text(text)
    assert why(study) == "its record step.json is damaged"
    assert why(study, "02_preprocessing") == "the data of 01_data changed since"
    with pytest.raises(stages.StageError, match="smoke --from 01 --to 01") as error:
        stages.record(study, "01_data")
    assert "step.json" in str(error.value)


def test_another_version_of_a_package_makes_a_stage_stale(study, small_repository, monkeypatch):
    finish(study, "01_data")
    monkeypatch.setattr(pins, "version_of", lambda name: "99")
    assert why(study).startswith("the packages changed since (then keras ")
    assert ", here 99" in why(study)


def test_a_dataset_that_was_changed_in_place_is_read_again_by_both_that_read_it(
    study, small_repository, tmp_path, monkeypatch
):
    from dataclasses import replace

    monkeypatch.setenv("TUMORCF_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "1.mat").write_text("a slice")
    real = replace(study, profile=stages_profile("paper-lite"))
    for name in ("01_data", "02_preprocessing", "03_training"):
        finish(real, name)
    (tmp_path / "data" / "1.mat").write_text("another slice")
    assert why(real, "01_data") == why(real, "02_preprocessing") == "the dataset changed since"
    assert why(real, "03_training") is None  # goes by what 02 makes of it


def test_every_package_that_the_library_imports_counts_or_makes_no_value():
    makes_no_value = {  # bars, downloads, notebooks, pages, a reader's own classifier and files
        "tqdm",
        "requests",
        "urllib3",
        "papermill",
        "nbclient",
        "nbformat",
        "nbconvert",
        "jupyter_client",
        "jupyter_core",
        "jinja2",
        "markupsafe",
        "onnx",
        "onnxruntime",
        "tifffile",
        "pydicom",
        "torch",
        "threadpoolctl",
        "IPython",
        "ipywidgets",
    }
    called = {
        "cv2": "opencv-python-headless",
        "PIL": "pillow",
        "sklearn": "scikit-learn",
        "skimage": "scikit-image",
    }
    found = set()
    for path in (config.ROOT / "tumorcf_lib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.split(".")[0])
            elif isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
    found -= {*sys.stdlib_module_names, "tumorcf_lib"} | makes_no_value
    assert {called.get(name, name) for name in found} <= set(made_by.ALL_PACKAGES)
