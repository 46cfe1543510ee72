import json
import runpy

import pytest

from tumorcf_lib import config
from tumorcf_lib.figures import style
from tumorcf_lib.study.side_studies import reader

DOCS = config.ROOT / "docs"


@pytest.fixture
def build(tmp_path):
    made = runpy.run_path(str(DOCS / "build.py"))
    made["write_source"].__globals__["SOURCE"] = tmp_path
    return made


def test_links_lead_to_pages_pictures_or_the_repository(build, tmp_path):
    made = {"README.md": "index.md", "notebooks/a.ipynb": "notebooks/a.ipynb"}
    turn = build["turned"]
    assert turn("[x](notebooks/a.ipynb#b)", "README.md", made) == "[x](notebooks/a.ipynb#b)"
    assert turn("[x](../README.md)", "notebooks/a.ipynb", made) == "[x](../index.md)"
    assert turn("[x](LICENSE)", "README.md", made).endswith("/blob/main/LICENSE)")
    assert turn("[x](figures/demo)", "README.md", made).endswith("/tree/main/figures/demo)")
    picture = "figures/demo/fig09_edits.png"
    assert turn(f"![x](../{picture})", "notebooks/a.ipynb", made) == f"![x](../{picture})"
    assert (tmp_path / picture).is_file()
    with pytest.raises(SystemExit, match="not in the repository"):
        turn("[x](nowhere.md)", "README.md", made)


def test_all_pages_can_be_laid_out_and_are_in_the_table_of_contents(build, tmp_path):
    build["write_source"]()
    index = (tmp_path / "index.md").read_text(encoding="utf-8")
    pages = set(build["pages"]().values()) - {"index.md"}
    assert {"notebooks/05_counterfactuals.ipynb", "RESULTS.md", "try.md"} <= pages
    assert all(f"\n{page}\n" in index and (tmp_path / page).is_file() for page in pages)


def test_the_page_to_try_an_edit_shows_the_published_probabilities():
    text = (DOCS / "_static" / "edits.js").read_text(encoding="utf-8")
    made = json.loads(text.removeprefix("const EDITS = ").rstrip(";\n"))
    rows = reader(config.published("demo"))("rows_edits")
    rows = rows[rows["place"] <= 0].fillna({"infill": ""})
    keys = ["slice_id", "edit", "infill", "dilation_px"]
    by = rows.set_index(keys)[[f"p_{name}" for name in made["classes"]]].sort_index()
    shown = [(one["slice"], variant) for one in made["slices"] for variant in one["variants"]]
    assert len(shown) > 80 and made["colors"] == style.CLASS_COLORS
    for slice_id, variant in shown:
        key = (slice_id, variant["edit"], variant["infill"], variant["dilation"])
        wanted, todo = pytest.approx(by.loc[key].to_numpy(), abs=6e-4), "python docs/make_edits.py"
        assert variant["p"] == wanted, todo
