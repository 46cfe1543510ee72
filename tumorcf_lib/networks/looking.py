"""A network that looks: fine-tuned to say "no tumor" where the tumor was taken out.

Three classes have no answer for a slice without a tumor, so a network may name one by default. A
further output gives it one. What must not tell it the answer is the trace of an edit: so slices
with a tumor are edited, too, as often, with the same infills, at the places where tumors lie.
"""

import keras
import numpy as np
from keras import layers

from tumorcf_lib.edits import edits, head, shams
from tumorcf_lib.edits.infills import TAUGHT_INFILLS
from tumorcf_lib.edits.regions import dilate
from tumorcf_lib.edits.transplants import footprint, transplant
from tumorcf_lib.networks import finetune

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


def look(model, profile, *data, **how):
    """Go on training a trained network until it sees when the tumor is gone.

    Each step shows the views of :data:`PER_STEP`. Norms keep their state, folded into convolutions.
    Every class counts the same, with and without its tumor. Kept are the weights after the last
    epoch (their running mean, if the profile has one); without validation
    (``profile.validates``) its scores are NaN, and all slices but the tested are trained on. The
    result has a last output :data:`config.NO_TUMOR`; all else is shared with the given model,
    which changes. ``data`` and ``how`` as of :func:`finetune.harden`."""
    views, validated = finetune.views_of(Views, model, profile, *data, how["seed"])
    return finetune.run_epochs("looking", with_no_tumor(model), profile, views, validated, **how)


class Views(finetune.Views):
    """Edited views of the slices of one part; shapes and heads of others come from it, too."""

    def order(self, profile):
        return self.with_tumor, PER_STEP["original"]

    def step(self, positions, rng):
        """Views of one step: inputs, targets (n, n_classes + 1), weights (n,) and names.

        `positions`, of slices with a tumor, are shown as they are and without it; for each other
        view some of them are drawn.
        """
        made = []
        for name, n in PER_STEP.items():
            pairs = name in ("original", "removed")
            chosen = positions if pairs else rng.choice(positions, min(n, len(positions)), False)
            made += [(name, position, self.make(name, position, rng)) for position in chosen]
        names, shown, inputs = zip(*made, strict=True)
        labels = self.part.labels[list(shown)]
        is_removed = np.array(names) == "removed"
        answers = np.where(is_removed, self.part.n_classes, labels)
        targets = np.eye(self.part.n_classes + 1, dtype=np.float32)[answers]
        return np.stack(inputs), targets, self.part.class_weights[labels], np.array(names)

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
        return edits.remove(
            slice, region, infill=rng.choice(TAUGHT_INFILLS), dilation_px=dilation_px
        )

    def _patched(self, slice, tumor, position, rng):
        """With a sham more: of its own tumor's shape at a legal place, or of the shape and at the
        place of another patient's tumor, if that is clear of `tumor`; else as it is."""
        found, region = head.head_mask(slice), None
        if rng.random() < 0.5:
            region = self.read(self._another(position, rng))[1]
        if region is None or not _is_legal(region, tumor, found):
            places = shams.legal_places(tumor, found, clearance_px=_clearance_px())
            drawn = shams.draw_places(places, 1, rng)
            if not drawn:
                return slice
            region = shams.move(tumor, drawn[0])
        return self._filled(slice, region, rng)

    def _another(self, position, rng):
        """A position of another patient's slice with a tumor."""
        persons = self.part.persons
        return rng.choice(self.with_tumor[persons[self.with_tumor] != persons[position]])

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
            host, host_mask = self.read(self._another(position, rng))
            if head.head_mask(host)[mask].mean() >= MIN_IN_HEAD:
                here, grown_px = shams.Place(0, 0), int(rng.integers(MAX_DILATION_PX + 1))
                return transplant(host, host_mask, slice, mask, here, dilation_px=grown_px)
        return slice


def _is_legal(region, tumor, found):
    """Whether a region lies in the head and clear of the tumor, as a place of a sham does."""
    inside = region.any() and not (region & ~found).any()
    return inside and not (dilate(tumor, _clearance_px()) & region).any()


def _clearance_px():
    return shams.CLEARANCE_PX + MAX_DILATION_PX
