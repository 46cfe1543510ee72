"""The classifier: build, train, predict, save and load."""

import os
import zipfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import layers
from tqdm import tqdm

from tumorcf_lib import steps
from tumorcf_lib.config import CLASSES, Profile
from tumorcf_lib.networks import backbones

MAX_STORED_BYTES = 100_000_000  # of a file of weights when it is unpacked


class WeightsMismatchError(ValueError):
    """Stored weights that do not belong to the network of this profile."""


def build(profile: Profile, *, n_classes=len(CLASSES), seed=0, precision=None) -> keras.Model:
    """Backbone, global average pooling, Dense 256 ReLU, dropout, softmax (in float32).

    From ``(n, size_px, size_px, 1)`` z-scored slices to ``(n, n_classes)`` probabilities. ``seed``
    is of the head's weights and of dropout; a backbone without pretrained weights draws from
    Keras's global seed.

    >>> from tumorcf_lib.config import get
    >>> import dataclasses
    >>> build(dataclasses.replace(get("smoke"), weights=None)).output_shape
    (None, 3)
    """
    usual = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision or choose_precision(profile.backbone))
    try:
        backbone = backbones.build_backbone(
            profile.backbone,
            profile.size_px,
            profile.weights,
            stochastic_depth=profile.stochastic_depth,
        )
        slices = keras.Input((profile.size_px, profile.size_px, 1), name="slices")
        x = layers.GlobalAveragePooling2D(name="features")(backbone(slices))
        x = layers.Dense(256, "relu", kernel_initializer=_glorot(seed), name="hidden")(x)
        x = layers.Dropout(profile.dropout, seed=seed, name="dropout")(x)
        x = layers.Dense(
            n_classes,
            "softmax",
            kernel_initializer=_glorot(seed + 1),
            dtype="float32",
            name="probabilities",
        )(x)
        return keras.Model(slices, x, name="classifier")
    finally:
        keras.config.set_dtype_policy(usual)


def _glorot(seed):
    return keras.initializers.GlorotUniform(seed=seed)


def set_up(seed) -> str:
    """Seed Keras, ask its backend for repeatable operations, and name the device for the run
    header, such as "CPU, 2 cores (Keras on tensorflow)"."""
    keras.utils.set_random_seed(seed)
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    device = "GPU" if _has_gpu() else f"CPU, {cores} cores"
    return f"{device} (Keras on {backend})"


def describe(profile: Profile):
    """The network's layers, the backbone as one: layer, output (its shape), parameters."""
    model = build(replace(profile, weights=None))
    rows = [
        (layer.name, " x ".join(str(n) for n in layer.output.shape[1:]), layer.count_params())
        for layer in model.layers
    ]
    return pd.DataFrame(rows, columns=["layer", "output", "parameters"])


def choose_precision(backbone: str) -> str:
    """Fastest dtype policy for a backbone on this machine, as measured.

    Depthwise convolutions lose by bfloat16 even on processors made for it (109 instead of
    47 ms of processor time per slice); ResNet-50's plain ones gain where ``amx_bf16`` is
    there. On GPUs (not measured here) bfloat16 is taken where the hardware computes in it, from
    compute capability 8 on; float16, whose loss is scaled, from 7 on (a T4 has 7.5)."""
    if _has_gpu():
        capability = _gpu_capability()
        halves = "mixed_float16" if capability >= (7, 0) else "float32"
        return "mixed_bfloat16" if capability >= (8, 0) else halves
    flags = Path("/proc/cpuinfo")
    has_amx = flags.is_file() and "amx_bf16" in flags.read_text(encoding="utf-8", errors="ignore")
    plain_convolutions = backbone == "resnet50"
    return "mixed_bfloat16" if plain_convolutions and has_amx else "float32"


def _has_gpu():
    try:
        return bool(keras.distribution.list_devices("gpu"))
    except (RuntimeError, ValueError):  # some backends raise instead of listing none
        return False


