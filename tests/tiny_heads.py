"""Tiny heads with a tumor each, for tests of views and of fine-tuning."""

import numpy as np

SIZE = 32


def cohort(n_persons=18, seed=0):
    """Noisy heads on air, with a square tumor each: two slices of 9 / 6 / 3 persons.

    No two pixels of heads share a value (from 1 to 1.3), and every tumor pixel is above 10.
    """
    rng = np.random.default_rng(seed)
    persons = np.repeat([f"p{i:02d}" for i in range(n_persons)], 2)
    labels = np.repeat(np.arange(n_persons) % 3, 2)
    shape = len(labels), SIZE, SIZE
    slices = (1 + rng.permutation(np.prod(shape)).reshape(shape) / 2**17).astype(np.float32)
    slices[:, :3], slices[:, -3:], slices[:, :, :3], slices[:, :, -3:] = [-1] * 4
    masks = np.zeros(slices.shape, bool)
    for i, (top, left) in enumerate(rng.integers(5, 22, (len(labels), 2))):
        masks[i, top : top + 4, left : left + 5] = True
    slices[masks] += 10
    parts = np.repeat(["train"] * 9 + ["validation"] * 6 + ["test"] * 3, 2)
    return slices, masks, labels, persons, parts
