"""The recipe of training: random views, loss, rate, and running means of weights."""

from contextlib import contextmanager

import keras
import numpy as np
import pandas as pd
from keras import layers

from tumorcf_lib.networks.speed import all_layers, norm_layers

ROTATION_TURNS = 0.05  # up to 18 degrees to either side
ZOOM = 0.15
SHIFT = 0.08  # of the side
CONTRAST = 0.25
BRIGHTNESS_Z = 0.25  # in standard deviations of the slice
RANGE_ABOVE_AIR = (0.0, 20.0)  # z units; wide enough to clip nothing but the air
RISING_SHARE = 0.25  # of all steps, while the learning rate goes up
N_REFIT, REFIT_BATCH = 256, 32  # slices, as they are, that norms get new statistics of
START_SHARE = 0.04  # of the peak learning rate, at the first step


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

    >>> slices = np.full((1, 8, 8), -1.5, np.float32)  # nothing but air
    >>> bool((augment(slices, build_augmenter(seed=0)) >= -1.5).all())
    True
    """
    air = slices.min(axis=(1, 2), keepdims=True)[..., None]  # (n, 1, 1, 1)
    return (augmenter.predict_on_batch(slices[..., None] - air) + air)[..., 0]


def mixed(inputs, targets, alpha, rng):
    """Each slice blended with another of its batch, and its target alike (mixup).

    One share a batch, drawn from Beta(alpha, alpha): small values blend little. Zhang et al.,
    "mixup: beyond empirical risk minimization", ICLR 2018.

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


def focal_loss(profile, class_weights=1.0):
    """Categorical focal loss; Keras multiplies each class's term of the sum by its weight."""
    return keras.losses.CategoricalFocalCrossentropy(
        alpha=class_weights, gamma=profile.focal_gamma, label_smoothing=profile.label_smoothing
    )


def slice_weights(training, alike):
    """Weight of each slice in the loss, (n_part,) with mean 1 in a class; None if all are 1.

    ``alike``: "patients" of a class weigh the same, however many slices they have; or its
    "sites", those of the IDs ``MR...`` and of all others; or its "slices".

    >>> from types import SimpleNamespace as Part
    >>> part = Part(labels=np.zeros(4, int), persons=np.array(["MR1", "MR1", "MR2", "7"]))
    >>> slice_weights(part, "patients").round(3).tolist()
    [0.667, 0.667, 1.333, 1.333]
    >>> slice_weights(part, "sites").round(3).tolist()
    [0.667, 0.667, 0.667, 2.0]
    """
    if alike == "slices":
        return None
    persons = np.asarray(training.persons).astype(str)
    owners = persons if alike == "patients" else np.char.startswith(persons, "MR")
    table = pd.DataFrame({"label": training.labels, "owner": owners})
    n_slices = table.groupby(["label", "owner"])["owner"].transform("size")
    of_class = table.groupby("label")["owner"]
    return (of_class.transform("size") / of_class.transform("nunique") / n_slices).to_numpy()


def make_optimizer(profile, n_steps):
    """AdamW whose rate rises to the peak, then falls to nothing along a cosine.

    Keeps a running mean of the weights beside them if the profile asks for one.
    """
    n_rising = max(1, round(RISING_SHARE * n_steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        START_SHARE * profile.learning_rate,
        max(1, n_steps - n_rising),
        warmup_target=profile.learning_rate,
        warmup_steps=n_rising,
    )
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=profile.weight_decay,
        use_ema=profile.ema_momentum > 0,
        ema_momentum=profile.ema_momentum or 0.99,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def scaling(optimizer, network):
    """The optimizer, with the loss scaled where layers compute in float16, or gradients vanish."""
    if any(layer.compute_dtype == "float16" for layer in network.layers):
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


@contextmanager
def averaged_weights(network, part):
    """The running mean of the weights over the last steps instead of the last step's, if kept.

    Single steps scatter, most of all on few patients; their mean does not. Norms that learn get
    the statistics that belong to the mean, from slices of the part. Training goes on from the
    last step.
    """
    optimizer = getattr(network.optimizer, "inner_optimizer", network.optimizer)
    if not optimizer.use_ema:
        yield
        return
    learning = [norm for norm in norm_layers(network) if norm.trainable]
    statistics = [one for norm in learning for one in (norm.moving_mean, norm.moving_variance)]
    variables = [*network.trainable_variables, *statistics]
    last_step = [keras.ops.convert_to_numpy(variable).copy() for variable in variables]
    optimizer.finalize_variable_values(network.trainable_variables)
    if learning:
        spread = np.linspace(0, len(part) - 1, min(N_REFIT, len(part))).astype(int)
        refit_norms(network, (part[positions] for positions in chunks(spread, REFIT_BATCH)))
    try:
        yield
    finally:
        for variable, value in zip(variables, last_step, strict=True):
            variable.assign(value)


def refit_norms(network, batches):
    """Give the norms that learn the mean and variance of what they see in these weights.

    The moving statistics of a training belong to the weights of its last steps, not to a mean
    over many. Every slice of the batches (n, size, size) counts the same; none is dropped out."""
    norms = [norm for norm in norm_layers(network) if norm.trainable]
    dropouts = [layer for layer in all_layers(network) if isinstance(layer, keras.layers.Dropout)]
    settings = [(dropout, "rate") for dropout in dropouts] + [(norm, "momentum") for norm in norms]
    kept = [getattr(layer, name) for layer, name in settings]
    try:
        for dropout in dropouts:
            dropout.rate = 0.0
        seen = 0
        for slices in batches:
            for norm in norms:
                norm.momentum = seen / (seen + len(slices))
            seen += len(slices)
            network(slices[..., None], training=True)
    finally:
        for (layer, name), value in zip(settings, kept, strict=True):
            setattr(layer, name, value)


def chunks(order, size):
    """Positions in pieces of one size, the last perhaps smaller."""
    return [order[start : start + size] for start in range(0, len(order), size)]


def whole_chunks(order, size):
    """The same without a smaller last one, if it is not the only one: batches have one shape, and
    each epoch leaves out others."""
    return chunks(order, size)[: n_steps(order, size)]


def n_steps(order, size) -> int:
    """How many there are of :func:`whole_chunks`."""
    return max(1, len(order) // size)
