"""Slices and masks drawn for tests: heads with a tumor, random blobs."""

import cv2
import numpy as np

from tumorcf_lib.config import CLASSES
from tumorcf_lib.data.cohort import from_arrays


def blob(rng, shape=(40, 36), n_discs=3):
    """A union of discs that may hang over any border."""
    mask = np.zeros(shape, np.uint8)
    for _ in range(n_discs):
        center = int(rng.integers(shape[1])), int(rng.integers(shape[0]))
        cv2.circle(mask, center, int(rng.integers(1, 7)), 1, -1)
    return mask.astype(bool)


def dot(shape, y, x, radius=3):
    yy, xx = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(yy - y, xx - x) <= radius


def head_with_tumor(seed=0, at=(20, 30), side=7, *, level=0.0, size=64):
    """A noisy round head, its tumor brighter, with a dark core; and the tumor's mask."""
    rng = np.random.default_rng(seed)
    inside = dot((size, size), size / 2, size / 2, 0.42 * size)
    image = np.where(inside, 1 + level + rng.normal(0, 0.1, inside.shape), -1.5)
    mask = np.zeros(inside.shape, bool)
    mask[at[0] : at[0] + side, at[1] : at[1] + side] = True
    mask[at] = False  # not its own mirror image
    image[mask] += 2
    image[at[0] + 2, at[1] + 2] -= 1
    return image.astype(np.float32), mask


def named(slices, masks, labels, patients, *, classes=CLASSES, **options):
    """A cohort of these, with a name and a source."""
    options = {"classes": classes, "name": "toy", "source": "Drawn for a test."} | options
    return from_arrays(slices, masks, labels, patients, **options)


def cohort(n=6, *, classes=CLASSES, at=(18, 26), size=64):
    """Heads with a tumor at the same place, IDs "100" on; two slices of one class a patient."""
    slices, masks = zip(*(head_with_tumor(i, at, size=size) for i in range(n)))
    labels, patients = np.arange(n) // 2 % len(classes), [f"P{i // 2}" for i in range(n)]
    about = {"classes": classes, "slice_ids": [str(100 + i) for i in range(n)]}
    return named(np.stack(slices), np.stack(masks), labels, patients, **about)
