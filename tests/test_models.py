"""Claims about foreign classifiers: whatever they take and answer, the same probabilities."""

import subprocess
import sys
from unittest import mock

import numpy as np
import pytest

from benchmarks import foreign
from tumorcf_lib import config
from tumorcf_lib.your_model import InputError, adapter, models

PX = 24
CLASSES = ("left", "right")
WEIGHTS = np.full((PX, PX), 0.01, np.float32)
WEIGHTS[:, : PX // 2] = -0.01


def truth(slices):
    """Softmax of (-z, z), z how much brighter the right half is."""
    z = (slices * WEIGHTS).sum(axis=(1, 2))
    return 1 / (1 + np.exp(np.stack([2 * z, -2 * z], axis=1)))


@pytest.fixture(scope="module")
def slices():
    return np.random.default_rng(0).integers(0, 50, (5, PX, PX)).astype(np.float32)


def probabilities(raw, output="auto"):
    return adapter.Probabilities(raw, CLASSES, output, "mine")


def write_onnx(path, shape, *, weights=WEIGHTS, axis=None, kind="FLOAT", end="Softmax", also=()):
    """A softmax of (-z, z) of an input of this shape, channels averaged along `axis`.

    `also`: "label", an output in front of the probabilities, and "age", another input.
    """
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx: onnx")
    pytest.importorskip("onnxruntime", reason="needs the extra onnx: onnxruntime")
    make, types = onnx.helper, onnx.TensorProto
    both = np.stack([-weights.ravel(), weights.ravel()], axis=1)
    constants = {
        "flat": np.array([-1, weights.size]),
        "w": 2 * both[:, 1:] if end == "Sigmoid" else both,
        "axis": np.array([1 if axis is None else axis]),
    }
    nodes = [make.make_node("Cast", ["x"], ["f"], to=types.FLOAT)]
    if axis is not None:
        nodes.append(make.make_node("ReduceMean", ["f", "axis"], ["m"], keepdims=1))
    nodes += [
        make.make_node("Reshape", ["m" if axis is not None else "f", "flat"], ["v"]),
        make.make_node("MatMul", ["v", "w"], ["z"]),
        make.make_node(end, ["z"], ["p"]),
    ]
    results = [make.make_tensor_value_info("p", types.FLOAT, [None, None])]
    if "label" in also:
        nodes.append(make.make_node("ArgMax", ["z"], ["label"], axis=1, keepdims=0))
        results.insert(0, make.make_tensor_value_info("label", types.INT64, [None]))
    given = [make.make_tensor_value_info("x", getattr(types, kind), shape)]
    given += [make.make_tensor_value_info("age", types.FLOAT, [None, 1])] if "age" in also else []
    kept = [onnx.numpy_helper.from_array(v, k) for k, v in constants.items()]
    graph = make.make_graph(nodes, "g", given, results, kept)
    onnx.save(
        make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=10), path
    )
    return str(path)


