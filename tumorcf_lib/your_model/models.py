"""A reader's classifier: a Python callable, or an ONNX, Keras or TorchScript file.

A file says itself which layout, channels, batch and numbers it takes; options say what it leaves
open. Each framework is imported for its own files only: nothing here needs TensorFlow.
"""

import contextlib
import functools
import importlib
import os
import pkgutil
import re
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tumorcf_lib import steps
from tumorcf_lib.your_model import InputError
from tumorcf_lib.your_model.adapter import Shaped

NUMBERS = {"tensor(float)": np.float32, "tensor(double)": np.float64} | {
    f"tensor({name})": np.dtype(name)
    for name in ("float16", "uint8", "int8", "uint16", "int16", "int32", "int64")
}
"""What an ONNX file calls the numbers that it takes."""

EXPORT = (
    "Export it again (PyTorch: torch.jit.trace(model.eval(), example).save(...); weights alone "
    "hold no network, and a pickle would run foreign code)"
)

FUNCTION = (
    "If it lacks code (weights alone, custom layers, a Lambda), build the model in a function: "
    "--predict my_module:predict"
)


@dataclass
class Model:
    """A classifier, whatever is behind it.

    `raw` maps float32 slices (n, height, width) or (n, height, width, channels) to whatever the
    classifier answers; `size` is (height, width) where the file fixes it.
    """

    name: str
    raw: object
    digest: str = ""
    size: tuple | None = None


def load(name, *, layout=None, channels=None) -> Model:
    """The classifier behind ``module:function``, ``module:object.method`` or a file.

    Parameters
    ----------
    name : str
        Of a file: ONNX (``.onnx``), Keras (``.keras``, ``.h5``) or TorchScript (``.pt``, ``.ts``).
        A module is looked for in the current folder first.
    layout : {"nhw", "nhwc", "nchw"}, optional
        Where the channels stand in what the classifier takes, if it does not say so itself
        (default: of a file "nchw").
    channels : int, optional
        How many it takes, if it does not say so; gray slices are repeated.

    Raises
    ------
    InputError
        Saying what is missing or does not fit, and what to do.
    """
    path = Path(name)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        return _of_module(name, layout, channels)
    if not path.is_file():
        raise InputError(f"Expected a model file, found none at {name}. Check its spelling.")
    with _named(path.name, advice=FUNCTION if reader is _keras else EXPORT):
        run, shape, dtype = reader(path)
    shaped = Shaped(run, shape, layout=layout, channels=channels, dtype=dtype, name=path.name)
    raw = _raising_named(shaped, path.name)
    return Model(path.name, raw, steps.file_sha256(path), shaped.size)


def _of_module(name, layout, channels):
    advice = "For predict in my_module.py: --predict my_module:predict, in its folder"
    module = name.partition(":")[0]
    if ":" not in name or re.search(r"[/\\]|\.py$", module):
        words = f"Expected module:function, module:object.method or a file ({', '.join(READERS)})"
        raise InputError(f"{words}, got {name!r}. {advice}.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    with _named(f"Importing {name}", advice=advice):
        found = importlib.import_module(module)
    with contextlib.suppress(AttributeError):
        found = pkgutil.resolve_name(name)
    if not callable(found):
        known = [key for key, it in vars(sys.modules[module]).items() if callable(it)]
        has = ", ".join(key for key in known if key[0] != "_") or "no function"
        raise InputError(f"Expected the function {name}, got none. It has: {has}. {advice}.")
    if layout or channels:
        found = Shaped(found, layout=layout or "nhwc", channels=channels)
    file = getattr(sys.modules[module], "__file__", None)
    digest = steps.file_sha256(Path(file)) if file else ""
    return Model(name, _raising_named(found, name), digest)


def _raising_named(function, name):
    options = "--size, --batch-size, --layout, --channels"
    advice = f"Correct it, or choose another of {options}, or a column channel"

    def raw(slices):
        given = f", given {slices.dtype} slices of shape {slices.shape}"
        with _named(name, given=given, advice=advice):
            return function(slices)

    return raw


@contextlib.contextmanager
def _named(name, *, given="", advice):
    """Turns whatever a foreign model raises, ``sys.exit`` too, into an error that names it."""
    try:
        yield
    except (InputError, KeyboardInterrupt):
        raise
    except ModuleNotFoundError as error:
        raise InputError(
            f"{name} needs the package {error.name}, which neither this folder nor this Python "
            f"({sys.executable}) has. Install it, or run the audit where it is."
        ) from error
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        stops = isinstance(error, SystemExit)
        words = "ended the program (sys.exit)" if stops else f"raised {type(error).__name__}"
        place = f"({Path(last.filename).name}, line {last.lineno})"
        raise InputError(f"{name} {words}: {error} {place}{given}. {advice}.") from error


# -- Files: how to run it, shape and numbers of its input ---------------------------------------


def _onnx(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.use_deterministic_compute = True
    options.log_severity_level = 4  # whatever goes wrong is raised, too
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle, not busy
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(os.fspath(path), options, providers=providers)
    inputs = session.get_inputs()
    dtype = NUMBERS.get(inputs[0].type) if len(inputs) == 1 else None
    if dtype is None:
        raise _several_inputs(path, ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs))

    def run(given):
        return tuple(session.run(None, {inputs[0].name: given}))

    return run, inputs[0].shape, dtype


def _keras(path):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    model = keras.models.load_model(path, compile=False)
    if len(model.inputs) != 1:
        raise _several_inputs(path, f"{len(model.inputs)} inputs")
    return functools.partial(model, training=False), model.inputs[0].shape, np.float32


def _several_inputs(path, found):
    return InputError(
        f"Expected one input of slices in {path.name}, got: {found}. Write a "
        "function that gives the others their values: --predict my_module:predict."
    )


def _torch(path):
    import torch

    model = torch.jit.load(path, "cpu").eval()

    def run(given):
        with torch.no_grad():
            return model(torch.from_numpy(given))

    return run, None, np.float32


READERS = {
    ".onnx": _onnx,
    **dict.fromkeys((".keras", ".h5", ".hdf5"), _keras),
    **dict.fromkeys((".pt", ".pth", ".ts", ".torchscript"), _torch),
}
