"""Steps of training as the profiles take them, against the network as built, all of it learning."""

import dataclasses

import keras
import numpy as np

from benchmarks import slices
from benchmarks.measure import compare
from tumorcf_lib import config

SIZES = {"full": (("paper-lite", 8), ("demo", 16)), "tiny": (("demo", 1),)}
ALL_LEARN = {"frozen_blocks": 0, "freeze_depthwise": False}
AS_BUILT = "all layers learn, as built"
FOLDED = "all layers learn, norms folded"
FROZEN = "as the profile trains: early blocks and depthwise kernels frozen, too"


def run(size, repeats):
    """Rows of each profile: some steps, drawing of their random views included."""
    rows = []
    for name, n_steps in SIZES[size]:
        profile = config.get(name)
        if size == "tiny":
            profile = dataclasses.replace(profile, weights=None, size_px=32, batch_size=3)
        rows += _steps(profile, n_steps, repeats)
        keras.backend.clear_session()
    return rows


def _steps(profile, n_steps, repeats):
    n = n_steps * profile.batch_size
    cohort = slices.prepared(n, profile.size_px)
    cases = {
        AS_BUILT: _training(profile, cohort, learn=ALL_LEARN, fold=False),
        FOLDED: _training(profile, cohort, learn=ALL_LEARN, fold=True),
        FROZEN: _training(profile, cohort, learn={}, fold=True),
    }
    setting = f"{profile.name}, batches of {profile.batch_size}, {profile.size_px} px"
    return compare("training", setting, cases, n=n, unit="slices", repeats=repeats)


def _training(profile, cohort, *, learn, fold):
    """A callable that takes one step on each batch of the cohort."""
    from tumorcf_lib.networks import classifier, recipe, speed

    profile = dataclasses.replace(profile, **learn)
    model = classifier.build(profile)
    speed.freeze(model, profile)
    network = speed.folded(model) if fold else model
    loss = keras.losses.CategoricalFocalCrossentropy(gamma=profile.focal_gamma)
    network.compile(recipe.make_optimizer(profile, 1000), loss, metrics=["accuracy"])
    network.optimizer.build(network.trainable_variables)
    augmenter = recipe.build_augmenter(0, strength=profile.augmentation)
    targets = np.eye(len(cohort.classes), dtype=np.float32)[cohort.labels]

    def steps():
        for start in range(0, len(cohort), profile.batch_size):
            batch = slice(start, start + profile.batch_size)
            views = recipe.augment(np.asarray(cohort.slices[batch], np.float32), augmenter)
            network.train_on_batch(views[..., None], targets[batch])

    return steps
