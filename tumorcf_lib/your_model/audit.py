"""``python -m tumorcf_lib audit``: a reader's classifier on a reader's folder of slices."""

import argparse
import os
import shlex
from pathlib import Path

DESCRIPTION = """\
Audit a classifier of your own on slices of your own: does it look at the tumor?

The manifest is a CSV table with one row a slice (python -m tumorcf_lib manifest --help writes it
for common layouts):
  image    path of the slice, relative to the manifest (PNG, TIFF, JPEG, BMP, NPY, NIfTI, DICOM)
  mask     path of the tumor's mask, same size, inside is not zero; empty without a tumor
  label    class        patient     whose slice it is
  index, axis           which slice of a volume
  channel               which channel of several, or volume of a 4-D file; "all" for all
  mask_label            which values of the mask are tumor, such as "1 4" or ">0.5"

The classifier is a file (ONNX, Keras, TorchScript), or a Python function of the current folder,
named as module:function or module:object.method. It gets float32 slices (n, height, width), or
(n, height, width, channels), and returns probabilities (n, classes) in the order of --classes.

examples
  python -m tumorcf_lib audit --manifest slices.csv --predict model.onnx --check
  python -m tumorcf_lib audit --manifest slices.csv --predict my_module:predict --out report/
"""
SHOWN = (
    "classes", "size", "fit", "scale", "air", "output", "channels", "layout", "places", "infills",
    "dilations", "control_places", "seed", "batch_size",
)


def add_parser(commands):
    """Add the commands ``audit`` and ``manifest`` to the command line's subparsers."""
    raw = argparse.RawDescriptionHelpFormatter
    add = commands.add_parser(
        "audit", help="audit a classifier of your own on slices of your own", formatter_class=raw,
        description=DESCRIPTION,
    ).add_argument
    add("--manifest", required=True, help="table of slices, or a folder with manifest.csv")
    add("--predict", "--model", required=True, action="append", dest="predict", metavar="MODEL",
        help="module:function, or a file; given twice, two stand side by side")
    add("--out", help="folder of the report")
    add("--check", action="store_true", help="look at slices, masks and answers; measure nothing")
    add("--classes", type=_names, help="names in the order of the outputs, separated by commas "
        "(default: the labels in alphabetical order)")
    add("--size", type=_size, metavar="PX", help="side of the slices that the classifier gets, or "
        "HEIGHTxWIDTH; 0 keeps theirs (default: what the file states, else 224)")
    add("--fit", choices=("pad", "stretch"), default="pad", help="slices of another shape are "
        "padded with air (default) or stretched")
    add("--scale", choices=("zscore", "unit", "raw"), default="zscore",
        help="intensities: z-scored as in the study (default), 0 to 1, or as stored")
    add("--air", type=float, help="stored value of air where it is not the darkest (with raw)")
    add("--output", choices=("auto", "softmax", "logits", "sigmoid"), default="auto",
        help="what the classifier answers (default: by its first answers)")
    add("--channels", type=_whole, help="how many it takes; gray slices are repeated")
    add("--layout", choices=("nhw", "nhwc", "nchw"), help="where it takes its channels")
    add("--places", type=_whole, default=20, metavar="K", help="shams a slice (default 20)")
    add("--infills", type=_names, default=[], metavar="NAMES",
        help="further infills, separated by commas")
    add("--dilations", type=_numbers, default=[], metavar="PX",
        help="further dilations of the mask, separated by commas, in pixels of a slice of "
        "512 x 512; write a negative one as --dilations=-2,5")
    add("--control-places", type=_whole, default=5, metavar="K",
        help="shams a slice for each further infill and dilation (default 5)")
    add("--seed", type=int, default=0, help="of sham places (default 0)")
    add("--batch-size", type=_whole, default=64, metavar="N", help="slices a call (default 64)")
    add("--title", default="Does the classifier look at the tumor?", help="of the report")
    add("--no-slices", action="store_true", help="show no slice in the report")
    commands.choices["audit"].set_defaults(action=run)
    add = commands.add_parser(
        "manifest", help="write the table of slices for a common layout of folders",
        epilog="example\n  python -m tumorcf_lib manifest BraTS/ --layout brats",
        formatter_class=raw,
    ).add_argument
    add("folder", help="that holds the images")
    add("--layout", required=True, choices=("brats", "msd", "classes", "pairs"),
        help="BraTS cases; Medical Segmentation Decathlon (imagesTr, labelsTr); a folder a class; "
        "images and masks in two folders, or masks named <image>_mask")
    add("--label", default="tumor", help="class of all slices, where the layout names none")
    add("--sequence", default="t1c", help="of BraTS: t1c (or t1ce), t1n, t2w, t2f, ... ")
    add("--channel", default="", help="of 4-D volumes (MSD): a number, or all")
    add("--mask-label", default="", help="which values of the masks are tumor, such as '1 4'")
    add("--out", default="manifest.csv", help="the table (default: manifest.csv in the folder)")
    commands.choices["manifest"].set_defaults(action=write_manifest)


