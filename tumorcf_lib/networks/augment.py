"""Random views of training slices, by Keras layers; whatever enters the frame is air."""

import keras
import numpy as np
from keras import layers

ROTATION_TURNS = 0.05  # up to 18 degrees to either side
ZOOM = 0.15
SHIFT = 0.08  # of the side
CONTRAST = 0.25
BRIGHTNESS_Z = 0.25  # in standard deviations of the slice
RANGE_ABOVE_AIR = (0.0, 20.0)  # z units; wide enough to clip nothing but the air


class Augmenter(keras.Sequential):
    """Layers that draw at random whatever they are called for, so that ``predict_on_batch``,
    which Keras compiles, gives random views, too."""

    def call(self, inputs, training=None, mask=None):
        return super().call(inputs, training=True)

    def restart(self, seed: int) -> None:
        """From here on the same views in the same order as of an augmenter built with ``seed``."""
        for i, layer in enumerate(self.layers):
            layer.generator.state.assign(keras.random.SeedGenerator(seed + i).state)


def build_augmenter(seed: int = 0, *, strength: float = 1.0) -> Augmenter:
    """Random flip, rotation, zoom, shift, brightness and contrast of slices above air 0.

    Every layer draws from its own generator started from ``seed``: an augmenter built
    anew, or restarted, gives the same views in the same order. ``strength`` multiplies every
    range but the flip's.
    """
    fill = {"fill_mode": "constant", "fill_value": 0.0}
    lowest, highest = RANGE_ABOVE_AIR
    augmenter = Augmenter(
        [
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(strength * ROTATION_TURNS, **fill),
            layers.RandomZoom((-strength * ZOOM, strength * ZOOM), **fill),
            layers.RandomTranslation(strength * SHIFT, strength * SHIFT, **fill),
            layers.RandomBrightness(
                strength * BRIGHTNESS_Z / (highest - lowest), value_range=RANGE_ABOVE_AIR
            ),
            layers.RandomContrast(strength * CONTRAST, value_range=RANGE_ABOVE_AIR),
        ]
    )
    augmenter.restart(seed)
    return augmenter


def augment(slices, augmenter):
    """Random views of z-scored slices.

    Each slice's air (its minimum) is moved to zero, which is what the layers fill with,
    and back afterwards.

    Parameters
    ----------
    slices : ndarray of float32, shape (n, size, size)
    augmenter : Augmenter
        From :func:`build_augmenter`; compiled at the first call of each shape.

    Returns
    -------
    ndarray of float32, shape (n, size, size)
        In no slice lower than its air.

    Examples
    --------
    >>> slices = np.full((1, 8, 8), -1.5, np.float32)  # nothing but air
    >>> bool((augment(slices, build_augmenter(seed=0)) >= -1.5).all())
    True
    """
    air = slices.min(axis=(1, 2), keepdims=True)[..., None]  # (n, 1, 1, 1)
    return (augmenter.predict_on_batch(slices[..., None] - air) + air)[..., 0]


def mixed(inputs, targets, alpha, rng):
    """Each slice blended with another of its batch, and its target alike (mixup).

    Parameters
    ----------
    inputs : ndarray of float32, shape (n, size, size)
    targets : ndarray of float32, shape (n, n_classes)
    alpha : float
        Of the Beta(alpha, alpha) law of the share of the slice itself, one share a batch: small
        values blend little.
    rng : numpy.random.Generator

    Returns
    -------
    inputs, targets : ndarray of float32
        Of the same shapes.

    References
    ----------
    Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018.

    Examples
    --------
    >>> inputs, targets = mixed(
    ...     np.array([[[0.0]], [[4.0]]], np.float32), np.eye(2, dtype=np.float32), 1.0,
    ...     np.random.default_rng(1))
    >>> np.allclose(inputs[:, 0, 0], targets @ [0.0, 4.0])
    True
    """
    share = np.float32(rng.beta(alpha, alpha))
    other = rng.permutation(len(inputs))
    return (
        share * inputs + (1 - share) * inputs[other],
        share * targets + (1 - share) * targets[other],
    )
