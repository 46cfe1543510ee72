import cv2
import numpy as np
import pandas as pd
import pytest
from pictures import named

from tumorcf_lib import rowfiles
from tumorcf_lib.study import leak as near
from tumorcf_lib.tables import leak as tables


def draw(seed, size=32):
    noise = np.random.default_rng(seed).normal(size=(size, size)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return np.round(400 + 900 * smooth).astype(np.int16)


def compared(slices, patients, labels=None, planes=None):
    slices, n = np.array(slices), len(slices)
    cohort = named(slices, slices > 1e6, labels or [0] * n, patients, classes=("A", "B"))
    return near.duplicate_rows(cohort, planes or [near.UNKNOWN] * n)


def stems(are_copies, n_stems=12, n_slices=3):
    """Rows of stems of two IDs; the second shows noisy copies of the first's slices, or others."""
    rng, slices, patients = np.random.default_rng(9), [], []
    for stem in range(n_stems):
        for k in range(n_slices):
            first = draw([stem, k])
            copy = first + rng.normal(0, 5, first.shape).astype(np.int16)
            slices += [first, copy if are_copies else draw([stem, k, 1])]
            patients += [f"MR{stem:03d}", f"MR{stem:03d}B"]
    return compared(slices, patients)


def test_a_hash_knows_a_slice_by_what_it_shows_and_not_by_brightness_size_or_noise():
    slice = draw(1, 64)
    noise = np.random.default_rng(0).normal(0, 5, slice.shape).astype(np.int16)
    enlarged = np.kron(slice, np.ones((4, 4), np.int16))
    first, *same, other = near.hashes([slice, 3 * slice + 700, enlarged, slice + noise, draw(2)])
    assert all((first != copy).sum() <= 16 for copy in same)
    assert 90 < (first != other).sum() < 166  # of 256, about half


@pytest.mark.parametrize(("planes", "block"), [("aaaaaaaaa", near.BLOCK), ("aabaabaaa", 2)])
def test_every_slice_of_a_stem_meets_every_id_of_its_class_and_plane_once(
    planes, block, monkeypatch
):
    monkeypatch.setattr(near, "BLOCK", block)
    patients = ["MR1", "MR1", "MR1B", "MR2", "MR2", "77", "MR1B", "MR1", "88"]
    slices = [draw(seed) for seed in range(9)]
    rows = compared(slices, patients, [0] * 8 + [1], list(planes))
    bits = near.hashes(slices)
    expected = []
    for i in (0, 1, 2, 6, 7):
        for partner in ("77", "MR1", "MR1B", "MR2"):  # 88 is of another class
            kind = tables.SAME_ID if partner == patients[i] else tables.SAME_STEM
            kind = {"MR2": tables.SAME_SERIES, "77": tables.OTHER_SERIES}.get(partner, kind)
            others = [j for j in range(9) if patients[j] == partner and j != i]
            apart = [(bits[i] != bits[j]).sum() for j in others if planes[j] == planes[i]]
            if apart:
                expected.append([i, partner, kind, len(apart), min(apart)])
    columns = ["slice_id", "partner_id", "kind", "n_candidates", "distance"]
    found = rows.sort_values(["slice_id", "partner_id"])[columns]
    assert found.to_numpy().tolist() == expected


def test_without_stems_there_are_no_rows_and_tables_that_can_be_written():
    rows = rowfiles.round_trip(compared([draw(0), draw(1)], ["1", "2"]))
    for table in (
        tables.duplicates_table(rows, n_resamples=20),
        tables.difference_table(rows, n_resamples=20),
        tables.stems_table(rows),
    ):
        assert len(rowfiles.round_trip(table)) == 0


def test_near_is_what_one_of_a_thousand_strangers_is():
    assert tables.threshold(np.array([40] * 998 + [12] * 2)) == 11  # two are 0.2 %
    assert tables.threshold(np.zeros(10, int)) == -1


def test_planted_copies_are_nearer_than_strangers_and_other_slices_are_not():
    rows = stems(are_copies=True)
    table = tables.duplicates_table(rows, n_resamples=200).set_index(["kind", "measure"])
    assert table.loc[(tables.SAME_STEM, "near duplicate"), "effect"] == 1
    assert table.loc[(tables.SAME_SERIES, "near duplicate"), "effect"] <= tables.NEAR_SHARE
    assert table.loc[(tables.SAME_STEM, "distance"), "n_persons"] == 12
    nearer = tables.difference_table(rows, n_resamples=200).set_index("measure")
    assert nearer.loc["distance", "high"] < 0 < nearer.loc["near duplicate", "low"]
    assert (nearer["n_persons"] == 12).all()
    assert (tables.stems_table(rows)["share_farther"] == 1).all()
    difference = tables.difference_table(stems(are_copies=False), n_resamples=200)
    row = difference.set_index("measure").loc["distance"]
    assert row["low"] < 0 < row["high"]


def test_ids_with_many_slices_are_compared_with_strangers_that_have_as_many():
    """Nearer only because there are more to choose from: no difference."""
    rows = []
    for stem, i in np.ndindex(12, 4):
        who = 10 * stem + i, f"MR{stem}", f"MR{stem}", "A"
        rows.append([*who, tables.SAME_STEM, f"MR{stem}B", 30, 90 + 3 * i])
        rows.append([*who, tables.SAME_SERIES, "MR90", 5, 150 + 3 * i])
        rows.append([*who, tables.SAME_SERIES, "MR91", 30, 90 + 3 * i])
    columns = "slice_id patient_id person_id label kind partner_id n_candidates distance".split()
    rows = pd.DataFrame(rows, columns=columns)
    means = rows.groupby("kind")["distance"].mean()
    assert means[tables.SAME_SERIES] - means[tables.SAME_STEM] == 30
    row = tables.difference_table(rows, n_resamples=100).set_index("measure").loc["distance"]
    assert row["effect"] == row["low"] == row["high"] == 0
