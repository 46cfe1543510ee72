"""Face, neck and vessels of the phantom head, put together from ellipsoids and tubes.

Coordinates are template millimeters: x to the right, y to the front, z up.
"""

import numpy as np

ORIGIN_MM = np.array([-100.0, -130.0, -150.0], np.float32)
SHAPE = (201, 255, 253)  # voxels of 1 mm; odd, so that a 2 mm grid can be doubled exactly
SELLA_MM = (0.0, 4.0, -33.0)

AIR, SKIN, FAT, BONE, MARROW, DURA, CSF, FALX, VESSEL, CAVITY, EYE, MUSCLE, GLAND = range(13)
SOFT = 32  # 32..63: soft tissue from fibrous (dark) over muscle to fat (bright)
BRAIN = 64  # 64..255: brain from fluid over gray to white matter


def axes_mm(box=(slice(None),) * 3, *, step=1):
    """x, y and z in mm of the grid or a part of it, shaped to broadcast."""
    axes = (ORIGIN_MM[i] + np.arange(0, SHAPE[i], step, dtype=np.float32) for i in range(3))
    return np.ix_(*(axis[part] for axis, part in zip(axes, box)))


def fill(tissue, center, radii, value, *, power=2.0, where=None):
    """Fill a (super-)ellipsoid in mm, in place, with a tissue byte or those of a volume; ``where``
    maps the old bytes to the voxels that may change.

    >>> tissue = np.zeros(SHAPE, np.uint8)
    >>> fill(tissue, (0, 0, 0), (1.1, 1.1, 1.1), EYE)
    >>> int((tissue == EYE).sum())
    7
    """
    center, radii = np.asarray(center, float), np.asarray(radii, float)
    low = np.maximum(np.floor(center - radii - ORIGIN_MM), 0).astype(int)
    high = np.clip(np.ceil(center + radii - ORIGIN_MM) + 1, low, SHAPE).astype(int)
    box = tuple(slice(a, b) for a, b in zip(low, high))
    axes = axes_mm(box)
    level = sum((np.abs(a - c) / r) ** power for a, c, r in zip(axes, center, radii))
    chosen = level < 1
    if where is not None:
        chosen &= where(tissue[box])
    tissue[box][chosen] = value[box][chosen] if isinstance(value, np.ndarray) else value


def tube(tissue, points, radius, value, *, where=None):
    """A tube through points in mm, drawn as a row of balls, in place."""
    points = np.asarray(points, float)
    for start, end in zip(points[:-1], points[1:]):
        for t in np.linspace(0, 1, int(np.linalg.norm(end - start) / max(1, radius / 3)) + 2):
            fill(tissue, start + t * (end - start), (radius,) * 3, value, where=where)


def _outside_brain(old):
    return (old != AIR) & (old != DURA) & (old < BRAIN)


def face_hull(x, y, z):
    """Whether points lie in the face or the neck, skin included; arguments broadcast."""
    level = [-160, -138, -128, -121, -112, -98, -86, -72, -58, -44, -32, -10, 0]
    front = [36, 42, 54, 80, 95, 97, 97, 94, 93, 90, 86, 60, 1]
    back = [-102, -100, -99, -99, -100, -101, -103, -105, -104, -98, -90, -60, 0]
    width = [56, 54, 55, 58, 62, 67, 71, 74, 76, 77, 76, 60, 1]
    front, back, width = (np.interp(z, level, v).astype(np.float32) for v in (front, back, width))
    middle, half = (front + back) / 2, (front - back) / 2
    face = (np.abs(x) / width) ** 2.8 + (np.abs(y - middle) / half) ** 2.8 < 1
    tip = np.interp(z, [-74, -68, -60, -40, -28], [90, 108, 114, 97, 84]).astype(np.float32)
    nose = (np.abs(x) < np.minimum(4 + 0.55 * (tip - y), 17)) & (y < tip)
    nose = nose & (y > 60) & (z > -74) & (z < -28)
    ears = ((np.abs(x) - 82) / 9) ** 2 + ((y + 26 + 0.6 * (np.abs(x) - 82)) / 9) ** 2
    ears = ears + ((z + 34 - 0.5 * (np.abs(x) - 82)) / 26) ** 2 < 1
    return (face & (z < 0)) | nose | ears


def draw_face(tissue, streaks):
    """Orbits, air-filled sinuses, nose, mouth and jaw, in place."""
    for side in (-1, 1):
        _draw_orbit(tissue, side)
        _draw_jaw(tissue, side, streaks)
        fill(tissue, (side * 30, 55, -66), (13, 16, 14), CAVITY, power=2.3)  # maxillary sinus
        fill(tissue, (side * 9, 79, -16), (9, 4, 9), CAVITY, where=_outside_brain)
        fill(tissue, (side * 7, 50, -40), (6, 19, 9), CAVITY, where=_outside_brain)
        for y in (38, 46, 54, 62):  # walls of the ethmoid cells
            fill(tissue, (side * 7, y, -40), (7, 1.1, 9), SOFT + 16, where=_outside_brain)
        fill(tissue, (side * 7, 62, -60), (6, 31, 13), CAVITY)
        fill(tissue, (side * 8, 60, -67), (4.2, 27, 4.6), SOFT + 19)  # turbinates
        fill(tissue, (side * 8, 55, -56), (3.6, 24, 4.2), SOFT + 19)
        fill(tissue, (side * 58, -28, -46), (11, 12, 15), BONE, where=_outside_brain)
        fill(tissue, (side * 46, -20, -42), (13, 5, 5), CAVITY, where=_outside_brain)
    fill(tissue, (0, 60, -60), (1.6, 32, 15), SOFT + 18)  # nasal septum
    fill(tissue, (0, 24, -42), (15, 13, 11), CAVITY, power=2.5, where=_outside_brain)
    fill(tissue, (0, 44, -98), (23, 36, 17), np.minimum(streaks, SOFT + 18), power=2.3)
    fill(tissue, (0, 50, -78), (25, 36, 2.2), SOFT + 21, power=3)  # hard palate
    tube(tissue, [(0, 78, -82), (0, 52, -80), (0, 26, -82), (0, 8, -90)], 1.6, CAVITY)
    tube(tissue, [(0, 30, -62), (0, 10, -68), (0, 2, -90), (0, 4, -118), (0, 2, -150)], 6, CAVITY)


