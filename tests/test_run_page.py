"""Claims about a run's page: complete, self-contained, and readable without Python."""

import base64
import io
import re
from dataclasses import replace

import nbformat
import nbformat.v4 as nb
import numpy as np
import pandas as pd
import pytest
from fake_rows import one_slice, with_classes
from PIL import Image

from tumorcf_lib import config, rowfiles
from tumorcf_lib.edits import edits
from tumorcf_lib.publish import page as run_page, texts
from tumorcf_lib.study import notebooks, reference, stages


def shown(kind, data):
    return nb.new_output("display_data", {kind: data})


def notebook(*outputs, following="02_preprocessing"):
    badges = texts.badges("notebooks/01_data.ipynb")
    figure = 'results.save_figure(fig, "fig07_made_up", data=[], shows_slices=False)'
    told = shown("text/markdown", "- **It** is 4 < `5`.\n\nLimitation: few.")
    cells = [
        nb.new_markdown_cell(f"# 01 · Data\n\n**Who is\nasking?**\n\n{badges}"),
        nb.new_code_cell("!pip install everything", metadata={"tags": ["setup"]}),
        nb.new_markdown_cell(
            "## How large & how many\n\nAs $x_1$, see [code](../LICENSE):\n"
            r"$$a = \frac{b}{c},\qquad d = 1$$"
        ),
        nb.new_code_cell(figure, outputs=list(outputs)),
        nb.new_code_cell("tell(found)", outputs=[told]),
        nb.new_markdown_cell(f"Next: [on]({following}.ipynb), or [yours](audit_your_model.ipynb)"),
    ]
    state = {"application/vnd.jupyter.widget-state+json": {"state": {"1": {}}}}
    return nb.new_notebook(cells=cells, metadata={"widgets": state})


@pytest.fixture(scope="module")
def page():
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 900, 3), 200, np.uint8)).save(buffer, "PNG")
    picture = shown("image/png", base64.b64encode(buffer.getvalue()).decode())
    bar = nb.new_output("stream", name="stderr", text="audit: 30%|###")
    many = nb.new_output("stream", name="stdout", text="epoch  loss 0.5\n" * 20)
    made = {
        "01_data": notebook(picture, bar, shown(texts.WIDGET, {"model_id": "1"})),
        "02_preprocessing": notebook(many, following="01_data"),
    }
    return run_page.document(made, ["Nobody's <slices>."])


def test_the_page_loads_and_runs_nothing_and_every_link_has_its_place(page):
    loaded = re.findall(r'\b(?:src|srcset|poster|data)="([^"]*)"', page)
    assert len(loaded) == 1 + 2 * 3  # a picture, three formulas a part
    assert all(address.startswith("data:image/") for address in loaded)
    assert not {"script", "link", "iframe", "object"} & set(re.findall(r"<(\w+)", page))
    assert "url(" not in page and "@import" not in page
    assert "default-src 'none'; img-src data:" in page  # and the browser is told so
    links = re.findall(r'<a\b[^>]* href="([^"]*)"', page)
    assert len(re.findall(r'\bhref="[^"]', page)) == len(links)  # nothing but a link has one
    within = {link[1:] for link in links if link.startswith("#")}
    assert {"01_data", "02_preprocessing"} <= within <= set(re.findall(r'\bid="([^"]*)"', page))
    for path in ("LICENSE", "notebooks/audit_your_model.ipynb"):
        assert f"{texts.repository_address()}/blob/main/{path}" in links
    assert len([link for link in links if link.endswith(".ipynb")]) == 2


def test_the_beginning_tells_question_and_answer_of_every_notebook(page):
    first, _, rest = page.partition("In short")
    assert rest.count("Who is\nasking?</dt><dd>It is 4 &lt; 5.</dd><dd>Limitation: few.</dd>") == 2
    assert "Nobody&#39;s &lt;slices&gt;." in first
    assert "<li>It is 4 &lt; 5.</li>" in first  # what the last notebook found
    assert re.search(r"<h3[^>]*>How large &amp; how many</h3>", page)


def test_code_is_hidden_what_only_installs_is_left_out_and_a_picture_grows_on_a_tap(page):
    assert page.count("save_figure") == 2
    assert ".code { display: none; }" in page and 'id="show-code"' in page
    assert "pip install" not in page and "audit: 30%" not in page
    assert re.search('natural: 900px"><label class="zoom"><input type="checkbox"/?><img', page)
    assert 'alt="Figure fig07_made_up; the text below reads it out"' in page
    assert re.search(r"<summary>20 lines</summary>\s*<pre", page)


