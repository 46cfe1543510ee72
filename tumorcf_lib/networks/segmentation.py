"""A small U-Net on the encoder of a fold's classifier: tumor masks where nobody drew one.

The encoder stays as the classifier learned it, on patients of the same training part, so that
only the decoder learns, and no tested patient is seen by either.
"""

import time

import cv2
import keras
import numpy as np
from keras import layers, ops
from tqdm import tqdm

from tumorcf_lib.networks import backbones, recipe, speed
from tumorcf_lib.networks.classifier import batches

WIDTHS = (64, 32, 24, 16)
"""Channels of the decoder, from the coarsest maps to those at half the slice's size."""

LEARNING_RATE = 1e-3
ROTATION_DEG, SCALE, SHIFT, CONTRAST = 15.0, 0.15, 0.06, 0.15
MOMENTUM = 0.9  # of the decoder's norms
SMOOTHING = 1.0  # of Dice, in pixels: an empty mask found empty costs nothing


def build(classifier, *, seed=0):
    """The U-Net on a trained classifier that is not folded: frozen encoder, skip connections at
    every size, bilinear upsampling; from slices to logits of "tumor", both ``(n, size, size,
    1)``."""
    until_pooling = keras.Model(classifier.input, classifier.get_layer("features").input)
    nested = (layer for layer in classifier.layers if isinstance(layer, keras.Model))
    backbone = next(nested, until_pooling)
    last_of_side = {}  # side of the feature maps -> the last of them
    for layer in backbone.layers[1:]:
        if len(layer.output.shape) == 4:
            last_of_side[layer.output.shape[1]] = layer.output
    size = backbone.input.shape[1]
    sides = sorted(side for side in last_of_side if side < size)
    outputs = [last_of_side[side] for side in sides]
    encoder = speed.folded(keras.Model(backbone.input, outputs, name="encoder"))
    encoder.trainable = False
    numbers = iter(range(100 * seed, 100 * seed + 100))
    slices = keras.Input((size, size, 1), name="slices")
    coarsest, *skips = maps if isinstance(maps := encoder(slices), (list, tuple)) else [maps]
    widths = WIDTHS[-len(skips) :] if skips else ()
    x = _convolved(coarsest, WIDTHS[0], 1, numbers)
    for skip, width, before, side in zip(skips, widths, sides[:-1], sides[1:], strict=True):
        x = layers.UpSampling2D(side // before, interpolation="bilinear")(x)
        x = layers.Concatenate()([x, _convolved(skip, width, 1, numbers)])
        x = _convolved(x, width, 3, numbers)
    x = layers.Conv2D(1, 3, padding="same", kernel_initializer=_start(numbers), name="logits")(x)
    x = layers.UpSampling2D(size // sides[-1], interpolation="bilinear")(x)
    return keras.Model(slices, x, name="segmenter")


def _start(numbers):
    return keras.initializers.HeNormal(seed=next(numbers))


def _convolved(x, width, kernel, numbers):
    x = layers.Conv2D(
        width, kernel, padding="same", use_bias=False, kernel_initializer=_start(numbers)
    )(x)
    return layers.Activation("relu")(backbones.FusedNormalization(momentum=MOMENTUM)(x))


def dice_and_entropy(truth, logits):
    """Loss of masks: soft Dice of each slice and the mean cross-entropy of its pixels."""
    p = ops.sigmoid(logits)
    both = ops.sum(truth * p, axis=(1, 2, 3))
    either = ops.sum(truth + p, axis=(1, 2, 3))
    entropy = ops.relu(logits) - logits * truth + ops.log1p(ops.exp(-ops.abs(logits)))
    dice = (2 * both + SMOOTHING) / (either + SMOOTHING)
    return 1 - ops.mean(dice) + ops.mean(entropy)


def train(model, slices, masks, index, *, epochs, batch_size, seed, progress=print):
    """Fit the decoder of :func:`build`, in place, to the slices and masks (n, size, size) of an
    index, with random views of both together; ``progress`` gets one line per epoch."""
    n_steps = epochs * recipe.n_steps(index, batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, n_steps)
    model.compile(keras.optimizers.Adam(schedule), dice_and_entropy)
    for epoch in range(1, epochs + 1):
        rng, started = np.random.default_rng([seed, epoch]), time.perf_counter()
        batches, losses = recipe.whole_chunks(rng.permutation(index), batch_size), []
        for batch in tqdm(batches, desc=f"masks {epoch}", leave=False, disable=None):
            views = [view(slices[i], masks[i], rng) for i in batch]
            inputs, truth = (np.stack(part)[..., None] for part in zip(*views, strict=True))
            model.reset_metrics()  # as in `training.py`
            losses.append(model.train_on_batch(inputs, truth.astype(np.float32)))
        seconds = time.perf_counter() - started
        progress(f"masks, epoch {epoch}/{epochs}  loss {np.mean(losses):.3f}  ({seconds:.0f} s)")


def view(slice, mask, rng):
    """A random view of a slice and its mask: mirrored, turned, scaled, shifted, other contrast.
    What enters the frame is the slice's own air; the mask is moved by nearest neighbor."""
    slice, mask = np.asarray(slice, np.float32), np.asarray(mask)
    size, air = slice.shape[0], float(slice.min())
    if rng.random() < 0.5:
        slice, mask = slice[:, ::-1], mask[:, ::-1]
    turn = rng.uniform(-ROTATION_DEG, ROTATION_DEG)
    center = (size - 1) / 2
    matrix = cv2.getRotationMatrix2D((center, center), turn, 1 + rng.uniform(-SCALE, SCALE))
    matrix[:, 2] += size * rng.uniform(-SHIFT, SHIFT, 2)
    moved = cv2.warpAffine(
        np.ascontiguousarray(slice), matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=air
    )
    moved_mask = cv2.warpAffine(
        np.ascontiguousarray(mask).view(np.uint8), matrix, (size, size), flags=cv2.INTER_NEAREST
    )
    contrast = 1 + rng.uniform(-CONTRAST, CONTRAST)
    return air + contrast * (moved - air), moved_mask > 0


def predict(model, slices, *, batch_size=32, desc=None):
    """Masks of slices, bool (n, size, size): pixels more probable than not, largest area only.

    One slice has one tumor in this cohort; smaller areas are mostly vessels. Empty where no
    pixel is probable.
    """
    found = []
    for batch in batches(slices, batch_size, desc):
        logits = np.asarray(model.predict_on_batch(batch))[..., 0]
        found += [largest_area(one > 0) for one in logits]
    return np.stack(found) if found else np.empty((0, *slices.shape[1:]), bool)


def largest_area(mask):
    """The largest connected area of a mask (8 neighbors)."""
    n, areas, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return mask if n <= 2 else areas == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])


def dice(truth, found):
    """Overlap of two masks, from 0 to 1; 1 if both are empty.

    >>> round(dice(np.array([True, True, False]), np.array([True, False, False])), 3)
    0.667
    """
    total = np.count_nonzero(truth) + np.count_nonzero(found)
    return float(2 * np.count_nonzero(truth & found) / total) if total else 1.0
