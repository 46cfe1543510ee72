"""Networks that know nothing of the classes: how far does an effect reach by accident?

Two kinds: copies of the classifier with its weights re-drawn (where a file allows that), and
random networks of our own, run on the same slices and edits: random filters with a random
readout, and readouts fitted to labels that were shuffled over patients. Their answers are centered
and brought to the classifier's own confidence, so that only their direction is left to chance.
"""

import cv2
import numpy as np

SIDE_PX = 32
N_FILTERS = 8, 12
RIDGE = 10.0


def chosen(labels, persons, n, rng):
    """About n slices: every class in proportion, other patients first; sorted indices.

    >>> chosen([0, 0, 1, 1], ["a", "a", "b", "c"], 2, np.random.default_rng(0)).size
    2
    """
    labels, persons = np.asarray(labels), np.asarray(persons)
    order = rng.permutation(len(labels))
    seen, rank = {}, np.zeros(len(labels), int)
    for i in order:
        rank[i] = seen[persons[i]] = seen.get(persons[i], -1) + 1
    order = order[np.argsort(rank[order], kind="stable")]
    kept = []
    for label in np.unique(labels):
        own = order[labels[order] == label]
        kept.append(own[: max(1, round(n * len(own) / len(labels)))])
    return np.sort(np.concatenate(kept))


def random_networks(images, labels, persons, n_classes, rng):
    """Without end: logits of one network after another that knows nothing.

    Parameters
    ----------
    images : sequence of ndarray, each (n, height, width) or (n, height, width, channels)
        The same n slices under several edits, the originals first.
    labels, persons : sequence, shape (n,)
        For readouts that are fitted to shuffled labels, on half of the patients.
    n_classes : int
    rng : numpy.random.Generator

    Yields
    ------
    list of ndarray, each (n, n_classes)
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
            readout = _fitted_to_shuffled(scaled[0], labels, persons, n_classes, rng)
            yield [f @ readout for f in scaled]


def matched(logits, confidence):
    """Probabilities of logits, centered by the first stack, at a mean largest P of its originals.

    Parameters
    ----------
    logits : list of ndarray, each (n, n_classes), the originals first
    confidence : float
        Mean largest probability that the originals shall have.
    """
    center = logits[0].mean(axis=0)
    logits = [stack - center for stack in logits]
    scale = np.abs(logits[0]).mean() or 1.0
    low, high = -8.0, 12.0  # of the logarithm of the factor
    for _ in range(40):
        middle = (low + high) / 2
        p = _softmax(logits[0] / scale * np.exp(middle))
        low, high = (middle, high) if p.max(axis=1).mean() < confidence else (low, middle)
    return [_softmax(stack / scale * np.exp(low)) for stack in logits]


def bound(values):
    """What one more network that knows nothing exceeds in about one of a hundred cases.

    The larger of the largest value and of Student's upper 1 % for one more draw.

    >>> bound([0.0, 0.0]) == 0.0 and bound([-1.0, 1.0]) > 1
    True
    """
    from scipy.special import stdtrit

    values = np.asarray(values, np.float64)
    m = len(values)
    reach = stdtrit(m - 1, 0.99) * values.std(ddof=1) * np.sqrt(1 + 1 / m)
    return float(max(values.max(), values.mean() + reach))


def _softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


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
        quarters = [x[:, a : a + half, b : b + half].mean(axis=(1, 2))
                    for a in (0, half) for b in (0, half)]  # fmt: skip
        made.append(np.concatenate([*quarters, x.max(axis=(1, 2))], axis=1))
    return made


def _patches(x, side, step):
    windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))
    windows = windows[:, ::step, ::step]
    return windows.reshape(*windows.shape[:3], -1)


def _fitted_to_shuffled(features, labels, persons, n_classes, rng):
    """Ridge regression on half of the patients, whose labels are shuffled among them."""
    names, owner = np.unique(np.asarray(persons, str), return_inverse=True)
    own = np.zeros(len(names), int)
    own[owner] = labels
    shuffled = rng.permutation(own)[owner]
    trained = (rng.permutation(len(names)) < max(2, len(names) // 2))[owner]
    x, y = features[trained], np.eye(n_classes)[shuffled[trained]]
    kernel = x @ x.T + RIDGE * x.shape[1] / 100 * np.eye(len(x))
    return x.T @ np.linalg.solve(kernel, y - y.mean(axis=0))
