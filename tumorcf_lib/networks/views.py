"""Views of slices for fine-tuning: as they are, with a sham, without the tumor, or it alone.

Made on the fly from (slice, mask), of one part of the split at a time. Removals are filled
by Navier-Stokes.
"""

from dataclasses import dataclass

import numpy as np

from tumorcf_lib.edits import edits, shams

NAMES = ("original", "sham", "removed", "pasted")
"""The slice; the slice with a hole of the tumor's shape elsewhere, clear of the tumor, filled
in; the slice with the tumor filled in; the tumor alone on another background."""

BACKGROUND_SHARES = {"air": 0.3, "gray": 0.2, "other": 0.5}
"""Of pasted tumors: the slice's own air, one random gray, or another person's slice."""

MAX_DILATION_SHARE = 0.02
"""Removals in training grow the mask by 0 to this share of the slice's side: 4 px at 224."""


class UnknownViewError(ValueError):
    """The name of a view that does not exist."""


@dataclass(frozen=True)
class Views:
    """Edited views of the slices of one part; backgrounds, too, come from this part only."""

    part: object  # a training.Part: slices of one part of the split
    masks: np.ndarray  # of all slices, (n, size, size); may be memory-mapped

    def batch(self, positions, shares, rng):
        """Views of the slices at these positions of the part.

        Parameters
        ----------
        positions : ndarray of int, shape (n,)
        shares : dict
            View -> how often; the numbers sum to 1.
        rng : numpy.random.Generator

        Returns
        -------
        tuple
            Inputs (n, size, size) float32; targets (n, n_classes) float32, the class or,
            for "removed", 1 / n_classes for all; and names of the views (n,). A slice without
            a tumor is always shown as it is.

        Raises
        ------
        UnknownViewError
        """
        unknown = sorted(set(shares) - set(NAMES))
        if unknown:
            raise UnknownViewError(f"No views {unknown}; choose of: {', '.join(NAMES)}.")
        drawn = rng.choice(len(shares), len(positions), p=list(shares.values()))
        names = np.array(list(shares), object)[drawn]
        targets = self.part.targets(positions)
        inputs = []
        for row, position in enumerate(positions):
            slice, mask = self.read(position)
            if not mask.any():
                names[row] = "original"
            if names[row] == "removed":
                targets[row] = 1 / self.part.n_classes
            inputs.append(self._make(names[row], slice, mask, self.part.persons[position], rng))
        return np.stack(inputs), targets, names

    def read(self, position):
        """Slice and mask at a position of the part."""
        mask = np.asarray(self.masks[self.part.index[position]], bool)
        return self.part[position], mask

    def _make(self, name, slice, mask, person, rng):
        if name == "original":
            return slice
        if name == "sham":
            return remove_elsewhere(slice, mask, rng, dilation_px=_dilation(slice, rng))
        if name == "removed":
            return edits.remove(slice, mask, dilation_px=_dilation(slice, rng))
        return np.where(mask, slice, self._background(slice, person, rng))

    def _background(self, slice, person, rng):
        """What a tumor is pasted on; nothing of its own slice but the air's brightness."""
        kind = rng.choice(list(BACKGROUND_SHARES), p=list(BACKGROUND_SHARES.values()))
        if kind == "air":
            return np.full_like(slice, slice.min())
        if kind == "gray":
            return np.full_like(slice, rng.uniform(slice.min(), np.percentile(slice, 99)))
        other = rng.choice(np.flatnonzero(self.part.persons != person))
        slice, mask = self.read(other)
        return edits.remove(slice, mask, dilation_px=_dilation(slice, rng))


def remove_elsewhere(slice, mask, rng, *, dilation_px=0):
    """The slice with a hole of the tumor's shape filled in at a random place clear of it.

    Parameters
    ----------
    slice : ndarray of float32, shape (height, width)
    mask : ndarray of bool, shape (height, width)
        Of the tumor; not empty.
    rng : numpy.random.Generator
    dilation_px : int
        Grows the hole; one that then fits nowhere has the tumor's own size instead.

    Returns
    -------
    ndarray of float32, shape (height, width)
        Bit-identical at the tumor, and all over if no place is legal.

    Examples
    --------
    >>> head = np.pad(np.ones((20, 20), np.float32), 6)
    >>> head[9:11, 9:11] = 3  # the tumor
    >>> edited = remove_elsewhere(head, head > 2, np.random.default_rng(0))
    >>> bool((edited == head)[9:11, 9:11].all())
    True
    """
    head = shams.head_mask(slice)
    for grown_px in dict.fromkeys((dilation_px, 0)):
        region = edits.dilate(mask, grown_px)
        places = shams.legal_places(region, head, tumor=mask)
        for place in shams.draw_places(places, 1, rng):
            return edits.remove(slice, shams.move(region, place))
    return slice.copy()


def _dilation(slice, rng):
    return int(rng.integers(round(MAX_DILATION_SHARE * min(slice.shape)) + 1))
