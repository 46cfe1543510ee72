"""Probes: what each one sees, who it learns from, and what their tables say by hand."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib import config, rowfiles
from tumorcf_lib.controls import probes
from tumorcf_lib.data import split
from tumorcf_lib.data.cohort import Cohort, from_arrays
from tumorcf_lib.edits import edits

pytestmark = pytest.mark.usefixtures("three_blocks")

TINY = dataclasses.replace(
    config.get("smoke"), weights=None, size_px=64, probe_size_px=32, probe_epochs=0, batch_size=8,
)  # fmt: skip


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
        slices, masks, labels, [f"p{i // 2:02d}" for i in range(90)], classes=config.CLASSES,
        name="toy", source="Squares.",
    )  # fmt: skip


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


def test_a_mask_probe_sees_nothing_of_the_slice(prepared):
    brighter = dataclasses.replace(prepared, slices=prepared.slices * 2 + 1)
    made = probes.probe_inputs("mask", prepared, 32)
    np.testing.assert_array_equal(made, probes.probe_inputs("mask", brighter, 32))
    by_hand = np.where(prepared.masks[0], 1.0, -1.0).reshape(32, 2, 32, 2).mean(axis=(1, 3))
    np.testing.assert_array_equal(made[0], by_hand)


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
            name, profile, prepared, parts, seed=0, folder=tmp_path / folder, network=network,
            progress=lambda line: None,
        )  # fmt: skip

    alone = rows("mask", "alone")
    rows("silhouette", "between")
    pd.testing.assert_frame_equal(rows("mask", "after"), alone)
    for variable, value in zip(network[0].variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_a_killed_call_does_not_train_its_finished_networks_again(
    prepared, parts, tmp_path, monkeypatch
):
    trained = []

    def stub(name, *args, **options):
        trained.append(name)
        if options:
            options["folder"].mkdir()
            (options["folder"] / "checkpoint.npz").write_text("")
        return probes._rows(name, prepared, np.array([0]), np.full((1, 3), 1 / 3))

    monkeypatch.setattr(probes, "train_probe", stub)
    done = stub("remove").assign(p_glioma=0.5)
    rowfiles.write_table(done, tmp_path / "rows_remove.csv")
    trained.clear()
    rows = probes.all_probes(TINY, prepared, parts, None, seed=0, folder=tmp_path)
    assert trained == ["original", "background", "silhouette", "mask"]
    assert not list(tmp_path.rglob("checkpoint.npz"))
    assert rows.loc[rows["probe"] == "remove", "p_glioma"].tolist() == [0.5]
    assert list(rows["probe"].unique()) == [*probes.INPUTS, "intensity", "place", "area"]


def test_a_statistic_that_holds_the_class_finds_it_on_other_persons(prepared, parts):
    rows = probes.statistics_probe("place", prepared, parts)
    predicted = rows[[f"p_{name}" for name in config.CLASSES]].to_numpy().argmax(axis=1)
    assert (np.array(config.CLASSES)[predicted] == rows["label"]).mean() == 1
    assert rows["slice_id"].tolist() == prepared.table["slice_id"][parts == "test"].tolist()


def test_labels_of_tested_slices_are_not_learned_from(prepared, parts):
    labels = prepared.table["label"].where(parts != "test", 0)
    hidden = Cohort("toy", prepared.slices, prepared.masks, prepared.table.assign(label=labels),
                    prepared.classes, "Squares.")  # fmt: skip
    columns = [f"p_{name}" for name in config.CLASSES]
    ours, theirs = (probes.statistics_probe("area", c, parts)[columns] for c in (prepared, hidden))
    pd.testing.assert_frame_equal(ours, theirs)


def test_the_place_is_the_center_of_the_mask_in_the_box_around_the_head(prepared):
    y, x = probes.statistics_of("place", prepared)[0]
    # Head: 8 to 56, found to a pixel; mask: rows 12 to 20, columns 20 to 30.
    assert y == pytest.approx((16 - 8) / 48, abs=0.03)
    assert x == pytest.approx((25 - 8) / 48, abs=0.03)


def test_intensities_leave_the_tumor_out(prepared):
    numbers = probes.statistics_of("intensity", prepared)
    outside = prepared.slices[3][~prepared.masks[3]].astype(float)
    assert numbers[3, 4] == np.median(outside)
    np.testing.assert_allclose(numbers[3, -3:], [outside.mean(), outside.std(),
                                                 np.mean(outside < -0.5)], rtol=1e-6)  # fmt: skip
    assert numbers[3, 8] < 2


def test_a_plane_probe_reads_the_rows_of_its_slices(prepared):
    planes = pd.DataFrame({"slice_id": prepared.table["slice_id"][::-1], "p_axial": 0.25,
                           "p_coronal": np.arange(90) / 100, "known_plane": "axial"})  # fmt: skip
    numbers = probes.statistics_of("plane", prepared, planes)
    assert numbers.shape == (90, 2) and numbers[0].tolist() == [0.25, 0.89]


@pytest.mark.parametrize("name, expected", [("plane", "rows_planes"), ("smell", "intensity")])
def test_a_statistic_that_cannot_be_taken_says_what_is_missing(prepared, name, expected):
    with pytest.raises(probes.UnknownProbeError, match=expected):
        probes.statistics_of(name, prepared)


def test_an_empty_mask_lies_in_the_middle_and_has_no_area(prepared):
    empty = dataclasses.replace(prepared, masks=np.zeros_like(prepared.masks)).subset([0])
    assert probes.statistics_of("place", empty).tolist() == [[0.5, 0.5]]
    assert probes.statistics_of("area", empty).tolist() == [[0.0]]
