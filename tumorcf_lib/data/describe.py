"""What a cohort consists of: a row for each slice, and examples chosen by rule."""

import numpy as np
import pandas as pd

PERCENTILES = (5, 50, 95)


def slice_table(cohort) -> pd.DataFrame:
    """One row a slice: whose it is, its class, its size and the tumor's.

    Returns
    -------
    DataFrame
        slice_id, patient_id, person_id, label (class *name*), height, width, tumor_px, and
        tumor_share (of the slice, in [0, 1]); further columns of the cohort follow.

    Examples
    --------
    >>> from tumorcf_lib.data.cohort import from_arrays
    >>> pixels = np.arange(8).reshape(2, 2, 2)
    >>> cohort = from_arrays(pixels, pixels > 5, [0, 1], ["a", "b"], classes=("x", "y"),
    ...                      name="tiny", source="Eight numbers.")
    >>> slice_table(cohort)[["label", "tumor_px", "tumor_share"]].values.tolist()
    [['x', 0, 0.0], ['y', 2, 0.5]]
    """
    shapes = np.array([np.shape(cohort.masks[i]) for i in range(len(cohort))])  # (n, 2)
    tumor_px = np.array([np.count_nonzero(cohort.masks[i]) for i in range(len(cohort))])
    table = cohort.table[["slice_id", "patient_id", "person_id"]].copy()
    table["label"] = np.array(cohort.classes, object)[cohort.labels]
    table["height"], table["width"] = shapes.T
    table["tumor_px"] = tumor_px
    table["tumor_share"] = tumor_px / shapes.prod(axis=1)
    return table.join(cohort.table[cohort.table.columns.difference([*table, "label"], sort=False)])


def examples(slices, classes) -> pd.DataFrame:
    """Three slices of each class by a rule: one a plane, or small, middle and large tumors.

    Parameters
    ----------
    slices : DataFrame
        From :func:`slice_table`, index 0 to n - 1.
    classes : sequence of str

    Returns
    -------
    DataFrame
        The chosen rows, classes in order, with a column ``shown_as``. Where the plane is
        known, each plane's slice of median tumor area; else the 5th, 50th and 95th
        percentile of tumor area in the class.
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
    """Persons of each class whose IDs come from the ``MR...`` site, and all others.

    Parameters
    ----------
    table : DataFrame
        A cohort's table: person_id, label (class index).

    Returns
    -------
    DataFrame
        class, persons with MR IDs, other persons.
    """
    persons = table.drop_duplicates("person_id")
    from_mr = persons["person_id"].str.startswith("MR")
    own = [persons["label"] == k for k in range(len(classes))]
    return pd.DataFrame({
        "class": list(classes),
        "persons with MR IDs": [int((mine & from_mr).sum()) for mine in own],
        "other persons": [int((mine & ~from_mr).sum()) for mine in own],
    })  # fmt: skip


def middle_examples(slices, classes) -> pd.DataFrame:
    """The slice of median tumor area of each class, in a table as of :func:`examples`."""
    own = (slices[slices["label"] == name] for name in classes)
    return pd.DataFrame([_at(rows, 50, "median tumor area") for rows in own])


def _at(rows, percentile, shown_as):
    ordered = rows.sort_values("tumor_share", kind="stable")
    row = ordered.iloc[round((len(ordered) - 1) * percentile / 100)]
    return pd.concat([row, pd.Series({"shown_as": shown_as}, name=row.name)]).rename(row.name)
