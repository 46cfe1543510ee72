"""Read a PyTorch state dict of the legacy format without PyTorch and without trusting it.

A pickle is a program: it can call any function it names, and claim any amount of memory. It
is not run here. ``pickletools`` takes it apart into steps, and the few steps that a state
dict needs are followed by hand, with four names and nothing to call; any other is refused.
"""

import math
import os
import pickletools
from typing import NamedTuple

import numpy as np

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
STORAGE_TYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}
MAX_BYTES = 1 << 30  # of a file, and of its tensors; those of EfficientNet-Lite0 have 19 MB


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
        another format, is cut off, or would take more memory than it has bytes to fill.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     try:
    ...         read_state_dict(file.name)
    ...     except UnsafePickleError as error:
    ...         print("refused:", str(error).split(": ")[-1])
    refused: pickle exhausted before seeing STOP
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
    n_bytes = os.fstat(file.fileno()).st_size
    if n_bytes > MAX_BYTES:
        raise UnsafePickleError(f"a file of {n_bytes} bytes, more than {MAX_BYTES}")
    if _load(file) != MAGIC_NUMBER or _load(file) != PROTOCOL_VERSION:
        raise UnsafePickleError("magic number or protocol version is another one")
    if _load(file).get("little_endian") is not True:
        raise UnsafePickleError("not saved on a little-endian machine")
    state = _load(file)
    if type(state) is not dict:
        raise UnsafePickleError(f"holds a {type(state).__name__} instead of a state dict")
    for name, tensor in state.items():
        if type(tensor) is not _Tensor:
            raise UnsafePickleError(f"entry {name[:80]!r} is no tensor")
    dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in state.values()}
    storages = {key: _read_storage(file, dtypes[key], n_bytes) for key in _load(file)}
    n_numbers = sum(math.prod(tensor.shape) for tensor in state.values())
    if n_numbers * 8 > MAX_BYTES:
        raise UnsafePickleError(f"tensors of {n_numbers} numbers in all")
    return {name: _as_array(tensor, storages) for name, tensor in state.items()}


def _read_storage(file, dtype, n_bytes):
    n_numbers = int(np.frombuffer(file.read(8), "<i8")[0])
    wanted = n_numbers * np.dtype(dtype).itemsize
    if not 0 <= wanted <= n_bytes - file.tell():
        raise UnsafePickleError("a storage is cut off")
    return np.frombuffer(file.read(wanted), dtype)


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


class _Name(NamedTuple):
    """One of the names that a state dict needs; it is compared, never called."""

    module: str
    name: str


MAPPING = _Name("collections", "OrderedDict")
REBUILD = _Name("torch._utils", "_rebuild_tensor_v2")
DTYPES = {_Name("torch", name): dtype for name, dtype in STORAGE_TYPES.items()}
NAMES = {MAPPING, REBUILD, *DTYPES}

VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE"}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3, "TUPLE": None}
FILLS = {"SETITEM": 2, "SETITEMS": None, "APPEND": 1, "APPENDS": None}
"""Steps that make a tuple, and that fill a dictionary or list: of how many values; None: of
those since the last mark."""


def _load(file):
    """The value that the file's next pickle makes, by the steps that a state dict needs."""
    stack, memo = _Stack(), {}
    for step, argument, _ in pickletools.genops(file):
        name = step.name
        if name == "STOP":
            (value,) = stack
            return value
        if name == "MARK":
            stack.marks.append(len(stack))
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "BUILD":
            stack.take(1)  # PyTorch notes versions as an attribute of the dictionary: not needed
        elif name in FILLS:
            values = stack.take(FILLS[name])
            (_fill if name.startswith("SET") else _extend)(stack[-1], values)
        elif name != "PROTO":
            stack.append(_new(name, argument, stack))


def _new(name, argument, stack):
    """What a step puts onto the stack, made of its argument or of what it takes from there."""
    if name in VALUES:
        return argument
    if name in CONSTANTS:
        return CONSTANTS[name]
    if name in TUPLES:
        return tuple(stack.take(TUPLES[name]))
    if name in ("EMPTY_DICT", "EMPTY_LIST"):
        return {} if name == "EMPTY_DICT" else []
    if name == "GLOBAL":
        return _known(*argument.split(" ", 1))
    if name == "REDUCE":
        return _made(*stack.take(2))
    if name == "BINPERSID":
        return _storage(*stack.take(1))
    raise UnsafePickleError(f"its step {name} is no part of a state dict")


class _Stack(list):
    """Values that wait to be used, and the places of marks among them."""

    def __init__(self):
        super().__init__()
        self.marks = []

    def take(self, n):
        """Remove and return the last n values; those since the last mark if n is None."""
        start = self.marks.pop() if n is None else len(self) - n
        if start < max(self.marks, default=0):
            raise UnsafePickleError("a step takes more than there is")
        taken = self[start:]
        del self[start:]
        return taken


def _known(module, name):
    if _Name(module, name) not in NAMES:
        raise UnsafePickleError(f"it asks for {module}.{name}, which is no part of a tensor")
    return _Name(module, name)


def _made(function, arguments):
    """What a call would make, for the two calls that a state dict has."""
    if type(function) is not _Name or type(arguments) is not tuple:
        raise UnsafePickleError("it calls something that is no function")
    if function == MAPPING and not arguments:
        return {}
    if function != REBUILD:
        raise UnsafePickleError(f"it calls {function.module}.{function.name} with arguments")
    storage, offset, shape, strides, *_gradient_settings = arguments
    if type(storage) is not _Storage:
        raise UnsafePickleError("a tensor has no storage")
    if type(shape) is not tuple or type(strides) is not tuple:
        raise UnsafePickleError("a tensor's shape is no tuple")
    if not all(type(number) is int for number in (offset, *shape, *strides)):
        raise UnsafePickleError("a tensor's shape is not made of whole numbers")
    if len(shape) != len(strides):
        raise UnsafePickleError("a tensor's shape and strides differ in length")
    return _Tensor(storage, offset, shape, strides)


def _storage(description):
    kind, dtype, key, *_device_and_size = description
    if kind != "storage" or type(dtype) is not _Name or type(key) is not str:
        raise UnsafePickleError("an unknown kind of storage")
    return _Storage(key, DTYPES[dtype])


def _fill(into, pairs):
    keys = pairs[::2]
    if type(into) is not dict or len(pairs) % 2 or any(type(key) is not str for key in keys):
        raise UnsafePickleError("it fills something that is no dictionary of names")
    into.update(zip(keys, pairs[1::2]))


def _extend(into, values):
    if type(into) is not list or any(type(value) is not str for value in values):
        raise UnsafePickleError("it fills something that is no list of names")
    into.extend(values)
