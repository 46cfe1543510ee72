"""Claims about the ONNX export: the same probabilities, without Keras."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from tumorcf_lib import config
from tumorcf_lib.your_model import onnx_export

pytest.importorskip("onnxruntime", reason="needs the extra onnx: onnxruntime")
pytest.importorskip("tf2onnx", reason="needs the extra onnx: tf2onnx")

AUDIT_WITHOUT_KERAS = """
import json, sys
import numpy as np
from tumorcf_lib.edits import audit
from tumorcf_lib.data import cohort
from tumorcf_lib.your_model import onnx_export, report, slices as folder

path, out = sys.argv[1:]
y, x = np.mgrid[:64, :64]
head = np.where(np.hypot(y - 32, x - 32) < 28, 1.0, 0.0)
mask = np.hypot(y - 24, x - 32) < 5
slices, masks = np.stack([head + mask] * 3), np.stack([mask] * 3)
made = cohort.from_arrays(slices, masks, [0, 1, 2], ["A", "B", "C"], classes=("a", "b", "c"),
                          name="toy", source="drawn in a test")
prepared = folder.prepare(made, size_px=64)
rows = audit.audit(onnx_export.predictor(path), prepared, n_places=2)
report.write_report(rows, out, cohort=prepared, n_resamples=50)
loaded = {name.partition(".")[0] for name in sys.modules}
print(json.dumps({"rows": len(rows), "loaded": sorted(loaded & {"keras", "tensorflow", "torch",
                                                               "jax", "onnxruntime"})}))
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A network with ImageNet weights (so that its answers differ), and its ONNX file."""
    from tumorcf_lib.networks import classifier

    profile = dataclasses.replace(config.get("smoke"), size_px=64)
    model = classifier.build(profile, seed=0, precision="float32")
    return model, onnx_export.export(model, tmp_path_factory.mktemp("onnx") / "network.onnx")


@pytest.fixture(scope="module")
def slices():
    return np.random.default_rng(0).normal(size=(9, 64, 64)).astype(np.float32)


def test_probabilities_equal_those_of_keras(exported, slices):
    model, path = exported
    of_keras = model.predict(slices[..., None], verbose=0)
    assert of_keras.std(axis=0).min() > 1e-3  # else equality proves nothing
    np.testing.assert_allclose(onnx_export.predictor(path)(slices), of_keras, atol=1e-4)


def test_the_same_slices_give_the_same_bits_and_any_batch_size_works(exported, slices):
    predict = onnx_export.predictor(exported[1])
    np.testing.assert_array_equal(predict(slices), predict(slices))
    one_by_one = np.concatenate([predict(slices[i : i + 1]) for i in range(len(slices))])
    np.testing.assert_allclose(one_by_one, predict(slices), atol=1e-5)


def test_only_the_finished_file_is_left(exported):
    assert [path.name for path in exported[1].parent.iterdir()] == ["network.onnx"]


def test_an_audit_by_onnx_loads_neither_keras_nor_tensorflow(exported, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", AUDIT_WITHOUT_KERAS, exported[1], tmp_path / "report"],
        capture_output=True, text=True, cwd=config.ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["loaded"] == ["onnxruntime"]
    assert told["rows"] == 3 * (8 + 2 * 2)


def test_slices_of_another_size_are_named(exported):
    with pytest.raises(onnx_export.InvalidOnnxModelError, match="size_px=64"):
        onnx_export.predictor(exported[1])(np.zeros((2, 32, 32), np.float32))


def test_a_file_that_is_no_model_is_named(tmp_path):
    path = tmp_path / "no.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(onnx_export.InvalidOnnxModelError, match="no.onnx, got"):
        onnx_export.predictor(path)


def test_a_network_of_another_input_is_named(tmp_path):
    from onnx import TensorProto, helper, save

    kind = TensorProto.FLOAT
    given = helper.make_tensor_value_info("x", kind, ["n", 3, 64, 64])
    result = helper.make_tensor_value_info("y", kind, ["n", 3, 64, 64])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [given], [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    save(model, tmp_path / "rgb.onnx")
    with pytest.raises(onnx_export.InvalidOnnxModelError, match="height, width, 1"):
        onnx_export.predictor(tmp_path / "rgb.onnx")


def test_a_missing_package_is_named_with_the_command(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(onnx_export.OnnxUnavailableError, match="onnxruntime.*pip install"):
        onnx_export.predictor("network.onnx")