def write_manifest(options) -> int:
    """Write the table, say how many slices and patients it has."""
    from tumorcf_lib.your_model import manifests

    table, path = manifests.write(
        options.folder, options.layout, options.out, label=options.label,
        sequence=options.sequence, channel=options.channel, mask_label=options.mask_label,
    )
    print(f"{len(table)} slices of {table['patient'].nunique()} patients in {path}. Look at labels "
          "and patients before you audit.")
    return 0


def run(options) -> int:
    """Read the folder, check, audit each classifier, write the report, say where it is."""
    from tumorcf_lib import config
    from tumorcf_lib.your_model import InputError, models, running, slices

    if options.out is None and not options.check:
        raise InputError("Expected a folder for the report, got none. Name it by --out.")
    if options.out is not None:
        _check_out(Path(options.out))
    cohort = slices.read_folder(options.manifest, classes=options.classes, progress=True)
    print(f"{cohort.source} Classes, in this order: {', '.join(cohort.classes)}.", flush=True)
    loaded = [
        models.load(name, layout=options.layout, channels=options.channels)
        for name in options.predict
    ]
    page = running.run(cohort, loaded, options, command=_command(options))
    if page is not None:
        print(f"The report: {config.shown(page)}; rows and tables lie beside it.")
    return 0


def _check_out(folder):
    """Refuse, before the work, a folder that is another's or could not be written to."""
    from tumorcf_lib.your_model import InputError

    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InputError(
            f"Expected a folder for the report that can be made and written to, got {folder}: "
            f"{there} {'cannot be written to' if there.is_dir() else 'is a file'}. Name another "
            "by --out."
        )
    ours = {"audit.json", "parts", "report.html"}
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    mine = [name for name in names if name.startswith(("rows", "table_"))]
    if mine and not names & ours:
        raise InputError(
            f"{folder} holds {', '.join(sorted(mine))}, which no audit has written: they would be "
            "overwritten. Name another folder by --out."
        )


def _command(options):
    """What was typed, without the folders: the page may go to others."""
    words = ["python", "-m", "tumorcf_lib", "audit", "--manifest", Path(options.manifest).name]
    for name in options.predict:
        words += ["--predict", Path(name).name]
    for name in SHOWN:
        value = getattr(options, name)
        if value is not None and value != []:
            join = {list: ",", tuple: "x"}.get(type(value))
            words += [f"--{name.replace('_', '-')}",
                      join.join(map(str, value)) or "0" if join else str(value)]
    return shlex.join(words)


def _names(text):
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text):
    try:
        return [int(number) for number in _names(text)]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected whole numbers separated by commas, got {text!r}"
        ) from None


def _size(text):
    """() keeps the slices' own size; else (height, width)."""
    if text.strip() == "0":
        return ()
    sides = [_whole(side) for side in text.lower().split("x")]
    if len(sides) > 2:
        raise argparse.ArgumentTypeError(f"expected a number or HEIGHTxWIDTH, got {text!r}")
    return sides[0], sides[-1]


def _whole(text):
    if not text.strip().isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 up, got {text!r}")
    return int(text)
