"""The model card: every number is one of the published tables', and the code in it runs."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
import yaml

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.networks import classifier
from tumorcf_lib.phantoms import cohort
from tumorcf_lib.publish import card as cards, publish
from tumorcf_lib.study import runtime

PUBLISHED = config.published("paper-lite")
NEEDED = [*(f"{name}.csv" for name in cards.READ), "numbers.json", "manifest.json"]


@pytest.fixture
def folder(tmp_path):
    """A copy of what the card is made of, and weights of a few bytes."""
    for name in NEEDED:
        shutil.copyfile(PUBLISHED / name, tmp_path / name)
    for name in ("weights_fold0.npz", "weights_hardened_fold0.npz", "weights_looking_fold0.npz"):
        (tmp_path / name).write_text(name)
    return tmp_path


def card(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    return cards.card(folder, manifest)


def test_every_decimal_of_the_card_is_a_value_of_a_table_of_its_folder(folder):
    text = card(folder).replace(f"within {cards.TOLERANCE:g}", "")
    told = set(re.findall(r"-?\d+\.\d{3}\b", text))
    known = set()
    for name in cards.READ:
        numbers = rowfiles.read_table(folder / f"{name}.csv").select_dtypes("number")
        known |= {f"{value:.3f}" for value in numbers.to_numpy(float).ravel()}
    assert len(told) > 100
    assert told <= known


def test_numbers_and_counts_of_the_tables_are_the_cards(folder):
    table = rowfiles.read_table(folder / "table_scores.csv").set_index(["score", "group"])
    before = card(folder)
    assert f"{table.loc[('net_drop', 'glioma'), 'effect']:.3f} [" in before
    table.loc[("net_drop", "glioma"), "effect"] = 0.777
    rowfiles.write_table(table.reset_index(), folder / "table_scores.csv")
    assert card(folder).count("0.777 [") == before.count("0.777 [") + 1
    split = rowfiles.read_table(folder / "split.csv")
    tested = split[(split["part"] == "test") & (split["label"] == 1)]
    n_persons, n_slices = tested["person_id"].nunique(), len(tested)
    (line,) = [line for line in before.splitlines() if line.startswith("| test |")]
    assert line.split(" | ")[2] == f"{n_persons} patients, {n_slices} slices"


def test_it_says_what_it_is_for_whom_to_credit_and_which_files_are_whole(folder):
    text = card(folder)
    assert "not for diagnosis" in text and "part `test` only" in text
    for credit in ("MIT", "10.6084/m9.figshare.1512427", "CC BY 4.0", "Apache-2.0", "Google"):
        assert credit in text
    for path in folder.glob("*.npz"):
        assert f"`{path.name}`" in text and steps.file_sha256(path)[:16] in text
    (folder / "weights_looking_fold0.npz").unlink()
    assert "weights_looking" not in card(folder)


def test_its_first_lines_are_what_model_hubs_read(folder):
    head = yaml.safe_load(card(folder).split("---\n")[1])
    assert head["license"] == "mit" and head["library_name"] == "keras"
    assert head["pipeline_tag"] == "image-classification"
    (index,) = head["model-index"]
    (result,) = index["results"]
    table = rowfiles.read_table(folder / "table_performance.csv")
    accuracy = table[(table["metric"] == "accuracy") & (table["group"] == "all")]["value"]
    assert [m["value"] for m in result["metrics"]] == [round(v, 3) for v in accuracy]
    assert {"type", "name"} <= result["dataset"].keys() and index["name"] == "tumorcf-paper-lite"


def test_its_lines_load_the_network_and_predict_as_keras_own_weights_do(folder, monkeypatch):
    """The published card's code, on two phantom slices; then the same from ``.weights.h5``."""
    monkeypatch.chdir(config.ROOT)
    (code,) = re.findall(r"```python\n(.*?)```", card(folder), flags=re.DOTALL)
    assert len(code.splitlines()) == 7
    names = {"slices": cohort.make_cohort(1, 1, size_px=96, seed=0).slices[:2]}
    exec(code, names)
    assert names["p"].shape == (2, 3)
    np.testing.assert_allclose(names["p"].sum(axis=1), 1, atol=1e-5)
    for path in folder.glob("*.npz"):
        path.unlink()
    shutil.copyfile(PUBLISHED / "weights_fold0.npz", folder / "weights_fold0.npz")
    cards.renew(folder, folder / "h5")
    model = names["model"]
    model.set_weights([0 * weight for weight in model.get_weights()])
    model.load_weights(folder / "h5" / "weights_fold0.weights.h5")
    np.testing.assert_array_equal(classifier.predict(model, names["inputs"]), names["p"])


def test_without_weights_or_a_table_nothing_is_written(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    assert cards.write(folder, manifest)
    (folder / cards.FILE).unlink()
    (folder / "history.csv").unlink()
    assert not cards.write(folder, manifest)
    shutil.copyfile(PUBLISHED / "history.csv", folder / "history.csv")
    (folder / "weights_fold0.npz").unlink()
    assert not cards.write(folder, manifest)
    assert not (folder / cards.FILE).exists()
    with pytest.raises(cards.PublishError, match="weights_fold0.npz"):
        cards.renew(folder)


def test_a_changed_line_is_named_and_renewing_mends_it(folder):
    path = cards.renew(folder)
    assert cards.problems(folder) == []
    text = path.read_text()
    path.write_text(text.replace("not for diagnosis", "for diagnosis"))
    (problem,) = cards.problems(folder)
    assert problem.startswith("MODEL_CARD.md, line 20:")
    path.write_text(text + "One more line.\n")
    assert "lines; made from the tables" in cards.problems(folder)[0]
    cards.renew(folder)
    assert path.read_text() == text
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["sha256"][cards.FILE] == steps.file_sha256(path)
    assert list(manifest["sha256"]) == sorted(manifest["sha256"])


def test_a_folder_without_a_card_is_no_problem_and_one_without_manifest_is_named(tmp_path):
    assert cards.problems(tmp_path) == []
    with pytest.raises(cards.PublishError, match="holds no manifest.json"):
        cards.renew(tmp_path)


def test_published_are_small_networks_of_one_split_and_of_a_phantom_the_plain_one(tmp_path):
    def is_published(name, **changes):
        (tmp_path / name).write_bytes(b"numbers")
        profile = dataclasses.replace(config.get("paper-lite"), **changes)
        study = runtime.Study(profile, 0, tmp_path)
        return publish._is_reference_weights(study, tmp_path / name)

    assert is_published("weights_looking_fold0.npz")
    assert not is_published("inputs.npy")
    assert is_published("weights_fold0.npz", cohort="phantom")
    assert not is_published("weights_looking_fold0.npz", cohort="phantom")
    assert not is_published("weights_fold0.npz", n_folds=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publish, "MAX_WEIGHTS_BYTES", len(b"numbers"))
        assert not is_published("weights_fold0.npz")
