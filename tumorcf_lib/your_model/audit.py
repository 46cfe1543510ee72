"""Audit a classifier of your own on slices of your own: does it look at the tumor?

The manifest is a CSV table with one row a slice (python -m tumorcf_lib manifest writes it for
common layouts of folders). Its columns:
  image        path of the slice, relative to the manifest (PNG, TIFF, JPEG, BMP, NPY, NIfTI, DICOM)
  mask         path of the tumor's mask, of the same size: 0 outside, other values inside; empty if
               the slice shows no tumor
  label        class of the slice
  patient      ID of the patient: intervals resample patients, not slices
and, where they are needed:
  index, axis  which slice of a volume, counted from 0, across which axis (default 2)
  channel      which of several channels, or which volume of a 4-D file; "all" for all of them
  mask_label   which values of the mask are tumor, such as "1 4" or ">0.5"
  slice_id     name of the slice, if not its file's

The classifier is a file (ONNX, Keras, TorchScript), or a Python function of the current folder,
named as module:function or module:object.method. It gets float32 slices (n, height, width), or
(n, height, width, channels), and returns probabilities (n, classes) in the order of --classes.

examples
  python -m tumorcf_lib audit --manifest slices.csv --predict model.onnx --check
  python -m tumorcf_lib audit --manifest slices.csv --predict my_module:predict --out report/
"""

import argparse
import shlex
import sys
import tempfile
from pathlib import Path

from tumorcf_lib.your_model import TITLE, InputError


def add_parser(commands):
    """Add the commands ``audit`` and ``manifest`` to the command line's subparsers."""
    raw = argparse.RawDescriptionHelpFormatter
    does = "audit a classifier of your own on slices of your own"
    own = commands.add_parser("audit", help=does, formatter_class=raw, description=__doc__)
    own.set_defaults(action=run)
    add = own.add_argument
    add("--manifest", required=True, help="table of slices, or a folder with manifest.csv")
    give = "module:function or a model file; give it twice to compare two classifiers"
    add("--predict", "--model", required=True, action="append", dest="predict", help=give)
    add("--out", metavar="FOLDER", help="folder for the report")
    add("--check", action="store_true", help="check slices, masks and answers; measure nothing")
    names = "class names in the order of the outputs, with commas (default: alphabetical)"
    add("--classes", type=_names, metavar="NAMES", help=names)
    size = "side of the slices, or HEIGHTxWIDTH; 0: as stored (default: the model file's, or 224)"
    add("--size", type=_size, metavar="PX", help=size)
    fit = "pad slices of another shape with air (default), or stretch them"
    add("--fit", choices=("pad", "stretch"), default="pad", help=fit)
    scale = "intensities: z-scored as in the study (default), from 0 to 1, or as stored"
    add("--scale", choices=("zscore", "unit", "raw"), default="zscore", help=scale)
    air = "stored value of air, if it is not the darkest one (needs --scale raw)"
    add("--air", type=float, metavar="VALUE", help=air)
    output = "what the classifier returns (default: recognized from its first answers)"
    add("--output", choices=("auto", "softmax", "logits", "sigmoid"), default="auto", help=output)
    add("--channels", type=_whole, help="channels that it takes; gray slices are repeated")
    layout = "order of the axes that it takes, where its file leaves that open (default: nchw)"
    add("--layout", choices=("nhw", "nhwc", "nchw"), help=layout)
    add("--places", type=_whole, default=20, metavar="K", help="shams for each slice (default 20)")
    add("--infills", type=_names, default=[], help="further infills, separated by commas")
    grown = "further dilations of the mask, in pixels of 512 x 512; negative ones: --dilations=-2,5"
    add("--dilations", type=_numbers, default=[], metavar="PX", help=grown)
    places = "shams for each slice under each further infill and dilation (default 5)"
    add("--control-places", type=_whole, default=5, metavar="K", help=places)
    add("--seed", type=int, default=0, help="seed of the sham places (default 0)")
    add("--batch-size", type=_whole, default=64, help="slices in a call (default 64)")
    add("--title", default=TITLE, help="title of the report")
    add("--no-slices", action="store_true", help="leave patients' slices out of the report")
    does = "write the table of slices for a common layout of folders"
    example = "example\n  python -m tumorcf_lib manifest BraTS/ --layout brats"
    own = commands.add_parser("manifest", help=does, epilog=example, formatter_class=raw)
    own.set_defaults(action=write_manifest)
    add = own.add_argument
    add("folder", help="folder that holds the images")
    layouts = (
        "brats: a folder for each case; msd: Medical Segmentation Decathlon (imagesTr, labelsTr); "
        "classes: a folder for each class; pairs: images and masks in two folders, or masks named "
        "<image>_mask"
    )
    add("--layout", required=True, choices=("brats", "msd", "classes", "pairs"), help=layouts)
    add("--label", default="tumor", help="class of all slices, where the layout names none")
    add("--sequence", default="t1c", help="BraTS sequence: t1c (default, or t1ce), t1n, t2w, t2f")
    add("--channel", default="", help="channel of 4-D volumes (MSD): a number, or all")
    add("--mask-label", default="", help="which values of the masks are tumor, such as '1 4'")
    add("--out", default="manifest.csv", help="the table, in that folder (default: manifest.csv)")


