"""Batch norms that keep their state, computed inside the convolutions before them.

A norm that does not learn multiplies and shifts every channel by numbers known beforehand.
Multiplying the convolution's kernel instead costs next to nothing, saves two passes over every
feature map, and lets convolution, shift and activation run as one operation. In exact
arithmetic the network is the same; in float32 its probabilities differ in the seventh digit.
"""

import keras
from keras import layers, ops

from tumorcf_lib.networks.freezing import all_layers


def folded(model):
    """The same function on the same variables, with batch norms folded into convolutions.

    Folded norms use their stored mean and variance whatever ``training`` says: fit the result
    only where the norms of ``model`` are frozen. The two models share all variables, so what is
    trained, assigned or loaded in one of them is so in the other.

    Parameters
    ----------
    model : keras.Model
        Functional, possibly with functional models inside it, or sequential.

    Returns
    -------
    keras.Model
        Not compiled; ``model`` itself if it has no batch norms or is sequential. Norms that
        follow no convolution stay, and so do those that compute in less than float32, which
        would round the kernels instead of the products.

    Examples
    --------
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
        options = {
            "strides": convolution.strides, "padding": convolution.padding,
            "data_format": convolution.data_format, "dilation_rate": convolution.dilation_rate,
        }  # fmt: skip
        if isinstance(convolution, layers.DepthwiseConv2D):
            kernel = convolution.kernel * scale[:, None]  # (height, width, n_channels, 1)
            outputs = ops.depthwise_conv(inputs, kernel, **options)
        else:
            outputs = ops.conv(inputs, convolution.kernel * scale, **options)
        return outputs + ops.reshape(shift, (1, 1, 1, -1))

    def compute_output_shape(self, input_shape):
        return self.convolution.compute_output_shape(input_shape)
