"""Networks that know nothing: random weights."""

from dataclasses import replace

import numpy as np

from tumorcf_lib.networks import classifier, recipe

NORM_BATCHES, NORM_BATCH_SIZE = 8, 32


def random_network(profile, slices, *, n_classes, seed):
    """A network with random weights whose batch norms fit the slices (n, size, size).

    Without fitted norms signals fade from layer to layer, every slice gets the same answer,
    and a Net-Drop of zero would be no achievement."""
    classifier.set_up(seed)  # a backbone without weights draws from Keras's global seed
    model = classifier.build(replace(profile, weights=None), n_classes=n_classes, seed=seed)
    rng = np.random.default_rng(seed)
    n = min(len(slices), NORM_BATCH_SIZE)
    drawn = (np.sort(rng.choice(len(slices), n, replace=False)) for _ in range(NORM_BATCHES))
    recipe.refit_norms(model, (np.asarray(slices[at], np.float32) for at in drawn))
    return model
