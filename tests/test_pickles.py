"""The reader of PyTorch files: tensors come back, everything else is refused unexecuted."""

import os
import pickle
import struct
import time
import tracemalloc
from collections import OrderedDict

import numpy as np
import pytest

from tumorcf_lib.networks import pickles
from tumorcf_lib.networks.pickles import UnsafePickleError, read_state_dict

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
    with pytest.raises(UnsafePickleError, match="entry 'x' is no tensor"):
        read_state_dict(write(tmp_path / "w.pth", state))


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


def opcodes(*steps):
    """A second pickle that is made of these steps."""
    return b"\x80\x02" + b"".join(steps) + b"."


CALL_EVAL = [global_name("builtins", "eval"), b"(", string("1 + 1"), b"tR"]


@pytest.mark.parametrize(
    "steps, words",
    [
        # a call of what a call returned; of an attribute; of the tensor function's own parts
        ([*CALL_EVAL, b")R"], "builtins.eval"),
        ([global_name("builtins", "getattr"), b"(", *CALL_EVAL, b"tR"], "builtins.getattr"),
        ([tensor("0", (6,), (1,)), b")R"], "no function"),
        ([string("eval"), b")R"], "no function"),
        ([global_name("collections", "OrderedDict"), b"(", b"]", b"tR"], "with arguments"),
        ([global_name("torch", "FloatStorage"), b")R"], "with arguments"),
        ([global_name("collections", "OrderedDict"), string("x"), b"R"], "no function"),
        # the other ways to make an object
        ([b"(", string("1"), b"ibuiltins\neval\n"], "step INST"),
        ([b"(", global_name("collections", "OrderedDict"), b"o"], "step OBJ"),
        ([global_name("collections", "OrderedDict"), b")\x81"], "step NEWOBJ"),
        ([string("os"), string("system"), b"\x93"], "step STACK_GLOBAL"),
        ([b"\x82\x01"], "step EXT1"),
        ([b"Pname\n"], "step PERSID"),
        # memory and time out of proportion
        ([b"}", b"K\x01", b"2\x86" * 60, b"K\x02s"], "step DUP"),
        ([b"}", b"K\x01q\x00", b"h\x00\x86q\x00" * 60, b"K\x02s"], "dictionary of names"),
        ([b"K\x01r\xff\xff\xff\x7f"], "holds a int"),
        ([b"]" * 50_000, b"a" * 49_999], "list of names"),
        ([b"(" * 100_000], ""),
        ([b"X\xff\xff\xff\x7f"], ""),
        ([b"\x8a\xff" + bytes(255)], "holds a int"),
        ([b"\x8b\xff\xff\xff\x7f"], ""),
        # tensors that are none
        ([b"N", b"Q"], ""),
        ([b"0" * 5], ""),
        ([b"t"], ""),
        ([b"(", b"\x85"], "more than there is"),
        ([b"h\x07"], ""),
        ([b"}", string("x"), b"s"], ""),
        ([b"}(", string("x"), b"u"], "dictionary of names"),
    ],
)
def test_what_is_no_tensor_is_refused_quickly(tmp_path, steps, words):
    path = write(tmp_path / "w.pth", opcodes(*steps))
    started = time.process_time()
    with pytest.raises(UnsafePickleError, match=words or "w.pth"):
        read_state_dict(path)
    assert time.process_time() - started < 5.0


def test_a_declared_size_takes_no_memory_before_its_bytes_are_there(tmp_path):
    path = write(tmp_path / "w.pth", state_dict([("x", tensor("0", (6,), (1,)))]), storages=())
    with open(path, "ab") as file:
        file.write(struct.pack("<q", 1 << 28) + bytes(24))
    tracemalloc.start()
    with pytest.raises(UnsafePickleError, match="a storage is cut off"):
        read_state_dict(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize("n_numbers", [-1, 7, 1 << 62, -(1 << 63)])
def test_a_storage_of_another_length_than_its_bytes_is_refused(tmp_path, n_numbers):
    path = write(tmp_path / "w.pth", state_dict([("x", tensor("0", (6,), (1,)))]), storages=())
    with open(path, "ab") as file:
        file.write(struct.pack("<q", n_numbers) + bytes(24))
    with pytest.raises(UnsafePickleError, match="a storage is cut off"):
        read_state_dict(path)


def test_many_tensors_of_one_storage_do_not_multiply_it(tmp_path, monkeypatch):
    entries = [(f"x{i}", tensor("0", (1000,), (1,))) for i in range(200)]
    path = write(tmp_path / "w.pth", state_dict(entries), storages=(np.zeros(1000, "<f4"),))
    monkeypatch.setattr(pickles, "MAX_BYTES", 1_000_000)
    with pytest.raises(UnsafePickleError, match="tensors of 200000 numbers"):
        read_state_dict(path)


def test_a_file_far_too_large_is_refused_unread(tmp_path):
    with open(tmp_path / "w.pth", "wb") as file:
        file.truncate(1 << 40)  # a hole: it takes no room
    with pytest.raises(UnsafePickleError, match="a file of 1099511627776 bytes"):
        read_state_dict(tmp_path / "w.pth")


@pytest.mark.parametrize("share", np.linspace(0, 0.999, 15))
def test_a_file_cut_anywhere_is_refused(tmp_path, share):
    path = write(tmp_path / "w.pth", state_dict([("x", tensor("0", (6,), (1,)))]))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UnsafePickleError, match="w.pth"):
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
