"""The paper's own network from weights file to audit, and what happens without the file.

ImageNet weights are not here. So the test writes a file in the layout of the published one, with
random numbers, and puts it where Keras looks: everything but the numbers is as a user has it.
"""

import dataclasses
import hashlib
import importlib
import os
import shutil
import tempfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from tiny_study import allow_small_splits, run_to_rows, slices_tested

from tumorcf_lib import config, rowfiles
from tumorcf_lib.edits import plan
from tumorcf_lib.networks import backbones, classifier
from tumorcf_lib.publish import publish

pytestmark = pytest.mark.monthly

PUBLISHED_BYTES = 94_765_736  # of the file that keras.applications downloads
REFUSING = "http://127.0.0.1:9/"  # nothing listens on the discard port
P = [f"p_{name}" for name in config.CLASSES]

PROFILE = dataclasses.replace(
    config.get("paper"),
    cohort="phantom",
    size_px=64,
    phantom_patients=4,
    phantom_slices=1,
    epochs=2,
    warmup_epochs=1,
    batch_size=4,
    n_places=1,
    n_control_places=1,
    infills=("telea",),
    dilations_at_512=(),
    n_resamples=20,
    predict_batch_size=8,
)
"""The profile "paper" made small; network, weights and recipe are its own."""


def published_weights(rng=None):
    """Layer name -> names and arrays of its weights, in the order of the published file.

    Random numbers that keep activations in range; zeros without ``rng``.
    """
    network = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(64, 64, 3))
    found = {}
    for layer in network.layers:
        arrays = {}
        for weight in layer.weights:
            values = np.zeros(weight.shape, np.float32)
            if rng is not None:
                values = draw(f"{layer.name}/{weight.name}", values.shape, rng)
            arrays[f"{layer.name}/{weight.name}:0"] = values
        found[layer.name] = arrays
    return found


def draw(name, shape, rng):
    """Numbers of the size that a trained network's weights of this name have."""
    spread = rng.normal(size=shape).astype(np.float32)
    if name.endswith("/kernel"):
        return spread * np.float32(np.sqrt(2 / np.prod(shape[:-1])))
    if name.endswith("/moving_variance"):
        start = backbones.INPUT_SCALES["resnet50"] ** 2 if name.startswith("conv1") else 1.0
        return np.float32(start) * (1 + 0.1 * np.abs(spread))
    if name.endswith("/gamma"):
        return (0.2 if "_3_bn" in name else 1.0) + 0.02 * spread
    return 0.02 * spread


def write_published_layout(path, weights, **storage):
    """HDF5 as Keras 2 wrote it: a group a layer, names of layers and weights as attributes."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in weights]
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.2.4"
        for layer, arrays in weights.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name in arrays]
            for name, values in arrays.items():
                group.create_dataset(name, data=values, **storage)


@pytest.fixture(scope="module")
def random_weights():
    return published_weights(np.random.default_rng(0))


@pytest.fixture(scope="module")
def home(random_weights):
    """A Keras home with the file; 95 MB, so it does not stay among pytest's folders."""
    with tempfile.TemporaryDirectory(prefix="tumorcf-keras-") as folder:
        path = Path(folder) / "models" / backbones.RESNET_FILE
        path.parent.mkdir()
        write_published_layout(path, random_weights)
        yield Path(folder)


def offline(patch, keras_home, file=None):
    """Keras looks into this home, its server refuses, and ``file``'s hash is the published one.

    Keras checks the MD5 of what it finds, which random numbers cannot have: the test gives the
    table of hashes that of its own file, and leaves the check itself in place.
    """
    resnet = importlib.import_module("keras.src.applications.resnet")
    settings = importlib.import_module("keras.src.backend.config")
    patch.setattr(settings, "_KERAS_DIR", str(keras_home))
    patch.setattr(resnet, "BASE_WEIGHTS_PATH", REFUSING)
    patch.setenv("no_proxy", "*")
    if file is not None:
        digest = hashlib.md5(file.read_bytes()).hexdigest()
        patch.setitem(resnet.WEIGHTS_HASHES, "resnet50", ("", digest))


@pytest.fixture(scope="module")
def study(home, tmp_path_factory):
    """The small "paper" study: data, inputs, two epochs, predictions, audit; no network."""
    with pytest.MonkeyPatch.context() as patch:
        offline(patch, home, home / "models" / backbones.RESNET_FILE)
        allow_small_splits(patch)
        return run_to_rows(tmp_path_factory.mktemp("paper"), PROFILE)


# -- the file ----------------------------------------------------------------


