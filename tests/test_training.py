import dataclasses
import shutil

import keras
import numpy as np
import pytest
from tiny_heads import PROFILE, cohort, same
from tiny_study import small_network

from tumorcf_lib.networks import recipe, training

SETTINGS = {"learning_rate": 3e-3, "patience": 9, "focal_gamma": 2.0, "label_smoothing": 0.02}
PROFILE = dataclasses.replace(PROFILE, warmup_epochs=0, **SETTINGS)


def tiny_cohort(seed=0):
    slices, _, *others = cohort(seed=seed)
    return slices, *others


def kill(line):
    if line.startswith("epoch  2/"):
        raise KeyboardInterrupt


def fit(folder, *, model=None, profile=PROFILE, progress=lambda line: None, data=None):
    how = {"seed": 5, "folder": folder, "progress": progress}
    return training.train(model or small_network(PROFILE), profile, *(data or tiny_cohort()), **how)


@pytest.mark.parametrize(
    "changes, stored",
    [
        ({"mixup": 0.4, "augmentation": 1.5}, 2),
        pytest.param({"warmup_epochs": 3}, 1, marks=pytest.mark.monthly),
    ],
)
def test_a_killed_training_ends_with_the_result_of_an_undisturbed_one(tmp_path, changes, stored):
    """Of the head's epochs the first and the last are stored; others are repeated. A checkpoint
    of other slices is not continued."""
    profile = dataclasses.replace(PROFILE, **changes)
    straight = fit(tmp_path / "straight", profile=profile)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "killed", profile=profile, progress=kill)
    shutil.copytree(tmp_path / "killed", tmp_path / "other")
    anew, lines = {"profile": profile, "model": small_network(PROFILE, seed=9)}, []
    resumed = fit(tmp_path / "killed", progress=lines.append, **anew)
    assert lines[0].startswith(f"going on after epoch {stored}") and len(lines) == 5 - stored
    columns = [name for name in training.HISTORY_COLUMNS if name != "seconds"]
    assert resumed.history[columns].equals(straight.history[columns])
    assert resumed.best_epoch == straight.best_epoch
    assert all(same(resumed.model.get_weights(), straight.model.get_weights()))
    lines.clear()
    fit(tmp_path / "other", data=tiny_cohort(seed=1), progress=lines.append, **anew)
    assert lines[0].startswith("epoch  1/")


def test_kept_is_the_epoch_of_lowest_validation_loss_and_test_slices_are_never_read(tmp_path):
    slices, labels, persons, parts = tiny_cohort()
    slices[parts == "test"] = np.nan
    result = fit(tmp_path, data=(slices, labels, persons, parts))
    assert result.best_epoch == result.history["val_loss"].idxmin() + 1
    shown = parts == "validation"
    predicted = result.model(slices[shown][..., None]).numpy().argmax(axis=1)
    best = result.history["val_accuracy"][result.best_epoch - 1]
    assert np.mean(predicted == labels[shown]) == pytest.approx(best)


def test_training_stops_when_the_loss_has_not_fallen_for_patience_epochs_and_keeps_the_best(
    tmp_path,
):
    """No step changes a weight, so that the first epoch is the best, also after a kill."""
    still = {"learning_rate": 0.0, "ema_momentum": 0.0, "dropout": 0.0, "patience": 2}
    profile, first = dataclasses.replace(PROFILE, **still), small_network(PROFILE).get_weights()
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, profile=profile, progress=kill)
    result = fit(tmp_path, profile=profile, model=small_network(PROFILE, seed=9))
    assert (result.best_epoch, len(result.history)) == (1, 3)
    assert all(same(result.model.get_weights(), first))


def test_the_backbone_does_not_change_while_only_the_head_is_trained(tmp_path):
    model, before = small_network(PROFILE), small_network(PROFILE)
    profile = dataclasses.replace(PROFILE, epochs=2, warmup_epochs=2)
    fit(tmp_path, model=model, profile=profile)
    is_kept = same(model.get_weights(), before.get_weights())
    assert is_kept == [True] * 6 + [False] * 4  # kernel, bias and norm; two dense layers


def test_the_focal_loss_weights_every_class_to_the_same_total():
    labels = np.array([0, 0, 0, 1, 1, 2])
    part = training.Part(np.zeros((6, 1, 1)), np.arange(6), labels, labels.astype(str), 3)
    profile = dataclasses.replace(PROFILE, label_smoothing=0.1)
    loss = recipe.focal_loss(profile, part.class_weights)
    p = np.array([0.7, 0.2, 0.1])
    weights = [6 / (3 * 3), 6 / (3 * 2), 6 / (3 * 1)]
    smoothed = [0.1 / 3, 0.9 + 0.1 / 3, 0.1 / 3]  # of a slice of class 1
    by_hand = -sum(w * (1 - q) ** 2 * t * np.log(q) for w, q, t in zip(weights, p, smoothed))
    got = loss(part.targets([3]), p[None].astype(np.float32))
    assert float(got) == pytest.approx(by_hand, rel=1e-5)


def test_person_accuracy_takes_the_mean_probability_of_a_persons_slices():
    persons = np.array(["a", "a", "a", "b"])
    part = training.Part(None, np.arange(4), np.array([0, 0, 0, 1]), persons, 3)
    probabilities = np.array([[1.0, 0, 0], [0.4, 0.6, 0], [0.4, 0.6, 0], [0.6, 0.4, 0]])
    loss = keras.losses.CategoricalCrossentropy()
    scores = training.validate(loss, probabilities, part)
    assert scores["val_accuracy"] == 0.25
    assert scores["val_person_accuracy"] == 0.5  # a: 0.6 of class 0 on average


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nothing():
    optimizer = recipe.make_optimizer(PROFILE, n_steps=100)
    rates = [float(optimizer._learning_rate(step)) for step in range(101)]
    assert np.argmax(rates) == 25 and max(rates) == pytest.approx(PROFILE.learning_rate)
    assert rates[0] < 0.05 * max(rates) and rates[-1] < 1e-6


def test_without_validation_all_but_the_tested_patients_are_trained_on():
    model, data = small_network(PROFILE), tiny_cohort()
    trained, validated = training.split_parts(model, *data, validates=False)
    assert trained.index.tolist() == list(range(30)) and len(validated) == 0


def test_a_part_without_a_class_is_refused(tmp_path):
    slices, labels, persons, parts = tiny_cohort()
    parts[(parts == "validation") & (labels == 2)] = "test"
    with pytest.raises(training.TrainingInputError, match=r"'validation'.*of class \[2\]"):
        fit(tmp_path, data=(slices, labels, persons, parts))
