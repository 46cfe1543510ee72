import contextlib
import itertools

import numpy as np
import pytest
from pictures import dot
from scipy.ndimage import distance_transform_edt

from tumorcf_lib.edits import edits, regions, shams
from tumorcf_lib.edits.head import Head
from tumorcf_lib.edits.shams import Place


def patch(rng, shape):
    """A random part of the 5 x 5 pixels in the middle of the slice."""
    mask, (y, x) = np.zeros(shape, bool), np.array(shape) // 2
    mask[y - 2 : y + 3, x - 2 : x + 3] = rng.random((5, 5)) < 0.5
    return mask


def round_head(shape):
    return dot(shape, shape[0] / 2, shape[1] / 2, min(shape) / 2 - 1)


def slow_places(mask, head, clearance_px):
    """Every legal place, offset by offset; a mask that is its own mirror image has no mirrored."""
    free = head & (distance_transform_edt(~mask) > clearance_px)
    is_symmetric = (shams.move(mask, Place(0, 0, mirrored=True)) == mask).all()
    offsets = (range(-side, side) for side in mask.shape)
    for mirrored, y, x in itertools.product((0,) if is_symmetric else (0, 1), *offsets):
        with contextlib.suppress(shams.InvalidPlaceError):
            if free[shams.move(mask, Place(y, x, bool(mirrored)))].all():
                yield [y, x, mirrored]


@pytest.mark.parametrize("seed", range(3))
def test_legal_places_are_those_of_a_loop_over_all_offsets(seed):
    rng = np.random.default_rng(seed)
    shape = (23, 29) if seed % 2 else (26, 21)  # odd, even, prime and not square
    mask, head = patch(rng, shape), round_head(shape)
    for clearance_px in (0, 1, 4):
        found = shams.legal_places(mask, head, clearance_px=clearance_px)
        assert found.tolist() == [*slow_places(mask, head, clearance_px)]


def test_there_is_no_place_without_a_mask_or_room_nor_beyond_the_slice():
    mask, head = np.zeros((16, 16), bool), np.ones((16, 16), bool)
    assert shams.legal_places(mask, head).shape == (0, 3)
    mask[2:14, 2:14] = True
    assert shams.legal_places(mask, head).shape == (0, 3)
    with pytest.raises(shams.InvalidPlaceError, match="columns -1:11, beyond the slice"):
        shams.move(mask, Place(0, -3))


def test_a_sham_removal_is_blind_to_the_tumor():
    rng = np.random.default_rng(10)
    slice = rng.normal(size=(40, 40)).astype(np.float32)
    mask, head = patch(rng, (40, 40)), np.ones((40, 40), bool)
    without = slice.copy()
    without[mask] = 50
    places = shams.legal_places(mask, head)
    # The nearest places are those where a tumor pixel could leak in.
    nearest = places[np.argsort(np.hypot(places[:, 0], places[:, 1]))[:60]]
    for y, x, mirrored in nearest.tolist():
        sham = shams.move(mask, Place(y, x, bool(mirrored)))
        with_tumor, with_other = (edits.remove(image, sham) for image in (slice, without))
        np.testing.assert_array_equal(with_tumor[sham], with_other[sham])
        np.testing.assert_array_equal(with_tumor[mask], slice[mask])


@pytest.mark.parametrize("size", [44, 512])
def test_depth_and_flag_of_a_place_are_those_of_the_moved_mask_at_any_size(size):
    """At 512 px, with a large mask, sums of many pixels are still exact."""
    rng, shape = np.random.default_rng(1), (size - 7, size)
    mask, inside = patch(rng, shape), round_head(shape)
    depth_px, brain, air = rng.uniform(0, 40, shape), rng.random(shape) < 0.8, rng.random(shape)
    head = Head(inside, depth_px * inside, brain & inside, (air < 0.25) & inside)
    if size == 512:
        mask[200:330, 60:220] |= dot((130, 160), 65, 70, 64)
    places = shams.legal_places(mask, head.mask)
    depth_px, flags = shams.describe_places(places, mask, head)
    assert size == 512 or set(flags) == {"", "scalp", "air"}
    near = regions.dilate(mask, shams.CLEARANCE_PX)
    for k in rng.choice(len(places), 60, replace=False):
        depth, flag = depth_px[k], flags[k]
        moved = shams.move(mask, Place(*places[k, :2].tolist(), bool(places[k, 2])))
        assert head.mask[moved].all() and not (moved & near).any()
        assert depth == pytest.approx(head.depth_px[moved].mean(), abs=1e-6)
        if head.air[moved].mean() > shams.MAX_AIR:
            assert flag == "air"
        else:
            outside = (~head.brain)[moved].mean()
            assert flag == ("scalp" if outside > shams.MAX_OUTSIDE else "")


