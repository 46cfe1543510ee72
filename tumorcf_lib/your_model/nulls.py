"""Networks that know nothing of the classes: how far does an effect reach by accident?

Random networks, run on the same slices and edits: random filters with a random readout, and
readouts fitted to labels that were shuffled over patients. Their answers are centered and brought
to the classifier's own confidence, so that only their direction is left to chance.
"""

import itertools

import cv2
import numpy as np
import pandas as pd
from scipy.special import softmax

from tumorcf_lib.edits import plan
from tumorcf_lib.your_model import verdict

N_RANDOM = 40
N_SLICES = 150
MAX_BYTES = 2e8  # of edited slices that networks which know nothing are shown
SIDE_PX = 32
N_FILTERS = 8, 12
RIDGE = 10.0


def chosen(labels, persons, n, rng):
    """About n slices: every class in proportion, other patients first; sorted indices.

    >>> chosen([0, 0, 1, 1], ["a", "a", "b", "c"], 2, np.random.default_rng(0)).size
    2
    """
    table = pd.DataFrame({"label": labels, "who": persons}).iloc[rng.permutation(len(labels))]
    table = table.iloc[np.argsort(table.groupby("who").cumcount(), kind="stable")]
    of_class = table.groupby("label")["who"]
    most = (n * of_class.transform("size") / len(table)).round().clip(lower=1)
    return np.sort(table.index[of_class.cumcount() < most].to_numpy())


def of_audit(answers, prepared_of, *, seed=0) -> list:
    """Answers of networks that know nothing on some slices of an audit.

    `prepared_of` maps indices of slices to the prepared cohort of them.
    """
    rng = np.random.default_rng([seed, 7])
    where = np.flatnonzero(answers.edited)
    if not len(where):
        return []
    of_one = 3 * prepared_of(where[:1]).slices[0].nbytes
    n = int(np.clip(MAX_BYTES / of_one, 24, N_SLICES))
    at = where[chosen(answers.labels[where], answers.persons[where], n, rng)]
    images, owners = edited(prepared_of(at), seed), (answers.labels[at], answers.persons[at])
    networks = random_networks(images, *owners, len(answers.classes), rng)
    networks, confidence = itertools.islice(networks, N_RANDOM), answers.original.max(axis=1).mean()
    return as_answers(networks, answers.classes, *owners, confidence)


def edited(cohort, seed):
    """The slices as they are, without their tumor, and with one sham: three stacks."""
    edits = plan.network_edits([], 1)[:3]
    made = [
        [edited for _, edited in plan.edits_of(image, mask, edits, 1, (seed, slice_id))]
        for image, mask, slice_id in zip(cohort.slices, cohort.masks, cohort.table["slice_id"])
    ]
    return [np.stack(stack) for stack in zip(*made, strict=True)]


def as_answers(networks, classes, labels, persons, confidence):
    """Networks' logits as Answers of the given confidence; see :func:`matched`."""
    made = (matched(logits, confidence) for logits in networks)
    return [
        verdict.Answers(tuple(classes), labels, persons, original, removed, sham[:, None])
        for original, removed, sham in made
    ]


def random_networks(images, labels, persons, n_classes, rng):
    """Without end: logits of one network after another that knows nothing, each (n, n_classes).

    `images` are the same n slices under several edits, the originals first; readouts are fitted
    to shuffled labels on half of the patients.
    """
    small = [_small(stack) for stack in images]
    mean, sd = small[0].mean(), small[0].std() or 1.0
    small = [(stack - mean) / sd for stack in small]
    while True:
        for features in (_random_features(small, rng), [s.reshape(len(s), -1) for s in small]):
            center, spread = features[0].mean(axis=0), features[0].std(axis=0) + 1e-6
            scaled = [(f - center) / spread for f in features]
            readout = rng.normal(size=(scaled[0].shape[1], n_classes))
            yield [f @ readout for f in scaled]
            if len(np.unique(labels)) > 1:  # of one class there is nothing to learn
                readout = _fitted_to_shuffled(scaled[0], labels, persons, n_classes, rng)
                yield [f @ readout for f in scaled]


def matched(logits, confidence):
    """Probabilities of logits (the originals first), centered by the originals, whose mean largest
    probability becomes `confidence`.
    """
    center = logits[0].mean(axis=0)
    logits = [stack - center for stack in logits]
    scale = np.abs(logits[0]).mean() or 1.0
    low, high = -8.0, 12.0  # of the logarithm of the factor
    for _ in range(40):
        middle = (low + high) / 2
        p = softmax(logits[0] / scale * np.exp(middle), axis=1)
        low, high = (middle, high) if p.max(axis=1).mean() < confidence else (low, middle)
    return [softmax(stack / scale * np.exp(low), axis=1) for stack in logits]


def _small(stack):
    """Slices at a small size, channels averaged: enough for a network that knows nothing."""
    stack = stack if stack.ndim == 3 else stack.mean(axis=3)
    size = (SIDE_PX, SIDE_PX)
    return np.stack([cv2.resize(s, size, interpolation=cv2.INTER_AREA) for s in stack])


def _random_features(stacks, rng):
    """Two layers of random filters with rectification; means on a 2 x 2 grid, and maxima."""
    first = rng.normal(size=(25, N_FILTERS[0])) / 5
    second = rng.normal(size=(9 * N_FILTERS[0], N_FILTERS[1])) / np.sqrt(9 * N_FILTERS[0])
    made = []
    for stack in stacks:
        x = np.maximum(_patches(stack[..., None], 5, 2) @ first, 0)
        x = np.maximum(_patches(x, 3, 2) @ second, 0)  # (n, height, width, filters)
        half = x.shape[1] // 2
        corners = itertools.product((0, half), repeat=2)
        quarters = [x[:, a : a + half, b : b + half].mean(axis=(1, 2)) for a, b in corners]
        made.append(np.concatenate([*quarters, x.max(axis=(1, 2))], axis=1))
    return made


def _patches(x, side, step):
    windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))
    windows = windows[:, ::step, ::step]
    return windows.reshape(*windows.shape[:3], -1)


def _fitted_to_shuffled(features, labels, persons, n_classes, rng):
    """Ridge regression on half of the patients, whose labels are shuffled among them."""
    names, owner = np.unique(np.asarray(persons, str), return_inverse=True)
    dealt = verdict.shuffled(labels, owner, rng)
    trained = (rng.permutation(len(names)) < max(2, len(names) // 2))[owner]
    x, y = features[trained], np.eye(n_classes)[dealt[trained]]
    kernel = x @ x.T + RIDGE * x.shape[1] / 100 * np.eye(len(x))
    return x.T @ np.linalg.solve(kernel, y - y.mean(axis=0))
