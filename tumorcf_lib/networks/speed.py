"""What makes networks cheap: norms folded into convolutions, and layers that do not learn.

A norm that does not learn multiplies and shifts every channel by numbers known beforehand.
Multiplying the convolution's kernel instead costs next to nothing, saves two passes over every
feature map, and lets convolution, shift and activation run as one operation. In exact
arithmetic the network is the same; in float32 its probabilities differ in the seventh digit.
"""

import keras
from keras import layers, ops


def folded(model, *, learning_too=True):
    """The same function on the same variables, with batch norms folded into convolutions.

    Folded norms use their stored mean and variance whatever ``training`` says: to fit the result,
    leave those that learn as they are (``learning_too=False``). The two models share all
    variables, so what is trained, assigned or loaded in one of them is so in the other.

    The model itself if it is sequential or has no such norms. Norms that follow no convolution
    stay, and so do those that compute in less than float32, which would round the kernels
    instead of the products. Not compiled.

    >>> slices = keras.Input((8, 8, 1))
    >>> x = layers.Conv2D(2, 3, use_bias=False)(slices)
    >>> plain = keras.Model(slices, layers.BatchNormalization()(x))
    >>> [type(layer).__name__ for layer in folded(plain).layers]
    ['InputLayer', 'FoldedConvolution']
    """
    chosen = {id(norm) for norm in norm_layers(model) if learning_too or not norm.trainable}
    if not chosen or isinstance(model, keras.Sequential):
        return model
    convolved = {}  # id of a convolution's output -> that output, the layer and its input

    def call(layer, *args, **kwargs):
        if id(layer) in chosen and id(args[0]) in convolved:
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
    picture to another. Of EfficientNet-Lite0, ``frozen_blocks=5`` and ``freeze_depthwise`` leave 92
    percent of the numbers free and halve the time of a step: small as they are, the frozen kernels
    work on the largest maps and have the slowest gradients."""
    found = list(all_layers(model))
    for layer in found:
        is_norm = isinstance(layer, layers.BatchNormalization)
        is_depthwise = isinstance(layer, layers.DepthwiseConv2D)
        if (profile.freeze_norms and is_norm) or (profile.freeze_depthwise and is_depthwise):
            layer.trainable = False
    if profile.frozen_blocks:
        beginning = f"block{profile.frozen_blocks}_"
        first = next(i for i, layer in enumerate(found) if layer.name.startswith(beginning))
        for layer in found[:first]:
            layer.trainable = False


def norm_layers(model):
    """Batch-normalization layers of a model and of the models inside it."""
    return [one for one in all_layers(model) if isinstance(one, layers.BatchNormalization)]


def all_layers(model):
    """The layers of a model and of the models inside it, in order."""
    for layer in model.layers:
        yield from all_layers(layer) if isinstance(layer, keras.Model) else (layer,)
