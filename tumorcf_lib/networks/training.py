"""Training of the classifier: recipe, early stopping, and going on after an interruption."""

import time
from dataclasses import dataclass, replace
from functools import partial

import keras
import numpy as np
import pandas as pd
from tqdm import tqdm

from tumorcf_lib import steps
from tumorcf_lib.networks import recipe
from tumorcf_lib.networks.checkpoint import Checkpoint, fingerprint
from tumorcf_lib.networks.classifier import predict
from tumorcf_lib.networks.speed import folded, freeze

HISTORY_COLUMNS = tuple(
    "epoch loss accuracy val_loss val_accuracy val_person_accuracy learning_rate seconds".split()
)
WARMUP_LEARNING_RATE = 1e-3
HEAD = ("hidden", "dropout", "probabilities")
"""Layers after the pooling."""


class TrainingInputError(ValueError):
    """Slices, labels or parts that cannot be trained on."""


@dataclass(frozen=True)
class Training:
    """A trained model with the weights of its best epoch, and how it got there.

    ``history`` has one row per epoch and the columns of :data:`HISTORY_COLUMNS`.
    """

    model: keras.Model
    history: pd.DataFrame
    best_epoch: int
    is_over: bool = True  # False: its time was up before its schedule


@dataclass(frozen=True)
class Part:
    """The slices of one part of the split, by their positions in the whole array."""

    slices: np.ndarray  # all slices, (n, size, size); may be memory-mapped
    index: np.ndarray  # (n_part,)
    labels: np.ndarray  # (n_part,)
    persons: np.ndarray  # (n_part,)
    n_classes: int

    def __len__(self):
        return len(self.index)

    def __getitem__(self, positions):
        """Float32 slices at these positions of the part, shape (n, size, size)."""
        return np.asarray(self.slices[self.index[positions]], np.float32)

    @property
    def class_weights(self):
        """Weight of a slice of each class by which all classes count the same, (n_classes,)."""
        counts = np.bincount(self.labels, minlength=self.n_classes)
        return (len(self) / (self.n_classes * counts)).astype(np.float32)

    def targets(self, positions=slice(None)):
        """One-hot labels at these positions, shape (n, n_classes)."""
        return np.eye(self.n_classes, dtype=np.float32)[self.labels[positions]]


def train(model, profile, *data, seed, folder, backbone=None, minutes=np.inf, progress=print):
    """Fit the model to the training patients; stop early on the validation patients.

    The head is trained for ``warmup_epochs`` on stored features, then all that is not frozen, with
    AdamW, a one-cycle rate and random views. Frozen norms are folded into convolutions, which
    halves time and memory. The loss is the categorical focal loss with label smoothing, every
    class weighing the same. Kept are the weights of the epoch of lowest validation loss, as
    running means (``ema_momentum``); without ``validates``, of the last. State goes to
    ``folder`` after each epoch (of the head's short ones, the first and the last): a killed
    training that is called again with equal arguments ends where an undisturbed one does. But for
    the first, no epoch is begun that would, being as long as the last, end after the ``minutes``.

    ``data`` are slices (n, size, size), labels, persons (the patients) and parts; slices are read
    batch by batch, those of another part than "train" and "validation" never. The model of
    :func:`classifier.build` is changed in place. The folder gets ``history.csv`` and
    ``checkpoint.npz``, which the caller removes. A ``backbone``, from :func:`backbone_of` this
    model, need not be traced again.
    """
    until = time.perf_counter() + 60 * minutes
    training, validation = split_parts(model, *data, validates=profile.validates)
    folder.mkdir(parents=True, exist_ok=True)
    state = Checkpoint(folder, model, fingerprint(profile, seed, training, validation))
    if state.read():
        progress(f"going on after epoch {state.epoch} of an interrupted training")
    freeze(model, profile)
    loss = recipe.focal_loss(profile, training.class_weights)
    run = partial(_run, state, profile, loss, seed=seed, until=until, progress=progress)
    n_warmup = min(profile.warmup_epochs, profile.epochs)
    if state.epoch < n_warmup:
        backbone, size = backbone or backbone_of(model), profile.predict_batch_size
        stored = (_as_features(part, backbone, size) for part in (training, validation))
        optimizer = keras.optimizers.AdamW(WARMUP_LEARNING_RATE)
        run(head_of(model), optimizer, *stored, last=n_warmup, views=False)
    if not is_over(state, profile):
        n_epochs = profile.epochs - profile.warmup_epochs
        n_steps = n_epochs * recipe.n_steps(training, profile.batch_size)
        network = folded(model, learning_too=False)
        optimizer = recipe.make_optimizer(profile, n_steps)
        run(network, optimizer, training, validation, last=profile.epochs, views=True)
    state.restore_best()
    history = pd.DataFrame(state.history, columns=HISTORY_COLUMNS)
    steps.write_whole(folder / "history.csv", history.to_csv(index=False))
    return Training(model, history, state.best_epoch, is_over(state, profile))


def split_parts(model, slices, labels, persons, parts, *, validates=True):
    """Training and validation part, checked; without ``validates`` all but the tested slices
    are trained on, and the validation part is empty."""
    labels, persons, parts = np.asarray(labels), np.asarray(persons), np.asarray(parts)
    n_classes = model.output_shape[-1]
    if not validates:
        parts = np.where(parts == "validation", "train", parts)
    found = []
    for name in ("train", "validation"):
        index = np.flatnonzero(parts == name)
        missing = set(range(n_classes)) - set(labels[index].tolist())
        if missing and (validates or name == "train"):
            raise TrainingInputError(
                f"Expected slices of {n_classes} classes in part {name!r}, got {len(index)} slices "
                f"and none of class {sorted(missing)}; draw the split again."
            )
        found.append(Part(slices, index, labels[index], persons[index], n_classes))
    return found


