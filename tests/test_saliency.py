import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tumorcf_lib import config
from tumorcf_lib.networks import classifier, saliency

SIZE_PX = 64


@pytest.fixture(scope="module")
def model(three_blocks):
    profile = dataclasses.replace(config.get("smoke"), weights=None, size_px=SIZE_PX)
    keras.utils.set_random_seed(3)
    return classifier.build(profile, seed=1)


def traced(model, slices, classes):
    """Grad-CAM by TensorFlow's own gradient of the logit, slice by slice."""
    features = keras.Model(model.input, model.get_layer("features").input)
    found = []
    for slice, k in zip(slices, classes, strict=True):
        maps = tf.constant(np.asarray(features(slice[None, ..., None])))
        with tf.GradientTape() as tape:
            tape.watch(maps)
            x = model.get_layer("hidden")(model.get_layer("features")(maps))
            last = model.get_layer("probabilities")
            logit = (x @ last.kernel + last.bias)[0, k]
        alpha = tape.gradient(logit, maps).numpy().mean(axis=(0, 1, 2))
        found.append(np.maximum(maps.numpy()[0] @ alpha, 0))
    return found


def test_the_map_is_that_of_the_traced_gradient_up_to_its_scale(model):
    slices = np.random.default_rng(0).normal(size=(5, SIZE_PX, SIZE_PX)).astype(np.float32)
    classes = np.array([0, 1, 2, 1, 0])
    maps = saliency.grad_cam(model, slices, classes, batch_size=2)
    assert maps.shape == slices.shape
    slow = traced(model, slices, classes)
    assert any(one.max() > 0 for one in slow)
    for fast, one in zip(maps, slow, strict=True):
        n = SIZE_PX // len(one)
        # Bilinear interpolation takes the mean of the four pixels round a cell's center
        centers = [fast[n // 2 - 1 + k :: n, n // 2 - 1 + j :: n] for k in (0, 1) for j in (0, 1)]
        got = np.mean(centers, axis=0)
        assert (got.max() > 0) == (one.max() > 0)
        assert one.max() == 0 or np.corrcoef(got.ravel(), one.ravel())[0, 1] > 0.98
