"""The phantom's head: the ICBM 152 brain with everything around it drawn in 3-D, once.

The template that nilearn carries in its wheel is skull-stripped. Dura, skull, scalp, face
and vessels are drawn around it from distance maps and from solids at their usual template
coordinates (mm; x to the right, y to the front, z up). One byte per voxel names a tissue or,
for brain and soft tissue, a shade; :mod:`phantoms.slices` turns bytes into gray values,
differently for each patient.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

from tumorcf_lib.phantoms import solids
from tumorcf_lib.phantoms.solids import BRAIN, ORIGIN_MM, SHAPE, SOFT, axes_mm

BRAIN_BOX = (slice(26, 176), slice(20, 206), slice(78, 236))
"""The part of the grid that holds the template's brain; even starts, as on the 2 mm grid."""

COARSE_SHAPE = tuple((n + 1) // 2 for n in SHAPE)


@dataclass(frozen=True)
class Anatomy:
    """The head on a 1 mm grid whose voxel (0, 0, 0) lies at ``ORIGIN_MM``.

    ``tissue`` (uint8) names tissue or shade. ``room`` (int8) is the signed distance in half
    millimeters to the border of the space where a tumor may grow, the cranial cavity with
    the sella: negative inside, cut at +-63 mm. ``surface`` holds points on the dura in mm,
    ``inward`` their unit normals into the brain, ``white`` points deep in white matter.
    """

    tissue: np.ndarray
    room: np.ndarray
    surface: np.ndarray
    inward: np.ndarray
    white: np.ndarray


@lru_cache(maxsize=1)
def load_anatomy():
    """The head, drawn on first use (a few seconds) and then kept: the same bytes on every call.

    >>> load_anatomy().tissue.shape
    (201, 255, 253)
    """
    t1, white = _read_template()
    coarse = _cranial_cavity(t1)
    surface, inward = _surface_points(coarse)
    noise = [_smooth_noise(1, (2.2, 2.2, 6.0)), _smooth_noise(2, 1.5), _smooth_noise(3, 3.0)]
    room = _double(coarse)
    depth = _double(_skin_depth(coarse))
    streaks = _streaks(noise)
    tissue = _draw_shell(room, depth, streaks, _double(noise[2], scale=32))
    del depth
    solids.draw_face(tissue, streaks)
    solids.draw_neck(tissue)
    del streaks
    _draw_brain(tissue, room, t1, white)
    solids.draw_vessels(tissue)
    _draw_surface_veins(tissue, room, noise)
    deep = np.argwhere((white[::3, ::3, ::3] > 0.6) & (room[BRAIN_BOX][::3, ::3, ::3] < -27)) * 3
    deep = deep.astype(np.float32) + [b.start for b in BRAIN_BOX] + ORIGIN_MM
    deep = deep[(deep[:, 2] > -25) & (deep[:, 1] < 46)].astype(np.float32)
    sella = _ellipsoid_distance((0, 4, -32), (13, 11, 14))
    return Anatomy(tissue, _double(_union(coarse, sella)), surface, inward, deep)


def _read_template():
    """T1 and white matter in [0, 1], float32, on ``BRAIN_BOX`` of the phantom's grid."""
    from nilearn import datasets  # takes seconds to import, so only when a head is drawn

    def read(load):
        image = load(resolution=1)
        first = ORIGIN_MM + [box.start for box in BRAIN_BOX] - image.affine[:3, 3]
        first = np.rint(first).astype(int)
        box = tuple(slice(a, a + b.stop - b.start) for a, b in zip(first, BRAIN_BOX))
        data = np.asarray(image.dataobj[box], np.float32)
        return data / data.max()

    return read(datasets.load_mni152_template), read(datasets.load_mni152_wm_template)


def _double(coarse, *, scale=2):
    """A 2 mm grid interpolated linearly to 1 mm, times ``scale``, rounded to int8."""
    out = coarse
    for axis in range(3):
        coarse = np.swapaxes(out, 0, axis)
        finer = np.empty((2 * len(coarse) - 1, *coarse.shape[1:]), np.float32)
        finer[::2] = coarse
        np.add(coarse[:-1], coarse[1:], out=finer[1::2])
        finer[1::2] *= 0.5
        out = np.swapaxes(finer, 0, axis)
    out = np.ascontiguousarray(out)
    out *= scale
    return np.clip(np.rint(out, out=out), -127, 127, out=out).astype(np.int8)


def _smooth_noise(seed, sigma):
    """Gaussian noise of unit variance on the 2 mm grid, ``sigma`` in its voxels."""
    noise = np.random.default_rng(seed).standard_normal(COARSE_SHAPE, np.float32)
    noise = ndimage.gaussian_filter(noise, sigma, mode="wrap", truncate=3)
    return noise / noise.std()


def _signed_distance(inside):
    """Distance in mm to the border on the 2 mm grid, negative inside."""
    outer = ndimage.distance_transform_edt(~inside).astype(np.float32)
    outer -= ndimage.distance_transform_edt(inside)
    return 2 * outer - np.sign(outer)


def _ellipsoid_distance(center, radii, power=2.0):
    """About the distance in mm to an ellipsoid on the 2 mm grid, negative inside."""
    axes = axes_mm(step=2)
    level = sum((np.abs(a - c) / r) ** power for a, c, r in zip(axes, center, radii))
    return (level ** (1 / power) - 1) * min(radii)


def _union(left, right, *, blend_mm=8.0):
    """Distance to the union of two shapes, its inner edges rounded off."""
    near = np.clip(1 - np.abs(left - right) / blend_mm, 0, 1)
    return np.minimum(left, right) - near**2 * (blend_mm / 4)


def _cranial_cavity(t1):
    """Distance to the dura (2 mm grid): the brain, its clefts closed, a film of fluid."""
    brain = np.zeros(COARSE_SHAPE, bool)
    half = tuple(slice(box.start // 2, box.stop // 2) for box in BRAIN_BOX)
    brain[half] = t1[::2, ::2, ::2] > 0.2
    closed = ndimage.distance_transform_edt(~brain) < 5.5
    cavity = ndimage.distance_transform_edt(closed) > 4.4
    return ndimage.gaussian_filter(_signed_distance(cavity), 1.0)


def _skin_depth(room):
    """Depth in mm below the skin on the 2 mm grid, negative in the air."""
    x, y, z = axes_mm(step=2)
    scalp = 12.0 + 0.8 * _smooth_noise(7, 9.0)
    head = (room < scalp) | (_ellipsoid_distance((0, -16, 4), (81, 100, 88)) < 0)
    head |= _ellipsoid_distance((0, 8, -14), (75, 78, 38), 2.3) < 0  # the temples
    head |= solids.face_hull(x, y, z)
    soft = ndimage.gaussian_filter(head.astype(np.float32), 1.5)
    return -_signed_distance(soft > 0.5)


def _streaks(noise):
    """Shades of soft tissue: muscle bellies along z with planes of fat between them."""
    planes, mottle = _double(noise[0], scale=32), _double(noise[1], scale=32)
    shade = 14 + mottle // 10
    shade[np.abs(planes + mottle // 8) < 9] += 8
    shade[mottle > 62] -= 12
    return (SOFT + np.clip(shade, 0, 31)).astype(np.uint8)


def _draw_shell(room, depth, streaks, rough):
    """Scalp, skull and the soft tissue outside it; ``room`` and ``depth`` in half mm."""
    x, y, z = axes_mm()
    tissue = np.where(depth > 0, streaks, np.uint8(solids.AIR))
    temporal = (np.abs(x) > 38) & (z < 42) & (z > -58) & (y > -35) & (y < 66)
    tissue[temporal & (depth > 8) & (room >= 14)] = solids.MUSCLE
    tissue[(depth > 0) & (depth <= 11)] = solids.FAT
    skull = (depth > 0) & (room < 14)
    base = z < -18 - 0.25 * np.minimum(y, 0) - 0.6 * np.maximum(-y - 40, 0)
    tissue[skull] = solids.BONE
    tissue[skull & (room > 4) & (room < 10) & ~base] = solids.MARROW
    tissue[skull & (room > 4) & base & (rough > 3)] = solids.MARROW
    tissue[(depth > 0) & (depth <= 3)] = solids.SKIN
    tissue[(room < 2) & (depth > 0)] = solids.DURA
    return tissue


def _draw_brain(tissue, room, t1, white):
    """Fluid and brain within the cranial cavity, then the falx and its venous sinuses."""
    tissue[room < 0] = solids.CSF
    # The template is an average of many heads: an unsharp mask brings its sulci back.
    sharp = t1 + 0.9 * (t1 - ndimage.gaussian_filter(t1, 2.0, truncate=3))
    shade = (BRAIN + np.clip((sharp - 0.25) / 0.75, 0, 1) * 191).astype(np.uint8)
    inside = (t1 > 0.2) & (room[BRAIN_BOX] < 0)
    tissue[BRAIN_BOX][inside] = shade[inside]
    x, y, z = axes_mm(BRAIN_BOX)
    room, tissue = room[BRAIN_BOX], tissue[BRAIN_BOX]
    above = z > np.interp(y, [-110, -95, -45, 0, 40, 80], [-12, -8, 14, 36, 22, -12])
    tissue[(np.abs(x) < 1) & above & (room < 0) & (room > -80) & (white < 0.3)] = solids.FALX
    upper = (room < 1) & (room > -10) & (np.abs(x) < 3.6 + 0.3 * room) & (y < 50)
    tissue[upper & above] = solids.VESSEL
    # The transverse sinuses run in the groove of the tentorium, round in cross-section.
    lateral = (0.5 * room + 2.2) ** 2 + (z + 15 - 0.1 * (y + 60)) ** 2 < 8
    tissue[lateral & (y < -45) & (y > -104) & (np.abs(x) > 2)] = solids.VESSEL


def _draw_surface_veins(tissue, room, noise):
    """Thin veins on the brain: two noise fields are both zero along curves."""
    thin = np.abs(noise[1]) < 0.18
    thin &= np.abs(noise[2]) < 0.16
    thin = _double(thin.astype(np.float32), scale=8) > 3
    tissue[thin & (room < -2) & (room > -20)] = solids.VESSEL


def _surface_points(room):
    """Points on the dura above the skull base in mm, and unit normals into the brain."""
    index = np.argwhere((room < 0) & (room > -2))
    points = (index * 2).astype(np.float32) + ORIGIN_MM
    _, y, z = points.T
    keep = (z > -45) & (z < 70) & (y > -98) & (y < 62)  # no grazing cuts of the head's ends
    index, points = index[keep], points[keep]
    slope = [np.gradient(room, axis=axis)[tuple(index.T)] for axis in range(3)]
    normals = -np.stack(slope, axis=-1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-6
    return points, normals.astype(np.float32)
