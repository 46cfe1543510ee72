"""Giving memory back that a trained network holds on to."""

import gc


def forget_networks():
    """Give back the memory of networks that are trained and stored.

    TensorFlow keeps a registry of gradients that outlives every network: at each training
    step that Keras compiles, the sum over replicas enters one, and with it the step's whole
    graph (0.2 GB for EfficientNet-Lite0). Those entries are removed too, so networks that are
    still to be trained further must be compiled again.
    """
    import keras

    keras.backend.clear_session()
    if keras.backend.backend() == "tensorflow":
        registry = _gradients()
        for name in [name for name in registry if name.startswith("CustomGradient-")]:
            del registry[name]
    gc.collect()


def _gradients() -> dict:
    """TensorFlow's registry by name; empty if a future version keeps it elsewhere."""
    from tensorflow.python.framework import ops

    return getattr(getattr(ops, "gradient_registry", None), "_registry", {})