SIGNATURES = {
    "nchw": dict(shape=["n", 3, PX, PX], axis=1),
    "nhwc": dict(shape=["n", PX, PX, 3], axis=3),
    "flat": dict(shape=["n", PX * PX]),
    "chw": dict(shape=[3, PX, PX], axis=0),
    "all open": dict(shape=["n", "a", "b", "c"]),
    "double": dict(shape=[None, None, None, 1], kind="DOUBLE"),
    "whole numbers": dict(shape=["n", PX, PX, 1], kind="UINT8"),
    "sigmoid": dict(shape=["n", PX, PX, 1], end="Sigmoid"),
    "label first, batch 2": dict(shape=[2, PX, PX, 1], also=("label",)),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_every_signature_of_an_onnx_file_gives_the_same_probabilities(tmp_path, slices, name):
    model = models.load(write_onnx(tmp_path / "model.onnx", **SIGNATURES[name]))
    np.testing.assert_allclose(probabilities(model.raw)(slices), truth(slices), atol=1e-3)


def test_channels_reach_a_network_that_takes_as_many_and_another_size_is_refused(tmp_path, slices):
    three = np.stack([slices, 2 * slices, 0 * slices], axis=3)
    wanted = {1: truth(three @ [0.299, 0.587, 0.114]), 3: truth(slices), 4: None}
    for n, answer in wanted.items():
        path = write_onnx(tmp_path / "m.onnx", ["n", n, PX, PX], axis=1)
        model = models.load(path)
        if answer is not None:
            np.testing.assert_allclose(probabilities(model.raw)(three), answer, atol=1e-5)
    for other in (three, slices[:, :-2]):
        with pytest.raises(InputError, match=r"given .* slices of shape .*--size.*column channel"):
            model.raw(other)
    assert model.size == (PX, PX)


def test_what_is_no_model_or_wants_more_than_slices_is_named(tmp_path):
    with pytest.raises(InputError, match="one input .* got: x .*age .*my_module:predict"):
        models.load(write_onnx(tmp_path / "m.onnx", ["n", 1, PX, PX], also=("age",)))
    (tmp_path / "no.onnx").write_bytes(b"no model")
    with pytest.raises(InputError, match="no.onnx raised .*Export it again"):
        models.load(str(tmp_path / "no.onnx"))
    with pytest.raises(InputError, match="none at"):
        models.load("nowhere.onnx")


@pytest.mark.parametrize("kind", foreign.WRITERS)
def test_a_file_answers_as_its_weights_do_and_is_left_alone_by_copies_of_other_weights(
    tmp_path, kind
):
    pytest.importorskip(kind, reason=f"needs the package {kind}")
    cohort, rng = foreign.cohort(30), np.random.default_rng(0)
    weights = foreign.weights_of(rng, "random weights", cohort)
    path = foreign.WRITERS[kind](weights, tmp_path / "m")
    before, model = path.read_bytes(), models.load(str(path))
    predict = adapter.Probabilities(model.raw, foreign.CLASSES, "logits")
    wanted = foreign.softmax(
        foreign._features(*weights[:2], cohort.slices) @ weights[2].T + weights[3]
    )
    np.testing.assert_allclose(predict(cohort.slices), wanted, atol=1e-4)
    copies = model.copies(rng)
    one, two = (
        adapter.Probabilities(next(copies), foreign.CLASSES, "logits")(cohort.slices)
        for _ in range(2)
    )
    assert np.abs(one - two).max() > 0.01 and np.abs(one - wanted).max() > 0.01
    copies.close()
    np.testing.assert_allclose(predict(cohort.slices), wanted, atol=1e-4)
    assert path.read_bytes() == before


def test_a_pickle_of_weights_is_no_torchscript(tmp_path):
    torch = pytest.importorskip("torch", reason="needs the extra torch: torch")
    torch.save({"w": torch.zeros(3)}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="Expected TorchScript in w.pth"):
        models.load(str(tmp_path / "w.pth"))


def tensor(p):
    """What torch's tensors do: no array until detached and on the CPU."""
    made = mock.Mock()
    made.detach().cpu().float().numpy.return_value = p
    return made


ANSWERS = {
    "tensor with a gradient": (tensor, ""),
    "dict": (lambda p: {"probs": p, "label": p.argmax(1)}, ""),
    "rows of dicts": (lambda p: [dict(zip(CLASSES, row, strict=True)) for row in p], ""),
    "logits": (lambda p: np.log(p) + 3, "logits, a softmax"),
    "log": (np.log, "logarithms"),
    "percent": (lambda p: 100 * p, "percent"),
    "one sigmoid": (lambda p: p[:, 1], "probability of 'right'"),
    "one logit": (lambda p: np.log(p[:, 1:] / p[:, :1]), "logit of 'right'"),
    "half": (lambda p: p * 1.005, "divided by their sum"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_whatever_is_answered_becomes_probabilities_and_is_said(slices, name):
    change, note = ANSWERS[name]
    predict = probabilities(lambda s: change(truth(s)))
    np.testing.assert_allclose(predict(slices), truth(slices), atol=1e-6)
    assert note in " ".join(predict.notes)


def test_sigmoids_of_their_own_are_divided_by_their_sum_only_when_asked(slices):
    def sigmoids(s):
        return np.clip(truth(s) * 1.4, 0, 1)

    given = sigmoids(slices)
    wanted = given / given.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities(sigmoids, "sigmoid")(slices), wanted)
    with pytest.raises(InputError, match="--output sigmoid: they are divided by their sum"):
        probabilities(sigmoids)(slices)


def test_answers_that_are_no_probabilities_get_the_advice_that_fits(slices):
    for change, words in (
        (lambda p: p.argmax(axis=1), "class numbers"),
        (lambda p: None, "got nothing. Return an array. Was the return"),
        (lambda p: p * np.nan, "got 10 NaN or infinite"),
        (lambda p: p[:1], r"got shapes \(1, 2\). The rows are slices"),
        (lambda p: np.concatenate([p, p], axis=1), "by --classes"),
    ):
        with pytest.raises(InputError, match=words):
            probabilities(lambda s, change=change: change(truth(s)))(slices)


def test_objects_methods_are_found_and_whatever_they_raise_is_named(tmp_path, monkeypatch, slices):
    (tmp_path / "mine_h7.py").write_text(
        "import sys\nclass Net:\n    def predict(self, x): return x\n    def stop(self, x):\n"
        "        sys.exit(0)\n    def lacks(self, x): import no_such_package_h7\nnet = Net()\n"
    )
    monkeypatch.chdir(tmp_path)
    assert models.load("mine_h7:net.predict").raw(slices) is slices
    with pytest.raises(InputError, match=r"ended the program .*mine_h7.py, line 5\), given fl"):
        models.load("mine_h7:net.stop").raw(slices)
    with pytest.raises(InputError, match="needs the package no_such_package_h7"):
        models.load("mine_h7:net.lacks").raw(slices)
    sys.modules.pop("mine_h7", None)


AUDIT_WITHOUT_KERAS = """
import sys
from benchmarks import foreign
from tumorcf_lib.edits import audit
from tumorcf_lib.your_model import adapter, models, nulls, report, running

nulls.N_RANDOM = 3
path, out = sys.argv[1:]
cohort = foreign.cohort(9)
predict = adapter.Probabilities(models.load(path).raw, cohort.classes, "logits")
rows = audit.audit(predict, cohort, n_places=2)
report.write_report(running.audited("toy", rows, cohort, cohort.classes), out)
loaded = {name.partition(".")[0] for name in sys.modules}
heavy = {"keras", "tensorflow", "torch", "jax", "sklearn", "seaborn", "statsmodels", "nbformat"}
print(rows["slice_id"].nunique(), sorted(loaded & heavy))
"""


def test_a_file_is_audited_without_keras_and_other_heavy_packages(tmp_path):
    pytest.importorskip("onnx", reason="needs the extra onnx: onnx")
    weights = foreign.weights_of(np.random.default_rng(0), "random weights", foreign.cohort(30))
    path = foreign.write_onnx(weights, tmp_path / "network")
    words = [sys.executable, "-c", AUDIT_WITHOUT_KERAS, path, tmp_path / "report"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=config.ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "9 []"
