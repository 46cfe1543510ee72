"""Fine-tuned copies of the trained network: the hardened one, and what all kinds share.

They start from the trained weights and see the training patients only, in views drawn again in
every epoch. The hardened network is shown shams, so that an edit elsewhere moves it less. Holes
are filled by Navier-Stokes; other infills stay unseen and test whether what was learned is about
the tumor or about one way to fill.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from tqdm import tqdm

from tumorcf_lib.edits import edits, regions, shams
from tumorcf_lib.edits.head import head_mask
from tumorcf_lib.networks import recipe, training
from tumorcf_lib.networks.checkpoint import Checkpoint
from tumorcf_lib.networks.classifier import predict
from tumorcf_lib.networks.speed import all_layers, folded, freeze

VIEWS = ("original", "sham")
"""The slice; the slice with a filled hole of the tumor's shape elsewhere, clear of the tumor."""

SHARES = (0.5, 0.5)
"""Of the views."""

MAX_DILATION_SHARE = 0.02
"""Removals in training grow the mask by 0 to this share of the slice's side: 4 px at 224."""

FROZEN_BLOCKS = 5
"""The stem and so many first blocks of EfficientNet-Lite0 learn no more."""

MAX_EDITED = 120
"""At most so many validation slices are edited after each epoch, spread over all of them."""

SCORES = "val_accuracy val_person_accuracy val_p_remove val_delta_drop val_sham_drop val_focus"
HISTORY_COLUMNS = ("epoch", "loss", *SCORES.split(), "seconds")


@dataclass(frozen=True)
class Finetuned:
    """A fine-tuned model and its ``history``: a row per epoch, epoch 0 before fine-tuning."""

    model: keras.Model
    history: pd.DataFrame


def harden(model, profile, *data, **how):
    """Go on training a trained network, in place, on slices with and without a sham.

    ``data`` are slices, masks, labels, persons and parts as in :func:`training.train`: test slices
    are never read; ``how`` as of :func:`run_epochs`. Labels stay, and a slice without a tumor is
    shown as it is."""
    views, validated = views_of(Views, model, profile, *data, how["seed"])
    return run_epochs("hardened", model, profile, views, validated, **how)


def views_of(kind, model, profile, slices, masks, labels, persons, parts, seed):
    """Views of a kind of the training part, and what is asked of the validation part."""
    trained, validation = training.split_parts(
        model, slices, labels, persons, parts, validates=profile.validates
    )
    return kind(trained, masks), Validated(kind(validation, masks), seed)


def run_epochs(kind, model, profile, views, validated, *, seed, folder=None, progress=print):
    """The loop of every kind of network: epochs of ``views.step`` after ``views.step``.

    Batch norms keep their state, folded into convolutions. Every class counts the same. Kept is
    the running mean of weights after the last epoch: validation chooses nothing. In a ``folder``,
    begun for this training, a killed one goes on after its last finished epoch.
    """
    n_epochs = profile.finetune_epochs
    order, size = views.order(profile)
    network = _compiled(model, profile, n_epochs * recipe.n_steps(order, size))
    augmenter = recipe.build_augmenter(strength=profile.augmentation)
    state = Checkpoint(folder or Path(), model, kind)
    if folder and state.read():
        progress(f"{kind}: going on after epoch {state.epoch - 1} of an interrupted training")
        state.restore_optimizer(network.optimizer)
    else:  # epoch 0
        first = {"loss": np.nan, **validated.scores(network, profile), "seconds": 0.0}
        state.record(first, network.optimizer, model.get_weights(), store=False)
    for epoch in range(state.epoch, n_epochs + 1):
        started = time.perf_counter()
        rng = np.random.default_rng([seed, epoch])
        augmenter.restart(int(rng.integers(2**30)))
        steps, losses = recipe.whole_chunks(rng.permutation(order), size), []
        for positions in tqdm(steps, desc=f"{kind} {epoch}", leave=False, disable=None):
            inputs, targets, weights, _ = views.step(positions, rng)
            inputs = recipe.augment(inputs, augmenter)[..., None]
            network.reset_metrics()  # as in `training.py`
            losses.append(network.train_on_batch(inputs, targets, sample_weight=weights))
        with recipe.averaged_weights(network, views.part):
            scores = validated.scores(network, profile)
            averaged = model.get_weights()
        seconds = time.perf_counter() - started
        row = {"loss": float(np.mean(losses)), **scores, "seconds": seconds}
        state.record(row, network.optimizer, averaged, store=folder is not None)
        progress(_line(kind, n_epochs, {"epoch": epoch} | row))
    state.restore_best()  # without a loss on validation slices: the last
    history = pd.DataFrame(state.history).assign(epoch=range(len(state.history)))
    return Finetuned(model, history[[*HISTORY_COLUMNS]])


