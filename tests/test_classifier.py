"""The classifier's shape, its predictions, and its files."""

import dataclasses

import keras
import numpy as np
import pytest

from tumorcf_lib import config
from tumorcf_lib.networks import classifier

PROFILE = dataclasses.replace(config.get("smoke"), size_px=32, weights=None)


@pytest.fixture(scope="module")
def model():
    return classifier.build(PROFILE)


@pytest.fixture(scope="module")
def slices():
    return np.random.default_rng(0).normal(size=(5, 32, 32)).astype(np.float32)


def test_the_head_is_pooling_dense_256_dropout_and_a_float32_softmax(model):
    names = [layer.name for layer in model.layers[-4:]]
    assert names == ["features", "hidden", "dropout", "probabilities"]
    assert model.get_layer("hidden").units == 256
    assert model.get_layer("probabilities").activation is keras.activations.softmax
    assert model.get_layer("probabilities").compute_dtype == "float32"


def test_half_precision_stays_inside_the_model():
    model = classifier.build(PROFILE, precision="mixed_bfloat16")
    assert model.get_layer("hidden").compute_dtype == "bfloat16"
    assert model.get_layer("probabilities").compute_dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"


def test_equal_seeds_start_from_equal_heads():
    heads = [
        classifier.build(PROFILE, seed=seed).get_layer("hidden").get_weights()[0]
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(heads[0], heads[1])
    assert np.abs(heads[0] - heads[2]).max() > 0


def test_probabilities_are_float64_and_sum_to_one(model, slices):
    probabilities = classifier.predict(model, slices)
    assert probabilities.shape == (5, 3) and probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_the_batch_size_does_not_matter(model, slices):
    at_once = classifier.predict(model, slices, batch_size=5)
    in_pieces = classifier.predict(model, slices, batch_size=2)
    np.testing.assert_allclose(at_once, in_pieces, atol=1e-6)
    np.testing.assert_allclose(classifier.as_predictor(model)(slices), at_once, atol=1e-6)


def test_memory_mapped_slices_give_the_same_as_an_array(model, slices, tmp_path):
    np.save(tmp_path / "slices.npy", slices)
    mapped = np.load(tmp_path / "slices.npy", mmap_mode="r")
    np.testing.assert_array_equal(
        classifier.predict(model, mapped), classifier.predict(model, slices)
    )


def test_no_slices_give_no_rows(model):
    assert classifier.predict(model, np.empty((0, 32, 32), np.float32)).shape == (0, 3)


def test_float16_weights_are_small_and_predict_almost_the_same(model, slices, tmp_path):
    path = tmp_path / "weights.npz"
    classifier.save_float16(model, path)
    assert path.stat().st_size < 10_000_000
    again = classifier.load_float16(PROFILE, path)
    np.testing.assert_allclose(
        classifier.predict(again, slices), classifier.predict(model, slices), atol=5e-3
    )
    assert [file.name for file in tmp_path.iterdir()] == ["weights.npz"]


def test_float16_files_of_equal_weights_have_equal_bytes(model, tmp_path):
    for name in ("a.npz", "b.npz"):
        classifier.save_float16(model, tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_weights_over_the_limit_are_refused_and_leave_no_file(model, tmp_path):
    with pytest.raises(classifier.WeightsTooLargeError, match="at most 1000 bytes"):
        classifier.save_float16(model, tmp_path / "weights.npz", max_bytes=1000)
    assert not list(tmp_path.iterdir())


def test_weights_of_another_network_are_refused_by_name(model, tmp_path):
    path = tmp_path / "weights.npz"
    classifier.save_float16(model, path)
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays["hidden/kernel"] = arrays["hidden/kernel"][:, :5]
    np.savez(path, **arrays)
    with pytest.raises(classifier.WeightsMismatchError, match="hidden/kernel"):
        classifier.load_float16(PROFILE, path)


def test_the_float16_file_needs_no_pretrained_weights(model, tmp_path, monkeypatch):
    classifier.save_float16(model, tmp_path / "weights.npz")
    asked = []
    build_backbone = classifier.backbones.build_backbone
    monkeypatch.setattr(
        classifier.backbones, "build_backbone",
        lambda *settings, **options: asked.append(settings[-1])
        or build_backbone(*settings, **options),
    )
    pretrained = dataclasses.replace(PROFILE, weights="imagenet")
    classifier.load_float16(pretrained, tmp_path / "weights.npz")
    assert asked == [None]
