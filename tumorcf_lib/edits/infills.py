"""Infills: what a removed region is filled with, each blind to what was there.

They read only the pixels within radius + 1 px of the region (`telea` also the range of the
grays in that many pixels around its bounding box). So they work on a crop, a
:class:`Hole`, which gives the same result as the whole slice in a fraction of the time; and
since sham places keep that distance from the tumor, a sham removal is blind to it.
"""

import functools
import zlib
from dataclasses import dataclass

import cv2
import numpy as np
import scipy.ndimage
import scipy.sparse
import scipy.sparse.linalg

from tumorcf_lib.edits import regions

HEADLINE_INFILL = "navier_stokes"
"""What the paper fills with; every other infill is compared with it."""

TAUGHT_INFILLS = (HEADLINE_INFILL, "ring_mean")
"""What fine-tuned networks may have been shown in training; all other infills they never saw."""

NOISE_SD = 0.05
"""Standard deviation of the noise of `noisy_linear`, in that of the slice's pixels.

ROAD's code takes 0.01 on pixels from 0 to 1, and our slices span about 4 of their
standard deviations from air to the 99th percentile.
"""

BLUR_SHARE = 0.5
"""Sigma of `gaussian_blur`, as share of the depth of the region's deepest pixel."""

NEIGHBORS = {
    (dy, dx): 1 / 6 if dy == 0 or dx == 0 else 1 / 12
    for dy in (-1, 0, 1)
    for dx in (-1, 0, 1)
    if (dy, dx) != (0, 0)
}
"""Weights of a pixel's eight neighbors in `noisy_linear`."""


@dataclass(frozen=True)
class Hole:
    """A region to fill and what surrounds it.

    `values` (height, width) is the infill's own copy, which it may write into; what is in the
    region must not be read. The infill looks at most `radius_px` plus one pixel around the
    region. `corner` is the row and column of `values[0, 0]` in the slice.
    """

    values: np.ndarray
    region: np.ndarray
    radius_px: int
    corner: tuple[int, int] = (0, 0)


def navier_stokes(hole):
    """The region filled by Navier-Stokes inpainting; see :func:`edits.edits.remove`."""
    # Within a pixel of the slice's border OpenCV reads what is under the mask, and the
    # tumor would leak into its own removal. Elsewhere this changes no bit.
    hole.values[hole.region] = hole.values[~hole.region].mean()
    inside = hole.region.astype(np.uint8)
    return cv2.inpaint(hole.values, inside, hole.radius_px, cv2.INPAINT_NS)


def telea(hole):
    """The region filled by fast marching, on 256 gray levels.

    The levels span the crop's own range outside the region: OpenCV's Telea is wrong on
    float32 images. Telea, "An image inpainting technique based on the fast marching method",
    Journal of Graphics Tools 2004; as in ``cv2.inpaint``.
    """
    around = hole.values[~hole.region]
    low, high = around.min(), around.max()
    if low == high:
        return np.full_like(hole.values, low)
    hole.values[hole.region] = around.mean()  # see `navier_stokes`
    levels = np.rint((hole.values - low) * (255 / (high - low))).astype(np.uint8)
    inside = hole.region.astype(np.uint8)
    filled = cv2.inpaint(levels, inside, hole.radius_px, cv2.INPAINT_TELEA)
    return filled * ((high - low) / 255) + low


def ring_mean(hole):
    """The region filled with one value: the mean of all pixels within radius + 1 px of it."""
    return np.full_like(hole.values, hole.values[_ring(hole)].mean(dtype=np.float64))


def gaussian_blur(hole):
    """Every pixel filled with the Gaussian-weighted mean of the ring around the region.

    The ring is that of :func:`ring_mean`. Sigma is half the depth of the region's
    deepest pixel (at least one pixel), so that every pixel is within 2 sigma of the ring.
    """
    ring = _ring(hole)
    # Not by OpenCV: its precise distances differ by a rounding bit from call to call.
    depth = scipy.ndimage.distance_transform_edt(hole.region)
    sigma = max(1.0, BLUR_SHARE * float(depth.max()))
    side = 2 * int(np.ceil(3 * sigma)) + 1
    blurred, weight = (
        cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_CONSTANT)
        for image in (np.where(ring, hole.values, 0).astype(np.float64), ring.astype(np.float64))
    )
    return np.divide(blurred, weight, out=blurred, where=hole.region).astype(np.float32)


