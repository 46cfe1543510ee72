"""What is made anew from published rows is what the notebooks made of them."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tumorcf_lib import config, rowfiles
from tumorcf_lib.publish import from_rows, publish
from tumorcf_lib.study import side_studies
from tumorcf_lib.tables import derived

DEMO = config.FIGURES / "demo"
AGAIN = [name for name, drawn in from_rows.FIGURES.items() if drawn.again]


@pytest.mark.monthly
def test_tables_numbers_hashes_and_figures_are_those_of_the_run_and_the_rest_stays(tmp_path):
    folder = tmp_path / "demo"
    shutil.copytree(DEMO, folder)
    for name in AGAIN:
        Image.new("RGB", (4, 4)).save(folder / f"{name}.png")
    made = derived.derive(side_studies.reader(DEMO), 20)
    for name in made:
        (folder / f"{name}.csv").write_text("nothing\n")
    numbers = json.loads((folder / "numbers.json").read_text())
    numbers["06_metrics"]["net_drop"]["value"] = 99.0
    (folder / "numbers.json").write_text(json.dumps(numbers))
    from_rows.renew(folder)
    problems, n_checked = publish.verify(folder)
    assert problems == []
    assert n_checked == len(json.loads((DEMO / "manifest.json").read_text())["sha256"])
    drawn = {f"{name}.png" for name in AGAIN}
    kept = {p.name for p in [*DEMO.glob("rows_*"), *DEMO.glob("*.png")]} - drawn
    for name in {f"{name}.csv" for name in made} | {"numbers.json"} | kept:
        assert (folder / name).read_bytes() == (DEMO / name).read_bytes(), name
    for name in drawn:  # gray levels may move with other versions of fonts; the picture may not
        again, notebook = (
            np.asarray(Image.open(place / name).convert("L"), float) for place in (folder, DEMO)
        )
        assert again.shape == notebook.shape
        assert np.abs(again - notebook).mean() < 0.5, name


def test_a_changed_row_reaches_table_number_and_manifest(tmp_path, monkeypatch):
    folder = tmp_path / "demo"
    shutil.copytree(DEMO, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["profile"]["n_resamples"] = 20  # intervals are not looked at here, nor are figures
    (folder / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setattr(side_studies, "draw", lambda *_: [])
    rows = rowfiles.read_table(folder / "rows_predictions.csv.gz")
    names = [name for name in rows if name.startswith("p_")]
    rows[names] = 1 / 3 * np.ones((len(rows), 3)) + [[0.1, -0.05, -0.05]]  # always the first class
    rowfiles.write_table(rows, folder / "rows_predictions.csv.gz")
    from_rows.renew(folder)
    table = rowfiles.read_table(folder / "table_performance.csv")
    row = table[(table["level"] == "slice") & (table["metric"] == "accuracy")].iloc[0]
    share = (rows["label"] == names[0].removeprefix("p_")).mean()
    assert row["value"] == pytest.approx(share, rel=1e-4)
    numbers = json.loads((folder / "numbers.json").read_text())
    value = numbers["04_evaluation"]["accuracy"]["value"]
    assert value == pytest.approx(share, rel=1e-4)  # as published, five digits


def test_a_folder_without_a_published_run_is_named(tmp_path):
    with pytest.raises(from_rows.PublishError, match="found none of its"):
        from_rows.renew(tmp_path)
