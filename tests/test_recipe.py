import numpy as np

from tumorcf_lib.networks import recipe


def slices(n=4, size=32):
    """Noise well above the air of -1.5, except for one pixel of air in a corner."""
    values = np.random.default_rng(0).uniform(0.5, 1.0, (n, size, size)).astype(np.float32)
    values[:, 0, 0] = -1.5
    return values


def test_a_restarted_augmenter_gives_the_views_of_one_built_anew_and_other_seeds_others():
    augmenter, first = recipe.build_augmenter(seed=0), []
    for seed in (3, 4, 3):
        augmenter.restart(seed)
        built = recipe.build_augmenter(seed)
        for _ in range(2):  # the second views, too: every generator goes on alike
            views = [recipe.augment(slices(), each) for each in (augmenter, built)]
            np.testing.assert_array_equal(*views)
        first.append(views[0])
    np.testing.assert_array_equal(first[0], first[2])
    assert np.abs(first[0] - first[1]).max() > 0.1


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
    for view, air in zip(views, values[:, 0, 0], strict=True):
        assert np.median(view[view < 0.4]) == air and view.min() >= air - 1e-6


def test_strength_multiplies_the_ranges():
    values, spread = np.ones((64, 32, 32), np.float32), []
    values[:, 0, 0] = -1.5
    for strength in (0.0, 1.0, 2.0):
        views = recipe.augment(values, recipe.build_augmenter(seed=0, strength=strength))
        spread.append(np.median(views, axis=(1, 2)).std())
    assert spread[0] < 1e-5 and spread[2] > 1.5 * spread[1] > 0
