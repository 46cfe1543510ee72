"""Networks without a training of their own: random weights, and quick readers of features."""

from dataclasses import replace

import keras
import numpy as np
from keras import layers
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from tumorcf_lib.networks import backbones, classifier, recipe

NORM_BATCHES, NORM_BATCH_SIZE = 8, 32
POOLED_LAYERS = ("block5_depthwise_relu6", "block8_depthwise_relu6", "block11_depthwise_relu6")
"""Layers of lite0 whose maxima a quick reader takes: small signs do not survive to the last."""


def random_network(profile, slices, *, n_classes, seed):
    """A network with random weights whose batch norms fit the slices (n, size, size).

    Without fitted norms signals fade from layer to layer, every slice gets the same answer,
    and a Net-Drop of zero would be no achievement."""
    classifier.set_up(seed)  # a backbone without weights draws from Keras's global seed
    model = classifier.build(replace(profile, weights=None), n_classes=n_classes, seed=seed)
    rng = np.random.default_rng(seed)
    n = min(len(slices), NORM_BATCH_SIZE)
    drawn = (np.sort(rng.choice(len(slices), n, replace=False)) for _ in range(NORM_BATCHES))
    recipe.refit_norms(model, (np.asarray(slices[at], np.float32) for at in drawn))
    return model


def feature_model(size_px):
    """The pretrained lite0 up to its middle, as the largest value of each feature map: from
    ``(n, size_px, size_px, 1)`` to ``(n, 1392)``."""
    backbone = backbones.build_backbone("efficientnet_lite0", size_px, "imagenet")
    maps = [backbone.get_layer(name).output for name in POOLED_LAYERS]
    pooled = layers.Concatenate()([layers.GlobalMaxPooling2D()(x) for x in maps])
    return keras.Model(backbone.input, pooled)


def fit_reader(model, features, labels, *, batch_size=64):
    """A logistic regression on a feature model's output, from slices to probabilities."""
    head = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    with threadpool_limits(1, "blas"):  # so small, threads wait for each other: 17 times slower
        head.fit(features, labels)
    return lambda slices: head.predict_proba(
        classifier.predict(model, slices, batch_size=batch_size)
    )
