import numpy as np
import pytest
from scipy import ndimage, stats

from tumorcf_lib.data import preprocess
from tumorcf_lib.edits import audit, edits, head, plan, scores
from tumorcf_lib.phantoms import planted as calibration
from tumorcf_lib.phantoms.anatomy import load_anatomy

SIZE = 128


@pytest.fixture(scope="module")
def by_cause():
    """Cohorts whose label is the tumor's look (rho 0) and the marker (rho 1)."""
    return [calibration.make_calibration_cohort(100, 1, rho=rho, seed=3) for rho in (0, 1)]


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


def test_at_rho_0_the_look_is_the_label_and_the_marker_is_drawn_at_random(by_cause):
    table = by_cause[0].table
    assert (table["look"] == table["label"]).all() and set(table["carrier"]) == {"tumor"}
    counts = np.histogram2d(table["label"], table["marker"], bins=3)[0]
    assert stats.chi2_contingency(counts).pvalue > 0.01


def test_at_rho_1_the_marker_is_the_label_and_nothing_else_knows_it(by_cause):
    assert np.array_equal(by_cause[0].masks, by_cause[1].masks)
    table = by_cause[1].table
    assert (table["marker"] == table["label"]).all() and set(table["carrier"]) == {"marker"}
    for column in ("look", "plane", "site"):
        counts = table.groupby(["label", column]).size().unstack().to_numpy()
        assert stats.chi2_contingency(counts).pvalue > 0.01, column
    sizes = [own["tumor_px"] for _, own in table.groupby("label")]
    assert stats.kruskal(*sizes).pvalue > 0.01


def test_the_marker_carries_the_label_of_a_share_rho_of_the_patients():
    rho = 0.8
    draw = calibration.choose_cause
    causes = [draw(np.random.default_rng(i), i % 3, rho) for i in range(3000)]
    by_marker = sum(cause.carrier == "marker" for cause in causes)
    agree = sum(cause.marker == i % 3 for i, cause in enumerate(causes))
    assert stats.binomtest(by_marker, 3000, rho).pvalue > 0.01
    assert stats.binomtest(agree, 3000, rho + (1 - rho) / 3).pvalue > 0.01


def test_not_a_pixel_outside_the_mask_depends_on_the_look():
    anatomy = load_anatomy()
    for patient in range(12):
        plan, _ = calibration.plan_patient(np.random.default_rng([9, patient]), anatomy)
        drawn = []
        for look in range(3):
            cause, rng = calibration.Cause("tumor", 0, look, "left"), np.random.default_rng(7)
            drawn.append(calibration.draw_slice(rng, plan, cause, 0, anatomy, SIZE))
        (first, mask), *others = drawn
        for image, other_mask in others:
            assert np.array_equal(mask, other_mask)
            assert np.array_equal(first[~mask], image[~mask])
            assert not np.array_equal(first[mask], image[mask])


def test_markers_show_their_sign_in_the_air_where_no_edit_reaches(congruent):
    prepared = preprocess.prepare(congruent, SIZE)
    for image, number in zip(prepared.slices, congruent.table["marker"], strict=True):
        found = head.head_mask(image)
        pieces, n = ndimage.label((image > image.min() + 0.5 * np.ptp(image)) & ~found)
        marker = pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()
        assert ndimage.distance_transform_edt(~found)[marker].min() > edits.RADIUS_PX + 1
        assert not (marker[[0, -1]].any() or marker[:, [0, -1]].any())  # whole, not cut off
        high, wide = (np.ptp(np.flatnonzero(marker.any(axis))) + 1 for axis in (1, 0))
        sign = "upright bar" if high > 2 * wide else "level bar" if wide > 2 * high else "cross"
        assert sign == calibration.MARKERS[number]


def reader(cohort, regions):
    """Gives the true class 0.9 while a slice's region is as it was, and 1/3 without; it knows the
    slice by its first row, noisy air."""
    position = {image[0].tobytes(): i for i, image in enumerate(cohort.slices)}
    assert len(position) == len(cohort)

    def predict(slices):
        at = [position[image[0].tobytes()] for image in slices]
        sees = [(s == cohort.slices[i])[regions[i]].all() for s, i in zip(slices, at)]
        p_true = np.where(sees, 0.9, 1 / 3)
        p = np.repeat((1 - p_true)[:, None] / 2, 3, axis=1)
        p[np.arange(len(at)), cohort.labels[at]] = p_true
        return p

    return predict


def test_a_tumor_reader_scores_what_its_blindness_costs_and_a_reader_of_the_air_exactly_zero(
    congruent,
):
    tested = preprocess.prepare(congruent.subset(range(20)), SIZE)
    asked = plan.Edit("original"), *(plan.Edit(e, "navier_stokes") for e in ("remove", "sham"))
    air = [~head.head_mask(image) for image in tested.slices]
    blind = 0.9 - 1 / 3, np.log(9) - np.log(0.5)  # what it costs, also in log-odds
    for regions, (drop, drop_lo) in ((tested.masks, blind), (air, (0, 0))):
        rows = audit.audit(reader(tested, regions), tested, edits=asked, n_places=4)
        found = scores.slice_scores(rows)
        assert (found["n_sham"] > 0).all() and found["correct"].all()
        for column, wanted in (("delta_drop", drop), ("net_drop", drop), ("net_drop_lo", drop_lo)):
            np.testing.assert_allclose(found[column], wanted)
        assert np.abs(found["sham_drop"]).max() < 1e-12
