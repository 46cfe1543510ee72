"""The classifiers: backbones, training, fine-tuning. All that needs Keras."""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # what another project left in keras.json


class MissingBackendError(RuntimeError):
    """A backend of Keras that was asked for and is not installed."""


try:
    import keras
except (ModuleNotFoundError, ValueError) as error:
    if getattr(error, "name", "") == "keras":
        raise
    raise MissingBackendError(
        f"Expected the backend {os.environ['KERAS_BACKEND']!r} of Keras (KERAS_BACKEND), got: "
        f"{error}. Install it, or unset KERAS_BACKEND: tensorflow is what this project installs."
    ) from error

# Nor may keras.json choose another network: shapes and precision are the profile's
keras.config.set_image_data_format("channels_last")
keras.config.set_floatx("float32")
keras.config.set_epsilon(1e-7)
