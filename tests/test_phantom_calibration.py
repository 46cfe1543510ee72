"""Calibration cohorts: the label is where we put it, and nowhere else."""

import numpy as np
import pytest
from scipy import ndimage, stats
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tumorcf_lib.data import preprocess
from tumorcf_lib.edits import edits, head, regions, shams
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


def drawn_marker(image):
    """The largest patch of the marker's value that lies apart from the head, cropped."""
    pieces, n = ndimage.label(image == calibration.MARKER_VALUE)
    bright = image > 40
    best = max(range(1, n + 1), key=lambda k: (pieces == k).sum() * is_apart(pieces == k, bright))
    return pieces == best


def is_apart(piece, bright):
    return not (ndimage.binary_dilation(piece, iterations=2) & bright & ~piece).any()


def kind_of(marker):
    """Which sign it is, by its width and height alone."""
    rows, columns = np.flatnonzero(marker.any(1)), np.flatnonzero(marker.any(0))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    if height > 2 * width:
        return "upright bar"
    return "level bar" if width > 2 * height else "cross"


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    a, b, c = (
        calibration.make_calibration_cohort(2, 2, rho=0.5, size_px=96, seed=s) for s in (1, 1, 2)
    )
    assert a.slices.tobytes() == b.slices.tobytes() and a.masks.tobytes() == b.masks.tobytes()
    assert a.table.equals(b.table) and a.slices.tobytes() != c.slices.tobytes()


@pytest.mark.parametrize("cohort", ["tumor_cohort", "marker_cohort", "congruent"])
def test_the_table_names_the_marker_that_is_drawn(cohort, request):
    cohort = request.getfixturevalue(cohort)
    named = [calibration.MARKERS[k] for k in cohort.table["marker"]]
    assert [kind_of(drawn_marker(image)) for image in cohort.slices] == named


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


def test_at_rho_1_the_marker_is_the_label_and_nothing_else_knows_it(marker_cohort):
    table = marker_cohort.table
    assert (table["marker"] == table["label"]).all() and set(table["carrier"]) == {"marker"}
    for column in ("look", "plane", "site"):
        counts = table.groupby(["label", column]).size().unstack().to_numpy()
        assert stats.chi2_contingency(counts).pvalue > 0.01, column
    sizes = [own["tumor_px"] for _, own in table.groupby("label")]
    assert stats.kruskal(*sizes).pvalue > 0.01


@pytest.mark.parametrize("rho", [0.5, 0.9])
def test_the_marker_carries_the_label_of_a_share_rho_of_the_patients(rho):
    rngs = [np.random.default_rng(i) for i in range(3000)]
    causes = [calibration.choose_cause(rng, i % 3, rho) for i, rng in enumerate(rngs)]
    by_marker = sum(cause.carrier == "marker" for cause in causes)
    agree = sum(cause.marker == i % 3 for i, cause in enumerate(causes))
    assert stats.binomtest(by_marker, 3000, rho).pvalue > 0.01
    assert stats.binomtest(agree, 3000, rho + (1 - rho) / 3).pvalue > 0.01


def test_heads_and_tumor_outlines_are_the_same_for_every_rho(tumor_cohort, marker_cohort):
    assert np.array_equal(tumor_cohort.masks, marker_cohort.masks)


def test_not_a_pixel_outside_the_mask_depends_on_the_look():
    anatomy = load_anatomy()
    for patient in range(12):
        plan, values, _ = calibration.plan_patient(np.random.default_rng([9, patient]), anatomy)
        drawn = [
            calibration.draw_slice(
                np.random.default_rng(7),
                plan,
                values,
                calibration.Cause("tumor", 0, look, "left"),
                0,
                anatomy,
                SIZE,
            )
            for look in range(3)
        ]
        (first, mask), *others = drawn
        for image, other_mask in others:
            assert np.array_equal(mask, other_mask)
            assert np.array_equal(first[~mask], image[~mask])
            assert not np.array_equal(first[mask], image[mask])


def test_markers_lie_in_the_air_where_no_infill_of_a_sham_can_look(congruent):
    for image in preprocess.prepare(congruent, SIZE).slices:
        marker = drawn_marker_z(image)
        to_head = ndimage.distance_transform_edt(~head.head_mask(image))
        assert to_head[marker].min() > edits.RADIUS_PX + 1
        assert not (marker[[0, -1]].any() or marker[:, [0, -1]].any())  # whole, not cut off


def drawn_marker_z(image):
    """The same on a prepared slice: what is bright, outside the head, in one piece."""
    outside = (image > image.min() + 0.5 * np.ptp(image)) & ~head.head_mask(image)
    pieces, n = ndimage.label(outside)
    return pieces == 1 + np.bincount(pieces.ravel())[1:].argmax() if n else outside


def test_no_sham_and_no_removal_changes_a_pixel_of_the_marker(congruent):
    prepared = preprocess.prepare(congruent, SIZE)
    for i in range(0, len(prepared), 5):
        image, mask = prepared.slices[i], prepared.masks[i]
        marker = drawn_marker_z(image)
        assert np.array_equal(edits.remove(image, mask)[marker], image[marker])
        legal = shams.legal_places(mask, head.head_mask(image), tumor=mask)
        assert len(legal)
        for y, x, mirrored in legal[:: max(1, len(legal) // 200)]:
            assert not (shams.move(mask, shams.Place(y, x, bool(mirrored))) & marker).any()


def test_tumor_blanked_slices_hold_nothing_of_the_look():
    """A probe on everything that a blanked slice shows gets as many right as chance does."""
    cohort = calibration.make_calibration_cohort(300, 1, rho=0, size_px=64, seed=8)
    prepared = preprocess.prepare(cohort, 64)
    blanked = [edits.background(s, m) for s, m in zip(prepared.slices, prepared.masks)]
    features = np.array([probe_features(s, m) for s, m in zip(blanked, prepared.masks)])
    labels = cohort.labels
    trained = np.arange(len(labels)) < 600  # persons are apart: one slice each
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    right = (
        probe.fit(features[trained], labels[trained]).predict(features[~trained])
        == labels[~trained]
    ).sum()
    assert stats.binomtest(int(right), int((~trained).sum()), 1 / 3).pvalue > 0.01


def probe_features(image, mask):
    """Coarse picture, gray levels around and away from the hole, its size and outline."""
    ring = regions.dilate(mask, 3) & ~mask
    small = image.reshape(16, 4, 16, 4).mean(axis=(1, 3)).ravel()
    levels = [
        image.min(),
        image.max(),
        image.mean(),
        image.std(),
        image[ring].mean(),
        image[ring].std(),
        image[~mask].mean(),
        image[~mask].std(),
        mask.sum(),
    ]
    return np.concatenate([small, levels, np.percentile(image, [5, 25, 50, 75, 95, 99])])


def test_the_same_probe_finds_the_look_where_the_tumor_is_left():
    cohort = calibration.make_calibration_cohort(100, 1, rho=0, size_px=64, seed=8)
    prepared = preprocess.prepare(cohort, 64)
    depths = [ndimage.distance_transform_edt(mask) for mask in prepared.masks]
    inner = [
        image[depth > 0.6 * depth.max()].mean() - image[mask].mean()
        for image, mask, depth in zip(prepared.slices, prepared.masks, depths)
    ]
    labels = cohort.labels
    probe = LogisticRegression().fit(np.array(inner)[:, None], labels)
    assert probe.score(np.array(inner)[:, None], labels) > 0.6
