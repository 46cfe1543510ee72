"""What is made anew from published rows is what the notebooks made; the gallery shows all of it."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.figures import readings
from tumorcf_lib.publish import from_rows, publish
from tumorcf_lib.study import side_studies
from tumorcf_lib.tables import derived

DEMO = config.FIGURES / "demo"
PAGE = config.FIGURES / "README.md"


@pytest.mark.monthly
def test_tables_numbers_hashes_and_figures_are_those_of_the_run_and_the_rest_stays(tmp_path):
    folder = tmp_path / "demo"
    shutil.copytree(DEMO, folder)
    drawn = {f"{name}.png" for name, how in from_rows.FIGURES.items() if how.again}
    for name in drawn:
        Image.new("RGB", (4, 4)).save(folder / name)
    for name in derived.derive(side_studies.reader(DEMO), 20):
        (folder / f"{name}.csv").write_text("nothing\n")
    from_rows.renew(folder)
    problems, n_checked = publish.verify(folder)
    assert problems == []
    assert n_checked == len(steps.read_json(DEMO / "manifest.json")["sha256"])
    for path in [*DEMO.glob("rows_*"), *DEMO.glob("table_*"), *DEMO.glob("*.png")]:
        same_bytes = (folder / path.name).read_bytes() == path.read_bytes()
        assert same_bytes or path.name in drawn, path.name
    assert (folder / "numbers.json").read_bytes() == (DEMO / "numbers.json").read_bytes()
    for name in drawn:  # gray levels may move with other versions of fonts; the picture may not
        again, notebook = (
            np.asarray(Image.open(place / name).convert("L"), float) for place in (folder, DEMO)
        )
        assert again.shape == notebook.shape
        assert np.abs(again - notebook).mean() < 0.5, name


def test_a_changed_row_reaches_table_number_and_manifest(tmp_path, monkeypatch):
    folder = tmp_path / "demo"
    shutil.copytree(DEMO, folder)
    manifest = steps.read_json(folder / "manifest.json")
    manifest["profile"]["n_resamples"] = 20  # intervals are not looked at here, nor are figures
    steps.write_json(folder / "manifest.json", manifest)
    monkeypatch.setattr(side_studies, "draw", lambda *_: [])
    rows = rowfiles.read_table(folder / "rows_predictions.csv.gz")
    names = [name for name in rows if name.startswith("p_")]
    rows[names] = 0.4, 0.3, 0.3  # always the first class
    rowfiles.write_table(rows, folder / "rows_predictions.csv.gz")
    from_rows.renew(folder)
    table = rowfiles.read_table(folder / "table_performance.csv")
    row = table[(table["level"] == "slice") & (table["metric"] == "accuracy")].iloc[0]
    share = (rows["label"] == names[0].removeprefix("p_")).mean()
    assert row["value"] == pytest.approx(share, rel=1e-4)
    number = steps.read_json(folder / "numbers.json")["04_evaluation"]["accuracy"]
    assert number["value"] == pytest.approx(share, rel=1e-4)  # as published, five digits


def test_a_folder_without_a_published_run_is_named(tmp_path):
    with pytest.raises(from_rows.PublishError, match="found none of its"):
        from_rows.renew(tmp_path)


def test_the_committed_gallery_is_what_todays_code_makes_of_the_published_folders():
    assert PAGE.read_text(encoding="utf-8") == from_rows.page()


def test_every_published_figure_is_shown_with_a_caption_and_every_link_leads_somewhere():
    text = PAGE.read_text(encoding="utf-8")
    shown = re.findall(r"^!\[(.+)\]\((.+)\)$", text, re.MULTILINE)
    published = {str(path.relative_to(config.FIGURES)) for path in config.FIGURES.glob("*/*.png")}
    assert {path for _, path in shown} == published
    assert all(caption.endswith((".", "?")) for caption, _ in shown)
    sentences = re.findall(r"^fig\w+: .+ \*\*([A-Z0-9].+\.)\*\* \[", text, re.MULTILINE)
    assert len(sentences) == len(shown)
    assert not re.search(r"\bnan\b|-0\.0+\b|person", text)
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert [link for link in links if not (config.FIGURES / link).is_file()] == []


def test_a_sentence_says_what_its_table_says():
    table = pd.DataFrame({"true": ["a", "b"], "predicted a": [6, 3], "predicted b": [1, 10]})
    assert readings.confusion(table) == (
        "80.0% of 20 slices are called right; 3 of 4 errors are a b called a."
    )
    accuracy = {"accuracy": [0.5, 0.75], "val_accuracy": [0.7, 0.6]}
    history = pd.DataFrame({"epoch": [1, 2], **accuracy, "best": [True, False]})
    assert readings.learning_curves(history).startswith("70.0% of the validation slices")
    share = pd.DataFrame({"edit": ["original", "remove", "blank"], "share": [0.9, 0.4, 1.0]})
    told = readings.answer(share.assign(label="a"))
    assert "a 90% to 40%; of empty a slices 100% are called a." in told