@pytest.mark.parametrize("spacing_px", [1, 4])
def test_more_chosen_places_add_to_those_of_fewer_and_flagged_ones_come_last(spacing_px):
    rng, places = np.random.default_rng(4), np.argwhere(np.ones((14, 14, 2)))
    flags = rng.choice(["", "scalp", "air"], len(places), p=[0.7, 0.2, 0.1]).astype(object)
    given = places, rng.uniform(0, 60, len(places)), flags
    chosen = [
        shams.choose_places(*given, 20.0, n, shams.rng_for(0, "17"), spacing_px=spacing_px).tolist()
        for n in (0, 5, 20, 60, 10_000)
    ]
    for few, many in zip(chosen, chosen[1:]):
        assert many[: len(few)] == few
    assert [len(c) for c in chosen] == [0, 5, 20, 60, len(places)]
    n_unflagged = (flags == "").sum()
    in_order = flags[chosen[-1]]
    assert (in_order[:n_unflagged] == "").all() and (in_order[n_unflagged:] != "").all()


def test_all_places_as_deep_as_the_tumor_are_equally_likely():
    places = np.array([[0, x, 0] for x in range(60)])
    depth_px, flags = np.full(60, 30.5), np.full(60, "", object)
    depth_px[50:] = 45
    rng = np.random.default_rng(24)
    drawn = np.concatenate(
        [shams.choose_places(places, depth_px, flags, 30, 5, rng) for _ in range(4000)]
    )
    shares = np.bincount(drawn, minlength=60) / len(drawn)
    np.testing.assert_allclose(shares[:50], 1 / 50, atol=0.005)
    assert (shares[50:] == 0).all()


def test_places_of_the_pool_keep_their_distance_where_there_is_room():
    places = np.argwhere(np.ones((60, 60, 2)))
    depth_px, flags = np.full(len(places), 9.0), np.full(len(places), "", object)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        chosen = shams.choose_places(places, depth_px, flags, 9, 24, rng, spacing_px=4)
        y, x, _ = places[chosen].T
        gaps = np.hypot(y[:, None] - y, x[:, None] - x)
        assert gaps[~np.eye(24, dtype=bool)].min() >= 4


@pytest.mark.parametrize(
    "place, words",
    [((-3, 0), "rows -1:11"), ((3, 0), "rows 5:17"), ((0, -3), "s -1:15"), ((0, 3), "s 5:21")],
)
def test_a_place_may_touch_each_border_and_beyond_it_is_refused_by_name(place, words):
    mask = np.zeros((16, 20), bool)
    mask[2:14, 2:18] = True
    with pytest.raises(shams.InvalidPlaceError, match=f"{words}.*beyond the slice"):
        shams.move(mask, shams.Place(*place))
    touching = shams.Place(*(round(2 * side / 3) for side in place))
    assert shams.move(mask, touching).sum() == mask.sum()


def test_a_grid_with_too_few_places_gives_way_to_the_next_finer_one():
    places = np.array([[y, x, 0] for y in range(10) for x in range(10)])
    depth_px, flags = np.full(100, 9.0), np.full(100, "", object)
    for seed in range(5):  # a grid of 4 px has at most 9 places, one of 2 px 25
        rng = np.random.default_rng(seed)
        chosen = shams.choose_places(places, depth_px, flags, 9, 24, rng, spacing_px=4)
        y, x, _ = places[chosen].T
        gaps = np.hypot(y[:, None] - y, x[:, None] - x)
        assert gaps[~np.eye(24, dtype=bool)].min() == 2
