"""Claims about foreign classifiers: whatever they take and answer, the same probabilities."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from tumorcf_lib import config
from tumorcf_lib.your_model import InputError, adapter, models

PX = 24
CLASSES = ("left", "right")
WEIGHTS = np.zeros((PX, PX), np.float32)
WEIGHTS[:, : PX // 2], WEIGHTS[:, PX // 2 :] = -0.01, 0.01


def truth(slices):
    """Softmax of (-z, z), z how much brighter the right half is."""
    z = (slices * WEIGHTS).sum(axis=(1, 2))
    return 1 / (1 + np.exp(np.stack([2 * z, -2 * z], axis=1)))


@pytest.fixture(scope="module")
def slices():
    return np.random.default_rng(0).integers(0, 50, (5, PX, PX)).astype(np.float32)


def predictor(name, classes=CLASSES, output="auto", **options):
    model = models.load(str(name), **options)
    return adapter.Probabilities(model.raw, classes, output, model.name)


def write_onnx(path, shape, *, axis=None, kind="FLOAT", end="softmax", label=False, extra=False):
    """The network of `truth` with an input of this shape, channels averaged along `axis`."""
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx: onnx")
    make, number = onnx.helper, getattr(onnx.TensorProto, kind)
    one = np.stack([-WEIGHTS.ravel(), WEIGHTS.ravel()], axis=1)
    one = 2 * one[:, 1:] if end == "sigmoid" else one
    constants = {
        "flat": np.array([-1, PX * PX]),
        "w": one.astype(np.float32),
        "axis": np.array([1 if axis is None else axis]),
    }
    nodes = [make.make_node("Cast", ["x"], ["f"], to=onnx.TensorProto.FLOAT)]
    if axis is not None:
        nodes.append(make.make_node("ReduceMean", ["f", "axis"], ["m"], keepdims=1))
    nodes += [
        make.make_node("Reshape", ["m" if axis is not None else "f", "flat"], ["v"]),
        make.make_node("MatMul", ["v", "w"], ["z"]),
    ]
    last = {"softmax": "Softmax", "sigmoid": "Sigmoid", "logits": "Identity"}[end]
    nodes.append(make.make_node(last, ["z"], ["p"]))
    width = 1 if end == "sigmoid" else 2
    results = [make.make_tensor_value_info("p", onnx.TensorProto.FLOAT, [None, width])]
    if label:
        nodes.append(make.make_node("ArgMax", ["z"], ["label"], axis=1, keepdims=0))
        results.insert(0, make.make_tensor_value_info("label", onnx.TensorProto.INT64, [None]))
    given = [make.make_tensor_value_info("x", number, shape)]
    if extra:
        given.append(make.make_tensor_value_info("age", onnx.TensorProto.FLOAT, [None, 1]))
    kept = [onnx.numpy_helper.from_array(v, k) for k, v in constants.items()]
    graph = make.make_graph(nodes, "g", given, results, kept)
    made = make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(made)
    onnx.save(made, path)
    return path


SIGNATURES = {
    "nhwc1": dict(shape=["n", PX, PX, 1]),
    "nchw1": dict(shape=["n", 1, PX, PX]),
    "nhwc3": dict(shape=["n", PX, PX, 3], axis=3),
    "nchw3": dict(shape=["n", 3, PX, PX], axis=1),
    "nchw4": dict(shape=[None, 4, PX, PX], axis=1),
    "nhw": dict(shape=["n", PX, PX]),
    "flat": dict(shape=["n", PX * PX]),
    "chw3": dict(shape=[3, PX, PX], axis=0),
    "hwc1": dict(shape=[PX, PX, 1]),
    "symbolic": dict(shape=["n", "h", "w", 1]),
    "open": dict(shape=[None, None, None, 1]),
    "all open": dict(shape=["n", "a", "b", "c"]),
    "batch 1": dict(shape=[1, PX, PX, 1]),
    "batch 2": dict(shape=[2, PX, PX, 1]),
    "half": dict(shape=["n", PX, PX, 1], kind="FLOAT16"),
    "double": dict(shape=["n", 1, PX, PX], kind="DOUBLE"),
    "uint8": dict(shape=["n", PX, PX, 1], kind="UINT8"),
    "int32": dict(shape=["n", PX, PX, 1], kind="INT32"),
    "logits": dict(shape=["n", PX, PX, 1], end="logits"),
    "sigmoid": dict(shape=["n", PX, PX, 1], end="sigmoid"),
    "label first": dict(shape=["n", PX, PX, 1], label=True),
    "label first, batch 2": dict(shape=[2, PX, PX, 1], label=True),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_every_signature_of_an_onnx_file_gives_the_same_probabilities(tmp_path, slices, name):
    pytest.importorskip("onnxruntime", reason="needs the extra onnx: onnxruntime")
    path = write_onnx(tmp_path / "model.onnx", **SIGNATURES[name])
    np.testing.assert_allclose(predictor(path)(slices), truth(slices), atol=1e-3)


def test_channels_reach_a_network_that_takes_them(tmp_path, slices):
    pytest.importorskip("onnxruntime", reason="needs the extra onnx: onnxruntime")
    three = np.stack([slices, 2 * slices, 0 * slices], axis=3)
    for name in ("nchw3", "nhwc3"):
        predict = predictor(write_onnx(tmp_path / f"{name}.onnx", **SIGNATURES[name]))
        np.testing.assert_allclose(predict(three), truth(slices), atol=1e-5)
    predict = predictor(write_onnx(tmp_path / "one.onnx", **SIGNATURES["nchw1"]))
    np.testing.assert_allclose(predict(three), truth(three @ [0.299, 0.587, 0.114]), atol=1e-5)
    predict = predictor(write_onnx(tmp_path / "four.onnx", **SIGNATURES["nchw4"]))
    with pytest.raises(InputError, match="4 channels for this model, got 3"):
        predict(three)


def test_a_file_says_its_size_and_refuses_another(tmp_path, slices):
    pytest.importorskip("onnxruntime", reason="needs the extra onnx: onnxruntime")
    path = write_onnx(tmp_path / "m.onnx", ["n", 1, PX, PX])
    assert models.load(str(path)).size == (PX, PX)
    with pytest.raises(InputError, match="Expected slices of"):
        predictor(path)(slices[:, :-2])


def test_what_an_onnx_file_lacks_or_wants_beside_is_named(tmp_path):
    pytest.importorskip("onnxruntime", reason="needs the extra onnx: onnxruntime")
    path = write_onnx(tmp_path / "m.onnx", ["n", 1, PX, PX], extra=True)
    with pytest.raises(InputError, match="one input .* got: x .*age .*my_module:predict"):
        models.load(str(path))
    (tmp_path / "no.onnx").write_bytes(b"no model")
    with pytest.raises(InputError, match="no.onnx, got"):
        models.load(str(tmp_path / "no.onnx"))
    with pytest.raises(InputError, match="found none at"):
        models.load("nowhere.onnx")


def test_copies_have_the_same_weights_in_another_order_and_the_file_is_left_alone(tmp_path, slices):
    pytest.importorskip("onnxruntime", reason="needs the extra onnx: onnxruntime")
    path = write_onnx(tmp_path / "m.onnx", ["n", 1, PX, PX])
    before, model = path.read_bytes(), models.load(str(path))
    found = model.copies(np.random.default_rng(0))
    one, two = (adapter.Probabilities(next(found), CLASSES)(slices) for _ in range(2))
    assert np.abs(one - two).max() > 0.01 and np.abs(one - truth(slices)).max() > 0.01
    found.close()
    np.testing.assert_allclose(
        adapter.Probabilities(model.raw, CLASSES)(slices), truth(slices), atol=1e-5
    )  # its own weights again
    assert path.read_bytes() == before


def torch_file(path):
    """The network of `truth` as TorchScript, in training mode as often saved, or for two slices."""
    torch = pytest.importorskip("torch", reason="needs the extra torch: torch")

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.last = torch.nn.Linear(PX * PX, 2, bias=False)
            self.drop = torch.nn.Dropout(0.5)
            weights = np.stack([-WEIGHTS.ravel(), WEIGHTS.ravel()])
            self.last.weight.data = torch.from_numpy(weights)

        def forward(self, x):
            return torch.softmax(self.last(self.drop(x.mean(dim=1)).flatten(1)), dim=1)

    if path.suffix == ".pt":
        torch.jit.script(Network()).save(str(path))
    else:
        torch.export.save(torch.export.export(Network().eval(), (torch.zeros(2, 3, PX, PX),)), path)
    return path


@pytest.mark.parametrize("ending", [".pt", ".pt2"])
def test_torch_files_run_in_evaluation_mode_and_can_be_redrawn(tmp_path, slices, ending):
    model = models.load(str(torch_file(tmp_path / f"m{ending}")))
    predict = adapter.Probabilities(model.raw, CLASSES)
    np.testing.assert_allclose(predict(slices), truth(slices), atol=1e-4)
    copies = model.copies(np.random.default_rng(0))
    one = adapter.Probabilities(next(copies), CLASSES)(slices)
    assert np.abs(one - truth(slices)).max() > 0.01
    copies.close()
    np.testing.assert_allclose(predict(slices), truth(slices), atol=1e-4)


def test_a_pickle_of_weights_is_no_torchscript(tmp_path):
    torch = pytest.importorskip("torch", reason="needs the extra torch: torch")
    torch.save({"w": torch.zeros(3)}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="Expected TorchScript in w.pth"):
        models.load(str(tmp_path / "w.pth"))


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_keras_files_run_and_can_be_redrawn(tmp_path, slices, ending):
    keras = pytest.importorskip("keras", reason="needs the extra study: keras")
    given = keras.Input((PX, PX, 1))
    x = keras.layers.Dropout(0.5)(keras.layers.Flatten()(given))
    model = keras.Model(given, keras.layers.Dense(2, "softmax", use_bias=False)(x))
    model.set_weights([np.stack([-WEIGHTS.ravel(), WEIGHTS.ravel()], axis=1)])
    model.save(tmp_path / f"m{ending}")
    loaded = models.load(str(tmp_path / f"m{ending}"))
    predict = adapter.Probabilities(loaded.raw, CLASSES)
    np.testing.assert_allclose(predict(slices), truth(slices), atol=1e-4)
    copies = loaded.copies(np.random.default_rng(0))
    assert np.abs(adapter.Probabilities(next(copies), CLASSES)(slices) - truth(slices)).max() > 0.01
    copies.close()
    np.testing.assert_allclose(predict(slices), truth(slices), atol=1e-4)


ANSWERS = {
    "list": (lambda p: p.tolist(), ""),
    "tuple": (lambda p: (p, None), ""),
    "dict": (lambda p: {"probs": p, "label": p.argmax(1)}, ""),
    "rows of dicts": (lambda p: [dict(zip(CLASSES, row, strict=True)) for row in p], ""),
    "logits": (lambda p: np.log(p) + 3, "logits, a softmax"),
    "log": (np.log, "logarithms"),
    "percent": (lambda p: 100 * p, "percent"),
    "one sigmoid": (lambda p: p[:, 1], "probability of 'right'"),
    "one column": (lambda p: p[:, 1:], "probability of 'right'"),
    "one logit": (lambda p: np.log(p[:, 1:] / p[:, :1]), "logit of 'right'"),
    "half": (lambda p: p * 1.005, "divided by their sum"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_whatever_is_answered_becomes_probabilities_and_is_said(slices, name):
    change, note = ANSWERS[name]
    predict = adapter.Probabilities(lambda s: change(truth(s)), CLASSES)
    np.testing.assert_allclose(predict(slices), truth(slices), atol=1e-6)
    assert note in " ".join(predict.notes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p.argmax(axis=1), "class numbers"),
        (lambda p: None, "got nothing. Return an array. Was the return"),
        (lambda p: p * np.nan, "got 10 NaN or infinite"),
        (lambda p: p[:1], r"got shapes \(1, 2\). The rows are slices"),
        (lambda p: np.concatenate([p, p], axis=1), "by --classes"),
        (lambda p: p * 0, "apply a softmax or"),
        (lambda p: np.clip(p * 1.4, 0, 1), "--output sigmoid: they are divided by their sum"),
    ],
)
def test_answers_that_are_no_probabilities_get_the_advice_that_fits(slices, change, words):
    predict = adapter.Probabilities(lambda s: change(truth(s)), CLASSES, name="mine")
    with pytest.raises(InputError, match=words):
        predict(slices)


def test_sigmoids_of_their_own_are_divided_by_their_sum_when_asked(slices):
    predict = adapter.Probabilities(lambda s: truth(s) * 0.5, CLASSES, "sigmoid")
    np.testing.assert_allclose(predict(slices), truth(slices))


def test_hard_labels_are_told(slices):
    predict = adapter.Probabilities(lambda s: np.eye(2)[truth(s).argmax(1)], CLASSES)
    predict(slices)
    assert "hard labels" in predict.notes[0]


def test_a_tensor_with_a_gradient_is_detached(slices):
    class Tensor:
        """What torch's tensors do: no array until detached."""

        def __init__(self, array, attached=True):
            self.array, self.attached = array, attached

        def __array__(self, *args, **kwargs):
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")

        def detach(self):
            return Tensor(self.array, attached=False)

        def cpu(self):
            return self

        def is_floating_point(self):
            return True

        def float(self):
            return self

        def numpy(self):
            assert not self.attached
            return self.array

    predict = adapter.Probabilities(lambda s: Tensor(truth(s)), CLASSES)
    np.testing.assert_allclose(predict(slices), truth(slices))


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
import json, sys
from tumorcf_lib.your_model import adapter, models, running, report, slices
from tumorcf_lib.edits import audit
import numpy as np
from tumorcf_lib.data import cohort

