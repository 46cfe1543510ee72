"""``figures/ro-crate-metadata.json``: the published folders as RO-Crate, from their manifests."""

import json
import re

from tumorcf_lib import config, steps
from tumorcf_lib.publish import texts
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
    cited = dict(re.findall(r'^([\w-]+): "?(.*?)"?$', text, re.M))
    author = re.search(r'- name: "(.*)"', text)[1]
    crate = json.loads(texts.render("crate.json.j2", cited=cited, author=author, folders=manifests))
    folders = [entity for name, made in manifests.items() for entity in _folder(name, made)]
    crate["@graph"][2:2] = folders  # after the file itself and the root
    return crate


def _folder(name, manifest):
    """A folder as a dataset, and its files that others may want."""
    of_patients = manifest["profile"]["cohort"] == "cheng"
    files = [
        file
        for file in (*manifest["sha256"], MANIFEST)
        if any(file.endswith(end) for end in FORMATS)
    ]
    yield {
        "@id": f"{name}/",
        "@type": "Dataset",
        "name": name,
        "description": manifest["source"],
        **({"isBasedOn": {"@id": DATASET}} if of_patients else {}),
        "hasPart": [{"@id": f"{name}/{file}"} for file in files],
    }
    for file in files:
        form = FORMATS[file[file.rindex(".") :]]  # its hash is in the manifest
        yield {"@id": f"{name}/{file}", "@type": "File", "name": file, "encodingFormat": form}
