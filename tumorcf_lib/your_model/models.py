"""One adapter for every classifier: a Python callable, or an ONNX, Keras or TorchScript file.

A file says itself which layout, channels, batch and numbers it takes; what it leaves open is
tried once. Nothing here needs TensorFlow: each framework is imported for its own files only.
"""

import hashlib
import importlib
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

from tumorcf_lib.your_model import InputError, model_files
from tumorcf_lib.your_model.shapes import Shaped

FILES = {".onnx": "onnx", ".keras": "keras", ".h5": "keras", ".hdf5": "keras", ".pt": "torch",
         ".pth": "torch", ".ts": "torch", ".torchscript": "torch", ".pt2": "torch"}  # fmt: skip
LAYOUTS = ("nhw", "nhwc", "nchw")


@dataclass
class Model:
    """A classifier, whatever is behind it.

    `raw` maps float32 slices (n, height, width) or (n, height, width, channels) to whatever the
    classifier answers; `size` is (height, width) where the file fixes it. `copies(rng)` yields,
    without end, the same network with re-drawn weights; None where there is no way to.
    """

    name: str
    kind: str
    raw: object
    digest: str
    size: tuple | None = None
    copies: object = None
    notes: list = None


def load(name, *, layout=None, channels=None) -> Model:
    """The classifier behind ``module:function``, ``module:object.method`` or a file.

    Parameters
    ----------
    name : str
        Of a file: ONNX (``.onnx``), Keras (``.keras``, ``.h5``) or TorchScript (``.pt``, ``.ts``).
        A module is looked for in the current folder first.
    layout : {"nhw", "nhwc", "nchw"}, optional
        Where the channels stand in what the classifier takes, if it does not say so itself.
    channels : int, optional
        How many it takes; gray slices are repeated.

    Raises
    ------
    InputError
        Saying what is missing or does not fit, and what to do.
    """
    kind = FILES.get(Path(name).suffix.lower())
    if kind is None:
        return _of_callable(name, layout, channels)
    path = Path(name)
    if not path.is_file():
        raise InputError(f"Expected a model file, found none at {name}. Check its spelling.")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        with _Patience(name):
            adapter, size, copies = model_files.READERS[kind](path, layout, channels)
    except ModuleNotFoundError as error:
        raise InputError(
            f"Expected the package {error.name} to read {path.name}, found none. Install it: "
            f"pip install {error.name}"
        ) from error

    def raw(slices):
        with _Patience(path.name, f", given slices of shape {slices.shape}"):
            return adapter(slices)

    return Model(path.name, kind, raw, digest, size, copies, adapter.notes)


class _Patience:
    """Turns whatever a foreign model raises, ``sys.exit`` too, into an error that names it."""

    def __init__(self, name, given=""):
        self.name, self.given = name, given

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is None or isinstance(error, (InputError, KeyboardInterrupt)):
            return False
        if isinstance(error, ImportError) and not self.given:
            return False
        if isinstance(error, ModuleNotFoundError):
            raise InputError(
                f"{self.name} needs the package {error.name}, which this Python does not have: "
                f"{sys.executable}. Install it there, or run the audit by the Python that has it."
            ) from error
        frames = traceback.extract_tb(trace)
        where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
        words = "ended the program (sys.exit)" if kind is SystemExit else f"raised {kind.__name__}"
        raise InputError(
            f"{self.name} {words}: {error}{where}{self.given}. Correct it, or choose another "
            "--size, --channels or --layout."
        ) from error


# -- Python callables --------------------------------------------------------


def _of_callable(name, layout, channels):
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise InputError(
            f"Expected module:function, module:object.method or a file ({', '.join(FILES)}), got "
            f"{name!r}. For a function predict in my_module.py write --predict my_module:predict."
        )
    if "/" in module_name or "\\" in module_name or module_name.endswith(".py"):
        raise InputError(
            f"Expected the name of a module without folder and .py, got {module_name!r}. Run the "
            f"command in its folder with --predict {Path(module_name).stem}:{attribute}."
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        with _Patience(f"Importing {module_name}"):
            found = module = importlib.import_module(module_name)
    except ImportError as error:
        missing = getattr(error, "name", None) or ""
        if (module_name + ".").startswith(missing + ".") and missing:
            raise InputError(
                f"Expected the module {module_name} in {here} or installed, found none. Run the "
                "command in the folder that holds it."
            ) from error
        raise InputError(
            f"Importing {module_name} raised {type(error).__name__}: {error}. Correct the module."
        ) from error
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        known = [key for key, value in vars(module).items()
                 if callable(value) and not key.startswith("_")]  # fmt: skip
        raise InputError(
            f"Expected a function {attribute} in {module_name}, found none. It has: "
            f"{', '.join(known) or 'no function'}."
        )
    source = getattr(module, "__file__", None)
    digest = hashlib.sha256(Path(source).read_bytes()).hexdigest() if source else ""
    return of_function(found, name, layout=layout, channels=channels, digest=digest)


def of_function(function, name="predict", *, layout=None, channels=None, digest="") -> Model:
    """A Python callable as a :class:`Model`, its errors named as its own."""
    shaped = function
    if layout or channels:
        shaped = Shaped(function, [layout or "nhwc"], [channels])

    def raw(slices):
        given = f", given {slices.dtype} slices of shape {slices.shape}"
        with _Patience(name, given):
            return shaped(slices)

    return Model(name, "callable", raw, digest, notes=getattr(shaped, "notes", []))
