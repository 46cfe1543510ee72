"""Drawing phantoms, against resampling the template's volumes anew for every slice."""

import numpy as np
from scipy import ndimage

from benchmarks.measure import compare
from tumorcf_lib.phantoms import cohort

SIZES = {"full": (20, 4, 256), "tiny": (1, 1, 64)}


def run(size, repeats):
    """Rows: the naive generator, ours."""
    n_patients, n_slices, size_px = SIZES[size]
    n = 3 * n_patients * n_slices
    n_naive = max(1, n // 5)  # it is slow, and each of its slices costs the same
    t1, white = _volumes()
    cohort.make_cohort(1, 1, size_px=64)  # draws the head, once a process
    cases = {
        "naive: volumes resampled slice by slice": (
            n_naive,
            lambda: [naive_slice(i, t1, white, size_px) for i in range(n_naive)],
        ),
        "phantom.make_cohort": lambda: cohort.make_cohort(n_patients, n_slices, size_px=size_px),
    }
    return compare(
        "phantom", f"{n} slices, {size_px} px", cases, n=n, unit="slices", repeats=repeats
    )


def naive_slice(seed, t1, white, size_px):
    """A slice and its mask as one would draw them at first: less in it than in ours.

    The template's head at a random plane, level, turn and zoom, with a rim for the skull, one
    ellipsoid with a soft edge and a halo, coil shading, and Rician noise.
    """
    rng = np.random.default_rng(seed)
    axis = rng.integers(3)
    turn, zoom = rng.uniform(-0.2, 0.2), 240 / size_px * rng.uniform(0.9, 1.1)
    y, x = (np.mgrid[:size_px, :size_px] - (size_px - 1) / 2) * zoom
    turned = [np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y]
    places = np.empty((3, size_px, size_px))
    places[axis] = rng.uniform(-25, 25)
    for other, values in zip([a for a in range(3) if a != axis], turned):
        places[other] = values
    voxels = places + (np.array(t1.shape) / 2)[:, None, None]
    image, matter = (ndimage.map_coordinates(v, voxels, order=1) for v in (t1, white))
    outside = ndimage.distance_transform_edt(image < 0.15)
    image = np.where((outside > 2) & (outside < 8), 0.7, image + 0.1 * matter)
    radii, center = rng.uniform(8, 22, 3), rng.uniform(-35, 35, 3)
    center[axis] = places[axis, 0, 0]
    depth = 1 - np.sqrt(sum(((p - c) / r) ** 2 for p, c, r in zip(places, center, radii)))
    mask = depth > 0
    halo = ndimage.gaussian_filter(mask.astype(float), 6)
    image = image - 0.2 * halo + 0.5 * ndimage.gaussian_filter(mask.astype(float), 1)
    shading = ndimage.gaussian_filter(rng.normal(size=(size_px, size_px)), size_px / 4)
    image = image * (1 + 0.3 * shading / np.abs(shading).max())
    noise = rng.normal(0, 0.03, (2, size_px, size_px))
    image = np.hypot(image + noise[0], noise[1])
    return np.clip(image * 180, 0, 255).astype(np.uint8), mask


def _volumes():
    from nilearn import datasets

    loaded = (
        datasets.load_mni152_template(resolution=1),
        datasets.load_mni152_wm_template(resolution=1),
    )
    return [np.asarray(image.dataobj, np.float32) / image.dataobj[:].max() for image in loaded]
