"""Read a PyTorch state dict of the legacy format without PyTorch and without trusting it.

A pickle can call any function it names. Here it may name four things: the ordered
dictionary, the two storage types and the function that rebuilds a tensor; everything
else is refused before anything runs.
"""

import math
import pickle
from collections import OrderedDict
from typing import NamedTuple

import numpy as np

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
STORAGE_TYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


class UnsafePickleError(ValueError):
    """A weight file that is not a plain dictionary of tensors."""


def read_state_dict(path) -> dict[str, np.ndarray]:
    """Tensors of a state dict saved by ``torch.save`` before PyTorch 1.6.

    The file is five pickles (magic number, protocol, machine, tensors, storage keys)
    followed by the raw numbers of each storage.

    Parameters
    ----------
    path : path-like
        The ``.pth`` file, little-endian.

    Returns
    -------
    dict of str to ndarray
        Name to float32 or int64 array, in the shapes and layout of PyTorch
        (a convolution kernel is ``(out, in, height, width)``).

    Raises
    ------
    UnsafePickleError
        If the file names anything but tensors in an ordered dictionary, is of
        another format, or is cut off.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     try:
    ...         read_state_dict(file.name)
    ...     except UnsafePickleError as error:
    ...         print("refused:", str(error).split(": ")[-1])
    refused: Ran out of input
    """
    with open(path, "rb") as file:
        try:
            return _read(file)
        except UnsafePickleError as error:
            raise UnsafePickleError(_message(path, error)) from error
        except Exception as error:  # a broken pickle can raise nearly anything
            raise UnsafePickleError(_message(path, error)) from error


def _message(path, error):
    return (
        "Expected a PyTorch state dict of the legacy format holding tensors only; "
        f"nothing was loaded. Reinstall the package that brought the file {path}: {error}"
    )


def _read(file):
    if _load(file) != MAGIC_NUMBER or _load(file) != PROTOCOL_VERSION:
        raise UnsafePickleError("magic number or protocol version is another one")
    if _load(file).get("little_endian") is not True:
        raise UnsafePickleError("not saved on a little-endian machine")
    state = _load(file)
    if type(state) is not OrderedDict:
        raise UnsafePickleError(f"holds a {type(state).__name__} instead of a state dict")
    tensors = dict(OrderedDict.items(state))
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, _Tensor):
            raise UnsafePickleError(f"entry {name!r} is no tensor")
    dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
    storages = {key: _read_storage(file, dtypes[key]) for key in _load(file)}
    return {name: _as_array(tensor, storages) for name, tensor in tensors.items()}


def _load(file):
    return _TensorUnpickler(file).load()


def _read_storage(file, dtype):
    n_numbers = int(np.frombuffer(file.read(8), "<i8")[0])
    raw = file.read(n_numbers * np.dtype(dtype).itemsize) if n_numbers >= 0 else b""
    if n_numbers < 0 or len(raw) != n_numbers * np.dtype(dtype).itemsize:
        raise UnsafePickleError("a storage is cut off")
    return np.frombuffer(raw, dtype)


def _as_array(tensor, storages):
    """The tensor's numbers; its strides may be those of any transposed array."""
    numbers = storages[tensor.storage.key][tensor.offset:]
    reach = sum((length - 1) * stride for length, stride in zip(tensor.shape, tensor.strides))
    if min((tensor.offset, *tensor.shape, *tensor.strides)) < 0 or reach >= len(numbers):
        raise UnsafePickleError("a tensor reaches outside its storage")
    if math.prod(tensor.shape) > len(numbers):
        raise UnsafePickleError("a tensor is larger than its storage")
    byte_strides = [stride * numbers.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(numbers, tensor.shape, byte_strides).copy()


class _Storage(NamedTuple):
    key: str
    dtype: str


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple
    strides: tuple


class _RebuildTensor:
    """Callable without attributes, so that a pickle's BUILD step cannot alter it."""

    __slots__ = ()

    def __call__(self, storage, offset, shape, strides, *_gradient_settings):
        if not isinstance(storage, _Storage):
            raise UnsafePickleError("a tensor has no storage")
        if not all(type(number) is int for number in (offset, *shape, *strides)):
            raise UnsafePickleError("a tensor's shape is not made of whole numbers")
        if len(shape) != len(strides):
            raise UnsafePickleError("a tensor's shape and strides differ in length")
        return _Tensor(storage, offset, tuple(shape), tuple(strides))


class _TensorUnpickler(pickle.Unpickler):
    """Unpickler that knows four names and refuses all others."""

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _RebuildTensor()
        if module == "torch" and name in STORAGE_TYPES:
            return STORAGE_TYPES[name]
        raise UnsafePickleError(f"it asks for {module}.{name}, which is no part of a tensor")

    def persistent_load(self, pid):
        kind, dtype, key, *_device_and_size = pid
        if kind != "storage" or dtype not in STORAGE_TYPES.values() or not isinstance(key, str):
            raise UnsafePickleError("an unknown kind of storage")
        return _Storage(key, dtype)
