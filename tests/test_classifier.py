"""The classifier's shape, its predictions, and its files."""

import dataclasses
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from tumorcf_lib import config
from tumorcf_lib.networks import classifier, recipe

PROFILE = dataclasses.replace(config.get("smoke"), size_px=32, weights=None)


@pytest.fixture(scope="module")
def model(three_blocks):
    return classifier.build(PROFILE)


@pytest.fixture(scope="module")
def slices():
    return np.random.default_rng(0).normal(size=(5, 32, 32)).astype(np.float32)


def test_float16_weights_are_bounded_and_predict_almost_the_same(model, slices, tmp_path):
    path = tmp_path / "weights.npz"
    classifier.save_float16(model, path)
    first = path.read_bytes()
    classifier.save_float16(model, path)
    assert path.read_bytes() == first  # equal weights give equal bytes
    with pytest.raises(classifier.WeightsTooLargeError, match="at most 1000 bytes"):
        classifier.save_float16(model, path, max_bytes=1000)
    again = classifier.load_float16(PROFILE, path)
    np.testing.assert_allclose(
        classifier.predict(again, slices), classifier.predict(model, slices), atol=5e-3
    )
    assert [file.name for file in tmp_path.iterdir()] == ["weights.npz"]


def test_weights_of_another_network_are_refused_by_name(model, tmp_path):
    path = tmp_path / "weights.npz"
    classifier.save_float16(model, path)
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays["hidden/kernel"] = arrays["hidden/kernel"][:, :5]
    np.savez(path, **arrays)
    with pytest.raises(classifier.WeightsMismatchError, match="hidden/kernel"):
        classifier.load_float16(PROFILE, path)


def keras_of(folder, **environment):
    """What a process of its own says of its backbone, with a keras.json of somebody else's."""
    kept = {"image_data_format": "channels_first", "floatx": "float16", "backend": "torch"}
    (folder / "keras.json").write_text(json.dumps({**kept, "epsilon": 1e-3}))
    code = (
        "from tumorcf_lib.networks import backbones; import keras;"
        "made = backbones.build_backbone('efficientnet_lite0', 64, None);"
        "print(keras.backend.backend(), made.output_shape, made.compute_dtype)"
    )
    inherited = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=config.ROOT,
        env={**inherited, "KERAS_HOME": str(folder), **environment},
    )


def test_what_another_project_left_in_keras_json_chooses_nothing(tmp_path):
    assert keras_of(tmp_path).stdout.strip() == "tensorflow (None, 2, 2, 1280) float32"
    asked = keras_of(tmp_path, KERAS_BACKEND="no_such")
    assert "MissingBackendError: Expected the backend 'no_such' of Keras" in asked.stderr


def test_the_loss_is_scaled_where_gradients_are_float16():
    for policy, scales in (("mixed_float16", True), ("float32", False)):
        layers = [keras.Input((4,)), keras.layers.Dense(3, "softmax", dtype=policy)]
        network = keras.Sequential(layers)
        made = recipe.make_optimizer(dataclasses.replace(PROFILE, ema_momentum=0.9), 10)
        network.compile(recipe.scaling(made, network), "categorical_crossentropy")
        assert isinstance(network.optimizer, keras.optimizers.LossScaleOptimizer) == scales
        inputs = np.ones((2, 4), np.float32)
        network.train_on_batch(inputs, np.eye(3, dtype=np.float32)[:2])
        last = network.get_weights()[0]
        with recipe.averaged_weights(network, None):
            assert np.isfinite(network.get_weights()[0]).all()
        np.testing.assert_array_equal(network.get_weights()[0], last)


@pytest.mark.parametrize("damage", [b"<html>no file</html>", "half", "bomb"])
def test_a_weights_file_that_is_none_is_named(model, tmp_path, monkeypatch, damage):
    path = tmp_path / "weights.npz"
    classifier.save_float16(model, path)
    content = path.read_bytes()
    if damage == "bomb":
        monkeypatch.setattr(classifier, "MAX_STORED_BYTES", 1000)
    elif damage == "half":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(damage)
    with pytest.raises(classifier.WeightsMismatchError, match="weights.npz, got: "):
        classifier.load_float16(PROFILE, path)
