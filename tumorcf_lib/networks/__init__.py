"""The classifiers: backbones, training, fine-tuning. All that needs Keras."""

import os

# What another project left in keras.json or in the environment chooses neither backend, shapes
# nor precision: those are this project's, and the profile's.
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras

keras.config.set_image_data_format("channels_last")
keras.config.set_floatx("float32")
keras.config.set_epsilon(1e-7)
