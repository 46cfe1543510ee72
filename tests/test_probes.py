import dataclasses

import numpy as np
import pandas as pd
import pytest
from pictures import named
from tiny_heads import same

from tumorcf_lib import config
from tumorcf_lib.controls import probes
from tumorcf_lib.data import split
from tumorcf_lib.edits import edits

pytestmark = pytest.mark.usefixtures("three_blocks")

SIZES = {"size_px": 64, "probe_size_px": 32, "probe_epochs": 0, "batch_size": 8}
TINY = dataclasses.replace(config.get("smoke"), weights=None, **SIZES)
P = [f"p_{name}" for name in config.CLASSES]


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
    return named(slices, masks, labels, np.arange(90) // 2)


@pytest.fixture(scope="module")
def parts(prepared):
    return split.hold_out(prepared.persons, prepared.labels, seed=0)


def test_slices_are_edited_at_full_size_and_then_shrunk_and_hide_what_is_under_the_mask(prepared):
    slice, mask = prepared.slices[5], prepared.masks[5]
    other = prepared.slices.copy()
    other[prepared.masks] = 5
    other = dataclasses.replace(prepared, slices=other)
    for name in ("original", "background", "remove", "silhouette"):
        made = probes.probe_inputs(name, prepared, 32)
        edited = slice if name == "original" else getattr(edits, name)(slice, mask)
        by_hand = edited.reshape(32, 2, 32, 2).mean(axis=(1, 3))
        np.testing.assert_allclose(made[5], by_hand, atol=2e-3)  # half precision
        if name != "original":
            np.testing.assert_array_equal(probes.probe_inputs(name, other, 32), made)


def test_probes_that_share_a_network_learn_what_they_would_alone(
    prepared, parts, tmp_path, monkeypatch
):
    monkeypatch.setattr(probes, "HEAD_EPOCHS", 3)
    profile = dataclasses.replace(TINY, probe_epochs=1)
    network, said = probes.untrained(profile, 3, 0), []
    before = [np.array(variable) for variable in network[0].variables]

    def rows(name, folder):
        how = {"seed": 0, "network": network, "progress": said.append}
        return probes.train_probe(name, profile, prepared, parts, folder=tmp_path / folder, **how)

    alone = rows("mask", "alone")
    rows("silhouette", "between")
    pd.testing.assert_frame_equal(rows("mask", "after"), alone)
    assert all(same(network[0].variables, before))
    history = pd.read_csv(tmp_path / "alone" / "history.csv").set_index("epoch")
    assert len(history) == 4
    assert f"kept epoch {history['val_loss'].idxmin()} of" in said[1]
    assert alone["slice_id"].tolist() == prepared.table["slice_id"][parts == "test"].tolist()
    np.testing.assert_allclose(alone[P].sum(axis=1), 1, atol=1e-5)


def test_a_statistic_that_holds_the_class_finds_it_on_other_persons(prepared, parts):
    rows = probes.statistics_probe("place", prepared, parts)
    predicted = rows[P].to_numpy().argmax(axis=1)
    assert (np.array(config.CLASSES)[predicted] == rows["label"]).all()
    assert rows["slice_id"].tolist() == prepared.table["slice_id"][parts == "test"].tolist()


def test_labels_of_tested_slices_are_not_learned_from(prepared, parts):
    labels = prepared.table["label"].where(parts != "test", 0)
    hidden = dataclasses.replace(prepared, table=prepared.table.assign(label=labels))
    ours, theirs = (probes.statistics_probe("area", c, parts)[P] for c in (prepared, hidden))
    pd.testing.assert_frame_equal(ours, theirs)
