"""Transplants: the tumor of one slice in the head of another, its brightness matched at the rim."""

from dataclasses import dataclass

import numpy as np

from tumorcf_lib.edits import edits, head, regions, shams

SEAM_PX = 2
"""Width of the seam around a transplant, over which donor passes into host."""

REMOVAL_DILATION_PX = 1
"""Growth of the host's own tumor before its removal: one pixel more leaves hardly any of it."""


@dataclass(frozen=True)
class Site:
    """A place for a tumor in a host's head: where, of which kind, and how deep (see `shams`)."""

    place: shams.Place
    flag: str
    depth_px: float


class NoSiteError(regions.ImpossibleEditError):
    """The tumor, with its seam, fits nowhere in the head clear of the host's own tumor."""

    reason = "the tumor fits nowhere in this head"


def transplant(slice, mask, donor, donor_mask, place, *, dilation_px=REMOVAL_DILATION_PX):
    """The donor's tumor at a place of the host, whose own tumor is filled in.

    Parameters
    ----------
    slice, donor : ndarray of float32, shape (height, width)
        Host and donor, prepared; of one shape. They may be the same slice.
    mask, donor_mask : ndarray of bool, shape (height, width)
        Their tumors. The donor's is not empty; a host without one loses nothing.
    place : shams.Place
        Where the donor's tumor and its seam (:func:`footprint`) are moved to.
    dilation_px : int
        Growth of the host's own tumor before it is removed by Navier-Stokes.

    Returns
    -------
    ndarray of float32, shape (height, width)
        Bit-identical to `slice` outside the host's grown tumor and the moved footprint.

    Raises
    ------
    shams.InvalidPlaceError
        If the footprint would leave the slice.
    edits.NothingToInpaintFromError
        If the host's grown tumor covers the slice.
    regions.InvalidEditError
        For an empty donor, or a tumor that covers the slice.

    Notes
    -----
    All donor pixels get one offset: the median of the host's ring at the new place minus the
    median of the donor's ring, so contrasts within the tumor and to its surroundings are the
    donor's. The ring is what lies within `edits.RING_PX` of the tumor. Within the tumor the donor
    counts alone; over the seam's `SEAM_PX` pixels it fades out linearly. Nothing gets darker than
    the host's air.

    Examples
    --------
    >>> host, donor = np.ones((9, 24), np.float32), np.full((9, 24), 5, np.float32)
    >>> mask, donor_mask = np.zeros((2, 9, 24), bool)
    >>> mask[4, 4], donor_mask[4, 12], donor[4, 12] = True, True, 8
    >>> host[4, 4] = 3
    >>> edited = transplant(host, mask, donor, donor_mask, shams.Place(0, 4))
    >>> print(edited[4, 4], edited[4, 14:19])
    1.0 [1. 1. 4. 1. 1.]
    """
    cleaned = edits.remove(slice, mask, dilation_px=dilation_px)
    region = footprint(donor_mask)
    target = shams.move(region, place)
    tumor = _moved(donor_mask, region, target, place)
    values = _moved(donor, region, target, place).astype(np.float64)
    host_ring = cleaned[_ring(tumor)]
    donor_ring = donor[_ring(donor_mask)]
    if not host_ring.size or not donor_ring.size:
        raise regions.InvalidEditError("A tumor that covers the slice has no ring to match.")
    values += float(np.median(host_ring)) - float(np.median(donor_ring))
    share = _shares(tumor)[target]
    edited = cleaned.copy()
    blended = share * values[target] + (1 - share) * cleaned[target]
    edited[target] = np.maximum(blended, slice.min())
    return edited


def footprint(donor_mask):
    """The tumor and its seam: all pixels that a transplant changes at its new place."""
    return regions.dilate(donor_mask, SEAM_PX)


def find_site(
    slice, mask, donor_mask, rng, *, wanted_px, found=None, dilation_px=REMOVAL_DILATION_PX
):
    """A legal place for the donor's tumor in the host's head, as deep as it lay where that exists.

    Legal means: tumor and seam wholly in the head, and clear of the host's own tumor as a sham
    is (`shams.CLEARANCE_PX`). Among the legal places one is drawn as for shams: in the brain
    and of like depth first (see :func:`shams.choose_places`).

    Parameters
    ----------
    slice : ndarray of float32, shape (height, width)
    mask, donor_mask : ndarray of bool, shape (height, width)
    rng : numpy.random.Generator
    wanted_px : float
        Mean depth of the donor's tumor in its own head.
    found : head.Head, optional
        Of the host, if found before.
    dilation_px : int
        As in :func:`transplant`.

    Returns
    -------
    Site

    Raises
    ------
    NoSiteError
        If there is no legal place: the tumor does not fit, or is empty.

    Examples
    --------
    >>> host = np.pad(np.ones((26, 26), np.float32), 3)
    >>> mask, donor_mask = np.zeros((2, 32, 32), bool)
    >>> mask[8:11, 8:11], donor_mask[4:6, 4:6] = True, True
    >>> site = find_site(host, mask, donor_mask, np.random.default_rng(0), wanted_px=6)
    >>> bool(4 < site.depth_px < 8)
    True
    """
    found = head.find_head(slice) if found is None else found
    region = footprint(donor_mask)
    own = regions.dilate(mask, dilation_px)
    places = shams.legal_places(region, found.mask, tumor=own)
    if not len(places):
        raise NoSiteError(
            f"The donor's tumor of {np.count_nonzero(donor_mask)} pixels and its seam fit nowhere "
            f"in a head of {np.count_nonzero(found.mask)} pixels clear of the host's own tumor."
        )
    depth_px, flags = shams.describe_places(places, region, found)
    spacing_px = max(1, round(shams.SPACING_SHARE * min(slice.shape)))
    (k,) = shams.choose_places(places, depth_px, flags, wanted_px, 1, rng, spacing_px=spacing_px)
    place = shams.Place(int(places[k, 0]), int(places[k, 1]), bool(places[k, 2]))
    return Site(place, str(flags[k]), float(depth_px[k]))


def _ring(mask):
    return regions.dilate(mask, edits.RING_PX) & ~mask


def _shares(tumor):
    """Share of the donor at each pixel: 1 in the tumor, falling to 0 behind the seam."""
    share = tumor.astype(np.float64)
    for ring_px in range(1, SEAM_PX + 1):
        share[regions.dilate(tumor, ring_px) & (share == 0)] = 1 - ring_px / (SEAM_PX + 1)
    return share


def _moved(image, region, target, place):
    """What an image shows in the region's box, at the target's box; nothing elsewhere."""
    top, bottom, left, right = regions.bounding_box(region)
    box = image[top:bottom, left:right]
    moved = np.zeros_like(image)
    top, bottom, left, right = regions.bounding_box(target)
    moved[top:bottom, left:right] = box[:, ::-1] if place.mirrored else box
    return moved
