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


def test_float16_weights_have_equal_bytes_and_predict_almost_the_same(model, tmp_path):
    slices = np.random.default_rng(0).normal(size=(5, 32, 32)).astype(np.float32)
    paths = tmp_path / "weights.npz", tmp_path / "again.npz"
    for path in paths:
        classifier.save_float16(model, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    again = classifier.load_float16(PROFILE, path)
    p = classifier.predict(again, slices, batch_size=2)  # the last batch is filled up
    np.testing.assert_allclose(p, classifier.predict(model, slices), atol=5e-3)


@pytest.mark.parametrize(
    ("capability", "policy"),
    [((6, 1), "float32"), ((7, 5), "mixed_float16"), ((8, 0), "mixed_bfloat16")],
)
def test_a_gpu_computes_in_halves_that_it_has(monkeypatch, capability, policy):
    monkeypatch.setattr(classifier, "_has_gpu", lambda: True)
    monkeypatch.setattr(classifier, "_gpu_capability", lambda: capability)
    assert classifier.choose_precision("efficientnet_lite0") == policy


def test_the_loss_is_scaled_where_gradients_are_float16():
    for policy, scales in (("mixed_float16", True), ("float32", False)):
        layers = [keras.Input((4,)), keras.layers.Dense(3, "softmax", dtype=policy)]
        network = keras.Sequential(layers)
        made = recipe.make_optimizer(dataclasses.replace(PROFILE, ema_momentum=0.9), 10)
        network.compile(recipe.scaling(made, network), "categorical_crossentropy")
        assert isinstance(network.optimizer, keras.optimizers.LossScaleOptimizer) == scales
        inputs = np.ones((2, 4), np.float32)
        network.train_on_batch(inputs, np.eye(3, dtype=np.float32)[:2])
        with recipe.averaged_weights(network, None):
            assert np.isfinite(network.get_weights()[0]).all()


def test_a_weights_file_that_is_none_or_of_another_network_is_named(model, tmp_path, monkeypatch):
    path = tmp_path / "weights.npz"
    classifier.save_float16(model, path)
    content = path.read_bytes()
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **arrays | {"hidden/kernel": arrays["hidden/kernel"][:, :5]})
    with pytest.raises(classifier.WeightsMismatchError, match="hidden/kernel"):
        classifier.load_float16(PROFILE, path)
    for damaged in (b"<html>no file</html>", content[: len(content) // 2], content):
        path.write_bytes(damaged)
        if damaged == content:  # whole, but larger than any network when it is unpacked
            monkeypatch.setattr(classifier, "MAX_STORED_BYTES", 1000)
        with pytest.raises(classifier.WeightsMismatchError, match="weights.npz, got: "):
            classifier.load_float16(PROFILE, path)


def test_keras_json_chooses_nothing_and_a_backend_that_is_absent_is_named(tmp_path):
    kept = {"image_data_format": "channels_first", "floatx": "float16", "backend": "torch"}
    (tmp_path / "keras.json").write_text(json.dumps({**kept, "epsilon": 1e-3}))
    code = (
        "from tumorcf_lib.networks import backbones; import keras;"
        "made = backbones.build_backbone('efficientnet_lite0', 64, None);"
        "print(keras.backend.backend(), made.output_shape, made.compute_dtype)"
    )

    def run(**asked):
        others = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
        how = {"cwd": config.ROOT, "env": others | {"KERAS_HOME": str(tmp_path)} | asked}
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **how)

    assert run().stdout.strip() == "tensorflow (None, 2, 2, 1280) float32"
    said = run(KERAS_BACKEND="no_such").stderr
    assert "MissingBackendError: Expected the backend 'no_such' of Keras" in said
