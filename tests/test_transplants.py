import numpy as np
import pytest
from pictures import head_with_tumor
from scipy.ndimage import distance_transform_edt

from tumorcf_lib.edits import edits, head, regions, shams
from tumorcf_lib.edits.transplants import find_site, footprint, transplant

HOST, HOST_MASK = head_with_tumor(0, (20, 38), 6, size=80)
DONOR, DONOR_MASK = head_with_tumor(1, (50, 24), level=0.6, size=80)


def placed(seed, host=(HOST, HOST_MASK), donor=(DONOR, DONOR_MASK)):
    rng = np.random.default_rng(seed)
    place = find_site(*host, donor[1], rng, wanted_px=12).place
    return place, transplant(*host, *donor, place)


@pytest.mark.parametrize("donor", [(DONOR, DONOR_MASK), (HOST, HOST_MASK)])
def test_a_place_lies_in_the_head_off_the_hosts_own_site_and_nothing_else_changes(donor):
    own, found = regions.dilate(HOST_MASK, 1), head.find_head(HOST)
    for seed in range(3):
        place, edited = placed(seed, donor=donor)
        moved = shams.move(footprint(donor[1]), place)
        assert edited.dtype == np.float32
        np.testing.assert_array_equal(edited[~(moved | own)], HOST[~(moved | own)])
        assert found.mask[moved].all()
        assert distance_transform_edt(~own)[moved].min() > shams.CLEARANCE_PX


@pytest.mark.parametrize("seed", range(3))
def test_the_donors_contrasts_are_kept_inside_and_to_the_rim(seed):
    place, edited = placed(seed)
    tumor = np.zeros_like(DONOR_MASK)
    ys, xs = np.nonzero(DONOR_MASK)
    at_xs = (xs.min() + xs.max() - xs if place.mirrored else xs) + place.offset_x
    at = ys + place.offset_y, at_xs
    tumor[at] = True
    differences = edited[at] - DONOR[ys, xs]
    np.testing.assert_allclose(differences, differences[0], atol=1e-6)  # one offset for all
    cleaned = edits.remove(HOST, HOST_MASK, dilation_px=1)
    ring, donor_ring = (regions.dilate(m, 4) & ~m for m in (tumor, DONOR_MASK))
    wanted = np.median(cleaned[ring]) - np.median(DONOR[donor_ring])
    assert differences[0] == pytest.approx(wanted, abs=1e-6)
    assert abs(differences[0] + 0.6) < 0.2  # the donor's whole head is brighter by so much


def test_over_the_seam_donor_fades_into_host():
    host, donor = np.zeros((30, 60), np.float32), np.zeros((30, 60), np.float32)
    mask, donor_mask = np.zeros((2, 30, 60), bool)
    donor_mask[10:14, 10:14] = True
    donor[9:15, 9:15] = 3  # tumor reaches a pixel further than its mask; most of the ring is 0
    edited = transplant(host, mask, donor, donor_mask, shams.Place(5, 25))
    np.testing.assert_allclose(edited[17, 32:41], [0, 0, 2, 3, 3, 3, 3, 2, 0], atol=1e-6)


def test_the_hosts_own_tumor_is_removed_and_nothing_gets_darker_than_air():
    _, edited = placed(0)
    wanted = edits.remove(HOST, HOST_MASK, dilation_px=1)
    own = regions.dilate(HOST_MASK, 1)
    np.testing.assert_array_equal(edited[own], wanted[own])
    dark = np.where(DONOR_MASK, DONOR - 20, DONOR).astype(np.float32)
    _, edited = placed(0, donor=(dark, DONOR_MASK))
    assert edited.min() == HOST.min()
