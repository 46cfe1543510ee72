import dataclasses

import keras
import numpy as np
import pytest

from tumorcf_lib import config
from tumorcf_lib.networks import classifier, segmentation

SIZE_PX = 64


def blobs(n, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX]
    centers, radii = rng.uniform(16, 48, (n, 2)), rng.uniform(5, 10, n)
    distance = np.hypot(y - centers[:, 0, None, None], x - centers[:, 1, None, None])
    masks = distance < radii[:, None, None]
    noise = rng.normal(0, 0.1, masks.shape)
    return (-1 + 3 * masks + noise).astype(np.float32), masks


@pytest.fixture(scope="module")
def model():
    profile = dataclasses.replace(config.get("smoke"), weights=None, size_px=SIZE_PX)
    keras.utils.set_random_seed(0)
    return segmentation.build(classifier.build(profile, seed=0))


def test_only_the_decoder_learns(model):
    assert not model.get_layer("encoder").trainable_variables
    assert model.output_shape == (None, SIZE_PX, SIZE_PX, 1)


@pytest.mark.monthly
def test_a_few_epochs_find_bright_discs_that_were_never_seen(model):
    slices, masks = blobs(96)
    how = {"epochs": 6, "batch_size": 8, "seed": 0, "progress": lambda line: None}
    segmentation.train(model, slices, masks, np.arange(80), **how)
    found = segmentation.predict(model, slices[80:])
    overlap = [segmentation.dice(*pair) for pair in zip(masks[80:], found, strict=True)]
    assert np.mean(overlap) > 0.6


def test_a_view_moves_the_mask_with_its_slice():
    slices, masks = blobs(8)
    rng = np.random.default_rng(1)
    for slice, mask in zip(slices, masks, strict=True):
        moved, moved_mask = segmentation.view(slice, mask, rng)
        assert moved.dtype == np.float32 and moved_mask.dtype == bool
        inside, outside = moved[moved_mask].mean(), moved[~moved_mask].mean()
        assert inside - outside > 2.0  # of 3, times the contrast; edges mix
