"""Networks whose truth is known: taught one cause, taught nothing, or taught wrong labels."""

from dataclasses import replace

import keras
import numpy as np
from keras import layers
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tumorcf_lib.networks import backbones, classifier, speed, training

NORM_BATCHES, NORM_BATCH_SIZE = 8, 32
SHUFFLED_EPOCHS = 30  # of the head alone: enough to know the training persons by heart
POOLED_LAYERS = (
    "block5_depthwise_relu6", "block8_depthwise_relu6", "block11_depthwise_relu6",
)  # fmt: skip
"""Layers of lite0 whose maxima a quick reader takes: small signs do not survive to the last."""


def train_planted(profile, cohort, parts, *, seed, folder, progress=print):
    """A network trained on a prepared calibration cohort by the study's own recipe.

    Parameters
    ----------
    profile : config.Profile
    cohort : Cohort
        Prepared: slices float32, (n, size, size).
    parts : ndarray of str, shape (n,)
        "train", "validation" or "test".
    seed, folder, progress
        As in :func:`networks.training.train`.

    Returns
    -------
    tumorcf_lib.networks.training.Training
    """
    classifier.set_up(seed)
    model = classifier.build(profile, n_classes=len(cohort.classes), seed=seed)
    return training.train(
        model, profile, cohort.slices, cohort.labels, cohort.persons, parts,
        seed=seed, folder=folder, progress=progress,
    )  # fmt: skip


def train_shuffled(profile, cohort, *, seed, folder):
    """A network that was taught wrong labels, dealt out to the persons by lot.

    Of each person's slices the last validates, on purpose: the network shall get to know its
    persons by heart, and answer new ones firmly and by chance. Only its head is trained.

    Returns
    -------
    tumorcf_lib.networks.training.Training
    """
    is_last = ~cohort.table.duplicated("person_id", keep="last").to_numpy()
    wrong = replace(cohort, table=cohort.table.assign(label=shuffled_labels(cohort, seed)))
    recipe = replace(profile, epochs=SHUFFLED_EPOCHS, warmup_epochs=SHUFFLED_EPOCHS)
    parts = np.where(is_last, "validation", "train")
    return train_planted(
        recipe, wrong, parts, seed=seed, folder=folder, progress=lambda line: None
    )


def shuffled_labels(cohort, seed):
    """Labels dealt out anew to the persons, int (n,): a person's slices keep one label."""
    _, first, owner = np.unique(cohort.persons, return_index=True, return_inverse=True)
    return np.random.default_rng(seed).permutation(cohort.labels[first])[owner]


def random_network(profile, slices, *, n_classes, seed):
    """A network with random weights whose batch norms fit the slices: it knows no class.

    Without fitted norms signals fade from layer to layer, every slice gets the same answer,
    and a Net-Drop of zero would be no achievement.

    Parameters
    ----------
    profile : config.Profile
        Its backbone is used, without weights.
    slices : ndarray of float32, shape (n, size, size)
    n_classes, seed : int

    Returns
    -------
    keras.Model
    """
    classifier.set_up(seed)  # a backbone without weights draws from Keras's global seed
    model = classifier.build(replace(profile, weights=None), n_classes=n_classes, seed=seed)
    rng = np.random.default_rng(seed)
    for number in range(NORM_BATCHES):
        drawn = np.sort(rng.choice(len(slices), min(len(slices), NORM_BATCH_SIZE), replace=False))
        fit_norms(model, np.asarray(slices[drawn], np.float32), number)
    return model


def fit_norms(model, slices, n_before):
    """Take one batch into the mean that batch norms keep of their inputs' statistics.

    Parameters
    ----------
    model : keras.Model
    slices : ndarray of float32, shape (n, size, size)
    n_before : int
        Batches taken in already, all counted alike; 0 forgets what the norms knew.
    """
    norms = speed.norm_layers(model)
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = n_before / (n_before + 1)
    model(slices[..., None], training=True)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum


def feature_model(size_px):
    """The pretrained lite0 up to its middle, as the largest value of each feature map.

    Returns
    -------
    keras.Model
        ``(n, size_px, size_px, 1)`` to ``(n, 1392)``.
    """
    backbone = backbones.build_backbone("efficientnet_lite0", size_px, "imagenet")
    maps = [backbone.get_layer(name).output for name in POOLED_LAYERS]
    pooled = layers.Concatenate()([layers.GlobalMaxPooling2D()(x) for x in maps])
    return keras.Model(backbone.input, pooled)


def fit_reader(model, features, labels, *, batch_size=64):
    """A logistic regression on a feature model, as a function from slices to probabilities.

    Parameters
    ----------
    model : keras.Model
        From :func:`feature_model`.
    features : ndarray, shape (n, n_features)
        Of the training slices.
    labels : ndarray of int, shape (n,)
    """
    head = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    head.fit(features, labels)
    return lambda slices: head.predict_proba(
        classifier.predict(model, slices, batch_size=batch_size)
    )
