"""``python -m tumorcf_lib audit``: a reader's classifier on a reader's folder of slices."""

import argparse
import importlib
import os
import sys
import traceback
from pathlib import Path

DESCRIPTION = """\
Audit a classifier of your own on slices of your own: does it look at the tumor?

The manifest is a CSV table with one row a slice:
  image    path of the slice, relative to the manifest (PNG, TIFF, JPEG, BMP, NPY, NIfTI)
  mask     path of the tumor's mask, same size, inside is not zero; empty without a tumor
  label    class        patient   whose slice it is
  index, axis           which slice of a NIfTI volume

The classifier is a Python function of the current folder, named as module:function. It gets
float32 slices (n, height, width) and returns probabilities (n, classes), in the order of
--classes. Or a file model.onnx that takes slices (n, height, width, 1).

example
  python -m tumorcf_lib audit --manifest slices.csv --predict my_module:predict --out report/
"""


class AuditCommandError(ValueError):
    """An audit that was asked for in a way that cannot be done."""


class PredictFailedError(RuntimeError):
    """The reader's own code raised an error; says which, where, and for what input."""


def add_parser(commands):
    """Add the command ``audit`` to the command line's subparsers."""
    parser = commands.add_parser(
        "audit", help="audit a classifier of your own on slices of your own",
        description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--manifest", required=True, help="table of slices, or a folder with manifest.csv")
    add("--predict", required=True, help="module:function, or a file .onnx")
    add("--out", required=True, help="folder of the report")
    add("--classes", type=_names, help="names in the order of the outputs, separated by commas "
        "(default: the labels in alphabetical order)")  # fmt: skip
    add("--size", type=_whole(0), default=224, metavar="PX",
        help="side of the slices that the classifier gets; 0 keeps theirs (default 224)")
    add("--scale", choices=("zscore", "unit", "raw"), default="zscore",
        help="intensities: z-scored as in the study (default), 0 to 1, or as stored")
    add("--places", type=_whole(0), default=20, metavar="K", help="shams a slice (default 20)")
    add("--infills", type=_names, default=[], metavar="NAMES",
        help="further infills, separated by commas")
    add("--dilations", type=_numbers, default=[], metavar="PX",
        help="further dilations of the mask, separated by commas, in pixels of a slice of "
        "512 x 512; write a negative one as --dilations=-2,5")  # fmt: skip
    add("--control-places", type=_whole(0), default=5, metavar="K",
        help="shams a slice for each further infill and dilation (default 5)")
    add("--seed", type=int, default=0, help="of sham places (default 0)")
    add("--batch-size", type=_whole(1), default=64, metavar="N",
        help="slices a call (default 64)")
    add("--title", default="Does the classifier look at the tumor?", help="of the report")
    add("--no-slices", action="store_true", help="show no slice in the report")
    parser.set_defaults(action=run)
    return parser


def run(options) -> int:
    """Read the folder, audit the classifier, write the report, say where it is."""
    from tumorcf_lib import config
    from tumorcf_lib.edits import audit, plan
    from tumorcf_lib.your_model import report
    from tumorcf_lib.your_model import slices as folder

    _check_out(Path(options.out))
    predict, progress = load_predict(options.predict), sys.stderr.isatty()
    cohort = folder.read_folder(options.manifest, classes=options.classes, progress=progress)
    print(f"{cohort.source} Classes, in this order: {', '.join(cohort.classes)}.", flush=True)
    prepared = folder.prepare(
        cohort, size_px=options.size or None, scale=options.scale, progress=progress
    )
    side_px = prepared.slices.shape[1]
    edits = folder.headline_edits(options.scale) + plan.control_edits(
        options.infills, options.dilations, side_px, options.control_places
    )
    rows = audit.audit(
        _named(predict, options.predict), prepared, edits=edits, n_places=options.places,
        seed=options.seed, batch_size=options.batch_size, progress=progress,
    )  # fmt: skip
    print("Writing the report ...", flush=True)
    page = report.write_report(
        rows, options.out, cohort=prepared, title=options.title, notes=_notes(options, side_px),
        show_slices=not options.no_slices,
    )  # fmt: skip
    print(f"{len(rows)} rows. The report: {config.shown(page.resolve())}; rows and tables lie "
          "beside it.")  # fmt: skip
    return 0


def load_predict(name):
    """The function that ``module:function`` names, or the predictor of an ONNX file.

    The module is looked for in the current folder first.

    Raises
    ------
    AuditCommandError
        If there is no such module or function.
    PredictFailedError
        If the module raises an error while it is imported.
    """
    if name.endswith(".onnx"):
        from tumorcf_lib.your_model import onnx_export

        return onnx_export.predictor(name)
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise AuditCommandError(
            f"Expected --predict module:function or a file .onnx, got {name!r}. For a function "
            "predict in my_module.py write --predict my_module:predict."
        )
    if "/" in module_name or module_name.endswith(".py"):
        raise AuditCommandError(
            f"Expected the name of a module without folder and .py, got {module_name!r}. Run the "
            f"command in its folder with --predict {Path(module_name).stem}:{attribute}."
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # the reader's own module may raise whatever it likes
        if isinstance(error, ModuleNotFoundError) and _is_part_of(error.name, module_name):
            raise AuditCommandError(
                f"Expected the module {module_name} in {here} or installed, found none. Run the "
                "command in the folder that holds it."
            ) from error
        raise PredictFailedError(
            f"Importing {module_name} raised {_words(error)}. Correct the module."
        ) from error
    function = getattr(module, attribute, None)
    if not callable(function):
        known = [key for key, value in vars(module).items()
                 if callable(value) and not key.startswith("_")]  # fmt: skip
        raise AuditCommandError(
            f"Expected a function {attribute} in {module_name}, found none. It has: "
            f"{', '.join(known) or 'no function'}."
        )
    return function


def _check_out(folder):
    """Refuse, before the work, a folder that could not be written to after it."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise AuditCommandError(
            f"Expected a folder for the report that can be made and written to, got {folder}: "
            f"{there} {'cannot be written to' if there.is_dir() else 'is a file'}. Name another "
            "by --out."
        )


def errors():
    """Errors of this command that are written for people: shown without a traceback."""
    from tumorcf_lib.data import preprocess
    from tumorcf_lib.edits import audit, plan
    from tumorcf_lib.your_model import onnx_export
    from tumorcf_lib.your_model import slices as folder

    return (
        AuditCommandError, PredictFailedError, audit.InvalidAuditError, audit.PredictionError,
        folder.FolderError, onnx_export.InvalidOnnxModelError, onnx_export.OnnxUnavailableError,
        plan.InvalidPlanError, preprocess.InvalidSliceError,
    )  # fmt: skip


def _named(predict, name):
    """The reader's function, with its errors named as its own."""

    def named(slices):
        try:
            return predict(slices)
        except Exception as error:  # the reader's own code may raise whatever it likes
            raise PredictFailedError(
                f"{name} raised {_words(error)}, given {slices.dtype} slices of shape "
                f"{slices.shape}. Correct it, or choose another --size or --scale."
            ) from error

    return named


def _words(error):
    """Kind and message of an error, and the line of code that it comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"


def _is_part_of(missing, module_name):
    return missing is not None and (module_name + ".").startswith(missing + ".")


def _notes(options, side_px):
    scale = {"zscore": "z-scored", "unit": "scaled to 0 to 1", "raw": "as stored"}[options.scale]
    name = Path(options.predict).name  # of a file, the folder is nobody's business
    notes = [f"Classifier: {name}",
             f"Slices prepared at {side_px} px, intensities {scale}"]  # fmt: skip
    if options.scale != "zscore":
        notes.append("Edits defined on z-scores (silhouette, refitted intensities) are left out")
    return notes


def _names(text):
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text):
    try:
        return [int(number) for number in _names(text)]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected whole numbers separated by commas, got {text!r}"
        ) from None


def _whole(lowest):
    """A reader of whole numbers from ``lowest`` up."""

    def read(text):
        if not text.strip().isdecimal() or int(text) < lowest:
            raise argparse.ArgumentTypeError(
                f"expected a whole number from {lowest} up, got {text!r}"
            )
        return int(text)

    return read
