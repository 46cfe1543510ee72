"""A network that looks: fine-tuned to say "no tumor" where the tumor was taken out.

Three classes have no answer for a slice without a tumor, so a network may name one by default. A
further output gives it one. What must not tell it the answer is the trace of an edit: so slices
with a tumor are edited, too, as often, with the same infills, at the places where tumors lie.
"""

import time
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd
from keras import layers
from tqdm import tqdm

from tumorcf_lib.edits import edits, head, shams
from tumorcf_lib.edits.regions import dilate
from tumorcf_lib.edits.transplants import footprint, transplant
from tumorcf_lib.networks import recipe, training
from tumorcf_lib.networks.classifier import predict
from tumorcf_lib.networks.finetune import Finetuned, check_masks, compiled

NO_TUMOR = "no tumor"
"""Name of the last output, for the classes of a cohort: its probability is p_no tumor."""

INFILLS = ("navier_stokes", "ring_mean")
"""What training fills with, at random; all other infills stay unseen."""

MAX_DILATION_PX = 3
"""Removals and shams grow their region by 0 to so many pixels, at random."""

MAX_PATCHES = 2
"""Beside their own edit, views get 0 to so many shams more, whatever their target."""

PER_STEP = {"original": 16, "removed": 16, "sham": 8, "moved": 8, "swapped": 8}
"""View -> how many in each step. The same 16 slices as they are and without their tumor ("no
tumor"); with a sham; with their tumor moved within their head, blended at the rim; and with their
tumor where it is, but in another patient's head, whose own tumor is removed (all: their class)."""

MAX_HOSTS, MIN_IN_HEAD = 5, 0.9
"""So many other heads are tried for a tumor, of which so large a share must lie in the head."""

SCORES = "val_accuracy val_right_removed val_no_tumor_removed val_right_sham val_right_moved"
HISTORY_COLUMNS = ("epoch", "loss", *SCORES.split(), "seconds")

MAX_VALIDATED = 120
"""At most so many validation slices are scored with edits, spread over all of them."""


def with_no_tumor(model):
    """The network with one more output, on the same variables but for its last layer.

    The new output begins as undecided as can be: its logit is the mean of the others'.

    >>> inputs = keras.Input((4,))
    >>> plain = keras.Model(inputs, layers.Dense(3, "softmax", name="probabilities")(inputs))
    >>> with_no_tumor(plain).output_shape
    (None, 4)
    """
    last = model.layers[-1]
    kernel, bias = last.get_weights()
    grown = layers.Dense(len(bias) + 1, "softmax", dtype="float32", name=last.name)
    network = keras.Model(model.inputs[0], grown(last.input), name=model.name)
    kernel = np.column_stack([kernel, kernel.mean(axis=1)])
    grown.set_weights([kernel, np.append(bias, bias.mean())])
    return network


