"""Every legal place of a sham: by correlation (FFT), against trying each place."""

import numpy as np

from benchmarks import slices
from benchmarks.measure import compare
from tumorcf_lib.edits import head, regions, shams

SIZES = {"full": (24, 224, 2), "tiny": (1, 64, 1)}


def run(size, repeats):
    """Rows: each place tried on few of the slices, all places at once; the places agree."""
    n, size_px, n_naive = SIZES[size]
    cohort = slices.prepared(n, size_px)
    work = [(mask, head.head_mask(slice)) for slice, mask in zip(cohort.slices, cohort.masks)]
    cases = {
        "naive: each place tried": (n_naive, lambda: [each_place(*w) for w in work[:n_naive]]),
        "shams.legal_places": lambda: [shams.legal_places(*w) for w in work],
    }
    return compare(
        "sham places",
        f"{n} slices, {size_px} px",
        cases,
        n=n,
        unit="slices",
        repeats=repeats,
        agree=_agree,
    )


def each_place(mask, head):
    """As :func:`edits.shams.legal_places`, by moving the mask to every place there is."""
    forbidden = regions.dilate(mask, shams.CLEARANCE_PX) | ~head
    top, bottom, left, right = regions.bounding_box(mask)
    shape = mask[top:bottom, left:right]
    shapes = [shape, shape[:, ::-1]] if (shape != shape[:, ::-1]).any() else [shape]
    height, width = shape.shape
    return [
        (y - top, x - left, mirrored)
        for mirrored, moved in enumerate(shapes)
        for y in range(mask.shape[0] - height + 1)
        for x in range(mask.shape[1] - width + 1)
        if not (forbidden[y : y + height, x : x + width] & moved).any()
    ]


def _agree(results):
    slow, fast = results.values()
    for one, other in zip(slow, fast):
        assert np.array_equal(np.array(one, np.int64).reshape(-1, 3), other)
