"""A trained network as an ONNX file, and a predictor of such a file that needs no Keras.

Export goes by Keras's own exporter (``model.export(format="onnx")``, with tf2onnx behind it);
prediction by ONNX Runtime. Both come with the extra ``onnx``: ``pip install 'tumorcf[onnx]'``.
"""

import importlib.util
import logging
import os
import warnings
from pathlib import Path

import numpy as np

from tumorcf_lib import steps

INSTALL = "pip install onnx onnxruntime tf2onnx (the extra 'onnx' of this package)"


class OnnxUnavailableError(RuntimeError):
    """A package for ONNX that is not installed, or a Keras that cannot export."""


class InvalidOnnxModelError(ValueError):
    """An ONNX file that does not map slices to probabilities."""


def export(model, path) -> Path:
    """Write a Keras network as one self-contained ONNX file, complete or not at all.

    Parameters
    ----------
    model : keras.Model
        From slices (n, height, width, 1) to probabilities (n, n_classes), in float32, run by
        Keras's TensorFlow backend.
    path : path
        Ends in ``.onnx``.

    Returns
    -------
    pathlib.Path
        The file; it takes batches of any size.

    Raises
    ------
    OnnxUnavailableError
        Without tf2onnx, for another backend, or for a network in half precision.
    """
    import keras

    _require("onnx", "tf2onnx")
    backend, policy = keras.config.backend(), model.dtype_policy.name
    if backend != "tensorflow" or policy != "float32":
        raise OnnxUnavailableError(
            f"Expected a float32 network on Keras's tensorflow backend, got {policy} on {backend}. "
            "Load its weights with classifier.load_float16, which builds it in float32."
        )
    path = Path(path)
    model(np.zeros((1, *model.input_shape[1:]), np.float32))  # Keras exports what was called once
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with steps.being_written(path) as unfinished, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # tf2onnx's use of old NumPy names
        model.export(unfinished, format="onnx", verbose=False)
    return path


def predictor(path):
    """A function from slices to probabilities, run by ONNX Runtime on the CPU.

    The same slices in the same batches give the same bits.

    Parameters
    ----------
    path : path
        An ONNX file with one input (n, height, width, 1), as :func:`export` writes it, and
        probabilities (n, n_classes) as its first output.

    Returns
    -------
    callable
        Maps float32 slices (n, height, width) to probabilities (n, n_classes): what
        :func:`edits.audit.audit` asks for.

    Raises
    ------
    OnnxUnavailableError
        Without ONNX Runtime.
    InvalidOnnxModelError
        For a file that is no ONNX model, or one of another input.
    """
    _require("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.use_deterministic_compute = True
    options.log_severity_level = 3  # errors only
    try:
        session = onnxruntime.InferenceSession(
            os.fspath(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime has a dozen kinds, without a common one
        raise InvalidOnnxModelError(
            f"Expected an ONNX model in {path}, got {type(error).__name__}: {error}. Export it "
            "again with onnx_export.export."
        ) from error
    name, shape = _checked_input(session, path)

    def predict(slices):
        if slices.shape[1:] != shape:
            raise InvalidOnnxModelError(
                f"Expected slices of {shape} pixels for {path}, got {slices.shape[1:]}. Prepare "
                f"them with size_px={shape[0]}."
            )
        return session.run(None, {name: slices[..., None]})[0]

    return predict


def _checked_input(session, path):
    """Name of the input, and height and width of a slice."""
    inputs = session.get_inputs()
    shapes = [tuple(given.shape) for given in inputs]
    fits = len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][3] == 1
    if not fits or not all(isinstance(n, int) for n in shapes[0][1:3]):
        raise InvalidOnnxModelError(
            f"Expected one input (n, height, width, 1) in {path}, got {shapes}. For other "
            "networks write a predict function of your own: three lines around ONNX Runtime."
        )
    return inputs[0].name, shapes[0][1:3]


def _require(*packages):
    lacking = [name for name in packages if importlib.util.find_spec(name) is None]
    if lacking:
        raise OnnxUnavailableError(
            f"Expected the package {' and '.join(lacking)}, found none. Install: {INSTALL}."
        )
