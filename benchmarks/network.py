"""The network with its batch norms folded into convolutions, against the network as built."""

import dataclasses

import numpy as np

from benchmarks import slices
from benchmarks.measure import compare
from tumorcf_lib import config

SIZES = {"full": ((224, 64, 32), (128, 32, 16)), "tiny": ((32, 2, 2),)}
TOLERANCE = 1e-4


def run(size, repeats):
    """Rows for each size of slice: prediction and training step."""
    return [
        row
        for size_px, n_predicted, n_trained in SIZES[size]
        for row in (
            *_prediction(size, size_px, n_predicted, repeats),
            *_training(size, size_px, n_trained, repeats),
        )
    ]


def _built(size, size_px):
    from tumorcf_lib import classifier, training

    weights = "imagenet" if size == "full" else None
    profile = dataclasses.replace(config.get("paper-lite"), size_px=size_px, weights=weights)
    model = classifier.build(profile)
    for norm in training.norm_layers(model):
        norm.trainable = False
    return profile, model


def _prediction(size, size_px, n, repeats):
    from tumorcf_lib import folding

    _, model = _built(size, size_px)
    folded = folding.folded(model)
    inputs = slices.prepared(n, size_px).slices[..., None]
    cases = {
        "as built": lambda: model.predict_on_batch(inputs),
        "norms folded": lambda: folded.predict_on_batch(inputs),
    }

    def agree(results):
        assert np.abs(results["as built"] - results["norms folded"]).max() < TOLERANCE

    return compare(
        "network, prediction", f"batch of {n}, {size_px} px", cases,
        n=n, unit="slices", repeats=repeats, agree=agree,
    )  # fmt: skip


def _training(size, size_px, n, repeats):
    """Steps of two networks that begin alike; the losses of the first ones agree."""
    from tumorcf_lib import folding, training

    cohort = slices.prepared(n, size_px)
    inputs, targets = cohort.slices[..., None], np.eye(3, dtype=np.float32)[cohort.labels]
    steps = {}
    for name in ("as built", "norms folded"):
        profile, model = _built(size, size_px)
        network = model if name == "as built" else folding.folded(model)
        network.get_layer("dropout").rate = 0.0  # chance would part them
        network.compile(training._optimizer(profile, 1000), "categorical_crossentropy")
        network.optimizer.build(network.trainable_variables)
        steps[name] = lambda network=network: float(network.train_on_batch(inputs, targets))

    def agree(results):
        one, other = results.values()
        assert abs(one - other) < TOLERANCE * max(1, abs(one))

    return compare(
        "network, training step", f"batch of {n}, {size_px} px", steps,
        n=n, unit="slices", repeats=repeats, agree=agree,
    )  # fmt: skip
