"""Two fine-tuned copies of the trained network: one hardened against edits, one made to look.

Both start from the trained weights and see the training persons only, in views drawn anew
in every epoch. Removals are filled by Navier-Stokes; other infills stay unseen and test
whether what was learned is about the tumor or about one way to fill.
"""

import time
from dataclasses import dataclass, replace

import keras
import numpy as np
import pandas as pd
from tqdm import tqdm

from tumorcf_lib.edits import edits, shams
from tumorcf_lib.networks import training
from tumorcf_lib.networks.augment import augment, build_augmenter
from tumorcf_lib.networks.freezing import freeze
from tumorcf_lib.networks.speed import folded
from tumorcf_lib.networks.views import Views, remove_elsewhere

SHARES = {
    "hardened": {"original": 0.5, "sham": 0.5},
    "looking": {"original": 0.35, "sham": 0.15, "removed": 0.25, "pasted": 0.25},
}
"""Kind of network -> views it is trained on (see `views.NAMES`), and the share of each."""

EPOCHS = {"hardened": 1, "looking": 2}
"""Times the profile's ``finetune_epochs``: the looking network has more to learn anew. On
validation persons its probability without the tumor was still falling at the third epoch."""

HEAD_LAYERS = ("hidden", "dropout", "probabilities")
"""What is fine-tuned of a network of which no more was trained, as in profile "smoke"."""

MAX_EDITED = 120
"""At most so many validation slices are edited after each epoch, spread over all of them."""

HISTORY_COLUMNS = (
    "epoch", "loss", "val_accuracy", "val_person_accuracy", "val_p_remove", "val_delta_drop",
    "val_sham_drop", "val_focus", "seconds",
)  # fmt: skip


class UnknownKindError(ValueError):
    """A kind of fine-tuning that does not exist."""


class MasksMissingError(ValueError):
    """Masks that do not belong to the slices, or a part without any tumor."""


@dataclass(frozen=True)
class Finetuned:
    """A fine-tuned model and how it got there.

    ``history`` has the columns of :data:`HISTORY_COLUMNS` and one row per epoch; epoch 0 is
    the network before fine-tuning, without a loss.
    """

    model: keras.Model
    history: pd.DataFrame


