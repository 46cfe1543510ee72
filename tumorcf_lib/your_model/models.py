"""One adapter for every classifier: a Python callable, or an ONNX, Keras or TorchScript file.

A file says itself which layout, channels, batch and numbers it takes; what it leaves open is
tried once. Nothing here needs TensorFlow: each framework is imported for its own files only.
"""

import contextlib
import hashlib
import importlib
import itertools
import os
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tumorcf_lib.your_model import InputError
from tumorcf_lib.your_model.shapes import Shaped


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
    digest: str = ""
    size: tuple | None = None
    copies: object = None
    notes: list = field(default_factory=list)


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
    path = Path(name)
    if path.suffix.lower() not in READERS:
        return _of_callable(name, layout, channels)
    if not path.is_file():
        raise InputError(f"Expected a model file, found none at {name}. Check its spelling.")
    kind, reader = READERS[path.suffix.lower()]
    try:
        with _patience(name):
            run, shape, dtype, redrawn = reader(path)
    except ModuleNotFoundError as error:
        raise InputError(
            f"Expected the package {error.name} to read {path.name}, found none. Install it: "
            f"pip install {error.name}"
        ) from error
    adapter = Shaped(run, shape, layout=layout, channels=channels, dtype=dtype, name=path.name)

    def copies(rng):
        yield from map(adapter.like, redrawn(rng))

    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Model(path.name, kind, _patient(adapter, path.name), digest, adapter.size,
                 copies if redrawn else None, adapter.notes)


def of_function(function, name="predict", *, layout=None, channels=None, digest="") -> Model:
    """A Python callable as a :class:`Model`, its errors named as its own."""
    notes = []
    if layout or channels:
        function = Shaped(function, layout=layout or "nhwc", channels=channels)
        notes = function.notes
    return Model(name, "callable", _patient(function, name), digest, notes=notes)


def _patient(function, name):
    def raw(slices):
        with _patience(name, f", given {slices.dtype} slices of shape {slices.shape}"):
            return function(slices)

    return raw


@contextlib.contextmanager
def _patience(name, given=""):
    """Turns whatever a foreign model raises, ``sys.exit`` too, into an error that names it."""
    try:
        yield
    except (InputError, KeyboardInterrupt):
        raise
    except BaseException as error:
        if isinstance(error, ImportError) and not given:
            raise
        if isinstance(error, ModuleNotFoundError):
            raise InputError(
                f"{name} needs the package {error.name}, which this Python does not have: "
                f"{sys.executable}. Install it there, or run the audit by the Python that has it."
            ) from error
        last = traceback.extract_tb(error.__traceback__)[-1]
        stops = isinstance(error, SystemExit)
        words = "ended the program (sys.exit)" if stops else f"raised {type(error).__name__}"
        raise InputError(
            f"{name} {words}: {error} ({Path(last.filename).name}, line {last.lineno}){given}. "
            "Correct it, or choose another --size, --channels or --layout."
        ) from error


def _of_callable(name, layout, channels):
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise InputError(
            f"Expected module:function, module:object.method or a file ({', '.join(READERS)}), got "
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
        with _patience(f"Importing {module_name}"):
            found = module = importlib.import_module(module_name)
    except ImportError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
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
                 if callable(value) and not key.startswith("_")]
        raise InputError(
            f"Expected a function {attribute} in {module_name}, found none. It has: "
            f"{', '.join(known) or 'no function'}."
        )
    source = getattr(module, "__file__", None)
    digest = hashlib.sha256(Path(source).read_bytes()).hexdigest() if source else ""
    return of_function(found, name, layout=layout, channels=channels, digest=digest)


# -- Files: run, shape and numbers of the input, and a function to re-draw weights ------------


def _redrawn(values, rng):
    """The same weights in another order; vectors (biases, norms) are left as they are."""
    return rng.permutation(values.ravel()).reshape(values.shape) if values.ndim > 1 else values


