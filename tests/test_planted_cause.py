"""The whole audit on calibration slices, with readers whose Net-Drop we can calculate.

Each reader gives the true class 0.9 while it sees what it reads, and 1/3 without. So a
tumor-reader's Net-Drop is 0.9 - 1/3 on every slice, and a marker-reader's exactly 0.
"""

import numpy as np
import pytest
from scipy import ndimage

from tumorcf_lib.data import preprocess
from tumorcf_lib.edits import audit, plan
from tumorcf_lib.edits.scores import slice_scores
from tumorcf_lib.phantoms import planted as phantoms

SIZE, SEES, BLIND = 96, 0.9, 1 / 3
DROP = SEES - BLIND
EDITS = (plan.Edit("original"), *(plan.Edit(e, "navier_stokes") for e in ("remove", "sham")))
DROP_LO = np.log(0.9 / 0.1) - np.log((1 / 3) / (2 / 3))


@pytest.fixture(scope="module")
def tested():
    return preprocess.prepare(phantoms.make_congruent_cohort(10, 1, size_px=SIZE, seed=2), SIZE)


def answer(labels, p_true):
    """Probabilities (n, 3) that give each label its p and share the rest."""
    p = np.repeat((1 - np.asarray(p_true))[:, None] / 2, 3, axis=1)
    p[np.arange(len(labels)), labels] = p_true
    return p


def known(cohort):
    """Position of a slice in the cohort, by its first row: noisy air, which no edit touches."""
    position = {image[0].tobytes(): i for i, image in enumerate(cohort.slices)}
    assert len(position) == len(cohort)
    return lambda slices: [position[image[0].tobytes()] for image in slices]


def tumor_reader(cohort):
    """Answers right while the tumor's pixels are as they were."""
    which = known(cohort)

    def predict(slices):
        at = which(slices)
        sees = [(s == cohort.slices[i])[cohort.masks[i]].all() for s, i in zip(slices, at)]
        return answer(cohort.labels[at], np.where(sees, SEES, BLIND))

    return predict


def marker_reader(slices):
    """Looks at the sign nearest to an upper corner and nowhere else; knows no cohort."""
    labels = []
    for image in slices:
        pieces, n = ndimage.label(image > 0.5)
        centers = np.array(ndimage.center_of_mass(pieces > 0, pieces, range(1, n + 1)))
        right = image.shape[1] - 1
        far = np.minimum(np.hypot(*centers.T), np.hypot(centers[:, 0], right - centers[:, 1]))
        sign = pieces == 1 + far.argmin()
        height, width = (np.ptp(np.flatnonzero(sign.any(axis))) + 1 for axis in (1, 0))
        labels.append(0 if height > 2 * width else 1 if width > 2 * height else 2)
    return answer(np.array(labels), np.full(len(labels), SEES))


def test_a_tumor_reader_scores_what_its_blindness_costs_and_a_marker_reader_exactly_zero(tested):
    for predict, drop, drop_lo in ((tumor_reader(tested), DROP, DROP_LO), (marker_reader, 0, 0)):
        rows = audit.audit(predict, tested, edits=EDITS, n_places=4)
        scores = slice_scores(rows)
        assert (scores["n_sham"] > 0).all() and scores["correct"].all()
        for column, wanted in (("delta_drop", drop), ("net_drop", drop), ("net_drop_lo", drop_lo)):
            np.testing.assert_allclose(scores[column], wanted)
        assert np.abs(scores["sham_drop"]).max() < 1e-12
