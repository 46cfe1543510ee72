"""The table of a reader's slices (``manifest.csv``): read and checked, or written for a layout."""

import os
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from tumorcf_lib.your_model import InputError, images

COLUMNS = ("image", "mask", "label", "patient")
OPTIONAL = {
    "index": ("[0-9]{0,9}", "a whole number from 0 up, or nothing,"),
    "axis": ("[0-2]?", "0, 1, 2 or nothing"),
    "channel": ("[0-9]{0,4}|all", "a whole number from 0 up, or 'all',"),
    "mask_label": ("(>[0-9]*[.]?[0-9]+|[0-9]+([ +][0-9]+)*)?", "numbers like 1 4, or >0.5,"),
}
AS_TEXT = {"dtype": str, "keep_default_na": False, "skip_blank_lines": False}
RESERVED_CLASS = "all"
SEQUENCES = {"t1c": "t1ce?", "t1n": "t1n?", "t2w": "t2w?", "t2f": "t2f|flair"}
MASK = re.compile(r"^(mask|seg|label)s?[_\-]|[_.\- ]*(mask|seg|label)s?([_.\- ]*[0-9]+)?$", re.I)


def read(manifest):
    """The table as text, indexed by line of the file, with slice_id and the optional columns."""
    try:
        if not manifest.is_file():  # a pipe or /dev/zero has no end
            raise OSError("no regular file")
        text = manifest.read_text(encoding="utf-8-sig")
        first = int(text.startswith("sep="))  # Excel's hint on how to read the file
        header = "".join(text.split("\n")[first : first + 1])
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
            sep = max(",;\t", key=header.count)
            how = {"sep": sep, "skiprows": first, "index_col": False}  # long lines shift no columns
            table = pd.read_csv(manifest, encoding="utf-8-sig", **how, **AS_TEXT)
    except (OSError, ValueError, pd.errors.ParserWarning) as error:  # no file, no text, no table
        raise InputError(
            f"Expected a table of slices in {manifest}, got {type(error).__name__}: {error}. Give "
            f"the path of a CSV file (UTF-8) with the columns {', '.join(COLUMNS)}."
        ) from error
    table.columns = table.columns.str.strip().str.lower()
    twice = sorted(set(table.columns[table.columns.duplicated()]))
    if twice:
        raise InputError(
            f"{manifest}, line 1: expected columns of different names (whatever the capitals); got "
            f"{', '.join(twice)} more than once. Rename or delete one."
        )
    lacking = [column for column in COLUMNS if column not in table]
    if lacking:
        raise InputError(
            f"{manifest}, line 1: expected the columns {', '.join(COLUMNS)}; got "
            f"{', '.join(table.columns)}. Add {', '.join(lacking)}."
        )
    table.index = first + 2 + np.arange(len(table))  # as an editor counts lines
    table = table.apply(lambda column: column.str.strip())
    table = table[(table != "").any(axis=1)]
    if table.empty:
        raise InputError(f"Expected one line a slice in {manifest}, got none below the header.")
    table = table.assign(**{name: "" for name in OPTIONAL if name not in table})
    filled = {name: (".+", "a value") for name in ("image", "label", "patient")}
    for name, (pattern, words) in (filled | OPTIONAL).items():
        fits = table[name].str.fullmatch(pattern)
        _require(fits, table[name], f"{words} as {name!r}", "Correct it, or delete it", manifest)
    if "slice_id" not in table:
        table["slice_id"] = table["image"]
        for name, form in (("index", "[{}]"), ("axis", " axis {}"), ("channel", " channel {}")):
            table["slice_id"] += [form.format(value) if value else "" for value in table[name]]
    names, advice = table["slice_id"], "Delete it, or name the slices in a column slice_id"
    _require(~names.duplicated(), names, "another slice than above", advice, manifest)
    return table


def _require(fits, values, expected, advice, manifest):
    """Name the first line of the table whose value does not fit."""
    for line, value in values[~fits].head(1).items():
        words = f"{manifest}, line {line}: expected {expected}; got {value!r}. {advice}."
        raise InputError(words)


def checked_classes(labels, classes, manifest):
    """Names of the classes in order: as given, else the labels in alphabetical order."""
    names = sorted(set(labels)) if classes is None else [str(name) for name in classes]
    different = {name.casefold() for name in names}
    if len(different) < len(names) or {RESERVED_CLASS, ""} & set(names):
        raise InputError(
            f"{manifest}: expected classes of different names (whatever the capitals), none empty "
            f"or {RESERVED_CLASS!r}, as tables call all slices; got {names}. Rename one."
        )
    expected, advice = f"a label out of {', '.join(names)}", "Correct it, or name it by --classes"
    _require(labels.isin(names), labels, expected, advice, manifest)
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


# -- Tables of common layouts ------------------------------------------------