def _in_place(run, weights, put):
    """Copies of a network whose weights are set in it, and set back at the end."""

    def copies(rng):
        try:
            while True:
                put([_redrawn(values, rng) for values in weights])
                yield run
        finally:
            put(weights)

    return copies if any(values.ndim > 1 for values in weights) else None


def _onnx(path):
    import onnxruntime

    dtype = None

    def session_of(what):
        options = onnxruntime.SessionOptions()
        options.use_deterministic_compute = True
        options.log_severity_level = 4  # whatever goes wrong is raised, too
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle, not busy
        try:
            return onnxruntime.InferenceSession(what, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has a dozen kinds, without a common one
            raise InputError(
                f"Expected an ONNX model in {path.name}, got {type(error).__name__}: {error}. "
                "Export it again."
            ) from error

    session = session_of(os.fspath(path))
    inputs = session.get_inputs()
    number = inputs[0].type[len("tensor(") : -1] if inputs else ""
    with contextlib.suppress(TypeError):  # strings, maps, sequences, bfloat16
        dtype = np.dtype({"float": "float32", "double": "float64"}.get(number, number))
    if len(inputs) != 1 or dtype is None or dtype.kind not in "iuf":
        found = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
        raise InputError(
            f"Expected one input of slices in {path.name}, got: {found}. Write a function that "
            "gives the others their values: --predict my_module:predict."
        )

    def run_of(session):
        return lambda given: tuple(session.run(None, {inputs[0].name: given}))

    def copies(rng):
        import onnx

        for _ in itertools.count():
            model = onnx.load(os.fspath(path))
            for weight in model.graph.initializer:
                drawn = _redrawn(onnx.numpy_helper.to_array(weight), rng)
                weight.CopyFrom(onnx.numpy_helper.from_array(drawn, weight.name))
            yield run_of(session_of(model.SerializeToString()))

    return run_of(session), inputs[0].shape, dtype, copies if _has_weights(path) else None


def _has_weights(path):
    try:
        import onnx
    except ImportError:
        return False
    model = onnx.load(os.fspath(path), load_external_data=False)
    return any(len(w.dims) > 1 and np.prod(w.dims) >= 8 for w in model.graph.initializer)


def _keras(path):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    model = keras.models.load_model(path, compile=False)
    if len(model.inputs) != 1:
        raise InputError(
            f"Expected one input of slices in {path.name}, got {len(model.inputs)}. Write a "
            "function that gives the others their values: --predict my_module:predict."
        )

    def run(given):
        made = model(given, training=False)
        return tuple(made) if isinstance(made, (list, tuple)) else made

    redrawn = _in_place(run, model.get_weights(), model.set_weights)
    return run, model.inputs[0].shape, np.float32, redrawn


def _torch(path):
    import torch

    try:
        if path.suffix == ".pt2":
            model = torch.export.load(path).module()
        else:
            model = torch.jit.load(path, "cpu").eval()
    except Exception as error:  # a pickle of weights or of Python objects, or no model at all
        raise InputError(
            f"Expected TorchScript in {path.name}, got something else ({type(error).__name__}). "
            "Write it by torch.jit.trace(model.eval(), example).save(...): files of weights alone "
            "hold no network, and pickles would run foreign code."
        ) from error

    def run(given):
        with torch.no_grad():
            return model(torch.from_numpy(given))

    own = list(model.parameters())

    def put(weights):
        for parameter, values in zip(own, weights, strict=True):
            parameter.data.copy_(torch.from_numpy(values))

    kept = [parameter.detach().numpy().copy() for parameter in own]
    return run, None, np.float32, _in_place(run, kept, put)


READERS = {
    ".onnx": ("onnx", _onnx), ".keras": ("keras", _keras), ".h5": ("keras", _keras),
    ".hdf5": ("keras", _keras), ".pt": ("torch", _torch), ".pth": ("torch", _torch),
    ".ts": ("torch", _torch), ".torchscript": ("torch", _torch), ".pt2": ("torch", _torch),
}
