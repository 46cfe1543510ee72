"""What an audit does to each slice: the plan's elements, and the edits they make."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tumorcf_lib.data import preprocess
from tumorcf_lib.edits import edits, shams
from tumorcf_lib.edits.infills import HEADLINE_INFILL, INFILLS
from tumorcf_lib.edits.regions import ImpossibleEditError, dilate
from tumorcf_lib.edits.sites import About

EMPTY_MASK = "empty mask"
EMPTIED_MASK = "dilation empties the mask"
NOT_MOVED = shams.Place(0, 0)

ROW_DTYPES = {
    "edit": str,
    "place": np.int64,
    "infill": str,
    "dilation_px": np.int64,
    "offset_y": np.int64,
    "offset_x": np.int64,
    "mirrored": bool,
    "flag": str,
    "depth_px": np.float64,
    "n_pixels": np.int64,
    "edit_rms": np.float64,
    "reason": str,
}
"""What a row says about its edit, in this order."""


class InvalidPlanError(ValueError):
    """An edit that does not exist, or one planned twice."""


class NoEditError(ValueError):
    """A row that has a reason instead of an edit, so that there is nothing to recreate."""


@dataclass(frozen=True)
class Action:
    """What an edit's name stands for.

    `apply` maps (about, region, infill) to the edited slice, `about` a `sites.About`.
    `changes` says which pixels it may change: "region", "rest" (all others), "all" or
    "none". Actions that `uses_region` have no result for an empty one; those `at_places`
    get the region moved to sham places, one edit per place; those `matched`, to the places
    where a sham changes about as much as the removal.
    """

    apply: Callable
    changes: str
    uses_region: bool = True
    uses_infill: bool = False
    at_places: bool = False
    matched: bool = False


def _removed_and_refit(about, region, infill):
    return preprocess.refit(about.removed(region, infill))


def _without_infill(edit):
    return lambda about, region, infill: edit(about.slice, region)


def _whole_slice(edit):
    return lambda about, region, infill: edit(about.slice)


ACTIONS = {
    "original": Action(_whole_slice(np.copy), "none", uses_region=False),
    "remove": Action(About.removed, "region", uses_infill=True),
    "original_refit": Action(_whole_slice(preprocess.refit), "all", uses_region=False),
    "remove_refit": Action(_removed_and_refit, "all", uses_infill=True),
    "only": Action(_without_infill(edits.only), "rest"),
    "background": Action(_without_infill(edits.background), "region"),
    "silhouette": Action(_without_infill(edits.silhouette), "all"),
    "blank": Action(_whole_slice(edits.blank), "all", uses_region=False),
    "sham": Action(About.removed, "region", uses_infill=True, at_places=True),
    "sham_only": Action(_without_infill(edits.only), "rest", at_places=True),
    "sham_matched": Action(About.removed, "region", uses_infill=True, at_places=True, matched=True),
}
"""Edit name -> what is done. A row's edit, infill, dilation and place fix the edited slice."""


@dataclass(frozen=True)
class Edit:
    """One element of an audit's plan.

    `name` is a key of `ACTIONS`, `infill` one of `INFILLS` for edits that fill
    something in and "" otherwise; `dilation_px` grows the mask at the working size;
    `n_places` overrides the audit's number of shams, `max_places` only limits it.
    """

    name: str
    infill: str = ""
    dilation_px: int = 0
    n_places: int | None = None
    max_places: int | None = None

    def __post_init__(self):
        if self.name not in ACTIONS:
            raise InvalidPlanError(f"No edit {self.name!r}; choose one of: {', '.join(ACTIONS)}.")
        known = INFILLS if ACTIONS[self.name].uses_infill else ("",)
        if self.infill not in known:
            names = ", ".join(repr(name) for name in known)
            raise InvalidPlanError(
                f"Edit {self.name!r} takes the infill {names}; got {self.infill!r}."
            )


HEADLINE_EDITS = (
    Edit("original"),
    Edit("remove", HEADLINE_INFILL),
    Edit("original_refit"),
    Edit("remove_refit", HEADLINE_INFILL),
    Edit("only"),
    Edit("background"),
    Edit("silhouette"),
    Edit("blank"),
    Edit("sham", HEADLINE_INFILL),
    Edit("sham_only", max_places=10),
)
"""What the paper's findings rest on.

`sham_only` is shown at the first 10 places only: it costs as much as a sham, and as the
control of `only` needs no more.
"""


def control_edits(infills, dilations_at_512, size_px, n_places):
    """Every other infill at dilation 0, every other dilation by Navier-Stokes: removal and shams.

    Parameters
    ----------
    infills : sequence of str
        Keys of `INFILLS`.
    dilations_at_512 : sequence of int
        In pixels of a slice of 512 x 512; scaled to `size_px` and rounded. What becomes 0
        or equal to another is left out.
    size_px : int
        Side of the prepared slices.
    n_places : int
        Shams per slice, infill and dilation. At dilation 0 they are at the first of the
        headline's places; other dilations have places of their own.

    Returns
    -------
    tuple of Edit

    Examples
    --------
    >>> [(e.name, e.infill, e.dilation_px) for e in control_edits(["telea"], [-1, 5, 6], 224, 3)]
    [('remove', 'telea', 0), ('sham', 'telea', 0),
     ('remove', 'navier_stokes', 2), ('sham', 'navier_stokes', 2),
     ('remove', 'navier_stokes', 3), ('sham', 'navier_stokes', 3)]
    """
    scaled = [round(dilation * size_px / 512) for dilation in dilations_at_512]
    dilations = [dilation for dilation in dict.fromkeys(scaled) if dilation]
    factors = [(infill, 0) for infill in dict.fromkeys(infills) if infill != HEADLINE_INFILL]
    factors += [(HEADLINE_INFILL, dilation) for dilation in dilations]
    return tuple(edit for factor in factors for edit in _removal_and_shams(*factor, n_places))


