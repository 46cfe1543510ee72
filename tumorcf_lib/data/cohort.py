"""A cohort: slices, tumor masks, labels and patients; a row for each, and examples by rule."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tumorcf_lib.data.split import person_ids

PERCENTILES = (5, 50, 95)
IDS = ("slice_id", "patient_id", "person_id")


def from_arrays(slices, masks, labels, patients, *, classes, name, source, slice_ids=None):
    """A cohort from sequences of one slice, bool mask, label (index into ``classes``), patient ID
    and, perhaps, slice ID each; sizes may differ, masks be empty, pixels are finite. Who is behind
    each patient ID comes from :func:`data.split.person_ids`."""
    table = pd.DataFrame(
        {
            "slice_id": np.asarray(range(len(slices)) if slice_ids is None else slice_ids),
            "label": np.asarray(labels, np.int64),
            "patient_id": [str(patient) for patient in patients],
            "person_id": person_ids(patients),
        }
    )
    return Cohort(name, slices, masks, table, tuple(classes), source)


@dataclass(frozen=True)
class SliceStack(Sequence):
    """Slices of different sizes in one flat array, which may lie on disk: ``stack[i]`` is a view of
    ``flat`` (n_pixels,), of the shape in ``shapes`` (n, 2) and from ``offsets`` (n,) on."""

    flat: np.ndarray
    shapes: np.ndarray
    offsets: np.ndarray

    def __len__(self):
        return len(self.shapes)

    def __getitem__(self, index):
        height, width = self.shapes[index]
        start = self.offsets[index]
        return self.flat[start : start + height * width].reshape(height, width)


@dataclass(frozen=True)
class Rows(Sequence):
    """Some slices of a stack that may lie on disk: ``rows[i]`` is a view of it. Of an array
    (n, height, width) ``rows[i:j]`` and ``numpy.asarray(rows)`` are copies, made when used."""

    stack: np.ndarray | SliceStack
    index: np.ndarray  # (n_taken,)

    def __len__(self):
        return len(self.index)

    def __getitem__(self, at):
        return self.stack[self.index[at]]

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.stack[self.index], dtype)

    @property
    def shape(self):
        return len(self.index), *self.stack.shape[1:]


@dataclass(frozen=True)
class Cohort:
    """Slices of several patients with their tumor masks and classes; see :func:`from_arrays`.

    ``table`` has one row per slice, index 0 to n - 1: slice_id, label (index into ``classes``),
    patient_id, person_id, and perhaps more. Slices and masks are arrays (height, width).
    """

    name: str
    slices: Sequence
    masks: Sequence
    table: pd.DataFrame
    classes: tuple[str, ...]
    source: str

    def __len__(self):
        return len(self.table)

    @property
    def labels(self):
        """Class index of each slice, int64, shape (n,)."""
        return self.table["label"].to_numpy(np.int64)

    @property
    def persons(self):
        """Person of each slice, str, shape (n,)."""
        return self.table["person_id"].to_numpy(str)

    def who(self, indices=slice(None), ids=("slice_id", "person_id")):
        """IDs and class name of these slices, index from 0: how row tables begin."""
        table = self.table[[*ids]].iloc[indices].reset_index(drop=True)
        return table.assign(label=np.array(self.classes, object)[self.labels[indices]])

    def subset(self, indices):
        """The cohort of these slices only (indices, or a bool array): a view, nothing is copied."""
        indices = np.arange(len(self))[indices if len(indices) else []]
        return dataclasses.replace(
            self,
            slices=_take(self.slices, indices),
            masks=_take(self.masks, indices),
            table=self.table.iloc[indices].reset_index(drop=True),
        )


def _take(stack, indices):
    if isinstance(stack, Rows):
        return Rows(stack.stack, stack.index[indices])
    is_stack = isinstance(stack, np.ndarray | SliceStack)
    return Rows(stack, indices) if is_stack else [stack[i] for i in indices]


# -- what a cohort consists of ------------------------------------------------


def slice_table(cohort) -> pd.DataFrame:
    """One row a slice: its patient, its class, its size and the tumor's.

    slice_id, patient_id, person_id, label (class *name*), height, width, tumor_px, and
    tumor_share (of the slice, in [0, 1]); further columns of the cohort follow.
    """
    shapes = np.array([np.shape(mask) for mask in cohort.masks])  # (n, 2)
    table = cohort.who(ids=IDS)
    table["height"], table["width"] = shapes.T
    table["tumor_px"] = [np.count_nonzero(mask) for mask in cohort.masks]
    table["tumor_share"] = table["tumor_px"] / shapes.prod(axis=1)
    return table.join(cohort.table[cohort.table.columns.difference([*table, "label"], sort=False)])


def examples(slices, classes) -> pd.DataFrame:
    """Three slices of each class by a rule: one a plane, or small, middle and large tumors.

    Of a :func:`slice_table`. Where the plane is known, each plane's slice of median tumor area;
    else the 5th, 50th and 95th percentile of tumor area in the class; ``shown_as`` says which.
    """
    chosen = []
    for name in classes:
        own = slices[slices["label"] == name]
        if "plane" in slices:
            chosen += [_at(plane_rows, 50, plane) for plane, plane_rows in own.groupby("plane")]
        else:
            chosen += [_at(own, q, f"{q}th percentile of tumor area") for q in PERCENTILES]
    return pd.DataFrame(chosen)


def sites(table, classes) -> pd.DataFrame:
    """Patients of each class whose IDs come from the ``MR...`` site, and all others."""
    persons = table.drop_duplicates("person_id")
    from_mr = persons["person_id"].str.startswith("MR")
    n_mr, n_other = (
        np.bincount(persons["label"][chosen], minlength=len(classes))
        for chosen in (from_mr, ~from_mr)
    )
    counts = {"persons with MR IDs": n_mr, "other persons": n_other}
    return pd.DataFrame({"class": list(classes), **counts})


def middle_examples(slices, classes) -> pd.DataFrame:
    """The slice of median tumor area of each class, in a table as of :func:`examples`."""
    own = (slices[slices["label"] == name] for name in classes)
    return pd.DataFrame([_at(rows, 50, "median tumor area") for rows in own])


def _at(rows, percentile, shown_as):
    ordered = rows.sort_values("tumor_share", kind="stable").assign(shown_as=shown_as)
    return ordered.iloc[round((len(ordered) - 1) * percentile / 100)]
