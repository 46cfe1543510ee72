"""Removing a region by Navier-Stokes: on a crop around it, against on the whole slice."""

import cv2
import numpy as np

from benchmarks import slices
from benchmarks.measure import compare
from tumorcf_lib.edits import edits

SIZES = {"full": ((60, 224), (60, 512)), "tiny": ((3, 64),)}


def run(size, repeats):
    """Rows for each size of slice: whole, crop; the pixels are the same bit by bit."""
    rows = []
    for n, size_px in SIZES[size]:
        cohort = slices.prepared(n, size_px)
        pairs = list(zip(cohort.slices, cohort.masks))
        cases = {
            "naive: cv2.inpaint on the whole slice": lambda pairs=pairs: [
                whole(*pair) for pair in pairs
            ],
            "edits.remove": lambda pairs=pairs: [edits.remove(*pair) for pair in pairs],
        }
        rows += compare(
            "inpainting",
            f"{n} slices, {size_px} px",
            cases,
            n=n,
            unit="removals",
            repeats=repeats,
            agree=_agree,
        )
    return rows


def whole(slice, mask):
    """The slice with the region filled in, OpenCV working on all of it."""
    filled = cv2.inpaint(slice, mask.astype(np.uint8), edits.RADIUS_PX, cv2.INPAINT_NS)
    return np.where(mask, filled, slice)


def _agree(results):
    for one, other in zip(*results.values(), strict=True):
        assert np.array_equal(one, other)
