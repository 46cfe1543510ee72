"""Probes: what each one sees, who it learns from, and what their tables say by hand."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib import config
from tumorcf_lib.controls import probes
from tumorcf_lib.data import split
from tumorcf_lib.data.cohort import Cohort, from_arrays
from tumorcf_lib.edits import edits

pytestmark = pytest.mark.usefixtures("three_blocks")

TINY = dataclasses.replace(
    config.get("smoke"),
    weights=None,
    size_px=64,
    probe_size_px=32,
    probe_epochs=0,
    batch_size=8,
)


@pytest.fixture(scope="module")
def prepared():
    """Bright squares on heads of noise: the class is where the square lies."""
    rng = np.random.default_rng(0)
    labels = np.arange(90) // 2 % 3
    slices = rng.normal(0.5, 0.2, (90, 64, 64)).astype(np.float32)
    slices[:, :8] = slices[:, 56:] = slices[:, :, :8] = slices[:, :, 56:] = -1.5
    masks = np.zeros(slices.shape, bool)
    for i, label in enumerate(labels):
        masks[i, 12 + 14 * label : 20 + 14 * label, 20:30] = True
    slices[masks] = 2
    return from_arrays(
        slices,
        masks,
        labels,
        [f"p{i // 2:02d}" for i in range(90)],
        classes=config.CLASSES,
        name="toy",
        source="Squares.",
    )


@pytest.fixture(scope="module")
def parts(prepared):
    return split.hold_out(prepared.persons, prepared.labels, seed=0)


@pytest.mark.parametrize("name", ["original", "background", "remove", "silhouette"])
def test_slices_are_edited_at_full_size_and_then_shrunk(prepared, name):
    made = probes.probe_inputs(name, prepared, 32)
    slice, mask = prepared.slices[5], prepared.masks[5]
    edited = slice if name == "original" else getattr(edits, name)(slice, mask)
    by_hand = edited.reshape(32, 2, 32, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(made[5], by_hand, atol=2e-3)  # half precision


def test_what_is_under_the_mask_changes_neither_background_nor_removal(prepared):
    other = prepared.slices.copy()
    other[prepared.masks] = 5
    other = dataclasses.replace(prepared, slices=other)
    for name in ("background", "remove", "silhouette"):
        ours, theirs = (probes.probe_inputs(name, c, 32) for c in (prepared, other))
        np.testing.assert_array_equal(ours, theirs)


def test_a_retrained_network_predicts_the_tested_slices_and_only_those(prepared, parts, tmp_path):
    said = []
    rows = probes.train_probe(
        "mask", TINY, prepared, parts, seed=0, folder=tmp_path, progress=said.append
    )
    history = pd.read_csv(tmp_path / "history.csv").set_index("epoch")
    best = history["val_loss"].idxmin()
    assert [line.split(":")[0] for line in said] == ["probe mask", f"  kept epoch {best} of 12"]
    assert f"validation slices {history['val_accuracy'][best]:.3f}" in said[1]
    assert rows["slice_id"].tolist() == prepared.table["slice_id"][parts == "test"].tolist()
    assert set(rows["probe"]) == {"mask"}
    p = rows[[f"p_{name}" for name in config.CLASSES]].to_numpy()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    assert len(history) == probes.HEAD_EPOCHS


def tiny_network():
    """Layer names as of the real network, and its backbone."""
    import keras
    from keras import layers

    from tumorcf_lib.networks import training

    init = [keras.initializers.GlorotUniform(seed=seed) for seed in range(3)]
    slices = keras.Input((32, 32, 1))
    x = layers.Conv2D(6, 5, strides=4, activation="relu", kernel_initializer=init[0])(slices)
    x = layers.GlobalAveragePooling2D(name="features")(x)
    x = layers.Dense(8, "relu", kernel_initializer=init[1], name="hidden")(x)
    x = layers.Dropout(0.2, seed=0, name="dropout")(x)
    x = layers.Dense(3, "softmax", kernel_initializer=init[2], name="probabilities")(x)
    model = keras.Model(slices, x)
    return model, training.backbone_of(model)


@pytest.mark.parametrize("probe_epochs", [0, 1])
def test_probes_that_share_a_network_learn_what_they_would_alone(
    prepared, parts, tmp_path, probe_epochs
):
    profile = dataclasses.replace(TINY, probe_epochs=probe_epochs)
    network = tiny_network()
    before = [np.array(variable) for variable in network[0].variables]

    def rows(name, folder):
        return probes.train_probe(
            name,
            profile,
            prepared,
            parts,
            seed=0,
            folder=tmp_path / folder,
            network=network,
            progress=lambda line: None,
        )

    alone = rows("mask", "alone")
    rows("silhouette", "between")
    pd.testing.assert_frame_equal(rows("mask", "after"), alone)
    for variable, value in zip(network[0].variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_a_statistic_that_holds_the_class_finds_it_on_other_persons(prepared, parts):
    rows = probes.statistics_probe("place", prepared, parts)
    predicted = rows[[f"p_{name}" for name in config.CLASSES]].to_numpy().argmax(axis=1)
    assert (np.array(config.CLASSES)[predicted] == rows["label"]).mean() == 1
    assert rows["slice_id"].tolist() == prepared.table["slice_id"][parts == "test"].tolist()


def test_labels_of_tested_slices_are_not_learned_from(prepared, parts):
    labels = prepared.table["label"].where(parts != "test", 0)
    hidden = Cohort(
        "toy",
        prepared.slices,
        prepared.masks,
        prepared.table.assign(label=labels),
        prepared.classes,
        "Squares.",
    )
    columns = [f"p_{name}" for name in config.CLASSES]
    ours, theirs = (probes.statistics_probe("area", c, parts)[columns] for c in (prepared, hidden))
    pd.testing.assert_frame_equal(ours, theirs)
