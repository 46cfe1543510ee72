"""Model files: ONNX, Keras and TorchScript, each read by its own framework only."""

import importlib.util
import os
from pathlib import Path

import numpy as np

from tumorcf_lib.your_model import InputError
from tumorcf_lib.your_model.shapes import Shaped, shaped


def onnx_file(path, layout, channels):
    import onnxruntime

    numbers = {"tensor(float)": np.float32, "tensor(float16)": np.float16,
               "tensor(double)": np.float64, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8,
               "tensor(uint16)": np.uint16, "tensor(int16)": np.int16,
               "tensor(int32)": np.int32, "tensor(int64)": np.int64}  # fmt: skip

    def session_of(what):
        options = onnxruntime.SessionOptions()
        options.use_deterministic_compute = True
        options.log_severity_level = 4  # whatever goes wrong is raised, too
        try:
            return onnxruntime.InferenceSession(what, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has a dozen kinds, without a common one
            raise InputError(
                f"Expected an ONNX model in {path.name}, got {type(error).__name__}: {error}. "
                "Export it again."
            ) from error

    session = session_of(os.fspath(path))
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type not in numbers:
        found = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
        raise InputError(
            f"Expected one input of slices in {path.name}, got: {found}. Write a function that "
            "gives the others their values: --predict my_module:predict."
        )
    name, dtype = inputs[0].name, numbers[inputs[0].type]
    runner = {"session": session}

    def run(given):
        return tuple(runner["session"].run(None, {name: given}))

    adapter, size = shaped(run, inputs[0].shape, layout, channels, path.name, dtype)

    def copies(rng):
        import onnx

        while True:
            model = onnx.load(os.fspath(path))
            weights = [w for w in model.graph.initializer if len(w.dims) > 1]
            for weight in weights:
                values = onnx.numpy_helper.to_array(weight)
                drawn = rng.permutation(values.ravel()).reshape(values.shape)
                weight.CopyFrom(onnx.numpy_helper.from_array(drawn, weight.name))
            drawn = session_of(model.SerializeToString())
            yield adapter.like(lambda given, s=drawn: tuple(s.run(None, {name: given})))

    return adapter, size, copies if _has_weights(path) else None


def _has_weights(path):
    if importlib.util.find_spec("onnx") is None:
        return False
    import onnx

    model = onnx.load(os.fspath(path), load_external_data=False)
    return any(len(w.dims) > 1 and np.prod(w.dims) >= 8 for w in model.graph.initializer)


def keras_file(path, layout, channels):
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

    adapter, size = shaped(run, model.inputs[0].shape, layout, channels, path.name)

    def copies(rng):
        kept = model.get_weights()
        try:
            while True:
                model.set_weights([rng.permutation(w.ravel()).reshape(w.shape)
                                   if w.ndim > 1 else w for w in kept])  # fmt: skip
                yield adapter
        finally:
            model.set_weights(kept)

    return adapter, size, copies


def torch_file(path, layout, channels):
    import torch

    try:
        exported = path.suffix == ".pt2"
        model = torch.export.load(path).module() if exported else torch.jit.load(path, "cpu")
    except Exception as error:  # a pickle of weights or of Python objects, or no model at all
        raise InputError(
            f"Expected TorchScript in {path.name}, got something else ({type(error).__name__}). "
            "Write it by torch.jit.trace(model.eval(), example).save(...): files of weights alone "
            "hold no network, and pickles would run foreign code."
        ) from error
    if not exported:
        model.eval()

    def run(given):
        with torch.no_grad():
            return model(torch.from_numpy(given))

    adapter = Shaped(run, [layout] if layout else ["nchw", "nhwc"],
                     [channels] if channels else [1, 3])  # fmt: skip

    def copies(rng):
        weights = [w for w in model.parameters() if w.dim() > 1]
        kept = [w.detach().clone() for w in weights]
        try:
            while True:
                for w, own in zip(weights, kept, strict=True):
                    order = torch.from_numpy(rng.permutation(own.numel()))
                    w.data.copy_(own.flatten()[order].reshape(own.shape))
                yield adapter
        finally:
            for w, own in zip(weights, kept, strict=True):
                w.data.copy_(own)

    return adapter, None, copies if any(w.dim() > 1 for w in model.parameters()) else None


def export_onnx(model, path) -> Path:
    """Write a Keras network as one self-contained ONNX file, complete or not at all.

    Parameters
    ----------
    model : keras.Model
        From slices (n, height, width, 1) to probabilities (n, n_classes), in float32, run by
        Keras's TensorFlow backend.
    path : path
        Ends in ``.onnx``; the file takes batches of any size.

    Returns
    -------
    pathlib.Path
    """
    import logging
    import warnings

    import keras

    lacking = [name for name in ("onnx", "tf2onnx") if importlib.util.find_spec(name) is None]
    backend, policy = keras.config.backend(), model.dtype_policy.name
    if lacking or backend != "tensorflow" or policy != "float32":
        raise InputError(
            f"Expected onnx, tf2onnx and a float32 network on Keras's tensorflow backend, got "
            f"{policy} on {backend}; not installed: {', '.join(lacking) or 'none'}."
        )
    path = Path(path)
    unfinished = path.with_suffix(".part.onnx")
    model(np.zeros((1, *model.input_shape[1:]), np.float32))  # Keras exports what was called once
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # tf2onnx's use of old NumPy names
        model.export(unfinished, format="onnx", verbose=False)
    return unfinished.replace(path)


READERS = {"onnx": onnx_file, "keras": keras_file, "torch": torch_file}
