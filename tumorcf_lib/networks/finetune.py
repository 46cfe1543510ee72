"""Two fine-tuned copies of the trained network: one hardened against edits, one made to look.

Both start from the trained weights and see the training patients only, in views drawn again
in every epoch. Removals are filled by Navier-Stokes; other infills stay unseen and test
whether what was learned is about the tumor or about one way to fill.
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

VIEWS = ("original", "sham", "removed", "pasted")
"""The slice; the slice with a hole of the tumor's shape elsewhere, clear of the tumor, filled
in; the slice with the tumor filled in; the tumor alone on another background."""

SHARES = {
    "hardened": {"original": 0.5, "sham": 0.5},
    "looking": {"original": 0.35, "sham": 0.15, "removed": 0.25, "pasted": 0.25},
}
"""Kind of network -> views it is trained on (see :data:`VIEWS`), and the share of each."""

BACKGROUND_SHARES = {"air": 0.3, "gray": 0.2, "other": 0.5}
"""Of pasted tumors: the slice's own air, one random gray, or another patient's slice."""

MAX_DILATION_SHARE = 0.02
"""Removals in training grow the mask by 0 to this share of the slice's side: 4 px at 224."""

EPOCHS = {"hardened": 1, "looking": 2}
"""Times the profile's ``finetune_epochs``: the looking network has more to learn."""

HEAD_LAYERS = ("hidden", "dropout", "probabilities")
"""What is fine-tuned of a network of which no more was trained, as in profile "smoke"."""

MAX_EDITED = 120
"""At most so many validation slices are edited after each epoch, spread over all of them."""

SCORES = "val_accuracy val_person_accuracy val_p_remove val_delta_drop val_sham_drop val_focus"
HISTORY_COLUMNS = ("epoch", "loss", *SCORES.split(), "seconds")


class UnknownKindError(ValueError):
    """A kind of fine-tuning, or of view, that does not exist."""


class MasksMissingError(ValueError):
    """Masks that do not belong to the slices, or a part without any tumor."""


@dataclass(frozen=True)
class Finetuned:
    """A fine-tuned model and its ``history``: a row per epoch, epoch 0 before fine-tuning."""

    model: keras.Model
    history: pd.DataFrame


