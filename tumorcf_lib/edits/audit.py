"""The audit: what a classifier says about every edit of every slice.

It knows a `predict` callable and nothing else of the classifier. Edits of many slices
stream through one buffer, so memory does not grow with the cohort.
"""

import numpy as np
import pandas as pd
from tqdm import tqdm

from tumorcf_lib.edits import edits, plan, scores
from tumorcf_lib.edits.plan import HEADLINE_EDITS, ROW_DTYPES, checked_plan, edits_of
from tumorcf_lib.edits.regions import dilate

MAX_TUPLES = 20_000  # rows take four times as much memory as tuples than as columns
SUM_TOLERANCE = 1e-3  # single and half precision softmax outputs pass


class InvalidAuditError(ValueError):
    """A cohort or batch size that the audit cannot work with."""


class PredictionError(ValueError):
    """A `predict` that does not return probabilities."""


def audit(
    predict, cohort, *, edits=HEADLINE_EDITS, n_places=5, seed=0, batch_size=64, progress=False
):
    """What the classifier says about every edit of every slice.

    Parameters
    ----------
    predict : callable
        Maps float32 slices (n, height, width), or (n, height, width, channels) if the cohort's
        have channels, n <= batch_size, to probabilities (n, n_classes) in the order of
        `cohort.classes`. The array is reused for the
        next batch: a `predict` that keeps slices has to copy them.
    cohort : Cohort
        Prepared slices (float32, all of one size), bool masks, and a table with
        slice_id, patient_id, person_id and label.
    edits : sequence of Edit
        The plan.
    n_places : int
        Sham places per slice.
    seed : int
        Places depend on it and on the slice's ID only, so that auditing a subset
        gives the same places.
    batch_size : int
        Every call of `predict` gets as many slices: the last batch is filled up with copies,
        since many libraries compile again for another shape. A single batch is not.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataFrame, one row per slice, edit and place
        slice_id, patient_id, person_id, label (class name); edit, place (-1 if none),
        infill, dilation_px, offset_y, offset_x, mirrored, seed; flag of a sham's place
        (see `shams.describe_places`); depth_px, the mean distance of the region's pixels
        to the head's surface (NaN without a region); n_pixels (that the edit may change),
        edit_rms (see `edits.edit_rms`); p_<class> as predicted; log_odds
        of the true class; reason. An edit that cannot be made has a row, too: NaN
        instead of numbers, and the reason. A slice with fewer legal places than asked
        for has fewer sham rows.

    Raises
    ------
    PredictionError
        If `predict` returns anything but finite probabilities that sum to 1.
    InvalidAuditError
        If the slices are not prepared, IDs come twice or labels are no classes.
    plan.InvalidPlanError
        If an edit is planned twice.

    Examples
    --------
    >>> from tumorcf_lib.data.cohort import Cohort
    >>> head = np.pad(np.ones((1, 20, 20), np.float32), [(0, 0), (6, 6), (6, 6)])
    >>> mask = np.zeros((1, 32, 32), bool)
    >>> mask[0, 9:12, 9:12] = True
    >>> table = pd.DataFrame({"slice_id": ["1"], "patient_id": ["A"], "person_id": ["A"],
    ...                       "label": [0]})
    >>> cohort = Cohort("toy", head, mask, table, ("glioma", "pituitary"), "a toy")
    >>> rows = audit(lambda slices: np.full((len(slices), 2), 0.5), cohort, n_places=2)
    >>> rows["edit"].value_counts(sort=False).to_dict()["sham"]
    2
    """
    return audit_all([(predict, cohort)], edits, n_places, seed, batch_size, progress)[0]


