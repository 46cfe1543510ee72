"""The gallery shows every published figure, says what it is, and links to what is there."""

import re

import pandas as pd

from tumorcf_lib import config
from tumorcf_lib.figures import readings
from tumorcf_lib.publish import from_rows

PAGE = config.FIGURES / "README.md"


def test_the_committed_gallery_is_what_todays_code_makes_of_the_published_folders():
    assert PAGE.read_text(encoding="utf-8") == from_rows.page()


def test_every_published_figure_is_shown_with_a_caption_and_every_link_leads_somewhere():
    text = PAGE.read_text(encoding="utf-8")
    shown = re.findall(r"^!\[(.+)\]\((.+)\)$", text, re.MULTILINE)
    assert {path for _, path in shown} == {
        f"{p.parent.name}/{p.name}" for p in config.FIGURES.glob("*/*.png")
    }
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
