"""Settings of the website; docs/build.py makes the folder that they are for."""

import tomllib
from pathlib import Path

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

HERE = Path(__file__).resolve()  # copied into build/
ROOT = next(path for path in HERE.parents if (path / "pyproject.toml").is_file())
ADDRESS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]

project = "tumorcf"
html_title = "Does a brain-tumor classifier look at the tumor?"
author = copyright = "the tumorcf authors"
extensions = ["myst_nb"]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
nb_execution_mode = "off"
html_theme = "sphinx_book_theme"
html_static_path = ["_static"]
html_favicon = "_static/icon.svg"
html_context = {"default_mode": "light"}
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
html_theme_options = {
    "repository_url": ADDRESS,
    "repository_branch": "main",
    "use_repository_button": True,
    "launch_buttons": {
        "binderhub_url": "https://mybinder.org",
        "colab_url": "https://colab.research.google.com",
    },
    "show_toc_level": 2,
}
html_math_renderer = "mathml"  # drawn by the browser: no script, no network
suppress_warnings = ["mystnb.unknown_mime_type", "misc.highlighting_failure"]


def setup(app):
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))


def _inline(self, node):
    self.body.append(convert(node.astext()))
    raise SkipNode


def _block(self, node):
    self.body.append(f'<div class="formula">{convert(node.astext(), display="block")}</div>')
    raise SkipNode
