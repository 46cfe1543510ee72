import dataclasses

import numpy as np
import pandas as pd

from tumorcf_lib import __main__ as cli, config
from tumorcf_lib.figures import training
from tumorcf_lib.publish import compare
from tumorcf_lib.study import results

ROWS = pd.DataFrame({"slice_id": [1, 2], "p_glioma": [0.5, 0.25], "reason": ["", "empty mask"]})


def make(study, folder, rows=ROWS):
    """A run of one finished stage."""
    stage = results.open_stage(dataclasses.replace(study, folder=folder), "01_data")
    stage.save_rows(rows, "rows_x")
    stage.save_table(rows, "split")
    stage.create_array("inputs", (2, 2), np.float32)[:] = 1
    figure = training.learning_curves({"loss": rows["p_glioma"], "val_loss": rows["p_glioma"]})
    stage.save_figure(figure, "fig01", data=rows, shows_slices=False)
    stage.finish()
    return folder


def test_equal_runs_agree_in_every_file_and_figure(study, tmp_path, capsys):
    first, second = make(study, tmp_path / "a"), make(study, tmp_path / "b")
    names = set(compare.contents(first))
    assert names == {
        "01_data/rows_x.csv.gz",
        "01_data/split.csv",
        "01_data/inputs.npy",
        *(f"01_data/figures/fig01{end}" for end in (".png", ".svg", ".csv")),
    }
    assert cli.main(["compare", str(first), str(second)]) == 0
    said = capsys.readouterr().out
    assert "01_data              6 of 6 files agree" in said
    assert said.endswith("The two runs agree.\n")


def test_a_difference_is_named_by_file_kind_size_and_column(study, tmp_path, capsys):
    first = make(study, tmp_path / "a")
    second = make(study, tmp_path / "b", ROWS.assign(p_glioma=[0.5, 0.26], reason=["", "none"]))
    assert cli.main(["compare", str(first), str(second)]) == 1
    said = capsys.readouterr().out
    assert "rows_x.csv.gz: 1 words differ, numbers by up to 0.01 (p_glioma)" in said
    assert "fig01.png: other bytes" in said
    assert "01_data              1 of 6 files agree" in said


def test_what_is_on_the_disk_counts_and_a_file_in_one_run_only_is_a_difference(
    study, tmp_path, capsys
):
    first, second = make(study, tmp_path / "a"), make(study, tmp_path / "b")
    (second / "01_data" / "split.csv").write_text("edited")
    (second / "01_data" / "inputs.npy").unlink()
    found = compare.different(*map(compare.contents, (first, second)))
    assert found == ["01_data/inputs.npy", "01_data/split.csv"]
    stage = results.open_stage(dataclasses.replace(study, folder=second), "01_data")
    stage.save_rows(ROWS, "rows_x")
    stage.finish()
    assert compare.run(first, second) == 1
    assert f"only in {config.shown(first)}: 01_data/inputs.npy\n" in capsys.readouterr().out


def test_a_folder_without_a_run_is_refused_in_words(tmp_path, capsys):
    assert cli.main(["compare", str(tmp_path), str(tmp_path)]) == 1
    assert "PublishError: Expected the folder of a run" in capsys.readouterr().err


def test_the_gap_of_two_tables_is_told():
    one = pd.DataFrame({"p_glioma": [0.5, np.nan], "effect": [np.nan, 1.0]})
    for other, told in (
        (one, "other bytes, same numbers"),
        (one.assign(p_glioma=[0.5, 0.5]), "numbers by up to inf (p_glioma)"),
        (one.head(0), "2 rows in one only"),
        (one.rename(columns={"effect": "b"}), "other columns"),
    ):
        assert compare.table_gap(one, other) == told