def write(options):
    """Write the table of a folder's slices beside them, as the command line's options say; the
    table and its path.

    "brats" (a folder a case, ``<case>-t1c.nii.gz`` and ``-seg``) and "msd" (``imagesTr`` and
    ``labelsTr``): the slice with the largest tumor of each case. "classes": a folder a class.
    "pairs": ``images`` and ``masks``, or masks named like their image and ending in ``_mask``.
    """
    folder, layout = Path(options.folder), options.layout
    path = folder / options.out
    for name in ("channel", "mask_label"):
        (pattern, words), given = OPTIONAL[name], getattr(options, name)
        if not re.fullmatch(pattern, given):
            option = f"--{name.replace('_', '-')}"
            raise InputError(f"Expected {words} as {option}, got {given!r}. Correct it.")
    if not folder.is_dir():
        raise InputError(f"Expected a folder of slices, found none at {folder}.")
    if path.exists():
        raise InputError(f"{path} is there already. Move it, or name another by --out.")
    layouts = {"brats": _brats, "msd": _msd, "classes": _classes, "pairs": _pairs}
    rows = layouts[layout](folder, options)
    if not rows:
        raise InputError(
            f"Expected slices in the layout {layout!r} in {folder}, found none. Choose another "
            "--layout, or write the table by hand (python -m tumorcf_lib audit --help)."
        )
    table = pd.DataFrame([{"label": options.label, "index": "", **row} for row in rows])
    for name in ("image", "mask"):
        table[name] = [p and Path(os.path.relpath(p, path.parent)).as_posix() for p in table[name]]
    labels = np.where(table["mask"] == "", "", options.mask_label)
    table = table.assign(channel=options.channel, mask_label=labels)
    table = table[[*COLUMNS, "index", "channel", "mask_label"]]
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)
    return table, path


def _brats(folder, options):
    rows, sequence = [], options.sequence
    ending = re.compile(rf"[-_]({SEQUENCES.get(sequence, sequence)})\.nii")
    for mask in sorted(folder.glob("[!.]*/[!.]*seg.nii*")):
        found = [p for p in sorted(mask.parent.glob("[!.]*.nii*")) if ending.search(p.name)]
        if found:
            rows += _of_case(found[0], mask, mask.parent.name, options)
        else:
            print(f"Left out: {mask.parent.name} has no sequence {sequence}.")
    return rows


def _msd(folder, options):
    rows = []
    for image in sorted((folder / "imagesTr").glob("[!.]*.nii*")):
        if (mask := folder / "labelsTr" / image.name).is_file():
            rows += _of_case(image, mask, image.name.split(".")[0], options)
    return rows


def _of_case(image, mask, patient, options):
    """The slice with the largest tumor of a case; nothing without a tumor."""
    index = images.largest(mask, where=f"--layout {options.layout}", labels=options.mask_label)
    if index is None:
        print(f"Left out: {patient} has no tumor in its mask.")
        return []
    return [{"image": image, "mask": mask, "patient": patient, "index": str(index)}]


def _classes(folder, options):
    classes = sorted(folder.glob("[!.]*/"))
    if any(own.name.lower() == "images" or MASK.search(own.name) for own in classes):
        raise InputError(
            f"Expected a folder a class in {folder}, got {', '.join(own.name for own in classes)}. "
            "Give --layout pairs (one class, --label), or write the column label by hand."
        )
    return [{**row, "label": own.name} for own in classes for row in _pairs(own, options)]


def _pairs(folder, options):
    """Images below a folder with the masks that are named like them."""

    def stem(path):
        return re.sub(r"\.nii\.gz$|\.[^.]+$", "", path.name, flags=re.I)

    def key(path, is_mask):
        """Where an image and its mask agree: folders (but images, masks and the like) and name."""
        parts = path.relative_to(folder).parts[:-1]
        parts = [MASK.sub("", part) for part in parts if part.lower() != "images"]
        return (*filter(None, parts), MASK.sub("", stem(path)) if is_mask else stem(path))

    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.name.lower().endswith(images.KNOWN)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    masks, rows = {}, []
    for path in files:
        above = path.relative_to(folder).parts[:-1]
        if MASK.search(stem(path)) or any(map(MASK.search, above)):
            if masks.setdefault(key(path, True), path) is not path:
                raise InputError(
                    f"Expected one mask an image, got {masks[key(path, True)]} and {path}. Write "
                    "all tumors of a slice into one mask, or write the table by hand."
                )
    for image in (path for path in files if path not in masks.values()):
        in_case = image.parent != folder and image.parent.name.lower() != "images"
        patient = image.parent.name if in_case else re.split(r"[_\-. ]", stem(image))[0]
        mask = masks.get(key(image, False), "")
        rows.append({"image": image, "mask": mask, "patient": patient})
    alone = set(masks.values()) - {row["mask"] for row in rows}
    if alone:
        raise InputError(
            f"Expected an image named like each mask, found none for {len(alone)} masks, such as "
            f"{min(alone)}. Rename them, or write the table by hand."
        )
    return rows