def audit_all(asked, edits, n_places, seed, batch_size, progress=False):
    """The same of several classifiers, each edit made once: a table for each.

    `asked`: pairs of `predict` and a cohort as of :func:`audit`, which has the same slices for all
    and the classes of its classifier.
    """
    plan = checked_plan(edits)
    cohorts = [cohort for _, cohort in asked]
    for cohort in cohorts:
        check_cohort(cohort)
    streams = [Stream(predict, len(own.classes), batch_size) for predict, own in asked]
    rows, tables, n_rows = [], [], 0
    for i in tqdm(range(len(cohort)), desc="audit", unit="slice", disable=not progress):
        slice, mask = prepared(cohort, i)
        rng_key = seed, cohort.table["slice_id"].iat[i]
        for row, edited in edits_of(slice, mask, plan, n_places, rng_key):
            if edited is not None:
                for stream in streams:
                    stream.add(edited, n_rows)
            rows.append((i, *row))
            n_rows += 1
        if len(rows) > MAX_TUPLES:
            tables.append(_columns(rows))
            rows = []
    made = pd.concat([*tables, _columns(rows)], ignore_index=True)
    finished = [stream.finish(n_rows) for stream in streams]
    return [_table(made.copy(), *own, seed) for own in zip(cohorts, finished, strict=True)]


class Stream:
    """Collects slices into full batches and the predictions into one array."""

    def __init__(self, predict, n_classes, batch_size):
        if batch_size < 1:
            raise InvalidAuditError(f"batch_size is a whole number from 1 up, not {batch_size}.")
        self.predict, self.n_classes, self.batch_size = predict, n_classes, batch_size
        self.buffer = None
        self.waiting = []  # the row of each slice in the buffer
        self.done = []  # (rows, probabilities) of each batch

    def add(self, slice, row):
        if self.buffer is None:
            self.buffer = np.empty((self.batch_size, *slice.shape), np.float32)
        self.buffer[len(self.waiting)] = slice
        self.waiting.append(row)
        if len(self.waiting) == self.batch_size:
            self._flush()

    def finish(self, n_rows):
        """Probabilities of all rows, NaN for those without a slice."""
        if self.waiting:
            self._flush()
        probabilities = np.full((n_rows, self.n_classes), np.nan)
        for rows, p in self.done:
            probabilities[rows] = p
        return probabilities

    def _flush(self):
        n = len(self.waiting)
        self.buffer[n:] = self.buffer[n - 1]
        n_given = self.batch_size if self.done else n
        returned = self.predict(self.buffer[:n_given])
        p = _checked_probabilities(returned, n_given, self.n_classes)[:n]
        self.done.append((np.array(self.waiting), p))
        self.waiting = []


def _checked_probabilities(returned, n, n_classes):
    expected = f"`predict` has to return probabilities of shape ({n}, {n_classes}): "
    try:
        if returned is None:
            raise TypeError("did it forget to return?")
        p = np.array(returned).astype(np.float64)  # a copy: the next call may reuse the memory
    except (TypeError, ValueError) as error:
        raise PredictionError(
            f"{expected}got {type(returned).__name__}, which is no array of numbers ({error})."
        ) from error
    if p.shape != (n, n_classes):
        raise PredictionError(
            f"{expected}one row per slice, one column per class of the cohort; got {p.shape}."
        )
    if not np.isfinite(p).all():
        raise PredictionError(f"{expected}got {np.count_nonzero(~np.isfinite(p))} NaN or infinite.")
    off = np.abs(p.sum(axis=1) - 1).max()
    if off > SUM_TOLERANCE or p.min() < 0:
        raise PredictionError(
            f"{expected}rows of numbers from 0 up that sum to 1 (within {SUM_TOLERANCE}); got "
            f"numbers from {p.min():.4g} to {p.max():.4g} and sums off by up to {off:.4g}. "
            "If these are logits, apply a softmax."
        )
    return p


def check_cohort(cohort):
    ids = cohort.table["slice_id"]
    if ids.duplicated().any():
        raise InvalidAuditError(
            f"Slice IDs have to be unique, and {ids[ids.duplicated()].iloc[0]!r} comes twice: "
            "sham places are drawn by ID."
        )
    labels = cohort.labels
    if len(labels) and not (0 <= labels.min() and labels.max() < len(cohort.classes)):
        raise InvalidAuditError(
            f"Labels are indices from 0 to {len(cohort.classes) - 1} into {cohort.classes}; "
            f"got {labels.min()} to {labels.max()}."
        )


