"""Where a classifier looks: a square is hidden, and the answer is asked for again."""

import numpy as np

from tumorcf_lib.edits import edits, head, sites

N_SQUARES, N_SLICES = 8, 4


def of(cohort, predict):
    """Maps of some slices, and in words where hiding moves the answer most.

    A square of an eighth of the slice's side is filled from its surroundings; its value is how far
    the probability of the class given on the whole slice falls.

    Parameters
    ----------
    cohort : Cohort
        A sample, prepared.
    predict : callable

    Returns
    -------
    maps : list of (index, ndarray of shape (8, 8))
    cohort : Cohort
    words : str
    """
    drawn = np.flatnonzero(cohort.masks.any(axis=(1, 2)))[:N_SLICES]
    if not len(drawn):
        return None
    maps, shares = [], []
    for i in drawn:
        slice, mask = cohort.slices[i], cohort.masks[i]
        squares = list(_squares(mask.shape))
        hidden = np.stack([slice, *(_hidden(slice, square) for square in squares)])
        p = np.concatenate([predict(hidden[k : k + 32].copy()) for k in range(0, len(hidden), 32)])
        fall = np.maximum(p[0].max() - p[1:, p[0].argmax()], 0)
        maps.append((int(i), fall.reshape(N_SQUARES, N_SQUARES)))
        inside = head.head_mask(sites.gray(slice))
        where = np.array([2 if mask[s].any() else 1 if inside[s].mean() > 0.5 else 0
                          for s in squares])  # fmt: skip
        if fall.sum() > 0:
            shares.append([fall[where == k].sum() / fall.sum() for k in (2, 1, 0)])
    words = "Hiding a square of an eighth of the side moves no answer."
    if shares:
        tumor, elsewhere, outside = np.mean(shares, axis=0)
        words = (
            f"Hiding one square after the other on {len(drawn)} slices: of all falls of the "
            f"answer's probability, {tumor:.0%} come from squares that hold tumor, {elsewhere:.0%} "
            f"from the rest of the head, {outside:.0%} from outside it. Bright: hiding there moves "
            "the answer."
        )
    return maps, cohort, words


def _squares(shape):
    rows, columns = (np.linspace(0, n, N_SQUARES + 1).astype(int) for n in shape)
    for top, bottom in zip(rows[:-1], rows[1:], strict=True):
        for left, right in zip(columns[:-1], columns[1:], strict=True):
            yield slice(top, bottom), slice(left, right)


def _hidden(image, square):
    region = np.zeros(image.shape[:2], bool)
    region[square] = True
    if image.ndim == 2:
        return edits.remove(image, region)
    return np.stack([edits.remove(np.ascontiguousarray(image[..., k]), region)
                     for k in range(image.shape[2])], axis=2)  # fmt: skip
