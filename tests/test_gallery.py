"""The gallery shows every published figure, says what it is, and links to what is there."""

import re

from tumorcf_lib import config
from tumorcf_lib.publish import gallery, publish

PAGE = config.FIGURES / "README.md"


def test_the_committed_gallery_is_what_todays_code_makes_of_the_published_folders():
    assert PAGE.read_text(encoding="utf-8") == gallery.page(publish.SIDE_STUDIES)


def test_every_published_figure_is_shown_with_a_caption_and_every_link_leads_somewhere():
    text = PAGE.read_text(encoding="utf-8")
    shown = re.findall(r"^!\[(.+)\]\((.+)\)$", text, re.MULTILINE)
    assert {path for _, path in shown} == {
        f"{p.parent.name}/{p.name}" for p in config.FIGURES.glob("*/*.png")
    }
    assert all(caption.endswith((".", "?")) for caption, _ in shown)
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert [link for link in links if not (config.FIGURES / link).is_file()] == []
