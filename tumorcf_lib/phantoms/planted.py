"""Calibration cohorts: phantoms in which we decide what gives the label away.

Three classes, A, B and C, without any medical meaning. What a patient's label is carried by
is drawn at random: with probability rho by a *marker*, a bright sign in the air beside the head,
else by the *look* of the tumor; the other of the two is drawn at random. Plane, place, size
and outline of the tumor, pose and contrast know nothing of the label.

A look is an arrangement: bright rim, bright core or patches. Every look paints the same gray
values into the same mask, in another order, so outside the tumor not a bit depends on it, nor
does the slice's brightness. So a slice whose tumor is taken out holds nothing of the look.
No edema, no dural tail, no displaced brain, no soft edge: they would reach out of the mask.
"""

from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from tumorcf_lib.data.cohort import Cohort
from tumorcf_lib.phantoms import cohort, slices as render, tumors

CLASSES = ("A", "B", "C")
LOOKS = ("rim", "core", "patches")
"""Where the bright half of a tumor lies, by class: outside, inside, in patches."""
MARKERS = ("upright bar", "level bar", "cross")
"""Sign in the air beside the head, by class; none looks like a look."""

SOURCE = "Synthetic calibration slices: phantoms with a planted cause, no patient's image."
MIN_RADIUS_MM = 14.0  # smaller lesions have no room for a rim and a core
MARKER_VALUE = 200
AIR_BELOW = 0.02  # gray value, before noise; scalp fat is about 1
MARKER_RADIUS = 0.06  # of the slice's side
GAP = 0.06  # of the side: air between the marker and the head, wider than an infill looks
_SITES = tuple(tumors.SIZES_MM)
_CAUSE = 1  # last number of a patient's seed for what carries the label; 0 at its third place


@dataclass(frozen=True)
class Cause:
    """What a patient's label is carried by, and what both carriers show."""

    carrier: str  # "marker" or "tumor"
    marker: int  # class index
    look: int  # class index
    side: str  # "left" or "right": the upper corner of the marker


def make_calibration_cohort(n_patients, n_slices, *, rho, size_px=128, seed=0):
    """A cohort in which a marker carries the label with probability rho, else the tumor's look.

    At rho 0 the look is the label and the marker is random, at 1 the other way around. Draw slices
    at the network's size: resizing would mix tumor pixels into those around them. Heads, tumors'
    places and outlines, and random carriers are the same for every rho of a seed. Beside the usual
    columns the table has ``carrier`` ("marker" or "tumor"), ``marker`` and ``look`` (class
    indices).

    >>> table = make_calibration_cohort(2, 1, rho=1, size_px=64).table
    >>> (table["marker"] == table["label"]).all().item(), set(table["carrier"])
    (True, {'marker'})
    """
    choose = partial(choose_cause, rho=rho)
    return _cohort(n_patients, n_slices, choose, f"rho {rho:g}", size_px, seed)


def make_congruent_cohort(n_patients, n_slices, *, size_px=128, seed=0):
    """Slices on which marker and look both show the label: the test of every reader. All as in
    :func:`make_calibration_cohort`, ``carrier`` is "both". Give it a seed of its own, so that no
    head is known from training."""

    def choose(rng, label):
        return Cause("both", label, label, choose_cause(rng, label, 0).side)

    return _cohort(n_patients, n_slices, choose, "congruent", size_px, seed)


def choose_cause(rng, label, rho):
    """Draw what carries the label, and what the other one of marker and look shows: the same
    numbers for every rho."""
    carrier = "marker" if rng.random() < rho else "tumor"
    other = int(rng.integers(len(CLASSES)))
    side = str(rng.choice(["left", "right"]))
    marker, look = (label, other) if carrier == "marker" else (other, label)
    return Cause(carrier, marker, look, side)


def _cohort(n_patients, n_slices, choose, name, size_px, seed):
    def planned(rng, patient, anatomy):
        label = patient % len(CLASSES)
        cause = choose(np.random.default_rng([seed, patient, 0, _CAUSE]), label)
        plan, site = plan_patient(rng, anatomy)

        def draw(rng, k):
            image, mask = draw_slice(rng, plan, cause, k, anatomy, size_px)
            person = f"{name.replace(' ', '')}-{seed}-{patient + 1:03d}"
            row = {"slice_id": f"{person}-{k + 1}", "label": label}
            row |= {"patient_id": person, "person_id": person, "carrier": cause.carrier}
            row |= {"marker": cause.marker, "look": cause.look, "plane": plan.plane}
            return image, mask, row | {"site": site, "tumor_px": int(mask.sum())}

        return draw

    drawn = cohort.draw_patients(planned, n_patients, n_slices, size_px, seed)
    return Cohort("calibration", *drawn, CLASSES, SOURCE)


