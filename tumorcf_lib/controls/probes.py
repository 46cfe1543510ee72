"""What else gives the class away: classifiers that see everything but the tumor's inside.

Networks retrained on what an edit leaves show what information is there at all, whether our
network uses it or not; ``original`` says how far the same small recipe gets with everything.
Statistics show the same of a handful of numbers. All learn from persons other than the tested.
"""

import dataclasses

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from tqdm import tqdm

from tumorcf_lib import rowfiles, steps
from tumorcf_lib.data import preprocess
from tumorcf_lib.edits import edits, head, regions
from tumorcf_lib.edits.scores import class_names
from tumorcf_lib.networks import memory

MASK_VALUES = (-1.0, 1.0)
"""Outside and inside of the mask: alike in all slices, so that nothing is told by the air."""

INPUTS = {
    "original": lambda slice, mask: slice,
    "background": edits.background,
    "remove": edits.remove,
    "silhouette": edits.silhouette,
    "mask": lambda slice, mask: np.where(mask, *np.float32(MASK_VALUES[::-1])),
}
"""Probe -> function (slice, mask) -> what its network sees, before it is shrunk."""

STATISTICS = ("plane", "intensity", "place", "area")
"""Probes of a few numbers a slice, see :func:`statistics_of`."""

PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)
DARK = -0.5
"""Darker than this (z-score) is air, fluid or bone."""

HEAD_EPOCHS = 12
"""Epochs of the head on the backbone's stored features, before any of the whole network."""


def all_probes(
    profile, prepared, parts, rows_planes, *, seed, folder, networks=tuple(INPUTS), progress=print
):
    """Every probe's predictions for the tested slices.

    A killed call goes on: networks that are trained leave their rows in ``folder``, which is for
    this cohort, split, profile and seed alone. Without `rows_planes` there is no probe ``plane``.

    Returns
    -------
    DataFrame
        slice_id, person_id, label (class name), probe, p_<class>."""
    kept = {name: folder / f"rows_{name}.csv" for name in networks}
    missing = [name for name in networks if not kept[name].is_file()]
    network = untrained(profile, len(prepared.classes), seed) if missing else None
    for name in missing:
        options = {"seed": seed, "network": network, "progress": progress}
        made = train_probe(name, profile, prepared, parts, folder=folder / name, **options)
        rowfiles.write_table(made, kept[name])
        steps.forget_checkpoints(folder / name)
        if profile.probe_epochs:
            memory.forget_networks()  # of steps that were compiled, not of ``network``
    del network
    memory.forget_networks()
    rows = [rowfiles.read_table(path) for path in kept.values()]
    for name in STATISTICS:
        if name != "plane" or rows_planes is not None:
            rows.append(statistics_probe(name, prepared, parts, rows_planes, seed=seed))
    return pd.concat(rows, ignore_index=True)


def untrained(profile, n_classes, seed):
    """The network that every probe begins with, and its backbone: pairs for :func:`train_probe`.

    Building and tracing it takes longer than training the head of a probe of small slices.
    """
    from tumorcf_lib.networks import classifier, training

    model = classifier.build(probe_profile(profile), n_classes=n_classes, seed=seed)
    return model, training.backbone_of(model)


def train_probe(name, profile, prepared, parts, *, seed, folder, network, progress=print):
    """Train a network on what an edit leaves, and predict the tested slices with it.

    Backbone and recipe are those of the profile (see :func:`networks.training.train`), with
    slices of ``probe_size_px``: :data:`HEAD_EPOCHS` epochs of the head on the pretrained
    backbone, then ``probe_epochs`` of the whole network (in small profiles none). Kept is the
    epoch of lowest validation loss. ``network``, from :func:`untrained` for this profile and
    seed, is afterwards in that state again. Rows as of :func:`all_probes`."""
    from tumorcf_lib.networks import classifier, training

    recipe = probe_profile(profile)
    progress(f"probe {name}: a network retrained at {recipe.size_px} px")
    slices = probe_inputs(name, prepared, recipe.size_px)
    model, backbone = network
    start = [np.array(variable) for variable in model.variables]
    given = model, recipe, slices, prepared.labels, prepared.persons, parts
    how = {"seed": seed, "folder": folder, "backbone": backbone}
    trained = training.train(*given, **how, progress=lambda line: None)  # nobody reads these epochs
    kept = trained.history.set_index("epoch").loc[trained.best_epoch]
    progress(
        f"  kept epoch {trained.best_epoch} of {len(trained.history)}: "
        f"validation slices {kept['val_accuracy']:.3f}, patients {kept['val_person_accuracy']:.3f}"
    )
    tested = np.flatnonzero(parts == "test")
    # By way of the features, which are traced already.
    features = classifier.predict(backbone, slices[tested], batch_size=recipe.predict_batch_size)
    p = classifier.predict(training.head_of(model), features, batch_size=recipe.predict_batch_size)
    for variable, value in zip(model.variables, start, strict=True):
        variable.assign(value)
    return _rows(name, prepared, tested, p)


