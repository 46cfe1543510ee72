"""The phantom cohort: synthetic contrast-enhanced slices with exact tumor masks.

A stand-in for the published slices where those are not at hand: drawn on the ICBM 152
template, it needs no network and shows no patient. Believable is enough; no number measured
on it says anything about patients. A patient's plane, site, look, pose and contrast are drawn
first (the *plan*), each by its own function. Then each slice is sampled from the head, the
lesion is painted into it, and coil shading and noise are added.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from tumorcf_lib.config import CLASSES
from tumorcf_lib.data.cohort import Cohort
from tumorcf_lib.phantoms import slices as render, tumors
from tumorcf_lib.phantoms.anatomy import load_anatomy

PLANE_SHARES = {  # axial, coronal, sagittal
    "meningioma": (0.36, 0.32, 0.32),
    "glioma": (0.44, 0.28, 0.28),
    "pituitary": (0.26, 0.36, 0.38),
}
MIN_TUMOR_PX = 25
"""Smallest mask on a slice of 256 x 256 pixels; smaller slices scale it with their area."""

SOURCE = "Synthetic phantom slices: tumors drawn on the ICBM 152 template, no patient's image."
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Plan:
    """Everything that a patient's slices share."""

    label: int
    plane: str
    site: tumors.Site
    look: tumors.Look
    pose: render.Pose
    contrast: render.Contrast
    phase: float  # in [0, 1): where in the lesion the first slice lies


def make_cohort(n_patients, n_slices, *, size_px=256, seed=0):
    """A phantom cohort with as many patients of each class.

    Parameters
    ----------
    n_patients : int
        Patients of each class.
    n_slices : int
        Slices of each patient, all in one plane through the same lesion.
    size_px : int, 64 to 1024
        Side of the square slices.
    seed : int
        Same seed, same bytes. Slice k of patient i depends on (seed, i, k) alone, so a
        larger cohort repeats the slices of a smaller one.

    Returns
    -------
    Cohort
        ``slices`` uint8 (n, size_px, size_px); ``masks`` bool, same shape, without edema and
        dural tail; the table has, beside the usual columns, ``plane``, ``radius_mm`` of the
        lesion and ``tumor_px`` of the mask. Patients go through the classes in turn.

    Examples
    --------
    >>> cohort = make_cohort(1, 2, size_px=64)
    >>> len(cohort), cohort.slices.shape, cohort.labels.tolist()
    (6, (6, 64, 64), [0, 0, 1, 1, 2, 2])
    """

    def planned(rng, patient, anatomy):
        plan = plan_patient(rng, patient % len(CLASSES), anatomy)

        def draw(rng, k):
            image, mask = draw_slice(rng, plan, k, anatomy, size_px)
            name = f"phantom-{patient + 1:03d}"
            row = {"slice_id": patient * n_slices + k + 1, "label": plan.label}
            row |= {"patient_id": name, "person_id": name, "plane": plan.plane}
            row |= {"radius_mm": round(plan.site.radius_mm, 2), "tumor_px": int(mask.sum())}
            return image, mask, row

        return draw

    drawn = draw_patients(planned, n_patients, n_slices, size_px, seed)
    return Cohort("phantom", *drawn, CLASSES, SOURCE)


def draw_patients(planned, n_patients, n_slices, size_px, seed):
    """Slices, masks and table of patients, who go through the classes in turn.

    ``planned(rng, patient, anatomy)`` draws what a patient's slices share, and returns
    ``draw(rng, k)`` to slice k, its mask and its row."""
    anatomy, n_persons, rows = load_anatomy(), len(CLASSES) * n_patients, []
    slices = np.zeros((n_persons * n_slices, size_px, size_px), np.uint8)
    masks = np.zeros(slices.shape, bool)
    for patient in range(n_persons):
        draw = planned(np.random.default_rng([seed, patient]), patient, anatomy)
        for k in range(n_slices):
            i = len(rows)
            # NumPy pads entropy with zeros: [seed, patient, 0] would repeat the plan's draws.
            slices[i], masks[i], row = draw(np.random.default_rng([seed, patient, k + 1]), k)
            rows.append(row)
    return slices, masks, pd.DataFrame(rows)


def plan_patient(rng, label, anatomy):
    """Draw one patient whose plane, site and look follow the class, as they do in reality."""
    name = CLASSES[label]
    return Plan(
        label=label,
        plane=str(rng.choice(list(render.PLANES), p=PLANE_SHARES[name])),
        site=tumors.choose_site(rng, tumors.SITE_OF_CLASS[name], anatomy),
        look=tumors.choose_look(rng, name),
        pose=render.choose_pose(rng),
        contrast=render.choose_contrast(rng),
        phase=rng.random(),
    )


