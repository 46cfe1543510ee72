import json

import pytest

from tumorcf_lib import paths, results, stages


@pytest.fixture
def small_repository(tmp_path, monkeypatch):
    """Notebooks and a library of a few lines, so that a test can change them."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "tumorcf_lib").mkdir()
    for name in stages.NAMES:
        write_notebook(tmp_path, name, "from tumorcf_lib import one\none.f()")
    (tmp_path / "tumorcf_lib" / "one.py").write_text('"""One."""\nfrom . import two\n')
    (tmp_path / "tumorcf_lib" / "two.py").write_text(
        "def g():\n    '''Old words.'''\n    return 1\n"
    )
    (tmp_path / "tumorcf_lib" / "other.py").write_text("x = 1\n")
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path / "notebooks")
    return tmp_path


def write_notebook(root, name, source, prose="words"):
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": prose},
        {"cell_type": "code", "metadata": {"tags": ["setup"]}, "source": "!not python"},
        {"cell_type": "code", "metadata": {}, "source": source},
    ]
    (root / "notebooks" / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))


def finish(study, name, value=1):
    stage = results.open_stage(study, name)
    stage.save_table(results.pd.DataFrame({"x": [value]}), "table_x")
    stage.finish()


def test_a_finished_stage_holds_and_an_unfinished_one_says_so(study, small_repository):
    assert stages.why_stale(study, "01_data") == "it was never finished"
    finish(study, "01_data")
    assert stages.why_stale(study, "01_data") is None


def test_a_stage_that_was_begun_again_and_not_finished_does_not_hold(study, small_repository):
    finish(study, "01_data")
    results.open_stage(study, "01_data")
    assert stages.why_stale(study, "01_data") == "it was never finished"


def test_a_changed_function_two_imports_away_makes_a_stage_stale(study, small_repository):
    finish(study, "01_data")
    (small_repository / "tumorcf_lib" / "two.py").write_text("def g():\n    return 2\n")
    assert stages.why_stale(study, "01_data") == "the code changed since"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("two.py", "def g():\n    '''New words.'''\n    # a comment\n    return 1\n"),
        ("other.py", "x = 2\n"),
    ],
)
def test_docstrings_comments_and_foreign_modules_do_not_count(study, small_repository, file, text):
    finish(study, "01_data")
    (small_repository / "tumorcf_lib" / file).write_text(text)
    assert stages.why_stale(study, "01_data") is None


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
    assert stages.why_stale(replace(study, seed=1), "01_data") == "the seed changed since"
    bigger = replace(study, profile=replace(study.profile, size_px=97))
    assert stages.why_stale(bigger, "01_data") == "profile smoke changed since"


def test_only_changed_data_of_an_earlier_stage_reaches_later_ones(study, small_repository):
    finish(study, "01_data")
    finish(study, "02_preprocessing")
    finish(study, "01_data")  # again, the same data
    assert stages.why_stale(study, "02_preprocessing") is None
    finish(study, "01_data", value=2)
    assert stages.why_stale(study, "02_preprocessing") == "the data of 01_data changed since"


def test_a_file_that_vanished_or_was_cut_makes_a_stage_stale(study, small_repository):
    finish(study, "01_data")
    table = study.folder / "01_data" / "table_x.csv"
    table.write_text("x\n7\n")  # of the same size
    assert stages.why_stale(study, "01_data") == "its file table_x.csv changed"
    table.write_text("x")
    assert "table_x.csv is missing or changed" in stages.why_stale(study, "01_data")
    table.unlink()
    assert "table_x.csv is missing or changed" in stages.why_stale(study, "01_data")


def test_a_later_stage_opened_first_names_the_one_command_that_helps(study, small_repository):
    with pytest.raises(stages.StageError, match=r"\./run_all\.sh --profile smoke --to 03"):
        results.open_stage(study, "05_counterfactuals")


def test_the_real_notebooks_and_modules_can_all_be_hashed():
    digests = {stages.code_digest(name) for name in stages.NAMES}
    assert len(digests) == len(stages.NAMES)


def test_a_record_cut_off_by_a_full_disk_counts_as_none(study, small_repository):
    finish(study, "01_data")
    (study.folder / "01_data" / stages.RECORD).write_text('{"fingerp')
    assert stages.why_stale(study, "01_data") == "it was never finished"


def test_another_version_of_a_package_makes_a_stage_stale(study, small_repository, monkeypatch):
    finish(study, "01_data")
    monkeypatch.setattr(stages.importlib.metadata, "version", lambda name: "99")
    assert stages.why_stale(study, "01_data") == "the packages changed since"


def test_the_command_that_helps_names_the_seed(study, small_repository):
    from dataclasses import replace

    with pytest.raises(stages.StageError, match="--profile smoke --seed 3 --to 05"):
        results.open_stage(replace(study, seed=3), "06_metrics")
