"""The benchmarks run, compare like with like, and tell nothing private; start-up is light."""

import dataclasses
import math
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from benchmarks import (
    __main__ as command,
    audits,
    cohort_size,
    inpainting,
    measure,
    network,
    phantoms,
    reader,
    sham_places,
    slices,
    startup,
    training_steps,
)
from tumorcf_lib import config

pytestmark = pytest.mark.monthly

ROW = measure.Row("sums", "of ten", "loop", 10, "numbers", 3, 2.0, 1.5, 1.0, 0.9, 1.1)


@pytest.mark.parametrize("module", [inpainting, phantoms, reader, sham_places])
def test_a_tiny_run_times_every_way_to_do_the_same(module):
    rows = module.run("tiny", 1)
    assert len(rows) > 1 and rows[0].ratio == 1.0
    assert all(row.seconds > 0 and math.isfinite(row.ratio) for row in rows)


def test_startup_is_timed_in_processes_of_their_own():
    assert [row.case for row in startup.run("tiny", 1)] == list(startup.TINY)


def test_the_audit_is_timed_beside_its_predict_and_a_naive_loop():
    profile = dataclasses.replace(config.get("smoke"), size_px=64)
    rows = audits.rows(by_brightness, slices.prepared(1, 64), profile, 1)
    assert [row.case.split()[0] for row in rows] == ["bare:", "audit", "naive:"]
    assert {row.n for row in rows} == {rows[0].n} and rows[0].n > 10


def test_an_audit_that_disagrees_with_the_naive_loop_is_an_error(monkeypatch):
    naive = audits.one_by_one
    monkeypatch.setattr(audits, "one_by_one", lambda *arguments: naive(*arguments) + 0.01)
    profile = dataclasses.replace(config.get("smoke"), size_px=64)
    with pytest.raises(AssertionError):
        audits.rows(by_brightness, slices.prepared(1, 64), profile, 1)


def by_brightness(inputs):
    p = 1 / (1 + np.exp(-inputs.mean(axis=(1, 2), dtype=np.float64)))
    return np.stack([p, (1 - p) / 2, (1 - p) / 2], axis=1)


def test_the_network_is_timed_as_built_and_folded(monkeypatch):
    monkeypatch.setattr(network, "_built", small_network)
    rows = network.run("tiny", 1)
    assert [row.case for row in rows] == ["as built", "norms folded"]


def test_training_is_timed_as_built_folded_and_as_the_profile_does_it():
    rows = training_steps.run("tiny", 1)
    assert [row.case for row in rows] == [
        training_steps.AS_BUILT, training_steps.FOLDED, training_steps.FROZEN,
    ]  # fmt: skip
    assert all(row.n == 3 and row.seconds > 0 for row in rows)


def small_network(size, size_px):
    inputs = keras.Input((size_px, size_px, 1))
    x = layers.Conv2D(2, 3, kernel_initializer=keras.initializers.GlorotUniform(seed=0))(inputs)
    x = layers.BatchNormalization(trainable=False)(x)
    x = layers.GlobalAveragePooling2D()(x)
    head = layers.Dense(3, "softmax", kernel_initializer=keras.initializers.GlorotUniform(seed=1))
    return keras.Model(inputs, head(x))


@pytest.mark.parametrize("stage", cohort_size.STAGES)
def test_each_stage_works_on_what_was_put_into_its_folder(stage, tmp_path):
    cohort_size._put(tmp_path / "x1", 2, 64, 64)
    cohort_size.STAGES[stage](tmp_path / "x1")


def test_results_that_differ_are_not_timed():
    def agree(results):
        assert results["one"] == results["other"]

    with pytest.raises(AssertionError):
        measure.compare(
            "", "", {"one": lambda: 1, "other": lambda: 2}, n=1, unit="", repeats=1, agree=agree
        )


def test_every_benchmark_is_run_by_the_command():
    files = {path.stem for path in Path(command.__file__).parent.glob("*.py")}
    parts = {"__init__", "__main__", "machine", "measure", "report", "slices"}
    assert set(command.MODULES) == files - parts


def test_help_and_status_start_without_keras_in_less_than_a_second(tmp_path):
    code = (
        "import sys, time, tumorcf_lib\n"
        "imported = time.process_time()\n"
        "from tumorcf_lib.__main__ import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "main(['status', '--profile', 'demo'])\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules), 'Keras was loaded'\n"
        "print(imported)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=config.ROOT,
        env={"PATH": "", "TUMORCF_RUNS": str(tmp_path), "PYTHONPATH": str(config.ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "never finished" in done.stdout
    assert float(done.stdout.split()[-1]) < 1.0
