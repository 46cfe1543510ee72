"""Views for fine-tuning: what each shows of the tumor and of what is around it."""

import numpy as np
import pytest
from tiny_heads import cohort

from tumorcf_lib.edits import edits, shams
from tumorcf_lib.networks import training, views


def training_views(slices, masks, labels, persons, parts):
    index = np.flatnonzero(parts == "train")
    part = training.Part(slices, index, labels[index], persons[index], 3)
    return views.Views(part, masks)


def test_views_come_in_the_shares_asked_for():
    own = training_views(*cohort())
    shares = {"original": 0.2, "removed": 0.8}
    _, _, names = own.batch(np.zeros(200, int), shares, np.random.default_rng(0))
    assert 140 < np.sum(names == "removed") < 180  # 160, five standard deviations of 5.7


def test_a_sham_removal_never_reads_or_touches_the_tumor():
    """However the tumor's pixels are ordered, the same others change, to the same values."""
    slices, masks, *_ = cohort()
    n_changed = set()
    for number, (slice, mask) in enumerate(zip(slices, masks)):
        reordered = slice.copy()
        reordered[mask] = slice[mask][::-1]
        made = []
        for given in (slice, reordered):
            rng = np.random.default_rng(number)
            made.append(views.remove_elsewhere(given, mask, rng, dilation_px=number % 3))
            np.testing.assert_array_equal(made[-1][mask], given[mask])
        np.testing.assert_array_equal(made[0][~mask], made[1][~mask])
        n_changed.add(int(np.sum(made[0] != slice)))
    # 4 x 5 px; a ring of 18 more; and of 18 and 4 corners more: the disc of radius 2
    assert n_changed == {20, 38, 60}


def test_a_hole_that_fits_nowhere_grown_is_made_at_the_tumors_size():
    slice = np.full((20, 40), -1, np.float32)
    slice[4:16, 4:36] = np.random.default_rng(0).uniform(1, 2, (12, 32))
    mask = np.zeros(slice.shape, bool)
    mask[5:15, 5:15] = True
    head = shams.head_mask(slice)
    assert len(shams.legal_places(mask, head)) and not len(
        shams.legal_places(edits.dilate(mask, 3), head, tumor=mask)
    )
    edited = views.remove_elsewhere(slice, mask, np.random.default_rng(0), dilation_px=3)
    assert np.sum(edited != slice) == 100


def test_without_a_legal_place_a_slice_stays_as_it_is():
    slice = np.random.default_rng(0).uniform(1, 2, (12, 12)).astype(np.float32)
    mask = np.zeros(slice.shape, bool)
    mask[1:11, 1:11] = True
    edited = views.remove_elsewhere(slice, mask, np.random.default_rng(0))
    np.testing.assert_array_equal(edited, slice)
    assert edited is not slice


def test_a_pasted_tumor_keeps_its_pixels_and_nothing_of_its_own_background():
    slices, masks, labels, persons, parts = cohort()
    own = training_views(slices, masks, labels, persons, parts)
    index = own.part.index
    backgrounds = set()
    positions = np.repeat(np.arange(len(index)), 8)
    inputs, _, _ = own.batch(positions, {"pasted": 1.0}, np.random.default_rng(1))
    for position, made in zip(positions, inputs):
        slice, mask = slices[index[position]], masks[index[position]]
        np.testing.assert_array_equal(made[mask], slice[mask])
        around = made[~mask]
        assert (made != slice)[~mask & (slice > slice.min())].all()
        if np.ptp(around) == 0:
            backgrounds.add("air" if around[0] == slice.min() else "gray")
        else:
            backgrounds.add("other")
            assert (around < 10).all()  # no other tumor
            shared = [np.sum(made[~mask] == s[~mask]) for s in slices[index]]
            shown = index[np.argmax(shared)]
            assert persons[shown] != persons[index[position]]
            # All but the other's tumor, filled in with up to a pixel around it.
            assert np.sum((made != slices[shown])[~mask & ~edits.dilate(masks[shown], 1)]) == 0
    assert backgrounds == {"air", "gray", "other"}


def test_removals_grow_the_mask_by_random_pixels_up_to_their_share_of_the_side(monkeypatch):
    grown = []
    monkeypatch.setattr(
        views.edits, "remove", lambda slice, mask, *, dilation_px: grown.append(dilation_px)
        or slice,
    )
    monkeypatch.setattr(views, "MAX_DILATION_SHARE", 0.1)  # 3 of 32 px
    own = training_views(*cohort())
    own.batch(np.zeros(60, int), {"removed": 1.0}, np.random.default_rng(0))
    assert set(grown) == {0, 1, 2, 3}


def test_a_slice_without_a_tumor_is_shown_as_it_is_with_its_class():
    slices, masks, labels, persons, parts = cohort()
    masks[0] = False
    own = training_views(slices, masks, labels, persons, parts)
    shares = {"sham": 0.4, "removed": 0.3, "pasted": 0.3}
    inputs, targets, names = own.batch(np.zeros(20, int), shares, np.random.default_rng(0))
    assert set(names) == {"original"}
    assert (inputs == slices[0]).all() and (targets == np.eye(3)[labels[0]]).all()


def test_a_view_that_does_not_exist_is_refused_by_name():
    own = training_views(*cohort())
    with pytest.raises(views.UnknownViewError, match="blurred.*original, sham"):
        own.batch(np.zeros(2, int), {"blurred": 1.0}, np.random.default_rng(0))


def test_background_shares_sum_to_one():
    assert sum(views.BACKGROUND_SHARES.values()) == pytest.approx(1)
