"""The crate: RO-Crate 1.1's rules, and every file that it names is there."""

import datetime
import json
import re

from tumorcf_lib import config
from tumorcf_lib.publish import card

MADE = {
    path.parent.name: json.loads(path.read_text())
    for path in sorted(config.FIGURES.glob("*/manifest.json"))
}


def test_the_published_crate_is_the_one_that_the_manifests_give():
    published = json.loads((config.FIGURES / card.CRATE).read_text())
    assert published == card.metadata(MADE), "run: python -m tumorcf_lib card figures/paper-lite"


def test_it_is_as_the_specification_wants_it_and_every_file_that_it_names_is_there():
    made = card.metadata(MADE)
    assert made["@context"] == "https://w3id.org/ro/crate/1.1/context"
    entities = {entity["@id"]: entity for entity in made["@graph"]}
    assert len(entities) == len(made["@graph"])  # flat, each once
    descriptor, root = entities[card.CRATE], entities["./"]
    assert descriptor["@type"] == "CreativeWork" and descriptor["about"] == {"@id": "./"}
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert root["@type"] == "Dataset" and root["name"] and root["description"]
    datetime.date.fromisoformat(root["datePublished"])
    assert {part["@id"] for part in root["hasPart"]} == {f"{name}/" for name in MADE}
    for entity in entities.values():
        assert {"@id", "@type"} <= entity.keys()
        named = json.dumps({key: own for key, own in entity.items() if key != "conformsTo"})
        assert set(re.findall(r'{"@id": "([^"]*)"}', named)) <= entities.keys()
        assert entity["@type"] != "File" or (config.FIGURES / entity["@id"]).is_file()
    assert "paper-lite/weights_fold0.npz" in entities
    assert entities["demo/"].get("isBasedOn") is None
    assert entities["leak/"]["isBasedOn"] == {"@id": card.DATASET}