def finetune(
    model, profile, slices, masks, labels, persons, parts, *, seed, epochs=None, progress=print
):
    """Go on training a trained network until it sees when the tumor is gone.

    Each step shows the views of :data:`PER_STEP`. Norms keep their state, folded into
    convolutions. Every class counts the same, with and without its tumor. Kept are the weights
    after the last epoch; without validation (``profile.validates``) its scores are NaN, and all
    slices but the tested are trained on.

    Parameters
    ----------
    model : keras.Model
        The trained network. All but its last layer is shared with the result, so it changes.
    profile : Profile
        ``finetune_epochs``, ``finetune_learning_rate`` and the settings of training.
    slices, masks : ndarray or memmap, shape (n, size, size)
        Network inputs, float32, and tumors, bool. Slices without a tumor are left out.
    labels, persons, parts : ndarray, shape (n,)
        As in :func:`training.train`; test slices are never read.
    seed : int
        Equal arguments and seeds give equal weights on one machine.
    epochs : int, optional
        Instead of the profile's ``finetune_epochs``.
    progress : callable
        Gets one line per epoch.

    Returns
    -------
    finetune.Finetuned
        Its model has a last output :data:`NO_TUMOR`. Audit it with a cohort whose classes end with
        that name; ``classifier.save_float16`` and ``load_float16`` keep it.
    """
    trained, validation = training.split_parts(
        model, slices, labels, persons, parts, validates=profile.validates
    )
    check_masks(slices, masks, (trained, validation)[: 1 + profile.validates])
    views = Views.of(trained, masks)
    validated = Validated(Views.of(validation, masks), seed)
    n_epochs = profile.finetune_epochs if epochs is None else epochs
    model = with_no_tumor(model)
    n_steps = max(1, len(views.shown) // PER_STEP["original"])
    network = compiled(model, profile, n_epochs * n_steps)
    augmenter = recipe.build_augmenter(strength=profile.augmentation)
    rows = [{"epoch": 0, "loss": np.nan, **validated.scores(network, profile), "seconds": 0.0}]
    for epoch in range(1, n_epochs + 1):
        started = time.perf_counter()
        loss = _train_epoch(network, views, augmenter, n_steps, seeds=[seed, epoch])
        with recipe.averaged_weights(network, trained):
            scores = validated.scores(network, profile)
            averaged = model.get_weights()
        row = {"epoch": epoch, "loss": loss, **scores, "seconds": time.perf_counter() - started}
        rows.append(row)
        progress(_line(n_epochs, row))
    if n_epochs:
        model.set_weights(averaged)
    return Finetuned(model, pd.DataFrame(rows, columns=HISTORY_COLUMNS))


@dataclass(frozen=True)
class Views:
    """Edited views of the slices of one part; shapes and heads of others come from it, too."""

    part: training.Part
    masks: np.ndarray  # of all slices, (n, size, size); may be memory-mapped
    shown: np.ndarray  # positions in the part that have a tumor

    @classmethod
    def of(cls, part, masks):
        shown = [k for k, i in enumerate(part.index) if masks[i].any()]
        return cls(part, masks, np.array(shown, int))

    def read(self, position):
        """Slice and mask at a position of the part."""
        return self.part[position], np.asarray(self.masks[self.part.index[position]], bool)

    def step(self, positions, rng):
        """Views of one step: inputs, targets (n, n_classes + 1), weights (n,) and names.

        `positions`, of slices with a tumor, are shown as they are and without it; for each other
        view some of them are drawn.
        """
        counts = np.bincount(self.part.labels, minlength=self.part.n_classes)
        made = []
        for name, n in PER_STEP.items():
            pairs = name in ("original", "removed")
            chosen = positions if pairs else rng.choice(positions, min(n, len(positions)), False)
            made += [(name, position, self.make(name, position, rng)) for position in chosen]
        names, shown, inputs = zip(*made, strict=True)
        labels = self.part.labels[list(shown)]
        weights = len(self.part) / (self.part.n_classes * counts[labels])
        is_removed = np.array(names) == "removed"
        answers = np.where(is_removed, self.part.n_classes, labels)
        targets = np.eye(self.part.n_classes + 1, dtype=np.float32)[answers]
        return np.stack(inputs), targets, weights.astype(np.float32), np.array(names)

    def make(self, name, position, rng):
        """One view of one slice."""
        slice, mask = self.read(position)
        if name == "original":
            return slice
        tumor = mask  # where it lies in the view: shams stay off it
        if name == "removed":
            slice = self._filled(slice, mask, rng)
        elif name == "moved":
            slice, tumor = self._moved(slice, mask, rng)
        elif name == "swapped":
            slice = self._swapped(slice, mask, position, rng)
        n_patches = rng.integers(MAX_PATCHES + 1) + (name == "sham")
        for _ in range(n_patches):
            slice = self._patched(slice, tumor, position, rng)
        return slice

    def _filled(self, slice, region, rng):
        dilation_px = int(rng.integers(MAX_DILATION_PX + 1))
        return edits.remove(slice, region, infill=rng.choice(INFILLS), dilation_px=dilation_px)

    def _patched(self, slice, tumor, position, rng):
        """With a sham more: of its own tumor's shape at a legal place, or of the shape and at the
        place of another patient's tumor, if that is clear of `tumor`; else as it is."""
        found = head.head_mask(slice)
        region = None
        if rng.random() < 0.5:
            region = self._anothers_mask(position, rng)
        if region is None or not _is_legal(region, tumor, found):
            places = shams.legal_places(tumor, found, clearance_px=_clearance_px())
            drawn = shams.draw_places(places, 1, rng)
            if not drawn:
                return slice
            region = shams.move(tumor, drawn[0])
        return self._filled(slice, region, rng)

    def _another(self, position, rng):
        """A position of another patient's slice with a tumor, or None."""
        persons = self.part.persons
        others = self.shown[persons[self.shown] != persons[position]]
        return rng.choice(others) if len(others) else None

    def _anothers_mask(self, position, rng):
        other = self._another(position, rng)
        return None if other is None else self.read(other)[1]

    def _moved(self, slice, mask, rng):
        """The tumor at a legal place of its head, and where it lies then."""
        region = footprint(mask)
        grown_px = int(rng.integers(MAX_DILATION_PX + 1))
        tumor = dilate(mask, grown_px)
        places = shams.legal_places(region, head.head_mask(slice), tumor=tumor)
        for place in shams.draw_places(places, 1, rng):
            moved = transplant(slice, mask, slice, mask, place, dilation_px=grown_px)
            return moved, shams.move(region, place)
        return slice, mask

    def _swapped(self, slice, mask, position, rng):
        """The tumor at its own place in another patient's head, if one of a few has head there."""
        for _ in range(MAX_HOSTS):
            other = self._another(position, rng)
            if other is None:
                break
            host, host_mask = self.read(other)
            if head.head_mask(host)[mask].mean() >= MIN_IN_HEAD:
                here, grown_px = shams.Place(0, 0), int(rng.integers(MAX_DILATION_PX + 1))
                return transplant(host, host_mask, slice, mask, here, dilation_px=grown_px)
        return slice


class Validated:
    """Scores on validation slices and on edits of a spread of them, the same in every epoch."""

    def __init__(self, views, seed):
        self.part = views.part
        spread = views.shown[:: max(1, -(-len(views.shown) // MAX_VALIDATED))]
        self.labels = views.part.labels[spread] if len(spread) else np.zeros(0, int)
        self.edited = {}
        for name in ("removed", "sham", "moved"):
            rngs = [shams.rng_for(seed, f"{name} {views.part.index[k]}") for k in spread]
            made = [views.make(name, k, rng) for k, rng in zip(spread, rngs, strict=True)]
            self.edited[name] = made

    def scores(self, model, profile):
        """Share called right as they are and after each edit, and the mean probability of "no
        tumor" of those without one; NaN without validation."""
        if not len(self.labels):
            return dict.fromkeys(SCORES.split(), np.nan)
        size = profile.predict_batch_size
        p = predict(model, self.part, batch_size=size)
        right = {"": p.argmax(axis=1) == self.part.labels}
        for name, made in self.edited.items():
            p = predict(model, np.stack(made), batch_size=size)
            right[name] = p.argmax(axis=1) == self.labels
            if name == "removed":
                no_tumor = p[:, -1].mean()
        return {
            "val_accuracy": float(right[""].mean()),
            "val_right_removed": float(right["removed"].mean()),
            "val_no_tumor_removed": float(no_tumor),
            "val_right_sham": float(right["sham"].mean()),
            "val_right_moved": float(right["moved"].mean()),
        }


def _train_epoch(network, views, augmenter, n_steps, *, seeds):
    """One pass over the slices with a tumor; the mean loss of its steps."""
    rng = np.random.default_rng(seeds)
    augmenter.restart(int(rng.integers(2**30)))
    batches = recipe.chunks(rng.permutation(views.shown), PER_STEP["original"])[:n_steps]
    losses = []
    for positions in tqdm(batches, desc=f"epoch {seeds[-1]}", leave=False, disable=None):
        inputs, targets, weights, _ = views.step(positions, rng)
        inputs = recipe.augment(inputs, augmenter)[..., None]
        losses.append(network.train_on_batch(inputs, targets, sample_weight=weights))
    return float(np.mean(losses))


def _is_legal(region, tumor, found):
    """Whether a region lies in the head and clear of the tumor, as a place of a sham does."""
    inside = region.any() and not (region & ~found).any()
    return inside and not (dilate(tumor, _clearance_px()) & region).any()


def _clearance_px():
    return shams.CLEARANCE_PX + MAX_DILATION_PX


def _line(n_epochs, row):
    return (
        f"looking {row['epoch']}/{n_epochs}  loss {row['loss']:.3f}  validation: right "
        f"{row['val_accuracy']:.3f}, without tumor {row['val_right_removed']:.3f}, with sham "
        f"{row['val_right_sham']:.3f}, tumor moved {row['val_right_moved']:.3f}  "
        f"({row['seconds']:.0f} s)"
    )
