import numpy as np
import pytest
from scipy import ndimage, stats

from tumorcf_lib.data import preprocess
from tumorcf_lib.edits import edits, head
from tumorcf_lib.phantoms import planted as calibration
from tumorcf_lib.phantoms.anatomy import load_anatomy

SIZE = 128


@pytest.fixture(scope="module")
def tumor_cohort():
    return calibration.make_calibration_cohort(100, 1, rho=0, seed=3)


@pytest.fixture(scope="module")
def marker_cohort():
    return calibration.make_calibration_cohort(100, 1, rho=1, seed=3)


@pytest.fixture(scope="module")
def congruent():
    return calibration.make_congruent_cohort(30, 1, seed=4)


def test_the_table_names_the_look_that_is_drawn(congruent):
    """Read from the pixels: where the bright half lies, seen from the edge of the mask."""
    for image, mask, look in zip(congruent.slices, congruent.masks, congruent.table["look"]):
        depth = ndimage.distance_transform_edt(mask)[mask]
        bright = stats.spearmanr(depth, image[mask]).statistic
        kind = "rim" if bright < -0.6 else "core" if bright > 0.6 else "patches"
        assert kind == calibration.LOOKS[look]


def test_at_rho_0_the_look_is_the_label_and_the_marker_is_drawn_at_random(tumor_cohort):
    table = tumor_cohort.table
    assert (table["look"] == table["label"]).all() and set(table["carrier"]) == {"tumor"}
    counts = np.histogram2d(table["label"], table["marker"], bins=3)[0]
    assert stats.chi2_contingency(counts).pvalue > 0.01


def test_at_rho_1_the_marker_is_the_label_and_nothing_else_knows_it(marker_cohort, tumor_cohort):
    assert np.array_equal(tumor_cohort.masks, marker_cohort.masks)
    table = marker_cohort.table
    assert (table["marker"] == table["label"]).all() and set(table["carrier"]) == {"marker"}
    for column in ("look", "plane", "site"):
        counts = table.groupby(["label", column]).size().unstack().to_numpy()
        assert stats.chi2_contingency(counts).pvalue > 0.01, column
    sizes = [own["tumor_px"] for _, own in table.groupby("label")]
    assert stats.kruskal(*sizes).pvalue > 0.01


def test_the_marker_carries_the_label_of_a_share_rho_of_the_patients():
    rho = 0.8
    rngs = [np.random.default_rng(i) for i in range(3000)]
    causes = [calibration.choose_cause(rng, i % 3, rho) for i, rng in enumerate(rngs)]
    by_marker = sum(cause.carrier == "marker" for cause in causes)
    agree = sum(cause.marker == i % 3 for i, cause in enumerate(causes))
    assert stats.binomtest(by_marker, 3000, rho).pvalue > 0.01
    assert stats.binomtest(agree, 3000, rho + (1 - rho) / 3).pvalue > 0.01


def test_not_a_pixel_outside_the_mask_depends_on_the_look():
    anatomy = load_anatomy()
    for patient in range(12):
        plan, _ = calibration.plan_patient(np.random.default_rng([9, patient]), anatomy)
        causes = (calibration.Cause("tumor", 0, look, "left") for look in range(3))
        drawn = [
            calibration.draw_slice(np.random.default_rng(7), plan, cause, 0, anatomy, SIZE)
            for cause in causes
        ]
        (first, mask), *others = drawn
        for image, other_mask in others:
            assert np.array_equal(mask, other_mask)
            assert np.array_equal(first[~mask], image[~mask])
            assert not np.array_equal(first[mask], image[mask])


def test_markers_lie_in_the_air_where_no_edit_reaches(congruent):
    prepared = preprocess.prepare(congruent, SIZE)
    for image in prepared.slices:
        found = head.head_mask(image)
        pieces, n = ndimage.label((image > image.min() + 0.5 * np.ptp(image)) & ~found)
        marker = pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()
        assert ndimage.distance_transform_edt(~found)[marker].min() > edits.RADIUS_PX + 1
        assert not (marker[[0, -1]].any() or marker[:, [0, -1]].any())  # whole, not cut off
