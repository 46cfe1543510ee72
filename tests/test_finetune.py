"""Fine-tuning: which views are shown to whom, what is asked of them, and repeatability."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import layers
from tiny_heads import SIZE, cohort

from tumorcf_lib import config
from tumorcf_lib.edits import edits, regions, shams
from tumorcf_lib.edits.head import head_mask
from tumorcf_lib.networks import classifier, finetune, speed, training

PROFILE = dataclasses.replace(
    config.get("smoke"), size_px=SIZE, batch_size=8, predict_batch_size=16, epochs=4,
    warmup_epochs=1, finetune_epochs=2, finetune_learning_rate=1e-3,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _repeatable():
    keras.utils.set_random_seed(0)


def tiny_model(seed=0):
    """A network with a norm and dropout, from equal weights at equal seeds."""
    init = [keras.initializers.GlorotUniform(seed=seed + i) for i in range(2)]
    return keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 1)),
            layers.Conv2D(6, 3, strides=2, kernel_initializer=init[0]),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.2, seed=seed, name="dropout"),
            layers.Dense(3, "softmax", kernel_initializer=init[1], name="probabilities"),
        ]
    )


def run(kind, data=None, *, model=None, profile=PROFILE, seed=3, progress=lambda line: None):
    model = model or tiny_model()
    return finetune.finetune(
        model, profile, *(data or cohort()), kind=kind, seed=seed, progress=progress
    )


class Run:
    """A fine-tuning on slices of which the tested are NaN, and all that it trained on."""

    def __init__(self, kind, patch):
        self.data = cohort()
        self.data[0][self.data[4] == "test"] = np.nan
        for array in self.data:
            array.setflags(write=False)
        self.batches = []  # (positions in the training part, inputs, targets, names)
        batch = finetune.Views.batch

        def spy(views, positions, shares, rng):
            made = batch(views, positions, shares, rng)
            self.batches.append((positions.copy(), *(array.copy() for array in made)))
            return made

        patch.setattr(finetune.Views, "batch", spy)
        keras.utils.set_random_seed(0)
        self.lines = []
        self.result = run(kind, self.data, progress=self.lines.append)
        self.weights = self.result.model.get_weights()

    def views(self):
        """Each view of the run: (position among all slices, input, target, name)."""
        index = np.flatnonzero(self.data[4] == "train")
        for positions, inputs, targets, names in self.batches:
            yield from zip(index[positions], inputs, targets, names, strict=True)


@pytest.fixture(scope="module")
def runs():
    """One fine-tuning of each kind, which many tests look at."""
    done = {}
    for kind in finetune.SHARES:
        with pytest.MonkeyPatch.context() as patch:
            done[kind] = Run(kind, patch)
    return done


def assert_equal_weights(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", sorted(finetune.SHARES))
def test_all_that_is_trained_on_is_made_of_training_slices(runs, kind):
    """Every pixel of a view that is no filling is one of a training slice, or a gray."""
    slices, _, _, _, parts = runs[kind].data
    own, foreign = slices[parts == "train"], slices[parts == "validation"]
    foreign = foreign[foreign > 0]
    n_epochs = {"hardened": 2, "looking": 4}[kind]
    assert len(runs[kind].batches) == 2 * n_epochs  # 18 training slices, batches of 8
    for i, made, _, name in runs[kind].views():
        assert parts[i] == "train" and np.isfinite(made).all()
        if name == "original":
            np.testing.assert_array_equal(made, slices[i])
        # Fillings are means and hit a pixel's value of another slice by chance, rarely.
        assert np.isin(made, foreign).sum() <= 2 or np.isin(made, own).all()


def test_validation_slices_change_no_weight(runs):
    data = [array.copy() for array in runs["looking"].data]
    data[0][data[4] == "validation"] *= -2
    assert_equal_weights(run("looking", data).model.get_weights(), runs["looking"].weights)


def test_the_hardened_network_sees_every_tumor_as_it_is_and_is_asked_for_its_class(runs):
    slices, masks, labels, _, _ = runs["hardened"].data
    seen = set()
    for i, made, target, name in runs["hardened"].views():
        np.testing.assert_array_equal(made[masks[i]], slices[i][masks[i]])
        np.testing.assert_array_equal(target, np.eye(3)[labels[i]])
        assert (made != slices[i]).any() == (name == "sham")
        seen.add(name)
    assert seen == {"original", "sham"}


def test_the_looking_targets_are_flat_without_a_tumor_and_the_class_with_one(runs):
    slices, masks, labels, _, _ = runs["looking"].data
    seen = set()
    for i, made, target, name in runs["looking"].views():
        has_tumor = np.array_equal(made[masks[i]], slices[i][masks[i]])
        expected = np.eye(3)[labels[i]] if has_tumor else np.full(3, 1 / 3)
        np.testing.assert_allclose(target, expected, rtol=1e-6)
        assert has_tumor == (name != "removed")
        assert has_tumor or (made < 10).all()
        seen.add(name)
    assert seen == set(finetune.SHARES["looking"])


@pytest.mark.parametrize("kind", sorted(finetune.SHARES))
def test_equal_seeds_give_equal_weights(runs, kind):
    again = run(kind, runs[kind].data)
    assert_equal_weights(again.model.get_weights(), runs[kind].weights)
    first = runs[kind].result.history.drop(columns="seconds")
    assert again.history.drop(columns="seconds").equals(first)


def test_another_seed_gives_other_weights(runs):
    other = run("looking", runs["looking"].data, seed=4).model.get_weights()
    assert np.abs(other[0] - runs["looking"].weights[0]).max() > 0


def test_the_two_kinds_differ_and_norms_keep_their_state(runs):
    before = tiny_model().get_weights()
    assert np.abs(runs["hardened"].weights[0] - runs["looking"].weights[0]).max() > 0
    for done in runs.values():
        changed = [bool((a != b).any()) for a, b in zip(done.weights, before, strict=True)]
        assert changed == [True, True] + [False] * 4 + [True, True]


def test_of_a_network_whose_head_alone_was_trained_the_head_alone_is_fine_tuned():
    before, profile = tiny_model().get_weights(), dataclasses.replace(PROFILE, warmup_epochs=4)
    after = run("looking", profile=profile).model.get_weights()
    changed = [bool((a != b).any()) for a, b in zip(after, before, strict=True)]
    assert changed == [False] * 6 + [True, True]


def test_slices_masks_labels_persons_and_parts_are_not_modified(runs):
    expected = cohort()
    expected[0][expected[4] == "test"] = np.nan
    for done in runs.values():
        for array, untouched in zip(done.data, expected, strict=True):
            np.testing.assert_array_equal(array, untouched)


def test_memory_mapped_slices_give_the_weights_of_slices_in_memory(runs, tmp_path):
    slices, masks, *rest = runs["looking"].data
    mapped = []
    for name, array in (("slices", slices), ("masks", masks)):
        np.save(tmp_path / f"{name}.npy", array)
        mapped.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    weights = run("looking", (*mapped, *rest)).model.get_weights()
    assert_equal_weights(weights, runs["looking"].weights)


def test_the_last_row_of_the_history_scores_the_weights_that_are_kept(runs):
    """By a slow loop: the kept model, slice by slice, on edits made here."""
    slices, masks, labels, _, parts = runs["looking"].data
    model, last = runs["looking"].result.model, runs["looking"].result.history.iloc[-1]
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


def test_the_history_begins_with_the_network_as_it_was(runs):
    untouched = run("looking", profile=dataclasses.replace(PROFILE, finetune_epochs=0))
    assert_equal_weights(untouched.model.get_weights(), tiny_model().get_weights())
    for kind, done in runs.items():
        history = done.result.history
        last = {"hardened": 2, "looking": 4}[kind]
        assert history["epoch"].tolist() == list(range(last + 1))
        assert tuple(history.columns) == finetune.HISTORY_COLUMNS
        assert history.iloc[0].equals(untouched.history.iloc[0])


def test_folded_norms_train_as_those_of_the_network_as_built_do(monkeypatch):
    """A functional network, whose norms are folded: equal but for rounding."""
    calls, fold = [], finetune.folded
    monkeypatch.setattr(finetune, "folded", lambda model: calls.append(fold(model)) or calls[-1])
    ours = run("looking", model=functional())
    monkeypatch.setattr(finetune, "folded", lambda model: model)
    theirs = run("looking", model=functional())
    assert any(isinstance(layer, speed.FoldedConvolution) for layer in calls[0].layers)
    before = functional().get_weights()
    weights = zip(ours.model.get_weights(), theirs.model.get_weights(), before, strict=True)
    apart, moved = np.max(
        [(np.abs(own - other).max(), np.abs(own - first).max()) for own, other, first in weights],
        axis=0,
    )
    assert apart < 0.05 * moved
    columns = [name for name in ours.history if name.startswith("val_")]
    np.testing.assert_allclose(ours.history[columns], theirs.history[columns], atol=1e-5)


def functional():
    """The tiny network as a graph of layers, its norm drawn so that folding it matters."""
    keras.utils.set_random_seed(0)
    tiny, inputs = tiny_model(), keras.Input((SIZE, SIZE, 1))
    x = inputs
    for layer in tiny.layers:
        x = layer(x)
    rng = np.random.default_rng(0)
    norm = tiny.layers[1]
    norm.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in norm.get_weights()])
    return keras.Model(inputs, x)


def test_no_more_validation_slices_are_edited_than_allowed(monkeypatch):
    monkeypatch.setattr(finetune, "MAX_EDITED", 5)
    slices, masks, labels, persons, parts = cohort()
    index = np.flatnonzero(parts == "validation")
    part = training.Part(slices, index, labels[index], persons[index], 3)
    validated = finetune.Validated(finetune.Views(part, masks), seed=0)
    assert validated.shown.tolist() == [0, 3, 6, 9]  # of 12: every third


def test_the_flat_target_asks_for_equal_probabilities_whatever_the_class_sizes():
    """The minimum of the loss over a grid of probabilities, with 5 times as many of one class."""
    network = finetune.compiled(tiny_model(), PROFILE, n_steps=4)
    grid = np.arange(0.05, 1, 0.05)
    p = np.array([(a, b, 1 - a - b) for a in grid for b in grid if a + b < 0.99], np.float32)
    flat = np.full((1, 3), 1 / 3, np.float32)
    values = [float(network.loss(flat, q[None])) for q in p]
    assert np.abs(p[np.argmin(values)] - 1 / 3).max() < 0.04


def test_one_line_of_progress_per_epoch(runs):
    assert [line[:12] for line in runs["hardened"].lines] == ["hardened 1/2", "hardened 2/2"]


def test_the_real_network_is_fine_tuned_stored_and_loaded_again(tmp_path):
    profile = dataclasses.replace(PROFILE, weights=None, epochs=1, finetune_epochs=1)
    model = classifier.build(profile, precision="float32")
    classifier.save_float16(model, tmp_path / "weights_fold0.npz", max_bytes=2**40)
    loaded = classifier.load_float16(profile, tmp_path / "weights_fold0.npz")
    looking = run("looking", model=loaded, profile=profile).model
    classifier.save_float16(looking, tmp_path / "weights_looking_fold0.npz")
    again = classifier.load_float16(profile, tmp_path / "weights_looking_fold0.npz")
    for ours, theirs in zip(looking.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize(
    "spoil, error, message",
    [
        (lambda s, m, *rest: (s, m[:, :9], *rest), finetune.MasksMissingError, "of its size"),
        (lambda s, m, *rest: (s, m & False, *rest), finetune.MasksMissingError, "'train'"),
        (lambda s, m, y, p, q: (s, m, y, p, np.full(len(q), "test")),
         training.TrainingInputError, "'train'"),
    ],
)
def test_masks_and_parts_that_cannot_be_used_are_refused(spoil, error, message):
    with pytest.raises(error, match=message):
        run("looking", spoil(*cohort()))


def test_an_unknown_kind_is_refused_by_name():
    with pytest.raises(finetune.UnknownKindError, match="hardened, looking"):
        run("softened")


def training_views(slices, masks, labels, persons, parts):
    index = np.flatnonzero(parts == "train")
    part = training.Part(slices, index, labels[index], persons[index], 3)
    return finetune.Views(part, masks)


def test_views_come_in_the_shares_asked_for():
    own = training_views(*cohort())
    shares = {"original": 0.2, "removed": 0.8}
    _, _, names = own.batch(np.zeros(200, int), shares, np.random.default_rng(0))
    assert 140 < np.sum(names == "removed") < 180  # 160, five standard deviations of 5.7


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


def test_a_hole_that_fits_nowhere_grown_is_made_at_the_tumors_size():
    slice = np.full((20, 40), -1, np.float32)
    slice[4:16, 4:36] = np.random.default_rng(0).uniform(1, 2, (12, 32))
    mask = np.zeros(slice.shape, bool)
    mask[5:15, 5:15] = True
    head = head_mask(slice)
    assert len(shams.legal_places(mask, head)) and not len(
        shams.legal_places(regions.dilate(mask, 3), head, tumor=mask)
    )
    edited = finetune.remove_elsewhere(slice, mask, np.random.default_rng(0), dilation_px=3)
    assert np.sum(edited != slice) == 100


def test_without_a_legal_place_a_slice_stays_as_it_is():
    slice = np.random.default_rng(0).uniform(1, 2, (12, 12)).astype(np.float32)
    mask = np.zeros(slice.shape, bool)
    mask[1:11, 1:11] = True
    edited = finetune.remove_elsewhere(slice, mask, np.random.default_rng(0))
    np.testing.assert_array_equal(edited, slice)
    assert edited is not slice


def test_a_pasted_tumor_keeps_its_pixels_and_nothing_of_its_own_background():
    slices, masks, labels, persons, parts = cohort()
    own = training_views(slices, masks, labels, persons, parts)
    index = own.part.index
    backgrounds = set()
    positions = np.repeat(np.arange(len(index)), 8)
    inputs, _, _ = own.batch(positions, {"pasted": 1.0}, np.random.default_rng(1))
    for position, made in zip(positions, inputs):
        slice, mask = slices[index[position]], masks[index[position]]
        np.testing.assert_array_equal(made[mask], slice[mask])
        around = made[~mask]
        assert (made != slice)[~mask & (slice > slice.min())].all()
        if np.ptp(around) == 0:
            backgrounds.add("air" if around[0] == slice.min() else "gray")
        else:
            backgrounds.add("other")
            assert (around < 10).all()  # no other tumor
            shared = [np.sum(made[~mask] == s[~mask]) for s in slices[index]]
            shown = index[np.argmax(shared)]
            assert persons[shown] != persons[index[position]]
            # All but the other's tumor, filled in with up to a pixel around it.
            assert np.sum((made != slices[shown])[~mask & ~regions.dilate(masks[shown], 1)]) == 0
    assert backgrounds == {"air", "gray", "other"}


def test_removals_grow_the_mask_by_random_pixels_up_to_their_share_of_the_side(monkeypatch):
    grown = []
    monkeypatch.setattr(
        finetune.edits, "remove", lambda slice, mask, *, dilation_px: grown.append(dilation_px)
        or slice,
    )
    monkeypatch.setattr(finetune, "MAX_DILATION_SHARE", 0.1)  # 3 of 32 px
    own = training_views(*cohort())
    own.batch(np.zeros(60, int), {"removed": 1.0}, np.random.default_rng(0))
    assert set(grown) == {0, 1, 2, 3}


def test_a_slice_without_a_tumor_is_shown_as_it_is_with_its_class():
    slices, masks, labels, persons, parts = cohort()
    masks[0] = False
    own = training_views(slices, masks, labels, persons, parts)
    shares = {"sham": 0.4, "removed": 0.3, "pasted": 0.3}
    inputs, targets, names = own.batch(np.zeros(20, int), shares, np.random.default_rng(0))
    assert set(names) == {"original"}
    assert (inputs == slices[0]).all() and (targets == np.eye(3)[labels[0]]).all()


def test_a_view_that_does_not_exist_is_refused_by_name():
    own = training_views(*cohort())
    with pytest.raises(finetune.UnknownKindError, match="blurred.*original, sham"):
        own.batch(np.zeros(2, int), {"blurred": 1.0}, np.random.default_rng(0))
