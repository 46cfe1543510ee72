"""The network with its batch norms folded into convolutions, against the network as built."""

import dataclasses

import numpy as np

from benchmarks import slices
from benchmarks.measure import compare
from tumorcf_lib import config

SIZES = {"full": ((224, 64), (128, 32)), "tiny": ((32, 2),)}
TOLERANCE = 1e-4


def run(size, repeats):
    """Rows for each size of slice: one batch as the study predicts it."""
    return [
        row
        for size_px, n_predicted in SIZES[size]
        for row in _prediction(_built(size, size_px), size_px, n_predicted, repeats)
    ]


def _built(size, size_px):
    from tumorcf_lib.networks import classifier

    weights = "imagenet" if size == "full" else None
    profile = dataclasses.replace(config.get("paper-lite"), size_px=size_px, weights=weights)
    return classifier.build(profile)


def _prediction(model, size_px, n, repeats):
    from tumorcf_lib.networks import speed

    folded = speed.folded(model)
    inputs = slices.prepared(n, size_px).slices[..., None]
    cases = {
        "as built": lambda: model.predict_on_batch(inputs),
        "norms folded": lambda: folded.predict_on_batch(inputs),
    }

    def agree(results):
        assert np.abs(results["as built"] - results["norms folded"]).max() < TOLERANCE

    return compare(
        "network",
        f"batch of {n}, {size_px} px",
        cases,
        n=n,
        unit="slices",
        repeats=repeats,
        agree=agree,
    )
