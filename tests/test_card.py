"""The model card: its numbers are the published tables', its code runs; and the crate."""

import datetime
import json
import re
import shutil

import numpy as np
import pytest
import yaml

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.networks import classifier
from tumorcf_lib.phantoms import cohort
from tumorcf_lib.publish import card as cards

PUBLISHED = config.published("paper-lite")
MANIFESTS = sorted(config.FIGURES.glob("*/manifest.json"))
MADE = {path.parent.name: steps.read_json(path) for path in MANIFESTS}
NEEDED = [*(f"{name}.csv" for name in cards.READ), "numbers.json", "manifest.json"]


@pytest.fixture
def folder(tmp_path):
    """A copy of what the card is made of, and weights of a few bytes."""
    for name in NEEDED:
        shutil.copyfile(PUBLISHED / name, tmp_path / name)
    for name in ("weights_fold0.npz", "weights_hardened_fold0.npz", "weights_looking_fold0.npz"):
        (tmp_path / name).write_text(name)
    return tmp_path


def card(folder, **changes):
    manifest = steps.read_json(folder / "manifest.json")
    manifest["profile"] |= changes
    return cards.card(folder, manifest)


def test_the_card_of_another_network_names_it_and_its_start(folder):
    text = card(folder, backbone="resnet50", weights=None)
    assert "seed 0: ResNet-50 from random weights, global average" in text


def test_every_decimal_of_the_card_is_a_value_of_a_table_of_its_folder(folder):
    text = card(folder).replace(f"within {cards.TOLERANCE:g}", "")
    assert "not for diagnosis" in text and "10.6084/m9.figshare.1512427" in text
    for path in folder.glob("*.npz"):
        assert f"`{path.name}`" in text and steps.file_sha256(path)[:16] in text
    told = set(re.findall(r"-?\d+\.\d{3}\b", text))
    survival = (folder / "table_survival.csv").read_text()  # sentences
    known = set(re.findall(r"-?\d+\.\d{3}\b", survival))
    for name in cards.READ:
        numbers = rowfiles.read_table(folder / f"{name}.csv").select_dtypes("number")
        known |= {f"{value:.3f}" for value in numbers.to_numpy(float).ravel()}
    assert len(told) > 100 and told <= known


def test_a_number_a_count_and_what_model_hubs_read_are_the_tables(folder):
    table = rowfiles.read_table(folder / "table_scores.csv").set_index(["score", "group"])
    before = card(folder)
    table.loc[("net_drop", "glioma"), "effect"] = 0.777
    rowfiles.write_table(table.reset_index(), folder / "table_scores.csv")
    assert card(folder).count("0.777 [") == before.count("0.777 [") + 1
    (index,) = yaml.safe_load(before.split("---\n")[1])["model-index"]
    table = rowfiles.read_table(folder / "table_performance.csv")
    accuracy = table[(table["metric"] == "accuracy") & (table["group"] == "all")]["value"]
    assert [m["value"] for m in index["results"][0]["metrics"]] == [round(v, 3) for v in accuracy]
    split = rowfiles.read_table(folder / "split.csv")
    tested = split[(split["part"] == "test") & (split["label"] == 1)]["person_id"]
    (line,) = re.findall(r"^\| test \|.*", before, re.M)
    assert line.split(" | ")[2] == f"{tested.nunique()} patients, {len(tested)} slices"


def test_its_lines_load_the_network_and_predict_as_keras_own_weights_do(folder, monkeypatch):
    """The published card's code, on two phantom slices; then the same from ``.weights.h5``."""
    monkeypatch.chdir(config.ROOT)
    (code,) = re.findall(r"```python\n(.*?)```", card(folder), flags=re.DOTALL)
    assert len(code.splitlines()) == 7
    names = {"slices": cohort.make_cohort(1, 1, size_px=96, seed=0).slices[:2]}
    exec(code, names)
    assert names["p"].shape == (2, 3)
    for path in folder.glob("*.npz"):
        path.unlink()
    shutil.copyfile(PUBLISHED / "weights_fold0.npz", folder / "weights_fold0.npz")
    cards.renew(folder, folder / "h5")
    model = names["model"]
    model.set_weights([0 * weight for weight in model.get_weights()])
    model.load_weights(folder / "h5" / "weights_fold0.weights.h5")
    np.testing.assert_array_equal(classifier.predict(model, names["inputs"]), names["p"])


def test_without_weights_or_a_table_or_manifest_nothing_is_written(folder):
    manifest = steps.read_json(folder / "manifest.json")
    for name in ("history.csv", "weights_fold0.npz"):
        (folder / name).rename(folder / "away")
        assert not cards.write(folder, manifest) and cards.problems(folder) == []
        with pytest.raises(cards.PublishError, match=name):
            cards.renew(folder)
        (folder / "away").rename(folder / name)
    (folder / "manifest.json").unlink()
    with pytest.raises(cards.PublishError, match="holds no manifest.json"):
        cards.renew(folder)


def test_a_changed_line_is_named_and_renewing_mends_it(folder):
    path = cards.renew(folder)
    assert cards.problems(folder) == []
    text = path.read_text()
    path.write_text(text.replace("not for diagnosis", "for diagnosis"))
    (problem,) = cards.problems(folder)
    assert problem.startswith("MODEL_CARD.md, line 20:")
    path.write_text(text + "One more line.\n")
    assert cards.problems(folder)[0].endswith("'One more line.', from the tables None")
    cards.renew(folder)
    assert path.read_text() == text
    hashes = steps.read_json(folder / "manifest.json")["sha256"]
    assert hashes[cards.FILE] == steps.file_sha256(path)


def test_the_published_crate_is_the_one_that_the_manifests_give():
    published = steps.read_json(config.FIGURES / cards.CRATE)
    assert published == cards.metadata(MADE), "run: python -m tumorcf_lib card figures/paper-lite"


def test_the_crate_is_as_the_specification_wants_it_and_every_file_that_it_names_is_there():
    made = cards.metadata(MADE)
    assert made["@context"] == "https://w3id.org/ro/crate/1.1/context"
    entities = {entity["@id"]: entity for entity in made["@graph"]}
    assert len(entities) == len(made["@graph"])  # flat, each once
    descriptor, root = entities[cards.CRATE], entities["./"]
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
    assert entities["leak/"]["isBasedOn"] == {"@id": cards.DATASET}