def is_over(state, profile):
    """Whether all epochs are over, or ``patience`` of the whole network without a fall of the
    validation loss.

    Epochs of the head alone are never cut short, and do not count; nor is a training without
    validation.
    """
    without_fall = state.epoch - max(state.best_epoch, profile.warmup_epochs)
    return state.epoch >= profile.epochs or without_fall >= profile.patience


def is_late(state, until):
    """Whether another epoch, if it takes as long as the last one, would end after that moment."""
    return state.epoch > 0 and time.perf_counter() + state.history[-1]["seconds"] > until


def backbone_of(model):
    """The layers up to the pooling as a network from slices to features, on the same variables."""
    return keras.Model(model.input, model.get_layer("features").output)


def head_of(model):
    """The layers after the pooling as a network, on the same variables.

    Features come as ``(n, channels, 1)``, so that :func:`predict` takes them like slices.
    """
    n_channels = model.get_layer("features").output.shape[-1]
    layers = [model.get_layer(name) for name in HEAD]
    return keras.Sequential([keras.Input((n_channels, 1)), keras.layers.Flatten(), *layers])


def _as_features(part, backbone, batch_size):
    """The part with stored features, (n_part, channels), in the place of slices."""
    features = predict(backbone, part, batch_size=batch_size).astype(np.float32)
    return replace(part, slices=features, index=np.arange(len(part)))


def _run(state, profile, loss, network, optimizer, *parts, last, views, seed, until, progress):
    """Epochs of one stage, each with its own seeds, recorded and stored as it ends."""
    training, validation = parts
    network.compile(recipe.scaling(optimizer, network), loss, metrics=["accuracy"])
    _make_variables(network, training)
    state.restore_optimizer(network.optimizer)
    augmenter = recipe.build_augmenter(strength=profile.augmentation) if views else None
    while state.epoch < last and not is_over(state, profile) and not is_late(state, until):
        started = time.perf_counter()
        epoch = state.epoch + 1
        scores = _train_epoch(network, profile, training, augmenter, seeds=[seed, epoch])
        with recipe.averaged_weights(network, training):
            probabilities = predict(network, validation, batch_size=profile.predict_batch_size)
            candidate = state.model.get_weights()
        rate = float(keras.ops.convert_to_numpy(network.optimizer.learning_rate))
        scores |= {"epoch": epoch, **validate(loss, probabilities, validation)}
        scores |= {"learning_rate": rate, "seconds": time.perf_counter() - started}
        # An epoch of the head takes less time than storing the whole network.
        state.record(scores, network.optimizer, candidate, store=views or epoch in (1, last))
        progress(_line(scores, profile))


def _make_variables(network, part):
    """Variables of optimizer and metrics, made beforehand: TensorFlow traces a step that makes
    any of them twice, which takes seconds."""
    network.optimizer.build(network.trainable_variables)
    targets = part.targets(slice(1))
    network.compute_metrics(None, targets, targets)
    network.reset_metrics()


def _train_epoch(network, profile, training, augmenter, *, seeds):
    rng = np.random.default_rng(seeds)
    if augmenter is not None:
        augmenter.restart(int(rng.integers(2**30)))
    batches = recipe.whole_chunks(rng.permutation(len(training)), profile.batch_size)
    scores, weights = [], recipe.slice_weights(training, profile.weighing_alike)
    for positions in tqdm(batches, desc=f"epoch {seeds[-1]}", leave=False, disable=None):
        inputs, targets = training[positions], training.targets(positions)
        if augmenter is not None:
            inputs = recipe.augment(inputs, augmenter)
            if profile.mixup:
                inputs, targets = recipe.mixed(inputs, targets, profile.mixup, rng)
        weighed = {} if weights is None else {"sample_weight": weights[positions]}
        network.reset_metrics()  # before Keras 3.15 they were running means
        scores.append(network.train_on_batch(inputs[..., None], targets, **weighed))
    loss, accuracy = np.mean(scores, axis=0)
    return {"loss": float(loss), "accuracy": float(accuracy)}


def validate(loss, probabilities, part):
    """Loss, share of slices and share of patients right; NaN of an empty part."""
    if not len(part):
        return dict.fromkeys(("val_loss", "val_accuracy", "val_person_accuracy"), np.nan)
    by_person = pd.DataFrame(probabilities).groupby(part.persons).mean()
    label_of = pd.Series(part.labels, part.persons).groupby(level=0).first()
    persons_right = by_person.to_numpy().argmax(axis=1) == label_of[by_person.index].to_numpy()
    return {
        "val_loss": float(loss(part.targets(), probabilities.astype(np.float32))),
        "val_accuracy": float(np.mean(probabilities.argmax(axis=1) == part.labels)),
        "val_person_accuracy": float(np.mean(persons_right)),
    }


def _line(scores, profile):
    return (
        f"epoch {scores['epoch']:2d}/{profile.epochs}  loss {scores['loss']:.3f}  "
        f"validation loss {scores['val_loss']:.3f}, slices {scores['val_accuracy']:.3f}, "
        f"patients {scores['val_person_accuracy']:.3f}  ({scores['seconds']:.0f} s)"
    )