def noisy_linear(hole):
    """Every pixel the weighted mean of its eight neighbors, plus a little noise.

    The neighbors weigh 1/6 (direct) and 1/12 (diagonal), at the slice's border as
    shares of those that exist. The noise (standard deviation `NOISE_SD`) depends on
    the region's place and shape only, so that the same removal gives the same bits. Rong et al.,
    "A consistent and efficient evaluation strategy for attribution methods", ICML 2022 (ROAD).
    """
    top, bottom, left, right = regions.bounding_box(hole.region)
    inside = hole.region[top:bottom, left:right]
    solver, known, beside = _linear_system(hole.region.shape, hole.region.tobytes())
    values = hole.values.astype(np.float64)
    filled = solver.solve(known @ values[beside])
    place = hole.corner[0] + top, hole.corner[1] + left, *inside.shape
    rng = np.random.default_rng(zlib.crc32(inside.tobytes(), zlib.crc32(repr(place).encode())))
    values[hole.region] = filled + rng.normal(0, NOISE_SD, len(filled))
    return values.astype(np.float32)


def biharmonic(hole):
    """The smoothest continuation of the values and slopes around the region.

    Kept within the range of the pixels that may be read. Damelin and Hoang, "On surface
    completion and image inpainting by biharmonic functions", 2018; as in scikit-image.
    """
    from skimage.restoration import inpaint_biharmonic  # takes a while to import

    ring = _ring(hole)
    hole.values[~ring] = hole.values[ring].mean(dtype=np.float64)
    return inpaint_biharmonic(hole.values.astype(np.float64), hole.region).astype(np.float32)


INFILLS = {
    fill.__name__: fill
    for fill in (navier_stokes, telea, ring_mean, gaussian_blur, noisy_linear, biharmonic)
}
"""Name -> function from a :class:`Hole` to values of its shape; those in the region count."""


def _ring(hole):
    """All pixels outside the region and within radius + 1 px of it."""
    return regions.dilate(hole.region, hole.radius_px + 1) & ~hole.region


@functools.lru_cache(maxsize=16)
def _linear_system(shape, region_bytes):
    """Solver, matrix of the known neighbors, and which pixels those are, of one region.

    Kept for the last few regions: the shams of a slice share one shape, and so a system.
    """
    region = np.frombuffer(region_bytes, bool).reshape(shape)
    beside = regions.dilate_square(region) & ~region
    own = _neighbor_weights(region, region)  # (n, n)
    known = _neighbor_weights(region, beside)  # (n, n_known)
    total = own.sum(axis=1) + known.sum(axis=1)  # less than 1 at the slice's border
    # Multiplied by these sums, the equations are symmetric and positive definite.
    equations = (scipy.sparse.diags_array(total) - own).tocsc()
    how = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0}
    solver = scipy.sparse.linalg.splu(equations, options={"SymmetricMode": True}, **how)
    return solver, known, beside


def _neighbor_weights(region, others):
    """Weight of each of the other pixels in the mean of each pixel of the region."""
    number = np.full(np.add(region.shape, 2), -1)  # framed, so that all neighbors exist
    number[1:-1, 1:-1][others] = np.arange(np.count_nonzero(others))
    y, x = np.nonzero(region)
    weights, rows, columns = [], [], []
    for (dy, dx), weight in NEIGHBORS.items():
        column = number[y + 1 + dy, x + 1 + dx]
        (row,) = np.nonzero(column >= 0)
        weights.append(np.full(len(row), weight))
        rows.append(row)
        columns.append(column[row])
    entries = np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))
    return scipy.sparse.csr_array(entries, shape=(len(y), np.count_nonzero(others)))
