"""Claims about the audit of cue conflicts, with predictors that follow a known cue."""

import io

import numpy as np
import pandas as pd
import pytest
from test_transplants import head_with_tumor

from tumorcf_lib.data.cohort import Cohort
from tumorcf_lib.edits import conflicts, edits, shams
from tumorcf_lib.edits.conflicts import audit_transplants, followed
from tumorcf_lib.edits.transplants import transplant

CLASSES = ("meningioma", "glioma", "pituitary")
CUE = {0: 2.0, 1: 5.0, 2: 8.0}  # how bright the tumors of a class are, above the head


def make_cohort(n=12):
    """Tumors whose brightness, and heads whose corner, tell the class; two slices a patient."""
    slices, masks, labels = [], [], []
    for i in range(n):
        label = (i // 2) % 3
        image, mask = head_with_tumor(i, (20 + i, 30 + i))
        image[mask] += CUE[label]
        image[0, 0] = label - 1.4
        slices.append(image)
        masks.append(mask)
        labels.append(label)
    people = [f"P{i // 2}" for i in range(n)]
    table = pd.DataFrame(
        {
            "slice_id": [str(100 + i) for i in range(n)],
            "patient_id": people,
            "person_id": people,
            "label": labels,
        }
    )
    return Cohort("toy", np.stack(slices), np.stack(masks), table, CLASSES, "drawn in this test")


def one_hot(labels):
    return np.eye(3, dtype=np.float32)[labels]


def tumor_reader(slices):
    """By the brightest pixels, which are the tumor's."""
    peak = np.sort(slices.reshape(len(slices), -1), axis=1)[:, -20:].mean(axis=1) - 3
    return one_hot(np.abs(peak[:, None] - np.array(list(CUE.values()))).argmin(axis=1))


def head_reader(slices):
    return one_hot(np.rint(slices[:, 0, 0] + 1.4).astype(int))


@pytest.fixture(scope="module")
def cohort():
    return make_cohort()


def test_a_tumor_reader_follows_the_tumor_and_a_head_reader_the_head(cohort):
    for reader, cue in ((tumor_reader, "tumor"), (head_reader, "head")):
        rows = audit_transplants(reader, cohort)
        assert (rows["reason"] == "").all()
        moved_in = rows["label"] != rows["donor_label"]
        told = followed(rows, CLASSES)
        assert (told[moved_in] == cue).all()
        assert (told[~moved_in] == "tumor").all()  # the control: both cues agree


def test_each_slice_has_its_control_and_donors_of_each_other_class_from_other_patients(cohort):
    rows = audit_transplants(head_reader, cohort, n_donors=2)
    label_of = cohort.table.set_index("slice_id")["label"]
    for slice_id, theirs in rows.groupby("slice_id"):
        assert theirs["donor_slice_id"].iloc[0] == slice_id and len(theirs) == 5
        others = theirs.iloc[1:]
        assert (others["donor_person_id"] != others["person_id"]).all()
        assert others["donor_slice_id"].is_unique
        counts = others["donor_label"].value_counts()
        assert counts.to_dict() == {
            name: 2 for k, name in enumerate(CLASSES) if k != label_of[slice_id]
        }
        # Two patients of each class: both are drawn before one comes twice.
        assert others.groupby("donor_label")["donor_person_id"].nunique().eq(2).all()


def test_equal_seeds_give_equal_rows_whatever_the_batch_and_other_seeds_others(cohort):
    first = audit_transplants(tumor_reader, cohort, seed=3)
    again = audit_transplants(tumor_reader, cohort, seed=3, batch_size=5)
    pd.testing.assert_frame_equal(first, again)
    other = audit_transplants(tumor_reader, cohort, seed=4)
    assert (first["donor_slice_id"] != other["donor_slice_id"]).any()
    assert (first["offset_y"] != other["offset_y"]).any()


def test_a_row_read_back_gives_its_slice_again(cohort):
    seen = []
    rows = audit_transplants(lambda s: seen.append(s.copy()) or head_reader(s), cohort)
    shown = np.concatenate(seen)[: len(rows)]
    rows = pd.read_csv(io.StringIO(rows.to_csv(index=False, float_format="%.5g")), dtype=str)
    position = {name: i for i, name in enumerate(cohort.table["slice_id"])}
    for row, wanted in zip(rows.itertuples(), shown, strict=True):
        i, j = position[row.slice_id], position[row.donor_slice_id]
        place = shams.Place(int(row.offset_y), int(row.offset_x), row.mirrored == "True")
        made = transplant(
            cohort.slices[i],
            cohort.masks[i],
            cohort.slices[j],
            cohort.masks[j],
            place,
            dilation_px=int(row.dilation_px),
        )
        np.testing.assert_array_equal(made, wanted)
        assert float(row.edit_rms) == pytest.approx(
            edits.edit_rms(cohort.slices[i], made), rel=1e-4
        )


def test_what_cannot_be_made_has_a_row_that_says_why():
    cohort = make_cohort(6)
    cohort.masks[0] = False  # a host without a tumor is no donor either
    cohort.masks[2] = np.hypot(*np.mgrid[-40:40, -40:40]) < 30  # glioma: as large as a head
    rows = audit_transplants(head_reader, cohort)
    reasons = rows.set_index(["slice_id", "donor_slice_id"])["reason"]
    assert (reasons["100"] == "empty mask").all()
    assert reasons["102", "102"] == "the tumor fits nowhere in this head"
    assert set(reasons[reasons.index.get_level_values(1) == "102"]) <= {
        "empty mask",
        "the tumor fits nowhere in this head",
    }
    assert set(reasons[reasons.index.get_level_values(1) == "100"]) <= {
        "empty mask",
        conflicts.EMPTY_DONOR,
    }
    failed = rows["reason"] != ""
    numbers = rows[["edit_rms", "depth_px", "log_odds", *[f"p_{name}" for name in CLASSES]]]
    assert numbers[failed].isna().all(axis=None) and numbers[~failed].notna().all(axis=None)
    assert set(followed(rows[failed], CLASSES)) == {""}
