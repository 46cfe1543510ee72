import dataclasses

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib import __main__ as cli, config
from tumorcf_lib.figures import training
from tumorcf_lib.publish import compare
from tumorcf_lib.study import results

ROWS = pd.DataFrame({"slice_id": [1, 2], "p_glioma": [0.5, 0.25], "reason": ["", "empty mask"]})


def make(study, folder, rows=ROWS):
    """A run of one finished stage."""
    stage = results.open_stage(dataclasses.replace(study, folder=folder), "01_data")
    stage.rows("rows_x", lambda: rows)
    stage.save_table(rows, "split")
    stage.create_array("inputs", (2, 2), np.float32)[:] = 1
    figure = training.confusion(
        pd.DataFrame({"true": ["a"], "a": [int(100 * rows["p_glioma"][1])]})
    )
    stage.save_figure(figure, "fig01", data=rows, shows_slices=False)
    stage.finish()
    return folder


def test_equal_runs_agree_in_every_file_and_figure(study, tmp_path, capsys):
    first, second = make(study, tmp_path / "a"), make(study, tmp_path / "b")
    assert cli.main(["compare", str(first), str(second)]) == 0
    said = capsys.readouterr().out
    assert "01_data              6 of 6 files agree" in said
    assert said.endswith("The two runs agree.\n")


def test_a_difference_is_named_by_file_kind_size_and_column(study, tmp_path, capsys):
    first = make(study, tmp_path / "a")
    second = make(study, tmp_path / "b", ROWS.assign(p_glioma=[0.5, 0.26], reason=["", "none"]))
    assert "another number of rows" in compare.table_gap(ROWS, ROWS.head(1))
    gap = compare.table_gap(ROWS, ROWS.assign(p_glioma=[0.5, np.nan]))
    assert gap == "numbers by up to inf (p_glioma)"
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
    assert compare.run(first, second) == 1
    said = capsys.readouterr().out
    assert "4 of 6" in said and "inputs.npy: missing in one" in said and "split.csv: other" in said
    stage = results.open_stage(dataclasses.replace(study, folder=second), "01_data")
    stage.rows("rows_x", lambda: ROWS)
    stage.finish()
    assert compare.run(first, second) == 1
    assert f"only in {config.shown(first)}: 01_data/inputs.npy\n" in capsys.readouterr().out
    with pytest.raises(compare.PublishError, match="Expected the folder of a run"):
        compare.contents(tmp_path)