def _gpu_capability():
    """The lowest compute capability of the GPUs, such as (7, 5) of a T4."""
    if keras.backend.backend() != "tensorflow":
        return 8, 0  # other backends' GPUs are asked for by people who know them
    import tensorflow as tf

    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    return min((gpu.get("compute_capability", (0, 0)) for gpu in details), default=(0, 0))


def predict(model, slices, *, batch_size=64, desc=None):
    """Probabilities of the classes, batch by batch, so memory-mapped slices stay on disk.

    Slices (n, size, size) to float64 (n, n_classes); ``desc`` shows a progress bar of this name.

    >>> model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3, "softmax")])
    >>> predict(model, np.zeros((2, 4, 4), np.float32)).round(2)
    array([[0.33, 0.33, 0.33],
           [0.33, 0.33, 0.33]])
    """
    if not len(slices):
        return np.empty((0, model.output_shape[-1]))
    found, n_rows = [], min(batch_size, len(slices))
    for batch in batches(slices, batch_size, desc):
        n = len(batch)
        if n < n_rows:  # filled up: TensorFlow takes longer to trace another shape of batch
            batch = np.concatenate([batch, np.repeat(batch[-1:], n_rows - n, axis=0)])
        found.append(model.predict_on_batch(batch)[:n])
    return np.concatenate(found).astype(np.float64)


def batches(slices, batch_size, desc=None):
    """Float32 batches (n, size, size, 1), read one after the other; with a bar if it has a name."""
    starts = range(0, len(slices), batch_size)
    quiet = None if desc else True  # None: without a terminal, as in an executed notebook
    for start in tqdm(starts, desc=desc, unit="batch", leave=False, disable=quiet):
        yield np.asarray(slices[start : start + batch_size], np.float32)[..., None]


def as_predictor(model, *, batch_size=64):
    """The model as a function from slices to probabilities, which is all the audit knows."""
    return lambda slices, **options: predict(model, slices, batch_size=batch_size, **options)


def save_float16(model, path):
    """Store the weights in half precision, small enough for a repository.

    Kernels become float16; biases and batch-norm statistics, a hundredth of the numbers
    with a far wider range, stay float32. Equal weights give equal bytes."""
    halves = {}
    for weight in model.weights:
        kind = np.float16 if len(weight.shape) > 1 else np.float32
        halves[weight.path] = keras.ops.convert_to_numpy(weight).astype(kind)
    with steps.being_written(path) as unfinished:
        np.savez_compressed(unfinished, **halves)


def load_float16(profile: Profile, path) -> keras.Model:
    """A network of the profile with the weights of :func:`save_float16`, in float32.

    It has as many outputs as the file: a looking network has one more than there are classes. Other
    names or shapes than those of the profile's network are a WeightsMismatchError."""
    stored = _stored(path)
    n = len(stored.get("probabilities/bias", CLASSES))
    model = build(replace(profile, weights=None), n_classes=n, precision="float32")
    expected = {weight.path: tuple(weight.shape) for weight in model.weights}
    got = {name: array.shape for name, array in stored.items()}
    if got != expected:
        odd = sorted(set(got.items()) ^ set(expected.items()))[:3]
        raise WeightsMismatchError(
            f"Expected the {len(expected)} weights of profile {profile.name!r} in {path}, got "
            f"{len(got)}; they differ in {odd}. Use the profile the file was made with."
        )
    for weight in model.weights:
        weight.assign(stored[weight.path].astype(np.float32))
    return model


def _stored(path):
    """The arrays of a file of :func:`save_float16`, {name: array}, if they are whole and few."""
    try:
        with zipfile.ZipFile(path) as file:
            n_bytes = sum(member.file_size for member in file.infolist())
        if n_bytes > MAX_STORED_BYTES:
            raise ValueError(f"{n_bytes} bytes unpacked, more than {MAX_STORED_BYTES}")
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        raise
    except steps.DAMAGE as error:
        raise WeightsMismatchError(
            f"Expected weights of this project in {path}, got: {error}. Fetch or train them again."
        ) from error
