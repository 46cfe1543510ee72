import dataclasses

import keras
import numpy as np
import pytest
from keras import layers
from tiny_heads import PROFILE, SIZE, cohort, same

from tumorcf_lib.edits import regions
from tumorcf_lib.networks import classifier, looking, training

PROFILE = dataclasses.replace(PROFILE, finetune_epochs=1)


def views_of(part_name="train", data=None):
    slices, masks, labels, persons, parts = data or cohort()
    index = np.flatnonzero(parts == part_name)
    part = training.Part(slices, index, labels[index], persons[index], 3)
    return looking.Views(part, masks)


def tiny_model():
    """A network that sees bright spots, with a norm, from equal weights every time."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((SIZE, SIZE, 1))
    x = layers.Conv2D(6, 3, strides=2, use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.GlobalMaxPooling2D()(x)
    return keras.Model(inputs, layers.Dense(3, "softmax", name="probabilities")(x))


def test_the_new_output_begins_as_the_mean_of_the_others_and_changes_no_odds_between_them():
    model, inputs = tiny_model(), np.random.default_rng(0).normal(size=(4, SIZE, SIZE, 1))
    p, grown = model.predict_on_batch(inputs), looking.with_no_tumor(model)
    q = grown.predict_on_batch(inputs)
    np.testing.assert_allclose(q[:, :3] / q[:, :3].sum(axis=1, keepdims=True), p, rtol=1e-5)
    np.testing.assert_allclose(np.log(q[:, 3]), np.log(q[:, :3]).mean(axis=1), rtol=1e-5)


def test_a_step_shows_the_same_slices_with_and_without_their_tumor():
    views = views_of()
    positions = np.arange(16)
    inputs, targets, weights, names = views.step(positions, np.random.default_rng(0))
    assert {name: int(np.sum(names == name)) for name in looking.PER_STEP} == looking.PER_STEP
    for k, position in enumerate(positions):
        slice, mask = views.read(position)
        np.testing.assert_array_equal(inputs[k], slice)
        without = inputs[16 + k]
        assert names[16 + k] == "removed" and (without < 10).all()
        assert (without != slice)[mask].all()
        assert targets[16 + k].argmax() == 3 and targets[k].argmax() == views.part.labels[position]
    others = targets[32:].argmax(axis=1)
    assert (others < 3).all() and (targets.sum(axis=1) == 1).all()
    assert (weights > 0).all()


def test_every_class_weighs_the_same_with_and_without_its_tumor():
    slices, masks, labels, persons, parts = cohort()
    labels = np.where(labels == 2, 1, labels)  # 6, 12 and 0 training slices
    labels[(labels == 1) & (np.arange(len(labels)) % 6 == 2)] = 2  # 6, 9 and 3
    views = views_of(data=(slices, masks, labels, persons, parts))
    totals = np.zeros((2, 3))
    for position in views.with_tumor:
        _, _, weights, names = views.step(np.array([position]), np.random.default_rng(0))
        for side, name in enumerate(("original", "removed")):
            totals[side, views.part.labels[position]] += weights[names == name].sum()
    np.testing.assert_allclose(totals, len(views.part) / 3)


@pytest.mark.parametrize("name", ["sham", "removed"])
def test_shams_stay_off_the_tumor_and_have_its_shape_or_anothers(name, monkeypatch):
    monkeypatch.setattr(looking, "MAX_DILATION_PX", 0)
    views, n_patches = views_of(), set()
    for seed in range(60):
        position = seed % len(views.part)
        slice, mask = views.read(position)
        view = views.make(name, position, np.random.default_rng(seed))
        patches = (view != slice) & ~mask
        assert not (patches & regions.dilate(mask, 4)).any()
        n_patches.add(-(-int(patches.sum()) // 20))  # of 4 x 5 px each, or overlapping
        if name == "sham":
            np.testing.assert_array_equal(view[mask], slice[mask])
    assert n_patches == ({1, 2, 3} if name == "sham" else {0, 1, 2})


def test_a_moved_tumor_is_elsewhere_in_its_head_and_a_swapped_one_in_its_place_in_anothers(
    monkeypatch,
):
    monkeypatch.setattr(looking, "MAX_PATCHES", 0)
    monkeypatch.setattr(looking, "MAX_DILATION_PX", 0)
    views, n_moved = views_of(), 0
    for position in range(len(views.part)):
        slice, mask = views.read(position)
        view = views.make("swapped", position, np.random.default_rng(position))
        np.testing.assert_array_equal(view > 8, mask)
        shared = [np.sum(view == views.part[k]) for k in range(len(views.part))]
        assert views.part.persons[np.argmax(shared)] != views.part.persons[position]
        view = views.make("moved", position, np.random.default_rng(position))
        if np.array_equal(view, slice):  # it fits nowhere else
            continue
        n_moved += 1
        bright = view > 8
        assert bright.sum() == mask.sum() and not (bright & regions.dilate(mask, 4)).any()
        contrasts = np.sort(view[bright]) - np.sort(slice[mask])
        np.testing.assert_allclose(contrasts, contrasts[0], atol=1e-4)
    assert n_moved > len(views.part) / 2


def test_it_learns_to_tell_a_missing_tumor_from_one_that_is_there(monkeypatch):
    fewer = dict(zip(looking.PER_STEP, (4, 4, 2, 2, 2), strict=True))
    monkeypatch.setattr(looking, "PER_STEP", fewer)  # more steps an epoch
    model = tiny_model()
    model.layers[1].set_weights([np.full((3, 3, 1, 6), 1 / 45, np.float32)])  # it sees brightness
    changes = dict.fromkeys(("augmentation", "ema_momentum", "focal_gamma"), 0.0)
    changes |= {"finetune_epochs": 25, "finetune_learning_rate": 0.1}
    profile = dataclasses.replace(PROFILE, **changes)
    done = looking.look(model, profile, *cohort(), seed=3, progress=lambda line: None)
    views = views_of("validation")
    assert classifier.predict(done.model, views.part)[:, 3].mean() < 0.2
    without = [views.make("removed", k, np.random.default_rng(int(k))) for k in views.with_tumor]
    p = classifier.predict(done.model, np.stack(without))
    assert p[:, 3].mean() > 0.8 and (p.argmax(axis=1) == 3).all()
    assert done.history["val_p_remove"].iloc[-1] < 0.2


def test_tested_slices_are_never_read_and_validation_changes_no_weight():
    data, changed_data = cohort(), cohort()
    changed_data[0][changed_data[4] == "test"] = np.nan
    changed_data[0][changed_data[4] == "validation"] *= -2
    how = {"seed": 3, "progress": lambda line: None}
    done = [looking.look(tiny_model(), PROFILE, *own, **how) for own in (data, changed_data)]
    ours, theirs = (one.model.get_weights() for one in done)
    assert all(same(ours, theirs))
    before = looking.with_no_tumor(tiny_model()).get_weights()
    assert same(ours, before) == [False, *[True] * 4, False, False]  # norms keep their state