path, out = sys.argv[1:]
y, x = np.mgrid[:64, :64]
head = np.where(np.hypot(y - 32, x - 32) < 28, 1.0, 0.0)
mask = np.hypot(y - 24, x - 32) < 5
pixels, masks = np.stack([head + mask] * 3), np.stack([mask] * 3)
made = cohort.from_arrays(pixels, masks, [0, 1, 2], ["A", "B", "C"], classes=("a", "b", "c"),
                          name="toy", source="drawn in a test")
prepared = slices.prepare(made, size_px=64)
predict = adapter.Probabilities(models.load(path).raw, made.classes)
rows = audit.audit(predict, prepared, n_places=2)
report.write_report(running.audited("toy", rows, prepared, made.classes, n_random=3), out)
loaded = {name.partition(".")[0] for name in sys.modules}
heavy = {"keras", "tensorflow", "torch", "jax", "sklearn", "seaborn", "statsmodels", "nbformat"}
print(json.dumps({"rows": len(rows), "loaded": sorted(loaded & (heavy | {"onnxruntime"}))}))
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A network with ImageNet weights (so that its answers differ), and its ONNX file."""
    pytest.importorskip("tf2onnx", reason="needs the extra study: tf2onnx")
    from tumorcf_lib.networks import classifier

    profile = dataclasses.replace(config.get("smoke"), size_px=64)
    model = classifier.build(profile, seed=0, precision="float32")
    path = tmp_path_factory.mktemp("o") / "network.onnx"
    model(np.zeros((1, 64, 64, 1), np.float32))  # Keras exports what was called once
    model.export(path, format="onnx", verbose=False)
    return model, path


def test_our_own_network_as_a_file_answers_as_in_keras(exported, tmp_path):
    model, path = exported
    given = np.random.default_rng(0).normal(size=(9, 64, 64)).astype(np.float32)
    of_keras = model.predict(given[..., None], verbose=0)
    assert of_keras.std(axis=0).min() > 1e-3  # else equality proves nothing
    np.testing.assert_allclose(predictor(path, ("a", "b", "c"))(given), of_keras, atol=1e-4)
    done = subprocess.run(
        [sys.executable, "-c", AUDIT_WITHOUT_KERAS, path, tmp_path / "report"],
        capture_output=True,
        text=True,
        cwd=config.ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told == {"rows": 3 * (8 + 2 * 2), "loaded": ["onnxruntime"]}