class Validated:
    """Scores of a network on the validation slices and on edits of a spread of them.

    Sham places depend on the seed alone, so that all epochs and kinds are scored on the
    same edits.
    """

    def __init__(self, views, seed):
        self.part = views.part
        self.shown = views.with_tumor[:: max(1, -(-len(views.with_tumor) // MAX_EDITED))]
        made = []
        for i in self.shown:
            slice, mask = views.read(i)
            sham = remove_elsewhere(slice, mask, shams.rng_for(seed, self.part.index[i]))
            made.append((edits.remove(slice, mask), sham, edits.only(slice, mask)))
        self.edited = np.array(made)  # (n_shown, 3, size, size)

    def scores(self, model, profile):
        """Accuracies on all validation slices; mean scores on the edited ones: probability of
        the true class without the tumor, its falls by removal and sham, and by the tumor alone.
        NaN without validation.
        """
        names = SCORES.split()
        if not len(self.shown):
            return dict.fromkeys(names, np.nan)
        p = predict(model, self.part, batch_size=profile.predict_batch_size)
        right = training.validate(lambda *_: 0.0, p, self.part)
        labels = self.part.labels[self.shown]
        edited = self.edited.reshape(-1, *self.edited.shape[2:])  # (3 n_shown, size, size)
        p_edited = predict(model, edited, batch_size=profile.predict_batch_size)
        p_true = p_edited[np.arange(len(edited)), labels.repeat(3)]
        p_remove, p_sham, p_only = p_true.reshape(-1, 3).T
        p_orig = p[self.shown, labels]
        means = [float(x.mean()) for x in (p_remove, p_orig - p_remove, p_orig - p_sham, p_only)]
        return dict(zip(names, [right[names[0]], right[names[1]], *means], strict=True))


class Views:
    """Edited views of the slices of one part."""

    def __init__(self, part, masks):
        self.part = part  # a training.Part: slices of one part of the split
        self.masks = masks  # of all slices, (n, size, size); may be memory-mapped
        self.with_tumor = np.array([k for k, i in enumerate(part.index) if masks[i].any()], int)

    def order(self, profile):
        """Positions in the part that an epoch shows, and how many of them a step."""
        return np.arange(len(self.part)), profile.batch_size

    def step(self, positions, rng):
        """Views of the slices at these positions of the part: inputs (n, size, size), targets,
        weights (n,) and names. A slice without a tumor is always shown as it is."""
        names = np.array(VIEWS, object)[rng.choice(len(VIEWS), len(positions), p=SHARES)]
        inputs = []
        for row, position in enumerate(positions):
            slice, mask = self.read(position)
            if not mask.any():
                names[row] = "original"
            if names[row] == "sham":
                slice = remove_elsewhere(slice, mask, rng, dilation_px=_dilation(slice, rng))
            inputs.append(slice)
        weights = self.part.class_weights[self.part.labels[positions]]
        return np.stack(inputs), self.part.targets(positions), weights, names

    def read(self, position):
        """Slice and mask at a position of the part."""
        mask = np.asarray(self.masks[self.part.index[position]], bool)
        return self.part[position], mask


def remove_elsewhere(slice, mask, rng, *, dilation_px=0):
    """The slice with a hole of the tumor's shape filled in at a random place clear of it.

    A grown hole that fits nowhere has the tumor's own size instead. Bit-identical at the tumor,
    and all over if no place is legal.
    """
    head = head_mask(slice)
    for grown_px in dict.fromkeys((dilation_px, 0)):
        region = regions.dilate(mask, grown_px)
        places = shams.legal_places(region, head, tumor=mask)
        for place in shams.draw_places(places, 1, rng):
            return edits.remove(slice, shams.move(region, place))
    return slice.copy()


def _dilation(slice, rng):
    return int(rng.integers(round(MAX_DILATION_SHARE * min(slice.shape)) + 1))


def _compiled(model, profile, n_steps):
    """The network that is trained: the model's own variables, its frozen norms folded.

    Early blocks and depthwise kernels stay as trained: six such epochs took a looking network 1.3
    times as long as three of all layers, and left a loss of 0.34 on training patients, not 0.41.
    """
    kept = replace(profile, freeze_norms=True)
    if any(layer.name.startswith(f"block{FROZEN_BLOCKS}_") for layer in all_layers(model)):
        frozen_blocks = max(profile.frozen_blocks, FROZEN_BLOCKS)
        kept = replace(kept, freeze_depthwise=True, frozen_blocks=frozen_blocks)
    freeze(model, kept)
    if profile.warmup_epochs >= profile.epochs:  # only the head was ever trained, as in "smoke"
        for layer in model.layers:
            layer.trainable = layer.name in training.HEAD
    rates = replace(profile, learning_rate=profile.finetune_learning_rate)
    network = folded(model)
    optimizer = recipe.scaling(recipe.make_optimizer(rates, n_steps), network)
    network.compile(optimizer, recipe.focal_loss(profile))
    network.optimizer.build(network.trainable_variables)  # or the step is traced twice
    return network


def _line(kind, n_epochs, row):
    told = f"{kind} {row['epoch']}/{n_epochs}  loss {row['loss']:.3f}"
    if np.isfinite(row["val_accuracy"]):
        told += (
            f"  validation: slices {row['val_accuracy']:.3f}, tumor removed "
            f"{row['val_p_remove']:.3f}, sham drop {row['val_sham_drop']:+.3f}, "
            f"tumor alone {row['val_focus']:.3f}"
        )
    return f"{told}  ({row['seconds']:.0f} s)"
