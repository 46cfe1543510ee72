"""What an audit does to each slice: the plan's elements, and the edits they make."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tumorcf_lib import edits, preprocess, shams

EMPTY_MASK = "empty mask"
EMPTIED_MASK = "dilation empties the mask"
NOT_MOVED = shams.Place(0, 0)

ROW_DTYPES = {
    "edit": str, "place": np.int64, "infill": str, "dilation_px": np.int64,
    "offset_y": np.int64, "offset_x": np.int64, "mirrored": bool,
    "n_pixels": np.int64, "edit_rms": np.float64, "reason": str,
}  # fmt: skip
"""What a row says about its edit, in this order."""


class InvalidPlanError(ValueError):
    """An edit that does not exist, or one planned twice."""


class NoEditError(ValueError):
    """A row that has a reason instead of an edit, so that there is nothing to recreate."""


@dataclass(frozen=True)
class Action:
    """What an edit's name stands for.

    `apply` maps (slice, region, infill) to the edited slice. `changes` says which
    pixels it may change: "region", "rest" (all others), "all" or "none". Actions
    that `uses_region` have no result for an empty one; those `at_places` get the
    region moved to sham places, one edit per place.
    """

    apply: Callable
    changes: str
    uses_region: bool = True
    uses_infill: bool = False
    at_places: bool = False


def _removed(slice, region, infill):
    return edits.remove(slice, region, infill=infill)


def _removed_and_refit(slice, region, infill):
    return preprocess.refit(_removed(slice, region, infill))


def _without_infill(edit):
    return lambda slice, region, infill: edit(slice, region)


def _whole_slice(edit):
    return lambda slice, region, infill: edit(slice)


ACTIONS = {
    "original": Action(_whole_slice(np.copy), "none", uses_region=False),
    "remove": Action(_removed, "region", uses_infill=True),
    "original_refit": Action(_whole_slice(preprocess.refit), "all", uses_region=False),
    "remove_refit": Action(_removed_and_refit, "all", uses_infill=True),
    "only": Action(_without_infill(edits.only), "rest"),
    "background": Action(_without_infill(edits.background), "region"),
    "silhouette": Action(_without_infill(edits.silhouette), "all"),
    "blank": Action(_whole_slice(edits.blank), "all", uses_region=False),
    "sham": Action(_removed, "region", uses_infill=True, at_places=True),
    "sham_only": Action(_without_infill(edits.only), "rest", at_places=True),
}
"""Edit name -> what is done. A row's edit, infill, dilation and place fix the edited slice."""


@dataclass(frozen=True)
class Edit:
    """One element of an audit's plan.

    `name` is a key of `ACTIONS`, `infill` one of `edits.INFILLS` for edits that fill
    something in and "" otherwise; `dilation_px` grows the mask at the working size;
    `n_places` overrides the audit's number of shams.
    """

    name: str
    infill: str = ""
    dilation_px: int = 0
    n_places: int | None = None

    def __post_init__(self):
        if self.name not in ACTIONS:
            raise InvalidPlanError(f"No edit {self.name!r}; choose one of: {', '.join(ACTIONS)}.")
        known = edits.INFILLS if ACTIONS[self.name].uses_infill else ("",)
        if self.infill not in known:
            names = ", ".join(repr(name) for name in known)
            raise InvalidPlanError(
                f"Edit {self.name!r} takes the infill {names}; got {self.infill!r}."
            )


HEADLINE_EDITS = (
    Edit("original"),
    Edit("remove", "navier_stokes"),
    Edit("original_refit"),
    Edit("remove_refit", "navier_stokes"),
    Edit("only"),
    Edit("background"),
    Edit("silhouette"),
    Edit("blank"),
    Edit("sham", "navier_stokes"),
    Edit("sham_only"),
)


def checked_plan(plan):
    """The plan as a tuple, each edit once.

    Raises
    ------
    InvalidPlanError
        If an edit comes twice: its rows could not be told apart.

    Examples
    --------
    >>> checked_plan([Edit("original")])[0].name
    'original'
    """
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

    Parameters
    ----------
    slice : ndarray of float32, shape (height, width)
        The prepared slice, as it was audited.
    mask : ndarray of bool, shape (height, width)
    row : Series or mapping
        A row of :func:`audit`, fresh or read back from a CSV.

    Returns
    -------
    ndarray of float32, shape (height, width)

    Raises
    ------
    NoEditError
        If the row has a reason instead of an edit.
    """
    if isinstance(row["reason"], str) and row["reason"]:
        raise NoEditError(
            f"Slice {row['slice_id']!r} has no edit {row['edit']!r} to recreate: {row['reason']}."
        )
    return ACTIONS[row["edit"]].apply(slice, region_of(mask, row), row["infill"])


def region_of(mask, row):
    """The region that a row's edit is about: the mask, dilated, and moved if it is a sham."""
    region = edits.dilate(mask, int(row["dilation_px"]))
    if ACTIONS[row["edit"]].at_places:
        place = shams.Place(int(row["offset_y"]), int(row["offset_x"]), bool(row["mirrored"]))
        region = shams.move(region, place)
    return region


def edits_of(slice, mask, plan, n_places, rng_key):
    """Row (see `ROW_DTYPES`) and edited slice, or None, of every edit of one slice."""
    head = None
    legal = {}  # dilation -> legal places
    for edit in plan:
        action, dilation_px = ACTIONS[edit.name], edit.dilation_px
        region = edits.dilate(mask, dilation_px)
        if action.uses_region and not region.any():
            yield _row(edit, reason=EMPTIED_MASK if mask.any() else EMPTY_MASK), None
            continue
        if not action.at_places:
            yield _make(edit, slice, region)
            continue
        n = n_places if edit.n_places is None else edit.n_places
        if dilation_px not in legal:
            head = shams.head_mask(slice) if head is None else head
            legal[dilation_px] = shams.legal_places(region, head, tumor=mask)
        # A fresh generator each time: `sham` and `sham_only` get the same places.
        places = shams.draw_places(legal[dilation_px], n, shams.rng_for(*rng_key))
        if n > 0 and not places:
            yield _row(edit, reason=shams.NO_PLACE), None
        for number, place in enumerate(places):
            yield _make(edit, slice, shams.move(region, place), number, place)


def _make(edit, slice, region, number=-1, place=NOT_MOVED):
    """The row and the edited slice; a row with a reason and None if that is impossible."""
    action = ACTIONS[edit.name]
    try:
        edited = action.apply(slice, region, edit.infill)
    except edits.ImpossibleEditError as error:
        return _row(edit, number, place, reason=error.reason), None
    n_region = np.count_nonzero(region)
    n_pixels = {"none": 0, "region": n_region, "rest": slice.size - n_region, "all": slice.size}
    rms = edits.edit_rms(slice, edited)
    return _row(edit, number, place, n_pixels=n_pixels[action.changes], rms=rms), edited


def _row(edit, number=-1, place=NOT_MOVED, *, n_pixels=0, rms=np.nan, reason=""):
    return (
        edit.name, number, edit.infill, edit.dilation_px,
        place.offset_y, place.offset_x, place.mirrored, n_pixels, rms, reason,
    )  # fmt: skip
