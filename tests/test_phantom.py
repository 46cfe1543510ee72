import operator

import numpy as np
import pytest
from scipy import ndimage

from tumorcf_lib.phantoms import cohort as phantom, slices, solids
from tumorcf_lib.phantoms.anatomy import load_anatomy

MENINGIOMA, GLIOMA, PITUITARY = range(3)


@pytest.fixture(scope="module")
def plans():
    anatomy = load_anatomy()
    return [phantom.plan_patient(np.random.default_rng([5, i]), i % 3, anatomy) for i in range(600)]


def room_mm(points_mm):
    """Signed distance to the dura at points (n, 3) in mm, read voxel by voxel."""
    anatomy = load_anatomy()
    voxels = np.rint(np.asarray(points_mm) - solids.ORIGIN_MM).astype(int)
    return np.array([anatomy.room[tuple(voxel)] / 2 for voxel in voxels])


def test_a_slice_depends_on_its_seed_and_not_on_how_many_others_are_drawn():
    small = phantom.make_cohort(1, 1, size_px=96, seed=3)
    large = phantom.make_cohort(2, 3, size_px=96, seed=3)
    for patient in range(3):
        assert np.array_equal(small.slices[patient], large.slices[3 * patient])
        assert np.array_equal(small.masks[patient], large.masks[3 * patient])
    other = phantom.make_cohort(1, 1, size_px=96, seed=4)
    assert small.slices.tobytes() != other.slices.tobytes()


def test_every_mask_is_one_piece_of_believable_size():
    cohort = phantom.make_cohort(20, 2, seed=11)
    sizes = cohort.masks.sum(axis=(1, 2))
    assert phantom.MIN_TUMOR_PX <= sizes.min() and sizes.max() < 0.12 * 256 * 256
    assert (sizes == cohort.table.tumor_px).all()
    assert all(ndimage.label(mask, np.ones((3, 3)))[1] == 1 for mask in cohort.masks)


def test_masks_lie_inside_the_skull_or_the_sella():
    anatomy = load_anatomy()
    for i in range(30):
        plan = phantom.plan_patient(np.random.default_rng([8, i]), i % 3, anatomy)
        positions = slices.pixel_positions(plan.pose, plan.plane, 128)
        axis = slices.PLANES[plan.plane][2]
        lesion = phantom.cut_lesion(plan, positions, float(plan.site.center_mm[axis]), anatomy)
        assert room_mm(lesion.points[:, lesion.mask].T).max() <= 1.0  # interpolation's reach


def test_each_class_has_its_place_dura_deep_brain_or_sella(plans):
    labels = np.array([plan.label for plan in plans])
    centers = np.array([plan.site.center_mm for plan in plans])
    depth, radii = -room_mm(centers), np.array([plan.site.radii_mm.max() for plan in plans])
    assert (depth < radii)[labels == MENINGIOMA].all()  # the outermost part is beyond the dura
    assert depth[labels == GLIOMA].min() >= 10
    away = np.abs(centers - solids.SELLA_MM)
    near = (np.hypot(away[:, 0], away[:, 1]) < 10) & (away[:, 2] < 20)
    assert near[labels == PITUITARY].all() and near[labels != PITUITARY].mean() < 0.05


def test_pose_and_contrast_do_not_know_the_class(plans):
    labels = np.array([plan.label for plan in plans])
    for name in ("contrast.white", "contrast.noise", "pose.fov_mm", "pose.angle"):
        values = np.array([operator.attrgetter(name)(plan) for plan in plans])
        standard_error = values.std() / np.sqrt(200)  # of one class's mean
        means = [values[labels == label].mean() for label in range(3)]
        assert np.ptp(means) < 5 * standard_error