def _draw_orbit(tissue, side):
    fill(tissue, (side * 31, 48, -37), (15, 28, 15), SOFT + 27, where=_outside_brain)
    fill(tissue, (side * 32, 64, -38), (13.2, 12.7, 12.7), MUSCLE)
    fill(tissue, (side * 32, 64, -38), (12, 11.5, 11.5), EYE)
    fill(tissue, (side * 32, 73, -38), (4.5, 2.2, 4.5), MUSCLE)  # lens
    tube(tissue, [(side * 31, 52, -38), (side * 18, 24, -31)], 2.3, MUSCLE)  # optic nerve
    for start, end in (
        ((43, 60, -38), (26, 26, -34)),
        ((21, 58, -38), (17, 26, -34)),
        ((32, 58, -50), (22, 26, -38)),
        ((32, 58, -26), (22, 26, -30)),
    ):
        flip = np.array([side, 1, 1])
        tube(tissue, [flip * start, flip * end], 2.2, MUSCLE, where=_outside_brain)


def _draw_jaw(tissue, side, streaks):
    bright = np.minimum(streaks + 6, SOFT + 31)
    fill(tissue, (side * 62, -8, -78), (9, 15, 20), bright, where=_outside_brain)  # parotid
    fill(tissue, (side * 55, 20, -80), (7, 15, 26), MUSCLE, where=_outside_brain)
    branch = [(side * 50, 2, -62), (side * 47, 12, -102), (side * 34, 58, -110), (0, 86, -112)]
    tube(tissue, branch, 6.5, BONE, where=_outside_brain)
    tube(tissue, branch, 4.6, MARROW, where=_outside_brain)
    arch = [(side * 26, 42, 0), (side * 20, 72, 0), (0, 84, 0)]
    for z in (-84, -95):  # teeth
        tube(tissue, np.add(arch, (0, 0, z)), 3.6, BONE, where=_outside_brain)


def draw_neck(tissue):
    """Clivus, spinal cord with its fluid, vertebrae and discs, in place."""
    tube(tissue, [(0, -8, -42), (0, -24, -64)], 7.0, BONE, where=_outside_brain)
    tube(tissue, [(0, -6, -44), (0, -22, -64)], 5.0, MARROW, where=_outside_brain)
    cord = [(0, -42, -70), (0, -46, -90), (0, -48, -120), (0, -46, -150)]
    tube(tissue, cord, 9.0, BONE, where=_outside_brain)
    for z in range(-82, -160, -17):
        fill(tissue, (0, -27, z), (11, 9, 7.6), MARROW, power=3, where=_outside_brain)
        fill(tissue, (0, -27, z - 8.5), (11, 9, 1.4), MUSCLE, where=_outside_brain)
        fill(tissue, (0, -72, z), (4, 13, 4.5), MARROW, where=_outside_brain)
    tube(tissue, cord, 7.5, CSF, where=_outside_brain)
    tube(tissue, cord, 5.0, BRAIN + 125, where=lambda old: old < BRAIN)


def draw_vessels(tissue):
    """Pituitary gland, arteries of the skull base, deep veins and choroid plexus, in place."""

    def fluid(old):
        return (old == CSF) | ((old >= BRAIN) & (old < BRAIN + 90))

    fill(tissue, SELLA_MM, (6, 4.5, 4), GLAND, where=lambda old: old != AIR)
    tube(tissue, [(0, 3, -29), (0, 2, -20)], 1.1, GLAND)
    for side in (-1, 1):
        tube(tissue, [(side * 13, 2, -46), (side * 12, 8, -34), (side * 11, 3, -20)], 2.2, VESSEL)
        tube(tissue, [(side * 11, 3, -18), (side * 24, 3, -17), (side * 40, -4, -8)], 1.3, VESSEL)
        tube(tissue, [(side * 40, -4, -8), (side * 44, -14, -2), (side * 46, -26, 8)], 1.0, VESSEL)
        tube(tissue, [(side * 10, 6, -18), (side * 2, 14, -14)], 1.1, VESSEL)
        plexus = [(side * 15, -30, 15), (side * 23, -42, 9), (side * 26, -36, -3)]
        tube(tissue, plexus, 2.6, VESSEL, where=fluid)
    tube(tissue, [(0, -14, -46), (0, -13, -24)], 1.6, VESSEL, where=fluid)  # basilar artery
    tube(tissue, [(0, 14, -14), (0, 32, -6), (0, 39, 6), (0, 32, 18), (0, 12, 29)], 1.0, VESSEL)
    tube(tissue, [(0, -6, 10), (0, -22, 12), (0, -38, 7), (0, -46, 3)], 1.2, VESSEL)
    tube(tissue, [(0, -46, 3), (0, -60, -2), (0, -80, -6), (0, -98, -12)], 1.8, VESSEL)
