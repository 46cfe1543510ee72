"""The paper's own network from weights file to audit, and what happens without the file.

In place of ImageNet's weights, a file in the layout of the published one has random numbers."""

import dataclasses
import hashlib
import importlib
import tempfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from tiny_study import run_to_rows, slices_tested

from tumorcf_lib import config, rowfiles
from tumorcf_lib.networks import backbones, classifier
from tumorcf_lib.publish import publish
from tumorcf_lib.study import by_fold, reference

pytestmark = pytest.mark.monthly

REFUSING = "http://127.0.0.1:9/"  # nothing listens on the discard port
P = [f"p_{name}" for name in config.CLASSES]
SMALL = {"cohort": "phantom", "size_px": 64, "phantom_patients": 4, "phantom_slices": 1}
SMALL |= {"epochs": 2, "warmup_epochs": 1, "batch_size": 4, "predict_batch_size": 8}
SMALL |= {"n_places": 1, "n_control_places": 1, "n_resamples": 20}
PROFILE = dataclasses.replace(config.get("paper"), infills=("telea",), dilations_at_512=(), **SMALL)
"""The profile "paper" made small; network, weights and recipe are its own."""


@pytest.fixture(scope="module")
def random_network():
    """The network with random weights of the size that a trained one's have."""
    network = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(64, 64, 3))
    rng = np.random.default_rng(0)
    for layer in network.layers:
        layer.set_weights([draw(layer.name, w.name, w.shape, rng) for w in layer.weights])
    return network


def draw(layer, name, shape, rng):
    spread = rng.normal(size=tuple(shape)).astype(np.float32)
    if name == "kernel":
        return spread * np.float32(np.sqrt(2 / np.prod(shape[:-1])))
    if name == "moving_variance":
        start = backbones.INPUT_SCALES["resnet50"] ** 2 if layer.startswith("conv1") else 1.0
        return np.float32(start) * (1 + 0.1 * np.abs(spread))
    if name == "gamma":
        return (0.2 if layer.endswith("_3_bn") else 1.0) + 0.02 * spread
    return 0.02 * spread


@pytest.fixture(scope="module")
def file(random_network):
    """The file in a Keras home, in HDF5 as Keras 2 wrote it: a group a layer, names as attributes.
    It has 95 MB, so it does not stay among pytest's folders."""
    with tempfile.TemporaryDirectory(prefix="tumorcf-keras-") as home:
        path = Path(home) / "models" / backbones.RESNET_FILE
        path.parent.mkdir()
        with h5py.File(path, "w") as file:
            file.attrs["layer_names"] = [layer.name.encode() for layer in random_network.layers]
            file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.2.4"
            for layer in random_network.layers:
                group, names = file.create_group(layer.name), [w.name for w in layer.weights]
                names = [f"{layer.name}/{name}:0" for name in names]
                group.attrs["weight_names"] = [name.encode() for name in names]
                for name, values in zip(names, layer.get_weights(), strict=True):
                    group.create_dataset(name, data=values)
        yield path


def offline(patch, home, file=None):
    """Keras looks into this home, its server refuses, and ``file``'s hash is the published one:
    Keras checks the MD5 of what it finds, which random numbers cannot have."""
    resnet = importlib.import_module("keras.src.applications.resnet")
    patch.setattr(importlib.import_module("keras.src.backend.config"), "_KERAS_DIR", str(home))
    patch.setattr(resnet, "BASE_WEIGHTS_PATH", REFUSING)
    patch.setenv("no_proxy", "*")
    if file is not None:
        digest = hashlib.md5(file.read_bytes()).hexdigest()
        patch.setitem(resnet.WEIGHTS_HASHES, "resnet50", ("", digest))


@pytest.fixture(scope="module")
def study(file, small_splits, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        offline(patch, file.parents[1], file)
        return run_to_rows(tmp_path_factory.mktemp("paper"), PROFILE)


def test_weights_are_found_and_kept_in_a_training(file, study, random_network, monkeypatch):
    offline(monkeypatch, file.parents[1], file)
    model = backbones.build_backbone("resnet50", 64, "imagenet")
    path = study.folder / "03_training" / "weights_fold0.npz"
    with np.load(path) as stored:
        kept = {"/".join(name.split("/")[-2:]): stored[name] for name in stored.files}
    for layer in random_network.layers[1:]:  # after the input
        for own, start in zip(model.get_layer(layer.name).weights, layer.weights, strict=True):
            np.testing.assert_array_equal(own, start, err_msg=start.path)
            if "moving_" in start.name:  # norms keep their pretrained state through a training
                np.testing.assert_array_equal(kept[f"{layer.name}/{start.name}"], start)
    kernel, start = kept["conv1_conv/kernel"], random_network.get_layer("conv1_conv").kernel
    np.testing.assert_allclose(kernel, start, atol=0.01)  # two epochs move it little
    assert path.stat().st_size > publish.MAX_WEIGHTS_BYTES  # too large for git, so never published
    rescale = classifier.load_float16(PROFILE, path).get_layer("resnet50")
    assert rescale.get_layer("to_pretraining_scale").scale == 58.0


def test_every_tested_slice_is_predicted_and_audited_with_one_answer(study):
    predictions = rowfiles.read_table(study.folder / "04_evaluation" / "rows_predictions.csv.gz")
    rows = rowfiles.read_table(study.folder / "05_counterfactuals" / "rows_edits.csv.gz")
    assert set(predictions["slice_id"]) == set(rows["slice_id"]) == slices_tested(study)
    assert set(rows["edit"]) == {edit.name for edit in by_fold.edits_of(PROFILE)}
    answers, rows = predictions.set_index("slice_id")[P], rows.set_index("slice_id")
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-4)
    original = rows.loc[rows["edit"] == "original", P]
    assert (answers - original).abs().to_numpy().max() < reference.TOLERANCE
    removed = rows.loc[(rows["edit"] == "remove") & (rows["infill"] == "navier_stokes"), P]
    moved = (removed - original).abs().to_numpy()
    assert np.isfinite(moved).all() and moved.max() > 0.01


def test_the_error_names_a_file_that_is_missing_or_cut_off(file, tmp_path, monkeypatch):
    offline(monkeypatch, tmp_path)
    with pytest.raises(backbones.WeightsUnavailableError, match="URL fetch failure") as error:
        classifier.build(PROFILE)
    assert f"put {backbones.RESNET_FILE} by hand into ~/.keras/models" in str(error.value)
    path = file.with_name("half.h5")
    path.write_bytes(file.read_bytes()[:50_000_000])
    with pytest.raises(backbones.WeightsUnavailableError, match="half.h5.*truncated"):
        backbones.build_backbone("resnet50", 64, str(path))
