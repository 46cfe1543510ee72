"""How a phantom head becomes a slice: pose, contrast, sampling, coil shading and noise."""

from dataclasses import dataclass

import cv2
import numpy as np

from tumorcf_lib.phantoms import solids

PLANES = {"axial": (0, 1, 2), "coronal": (0, 2, 1), "sagittal": (1, 2, 0)}
"""Template axis along the columns, along the rows (upward), and across the slices."""

_CENTER_MM = {"axial": (0.0, -14.0), "coronal": (0.0, -16.0), "sagittal": (-6.0, -16.0)}


@dataclass(frozen=True)
class Pose:
    """How a head lies in the image: field of view, rotation, stretch, shift, smooth warp."""

    fov_mm: float
    angle: float  # radians
    stretch: tuple[float, float]
    shift_mm: tuple[float, float]
    warp_mm: np.ndarray  # (5, 5, 2)


@dataclass(frozen=True)
class Contrast:
    """Gray value of each tissue byte, and what the scanner adds to it."""

    levels: np.ndarray  # (256,), scalp fat is about 1
    white: float  # that of white matter
    shading: np.ndarray  # (4, 4), logarithm of the coil's sensitivity
    fading: float  # how fast the signal falls toward the neck
    noise: float  # standard deviation in each of the two channels
    blur_mm: float


def choose_pose(rng):
    """A random pose, alike for all classes and planes."""
    return Pose(
        fov_mm=rng.uniform(234, 258),
        angle=np.deg2rad(np.clip(rng.normal(0, 4), -12, 12)),
        stretch=tuple(np.exp(rng.normal(0, 0.03, 2))),
        shift_mm=tuple(rng.normal(0, 3, 2)),
        warp_mm=rng.normal(0, 2.2, (5, 5, 2)).astype(np.float32),
    )


def choose_contrast(rng):
    """Random gray values of the tissues, coil shading and noise."""
    white = rng.uniform(0.38, 0.48)
    gray = white * rng.uniform(0.82, 0.95)
    fluid = white * rng.uniform(0.22, 0.42)
    fat = rng.uniform(0.78, 1.1)
    muscle = white * rng.uniform(0.7, 1.0)
    levels = np.zeros(256, np.float32)
    for tissue, level in {
        solids.AIR: 0.0,
        solids.SKIN: 0.75 * fat,
        solids.FAT: fat,
        solids.BONE: rng.uniform(0.04, 0.1),
        solids.MARROW: fat * rng.uniform(0.25, 0.55),
        solids.DURA: rng.uniform(0.25, 0.6),
        solids.CSF: fluid,
        solids.FALX: white * rng.uniform(0.8, 1.3),
        solids.CAVITY: 0.02,
        solids.VESSEL: white * rng.uniform(1.2, 1.8),
        solids.EYE: 0.45 * white,
        solids.MUSCLE: muscle,
        solids.GLAND: white * rng.uniform(1.1, 1.5),
    }.items():
        levels[tissue] = level
    levels[solids.SOFT : solids.BRAIN] = np.interp(
        np.arange(32), [0, 8, 18, 31], [0.3 * muscle, 0.8 * muscle, 1.1 * muscle, 0.85 * fat]
    )
    sulci = rng.uniform(-0.05, 0.07)  # wide or narrow: the gray value where fluid turns gray
    levels[solids.BRAIN :] = np.interp(
        np.arange(192) / 191,
        [0.1, 0.3 + sulci, 0.52 + sulci, 0.7, 0.85],
        [fluid, 0.4 * fluid + 0.6 * gray, gray, (gray + white) / 2, white],
    )
    return Contrast(
        levels=levels,
        white=white,
        shading=rng.normal(0, 0.12, (4, 4)).astype(np.float32),
        fading=rng.uniform(0.1, 0.9),
        noise=rng.uniform(0.008, 0.024),
        blur_mm=rng.uniform(0.5, 0.8),
    )


