"""``figures/ro-crate-metadata.json``: the published folders as RO-Crate, from their manifests."""

import json
import re
from pathlib import Path

from tumorcf_lib import config, steps
from tumorcf_lib.publish import sections
from tumorcf_lib.study.side_studies import MANIFEST, published_folders

FILE = "ro-crate-metadata.json"
DATASET = "https://doi.org/10.6084/m9.figshare.1512427"
FORMATS = {
    ".gz": "application/gzip",
    ".npz": "application/zip",
    ".json": "application/json",
    ".md": "text/markdown",
}
"""Files that the crate names, by their endings: rows, weights, manifests, model cards."""


def write() -> None:
    """Rebuild the file."""
    made = {folder.name: steps.read_json(folder / MANIFEST) for folder in published_folders()}
    steps.write_json(config.FIGURES / FILE, metadata(made))


def metadata(manifests) -> dict:
    """The crate of published folders, {name: manifest}; their license, date and title are those
    of CITATION.cff."""
    text = (config.ROOT / "CITATION.cff").read_text(encoding="utf-8")
    files = {
        name: [file for file in (*made["sha256"], MANIFEST) if Path(file).suffix in FORMATS]
        for name, made in manifests.items()
    }
    told = {"folders": manifests, "files": files, "formats": FORMATS, "dataset": DATASET}
    cited = dict(re.findall(r'^([\w-]+): "?(.*?)"?$', text, re.M))
    author = re.search(r'- name: "(.*)"', text)[1]
    return json.loads(sections.render("crate.json.j2", cited=cited, author=author, **told))