def finetune(
    model, profile, slices, masks, labels, persons, parts, *, kind, seed, progress=print
):
    """Go on training a trained network, on edited views of the training persons' slices.

    The hardened network sees slices with and without a sham removal, labels unchanged; no
    tumor is ever removed. The looking network is also shown slices without their tumor, for
    which every class is equally right, and tumors on foreign backgrounds, for which only the
    tumor tells the class; shams keep their class, or a visible edit alone would mean "flat".

    Batch norms keep their state, folded into convolutions, and so do the layers that the
    profile froze in training. The loss is the categorical focal loss, here weighted per slice
    so that every class counts the same: weights inside the sum would tilt the flat target.
    AdamW, one-cycle rate, random views and the running mean of weights are those of
    :func:`networks.training.train`. Kept is the running mean after the last epoch:
    validation slices are scored, but choose nothing.

    Parameters
    ----------
    model : keras.Model
        The trained network, changed in place: load it anew for each kind.
    profile : Profile
        ``finetune_epochs``, ``finetune_learning_rate`` and the settings of training.
    slices : ndarray or memmap of float32, shape (n, size, size)
        Network inputs; read batch by batch.
    masks : ndarray or memmap of bool, shape (n, size, size)
        A slice whose mask is empty is always shown as it is.
    labels, persons : ndarray, shape (n,)
        Class index and person of each slice.
    parts : ndarray of str, shape (n,)
        "train", "validation" or "test"; test slices are never read.
    kind : {"hardened", "looking"}
    seed : int
        Equal arguments and seeds give equal weights on one machine.
    progress : callable
        Gets one line per epoch.

    Returns
    -------
    Finetuned

    Raises
    ------
    UnknownKindError, MasksMissingError, training.TrainingInputError
    """
    if kind not in SHARES:
        raise UnknownKindError(f"No kind {kind!r} of fine-tuning; choose of: {', '.join(SHARES)}.")
    trained, validation = training.split_parts(model, slices, labels, persons, parts)
    _check_masks(slices, masks, (trained, validation))
    views, validated = Views(trained, masks), Validated(Views(validation, masks), seed)
    n_epochs = EPOCHS[kind] * profile.finetune_epochs
    network = _compiled(model, profile, n_epochs * max(1, len(trained) // profile.batch_size))
    augmenter = build_augmenter(strength=profile.augmentation)
    rows = [{"epoch": 0, "loss": np.nan, **validated.scores(network, profile), "seconds": 0.0}]
    for epoch in range(1, n_epochs + 1):
        started = time.perf_counter()
        loss = _train_epoch(
            network, profile, views, augmenter, SHARES[kind], seeds=[seed, epoch]
        )
        with training.averaged_weights(network, trained):
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
            )  # fmt: skip
        self.edited = np.stack(made)  # (n_shown, 3, size, size)

    def scores(self, model, profile):
        """Accuracies on all validation slices; mean scores on the edited ones.

        Returns
        -------
        dict
            The columns of :data:`HISTORY_COLUMNS` that begin with "val_". p_remove is the
            probability of the true class without the tumor, focus that of the tumor alone;
            drops are falls of it by the removal and by a sham.
        """
        p = training.predict(model, self.part, batch_size=profile.predict_batch_size)
        accuracies = training._validate(lambda *_: 0.0, p, self.part)
        labels = self.part.labels[self.shown]
        edited = self.edited.reshape(-1, *self.edited.shape[2:])  # (3 n_shown, size, size)
        p_edited = training.predict(model, edited, batch_size=profile.predict_batch_size)
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


def _check_masks(slices, masks, parts):
    if np.shape(masks) != np.shape(slices):
        raise MasksMissingError(
            f"Expected one mask of its size for each slice, {np.shape(slices)}, got "
            f"{np.shape(masks)}; take both from 02_preprocessing."
        )
    for name, part in zip(("train", "validation"), parts, strict=True):
        if not any(np.any(masks[i]) for i in part.index):
            raise MasksMissingError(
                f"Expected tumors in part {name!r}, got {len(part)} empty masks; fine-tuning "
                "edits tumors, so check what the masks were read from."
            )


def _compiled(model, profile, n_steps):
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
    network.compile(training.make_optimizer(rates, n_steps), loss)
    network.optimizer.build(network.trainable_variables)  # or the step is traced twice
    return network


def _train_epoch(network, profile, views, augmenter, shares, *, seeds):
    """One pass over the training slices, each in one view; the mean loss of its steps."""
    rng = np.random.default_rng(seeds)
    augmenter.restart(int(rng.integers(2**30)))
    part = views.part
    weights = len(part) / (part.n_classes * np.bincount(part.labels, minlength=part.n_classes))
    batches = training._chunks(rng.permutation(len(part)), profile.batch_size)
    if len(batches) > 1 and len(batches[-1]) < profile.batch_size:
        batches.pop()  # one shape of batch; other slices are left out in the next epoch
    losses = []
    for positions in tqdm(batches, desc=f"epoch {seeds[-1]}", leave=False, disable=None):
        inputs, targets, _ = views.batch(positions, shares, rng)
        inputs = augment(inputs, augmenter)[..., None]
        weight = weights[part.labels[positions]].astype(np.float32)
        losses.append(network.train_on_batch(inputs, targets, sample_weight=weight))
    return float(np.mean(losses))


def _line(kind, n_epochs, row):
    return (
        f"{kind} {row['epoch']}/{n_epochs}  loss {row['loss']:.3f}  validation: "
        f"slices {row['val_accuracy']:.3f}, tumor removed {row['val_p_remove']:.3f}, sham drop "
        f"{row['val_sham_drop']:+.3f}, tumor alone {row['val_focus']:.3f}  ({row['seconds']:.0f} s)"
    )
