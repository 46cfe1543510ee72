"""The reader of PyTorch files: tensors come back, everything else is refused unexecuted."""

import os
import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest

from tumorcf_lib import pickles
from tumorcf_lib.pickles import UnsafePickleError, read_state_dict

HEADER = [pickles.MAGIC_NUMBER, pickles.PROTOCOL_VERSION, {"little_endian": True}]


def global_name(module, name):
    return b"c" + f"{module}\n{name}\n".encode()


def string(text):
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def numbers(values):
    return b"(" + b"".join(b"J" + struct.pack("<i", v) for v in values) + b"t"


def tensor(key, shape, strides, *, offset=0, storage="FloatStorage"):
    """Opcodes of one tensor, as torch.save wrote them."""
    pid = b"(" + string("storage") + global_name("torch", storage) + string(key)
    pid += string("cpu") + b"J" + struct.pack("<i", 6) + b"NtQ"
    arguments = b"(" + pid + b"J" + struct.pack("<i", offset) + numbers(shape) + numbers(strides)
    arguments += b"\x89" + global_name("collections", "OrderedDict") + b")R" + b"t"
    return global_name("torch._utils", "_rebuild_tensor_v2") + arguments + b"R"


def state_dict(entries):
    """Opcodes of an OrderedDict of named values."""
    body = b"".join(string(name) + value for name, value in entries)
    return b"\x80\x02" + global_name("collections", "OrderedDict") + b")R(" + body + b"u."


def write(path, state, *, keys=("0",), storages=(np.arange(6, dtype="<f4"),), header=HEADER):
    with open(path, "wb") as file:
        for item in header:
            pickle.dump(item, file, protocol=2)
        file.write(state)
        pickle.dump(list(keys), file, protocol=2)
        for storage in storages:
            file.write(struct.pack("<q", len(storage)) + storage.tobytes())
    return path


def test_tensors_come_back_with_shape_strides_offset_and_type(tmp_path):
    entries = [
        ("rows", tensor("0", (2, 3), (3, 1))),
        ("transposed", tensor("0", (3, 2), (1, 3))),
        ("tail", tensor("0", (2,), (1,), offset=4)),
        ("steps", tensor("1", (), (), storage="LongStorage")),
    ]
    storages = (np.arange(6, dtype="<f4"), np.array([7], "<i8"))
    path = write(tmp_path / "w.pth", state_dict(entries), keys="01", storages=storages)
    state = read_state_dict(path)
    assert list(state) == ["rows", "transposed", "tail", "steps"]
    assert state["rows"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert state["transposed"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert state["tail"].tolist() == [4, 5]
    assert state["steps"] == 7
    assert (state["rows"].dtype, state["steps"].dtype) == (np.float32, np.int64)


class Attack:
    """Pickles to a call of any function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("place", range(4))
def test_a_file_that_calls_a_function_is_refused_before_it_runs(tmp_path, place):
    witness = tmp_path / "witness"
    items = [*HEADER, OrderedDict()]
    items[place] = Attack(os.mkdir, str(witness))
    path = tmp_path / "w.pth"
    path.write_bytes(b"".join(pickle.dumps(item, protocol=2) for item in items))
    with pytest.raises(UnsafePickleError, match="mkdir"):
        read_state_dict(path)
    assert not witness.exists()


@pytest.mark.parametrize(
    "module, name",
    [
        ("builtins", "eval"), ("__builtin__", "getattr"), ("os", "system"),
        ("collections", "defaultdict"), ("torch", "load"), ("torch._utils", "_rebuild_parameter"),
        ("torch", "FloatStorage.__init__"), ("numpy", "frombuffer"),
    ],
)
def test_every_name_but_the_four_is_refused(tmp_path, module, name):
    state = state_dict([("x", global_name(module, name))])
    with pytest.raises(UnsafePickleError, match=f"{module}.{name}"):
        read_state_dict(write(tmp_path / "w.pth", state))


@pytest.mark.parametrize(
    "target",
    [
        global_name("torch._utils", "_rebuild_tensor_v2"),
        global_name("collections", "OrderedDict"),
        global_name("torch", "FloatStorage"),
    ],
)
def test_the_known_names_cannot_be_given_new_attributes(tmp_path, target):
    new_attributes = b"(N}(" + string("__call__") + string("other") + b"utb"  # (None, {...}) BUILD
    state = state_dict([("x", target + new_attributes)])
    with pytest.raises(UnsafePickleError):
        read_state_dict(write(tmp_path / "w.pth", state))
    assert not hasattr(pickles._RebuildTensor, "other")


def test_an_instance_attribute_cannot_replace_the_dictionary_methods(tmp_path):
    state = state_dict([("x", tensor("0", (6,), (1,)))])[:-1]
    state += b"}(" + string("items") + string("evil") + b"ub."
    assert list(read_state_dict(write(tmp_path / "w.pth", state))) == ["x"]


@pytest.mark.parametrize(
    "entry",
    [
        tensor("0", (7,), (1,)),
        tensor("0", (2, 3), (4, 1)),
        tensor("0", (6,), (1,), offset=1),
        tensor("0", (6,), (1,), offset=-1),
        tensor("0", (2,), (-1,), offset=4),
        tensor("0", (100_000, 100_000), (0, 0)),
        tensor("0", (6,), (1, 1)),
        tensor("9", (6,), (1,)),
        string("no tensor"),
    ],
)
def test_a_tensor_that_reaches_outside_its_storage_is_refused(tmp_path, entry):
    with pytest.raises(UnsafePickleError):
        read_state_dict(write(tmp_path / "w.pth", state_dict([("x", entry)])))


def test_a_cut_off_file_is_refused(tmp_path):
    path = write(tmp_path / "w.pth", state_dict([("x", tensor("0", (6,), (1,)))]))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UnsafePickleError, match="cut off"):
        read_state_dict(path)


@pytest.mark.parametrize(
    "header",
    [
        [1, *HEADER[1:]],
        [HEADER[0], 1002, HEADER[2]],
        [*HEADER[:2], {"little_endian": False}],
    ],
)
def test_another_format_is_refused_by_a_message_that_names_the_file(tmp_path, header):
    path = write(tmp_path / "w.pth", state_dict([]), header=header)
    with pytest.raises(UnsafePickleError, match="w.pth"):
        read_state_dict(path)
