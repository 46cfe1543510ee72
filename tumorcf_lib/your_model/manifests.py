"""The table of a reader's slices (``manifest.csv``): read, checked, its errors named.

What its columns mean is said in :mod:`your_model.slices`.
"""

import warnings

import pandas as pd

from tumorcf_lib.your_model import InputError

COLUMNS = ("image", "mask", "label", "patient")
RESERVED_CLASS = "all"


def read(manifest):
    """The table as text, indexed by line of the file, with slice_id, index and axis.

    Parameters
    ----------
    manifest : pathlib.Path
        CSV with commas, semicolons or tabs; columns as in :mod:`your_model.slices`.

    Returns
    -------
    DataFrame of str

    Raises
    ------
    InputError
    """
    try:
        header = manifest.read_text(encoding="utf-8-sig").partition("\n")[0]
        separator = max(",;\t", key=header.count)
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
            table = pd.read_csv(
                manifest, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig",
                skip_blank_lines=False, index_col=False,  # a line too long shifts no columns
            )  # fmt: skip
    except OSError as error:
        raise InputError(
            f"Expected a table of slices in {manifest}, got {type(error).__name__}. Give the path "
            "of a CSV file with the columns image, mask, label, patient."
        ) from error
    except (ValueError, pd.errors.ParserWarning) as error:  # no text, or no table
        raise InputError(
            f"Expected a CSV table in {manifest}, got something else ({error}). Save it as CSV "
            "(UTF-8) with the columns image, mask, label, patient."
        ) from error
    table.columns = table.columns.str.strip().str.lower()
    lacking = [column for column in COLUMNS if column not in table]
    if lacking:
        raise InputError(
            f"{manifest}, line 1: expected the columns {', '.join(COLUMNS)}; got "
            f"{', '.join(table.columns)}. Add {', '.join(lacking)}."
        )
    table.index = range(2, len(table) + 2)  # as an editor counts lines
    table = table.apply(lambda column: column.str.strip())
    table = table[(table != "").any(axis=1)]
    if table.empty:
        raise InputError(
            f"Expected one line a slice in {manifest}, got none below the header. Add the slices."
        )
    _check_filled(table, manifest)
    return _with_ids(table, manifest)


def _check_filled(table, manifest):
    for column in ("image", "label", "patient"):
        empty = table.index[table[column] == ""]
        if len(empty):
            raise InputError(
                f"{manifest}, line {empty[0]}: expected a value of {column!r}, got nothing. Fill "
                "it in, or delete the line."
            )


def _with_ids(table, manifest):
    for column in ("index", "axis"):
        values = table.get(column, pd.Series("", table.index))
        wrong = table.index[~values.str.fullmatch(r"[0-9]{0,9}")]
        if len(wrong):
            raise InputError(
                f"{manifest}, line {wrong[0]}: expected a whole number from 0 up as {column!r}, "
                f"got {values[wrong[0]]!r}. Leave it empty for images of one slice."
            )
        table[column] = values
    for column, pattern, words in (
        ("channel", "[0-9]{0,4}|all", "a whole number from 0 up or 'all'"),
        ("mask_label", "(>[0-9.]+|[0-9]+([ +][0-9]+)*)?", "numbers like 1 4, or >0.5,"),
    ):
        values = table.get(column, pd.Series("", table.index))
        wrong = table.index[~values.str.fullmatch(pattern)]
        if len(wrong):
            raise InputError(
                f"{manifest}, line {wrong[0]}: expected {words} as {column!r}, got "
                f"{values[wrong[0]]!r}."
            )
        table[column] = values
    if "slice_id" not in table:
        table["slice_id"] = table["image"]
        for column, before, after in (("index", "[", "]"), ("axis", " axis ", ""),
                                      ("channel", " channel ", "")):  # fmt: skip
            values = table[column]
            table["slice_id"] += values.where(values == "", before + values + after)
    twice = table.index[table["slice_id"].duplicated()]
    if len(twice):
        raise InputError(
            f"{manifest}, line {twice[0]}: expected each slice once, got "
            f"{table['slice_id'][twice[0]]!r} again. Delete the line, or name the slices apart in "
            "a column slice_id."
        )
    return table


def checked_classes(labels, classes, manifest):
    """Names of the classes in order: as given, else the labels in alphabetical order.

    Parameters
    ----------
    labels : Series of str, indexed by line of the manifest
    classes : sequence of str or None
    manifest : path, for errors

    Raises
    ------
    InputError
        For a class given twice (in whatever capitals) or a label that is no class.
    """
    given = classes is not None
    names = [str(name) for name in classes] if given else sorted(set(labels))
    seen = {}
    for name in names:
        first = seen.setdefault(name.casefold(), name)
        if first is not name or names.count(name) > 1:
            raise InputError(
                f"{manifest}: expected distinct classes, got one twice, as {first!r} and {name!r}. "
                "Write it in one way."
            )
    if RESERVED_CLASS in names or "" in names:
        raise InputError(
            f"{manifest}: a class cannot be called {RESERVED_CLASS!r} (tables call all slices so) "
            "or have no name. Rename it."
        )
    unknown = labels.index[~labels.isin(names)]
    if len(unknown):
        raise InputError(
            f"{manifest}, line {unknown[0]}: expected a label out of {', '.join(names)}; got "
            f"{labels[unknown[0]]!r}. Correct it, or name it among the classes."
        )
    return tuple(names)


def persons(table):
    """Person of each slice, and how many patients have slices of several classes.

    Examples
    --------
    >>> table = pd.DataFrame({"patient": ["A", "A", "B"], "label": ["none", "glioma", "glioma"]})
    >>> names, n_split = persons(table)
    >>> names.tolist(), n_split
    (['A · none', 'A · glioma', 'B'], 1)
    """
    n_classes = table.groupby("patient")["label"].transform("nunique")
    names = table["patient"].where(n_classes == 1, table["patient"] + " · " + table["label"])
    return names.to_numpy(object), table["patient"][n_classes > 1].nunique()
