"""Notebooks open from what is published; an own run goes first, and a changed verdict is marked."""

import re

import numpy as np
import pandas as pd
import pytest
from pictures import head_with_tumor, named

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.study import lesson, reading, results, runtime, shown, stages


@pytest.fixture
def nothing_run(tmp_path):
    return runtime.Study(config.get("demo"), 0, tmp_path / "demo")


def test_where_nothing_was_run_a_stage_is_the_published_one(nothing_run, capsys):
    opened = reading.open_stage(nothing_run, "06_metrics")
    assert "published in figures/demo" in capsys.readouterr().out
    rows = rowfiles.read_table(config.published("demo") / "rows_edits.csv.gz")
    assert opened.read("05_counterfactuals", "rows_edits").equals(rows)
    assert opened.rows("rows_edits", None).equals(rows)  # nothing is made
    assert "cohort" not in opened.tables(None)["table_scores"]
    opened.save_figure(None, "fig", data=None, shows_slices=False)
    opened.finish()
    assert not nothing_run.folder.exists()


def test_an_own_run_goes_first_and_without_any_the_command_is_told(nothing_run, study, monkeypatch):
    for name in stages.NEEDS["06_metrics"]:
        (nothing_run.folder / name).mkdir(parents=True)
        (nothing_run.folder / name / steps.RECORD).write_text("{}")
    monkeypatch.setattr(results, "open_stage", lambda study, name: "own")
    assert reading.open_stage(nothing_run, "06_metrics") == "own"
    with pytest.raises(stages.StageError, match="run_all.sh --profile smoke"):
        reading.open_stage(study, "controls")


def test_of_a_profile_with_folds_no_stage_after_its_inputs_is_opened(tmp_path):
    study = runtime.Study(config.get("paper-lite-cv"), 0, tmp_path)
    for opened in (reading.open_stage, results.open_stage):  # though its folds are published
        with pytest.raises(stages.StageError, match="of several folds: train them by python -m"):
            opened(study, "03_training")


def test_a_number_on_another_side_of_0_than_the_published_one_is_marked(nothing_run):
    published = reading.open_stage(nothing_run, "06_metrics")
    table = published.read("", "table_claims")
    assert "since published" not in shown.claims(published, table, 1)
    own = reading.Reader(nothing_run, "controls", nothing_run.folder)
    assert set(shown.claims(own, table, 1)["since published"]) == {"the same"}
    glioma = table["claim"].str.contains("Removing a glioma")
    other = table.assign(low=table["low"].mask(glioma, 0.001))
    marked = list(shown.claims(own, other, 1)["since published"])
    assert marked == ["the same", "**changed**: on both sides of 0 to above 0", "the same"]


def test_a_small_table_is_shown_rounded_and_a_large_one_refused(monkeypatch):
    said = []
    monkeypatch.setattr(reading, "display", lambda it: said.append(it.data))
    reading.table(pd.DataFrame({"a b": [1.23456, np.nan], "empty": [np.nan] * 2, "n": [3, 4]}))
    reading.tell("Of 4 persons one `person_id`.")
    reading.source(lesson.occlusion)
    assert said[0] == "| a b | n |\n| --- | --- |\n| 1.23 | 3 |\n|  | 4 |"
    assert said[1] == "Of 4 patients one `person_id`."
    assert said[2].startswith("```python\ndef occlusion(p, image):\n    n, step")
    with pytest.raises(ValueError, match="at most 8 rows"):
        reading.table(pd.DataFrame({"x": range(9)}))


def test_occlusion_is_bright_where_the_answer_is_read():
    image = np.random.default_rng(0).normal(size=(96, 96)).astype(np.float32)
    image[40:56, 40:56] = 9

    def p(images):
        return np.array([one[40:56, 40:56].mean() for one in images])

    found = lesson.occlusion(p, image)
    assert found.shape == image.shape and found.min() >= 0
    assert found[40:56, 40:56].mean() > 10 * found[:24].mean()


def test_every_setting_of_the_sliders_has_a_picture_and_an_answer():
    """A network that reads the brightness of the tumor, to 3."""
    image, mask = head_with_tumor()
    own = named(image[None], mask[None], [1], ["p"])

    def predict(images):
        return np.clip(images.max(axis=(1, 2)), 0, 3)[:, None] / [9, 3, 9]

    for dilation_px, n_pictures, words in (
        (0, 3, r"P is 1\.000, 0\.4\d\d without the tumor, 1\.000 with a sham; Net-Drop 0\.5"),
        (20, 2, "no place of the head has room for a sham of this size"),
        (-9, 2, "nothing is left of the mask"),
        (90, 1, "this edit is not possible here"),
    ):
        fig, told = lesson.Lesson(own, None, predict, 0, "").turned(dilation_px=dilation_px)
        assert len(fig.axes) == n_pictures and re.search(words, told), told
