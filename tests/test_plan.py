"""Claims about what is planned for a slice, and about making it again from its row."""

import io

import cv2
import numpy as np
import pandas as pd
import pytest
import real_cheng

from tumorcf_lib.data import preprocess
from tumorcf_lib.edits import edits, head, infills, plan, regions, shams
from tumorcf_lib.edits.plan import Edit

SIZE = 64
TUMOR = (slice(20, 27), slice(30, 36))


def head_with_tumor(seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    inside = np.hypot(y - 31.5, x - 31.5) < 27
    image = np.where(inside, 1 + rng.normal(0, 0.2, inside.shape), -1.5).astype(np.float32)
    mask = np.zeros(inside.shape, bool)
    mask[TUMOR] = True
    mask[20, 30] = False  # not its own mirror image
    image[mask] += 2
    return image, mask


def all_rows(image, mask, edits_planned=plan.HEADLINE_EDITS, n_places=3, rng_key=(0, "7")):
    made = list(plan.edits_of(image, mask, edits_planned, n_places, rng_key))
    rows = pd.DataFrame([row for row, _ in made], columns=list(plan.ROW_DTYPES))
    return rows.astype(plan.ROW_DTYPES), [edited for _, edited in made]


OTHER_INFILLS = [name for name in infills.INFILLS if name != infills.HEADLINE_INFILL]
DILATIONS_AT_512 = [-8, 24, 40]  # -1, 3 and 5 at 64 px
EVERYTHING = (
    plan.HEADLINE_EDITS
    + plan.control_edits(OTHER_INFILLS, DILATIONS_AT_512, SIZE, 4)
    + plan.matched_shams(3)
    + tuple(Edit("sham_only", dilation_px=dilation) for dilation in (-1, 3))
)


def as_csv(rows):
    """The rows as they come back from a file with five significant digits."""
    return pd.read_csv(io.StringIO(rows.to_csv(index=False, float_format="%.5g")))


def check_recreated(image, mask, rows, edited):
    """Every row with an edit gives it again, fresh or read back; how many there were."""
    rows = rows.assign(slice_id="7")
    for table in (rows, as_csv(rows)):
        n = 0
        for (_, row), wanted in zip(table.iterrows(), edited, strict=True):
            if wanted is None:
                with pytest.raises(plan.NoEditError):
                    plan.recreate(image, mask, row)
                continue
            again = plan.recreate(image, mask, row)
            assert again.dtype == np.float32
            np.testing.assert_array_equal(again, wanted)
            n += 1
    return n


@pytest.mark.parametrize("seed", range(3))
def test_every_row_recreates_its_slice_bit_by_bit_even_from_a_csv(seed):
    image, mask = head_with_tumor(seed)
    rows, edited = all_rows(image, mask, EVERYTHING)
    assert set(rows["edit"]) == set(plan.ACTIONS) and rows["mirrored"].any()
    assert set(rows["infill"]) == {"", *infills.INFILLS}
    assert set(rows["dilation_px"]) == {0, -1, 3, 5}
    assert check_recreated(image, mask, rows, edited) >= 40


def symmetric_head_with_tumor():
    """A head whose halves mirror each other, with a tumor in the left one."""
    rng = np.random.default_rng(5)
    image, mask = head_with_tumor()
    image = np.where(image > -1, 1 + cv2.GaussianBlur(rng.normal(0, 2, image.shape), (0, 0), 2), -1)
    image[:, SIZE // 2 :] = image[:, SIZE // 2 - 1 :: -1]
    mask = np.roll(mask, -15, axis=1)
    image[mask] += 2
    return image.astype(np.float32), mask


def test_mirror_rows_are_recreated_where_there_is_a_mirror_image_and_say_why_not_elsewhere():
    image, mask = symmetric_head_with_tumor()
    rows, edited = all_rows(image, mask, plan.control_edits(["mirror"], [], SIZE, 40))
    assert rows["edit"].tolist() == ["remove"] + ["sham"] * 40
    made = [array is not None for array in edited]
    assert made[0] and 5 <= sum(made) < 41
    assert set(rows["reason"]) <= {
        "",
        "mirror image touches the tumor",
        "mirror image touches the region",
        "mirror image leaves the head",
    }
    assert check_recreated(image, mask, rows, edited) == sum(made)
    for row, array in zip(rows.itertuples(), edited, strict=True):
        assert (array is None) == (row.reason != "") == np.isnan(row.edit_rms)
        assert np.isfinite(row.depth_px)


@pytest.mark.real
def test_a_hundred_rows_of_real_slices_are_recreated_bit_by_bit():
    cohort = real_cheng.cohort()
    rng = np.random.default_rng(6)
    planned = plan.HEADLINE_EDITS + plan.control_edits(OTHER_INFILLS, [-2, 2, 5, 10, 20], 224, 5)
    n = 0
    for i in rng.choice(len(cohort), 10, replace=False):
        image = preprocess.network_input(cohort.slices[i], 224)
        mask = preprocess.resize_mask(np.asarray(cohort.masks[i]).astype(bool), 224)
        rows, edited = all_rows(image, mask, planned, 20, (0, cohort.table["slice_id"].iat[i]))
        some = rng.choice(len(rows), 14, replace=False)
        n += check_recreated(image, mask, rows.iloc[some], [edited[k] for k in some])
    assert n >= 100


def test_control_edits_change_one_factor_at_a_time():
    planned = plan.control_edits(["telea", "mirror"], [-2, 2, 5, 10, 20], 224, 5)
    assert [(e.infill, e.dilation_px) for e in planned if e.name == "remove"] == [
        ("telea", 0),
        ("mirror", 0),
        *[("navier_stokes", d) for d in (-1, 1, 2, 4, 9)],
    ]
    assert [(e.infill, e.dilation_px, e.n_places) for e in planned if e.name == "sham"] == [
        (e.infill, e.dilation_px, 5) for e in planned if e.name == "remove"
    ]
    plan.checked_plan(plan.HEADLINE_EDITS + planned)  # nothing comes twice
    # At 96 px, 2 px of 512 are 0.4 and 5 px 0.9.
    at_96 = plan.control_edits([], [-2, 2, 5, 6], 96, 1)
    assert [e.dilation_px for e in at_96 if e.name == "remove"] == [1]
    assert plan.control_edits(["navier_stokes"], [], 224, 5) == ()


def test_shams_of_other_infills_are_at_the_headlines_first_places():
    image, mask = head_with_tumor()
    rows, _ = all_rows(image, mask, EVERYTHING, 9)
    shams_of = rows[(rows["edit"] == "sham") & (rows["dilation_px"] == 0)]
    columns = ["place", "offset_y", "offset_x", "mirrored", "flag", "depth_px"]
    headline = shams_of.loc[shams_of["infill"] == "navier_stokes", columns].to_numpy().tolist()
    assert len(headline) == 9
    for infill in OTHER_INFILLS:
        own = shams_of.loc[shams_of["infill"] == infill, columns].to_numpy().tolist()
        assert own == headline[:4]


def test_depth_and_flag_are_those_of_the_region_of_the_row():
    image, mask = head_with_tumor()
    rows, _ = all_rows(image, mask, EVERYTHING)
    found = head.find_head(image)
    for _, row in rows.iterrows():
        if row["edit"] in ("original", "original_refit", "blank"):
            assert np.isnan(row["depth_px"]) and row["flag"] == ""
            continue
        region = plan.region_of(mask, row)
        assert row["depth_px"] == pytest.approx(found.depth_px[region].mean(), rel=1e-12)
        if row["place"] < 0:
            assert row["flag"] == ""
        else:
            where = np.array([[row["offset_y"], row["offset_x"], int(row["mirrored"])]])
            shape = regions.dilate(mask, row["dilation_px"])
            flag = row["flag"].removeprefix("matched").strip()
            assert flag == shams.describe_places(where, shape, found)[1][0]


def test_each_edit_is_the_one_its_name_says():
    image, mask = head_with_tumor()
    rows, edited = all_rows(image, mask)
    removed = edits.remove(image, mask)
    wanted = {
        "original": image,
        "remove": removed,
        "original_refit": preprocess.refit(image),
        "remove_refit": preprocess.refit(removed),
        "only": edits.only(image, mask),
        "background": edits.background(image, mask),
        "silhouette": edits.silhouette(image, mask),
        "blank": edits.blank(image),
    }
    for name, array in wanted.items():
        (position,) = np.flatnonzero(rows["edit"] == name)
        np.testing.assert_array_equal(edited[position], array)
        assert rows.loc[position, "place"] == -1
    for position in np.flatnonzero(rows["edit"].isin(["sham", "sham_only"])):
        row = rows.iloc[position]
        moved = shams.move(mask, shams.Place(row.offset_y, row.offset_x, row.mirrored))
        edit = edits.remove if row.edit == "sham" else edits.only
        np.testing.assert_array_equal(edited[position], edit(image, moved))


def uneven_head_with_tumor():
    """A head whose right half is full of bright spots, so that shams there change more."""
    rng = np.random.default_rng(3)
    image, mask = head_with_tumor()
    spots = np.repeat(np.repeat(rng.random((16, 16)) < 0.5, 4, axis=0), 4, axis=1)
    spots[:, : SIZE // 2] = False
    image[spots & (image > -1) & ~regions.dilate(mask, 6)] += 2.5
    return image, mask


def test_matched_shams_are_those_that_change_as_much_as_the_removal():
    image, mask = uneven_head_with_tumor()
    planned = plan.HEADLINE_EDITS + plan.matched_shams()
    rows, edited = all_rows(image, mask, planned, 5)
    (wanted,) = rows.loc[rows["edit"] == "remove", "edit_rms"]
    usual, matched = (
        (rows.loc[rows["edit"] == name, "edit_rms"] / wanted).to_numpy()
        for name in ("sham", "sham_matched")
    )
    assert len(matched) == 5
    assert np.abs(np.log(matched)).max() < np.abs(np.log(usual)).min()
    flags = rows.loc[rows["edit"] == "sham_matched", "flag"].to_numpy()
    np.testing.assert_array_equal(
        [flag.startswith("matched") for flag in flags], (matched >= 0.8) & (matched <= 1.25)
    )
    assert (flags != "").any()


def test_a_removal_that_no_sham_equals_gets_the_nearest_and_no_mark():
    image, mask = head_with_tumor()
    image[mask] += 20
    rows, _ = all_rows(image, mask, (Edit("remove", "navier_stokes"), *plan.matched_shams()))
    assert rows["edit"].tolist() == ["remove"] + 5 * ["sham_matched"]
    assert not rows["flag"].str.contains("matched").any()
    assert rows["edit_rms"].iloc[1:].is_monotonic_decreasing  # below the removal's, nearest first


def test_pixels_that_may_change_are_counted_and_no_others_change():
    image, mask = head_with_tumor()
    n, total = 41, SIZE * SIZE  # 7 x 6 pixels but one
    wanted = {
        "original": 0,
        "remove": n,
        "original_refit": total,
        "remove_refit": total,
        "only": total - n,
        "background": n,
        "silhouette": total,
        "blank": total,
        "sham": n,
        "sham_only": total - n,
    }
    rows, edited = all_rows(image, mask)
    for row, array in zip(rows.itertuples(), edited, strict=True):
        assert row.n_pixels == wanted[row.edit] >= np.count_nonzero(array != image)
        assert row.edit_rms == pytest.approx(np.sqrt(np.mean((array - image) ** 2)), rel=1e-5)


def test_shams_of_a_dilated_removal_stay_off_the_tumor():
    image, mask = head_with_tumor()
    rows, edited = all_rows(image, mask, (Edit("sham", "navier_stokes", 3),), 10)
    region = regions.dilate(mask, 3)
    near = regions.dilate(mask, shams.CLEARANCE_PX)
    assert len(rows) == 10 and (rows["n_pixels"] == region.sum()).all()
    for row, array in zip(rows.itertuples(), edited, strict=True):
        moved = shams.move(region, shams.Place(row.offset_y, row.offset_x, row.mirrored))
        assert not (moved & near).any()
        np.testing.assert_array_equal(array[~moved], image[~moved])


def reasons(image, mask, edits_planned=plan.HEADLINE_EDITS):
    rows, edited = all_rows(image, mask, edits_planned)
    for row, array in zip(rows.itertuples(), edited, strict=True):
        assert (array is None) == bool(row.reason)
        assert not row.reason or (row.n_pixels == 0 and np.isnan(row.edit_rms) and row.place == -1)
    return dict(zip(rows["edit"], rows["reason"], strict=True))


def test_an_empty_mask_leaves_a_reason_for_every_edit_that_needs_one():
    image, mask = head_with_tumor()
    found = reasons(image, np.zeros_like(mask))
    assert {found.pop(name) for name in ("original", "original_refit", "blank")} == {""}
    assert set(found.values()) == {"empty mask"} and len(found) == 7


def test_a_mask_of_the_whole_slice_leaves_nothing_to_inpaint_from_and_no_place():
    image, mask = head_with_tumor()
    found = reasons(image, np.ones_like(mask))
    assert found["remove"] == found["remove_refit"] == "nothing to inpaint from"
    assert found["sham"] == found["sham_only"] == "no legal place"
    assert found["only"] == found["background"] == found["silhouette"] == ""
    planned = plan.matched_shams()
    assert reasons(image, np.ones_like(mask), planned)["sham_matched"] == "nothing to inpaint from"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("erase",), "No edit 'erase'; choose one of: original, remove"),
        (("remove",), "takes the infill 'navier_stokes', 'telea', .*; got ''"),
        (("remove", "magic"), "got 'magic'"),
        (("only", "navier_stokes"), "takes the infill ''; got 'navier_stokes'"),
    ],
)
def test_an_edit_that_does_not_exist_cannot_be_planned(arguments, message):
    with pytest.raises(plan.InvalidPlanError, match=message):
        Edit(*arguments)
