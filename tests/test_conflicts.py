import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pictures
import pytest

from tumorcf_lib.config import CLASSES
from tumorcf_lib.edits import audit, conflicts, edits, shams
from tumorcf_lib.edits.conflicts import audit_transplants, followed
from tumorcf_lib.edits.transplants import transplant

CUE = np.array([2.0, 5.0, 8.0])  # how bright the tumors of a class are, above the head


def make_cohort(n=12):
    """Tumors whose brightness, and heads whose corner, tell the class; two slices a patient."""
    made = pictures.cohort(n, at=(24, 32), size=80)
    for image, mask, label in zip(made.slices, made.masks, made.labels, strict=True):
        image[mask] += CUE[label]
        image[0, 0] = label - 1.4
    return made


def tumor_reader(slices):
    peak = np.sort(slices.reshape(len(slices), -1), axis=1)[:, -20:].mean(axis=1) - 3
    return np.eye(3)[np.abs(peak[:, None] - CUE).argmin(axis=1)]


def head_reader(slices):
    return np.eye(3)[np.rint(slices[:, 0, 0] + 1.4).astype(int)]


@pytest.fixture(scope="module")
def cohort():
    return make_cohort()


@pytest.mark.parametrize("reader, cue", [(tumor_reader, "tumor"), (head_reader, "head")])
def test_a_tumor_reader_follows_the_tumor_and_a_head_reader_the_head(cohort, reader, cue):
    rows = audit_transplants(reader, cohort)
    assert (rows["reason"] == "").all()
    moved_in = rows["label"] != rows["donor_label"]
    told = followed(rows, CLASSES)
    assert (told[moved_in] == cue).all()
    assert (told[~moved_in] == "tumor").all()  # the control: both cues agree


def test_each_slice_has_its_control_and_a_donor_of_each_other_class_from_another_patient(cohort):
    for slice_id, theirs in audit_transplants(head_reader, cohort).groupby("slice_id"):
        assert theirs["donor_slice_id"].iloc[0] == slice_id
        others = theirs.iloc[1:]
        assert (others["donor_person_id"] != others["person_id"]).all()
        assert sorted(others["donor_label"]) == sorted(set(CLASSES) - set(theirs["label"]))


def test_equal_seeds_give_equal_rows_whatever_the_batch_and_other_seeds_others(cohort):
    first = audit_transplants(tumor_reader, cohort, seed=3)
    again = audit_transplants(tumor_reader, cohort, seed=3, batch_size=5)
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(audit_transplants(tumor_reader, cohort, seed=4))


def test_a_row_read_back_gives_its_slice_again(cohort):
    seen = []
    rows = audit_transplants(lambda s: seen.append(s.copy()) or head_reader(s), cohort)
    shown = np.concatenate(seen)[: len(rows)]
    rows = pd.read_csv(io.StringIO(rows.to_csv(index=False, float_format="%.5g")))
    for row, wanted in zip(rows.itertuples(), shown, strict=True):
        i, j = row.slice_id - 100, row.donor_slice_id - 100
        host, donor = ((cohort.slices[k], cohort.masks[k]) for k in (i, j))
        place = shams.Place(row.offset_y, row.offset_x, row.mirrored)
        made = transplant(*host, *donor, place, dilation_px=row.dilation_px)
        np.testing.assert_array_equal(made, wanted)
        assert row.edit_rms == pytest.approx(edits.edit_rms(host[0], made), rel=1e-4)


def test_what_cannot_be_made_has_a_row_that_says_why():
    cohort, too_large = make_cohort(6), "the tumor fits nowhere in this head"
    cohort.masks[0] = False  # a host without a tumor is no donor either
    cohort.masks[2] = pictures.dot((80, 80), 40, 40, 30)  # as large as a head
    rows = audit_transplants(head_reader, cohort)
    reasons = rows.set_index(["slice_id", "donor_slice_id"])["reason"]
    assert (reasons["100"] == "empty mask").all() and reasons["102", "102"] == too_large
    of_donor = reasons.groupby(level=1).agg(set)
    assert of_donor["102"] <= {"empty mask", too_large}
    assert of_donor["100"] <= {"empty mask", conflicts.EMPTY_DONOR}
    failed = rows["reason"] != ""
    numbers = rows[["edit_rms", "depth_px", "log_odds", *[f"p_{name}" for name in CLASSES]]]
    assert numbers[failed].isna().all(axis=None) and numbers[~failed].notna().all(axis=None)
    assert set(followed(rows[failed], CLASSES)) == {""}


def test_slices_of_several_channels_are_refused_by_name():
    cohort = pictures.cohort(3)
    cohort = replace(cohort, slices=np.stack([cohort.slices] * 3, axis=3))
    with pytest.raises(audit.InvalidAuditError, match="one channel"):
        conflicts.audit_transplants(lambda slices: np.full((len(slices), 3), 1 / 3), cohort)
