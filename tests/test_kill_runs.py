"""Plan and verdict of the kill script; the script itself takes half an hour and is run by hand."""

import kill_runs
import pandas as pd
import pytest

from tumorcf_lib import config, rowfiles
from tumorcf_lib.publish import compare
from tumorcf_lib.study import results, stages

pytestmark = pytest.mark.monthly


def test_a_round_kills_once_in_every_notebook_at_moments_that_only_the_seed_decides():
    planned = kill_runs.plan(0, 3, 50)
    assert [kill.stage for kill in planned] == list(stages.NAMES)
    assert planned == kill_runs.plan(0, 3, 50)
    assert planned != kill_runs.plan(0, 4, 50)


def test_the_last_round_does_no_more_kills_than_are_left():
    planned = kill_runs.plan(0, 0, 2)
    assert len(planned) == 2
    assert [k.stage for k in planned] == sorted(k.stage for k in planned)


def test_many_rounds_kill_early_and_late_and_in_each_way():
    kills = [kill for number in range(40) for kill in kill_runs.plan(0, number, 50)]
    shares = [kill.share for kill in kills]
    assert min(shares) < 0.05 and max(shares) > 0.95
    assert {kill.kind for kill in kills} == {"all", "runner", "kernel"}


def test_what_a_kill_left_is_told(tmp_path):
    (tmp_path / "01_data").mkdir()
    (tmp_path / "01_data" / stages.RECORD).write_text("{}")
    (tmp_path / "01_data" / "unfinished-split.csv").write_text("")
    (tmp_path / "03_training" / "fold0").mkdir(parents=True)
    (tmp_path / "03_training" / "fold0" / "checkpoint.npz").write_text("")
    assert kill_runs._what_is_there(tmp_path) == {
        "n_finished": 1, "half_written": "unfinished-split.csv", "trainings_begun": "fold0",
    }  # fmt: skip


def test_a_reference_of_other_code_is_refused(tmp_path):
    (tmp_path / kill_runs.REFERENCE).write_text('{"code": "other"}')
    with pytest.raises(SystemExit, match="changed since the reference was made"):
        kill_runs._reference(tmp_path, "smoke")


def test_a_rerun_that_differs_from_the_reference_in_any_way_is_told(study, monkeypatch):
    monkeypatch.setattr(stages, "fingerprint", lambda study, name: {"all": "the same"})
    monkeypatch.setattr(
        kill_runs.notebooks, "is_executed", lambda study, name: name[:2] not in left
    )
    for name in stages.NAMES:
        stage = results.open_stage(study, name)
        stage.save_rows(pd.DataFrame({"p": [0.5]}), "rows_x")
        stage.finish()
    expected, left = compare.contents(study.folder), []

    def differs():
        return kill_runs._what_differs(study.folder, "smoke", expected)

    assert differs() == []
    left.append("02")
    assert differs() == ["02_preprocessing is not executed"]
    left.clear()
    half = study.folder / "03_training" / "unfinished-weights.npz"
    half.write_text("")
    assert differs() == ["unfinished-weights.npz"]
    half.unlink()
    rows = study.folder / "05_counterfactuals" / "rows_x.csv.gz"
    rowfiles.write_table(pd.DataFrame({"p": [0.25]}), rows)
    first, second = differs()
    assert first == "05_counterfactuals/rows_x.csv.gz"
    assert second.startswith("05_counterfactuals: its file rows_x.csv.gz")
    (rows.parent / stages.RECORD).unlink()
    assert differs() == [
        "05_counterfactuals/rows_x.csv.gz", "05_counterfactuals: it was never finished"
    ]


def test_readme_counts_the_kills_that_are_committed_none_of_which_left_a_difference():
    text = (config.ROOT / "README.md").read_text()
    for name, unit in (("results_kills.csv", " kills"), ("results_kills_demo.csv", "")):
        kills = rowfiles.read_table(config.ROOT / "benchmarks" / name)
        assert kills["differs_after_rerun"].isna().all()
        assert set(kills["stage"]) == set(stages.NAMES)
        assert f"[{len(kills)}{unit}](benchmarks/{name})" in text
