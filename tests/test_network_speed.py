import dataclasses

import keras
import numpy as np
import pytest
from keras import layers
from tiny_heads import same

from tumorcf_lib import config
from tumorcf_lib.networks import classifier, speed, training

pytestmark = pytest.mark.usefixtures("three_blocks")


def with_drawn_norms(model, seed=0):
    """The model, every weight of its norms drawn anew, so that no norm passes values through."""
    rng = np.random.default_rng(seed)
    for norm in speed.norm_layers(model):
        norm.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in norm.get_weights()])
    return model


def small_network(*, use_bias=False, scale=True, center=True):
    """Plain, strided and depthwise convolutions with norms, a model inside a model."""
    inner = keras.Input((9, 9, 2))
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=use_bias)(inner)
    x = layers.BatchNormalization(scale=scale, center=center)(x)
    x = layers.ReLU(max_value=6.0)(x)
    y = layers.Conv2D(2, 1, use_bias=use_bias)(x)
    y = layers.BatchNormalization(scale=scale, center=center, epsilon=0.1)(y)
    backbone = keras.Model(inner, layers.Add()([x, y]), name="inside")
    slices = keras.Input((9, 9, 2))
    x = layers.GlobalAveragePooling2D()(backbone(slices))
    return with_drawn_norms(keras.Model(slices, layers.Dense(3, "softmax")(x)))


def slices(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("options", [{"scale": False}, {"center": False, "use_bias": True}])
def test_folded_network_gives_the_probabilities_of_the_network_as_built(options):
    model = small_network(**options)
    inputs = slices(4, 9, 9, 2)
    expected = model.predict_on_batch(inputs)
    assert np.ptp(expected, axis=0).max() > 1e-3  # it does tell slices apart
    np.testing.assert_allclose(speed.folded(model).predict_on_batch(inputs), expected, atol=1e-6)


def test_every_norm_of_lite0_is_folded_or_left_to_learn_and_its_probabilities_stay():
    profile = dataclasses.replace(config.get("smoke"), size_px=32, weights=None)
    model = with_drawn_norms(classifier.build(profile))
    folded, inputs = speed.folded(model), slices(3, 32, 32, 1)
    kinds = [type(layer).__name__ for layer in speed.all_layers(folded)]
    assert "BatchNormalization" not in kinds
    assert kinds.count("FoldedConvolution") == len(speed.norm_layers(model)) == 10
    found = folded.predict_on_batch(inputs), model.predict_on_batch(inputs)
    np.testing.assert_allclose(*found, atol=1e-5)
    first, *rest = speed.norm_layers(model)
    assert speed.folded(model, learning_too=False) is model
    first.trainable = False
    assert speed.norm_layers(speed.folded(model, learning_too=False)) == rest


def test_a_training_step_of_the_folded_network_is_that_of_the_network_as_built():
    trained = []
    for fold in (False, True):
        model = small_network()
        model.set_weights([slices(*weight.shape) * 0.3 + 0.5 for weight in model.get_weights()])
        for norm in speed.norm_layers(model):
            norm.trainable = False
        start = model.get_weights()
        network = speed.folded(model) if fold else model
        network.compile(keras.optimizers.SGD(1.0), "categorical_crossentropy")
        network.train_on_batch(slices(6, 9, 9, 2), np.eye(3, dtype=np.float32)[[0, 1, 2, 2, 1, 0]])
        trained.append([new - old for new, old in zip(model.get_weights(), start, strict=True)])
    assert sum(np.abs(change).max() > 1e-4 for change in trained[0]) == 4  # kernels and the head's
    for plain, folded in zip(*trained, strict=True):
        np.testing.assert_allclose(folded, plain, atol=1e-6)


def test_what_is_frozen_stays_bit_for_bit_and_the_rest_moves(tmp_path):
    settings = {"epochs": 1, "warmup_epochs": 0, "batch_size": 4, "frozen_blocks": 2}
    settings |= {"weights": None, "size_px": 32, "freeze_depthwise": True}
    profile = dataclasses.replace(config.get("paper-lite"), **settings)
    labels, parts = np.arange(12) % 3, np.repeat(["train", "validation"], 6)
    persons = np.array([f"p{i}" for i in range(12)])
    model = classifier.build(profile)
    before = model.get_weights()
    data = slices(12, 32, 32), labels, persons, parts
    training.train(model, profile, *data, seed=0, folder=tmp_path, progress=lambda line: None)
    kept = same(model.weights, before)
    moved = {weight.path for weight, is_kept in zip(model.weights, kept) if not is_kept}
    assert moved == {weight.path for weight in model.trainable_weights}
    assert not any("depthwise" in path or "norm" in path or "stem" in path for path in moved)
    assert {path.split("/")[-2][:6] for path in moved if "block" in path} == {"block2"}
