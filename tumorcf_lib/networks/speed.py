"""What makes networks cheap: norms folded into convolutions, and layers that do not learn.

A norm that does not learn multiplies and shifts every channel by numbers known beforehand.
Multiplying the convolution's kernel instead costs next to nothing, saves two passes over every
feature map, and lets convolution, shift and activation run as one operation. In exact
arithmetic the network is the same; in float32 its probabilities differ in the seventh digit.
"""

import keras
from keras import layers, ops


class FreezingError(ValueError):
    """Blocks to freeze that a network does not have."""


def folded(model):
    """The same function on the same variables, with batch norms folded into convolutions.

    Folded norms use their stored mean and variance whatever ``training`` says: fit the result
    only where the norms of ``model`` are frozen. The two models share all variables, so what is
    trained, assigned or loaded in one of them is so in the other.

    The model itself if it is sequential or has no batch norms. Norms that follow no convolution
    stay, and so do those that compute in less than float32, which would round the kernels
    instead of the products. Not compiled.

    >>> slices = keras.Input((8, 8, 1))
    >>> x = layers.Conv2D(2, 3, use_bias=False)(slices)
    >>> plain = keras.Model(slices, layers.BatchNormalization()(x))
    >>> [type(layer).__name__ for layer in folded(plain).layers]
    ['InputLayer', 'FoldedConvolution']
    """
    has_norms = any(isinstance(one, layers.BatchNormalization) for one in all_layers(model))
    if not has_norms or isinstance(model, keras.Sequential):
        return model
    convolved = {}  # id of a convolution's output -> that output, the layer and its input

    def call(layer, *args, **kwargs):
        if isinstance(layer, layers.BatchNormalization) and id(args[0]) in convolved:
            _, convolution, inputs = convolved[id(args[0])]
            if {convolution.compute_dtype, layer.compute_dtype} == {"float32"}:
                return FoldedConvolution(convolution, layer)(inputs)
        outputs = layer(*args, **kwargs)
        if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
            convolved[id(outputs)] = outputs, layer, args[0]
        return outputs

    return keras.models.clone_model(
        model, clone_function=lambda layer: layer, call_function=call, recursive=True
    )


class FoldedConvolution(layers.Layer):
    """A convolution and the norm after it as one convolution, on the variables of both."""

    def __init__(self, convolution, norm):
        super().__init__(name=f"{convolution.name}_folded")
        self.convolution, self.norm = convolution, norm
        self.built = True

    def call(self, inputs):
        convolution, norm = self.convolution, self.norm
        scale = ops.rsqrt(norm.moving_variance + norm.epsilon)  # (n_channels,)
        scale = scale * norm.gamma if norm.scale else scale
        mean = norm.moving_mean
        mean = mean - convolution.bias if convolution.use_bias else mean
        shift = norm.beta - mean * scale if norm.center else -mean * scale
        named = ("strides", "padding", "data_format", "dilation_rate")
        options = {name: getattr(convolution, name) for name in named}
        if isinstance(convolution, layers.DepthwiseConv2D):
            kernel = convolution.kernel * scale[:, None]  # (height, width, n_channels, 1)
            outputs = ops.depthwise_conv(inputs, kernel, **options)
        else:
            outputs = ops.conv(inputs, convolution.kernel * scale, **options)
        return outputs + ops.reshape(shift, (1, 1, 1, -1))

    def compute_output_shape(self, input_shape):
        return self.convolution.compute_output_shape(input_shape)


def freeze(model, profile):
    """Set which layers learn, as the profile says.

    Edges and textures, which early layers and depthwise kernels look for, pass from one kind of
    picture to another; what to make of them is in the later layers and in the kernels of 1 x 1.
    Of EfficientNet-Lite0, ``frozen_blocks=5`` and ``freeze_depthwise`` leave 92 percent of the
    numbers free and halve the time of a step: small as they are, the frozen kernels work on the
    largest maps and have the slowest gradients.

    Changes the model in place; a FreezingError if it has no such blocks.
    """
    if profile.freeze_norms:
        for norm in _of_kind(model, layers.BatchNormalization):
            norm.trainable = False
    if profile.freeze_depthwise:
        for convolution in _of_kind(model, layers.DepthwiseConv2D):
            convolution.trainable = False
    if profile.frozen_blocks:
        for layer in _before(model, f"block{profile.frozen_blocks}_"):
            layer.trainable = False


def norm_layers(model):
    """Batch-normalization layers of a model and of the models inside it."""
    return _of_kind(model, layers.BatchNormalization)


def all_layers(model):
    """The layers of a model and of the models inside it, in order."""
    for layer in model.layers:
        yield from all_layers(layer) if isinstance(layer, keras.Model) else (layer,)


def _of_kind(model, kind):
    return [layer for layer in all_layers(model) if isinstance(layer, kind)]


def _before(model, beginning):
    """The layers in front of the first one of a name that begins so."""
    found = list(all_layers(model))
    names = [layer.name for layer in found]
    first = next((i for i, name in enumerate(names) if name.startswith(beginning)), None)
    if first is None:
        raise FreezingError(
            f"Expected a layer {beginning}... behind the frozen blocks of {model.name!r}, found "
            "none; set frozen_blocks to 0, or to fewer blocks than the network has."
        )
    return found[:first]