def draw_slice(rng, plan, k, anatomy, size_px):
    """Slice k of a patient (uint8) and its mask (bool), both (size_px, size_px).

    Levels spread over the lesion (golden section), whatever the number of slices; one that
    would show too little tumor moves toward the lesion's center."""
    positions = render.pixel_positions(plan.pose, plan.plane, size_px)
    lesion = cut_at_slice(plan, k, positions, anatomy)
    image = _paint_head(plan, positions, lesion, anatomy)
    return render.finish(rng, image, plan.contrast, plan.plane), lesion.mask_of(image)


def cut_at_slice(plan, k, positions, anatomy):
    """The lesion where slice k of a patient cuts it; see :func:`draw_slice` for the level."""
    size_px = positions.shape[1]
    axis = render.PLANES[plan.plane][2]
    reach = 0.65 * float(plan.site.radii_mm[axis])
    offset = reach * (2 * ((plan.phase + k * _GOLDEN) % 1) - 1)
    needed = max(1, MIN_TUMOR_PX * (size_px / 256) ** 2)
    for share in (1.0, 0.75, 0.5, 0.25, 0.0):
        at_mm = float(plan.site.center_mm[axis]) + share * offset
        lesion = cut_lesion(plan, positions, at_mm, anatomy)
        if lesion is not None and lesion.mask.sum() >= needed:
            break
    return lesion


@dataclass(frozen=True)
class Lesion:
    """A lesion cut by one slice, on the crop ``box`` of the slice's pixels."""

    at_mm: float  # where the slice lies along its axis
    box: tuple[slice, slice]
    points: np.ndarray  # (3, height, width), template coordinates in mm
    depth: np.ndarray  # mm below the lesion's outline, negative outside
    room: np.ndarray  # mm to the dura, negative inside the skull
    mask: np.ndarray  # bool, one connected piece

    def mask_of(self, slice):
        """The mask on the whole slice."""
        mask = np.zeros(slice.shape, bool)
        mask[self.box] = self.mask
        return mask


def cut_lesion(plan, positions, at_mm, anatomy):
    """The lesion where a slice at ``at_mm`` cuts it, or None where the slice misses it."""
    across, up, axis = render.PLANES[plan.plane]
    site, look = plan.site, plan.look
    margin = 3 + max(look.edema_mm if look.edema else 0, look.tail_mm)
    reach = site.radii_mm * (1 + 2.5 * look.lumps) + margin
    near = np.abs(positions[0] - site.center_mm[across]) < reach[across]
    near &= np.abs(positions[1] - site.center_mm[up]) < reach[up]
    rows, columns = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
    if not len(rows):
        return None
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    crop = positions[(slice(None), *box)]
    points = np.empty((3, *crop.shape[1:]), np.float32)
    points[across], points[up], points[axis] = crop[0], crop[1], at_mm
    depth = tumors.depth_in(site, look, points)
    room = render.sample(render.room_section(anatomy, plan.plane, at_mm), crop, plan.plane)
    mask = (depth > 0) & (room < 0)
    n_pieces, pieces, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if n_pieces < 2:
        return None
    stray = mask & (pieces != 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    depth[stray] = -look.softness_mm
    return Lesion(at_mm, box, points, depth, room, mask & ~stray)


def _paint_head(plan, positions, lesion, anatomy):
    """Gray values of the head, its tissue pushed aside by the lesion, with the lesion in it."""
    positions = positions.copy()
    across, up, _ = render.PLANES[plan.plane]
    center, radii = plan.site.center_mm, plan.site.radii_mm
    crop = positions[(slice(None), *lesion.box)]
    away = [(lesion.points[i] - center[i]) / radii[i] for i in range(3)]
    fall = np.exp(-(away[0] ** 2 + away[1] ** 2 + away[2] ** 2) / 1.7)
    pull = plan.look.push * fall * np.clip(-lesion.room / 10, 0, 1)
    crop[0] -= pull * (crop[0] - center[across])
    crop[1] -= pull * (crop[1] - center[up])
    image = render.head_at(anatomy, plan, lesion.at_mm, positions)
    at = lesion.depth, lesion.room, lesion.points
    tumors.paint(image[lesion.box], *at, plan.look, plan.contrast.white)
    return image
