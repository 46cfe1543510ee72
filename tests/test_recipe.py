"""Random views: repeatable, filled with air, and different from each other."""

from types import SimpleNamespace

import numpy as np
import pytest

from tumorcf_lib.networks import recipe


def slices(n=4, size=32):
    """Noise well above the air of -1.5, except for one pixel of air in a corner."""
    values = np.random.default_rng(0).uniform(0.5, 1.0, (n, size, size)).astype(np.float32)
    values[:, 0, 0] = -1.5
    return values


def test_equal_seeds_give_equal_views_and_other_seeds_others():
    views = [recipe.augment(slices(), recipe.build_augmenter(seed)) for seed in (3, 3, 4)]
    np.testing.assert_array_equal(views[0], views[1])
    assert np.abs(views[0] - views[2]).max() > 0.1


def test_a_restarted_augmenter_gives_the_views_of_one_built_anew():
    augmenter = recipe.build_augmenter(seed=0)
    for seed in (3, 4, 3):
        augmenter.restart(seed)
        built = recipe.build_augmenter(seed)
        for _ in range(2):  # the second views, too: every generator goes on alike
            views = [recipe.augment(slices(), each) for each in (augmenter, built)]
            np.testing.assert_array_equal(*views)


def test_the_compiled_views_are_those_of_the_layers_one_by_one():
    values = slices()
    inputs = values[..., None] - values.min(axis=(1, 2))[:, None, None, None]
    for layer in recipe.build_augmenter(seed=5).layers:
        inputs = layer(inputs, training=True)
    views = recipe.augment(values, recipe.build_augmenter(seed=5))
    np.testing.assert_allclose(views, np.asarray(inputs)[..., 0] - 1.5, atol=1e-5)


def test_what_enters_the_frame_is_the_air_of_that_slice(monkeypatch):
    for setting in ("ROTATION_TURNS", "ZOOM", "CONTRAST", "BRIGHTNESS_Z"):
        monkeypatch.setattr(recipe, setting, 1e-9)
    monkeypatch.setattr(recipe, "SHIFT", 0.5)
    values = slices(n=8)
    values[4:, 0, 0] = -0.7
    views = recipe.augment(values, recipe.build_augmenter(seed=0))
    for view, air in zip(views, [-1.5] * 4 + [-0.7] * 4):
        entered = view[view < 0.4]
        assert np.median(entered) == np.float32(air)
        assert view.min() >= np.float32(air) - 1e-6


def test_strength_multiplies_the_ranges():
    values = np.full((64, 32, 32), 1.0, np.float32)
    values[:, 0, 0] = -1.5

    def spread(strength):
        views = recipe.augment(values, recipe.build_augmenter(seed=0, strength=strength))
        return np.median(views, axis=(1, 2)).std()

    assert spread(0.0) < 1e-5
    assert spread(2.0) > 1.5 * spread(1.0) > 0


def test_mixup_blends_slices_and_targets_by_one_share():
    rng = np.random.default_rng(7)
    slices = rng.normal(size=(60, 8, 8)).astype(np.float32)
    labels = np.arange(60) % 3
    targets = np.eye(3, dtype=np.float32)[labels]
    sums = slices.sum(axis=(1, 2))
    for seed in range(5):
        inputs, blended = recipe.mixed(slices, targets, 0.4, np.random.default_rng(seed))
        assert inputs.dtype == blended.dtype == np.float32
        np.testing.assert_allclose(blended.sum(axis=1), 1, atol=1e-6)
        # whatever is blended with what, every slice counts as often as another
        np.testing.assert_allclose(blended.sum(axis=0), targets.sum(axis=0), atol=1e-4)
        assert inputs.sum() == pytest.approx(sums.sum(), rel=1e-3, abs=1e-2)
    shares = blended.max(axis=1)
    assert len(np.unique(shares.round(4))) <= 2  # unchanged where a slice met its own class


def test_sites_or_patients_of_a_class_weigh_the_same_and_classes_as_before():
    rng = np.random.default_rng(0)
    persons = np.array([f"{'MR' if i % 3 else 'p'}{i}" for i in range(12)])[
        rng.integers(12, size=200)
    ]
    labels = np.unique(persons, return_inverse=True)[1] % 2
    part = SimpleNamespace(labels=labels, persons=persons)
    assert recipe.slice_weights(part, "slices") is None
    of_site = np.char.startswith(persons, "MR")
    for alike, owners in (("patients", persons), ("sites", of_site)):
        weights = recipe.slice_weights(part, alike)
        for label in (0, 1):
            own = labels == label
            sums = [weights[own & (owners == owner)].sum() for owner in np.unique(owners[own])]
            np.testing.assert_allclose(sums, own.sum() / len(sums))
