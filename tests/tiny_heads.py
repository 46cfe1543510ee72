import dataclasses

import numpy as np

from tumorcf_lib import config

SIZE = 32
SMALL = {"size_px": SIZE, "batch_size": 8, "predict_batch_size": 16, "epochs": 4}
SMALL |= {"warmup_epochs": 1, "finetune_epochs": 2, "finetune_learning_rate": 1e-3}
PROFILE = dataclasses.replace(config.get("smoke"), **SMALL)


def cohort(n_persons=18, seed=0):
    """Noisy heads on air, with a square tumor each: two slices of 9 / 6 / 3 persons. No two pixels
    of heads share a value (from 1 to 1.3), and every tumor pixel is above 10."""
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


def same(ours, theirs):
    """Of each two weights whether they are equal to the bit."""
    pairs = zip(map(np.asarray, ours), map(np.asarray, theirs), strict=True)
    return [np.array_equal(one, other) for one, other in pairs]
