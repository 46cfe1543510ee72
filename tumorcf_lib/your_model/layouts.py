"""The table of slices (``manifest.csv``) for common layouts of folders."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from tumorcf_lib.your_model import InputError, images

COLUMNS = ["image", "mask", "label", "patient", "index", "channel", "mask_label"]
SEQUENCES = {"t1c": ("t1c", "t1ce"), "t1n": ("t1n", "t1"), "t2w": ("t2w", "t2"),
             "t2f": ("t2f", "flair")}  # fmt: skip
MASK = re.compile(r"[_-]?(mask|seg|label)s?$", re.I)


def write(folder, layout, out="manifest.csv", *, label="tumor", sequence="t1c", channel="",
          mask_label=""):  # fmt: skip
    """Write the table of a folder's slices beside them.

    Parameters
    ----------
    folder : path
    layout : {"brats", "msd", "classes", "pairs"}
        "brats": a folder a case with ``<case>-t1c.nii.gz`` (or ``_t1ce``) and ``-seg``; "msd":
        ``imagesTr`` and ``labelsTr``; of both, the slice with the largest tumor of each case.
        "classes": a folder a class. "pairs": ``images`` and ``masks``, or masks that are named
        like their image and end in ``_mask``.
    out : str
        Name of the table in the folder.
    label, channel, mask_label : str
        Put into every row where the layout says nothing.
    sequence : str
        Of BraTS.

    Returns
    -------
    table : DataFrame
    path : Path

    Raises
    ------
    InputError
        If nothing is found, or the table is there already.
    """
    folder = Path(folder)
    path = folder / out
    if path.exists():
        raise InputError(f"{path} is there already. Move it, or name another by --out.")
    find = {"brats": _brats, "msd": _msd, "classes": _classes, "pairs": _pairs}[layout]
    rows = find(folder, label=label, sequence=sequence)
    if not rows:
        raise InputError(
            f"Expected slices in the layout {layout!r} in {folder}, found none. Choose another "
            "--layout, or write the table by hand (python -m tumorcf_lib audit --help)."
        )
    table = pd.DataFrame(rows)
    table["channel"] = channel
    table["mask_label"] = np.where(table["mask"] == "", "", mask_label)
    table = table.reindex(columns=COLUMNS, fill_value="")
    table.to_csv(path, index=False)
    return table, path


def _brats(folder, *, label, sequence):
    rows = []
    endings = SEQUENCES.get(sequence, (sequence,))
    for mask in sorted(folder.glob("*/*seg.nii*")):
        case = mask.parent
        found = [path for path in sorted(case.glob("*.nii*"))
                 if re.search(rf"[-_]({'|'.join(endings)})\.nii", path.name)]  # fmt: skip
        if found:
            rows.append(_of_volume(folder, found[0], mask, label, case.name))
    return rows


def _msd(folder, *, label, sequence):
    rows = []
    for image in sorted((folder / "imagesTr").glob("[!.]*.nii*")):
        mask = folder / "labelsTr" / image.name
        if mask.is_file():
            rows.append(_of_volume(folder, image, mask, label, image.name.split(".")[0]))
    return rows


def _of_volume(folder, image, mask, label, patient):
    """The slice (across the last axis) with the largest tumor of a case."""
    import nibabel

    drawn = np.asanyarray(nibabel.load(mask).dataobj) != 0
    index = int(drawn.reshape(-1, drawn.shape[2]).sum(axis=0).argmax())
    return {"image": _inside(folder, image), "mask": _inside(folder, mask), "label": label,
            "patient": patient, "index": str(index)}  # fmt: skip


def _classes(folder, *, label, sequence):
    rows = []
    for own in sorted(path for path in folder.iterdir() if path.is_dir()):
        rows += [{**row, "label": own.name} for row in _of_files(folder, own)]
    return rows


def _pairs(folder, *, label, sequence):
    return [{**row, "label": label} for row in _of_files(folder, folder)]


def _of_files(folder, own):
    """Images below a folder with the masks that are named like them."""
    files = [path for path in sorted(own.rglob("*")) if path.is_file() and _readable(path)]
    is_mask = {path: bool(MASK.search(_stem(path)) or MASK.search(path.parent.name)
                          and path.parent != own) for path in files}  # fmt: skip
    masks = {MASK.sub("", _stem(path)): path for path in files if is_mask[path]}
    rows = []
    for image in (path for path in files if not is_mask[path]):
        mask = masks.get(_stem(image))
        in_case = image.parent not in (own, folder) and image.parent.name.lower() != "images"
        patient = image.parent.name if in_case else re.split(r"[_\-. ]", _stem(image))[0]
        rows.append({"image": _inside(folder, image), "patient": patient,
                     "mask": _inside(folder, mask) if mask else ""})  # fmt: skip
    return rows


def _readable(path):
    try:
        return bool(images.kind_of(path))
    except InputError:
        return False


def _stem(path):
    return re.sub(r"\.nii\.gz$|\.[^.]+$", "", path.name, flags=re.I)


def _inside(folder, path):
    return path.relative_to(folder).as_posix()
