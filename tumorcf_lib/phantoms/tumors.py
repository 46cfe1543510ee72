"""The phantom's tumors: where they sit, what they look like, and how they are painted.

Site (place and size) and look (texture, rim, edema) are drawn by separate functions, so that
a cohort can keep the one independent of the class and let the other carry it.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

from tumorcf_lib.phantoms.solids import ORIGIN_MM, SELLA_MM

SITE_OF_CLASS = {"meningioma": "surface", "glioma": "deep", "pituitary": "sella"}
SIZES_MM = {  # radius: median, spread of its logarithm, smallest, largest
    "surface": (21.0, 0.28, 10.0, 32.0),
    "deep": (21.0, 0.3, 10.0, 33.0),
    "sella": (12.5, 0.28, 7.0, 20.0),
}


@dataclass(frozen=True)
class Site:
    """Center (x, y, z) and semi-axes of a lesion, in mm."""

    center_mm: np.ndarray
    radii_mm: np.ndarray

    @property
    def radius_mm(self):
        """Radius in mm of the ball of equal volume, before the skull cuts it."""
        return float(np.prod(self.radii_mm) ** (1 / 3))


@dataclass(frozen=True)
class Look:
    """How a lesion looks; levels are relative to the white matter of the same head.

    ``texture`` is the relative amplitude of the mottling, ``lumps`` that of the outline,
    ``rim_mm`` the thickness of an enhancing rim around a core of level ``core`` (0: solid),
    ``patchy`` the share that does not enhance, ``edema`` the darkening of the brain around.
    """

    level: float
    texture: float
    lumps: float
    core: float = 0.6
    rim_mm: float = 0.0
    patchy: float = 0.0
    edema: float = 0.0
    edema_mm: float = 8.0
    tail_mm: float = 0.0
    softness_mm: float = 0.8
    push: float = 0.3
    phase_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)


def choose_site(rng, kind, anatomy):
    """A place and size of one kind: "surface" lesions sit on the dura and are cut flat by it,
    "deep" ones are centered in white matter, those of the "sella" stand on its floor. Sizes follow
    the published masks."""
    while True:
        site = _draw_site(rng, kind, anatomy)
        voxel = tuple(np.rint(site.center_mm - ORIGIN_MM).astype(int))
        if anatomy.room[voxel] <= -4:  # half mm: else a fold of the dura would hide it
            return site


def _draw_site(rng, kind, anatomy):
    median, spread, low, high = SIZES_MM[kind]
    radius = float(np.clip(median * np.exp(spread * rng.standard_normal()), low, high))
    radii = radius * np.exp(rng.uniform(-0.2, 0.2, 3))
    if kind == "surface":
        pick = rng.integers(len(anatomy.surface))
        center = anatomy.surface[pick] + anatomy.inward[pick] * radius * rng.uniform(0.3, 0.8)
    elif kind == "deep":
        center = anatomy.white[rng.integers(len(anatomy.white))] + rng.uniform(-1.5, 1.5, 3)
    else:
        radii[2] *= 1.15
        center = np.array(SELLA_MM) + [0, 0, radii[2] - 8] + rng.normal(0, [1.5, 1, 1])
    return Site(np.asarray(center, np.float32), radii.astype(np.float32))


def choose_look(rng, label):
    """A look of one class name; looks overlap between classes, as they do in patients."""
    draw = {"meningioma": _meningioma, "glioma": _glioma, "pituitary": _pituitary}[label]
    return Look(**draw(rng), phase_mm=tuple(rng.uniform(0, 300, 3)))


def _meningioma(rng):
    mottled = rng.random() < 0.08
    return {
        "level": rng.uniform(1.45, 2.0),
        "texture": rng.uniform(0.15, 0.3) if mottled else rng.uniform(0.04, 0.12),
        "lumps": rng.uniform(0.04, 0.12),
        "patchy": rng.uniform(0.05, 0.2) if mottled else 0.0,
        "core": rng.uniform(0.7, 0.95),
        "edema": rng.uniform(0.1, 0.25) if rng.random() < 0.3 else 0.0,
        "edema_mm": rng.uniform(5, 12),
        "tail_mm": rng.uniform(6, 14) if rng.random() < 0.5 else 0.0,
        "softness_mm": rng.uniform(0.5, 0.9),
        "push": rng.uniform(0.25, 0.5),
    }


def _glioma(rng):
    kind = rng.choice(["rim", "patchy", "faint"], p=[0.66, 0.18, 0.16])
    look = {
        "level": rng.uniform(1.15, 2.0),
        "texture": rng.uniform(0.15, 0.35),
        "lumps": rng.uniform(0.22, 0.42),
        "core": rng.uniform(0.35, 0.75),
        "edema": rng.uniform(0.15, 0.35) if rng.random() < 0.85 else 0.0,
        "edema_mm": rng.uniform(8, 20),
        "softness_mm": rng.uniform(0.8, 1.8),
        "push": rng.uniform(0.1, 0.35),
    }
    if kind == "rim":
        look["rim_mm"] = rng.uniform(1.5, 4.5)
    elif kind == "patchy":
        look["patchy"] = rng.uniform(0.35, 0.6)
    else:
        look["level"] = rng.uniform(0.6, 0.9)
        look["texture"] = rng.uniform(0.05, 0.15)
        look["patchy"] = rng.uniform(0.0, 0.5)
        look["softness_mm"] = rng.uniform(1.2, 2.5)
    return look


def _pituitary(rng):
    cystic = rng.random() < 0.1
    return {
        "level": rng.uniform(1.3, 1.85),
        "texture": rng.uniform(0.05, 0.15),
        "lumps": rng.uniform(0.04, 0.12),
        "core": rng.uniform(0.5, 0.9),
        "rim_mm": rng.uniform(2.0, 4.0) if cystic else 0.0,
        "softness_mm": rng.uniform(0.5, 1.0),
        "push": rng.uniform(0.1, 0.4),
    }


@lru_cache(maxsize=1)
def _noise_tile():
    """Smooth periodic noise of unit variance, shape (80, 80, 80), correlated over 2 voxels."""
    noise = np.random.default_rng(5).standard_normal((80, 80, 80), np.float32)
    noise = ndimage.gaussian_filter(noise, 1.6, mode="wrap")
    return noise / noise.std()


def smooth_noise(points, phase_mm, voxel_mm):
    """Noise of unit variance at points in mm, shape (3, h, w), correlated over ``2 * voxel_mm``."""
    at = [(p + shift) / voxel_mm for p, shift in zip(points, phase_mm)]
    return ndimage.map_coordinates(_noise_tile(), at, order=1, mode="grid-wrap")


def depth_in(site, look, points):
    """Depth of points in mm (3, h, w) below the lumpy outline of a lesion, negative outside:
    roughly a distance near it; the room of the skull is not yet regarded."""
    shape = (3,) + (1,) * (points.ndim - 1)
    offset = (points - site.center_mm.reshape(shape)) / site.radii_mm.reshape(shape)
    distance = np.sqrt(np.einsum("i...,i...->...", offset, offset))
    lumps = smooth_noise(points, look.phase_mm, 0.3 * site.radius_mm)
    turned = look.phase_mm[1:] + look.phase_mm[:1]
    lumps += 0.5 * smooth_noise(points, turned, 0.13 * site.radius_mm)
    # The center stays inside however deep a lump: every lesion has a core to cut.
    lumps *= look.lumps * np.minimum(distance, 1)
    return ((1 - distance + lumps) * site.radius_mm).astype(np.float32)


def paint(image, depth, room, points, look, white_level):
    """Paint a lesion with its edema and dural tail into a crop of a slice (h, w), in place: where
    ``depth`` below its outline is above 0 and ``room`` to the dura below it, both in mm (h, w).
    ``points`` are template coordinates in mm, (3, h, w)."""
    fine = smooth_noise(points, look.phase_mm[::-1], 1.6)
    coarse = smooth_noise(points, look.phase_mm[::-1], 4.5)
    if look.edema:
        reach = np.clip(1 + (depth + 3 * coarse) / look.edema_mm, 0, 1)
        image *= 1 - look.edema * reach * np.clip(-room / 4 - 0.5, 0, 1)
    if look.tail_mm:
        tail = np.clip(1 + depth / look.tail_mm, 0, 1) * np.exp(-(((room + 0.5) / 1.3) ** 2))
        image += tail * (look.level * white_level - image) * (depth < 0)
    enhancing = np.ones_like(depth)
    if look.rim_mm:
        wall = look.rim_mm * np.clip(1 + 0.45 * coarse, 0.15, 2)
        enhancing = np.clip(1.4 - np.clip(depth, 0, None) / wall, 0, 1)
    if look.patchy:
        cut = 2.2 * (look.patchy - 0.5)
        enhancing = enhancing * np.clip(0.5 + (coarse - cut) * 1.5, 0, 1)
    value = look.core + (look.level - look.core) * enhancing
    value = value * (1 + look.texture * (0.6 * fine + 0.6 * coarse)) * white_level
    share = np.clip(0.5 + depth / (2 * look.softness_mm), 0, 1)
    share *= np.clip(0.5 - room / 1.0, 0, 1)
    image += share * (np.maximum(value, 0.02) - image)
