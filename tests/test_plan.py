import io

import numpy as np
import pandas as pd
import pytest
from pictures import head_with_tumor

from tumorcf_lib.data import preprocess
from tumorcf_lib.edits import edits, head, infills, plan, regions, shams
from tumorcf_lib.edits.plan import Edit

SIZE, N_TUMOR = 64, 48  # 7 x 7 pixels but one


def all_rows(image, mask, edits_planned=plan.HEADLINE_EDITS, n_places=3):
    made = list(plan.edits_of(image, mask, edits_planned, n_places, (0, "7")))
    rows = pd.DataFrame([row for row, _ in made], columns=list(plan.ROW_DTYPES))
    return rows.astype(plan.ROW_DTYPES), [edited for _, edited in made]


OTHER_INFILLS = [name for name in infills.INFILLS if name != infills.HEADLINE_INFILL]
EVERYTHING = (
    plan.HEADLINE_EDITS
    + plan.control_edits(OTHER_INFILLS, [-8, 24, 40], SIZE, 4)  # -1, 3 and 5 at 64 px
    + (Edit("sham_matched", infills.HEADLINE_INFILL, 3), Edit("sham_only", dilation_px=3))
    + (Edit("sham_only", dilation_px=-1),)
)


def test_every_row_recreates_its_slice_bit_by_bit_even_from_a_csv():
    image, mask = head_with_tumor()
    rows, edited = all_rows(image, mask, EVERYTHING)
    assert set(rows["edit"]) == set(plan.ACTIONS) and rows["mirrored"].any()
    assert set(rows["infill"]) == {"", *infills.INFILLS}
    assert set(rows["dilation_px"]) == {0, -1, 3, 5}
    made = rows["reason"] == ""
    assert made.sum() >= 40 and made.groupby(rows["infill"]).any().all()
    rows = rows.assign(slice_id="7")
    file = rows.to_csv(index=False, float_format="%.5g")
    for table in (rows, pd.read_csv(io.StringIO(file))):
        for (_, row), wanted in zip(table.iterrows(), edited, strict=True):
            if wanted is None:
                with pytest.raises(plan.NoEditError):
                    plan.recreate(image, mask, row)
                continue
            again = plan.recreate(image, mask, row)
            assert again.dtype == np.float32
            np.testing.assert_array_equal(again, wanted)


def test_shams_lie_where_their_rows_say_off_the_tumor_and_alike_for_all_infills():
    image, mask = head_with_tumor()
    rows, edited = all_rows(image, mask, EVERYTHING, 9)
    found, near = head.find_head(image), regions.dilate(mask, shams.CLEARANCE_PX)
    for (_, row), array in zip(rows.iterrows(), edited, strict=True):
        if row["edit"] in ("original", "original_refit", "blank"):
            assert np.isnan(row["depth_px"]) and row["flag"] == ""
            continue
        region = plan.region_of(mask, row)
        assert row["depth_px"] == pytest.approx(found.depth_px[region].mean(), rel=1e-12)
        if row["place"] < 0:
            continue
        shape = regions.dilate(mask, row["dilation_px"])
        where = np.array([[row["offset_y"], row["offset_x"], int(row["mirrored"])]])
        flag = row["flag"].removeprefix("matched").strip()
        assert flag == shams.describe_places(where, shape, found)[1][0]
        assert not (region & near).any() and region.sum() == shape.sum()
        if row["edit"] != "sham_only" and array is not None:
            np.testing.assert_array_equal(array[~region], image[~region])
    own = rows[(rows["edit"] == "sham") & (rows["dilation_px"] == 0)]
    columns = ["place", "offset_y", "offset_x", "mirrored", "flag", "depth_px"]
    places = {infill: part[columns].to_numpy().tolist() for infill, part in own.groupby("infill")}
    assert len(places["navier_stokes"]) == 9
    assert all(places[infill] == places["navier_stokes"][:4] for infill in OTHER_INFILLS)


def test_each_edit_is_the_one_its_name_says_and_changes_no_more_than_its_row_says():
    image, mask = head_with_tumor()
    rows, edited = all_rows(image, mask)
    removed, total = edits.remove(image, mask), SIZE * SIZE
    whole = {
        "original": (image, 0),
        "remove": (removed, N_TUMOR),
        "original_refit": (preprocess.refit(image), total),
        "remove_refit": (preprocess.refit(removed), total),
        "only": (edits.only(image, mask), total - N_TUMOR),
        "background": (edits.background(image, mask), N_TUMOR),
        "silhouette": (edits.silhouette(image, mask), total),
        "blank": (edits.blank(image), total),
    }
    for row, array in zip(rows.itertuples(), edited, strict=True):
        if row.edit in whole:
            wanted, n_pixels = whole[row.edit]
        else:
            moved = shams.move(mask, shams.Place(row.offset_y, row.offset_x, row.mirrored))
            edit = {"sham": edits.remove, "sham_only": edits.only}[row.edit]
            wanted = edit(image, moved)
            n_pixels = N_TUMOR if row.edit == "sham" else total - N_TUMOR
        np.testing.assert_array_equal(array, wanted)
        assert row.n_pixels == n_pixels >= np.count_nonzero(array != image)
        assert row.edit_rms == pytest.approx(np.sqrt(np.mean((array - image) ** 2)), rel=1e-5)
    assert rows["edit"].value_counts()["sham"] == 3 and set(whole) < set(rows["edit"])


def test_matched_shams_are_those_that_change_as_much_as_the_removal():
    rng = np.random.default_rng(3)
    image, mask = head_with_tumor()
    spots = np.repeat(np.repeat(rng.random((16, 16)) < 0.5, 4, axis=0), 4, axis=1)
    spots[:, : SIZE // 2] = False  # so that shams in the right half change more
    image[spots & (image > -1) & ~regions.dilate(mask, 6)] += 2.5
    rows, _ = all_rows(image, mask, plan.HEADLINE_EDITS + plan.matched_shams(), 5)
    (wanted,) = rows.loc[rows["edit"] == "remove", "edit_rms"]
    usual, matched = (
        (rows.loc[rows["edit"] == name, "edit_rms"] / wanted).to_numpy()
        for name in ("sham", "sham_matched")
    )
    assert len(matched) == 5
    assert np.abs(np.log(matched)).max() < np.abs(np.log(usual)).min()
    marked = rows.loc[rows["edit"] == "sham_matched", "flag"].str.startswith("matched")
    np.testing.assert_array_equal(marked, (matched >= 0.8) & (matched <= 1.25))
    assert marked.any()
    image, mask = head_with_tumor(side=6)
    image[mask] += 20  # a removal that no sham equals gets the nearest, and no mark
    rows, _ = all_rows(image, mask, (Edit("remove", "navier_stokes"), *plan.matched_shams()))
    assert rows["edit"].tolist() == ["remove"] + 5 * ["sham_matched"]
    assert not rows["flag"].str.contains("matched").any()
    assert rows["edit_rms"].iloc[1:].is_monotonic_decreasing


def test_an_edit_that_does_not_exist_cannot_be_planned_nor_one_twice():
    with pytest.raises(plan.InvalidPlanError, match="No edit 'erase'; choose one of: original, "):
        Edit("erase")
    with pytest.raises(plan.InvalidPlanError, match="takes the infill 'navier_st.* got 'magic'"):
        Edit("remove", "magic")
    with pytest.raises(plan.InvalidPlanError, match="more than once: .*'only', '', 0"):
        plan.checked_plan([Edit("only"), Edit("only")])
