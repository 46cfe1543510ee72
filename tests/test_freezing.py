"""Which layers learn: the ones asked for, in training and in fine-tuning, and no others."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import layers

from tumorcf_lib import config
from tumorcf_lib.networks import classifier, finetune, freezing, training
from tumorcf_lib.publish import model_card

LITE = dataclasses.replace(config.get("paper-lite"), weights=None, size_px=32)


def lite(**settings):
    profile = dataclasses.replace(LITE, **settings)
    model = classifier.build(profile)
    freezing.freeze(model, profile)
    return model


def learning(model):
    """Names of the layers with weights that learn."""
    return {
        layer.name for layer in freezing.all_layers(model)
        if layer.weights and layer.trainable and layer.trainable_weights
    }  # fmt: skip


@pytest.mark.parametrize("n_blocks", [0, 1, 5])
def test_the_stem_and_so_many_blocks_keep_their_state_and_all_later_ones_learn(n_blocks):
    names = learning(lite(frozen_blocks=n_blocks, freeze_depthwise=False))
    blocks = {int(name.removeprefix("block").split("_")[0]) for name in names if "block" in name}
    assert blocks == set(range(n_blocks, 16))
    assert ("stem" in names) == (n_blocks == 0)
    assert {"head", "hidden", "probabilities"} <= names


def test_depthwise_kernels_keep_their_state_and_nothing_else_does():
    every, some = (learning(lite(frozen_blocks=0, freeze_depthwise=flag)) for flag in (0, 1))
    assert every - some == {f"block{i}_depthwise" for i in range(16)}
    assert not some - every


def test_norms_learn_only_if_asked():
    names = learning(lite(freeze_norms=False, frozen_blocks=5, freeze_depthwise=True))
    assert any(name.endswith("_norm") for name in names)
    assert not any(name.startswith(("stem", "block4_")) for name in names)
    assert not any(name.endswith("_norm") for name in learning(lite()))


def test_as_many_numbers_learn_as_the_docstring_says():
    model = lite(frozen_blocks=5, freeze_depthwise=True)
    free = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert free / model.count_params() == pytest.approx(0.92, abs=0.005)


def test_a_network_without_such_blocks_is_refused_with_what_to_do():
    profile = dataclasses.replace(LITE, frozen_blocks=5)
    plain = keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(3)])
    with pytest.raises(freezing.FreezingError, match="block5_.*set frozen_blocks to 0"):
        freezing.freeze(plain, profile)
    with pytest.raises(freezing.FreezingError, match="block16_"):
        lite(frozen_blocks=16)


@pytest.mark.parametrize("tuned", [False, True])
def test_what_is_frozen_stays_bit_for_bit_and_the_rest_moves(tmp_path, tuned):
    profile = dataclasses.replace(
        LITE, epochs=1, warmup_epochs=0, batch_size=4, frozen_blocks=5, freeze_depthwise=True,
        finetune_epochs=1, predict_batch_size=8,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    slices = rng.normal(size=(12, 32, 32)).astype(np.float32)
    labels = np.arange(12) % 3
    persons = np.array([f"p{i}" for i in range(12)])
    parts = np.repeat(["train", "validation"], 6)
    model = classifier.build(profile)
    before = {weight.path: keras.ops.convert_to_numpy(weight).copy() for weight in model.weights}
    if tuned:
        masks = np.zeros(slices.shape, bool)
        masks[:, 12:16, 12:16] = True
        finetune.finetune(
            model, profile, slices, masks, labels, persons, parts, kind="hardened", seed=0,
            progress=lambda line: None,
        )  # fmt: skip
    else:
        training.train(
            model, profile, slices, labels, persons, parts, seed=0, folder=tmp_path,
            progress=lambda line: None,
        )  # fmt: skip
    moved = {
        weight.path for weight in model.weights
        if not np.array_equal(before[weight.path], keras.ops.convert_to_numpy(weight))
    }  # fmt: skip
    assert moved == {weight.path for weight in model.trainable_weights}
    assert not any("depthwise" in path or "norm" in path or "stem" in path for path in moved)
    assert any("block5_project" in path for path in moved)


def test_profiles_freeze_only_where_there_are_pretrained_weights_and_such_blocks():
    for profile in config.PROFILES.values():
        frozen = profile.frozen_blocks or profile.freeze_depthwise
        lite0 = profile.backbone == "efficientnet_lite0" and profile.weights == "imagenet"
        assert not frozen or lite0, profile.name


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"freeze_norms": True}, "Batch norms keep their pretrained state"),
        (
            {"freeze_norms": True, "frozen_blocks": 5, "freeze_depthwise": True},
            "Batch norms, depthwise kernels, the stem and the first 5 blocks keep their "
            "pretrained state",
        ),
        ({"freeze_norms": False, "frozen_blocks": 0}, "Every layer learns"),
    ],
)  # fmt: skip
def test_the_model_card_tells_what_was_frozen(settings, words):
    assert model_card.frozen_in_words(settings) == words