def matched_shams():
    """Shams that change a slice as much as the removal does, beside the usual ones.

    Of `sites.N_CANDIDATES` legal places those are taken whose sham's RMS is nearest to the
    removal's, if possible in the brain. In their rows `flag` begins with "matched" where the RMS is
    0.8 to 1.25 of the removal's; elsewhere the sham is only the nearest that there is.

    >>> [edit.name for edit in HEADLINE_EDITS[-1:] + matched_shams()]
    ['sham_only', 'sham_matched']
    """
    return (Edit("sham_matched", HEADLINE_INFILL, n_places=5),)


def network_edits(infills, n_places):
    """What another network is asked about each slice: every infill, but few shams and no refit.

    >>> [edit.name for edit in network_edits([], 3)]
    ['original', 'remove', 'sham', 'only', 'sham_only', 'background', 'blank']
    """
    infills = dict.fromkeys([HEADLINE_INFILL, *infills])
    removals = [edit for infill in infills for edit in _removal_and_shams(infill, 0, n_places)]
    return (
        Edit("original"),
        *removals,
        Edit("only"),
        Edit("sham_only", n_places=n_places),
        Edit("background"),
        Edit("blank"),
    )


def _removal_and_shams(infill, dilation_px, n_places):
    return (
        Edit("remove", infill, dilation_px),
        Edit("sham", infill, dilation_px, n_places=n_places),
    )


def checked_plan(plan):
    """The plan as a tuple; an InvalidPlanError if an edit comes twice, as its rows could not
    be told apart."""
    plan = tuple(plan)
    rows = [(edit.name, edit.infill, edit.dilation_px) for edit in plan]
    twice = sorted({row for row in rows if rows.count(row) > 1})
    if twice:
        raise InvalidPlanError(
            f"Edits (name, infill, dilation) planned more than once: {twice}; plan each once."
        )
    return plan


def recreate(slice, mask, row):
    """The edited slice behind a row of the audit, bit by bit.

    `slice` and `mask` as they were audited; `row`: fresh or read back from a CSV. Raises
    NoEditError if the row has a reason instead of an edit.
    """
    if isinstance(row["reason"], str) and row["reason"]:
        raise NoEditError(
            f"Slice {row['slice_id']!r} has no edit {row['edit']!r} to recreate: {row['reason']}."
        )
    action = ACTIONS[row["edit"]]
    return _edited(action, About(slice, mask), region_of(mask, row), row["infill"])


def _edited(action, about, region, infill):
    """The edited slice; of several channels, each edited alike in one region."""
    if about.slice.ndim == 2:
        return action.apply(about, region, infill)
    return np.stack([action.apply(one, region, infill) for one in about.channels], axis=2)


def region_of(mask, row):
    """The region that a row's edit is about: the mask, dilated, and moved if it is a sham."""
    region = dilate(mask, int(row["dilation_px"]))
    if ACTIONS[row["edit"]].at_places:
        place = shams.Place(int(row["offset_y"]), int(row["offset_x"]), bool(row["mirrored"]))
        region = shams.move(region, place)
    return region


def edits_of(slice, mask, plan, n_places, rng_key):
    """Row (see `ROW_DTYPES`) and edited slice, or None, of every edit of one slice."""
    about = About(slice, mask)
    for edit in plan:
        action = ACTIONS[edit.name]
        region = dilate(mask, edit.dilation_px)
        if action.uses_region and not region.any():
            yield _row(edit, reason=EMPTIED_MASK if mask.any() else EMPTY_MASK), None
            continue
        if not action.at_places:
            yield _make(edit, about, region)
            continue
        n = n_places if edit.n_places is None else edit.n_places
        n = n if edit.max_places is None else min(n, edit.max_places)
        sites_of = about.matched_sites if action.matched else about.sites
        try:
            sites = sites_of(edit.dilation_px, n, rng_key, edit.infill)
        except ImpossibleEditError as error:  # there is no removal to match
            yield _row(edit, reason=error.reason), None
            continue
        for number, (place, flag, moved) in enumerate(sites):
            yield _make(edit, about, moved, number, place, flag)
        if n > 0 and not sites:
            yield _row(edit, reason=shams.NO_PLACE), None


def _make(edit, about, region, number=-1, place=NOT_MOVED, flag=""):
    """The row and the edited slice; a row with a reason and None if that is impossible."""
    action = ACTIONS[edit.name]
    depth_px = about.depth_px(region) if action.uses_region else np.nan
    what = {"number": number, "place": place, "flag": flag, "depth_px": depth_px}
    try:
        edited = _edited(action, about, region, edit.infill)
    except ImpossibleEditError as error:
        return _row(edit, **what, reason=error.reason), None
    n_region, n_all = np.count_nonzero(region), about.mask.size
    n_pixels = {"none": 0, "region": n_region, "rest": n_all - n_region, "all": n_all}
    rms = edits.edit_rms(about.slice, edited)
    return _row(edit, **what, n_pixels=n_pixels[action.changes], rms=rms), edited


def _row(
    edit, *, number=-1, place=NOT_MOVED, flag="", depth_px=np.nan, n_pixels=0, rms=np.nan, reason=""
):
    what = edit.name, number, edit.infill, edit.dilation_px
    where = place.offset_y, place.offset_x, place.mirrored, flag, depth_px
    return *what, *where, n_pixels, rms, reason
