"""Claims about foreign classifiers: whatever they take and answer, the same probabilities."""

import sys
from unittest import mock

import numpy as np
import pytest

from benchmarks import foreign
from tumorcf_lib.your_model import InputError, adapter, models

PX = 24
CLASSES = ("left", "right")
WEIGHTS = np.full((PX, PX), 0.01, np.float32)
WEIGHTS[:, : PX // 2] = -0.01
SLICES = np.random.default_rng(0).integers(0, 50, (5, PX, PX)).astype(np.float32)


def truth(slices):
    """Softmax of (-z, z), z how much brighter the right half is."""
    z = (slices * WEIGHTS).sum(axis=(1, 2))
    return 1 / (1 + np.exp(np.stack([2 * z, -2 * z], axis=1)))


def probabilities(raw, output="auto"):
    return adapter.Probabilities(raw, CLASSES, output, "mine")


def write_onnx(path, given, *, weights=WEIGHTS, axes=(), end="Softmax", first=""):
    """A softmax of (-z, z) of an input `x` among those `given`, averaged over `axes`.

    `first`: an output in front of the probabilities.
    """
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx: onnx")
    pytest.importorskip("onnxruntime", reason="needs the extra onnx: onnxruntime")
    model = onnx.parser.parse_model(f"""
        <ir_version: 10, opset_import: ["": 18]>
        g ({given}) => ({first} float[n, k] p) {{
            f = Cast <to = 1> (x)
            m = ReduceMean <noop_with_empty_axes = 1> (f, axes)
            v = Reshape (m, flat)
            z = MatMul (v, w)
            label = ArgMax <axis = 1, keepdims = 0> (z)
            p = {end} (z)
        }}""")
    both = np.stack([-weights.ravel(), weights.ravel()], axis=1)
    constants = {
        "flat": np.array([-1, weights.size]),
        "w": 2 * both[:, 1:] if end == "Sigmoid" else both,
        "axes": np.array(axes, int),
    }
    kept = (onnx.numpy_helper.from_array(value, name) for name, value in constants.items())
    model.graph.initializer.extend(kept)
    onnx.save(model, path)
    return str(path)


SIGNATURES = {
    "nchw": dict(given=f"float[n, 3, {PX}, {PX}] x", axes=[1]),
    "nhwc": dict(given=f"float[n, {PX}, {PX}, 3] x", axes=[3]),
    "no channels": dict(given=f"float[n, {PX}, {PX}] x"),
    "all open": dict(given="float[n, a, b, c] x"),
    "double": dict(given="double[n, a, b, 1] x"),
    "whole numbers": dict(given=f"uint8[n, {PX}, {PX}, 1] x"),
    "sigmoid": dict(given=f"float[n, {PX}, {PX}, 1] x", end="Sigmoid"),
    "label first, batch 2": dict(given=f"float[2, {PX}, {PX}, 1] x", first="int64[n] label,"),
}


def test_every_signature_of_an_onnx_file_gives_the_same_probabilities(tmp_path):
    for name, signature in SIGNATURES.items():
        raw = models.load(write_onnx(tmp_path / "model.onnx", **signature)).raw
        found = probabilities(raw)(SLICES)
        np.testing.assert_allclose(found, truth(SLICES), atol=1e-3, err_msg=name)


def test_channels_reach_a_network_that_takes_as_many_and_other_shapes_are_refused(tmp_path):
    three = np.stack([SLICES, 2 * SLICES, 0 * SLICES], axis=3)
    given = {n: f"float[n, {n}, {PX}, {PX}] x" for n in (1, 3)}
    files = (write_onnx(tmp_path / f"{n}.onnx", own, axes=[1]) for n, own in given.items())
    of_one, of_three = map(models.load, files)
    np.testing.assert_allclose(probabilities(of_three.raw)(three), truth(SLICES), atol=1e-5)
    assert of_three.size == (PX, PX)
    for given in (three, SLICES[:, :-2]):
        with pytest.raises(InputError, match=r"given .* slices of shape .*--size.*column channel"):
            of_one.raw(given)


def test_an_answer_with_more_rows_than_slices_is_refused_and_a_layout_that_a_file_denies():
    twice = adapter.Shaped(lambda batch: np.tile(truth(batch[..., 0]), (2, 1)), layout="nhwc")
    with pytest.raises(InputError, match=rf"shape \({len(SLICES)}, 2\).*got shapes"):
        probabilities(twice)(SLICES)
    with pytest.raises(InputError, match="Expected an input of slices"):
        adapter.Shaped(truth, [None, 1, PX, PX], layout="nhw")
    assert adapter.Shaped(truth, [None, 3, PX, PX], layout="nhwc").channels == 3


def test_what_is_no_model_or_wants_more_than_slices_is_named(tmp_path):
    of_two = write_onnx(tmp_path / "m.onnx", f"float[n, 1, {PX}, {PX}] x, float[n, 1] age")
    of_a_row = write_onnx(tmp_path / "row.onnx", f"float[n, {PX * PX}] x")
    for name in ("no.onnx", "w.pth"):  # as would be a pickle, which could run foreign code
        (tmp_path / name).write_bytes(b"no model")
    for path, words in (
        (of_two, "one input .* got: x .*age .*my_module:predict"),
        (of_a_row, "Expected an input of slices"),
        (tmp_path / "no.onnx", "no.onnx raised .*Export it again"),
        (tmp_path / "w.pth", "Expected TorchScript in w.pth|needs the package torch"),
        ("nowhere.onnx", "none at"),
    ):
        with pytest.raises(InputError, match=words):
            models.load(str(path))


@pytest.mark.parametrize("kind", foreign.WRITERS)
def test_a_file_answers_as_its_weights_do_and_is_left_as_it_is(tmp_path, kind):
    pytest.importorskip(kind, reason=f"needs the package {kind}")
    cohort, rng = foreign.cohort(30), np.random.default_rng(0)
    first, second, last, bias = weights = foreign.weights_of(rng, "random weights", cohort)
    path = foreign.WRITERS[kind](weights, tmp_path / "m")
    before = path.read_bytes()
    predict = adapter.Probabilities(models.load(str(path)).raw, foreign.CLASSES, "logits")
    wanted = foreign.softmax(foreign._features(first, second, cohort.slices) @ last.T + bias)
    np.testing.assert_allclose(predict(cohort.slices), wanted, atol=1e-4)
    assert path.read_bytes() == before


ON_A_GPU = "detach.return_value.cpu.return_value.float.return_value.numpy.return_value"
ANSWERS = {  # what is answered, and what is said of it
    "tensor with a gradient": (lambda p: mock.Mock(**{ON_A_GPU: p}), ""),
    "dict": (lambda p: {"probs": p, "label": p.argmax(1)}, ""),
    "lists": (lambda p: p.tolist(), ""),
    "logits": (lambda p: np.log(p) + 3, "logits, a softmax"),
    "log": (np.log, "logits, a softmax"),
    "percent": (lambda p: 100 * p, "percent"),
    "one sigmoid": (lambda p: p[:, 1], "probability of 'right'"),
    "one logit": (lambda p: np.log(p[:, 1:] / p[:, :1]), "logit of 'right'"),
    "half": (lambda p: p * 1.005, "divided by their sum"),
}
REFUSED = {  # what is answered, and the advice
    "class numbers": (lambda p: p.argmax(axis=1), r"shapes \(5, 1\). .* not the numbers of cl"),
    "nothing": (lambda p: None, "got no numbers. Return"),
    "NaN": (lambda p: p * np.nan, "NaN or infinite numbers for 5 of 5"),
    "one row": (lambda p: p[:1], r"got shapes \(1, 2\)"),
    "more columns": (lambda p: np.concatenate([p, p], axis=1), "by --classes"),
    "sigmoids": (lambda p: 0.8 * p, "--output sigmoid: they are divided by their sum"),
}


def test_whatever_is_answered_becomes_probabilities_and_is_said_or_gets_advice_that_fits():
    wanted = truth(SLICES)
    for name, (change, note) in ANSWERS.items():
        predict = probabilities(lambda s, change=change: change(truth(s)))
        np.testing.assert_allclose(predict(SLICES), wanted, atol=1e-6, err_msg=name)
        assert note in predict.note, name
    for change, words in REFUSED.values():
        with pytest.raises(InputError, match=words):
            probabilities(lambda s, change=change: change(truth(s)))(SLICES)
    asked = probabilities(lambda s: 0.8 * truth(s), "sigmoid")
    np.testing.assert_allclose(asked(SLICES), wanted)


def test_objects_methods_are_found_and_whatever_they_raise_is_named(tmp_path, monkeypatch):
    (tmp_path / "mine_h7.py").write_text(
        "import sys\nclass Net:\n    def predict(self, x): return x\n    def stop(self, x):\n"
        "        sys.exit(0)\n    def lacks(self, x): import no_such_package_h7\nnet = Net()\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "mine_h7", raising=False)
    assert models.load("mine_h7:net.predict").raw(SLICES) is SLICES
    for name, words in (
        ("net.stop", r"ended the program .*mine_h7.py, line 5\), given fl"),
        ("net.lacks", "needs the package no_such_package_h7"),
        ("net.answers", "Expected the function mine_h7:net.answers, got none. It has: Net"),
    ):
        with pytest.raises(InputError, match=words):
            models.load(f"mine_h7:{name}").raw(SLICES)
    sys.modules.pop("mine_h7", None)