def test_every_formula_of_the_notebooks_can_be_drawn_in_equal_bytes_and_code_is_left_alone():
    found = set()
    for path in config.NOTEBOOKS.glob("*.ipynb"):
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "markdown":
                made = run_page._prose(cell.source)
                assert "<code>" not in made  # what could not be drawn
                assert "$" not in re.sub("`[^`]+`", "", made)
                found.update(re.findall('class="math" alt="([^"]+)"', made))
    assert len(found) >= 10
    assert run_page.formula(r"\frac{a}{b}") == run_page.formula.__wrapped__(r"\frac{a}{b}")
    assert run_page._prose("`^a$` and `b$` of `$c$`") == "`^a$` and `b$` of `$c$`"


def test_without_its_notebooks_there_is_no_page_but_words_on_what_to_do(study):
    with pytest.raises(run_page.PublishError, match="(?s)missing: 01_data.*--profile smoke"):
        run_page.write(study)
    assert not (study.folder / run_page.PAGE).exists()


def test_the_page_names_what_is_out_of_date_and_a_training_that_was_not_run(study, monkeypatch):
    for name in stages.NAMES:
        copy = notebooks.executed_copy(study, name)
        copy.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook(), copy)
    why = dict.fromkeys(stages.NAMES[2:4], "the seed changed since")
    monkeypatch.setattr(stages, "why_stale", lambda study, name: why.get(name))
    text = run_page.write(study).read_text(encoding="utf-8")
    assert "Out of date: 03_training, 04_evaluation (the seed changed since)." in text
    assert "phantom" in text.partition("In short")[0] and "Profile smoke" in text
    why.clear()
    notebooks.executed_copy(study, "03_training").unlink()
    monkeypatch.setattr(reference, "is_installed", lambda study: True)
    text = run_page.write(study).read_text(encoding="utf-8")
    assert "the published weights took its place" in text
    assert "Out of date" not in text and '<section id="03_training">' not in text


@pytest.fixture
def audited(study):
    """A run's slices and rows: three slices of three classes whose Net-Drop is 0.1, 0.3, 0.2."""
    slices = np.random.default_rng(0).normal(size=(3, 32, 32)).astype(np.float32)
    masks = np.zeros((3, 32, 32), bool)
    masks[:, 12:18, 12:18] = True
    for name in ("01_data", "02_preprocessing", "05_counterfactuals"):
        (study.folder / name).mkdir(parents=True)
    np.save(study.folder / run_page.INPUTS, slices)
    np.save(study.folder / run_page.MASKS, masks)
    rows = []
    for number, label, drop in zip((7, 8, 9), config.CLASSES, (0.1, 0.3, 0.2), strict=True):
        edited = [("original", -1, 0.9, 0), ("remove", -1, 0.8 - drop, 1)]
        edited += [("sham", 0, 0.7, 1), ("sham", 1, 0.9, 1)]
        rows += one_slice(edited, slice_id=number, label=label)
        rows += one_slice([("remove", -1, 0.01, 1)], slice_id=number, label=label, infill="telea")
    rowfiles.write_table(with_classes(pd.DataFrame(rows)), study.folder / run_page.ROWS)
    rowfiles.write_table(pd.DataFrame({"slice_id": [7, 8, 9]}), study.folder / run_page.SLICES)
    return slices, masks


def test_the_gallery_is_sorted_by_net_drop_and_by_class_and_empty_without_slices(
    study, audited, tmp_path
):
    assert not any(run_page.of_run(replace(study, folder=tmp_path / "nothing")).values())
    found = run_page.slice_scores(study)
    assert found["slice_id"].tolist() == [8, 9, 7]
    np.testing.assert_allclose(found["net_drop"], [0.3, 0.2, 0.1])
    shown = {"gallery": run_page.gallery(found, study), "n_tested": 3}
    text = run_page.document({"01_data": notebook()}, ["Nobody's slices."], **shown)
    orders = re.findall(r"--largest: (-?\d+); --smallest: (-?\d+); --class: (\d+)", text)
    assert re.findall(r"<figcaption>(\w+):", text) == ["glioma", "pituitary", "meningioma"]
    assert orders == [("0", "0", "0"), ("1", "-1", "2"), ("2", "-2", "1")]
    assert run_page.of_run(study)["middle"][0]["slice_id"] == 9


def test_a_slice_swaps_with_its_own_edit_in_one_window(study, audited):
    slices, masks = audited
    row = run_page.slice_scores(study).query("slice_id == 9")
    (made,) = run_page.with_edits(row, study)
    low, high = slices[2].min(), slices[2].max()
    for name, array in (("picture", slices[2]), ("edited", edits.remove(slices[2], masks[2]))):
        shown = Image.open(io.BytesIO(base64.b64decode(made[name].partition("base64,")[2])))
        expected = np.clip((array - low) / (high - low), 0, 1) * 255
        assert np.abs(np.asarray(shown, float) - expected).mean() < 12  # JPEG of noise
