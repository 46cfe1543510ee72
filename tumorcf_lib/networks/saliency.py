"""Grad-CAM of our own networks: where the map is bright, and how much of it lies on the tumor.

A map shows where evidence for a class was read, not whether the answer rests on it; the edits
measure that. Both are put side by side on the same slices.
"""

import cv2
import keras
import numpy as np

from tumorcf_lib.edits import head
from tumorcf_lib.networks import speed
from tumorcf_lib.networks.classifier import batches


def grad_cam(model, slices, classes, *, batch_size=64, desc=None):
    """Grad-CAM maps of one class for each slice, float32 (n, size, size), from 0 up, not
    normalized.

    The map is ReLU(sum over channels of alpha_k A_k): A the last feature maps of the backbone,
    alpha the mean gradient of the class's logit. Behind those maps our head is pooling, one
    ReLU layer and one linear layer, so the gradient is written down and not traced:
    alpha = W_hidden (1[hidden > 0] * w_class), up to a factor that is the same for all channels.
    Selvaraju et al., "Grad-CAM", ICCV 2017."""
    maps_of = speed.folded(keras.Model(model.input, model.get_layer("features").input))
    kernel, bias = (np.asarray(w, np.float32) for w in model.get_layer("hidden").get_weights())
    outputs = np.asarray(model.get_layer("probabilities").get_weights()[0])  # (n_hidden, n_classes)
    size, found = slices.shape[1:], []
    starts = range(0, len(slices), batch_size)
    for start, batch in zip(starts, batches(slices, batch_size, desc), strict=True):
        features = np.asarray(maps_of.predict_on_batch(batch), np.float32)  # (n, h, w, n_channels)
        active = features.mean(axis=(1, 2)) @ kernel + bias > 0  # (n, n_hidden)
        alpha = (active * outputs[:, classes[start : start + batch_size]].T) @ kernel.T
        maps = np.maximum(np.einsum("nhwk,nk->nhw", features, alpha), 0)
        found += [cv2.resize(one, size[::-1], interpolation=cv2.INTER_LINEAR) for one in maps]
    return np.stack(found) if found else np.empty((0, *size), np.float32)


def map_rows(cohort, maps):
    """How much of each slice's map lies on the tumor.

    map_tumor and map_outside are shares of the map, summed over pixels, on the tumor and outside
    the head (NaN for a map of 0); area_tumor is the tumor's share of the head's pixels.

    >>> import pandas as pd
    >>> from tumorcf_lib.data.cohort import Cohort
    >>> slices = np.pad(np.ones((1, 20, 20), np.float32), [(0, 0), (6, 6), (6, 6)])
    >>> masks = np.zeros((1, 32, 32), bool)
    >>> masks[0, 8:18, 8:12] = True
    >>> table = pd.DataFrame({"slice_id": ["1"], "patient_id": ["A"], "person_id": ["A"],
    ...                       "label": [0]})
    >>> cohort = Cohort("toy", slices, masks, table, ("glioma", "pituitary"), "a toy")
    >>> map_rows(cohort, masks * 2.0)[["map_tumor", "map_outside", "area_tumor"]].values.tolist()
    [[1.0, 0.0, 0.1]]
    """
    found = []
    for i in range(len(cohort)):
        slice, mask = np.asarray(cohort.slices[i]), np.asarray(cohort.masks[i])
        inside, total = head.head_mask(slice) | mask, maps[i].sum()
        shares = [np.nan, np.nan]
        if total > 0:
            shares = [maps[i][mask].sum() / total, 1 - maps[i][inside].sum() / total]
        found.append([*shares, np.count_nonzero(mask) / max(1, np.count_nonzero(inside))])
    table = cohort.who(ids=("slice_id", "patient_id", "person_id"))
    table[["map_tumor", "map_outside", "area_tumor"]] = np.array(found).reshape(-1, 3)
    return table