def write_manifest(options) -> int:
    """Write the table, say how many slices and patients it has."""
    from tumorcf_lib.your_model import manifests

    table, path = manifests.write(options)
    n = f"{len(table)} slices of {table['patient'].nunique()} patients"
    found = table.assign(masks=table["mask"] != "").groupby("label")["masks"].agg(["size", "sum"])
    each = ", ".join(f"{label} {row['size']} ({row['sum']})" for label, row in found.iterrows())
    print(f"{n} in {path}: {each} (in parentheses: with a mask).")
    print("Look at labels, masks and patients before you audit.")
    return 0


def run(options) -> int:
    """Read the folder, check, audit each classifier, write the report, say where it is."""
    from tumorcf_lib import config
    from tumorcf_lib.your_model import models, running, slices

    _check_out(options)
    cohort = slices.read_folder(options.manifest, classes=options.classes)
    print(f"{cohort.source} Classes, in this order: {', '.join(cohort.classes)}.", flush=True)
    how = {"layout": options.layout, "channels": options.channels}
    loaded = [models.load(name, **how) for name in options.predict]
    page = running.run(cohort, loaded, options, command=_command(options))
    if page is not None:
        beside = "" if options.check else "; rows and tables lie beside it"
        print(f"The report: {config.shown(page)}{beside}.")
    return 0


def _check_out(options):
    """Refuse, before the work, a folder that is another's or could not be written to."""
    from tumorcf_lib.your_model import report, running

    if not options.out:
        if not options.check:
            raise InputError("Expected a folder for the report, got none. Name it by --out.")
        return
    folder = Path(options.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        words = f"Expected a folder that can be made and written to, got {folder}"
        raise InputError(f"{words} ({error.strerror}). Name another by --out.") from error
    names = {path.name for path in folder.glob("*")}
    mine = sorted(filter(report.OWN_TABLE.fullmatch, names))
    if mine and not names & {"audit.json", running.UNFINISHED, "report.html"}:
        raise InputError(
            f"{folder} holds {', '.join(mine)}, which no audit has written and which would be "
            "overwritten. Name another folder by --out."
        )


def _command(options):
    """What was typed, without the folders: the page may go to others."""
    paths = filter(None, (options.manifest, options.out, *options.predict))
    shown = {path: Path(path).name or path for path in paths}
    words = []
    for word in sys.argv[1:]:
        option, equals, value = word.rpartition("=")
        words.append(option + equals + shown.get(value, value))
    return shlex.join(["python", "-m", "tumorcf_lib", *words])


def _names(text):
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text):
    return [int(number) for number in _names(text)]


def _size(text):
    """() keeps the slices' own size; else (height, width)."""
    height, _, width = text.lower().partition("x")
    return () if text.strip() == "0" else (_whole(height), _whole(width or height))


def _whole(text):
    if not text.strip().isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 up, got {text!r}")
    return int(text)
