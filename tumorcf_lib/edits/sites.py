"""A slice, its mask, and what several of its edits need: head, places of shams."""

import functools

import numpy as np

from tumorcf_lib.edits import edits, head, shams
from tumorcf_lib.edits.regions import ImpossibleEditError, dilate

N_CANDIDATES = 60
"""Places at which a sham is tried to find some that change as much as the removal: the usual
ones (the first `shams.N_POOL`), and others anywhere in the head."""

MATCHED_RATIOS = 0.8, 1.25
"""A sham is matched if its RMS is so many times the removal's."""


def gray(slice):
    """The slice itself, or the mean of its channels, each from air (0) to its bright end (1)."""
    if slice.ndim == 2:
        return slice
    low, high = slice.min(axis=(0, 1)), np.percentile(slice, 99, axis=(0, 1))
    return ((slice - low) / np.where(high > low, high - low, 1)).mean(axis=2).astype(np.float32)


class About:
    """A slice and its mask; everything else is found when first asked for, and kept."""

    def __init__(self, slice, mask):
        self.slice, self.mask = slice, mask
        self._legal = {}  # dilation -> legal places, their depths and flags
        self._sites = {}  # dilation -> how many were asked for, and those there are

    @functools.cached_property
    def channels(self):
        """Of a slice (height, width, channels): one of these for each."""
        planes = np.moveaxis(self.slice, 2, 0)
        return [About(np.ascontiguousarray(plane), self.mask) for plane in planes]

    @functools.cached_property
    def head(self):
        return head.find_head(gray(self.slice))

    def depth_px(self, region):
        """Mean distance of the region's pixels to the head's surface."""
        return float(self.head.depth_px[region].mean())

    def removed(self, region, infill):
        """The slice with the region filled in."""
        if self.slice.ndim == 3:
            return np.stack([one.removed(region, infill) for one in self.channels], axis=2)
        return edits.remove(self.slice, region, infill=infill)

    def sites(self, dilation_px, n, rng_key, infill):
        """Place, flag and moved region of the first n shams, the same for every infill."""
        n_found, found = self._sites.get(dilation_px, (0, []))
        if n > n_found:
            # A generator of the slice's own: all edits, and all audits, get the same places.
            found = self._chosen(dilation_px, n, shams.rng_for(*rng_key))
            self._sites[dilation_px] = n, found
        return found[:n]

    def matched_sites(self, dilation_px, n, rng_key, infill):
        """Place, flag and moved region of n shams that change as much as the removal, or nearly.

        First matched ones in the brain, then other matched ones, then the rest; each the nearest
        first. The flag says "matched" before what else it says. An ImpossibleEditError if the
        removal itself cannot be made.
        """
        region = dilate(self.mask, dilation_px)
        wanted = edits.edit_rms(self.slice, self.removed(region, infill))
        lowest, highest = MATCHED_RATIOS
        ranked = []
        for place, flag, moved in self._candidates(dilation_px, rng_key):
            try:
                rms = edits.edit_rms(self.slice, self.removed(moved, infill))
            except ImpossibleEditError:
                continue
            is_matched = lowest * wanted <= rms <= highest * wanted
            gap = abs(np.log(max(rms, 1e-12) / max(wanted, 1e-12)))
            rank = (not is_matched, is_matched and flag != "", gap)
            ranked.append((rank, (place, f"matched {flag}".strip() if is_matched else flag, moved)))
        return [site for _, site in sorted(ranked, key=lambda entry: entry[0])[:n]]

    def _candidates(self, dilation_px, rng_key):
        """The first usual places, then random others."""
        seed, slice_id = rng_key
        usual = self._chosen(dilation_px, shams.N_POOL, shams.rng_for(*rng_key))
        taken = {place for place, _, _ in usual}
        n_legal = len(self._legal_places(dilation_px)[0])
        rng = shams.rng_for(seed, f"{slice_id} matched")
        others = rng.choice(n_legal, min(N_CANDIDATES, n_legal), replace=False)
        found = usual + [site for site in self._at(dilation_px, others) if site[0] not in taken]
        return found[:N_CANDIDATES]

    def _chosen(self, dilation_px, n, rng):
        region = dilate(self.mask, dilation_px)
        places, depth_px, flags = self._legal_places(dilation_px)
        spacing_px = max(1, round(shams.SPACING_SHARE * min(self.mask.shape)))
        chosen = shams.choose_places(
            places, depth_px, flags, self.depth_px(region), n, rng, spacing_px=spacing_px
        )
        return self._at(dilation_px, chosen)

    def _at(self, dilation_px, indices):
        """Place, flag and moved region of some of the legal places."""
        region = dilate(self.mask, dilation_px)
        places, _, flags = self._legal_places(dilation_px)
        found = []
        for k in indices:
            place = shams.Place(int(places[k, 0]), int(places[k, 1]), bool(places[k, 2]))
            found.append((place, flags[k], shams.move(region, place)))
        return found

    def _legal_places(self, dilation_px):
        if dilation_px not in self._legal:
            region = dilate(self.mask, dilation_px)
            places = shams.legal_places(region, self.head.mask, tumor=self.mask)
            described = shams.describe_places(places, region, self.head)
            self._legal[dilation_px] = places, *described
        return self._legal[dilation_px]
