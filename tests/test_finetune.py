from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from tiny_heads import PROFILE, cohort, same
from tiny_study import small_network

from tumorcf_lib.edits import edits
from tumorcf_lib.networks import finetune


def run(data, progress=lambda line: None, **how):
    keras.utils.set_random_seed(0)
    return finetune.harden(small_network(PROFILE), PROFILE, *data, seed=3, progress=progress, **how)


@pytest.fixture(scope="module")
def done():
    """One fine-tuning on slices of which the tested are NaN, and all that it trained on: each
    view, as its position among all slices, the input and its name."""
    data, views, step = cohort(), [], finetune.Views.step
    data[0][data[4] == "test"] = np.nan

    def spy(own, positions, rng):
        inputs, *others, names = step(own, positions, rng)
        views.extend(zip(own.part.index[positions], inputs.copy(), names, strict=True))
        return inputs, *others, names

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune.Views, "step", spy)
        result = run(data)
    weights = result.model.get_weights()
    return SimpleNamespace(data=data, views=views, result=result, weights=weights)


def test_views_are_training_slices_with_their_tumor_as_they_are_or_with_a_sham(done):
    """Every pixel of a view that is no filling is one of a training slice."""
    slices, masks, _, _, parts = done.data
    own, foreign = slices[parts == "train"], slices[parts == "validation"]
    foreign = foreign[foreign > 0]
    assert len(done.views) == 2 * 2 * 8  # epochs of 18 training slices, batches of 8
    for i, made, name in done.views:
        assert parts[i] == "train" and np.isfinite(made).all()
        np.testing.assert_array_equal(made[masks[i]], slices[i][masks[i]])
        assert (made != slices[i]).any() == (name == "sham")
        # Fillings are means and hit a pixel's value of another slice by chance, rarely.
        assert np.isin(made, foreign).sum() <= 2 or np.isin(made, own).all()
    assert {name for *_, name in done.views} == {"original", "sham"}


def test_a_killed_one_goes_on_after_its_last_epoch_to_equal_weights_and_norms_keep_their_state(
    done, tmp_path
):
    def kill(line):
        raise KeyboardInterrupt(line)

    told = []
    with pytest.raises(KeyboardInterrupt, match="hardened 1/2"):
        run(done.data, folder=tmp_path, progress=kill)
    again = run(done.data, folder=tmp_path, progress=told.append)
    assert "going on after epoch 1" in told[0] and len(told) == 2
    columns = done.result.history.columns.drop("seconds")
    pd.testing.assert_frame_equal(again.history[columns], done.result.history[columns])
    assert all(same(again.model.get_weights(), done.weights))
    is_kept = same(done.weights, small_network(PROFILE).get_weights())
    assert is_kept == [False] * 2 + [True] * 4 + [False] * 4  # kernels and biases change


def test_the_last_row_of_the_history_scores_the_weights_that_are_kept(done):
    """By a slow loop: the kept model, slice by slice, on edits made here."""
    slices, masks, labels, _, parts = done.data
    model, last = done.result.model, done.result.history.iloc[-1]
    p_orig, p_remove, p_only, right = [], [], [], []
    for i in np.flatnonzero(parts == "validation"):
        removed, alone = edits.remove(slices[i], masks[i]), edits.only(slices[i], masks[i])
        p = model(np.stack([slices[i], removed, alone])[..., None]).numpy()  # (3, 3)
        right.append(p[0].argmax() == labels[i])
        for found, value in zip((p_orig, p_remove, p_only), p[:, labels[i]], strict=True):
            found.append(value)
    assert last["val_accuracy"] == pytest.approx(np.mean(right))
    assert last["val_p_remove"] == pytest.approx(np.mean(p_remove), abs=1e-5)
    assert last["val_delta_drop"] == pytest.approx(np.mean(p_orig) - np.mean(p_remove), abs=1e-5)
    assert last["val_focus"] == pytest.approx(np.mean(p_only), abs=1e-5)


def test_a_sham_removal_never_reads_or_touches_the_tumor():
    """However the tumor's pixels are ordered, the same others change, to the same values."""
    slices, masks, *_ = cohort()
    n_changed = set()
    for number, (slice, mask) in enumerate(zip(slices, masks)):
        reordered = slice.copy()
        reordered[mask] = slice[mask][::-1]
        made = []
        for given in (slice, reordered):
            rng = np.random.default_rng(number)
            made.append(finetune.remove_elsewhere(given, mask, rng, dilation_px=number % 3))
            np.testing.assert_array_equal(made[-1][mask], given[mask])
        np.testing.assert_array_equal(made[0][~mask], made[1][~mask])
        n_changed.add(int(np.sum(made[0] != slice)))
    # 4 x 5 px; a ring of 18 more; and of 18 and 4 corners more: the disc of radius 2
    assert n_changed == {20, 38, 60}
    full = np.ones_like(mask)  # without a legal place a slice stays as it is
    np.testing.assert_array_equal(finetune.remove_elsewhere(slice, full, rng), slice)