def prepared(cohort, i):
    slice, mask = np.asarray(cohort.slices[i]), np.asarray(cohort.masks[i])
    first = np.shape(cohort.slices[0])
    if slice.dtype != np.float32 or slice.shape != first or not np.isfinite(slice).all():
        raise InvalidAuditError(
            f"The audit needs prepared slices: finite float32, all of shape {first}. Slice "
            f"{cohort.table['slice_id'].iat[i]!r} is {slice.dtype} {slice.shape}; run "
            "preprocess.prepare(cohort, size_px) first."
        )
    if mask.dtype != bool or mask.shape != slice.shape[:2]:
        raise InvalidAuditError(
            f"The audit needs a bool mask of its slice's shape {slice.shape[:2]}; slice "
            f"{cohort.table['slice_id'].iat[i]!r} has {mask.dtype} {mask.shape}."
        )
    return slice, mask


def _columns(rows):
    return pd.DataFrame(rows, columns=["i", *ROW_DTYPES]).astype(ROW_DTYPES)


def _table(made, cohort, probabilities, seed):
    i = made.pop("i").to_numpy(np.int64)
    labels = cohort.labels[i]
    table = cohort.table[["slice_id", "patient_id", "person_id"]].iloc[i].reset_index(drop=True)
    table["label"] = np.array(cohort.classes, object)[labels]
    for name in made.columns.drop("reason"):
        table[name] = made[name]
        if name == "mirrored":
            table["seed"] = np.int64(seed)
    table[[f"p_{name}" for name in cohort.classes]] = probabilities
    table["log_odds"] = scores.class_log_odds(probabilities, labels)
    table["reason"] = made["reason"]
    return table


# -- how much of a tumor's contrast is left where it was taken out -----------------


def contrast_left(slice, edited, mask):
    """Share of the tumor's contrast that an edit leaves inside the mask.

    The contrast is the mean inside the mask minus the mean of the ring within `edits.RING_PX`
    around it. `slice`, `edited`: ndarray of float32 (height, width), `edited` with the tumor
    removed at whatever dilation; `mask`: ndarray of bool, not dilated.

    Returns
    -------
    float
        0: nothing is left; 1: all of it; negative: it is reversed. NaN without contrast. Near 0
        it is a ratio of small numbers: summarize slices by the median.

    Examples
    --------
    >>> slice = np.zeros((9, 9), np.float32)
    >>> slice[4, 4] = 4
    >>> contrast_left(slice, slice / 4, slice > 0)
    0.25
    """
    if not mask.any() or mask.all():
        return float("nan")
    ring = dilate(mask, edits.RING_PX) & ~mask
    before, after = (
        image[mask].mean(dtype=np.float64) - image[ring].mean(dtype=np.float64)
        for image in (slice, edited)
    )
    return float(after / before) if before else float("nan")


def contrast_rows(cohort, removals):
    """What each of these removals leaves on each slice of a prepared cohort.

    Columns: slice_id, person_id, label (class name), infill, dilation_px, contrast_left (NaN where
    the removal cannot be made).
    """
    rows, own = [], (cohort.table["slice_id"], cohort.persons, cohort.labels)
    for *who, label, slice, mask in zip(*own, cohort.slices, cohort.masks, strict=True):
        for row, edited in plan.edits_of(slice, mask, removals, 0, None):
            left = np.nan if edited is None else contrast_left(slice, edited, mask)
            _, _, infill, dilation_px, *_ = row
            rows.append((*who, cohort.classes[label], infill, dilation_px, left))
    columns = ["slice_id", "person_id", "label", "infill", "dilation_px", "contrast_left"]
    return pd.DataFrame(rows, columns=columns).round({"contrast_left": 5})
