"""Cue conflicts: what a classifier says of a slice that holds a tumor of another class.

Removal cannot tell a class that a network names by default from one that it sees. A
transplant can: the tumor of a pituitary slice set into the head of a glioma slice is called
either by the tumor, or by the head, or neither. The control sets a slice's own tumor elsewhere
in its own head, where both still agree.
"""

import numpy as np
import pandas as pd
from tqdm import tqdm

from tumorcf_lib.edits import audit, edits, head, regions, scores, shams
from tumorcf_lib.edits.plan import EMPTY_MASK
from tumorcf_lib.edits.transplants import REMOVAL_DILATION_PX, find_site, footprint, transplant

EMPTY_DONOR = "donor has no tumor"

COLUMNS = tuple(
    "slice_id patient_id person_id label donor_slice_id donor_person_id donor_label seed "
    "dilation_px offset_y offset_x mirrored flag depth_px donor_depth_px n_pixels edit_rms".split()
)
"""What a row says beside its probabilities and its reason."""


def audit_transplants(predict, cohort, *, seed=0, batch_size=64, progress=False):
    """What the classifier says of each slice with its own tumor moved, and with others' tumors.

    Parameters
    ----------
    predict, cohort, batch_size, progress
        As in :func:`edits.audit.audit`; donors come from the same cohort, see :func:`draw_donors`.
    seed : int
        Donors and places depend on it and on the slices' IDs; on who else is in the cohort
        depend the donors only.

    Returns
    -------
    DataFrame, one row per host slice and donor
        The columns of :data:`COLUMNS`: host, donor (the slice itself for the control), place,
        flag and depth_px of the place (tumor and seam), donor_depth_px (of the tumor alone in its
        own head), n_pixels
        and edit_rms of the change; p_<class> as predicted; log_odds of the *host's* class;
        reason, if there is no transplant. See :func:`followed`.

    Raises
    ------
    audit.PredictionError, audit.InvalidAuditError

    Examples
    --------
    >>> from tumorcf_lib.data.cohort import Cohort
    >>> heads = np.pad(np.ones((2, 26, 26), np.float32), [(0, 0), (3, 3), (3, 3)])
    >>> masks = np.zeros((2, 32, 32), bool)
    >>> masks[:, 9:12, 9:12] = True
    >>> table = pd.DataFrame({"slice_id": ["1", "2"], "patient_id": ["A", "B"],
    ...                       "person_id": ["A", "B"], "label": [0, 1]})
    >>> cohort = Cohort("toy", heads, masks, table, ("glioma", "pituitary"), "a toy")
    >>> rows = audit_transplants(lambda slices: np.full((len(slices), 2), 0.5), cohort)
    >>> rows[["slice_id", "donor_slice_id", "donor_label"]].to_numpy().tolist()
    [['1', '1', 'glioma'], ['1', '2', 'pituitary'], ['2', '2', 'pituitary'], ['2', '1', 'glioma']]
    """
    audit.check_cohort(cohort)
    if len(cohort) and np.ndim(cohort.slices[0]) != 2:
        raise audit.InvalidAuditError(
            "Transplants need slices (height, width) of one channel; slice "
            f"{cohort.table['slice_id'].iat[0]!r} is {np.shape(cohort.slices[0])}."
        )
    stream = audit.Stream(predict, len(cohort.classes), batch_size)
    table = cohort.table.astype({"slice_id": str, "patient_id": str, "person_id": str})
    names = np.array(cohort.classes, object)[cohort.labels]
    depths, rows = {}, []
    for i in tqdm(range(len(cohort)), desc="transplants", unit="slice", disable=not progress):
        slice, mask = audit.prepared(cohort, i)
        found = head.find_head(slice)
        host = [*table.loc[i, ["slice_id", "patient_id", "person_id"]], names[i]]
        for j in [i, *draw_donors(cohort, i, seed)]:
            donor, donor_mask = audit.prepared(cohort, j)
            if j not in depths:
                depth_px = (found if j == i else head.find_head(donor)).depth_px[donor_mask]
                depths[j] = float(depth_px.mean()) if len(depth_px) else np.nan
            who = [*table.loc[j, ["slice_id", "person_id"]], names[j], seed, REMOVAL_DILATION_PX]
            rng = shams.rng_for(seed, f"{host[0]} from {who[0]}")
            where, edited, reason = _made(slice, mask, donor, donor_mask, rng, depths[j], found)
            if edited is not None:
                stream.add(edited, len(rows))
            rows.append((i, *host, *who, *where, reason))
    return _table(rows, cohort, stream.finish(len(rows)))


