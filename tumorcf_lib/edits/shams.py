"""Sham places: where else in the head a tumor-shaped hole could be.

A sham is the removal mask of a slice, moved and possibly mirrored, at a place that
is all head and no tumor. Removing it with the same infill asks what the *removal*
does to the network, whatever was removed. Every legal place is found, exactly; those
drawn lie in the brain, as deep as the tumor and not all in one spot, where they can.
"""

from dataclasses import dataclass

import numpy as np
import scipy.fft

from tumorcf_lib.edits import edits, regions

CLEARANCE_PX = edits.RADIUS_PX + 1
"""Free pixels between a sham and the tumor: no sham pixel within this distance of it.

An infill looks `RADIUS_PX` around each pixel it fills, and Navier-Stokes takes
gradients there, which reach one pixel further. Beyond that distance not a single
tumor pixel feeds the filling, so a sham removal is blind to the tumor.
"""

NO_PLACE = "no legal place"
"""The reason written into an audit row when a slice has no legal sham place."""

MAX_OUTSIDE = MAX_AIR = 0.25
"""Share of a sham's pixels outside the brain, or in sinuses, throat or bone, that is flagged."""

SPACING_SHARE = 1 / 56
"""Least distance of two drawn places, as share of the slice's shorter side: 4 px at 224."""

N_POOL = 24
"""Shams are drawn from the places nearest in depth to the tumor: from so many, or more."""

TOLERANCE_PX = 1.0
"""Difference in mean depth from the tumor's that counts as none."""

PACKING = 2.0**20
"""More pixels than any mask has: two counts below it fit into one number."""


class InvalidPlaceError(ValueError):
    """A place that puts the moved mask beyond the slice."""


@dataclass(frozen=True)
class Place:
    """Where a mask is moved to.

    The mask is mirrored left-right within its own bounding box if `mirrored`, then
    moved down by `offset_y` and right by `offset_x` pixels.
    """

    offset_y: int
    offset_x: int
    mirrored: bool = False


def move(mask, place):
    """The mask at another place.

    Parameters
    ----------
    mask : ndarray of bool, shape (height, width)
        Not empty.
    place : Place
        An InvalidPlaceError if a part of the moved mask would leave the slice.

    Examples
    --------
    >>> mask = np.array([[True, True, False], [True, False, False], [False] * 3])
    >>> move(mask, Place(1, 1, mirrored=True)).astype(int)
    array([[0, 0, 0],
           [0, 1, 1],
           [0, 0, 1]])
    """
    shape, top, left = _shape_of(mask)
    top, left = top + int(place.offset_y), left + int(place.offset_x)
    bottom, right = top + shape.shape[0], left + shape.shape[1]
    if min(top, left) < 0 or bottom > mask.shape[0] or right > mask.shape[1]:
        raise InvalidPlaceError(
            f"{place} puts the mask's bounding box at rows {top}:{bottom}, columns {left}:{right}, "
            f"beyond the slice of shape {mask.shape}; was the place drawn for another mask?"
        )
    moved = np.zeros_like(mask)
    moved[top:bottom, left:right] = shape[:, ::-1] if place.mirrored else shape
    return moved


