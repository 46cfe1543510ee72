"""``figures/ro-crate-metadata.json``: the published folders as RO-Crate, from their manifests."""

import re

from tumorcf_lib import config, steps
from tumorcf_lib.study.side_studies import MANIFEST, published_folders

FILE = "ro-crate-metadata.json"
VERSION = "https://w3id.org/ro/crate/1.1"
LICENSE = "https://spdx.org/licenses/MIT"
DATASET = {
    "@id": "https://doi.org/10.6084/m9.figshare.1512427",
    "@type": "Dataset",
    "name": "brain tumor dataset",
    "author": {"@id": "#cheng"},
    "license": {"@id": "https://creativecommons.org/licenses/by/4.0/"},
}
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
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": cited["title"],
        "description": "Rows, tables, figures and networks that the study's numbers follow from.",
        "datePublished": cited["date-released"],
        "license": {"@id": LICENSE},
        "author": {"@id": "#authors"},
        "hasPart": [{"@id": f"{name}/"} for name in manifests],
    }
    about = {
        "@id": FILE,
        "@type": "CreativeWork",
        "conformsTo": {"@id": VERSION},
        "about": {"@id": "./"},
    }
    others = [
        DATASET,
        {"@id": LICENSE, "@type": "CreativeWork", "name": "MIT License"},
        {"@id": DATASET["license"]["@id"], "@type": "CreativeWork", "name": "CC BY 4.0"},
        {"@id": "#authors", "@type": "Organization", "name": author},
        {"@id": "#cheng", "@type": "Person", "name": "Jun Cheng"},
    ]
    folders = [entity for name, made in manifests.items() for entity in _folder(name, made)]
    return {"@context": f"{VERSION}/context", "@graph": [about, root, *folders, *others]}


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
        **({"isBasedOn": {"@id": DATASET["@id"]}} if of_patients else {}),
        "hasPart": [{"@id": f"{name}/{file}"} for file in files],
    }
    for file in files:
        form = FORMATS[file[file.rindex(".") :]]  # its hash is in the manifest
        yield {"@id": f"{name}/{file}", "@type": "File", "name": file, "encodingFormat": form}