def draw_donors(cohort, i, seed):
    """Positions of the donors of one host: of each other class, a slice of another patient.

    First a patient is drawn at random, then a slice of theirs.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> table = pd.DataFrame({"slice_id": list("1234"), "person_id": ["A", "B", "B", "A"]})
    >>> cohort = SimpleNamespace(table=table, labels=np.array([0, 1, 1, 1]), classes=("a", "b"))
    >>> draw_donors(cohort, 0, seed=0)[0] in (1, 2)  # the last is the host's own patient
    True
    """
    persons = cohort.table["person_id"].astype(str).to_numpy()
    drawn = []
    for k, name in enumerate(cohort.classes):
        if k == cohort.labels[i]:
            continue
        others = (cohort.labels == k) & (persons != persons[i])
        rng = shams.rng_for(seed, f"{cohort.table['slice_id'].iat[i]} wants {name}")
        people = rng.permutation(np.unique(persons[others]))
        if len(people):
            theirs = np.flatnonzero(others & (persons == people[0]))
            drawn.append(int(rng.choice(theirs)))
    return drawn


def followed(rows, classes):
    """Whether each transplant's answer follows the tumor, the head, or neither.

    Parameters
    ----------
    rows : DataFrame
        From :func:`audit_transplants`, fresh or read back.
    classes : sequence of str
        All outputs, in any order; an output that is no tumor's class counts as neither.

    Returns
    -------
    ndarray of str, shape (n,)
        "tumor", "head", "neither" by the most probable class; "" without a transplant. In the
        control, where tumor and head are of one class, "tumor" means that the class was kept.

    Examples
    --------
    >>> rows = pd.DataFrame({"label": ["a", "a"], "donor_label": ["b", "b"], "reason": ["", ""],
    ...                      "p_a": [0.3, 0.8], "p_b": [0.7, 0.2]})
    >>> followed(rows, ["a", "b"]).tolist()
    ['tumor', 'head']
    """
    p = rows[[f"p_{name}" for name in classes]].to_numpy(np.float64)  # (n, n_classes)
    answered = np.isfinite(p).all(axis=1)
    called = np.array(classes, object)[np.where(answered[:, None], p, 0).argmax(axis=1)]
    told = np.where(called == rows["label"].to_numpy(), "head", "neither")
    told = np.where(called == rows["donor_label"].to_numpy(), "tumor", told)
    return np.where(answered, told, "")


def _made(slice, mask, donor, donor_mask, rng, donor_px, found):
    """What a row says of place and change, the edited slice, and "", or the reason why not."""
    nothing = [0, 0, False, "", np.nan, donor_px, 0, np.nan]
    if not mask.any() or not donor_mask.any():
        return nothing, None, EMPTY_DONOR if mask.any() else EMPTY_MASK
    try:
        site = find_site(slice, mask, donor_mask, rng, wanted_px=donor_px, found=found)
        edited = transplant(slice, mask, donor, donor_mask, site.place)
    except regions.ImpossibleEditError as error:
        return nothing, None, error.reason
    place = site.place
    changed = shams.move(footprint(donor_mask), place) | regions.dilate(mask, REMOVAL_DILATION_PX)
    where = [place.offset_y, place.offset_x, place.mirrored, site.flag, site.depth_px, donor_px]
    return [*where, np.count_nonzero(changed), edits.edit_rms(slice, edited)], edited, ""


def _table(rows, cohort, probabilities):
    table = pd.DataFrame(rows, columns=["i", *COLUMNS, "reason"])
    labels = cohort.labels[table.pop("i").to_numpy(np.int64)]
    reasons = table.pop("reason")
    table[[f"p_{name}" for name in cohort.classes]] = probabilities
    table["log_odds"] = scores.class_log_odds(probabilities, labels)
    table["reason"] = reasons
    return table