def legal_places(mask, head, *, tumor=None, clearance_px=CLEARANCE_PX):
    """Every place where the mask fits into the head without coming near the tumor.

    Parameters
    ----------
    mask : ndarray of bool, shape (height, width)
        The removal mask whose shape is moved.
    head : ndarray of bool, shape (height, width)
        The moved mask has to lie in it, wholly.
    tumor : ndarray of bool, shape (height, width), optional
        What the moved mask must stay away from; `mask` itself if not given. They
        differ when the removal mask is a dilated tumor.
    clearance_px : int
        Every pixel of the moved mask is further than this from every tumor pixel
        (Euclidean, between pixel centers); 0 forbids overlap only.

    Returns
    -------
    ndarray of int, shape (n_places, 3)
        Columns offset_y, offset_x, mirrored (0 or 1): first all unmirrored places,
        row by row, then the mirrored ones. A mask that is its own mirror image has
        no mirrored places, so that all moved masks differ. Empty if `mask` is.

    Notes
    -----
    Overlaps with forbidden pixels are a correlation, by FFT: whole numbers with an error below
    0.05 in single precision at 512 pixels, so comparing with 0.5 is exact.

    Examples
    --------
    >>> mask = np.array([[True, False, False, False, False, False]])
    >>> head = np.array([[True, True, True, True, True, False]])
    >>> legal_places(mask, head, clearance_px=2)
    array([[0, 3, 0],
           [0, 4, 0]])
    """
    if not mask.any():
        return np.zeros((0, 3), np.int64)
    shape, top, left = _shape_of(mask)
    near = regions.dilate(mask if tumor is None else tumor, clearance_px)
    overlaps = _overlaps(shape, near | ~head)  # (1 or 2, n_tops, n_lefts)
    mirrored, tops, lefts = np.nonzero(overlaps < 0.5)
    return np.stack([tops - top, lefts - left, mirrored], axis=1)


def describe_places(places, mask, head):
    """How deep in the head the moved mask lies at each place, and whether that is brain.

    Parameters
    ----------
    places : ndarray of int, shape (n_places, 3)
        From :func:`legal_places`.
    mask : ndarray of bool, shape (height, width)
        The mask that is moved.
    head : head.Head
        Of the slice.

    Returns
    -------
    depth_px : ndarray of float, shape (n_places,)
        Mean distance of the moved mask's pixels to the surface of the head.
    flags : ndarray of str, shape (n_places,)
        "air" if more than `MAX_AIR` of the pixels are sinus, throat or deep bone, else
        "scalp" if more than `MAX_OUTSIDE` are not brain (scalp, skull, face or neck),
        else "".

    Means over the moved mask are correlations by FFT in double precision: exact to far less
    than 0.001.
    """
    if not len(places):
        return np.zeros(0), np.zeros(0, object)
    shape, top, left = _shape_of(mask)
    # Two counts in one number: half the transforms, and still exact.
    counts = ~head.brain + PACKING * head.air
    sums = _correlate(shape, np.stack([head.depth_px, counts]))  # (1 or 2, 2, n_tops, n_lefts)
    offset_y, offset_x, mirrored = places.T
    depth_sum, packed = sums[mirrored, :, offset_y + top, offset_x + left].T  # (n_places,)
    n_air, n_outside = np.divmod(np.rint(packed), PACKING)
    depth_px, outside, air = (x / shape.sum() for x in (depth_sum, n_outside, n_air))
    flags = np.where(outside > MAX_OUTSIDE, "scalp", "")
    flags = np.where(air > MAX_AIR, "air", flags)
    return depth_px, flags.astype(object)


def choose_places(places, depth_px, flags, wanted_px, n, rng, *, spacing_px=1, n_pool=N_POOL):
    """Some of the places, in the brain and as deep as the tumor where that is possible.

    Parameters
    ----------
    places : ndarray of int, shape (n_places, 3)
        From :func:`legal_places`.
    depth_px, flags : ndarray, shape (n_places,)
        From :func:`describe_places`.
    wanted_px : float
        Mean depth of the tumor's pixels.
    n : int
        How many to choose.
    rng : numpy.random.Generator
    spacing_px : int
        Places of the pool lie on a grid of this spacing, at a random phase, if the
        grid has `n_pool` unflagged places; else on one as coarse as allows that many.
    n_pool : int
        The pool from which places are drawn: on that grid, the `n_pool` unflagged places
        whose depth is nearest to the wanted one, and all as near as `TOLERANCE_PX`.

    Returns
    -------
    ndarray of int, shape (at most n,)
        Indices of distinct places: first from the pool, all equally likely; then the
        other unflagged ones, the nearest in depth first; then flagged ones, nearest
        first. The first places do not depend on `n`.

    Examples
    --------
    >>> places = np.array([[0, 5, 0], [0, 6, 0], [0, 7, 0], [0, 8, 0]])
    >>> depth_px, flags = np.array([3.0, 9.0, 30.0, 10.5]), np.array(["scalp", "", "", ""])
    >>> rng = np.random.default_rng(0)
    >>> sorted(choose_places(places, depth_px, flags, 10, 2, rng, n_pool=2).tolist())
    [1, 3]
    """
    gap = np.abs(depth_px - wanted_px)
    on_grid = _spaced(places, np.flatnonzero(flags == ""), rng, spacing_px, n_pool)
    nearest = on_grid[np.argsort(gap[on_grid], kind="stable")]
    n_pool = max(n_pool, np.count_nonzero(gap[nearest] <= TOLERANCE_PX))
    pool = rng.permutation(nearest[:n_pool])
    if n <= len(pool):
        return pool[:n]
    rest = np.setdiff1d(np.arange(len(places)), pool)
    # Flagged places come last, however deep they lie.
    return np.concatenate([pool, rest[np.lexsort([gap[rest], flags[rest] != ""])]])[:n]