def layout(file):
    """Layers in order, each with the last word and the shape of its weights in order."""
    return [
        (
            layer,
            [
                (name.split("/")[-1].removesuffix(":0"), file[layer][name].shape)
                for name in texts(file[layer].attrs["weight_names"])
            ],
        )
        for layer in texts(file.attrs["layer_names"])
    ]


def texts(names):
    return [name.decode() if isinstance(name, bytes) else name for name in names]


def test_imagenet_weights_are_found_in_the_keras_folder_without_a_network(
    home, random_weights, monkeypatch
):
    offline(monkeypatch, home, home / "models" / backbones.RESNET_FILE)
    model = backbones.build_backbone("resnet50", 64, "imagenet")
    for layer, arrays in random_weights.items():
        for name, values in arrays.items():
            weight = name.split("/")[1].removesuffix(":0")
            (own,) = [w for w in model.get_layer(layer).weights if w.name == weight]
            np.testing.assert_array_equal(np.asarray(own), values, err_msg=name)


# -- the whole path ----------------------------------------------------------


def test_what_was_loaded_is_still_in_the_kept_weights(study, random_weights):
    """Norms keep their pretrained state, so they come out of the training as they went in."""
    path = study.folder / "03_training" / "weights_fold0.npz"
    with np.load(path) as stored:
        norms = [name for name in stored.files if "moving_" in name]
        assert len(norms) == 2 * 53
        for name in norms:
            layer, weight = name.split("/")[-2:]
            values = random_weights[layer][f"{layer}/{weight}:0"]
            np.testing.assert_array_equal(stored[name], values, err_msg=name)
        kernel = next(name for name in stored.files if name.endswith("conv1_conv/kernel"))
        assert stored[kernel].dtype == np.float16
        start = random_weights["conv1_conv"]["conv1_conv/kernel:0"]
        np.testing.assert_allclose(stored[kernel], start, atol=0.01)  # two epochs move it little
    assert path.stat().st_size > publish.MAX_WEIGHTS_BYTES  # too large for git, so never published


def test_the_rescale_to_imagenets_scale_is_inside_the_model(study):
    path = study.folder / "03_training" / "weights_fold0.npz"
    model = classifier.load_float16(PROFILE, path)
    rescale = model.get_layer("resnet50").get_layer("to_pretraining_scale")
    assert rescale.scale == backbones.INPUT_SCALES["resnet50"] == 58.0
    assert model.input_shape == (None, 64, 64, 1)


def test_every_tested_slice_is_predicted_and_audited_with_one_answer(study):
    predictions = rowfiles.read_table(study.folder / "04_evaluation" / "rows_predictions.csv.gz")
    rows = rowfiles.read_table(study.folder / "05_counterfactuals" / "rows_edits.csv.gz")
    assert set(predictions["slice_id"]) == set(rows["slice_id"]) == slices_tested(study)
    np.testing.assert_allclose(predictions[P].sum(axis=1), 1, atol=1e-4)
    original = rows[rows["edit"] == "original"].set_index("slice_id")[P]
    gap = (predictions.set_index("slice_id")[P] - original).abs().to_numpy().max()
    assert gap < publish.ROW_TOLERANCE
    edits = plan.HEADLINE_EDITS + plan.control_edits(("telea",), (), 64, 1)
    assert set(rows["edit"]) == {edit.name for edit in edits}
    removed = rows[(rows["edit"] == "remove") & (rows["infill"] == "navier_stokes")]
    assert (removed["edit_rms"] > 0).all()
    moved = (removed.set_index("slice_id")[P] - original).abs().to_numpy()
    assert np.isfinite(moved).all() and moved.max() > 0.01


# -- without the file, or with a wrong one -----------------------------------


def test_offline_the_error_names_file_folder_and_both_ways_out(tmp_path, monkeypatch):
    offline(monkeypatch, tmp_path)
    with pytest.raises(backbones.WeightsUnavailableError) as error:
        classifier.build(PROFILE)
    message = str(error.value)
    assert "URL fetch failure" in message  # why
    assert f"put {backbones.RESNET_FILE} by hand into ~/.keras/models" in message
    assert "storage.googleapis.com" in message  # where it is published
    assert "or give its path as weights" in message
    assert not list(tmp_path.rglob("*.h5"))


def test_a_truncated_file_is_refused_by_name(home):
    path = home / "half.h5"
    shutil.copyfile(home / "models" / backbones.RESNET_FILE, path)
    os.truncate(path, PUBLISHED_BYTES // 2)
    with pytest.raises(backbones.WeightsUnavailableError, match="half.h5.*truncated"):
        backbones.build_backbone("resnet50", 64, str(path))