def _rows(name, prepared, tested, probabilities):
    rows = prepared.who(tested).assign(probe=name)
    rows[[f"p_{class_name}" for class_name in prepared.classes]] = probabilities
    return rows


def probe_profile(profile):
    """The profile with the slices and epochs of its probes."""
    return dataclasses.replace(
        profile,
        size_px=min(profile.probe_size_px, profile.size_px),
        warmup_epochs=HEAD_EPOCHS,
        epochs=HEAD_EPOCHS + profile.probe_epochs,
    )


def probe_inputs(name, prepared, size_px):
    """What a probe's network sees of each slice: edited at full size, then shrunk by area.

    float16 (n, size_px, size_px): 100 MB for 3000 slices of 128 px; its steps (0.001 at 1) are
    far finer than the noise of a slice. A shrunk ``mask`` has gray borders."""
    edit = INPUTS[name]
    made = np.empty((len(prepared), size_px, size_px), np.float16)
    for i in tqdm(range(len(prepared)), desc=f"slices for {name}", leave=False, disable=None):
        edited = edit(np.asarray(prepared.slices[i]), np.asarray(prepared.masks[i]))
        made[i] = preprocess.resize_slice(edited, size_px)
    return made


def statistics_probe(name, prepared, parts, rows_planes=None, *, seed=0):
    """Predict the class of tested slices from a few numbers a slice; rows as :func:`all_probes`.

    A random forest, classes weighed alike, learns from the slices of the parts "train" and
    "validation". (By validation, logistic regression and boosted trees did as well.)"""
    numbers = statistics_of(name, prepared, rows_planes)
    is_test = np.asarray(parts) == "test"
    tested, how = np.flatnonzero(is_test), {"min_samples_leaf": 20, "class_weight": "balanced"}
    forest = RandomForestClassifier(300, random_state=seed, **how)
    forest.fit(numbers[~is_test], prepared.labels[~is_test])
    p = np.zeros((len(tested), len(prepared.classes)))
    p[:, forest.classes_] = forest.predict_proba(numbers[tested])
    return _rows(name, prepared, tested, p)


def statistics_of(name, prepared, rows_planes=None):
    """The few numbers that a statistics probe knows of each slice, float64 (n, n_numbers).

    ``plane``: the estimated probabilities of the planes. ``intensity``: of the pixels outside
    the tumor's mask, percentiles (:data:`PERCENTILES`), mean, standard deviation, and share of
    dark pixels. ``place``: the center of the mask within the box around the head, (0, 0) top
    left to (1, 1) bottom right. ``area``: the mask's share of the slice."""
    if name == "plane":
        rows = rows_planes.set_index("slice_id").loc[prepared.table["slice_id"]]
        return rows[[f"p_{plane}" for plane in class_names(rows)]].to_numpy(np.float64)
    each = {"intensity": _intensity, "place": _place, "area": lambda slice, mask: [mask.mean()]}
    pairs = zip(prepared.slices, prepared.masks, strict=True)
    return np.array([each[name](np.asarray(s), np.asarray(m)) for s, m in pairs], np.float64)


def _intensity(slice, mask):
    outside = slice[~mask] if not mask.all() else slice.ravel()
    shape = outside.mean(dtype=np.float64), outside.std(dtype=np.float64), (outside < DARK).mean()
    return [*np.percentile(outside, PERCENTILES), *shape]


def _place(slice, mask):
    inside = head.head_mask(slice)
    if not mask.any() or not inside.any():
        return [0.5, 0.5]
    top, bottom, left, right = regions.bounding_box(inside)
    y, x = np.nonzero(mask)
    return [(y.mean() + 0.5 - top) / (bottom - top), (x.mean() + 0.5 - left) / (right - left)]