def draw_places(places, n, rng):
    """Some of the legal places, all equally likely, without repetition.

    Returns
    -------
    list of Place
        Distinct; fewer than `n` if fewer exist, empty if there is none. The first
        places do not depend on `n`: asking for more adds to what one had.

    Examples
    --------
    >>> draw_places(np.array([[4, -7, 1]]), 3, np.random.default_rng(0))
    [Place(offset_y=4, offset_x=-7, mirrored=True)]
    """
    drawn = {}  # insertion-ordered
    while len(drawn) < min(n, len(places)):
        drawn[int(rng.integers(len(places)))] = None
    return [Place(int(y), int(x), bool(mirrored)) for y, x, mirrored in places[list(drawn)]]


def rng_for(seed, slice_id):
    """A generator that depends on the seed and the slice's ID alone, not on its neighbors.

    Examples
    --------
    >>> draws = [rng_for(0, slice_id).integers(1000) for slice_id in ("17", 17, "18")]
    >>> bool(draws[0] == draws[1] != draws[2])
    True
    """
    return np.random.default_rng([seed, *str(slice_id).encode()])


def _shape_of(mask):
    top, bottom, left, right = regions.bounding_box(mask)
    return mask[top:bottom, left:right], top, left


def _spaced(places, candidates, rng, spacing_px, n_wanted):
    """Those candidates on a grid of random phase: at most one, mirrored or not, per point."""
    candidates = rng.permutation(candidates)  # so that chance decides which of the two
    phase = rng.random(2)
    while True:
        y, x = (places[candidates, k] - int(phase[k] * spacing_px) for k in (0, 1))
        found = candidates[(y % spacing_px == 0) & (x % spacing_px == 0)]
        _, first = np.unique(places[found, :2], axis=0, return_index=True)
        if spacing_px == 1 or len(first) >= n_wanted:
            return found[first]
        spacing_px -= 1


def _shapes(shape):
    """The shape and, unless that is the same, its mirror image."""
    mirrored = shape[:, ::-1]
    return np.stack([shape, mirrored] if (shape != mirrored).any() else [shape])


def _overlaps(shape, forbidden):
    """Forbidden pixels under the shape, and under its mirror image, at every position."""
    return _correlate(shape, forbidden[None].astype(np.float32))[:, 0]


def _correlate(shape, layers):
    """Sum of each layer under the shape, and under its mirror image, at every position."""
    height, width = layers.shape[1:]
    # Positions at which the shape sticks out are not asked for, so nothing wraps
    # around and the transform needs no padding beyond a fast length.
    size = [scipy.fft.next_fast_len(side, real=True) for side in (height, width)]
    spectra = scipy.fft.rfft2(layers, size)
    shapes = scipy.fft.rfft2(_shapes(shape).astype(layers.dtype), size).conj()
    sums = scipy.fft.irfft2(spectra[None] * shapes[:, None], size)
    valid = height - shape.shape[0] + 1, width - shape.shape[1] + 1
    return sums[:, :, : valid[0], : valid[1]]
