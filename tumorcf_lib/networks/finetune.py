"""Fine-tuned copies of the trained network: the hardened one, and what all kinds share.

They start from the trained weights and see the training patients only, in views drawn again in
every epoch. The hardened network is shown shams, so that an edit elsewhere moves it less. Holes
are filled by Navier-Stokes; other infills stay unseen and test whether what was learned is about
the tumor or about one way to fill.
"""

import time
from dataclasses import dataclass, replace

import keras
import numpy as np
import pandas as pd
from tqdm import tqdm

from tumorcf_lib.edits import edits, regions, shams
from tumorcf_lib.edits.head import head_mask
from tumorcf_lib.networks import recipe, training
from tumorcf_lib.networks.classifier import predict
from tumorcf_lib.networks.speed import folded, freeze

VIEWS = ("original", "sham")
"""The slice; the slice with a filled hole of the tumor's shape elsewhere, clear of the tumor."""

SHARES = (0.5, 0.5)
"""Of the views."""

MAX_DILATION_SHARE = 0.02
"""Removals in training grow the mask by 0 to this share of the slice's side: 4 px at 224."""

MAX_EDITED = 120
"""At most so many validation slices are edited after each epoch, spread over all of them."""

SCORES = "val_accuracy val_person_accuracy val_p_remove val_delta_drop val_sham_drop val_focus"
HISTORY_COLUMNS = ("epoch", "loss", *SCORES.split(), "seconds")


@dataclass(frozen=True)
class Finetuned:
    """A fine-tuned model and its ``history``: a row per epoch, epoch 0 before fine-tuning."""

    model: keras.Model
    history: pd.DataFrame


def harden(model, profile, slices, masks, labels, persons, parts, *, seed, progress=print):
    """Go on training a trained network, on slices with and without a sham; labels unchanged.

    The model is changed in place. Arrays are as in :func:`training.train`, test slices are never
    read, and a slice without a tumor is shown as it is."""
    trained, validation = training.split_parts(
        model, slices, labels, persons, parts, validates=profile.validates
    )
    views, validated = Views(trained, masks), Validated(Views(validation, masks), seed)
    n_steps = recipe.n_steps(trained, profile.batch_size)

    def steps(rng):
        for positions in recipe.whole_chunks(rng.permutation(len(trained)), profile.batch_size):
            inputs, _ = views.batch(positions, rng)
            weights = trained.class_weights[trained.labels[positions]]
            yield inputs, trained.targets(positions), weights

    how = {"seed": seed, "progress": progress}
    return run_epochs("hardened", model, profile, trained, validated, n_steps, steps, **how)


def run_epochs(kind, model, profile, trained, validated, n_steps, steps, *, seed, progress):
    """The loop of every kind: epochs of ``steps(rng)``, which yields inputs, targets and weights.

    Batch norms keep their state, folded into convolutions. Every class counts the same. Kept is
    the running mean of weights after the last epoch: validation chooses nothing.
    """
    n_epochs = profile.finetune_epochs
    network = _compiled(model, profile, n_epochs * n_steps)
    augmenter = recipe.build_augmenter(strength=profile.augmentation)
    rows = [{"epoch": 0, "loss": np.nan, **validated.scores(network, profile), "seconds": 0.0}]
    for epoch in range(1, n_epochs + 1):
        started = time.perf_counter()
        rng = np.random.default_rng([seed, epoch])
        augmenter.restart(int(rng.integers(2**30)))
        losses = []
        for inputs, targets, weights in tqdm(
            steps(rng), desc=f"{kind} {epoch}", leave=False, disable=None
        ):
            inputs = recipe.augment(inputs, augmenter)[..., None]
            losses.append(network.train_on_batch(inputs, targets, sample_weight=weights))
        with recipe.averaged_weights(network, trained):
            scores = validated.scores(network, profile)
            averaged = model.get_weights()
        seconds = time.perf_counter() - started
        rows.append({"epoch": epoch, "loss": float(np.mean(losses)), **scores, "seconds": seconds})
        progress(_line(kind, n_epochs, rows[-1]))
    if n_epochs:
        model.set_weights(averaged)
    return Finetuned(model, pd.DataFrame(rows, columns=HISTORY_COLUMNS))


class Validated:
    """Scores of a network on the validation slices and on edits of a spread of them.

    Sham places depend on the seed alone, so that all epochs and kinds are scored on the
    same edits.
    """

    def __init__(self, views, seed):
        self.part = views.part
        shown = [i for i in range(len(self.part)) if views.read(i)[1].any()]
        self.shown = np.array(shown[:: max(1, -(-len(shown) // MAX_EDITED))], int)
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


@dataclass(frozen=True)
class Views:
    """Edited views of the slices of one part."""

    part: object  # a training.Part: slices of one part of the split
    masks: np.ndarray  # of all slices, (n, size, size); may be memory-mapped

    def batch(self, positions, rng):
        """Views of the slices at these positions of the part, (n, size, size), and their names.

        A slice without a tumor is always shown as it is.
        """
        names = np.array(VIEWS, object)[rng.choice(len(VIEWS), len(positions), p=SHARES)]
        inputs = []
        for row, position in enumerate(positions):
            slice, mask = self.read(position)
            if not mask.any():
                names[row] = "original"
            if names[row] == "sham":
                slice = remove_elsewhere(slice, mask, rng, dilation_px=_dilation(slice, rng))
            inputs.append(slice)
        return np.stack(inputs), names

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
    """The network that is trained: the model's own variables, its frozen norms folded."""
    freeze(model, replace(profile, freeze_norms=True))
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
    return (
        f"{kind} {row['epoch']}/{n_epochs}  loss {row['loss']:.3f}  validation: "
        f"slices {row['val_accuracy']:.3f}, tumor removed {row['val_p_remove']:.3f}, sham drop "
        f"{row['val_sham_drop']:+.3f}, tumor alone {row['val_focus']:.3f}  ({row['seconds']:.0f} s)"
    )
