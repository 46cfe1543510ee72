"""Which layers of a pretrained network learn, and which keep what ImageNet taught them."""

import keras
from keras import layers


class FreezingError(ValueError):
    """Blocks to freeze that a network does not have."""


def freeze(model, profile):
    """Set which layers learn, as the profile says.

    Edges and textures, which early layers and depthwise kernels look for, pass from one kind of
    picture to another; what to make of them is in the later layers and in the kernels of 1 x 1.
    Of EfficientNet-Lite0, ``frozen_blocks=5`` and ``freeze_depthwise`` leave 92 percent of the
    numbers free and halve the time of a step: small as they are, the frozen kernels work on the
    largest maps and have the slowest gradients.

    Parameters
    ----------
    model : keras.Model
        Changed in place.
    profile : Profile
        ``freeze_norms``: batch norms keep their state; ``frozen_blocks``: so do the stem and so
        many first blocks; ``freeze_depthwise``: and the kernels of all depthwise convolutions.

    Raises
    ------
    FreezingError
        If the network has no layers named after the first block that is to learn.
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
