import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from tiny_heads import same

from tumorcf_lib.networks import backbones, recipe

SLICES = np.random.default_rng(0).normal(2.0, 3.0, (40, 6, 6)).astype(np.float32)


def network(norm):
    shown = keras.Input((6, 6, 1))
    x = norm(layers.Conv2D(2, 1, use_bias=False, kernel_initializer="ones")(shown))
    x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(shown, layers.Dense(3, "softmax")(x))


@pytest.fixture
def fused():
    return backbones.FusedNormalization(momentum=0.9, epsilon=1e-3)


def test_the_fused_norm_is_kerass_own_while_it_learns_and_afterwards(fused):
    own, x = layers.BatchNormalization(momentum=0.9, epsilon=1e-3), SLICES[..., None]
    for learns in (True, False):
        found = fused(x, training=learns), own(x, training=learns)
        np.testing.assert_allclose(*found, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(fused.moving_mean, own.moving_mean, rtol=1e-5)
    unbiased = (own.moving_variance - 0.9) * x.size / (x.size - 1)  # of the batch's part
    np.testing.assert_allclose(fused.moving_variance - 0.9, unbiased, rtol=1e-3)


def test_refitted_norms_have_mean_and_variance_of_the_slices_and_nothing_else_changes(fused):
    model = network(fused)
    dropout = next(layer for layer in model.layers if isinstance(layer, layers.Dropout))
    before = [np.array(v) for v in model.trainable_variables]
    recipe.refit_norms(model, np.split(SLICES, 4))
    variance = SLICES.reshape(4, -1).var(axis=1, ddof=1).mean()
    np.testing.assert_allclose(fused.moving_mean, [SLICES.mean()] * 2, rtol=1e-4)
    np.testing.assert_allclose(fused.moving_variance, [variance] * 2, rtol=1e-4)
    assert (fused.momentum, dropout.rate) == (0.9, 0.5)
    assert all(same(before, model.trainable_variables))


def test_the_running_mean_of_the_steps_is_lent_with_statistics_of_its_own_and_goes_again(fused):
    model, mean = network(fused), None
    optimizer = keras.optimizers.AdamW(0.1, use_ema=True, ema_momentum=0.75)
    model.compile(optimizer, "categorical_crossentropy")
    for start in (0, 10, 20):
        model.train_on_batch(SLICES[start : start + 10, ..., None], np.eye(3)[[0, 1] * 5])
        step = [np.array(v) for v in model.trainable_variables]
        mean = [0.75 * m + 0.25 * s for m, s in zip(mean or step, step, strict=True)]
    last = [np.array(v) for v in model.variables]
    with recipe.averaged_weights(model, SLICES):
        for lent, expected in zip(model.trainable_variables, mean, strict=True):
            np.testing.assert_allclose(lent, expected, rtol=1e-4, atol=1e-6)
        kernel = float(np.ravel(model.layers[1].kernel)[0])
        assert float(fused.moving_mean[0]) == pytest.approx(kernel * SLICES.mean(), rel=1e-3)
    assert all(same(last, model.variables))


def test_later_blocks_are_skipped_more_often_and_for_a_slice_as_a_whole():
    slices = keras.Input((32, 32, 3))
    model = keras.Model(slices, backbones.efficientnet_lite0(slices, None, stochastic_depth=0.2))
    skips = [layer for layer in model.layers if isinstance(layer, layers.Dropout)]
    rates = [layer.rate for layer in skips]
    assert rates == sorted(rates) and 0 < rates[0] < rates[-1] < 0.2
    assert all(layer.noise_shape == (None, 1, 1, 1) for layer in skips)


@pytest.mark.parametrize(("size", "kernel", "stride"), [(9, 5, 1), (8, 5, 2), (3, 5, 1)])
def test_a_wide_depthwise_kernel_learns_as_kerass_own_does(size, kernel, stride):
    x, found = tf.random.normal((2, size, size, 3), seed=0), []
    options = {"strides": stride, "padding": "same"}
    ours = backbones.DepthwiseConvolution(kernel, **options)
    for layer in (ours, layers.DepthwiseConv2D(kernel, **options)):
        layer.build(x.shape)
        layer.set_weights(ours.get_weights())
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x)
            total = tf.reduce_sum(tf.sin(outputs))
        found.append([outputs, *tape.gradient(total, [x, *layer.trainable_variables])])
    assert len(found[0]) == 4  # outputs; by inputs, kernel and bias
    for mine, kerass in zip(*found, strict=True):
        np.testing.assert_allclose(mine, kerass, rtol=1e-4, atol=1e-5)