def pixel_positions(pose, plane, size_px):
    """Template position of each pixel, (2, size_px, size_px): mm along the columns' and rows' axis.

    Row 0 of the image is the top of the head (front, in axial slices); in sagittal slices the face
    looks to the left.

    >>> pose = Pose(200.0, 0.0, (1.0, 1.0), (0.0, 0.0), np.zeros((5, 5, 2), np.float32))
    >>> pixel_positions(pose, "axial", 2)[:, 0, 0].tolist()
    [-50.0, 36.0]
    """
    mm = (np.arange(size_px, dtype=np.float32) - (size_px - 1) / 2) * (pose.fov_mm / size_px)
    right, up = mm[None, :], -mm[:, None]
    if plane == "sagittal":
        right = -right
    cos, sin = np.float32(np.cos(pose.angle)), np.float32(np.sin(pose.angle))
    out = cv2.resize(pose.warp_mm, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
    out = np.ascontiguousarray(out.transpose(2, 0, 1))  # (2, height, width)
    offset = np.add(_CENTER_MM[plane], pose.shift_mm).astype(np.float32)
    out[0] += (cos * right - sin * up) * np.float32(pose.stretch[0]) + offset[0]
    out[1] += (sin * right + cos * up) * np.float32(pose.stretch[1]) + offset[1]
    return out


def sample(section, positions, plane):
    """A section of the template's grid, interpolated at positions in mm."""
    across, up, _ = PLANES[plane]
    columns = positions[1] - solids.ORIGIN_MM[up]
    rows = positions[0] - solids.ORIGIN_MM[across]
    return cv2.remap(
        section, columns, rows, interpolation=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def gray_section(anatomy, contrast, plane, at_mm, pixel_mm):
    """Gray values of the head at one level, over the thickness of a slice (about 5 mm)."""
    section = 0
    for step_mm, weight in ((-2, 0.27), (0, 0.46), (2, 0.27)):
        tissue = _cut(anatomy.tissue, plane, at_mm, step_mm)
        section = section + np.float32(weight) * contrast.levels[tissue]
    blur = np.hypot(contrast.blur_mm, 0.4 * max(pixel_mm - 1, 0))
    return cv2.GaussianBlur(section, (0, 0), blur)


def head_at(anatomy, plan, at_mm, positions):
    """The head of a plan at one level, at positions of pixels in mm, without noise."""
    pixel_mm = plan.pose.fov_mm / positions.shape[1]
    section = gray_section(anatomy, plan.contrast, plan.plane, at_mm, pixel_mm)
    return sample(section, positions, plan.plane)


def room_section(anatomy, plane, at_mm):
    """Distance in mm to the border of the room for tumors at one level, negative inside."""
    return _cut(anatomy.room, plane, at_mm).astype(np.float32) * np.float32(0.5)


def _cut(volume, plane, at_mm, step_mm=0):
    """The voxels nearest to a level, or so many voxels above it."""
    axis = PLANES[plane][2]
    index = int(round(at_mm - float(solids.ORIGIN_MM[axis]))) + step_mm
    index = min(max(index, 0), volume.shape[axis] - 1)
    return np.ascontiguousarray(np.take(volume, index, axis=axis))


def finish(rng, image, contrast, plane):
    """Coil shading, Rician noise and rounding to 8 bits: uint8, same shape. 256 pixels a side get
    the plan's noise, smaller slices less: they average more."""
    size = image.shape[0]
    shading = cv2.resize(contrast.shading, (size, size), interpolation=cv2.INTER_CUBIC)
    if plane != "axial":
        height = np.linspace(1, 0, size, dtype=np.float32)[:, None]
        shading -= contrast.fading * np.clip(0.3 - height, 0, None) * 5
    image = image * np.exp(shading)
    noise = contrast.noise * size / 256
    image += noise * rng.standard_normal(image.shape, np.float32)
    image = np.hypot(image, noise * rng.standard_normal(image.shape, np.float32))
    return np.clip(np.rint(image * 185), 0, 255).astype(np.uint8)