def finetune(model, profile, slices, masks, labels, persons, parts, *, kind, seed, progress=print):
    """Go on training a trained network, on edited views of the training patients' slices.

    The hardened network sees slices with and without a sham removal, labels unchanged. The
    looking network is also shown slices without their tumor, for which every class is equally
    right, and tumors on foreign backgrounds, for which only the tumor tells the class; shams
    keep their class, or a visible edit alone would mean "flat". Batch norms keep their state,
    folded into convolutions. The loss is weighted per slice so that every class counts the
    same. Kept is the running mean of weights after the last epoch: validation chooses nothing.

    Parameters
    ----------
    model : keras.Model
        The trained network, changed in place: load it again for each kind.
    profile : Profile
        ``finetune_epochs``, ``finetune_learning_rate`` and the settings of training.
    slices, masks : ndarray or memmap, shape (n, size, size)
        Network inputs, float32, and tumors, bool. A slice without a tumor is shown as it is.
    labels, persons, parts : ndarray, shape (n,)
        As in :func:`training.train`; test slices are never read.
    kind : {"hardened", "looking"}
    seed : int
        Equal arguments and seeds give equal weights on one machine.
    progress : callable
        Gets one line per epoch.

    Returns
    -------
    Finetuned
    """
    if kind not in SHARES:
        raise UnknownKindError(f"No kind {kind!r} of fine-tuning; choose of: {', '.join(SHARES)}.")
    trained, validation = training.split_parts(model, slices, labels, persons, parts)
    check_masks(slices, masks, (trained, validation))
    views, validated = Views(trained, masks), Validated(Views(validation, masks), seed)
    n_epochs = EPOCHS[kind] * profile.finetune_epochs
    network = compiled(model, profile, n_epochs * max(1, len(trained) // profile.batch_size))
    augmenter = recipe.build_augmenter(strength=profile.augmentation)
    rows = [{"epoch": 0, "loss": np.nan, **validated.scores(network, profile), "seconds": 0.0}]
    for epoch in range(1, n_epochs + 1):
        started = time.perf_counter()
        loss = _train_epoch(network, profile, views, augmenter, SHARES[kind], seeds=[seed, epoch])
        with recipe.averaged_weights(network, trained):
            scores = validated.scores(network, profile)
            averaged = model.get_weights()
        seconds = time.perf_counter() - started
        rows.append({"epoch": epoch, "loss": loss, **scores, "seconds": seconds})
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
        self.shown = np.array(shown[:: -(-len(shown) // MAX_EDITED)])
        made = []
        for i in self.shown:
            slice, mask = views.read(i)
            rng = shams.rng_for(seed, self.part.index[i])
            made.append(
                (edits.remove(slice, mask), remove_elsewhere(slice, mask, rng),
                 edits.only(slice, mask))
            )
        self.edited = np.stack(made)  # (n_shown, 3, size, size)

    def scores(self, model, profile):
        """Accuracies on all validation slices; mean scores on the edited ones: probability of
        the true class without the tumor, its falls by removal and sham, and by the tumor alone.
        """
        p = predict(model, self.part, batch_size=profile.predict_batch_size)
        accuracies = training.validate(lambda *_: 0.0, p, self.part)
        labels = self.part.labels[self.shown]
        edited = self.edited.reshape(-1, *self.edited.shape[2:])  # (3 n_shown, size, size)
        p_edited = predict(model, edited, batch_size=profile.predict_batch_size)
        p_true = p_edited[np.arange(len(edited)), labels.repeat(3)]
        p_remove, p_sham, p_only = p_true.reshape(-1, 3).T
        p_orig = p[self.shown, labels]
        return {
            "val_accuracy": accuracies["val_accuracy"],
            "val_person_accuracy": accuracies["val_person_accuracy"],
            "val_p_remove": float(p_remove.mean()),
            "val_delta_drop": float((p_orig - p_remove).mean()),
            "val_sham_drop": float((p_orig - p_sham).mean()),
            "val_focus": float(p_only.mean()),
        }


@dataclass(frozen=True)
class Views:
    """Edited views of the slices of one part; backgrounds, too, come from this part only."""

    part: object  # a training.Part: slices of one part of the split
    masks: np.ndarray  # of all slices, (n, size, size); may be memory-mapped

    def batch(self, positions, shares, rng):
        """Views of the slices at these positions of the part, in these shares.

        Inputs (n, size, size); targets (n, n_classes), the class or, for "removed", the same for
        all; and names of the views. A slice without a tumor is always shown as it is.
        """
        unknown = sorted(set(shares) - set(VIEWS))
        if unknown:
            raise UnknownKindError(f"No views {unknown}; choose of: {', '.join(VIEWS)}.")
        drawn = rng.choice(len(shares), len(positions), p=list(shares.values()))
        names = np.array(list(shares), object)[drawn]
        targets = self.part.targets(positions)
        inputs = []
        for row, position in enumerate(positions):
            slice, mask = self.read(position)
            if not mask.any():
                names[row] = "original"
            if names[row] == "removed":
                targets[row] = 1 / self.part.n_classes
            inputs.append(self._make(names[row], slice, mask, self.part.persons[position], rng))
        return np.stack(inputs), targets, names

    def read(self, position):
        """Slice and mask at a position of the part."""
        mask = np.asarray(self.masks[self.part.index[position]], bool)
        return self.part[position], mask

    def _make(self, name, slice, mask, person, rng):
        if name == "original":
            return slice
        if name == "sham":
            return remove_elsewhere(slice, mask, rng, dilation_px=_dilation(slice, rng))
        if name == "removed":
            return edits.remove(slice, mask, dilation_px=_dilation(slice, rng))
        return np.where(mask, slice, self._background(slice, person, rng))

    def _background(self, slice, person, rng):
        """What a tumor is pasted on; nothing of its own slice but the air's brightness."""
        kind = rng.choice(list(BACKGROUND_SHARES), p=list(BACKGROUND_SHARES.values()))
        if kind == "air":
            return np.full_like(slice, slice.min())
        if kind == "gray":
            return np.full_like(slice, rng.uniform(slice.min(), np.percentile(slice, 99)))
        other = rng.choice(np.flatnonzero(self.part.persons != person))
        slice, mask = self.read(other)
        return edits.remove(slice, mask, dilation_px=_dilation(slice, rng))


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


def check_masks(slices, masks, parts):
    """A MasksMissingError if masks do not fit the slices, or a part has no tumor."""
    if np.shape(masks) != np.shape(slices):
        raise MasksMissingError(
            f"Expected one mask of its size for each slice, {np.shape(slices)}, got "
            f"{np.shape(masks)}; take both from 02_preprocessing."
        )
    for name, part in zip(("train", "validation"), parts, strict=False):
        if not any(np.any(masks[i]) for i in part.index):
            raise MasksMissingError(
                f"Expected tumors in part {name!r}, got {len(part)} empty masks; fine-tuning "
                "edits tumors, so check what the masks were read from."
            )


def compiled(model, profile, n_steps):
    """The network that is trained: the model's own variables, its frozen norms folded."""
    freeze(model, replace(profile, freeze_norms=True))
    if profile.warmup_epochs >= profile.epochs:  # only the head was ever trained
        for layer in model.layers:
            layer.trainable = layer.name in HEAD_LAYERS
    rates = replace(profile, learning_rate=profile.finetune_learning_rate)
    loss = keras.losses.CategoricalFocalCrossentropy(
        alpha=1.0, gamma=profile.focal_gamma, label_smoothing=profile.label_smoothing
    )
    network = folded(model)
    network.compile(recipe.scaling(recipe.make_optimizer(rates, n_steps), network), loss)
    network.optimizer.build(network.trainable_variables)  # or the step is traced twice
    return network


def _train_epoch(network, profile, views, augmenter, shares, *, seeds):
    """One pass over the training slices, each in one view; the mean loss of its steps."""
    rng = np.random.default_rng(seeds)
    augmenter.restart(int(rng.integers(2**30)))
    part = views.part
    weights = len(part) / (part.n_classes * np.bincount(part.labels, minlength=part.n_classes))
    batches = recipe.chunks(rng.permutation(len(part)), profile.batch_size)
    if len(batches) > 1 and len(batches[-1]) < profile.batch_size:
        batches.pop()  # one shape of batch; other slices are left out in the next epoch
    losses = []
    for positions in tqdm(batches, desc=f"epoch {seeds[-1]}", leave=False, disable=None):
        inputs, targets, _ = views.batch(positions, shares, rng)
        inputs = recipe.augment(inputs, augmenter)[..., None]
        weight = weights[part.labels[positions]].astype(np.float32)
        losses.append(network.train_on_batch(inputs, targets, sample_weight=weight))
    return float(np.mean(losses))


def _line(kind, n_epochs, row):
    return (
        f"{kind} {row['epoch']}/{n_epochs}  loss {row['loss']:.3f}  validation: "
        f"slices {row['val_accuracy']:.3f}, tumor removed {row['val_p_remove']:.3f}, sham drop "
        f"{row['val_sham_drop']:+.3f}, tumor alone {row['val_focus']:.3f}  ({row['seconds']:.0f} s)"
    )