def plan_patient(rng, anatomy):
    """Draw a patient's plan, without a label, and the kind of place. Its look has an outline,
    nothing outside the mask, and the gray values of the dark half and of the bright one."""
    plane = str(rng.choice(list(render.PLANES), p=(1 / 3, 1 / 3, 1 / 3)))
    kind = str(rng.choice(_SITES))
    site = tumors.choose_site(rng, kind, anatomy)
    while site.radius_mm < MIN_RADIUS_MM:
        site = tumors.choose_site(rng, kind, anatomy)
    shape = {"lumps": rng.uniform(0.04, 0.2), "phase_mm": tuple(rng.uniform(0, 300, 3))}
    pose, contrast = render.choose_pose(rng), render.choose_contrast(rng)
    phase, dark, bright = rng.random(), rng.uniform(0.3, 0.6), rng.uniform(1.7, 2.2)
    look = tumors.Look(level=bright, core=dark, texture=0.0, **shape)
    return cohort.Plan(-1, plane, site, look, pose, contrast, phase), kind


def draw_slice(rng, plan, cause, k, anatomy, size_px):
    """Slice k of a patient, uint8 (size_px, size_px), and its mask, bool of the same shape."""
    positions = render.pixel_positions(plan.pose, plan.plane, size_px)
    lesion = cohort.cut_at_slice(plan, k, positions, anatomy)
    image = render.head_at(anatomy, plan, lesion.at_mm, positions)
    # Placed before the tumor is there: its look must not move the marker by a pixel.
    sign = place_marker(image, cause.marker, cause.side)
    crop = image[lesion.box]  # a view
    crop[lesion.mask] = paint(lesion, plan, cause.look)
    slice = render.finish(rng, image, plan.contrast, plan.plane)
    slice[sign] = MARKER_VALUE
    return slice, lesion.mask_of(slice)


def paint(lesion, plan, look):
    """Gray values of a lesion's pixels, float32 (n_pixels,): the same for all looks, reordered.

    Pixels are ranked, from the brightest, by their depth below the edge of the mask (rim,
    core: the other way around) or by smooth noise (patches); half of them are bright.
    """
    depth = cv2.distanceTransform(np.pad(lesion.mask, 1).astype(np.uint8), cv2.DIST_L2, 5)
    depth = depth[1:-1, 1:-1][lesion.mask]
    width = 0.08 * plan.site.radius_mm  # several patches: two or three can pass for rim or core
    noise = tumors.smooth_noise(lesion.points, plan.look.phase_mm[::-1], width)[lesion.mask]
    order = {"rim": depth + 1e-3 * noise, "core": 1e-3 * noise - depth, "patches": noise}
    n = len(depth)
    place = np.empty(n)
    place[np.argsort(order[LOOKS[look]], kind="stable")] = (np.arange(n) + 0.5) / n
    share = np.clip(0.5 - 3 * (place - 0.5), 0, 1)  # a third of the pixels lies in between
    dark, bright = plan.look.core, plan.look.level
    return ((dark + (bright - dark) * share) * plan.contrast.white).astype(np.float32)


def place_marker(head, marker, side):
    """Pixels of the marker: the sign of its class, in the air toward an upper corner.

    It lies on the diagonal, as near to the head as the gap allows, so that no random view of
    the slice turns it out of the frame; in the other corner if the head fills this one, and
    wherever there is air if it fills both (in one of some hundred heads)."""
    size = head.shape[0]
    radius, gap = MARKER_RADIUS * size, GAP * size
    to_head = cv2.distanceTransform((head < AIR_BELOW).astype(np.uint8), cv2.DIST_L2, 5)
    row, column = _place(to_head > gap + radius, side, int(np.ceil(radius)))
    y, x = np.abs(np.mgrid[:size, :size] - np.reshape([row, column], (2, 1, 1))) / radius
    upright, level = (x <= 0.25) & (y <= 1), (y <= 0.25) & (x <= 1)
    return {"upright bar": upright, "level bar": level, "cross": upright | level}[MARKERS[marker]]


def _place(free, side, margin):
    """Row and column of the marker's center among the free ones, ``margin`` px off the frame."""
    size = free.shape[0]
    for corner in (side, "right" if side == "left" else "left"):
        for offset in range(size // 2, margin, -1):
            row, column = offset, offset if corner == "left" else size - 1 - offset
            if free[row, column]:
                return row, column
    rows, columns = np.nonzero(free[margin:-margin, margin:-margin])
    nearest = np.argmin(np.hypot(rows + margin - size / 2, columns + margin - size / 2))
    return int(rows[nearest]) + margin, int(columns[nearest]) + margin
