"""Can an edit be seen? A small classifier tells sham-edited from untouched slices.

Were edits natural, nothing could tell them apart, and an AUC of 0.5 is what a detector of
natural edits gets. The converse does not hold: a stronger detector may see what this one
misses, so its AUC is a lower bound of how visible an infill is. Its table is made in
:mod:`tables.classifiers`.

How good is an infill where the truth is known? Under a tumor nobody knows what healthy tissue
would look like. Under a sham it is there, and was only hidden. The error does not tell how natural
a filling looks: it rewards the smooth guess, which holds no detail that could be wrong. Its table
is made in :mod:`tables.controls`.
"""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from tumorcf_lib.edits import edits, plan, regions

VIEWS = ("slice", "patch")
"""The whole slice, not knowing where to look; and the surroundings of the edit alone."""

MARGIN_PX = edits.RADIUS_PX + 1
"""A patch is the edit's bounding box and this much around it."""

N_TRAINING = 600
"""Training slices, each once untouched and once edited. In view "slice" 200, 400 and 600 of
them gave an AUC of 0.78, 0.80 and 0.81 on validation persons of the real slices."""

MIN_TRAINING = 10
"""With fewer slices to train on than this (a rare infill), nothing is detected: NaN."""

PENALTY = 0.01
"""Inverse strength of the logistic regression's ridge penalty."""

BLOCKS = {
    "efficientnet_lite0": ("block3_depthwise_relu6", "block6_add", "block9_add", "block12_add"),
    "resnet50": ("conv2_block3_out", "conv3_block4_out", "conv4_block2_out", "conv4_block6_out"),
}
"""Layers whose feature maps are looked at: texture to parts, strides 8 to 32 (resnet50: 4 to 16).

Chosen for Navier-Stokes on validation persons of the real slices: AUC 0.84 in view "slice",
against 0.64 with the stem alone, 0.72 with the last layer alone, and 0.50 for a small network
trained from random numbers for two minutes of one core. Those of resnet50 are not measured.
"""

COLUMNS = ("slice_id", "person_id", "label", "infill", "edited", "view", "score")
QUALITY = ("slice_id", "person_id", "label", "infill", "place", "n_pixels", "mae")


def detect(
    profile, prepared, parts, infills, *, seed=0, n_training=N_TRAINING, progress=False
) -> pd.DataFrame:
    """Train a detector for each infill and view, and score the tested slices with it.

    Every slice is seen twice, untouched and with one sham removal (at the first of the audit's
    places that the infill can fill), in training as in testing, so nothing but the edit tells
    them apart. Features are mean and standard deviation of each channel of `BLOCKS` of the
    pretrained network over the whole map or the patch, standardized; the detector is a logistic
    regression. View "patch" knows where to look, which no reader of a slice does. ``score`` is the
    log-odds of being edited, NaN with fewer than `MIN_TRAINING` training slices of an infill."""
    training, tested = (np.flatnonzero(np.asarray(parts) == part) for part in ("train", "test"))
    training = np.sort(np.random.default_rng(seed).permutation(training)[:n_training])
    extract = _extractor(profile)
    pairs = {infill: [] for infill in infills}  # of (slice, untouched and edited features)
    order = np.concatenate([training, tested])
    for i in tqdm(order, desc="detector", unit="slice", disable=not progress):
        for infill, features in _pairs(prepared, i, pairs, extract, seed):
            pairs[infill].append((i, features))
    parts = []
    for infill, made in pairs.items():
        where = np.array([i for i, _ in made], np.int64)
        for k, view in enumerate(VIEWS):
            x = np.array([features[k] for _, features in made])  # (n_slices, 2, n_features)
            in_training = np.isin(where, training)
            scores = _scores(x[in_training], x[~in_training])
            parts.append(_rows(prepared, where[~in_training], infill, view, scores))
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def _extractor(profile):
    """Function from slices (n, size, size) to feature maps, each (n, rows, columns, channels)."""
    import keras  # here: the names of this module are of use without it

    from tumorcf_lib.networks import backbones, speed

    network = backbones.build_backbone(profile.backbone, profile.size_px, profile.weights)
    maps = [network.get_layer(name).output for name in BLOCKS[profile.backbone]]
    model = speed.folded(keras.Model(network.input, maps))
    return lambda slices: [
        keras.ops.convert_to_numpy(one) for one in model.predict_on_batch(slices[..., None])
    ]


def _pairs(prepared, i, infills, extract, seed):
    """For each infill of a slice's first sham: features by view, each (2, n_features)."""
    slice, mask = np.asarray(prepared.slices[i]), np.asarray(prepared.masks[i])
    shams = tuple(plan.Edit("sham", infill) for infill in infills)
    key = seed, prepared.table["slice_id"].iat[i]
    made = {}  # infill -> row and edited slice
    for row, edited in plan.edits_of(slice, mask, shams, 1, key):
        row = dict(zip(plan.ROW_DTYPES, row, strict=True))
        if edited is not None:
            made.setdefault(row["infill"], (row, edited))
    if not made:
        return
    maps = extract(np.stack([slice, *(edited for _, edited in made.values())]))
    size = slice.shape
    for k, (infill, (row, _)) in enumerate(made.items(), 1):
        box = regions.bounding_box(plan.region_of(mask, row))
        whole = [_pooled([one[j] for one in maps]) for j in (0, k)]  # untouched, and edited
        patch = [_pooled([_patch(one[j], box, size) for one in maps]) for j in (0, k)]
        yield infill, (np.stack(whole), np.stack(patch))


def _patch(features, box, size):
    """The part of a feature map (rows, columns, channels) that covers a box of the slice."""
    top, bottom, left, right = box
    rows, columns = features.shape[0] / size[0], features.shape[1] / size[1]
    return features[
        int(max(top - MARGIN_PX, 0) * rows) : int(np.ceil((bottom + MARGIN_PX) * rows)),
        int(max(left - MARGIN_PX, 0) * columns) : int(np.ceil((right + MARGIN_PX) * columns)),
    ]


def _pooled(maps):
    """Mean and standard deviation of every channel of every map, float32 (n_features,)."""
    moments = [moment(axis=(0, 1)) for one in maps for moment in (one.mean, one.std)]
    return np.concatenate(moments).astype(np.float32)


def _scores(training, tested):
    """Log-odds of being edited, (n_tested, 2), from features (n, 2, n_features)."""
    if not len(tested):
        return np.zeros((0, 2))
    if len(training) < MIN_TRAINING:
        return np.full((len(tested), 2), np.nan)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=1000))
    n_features = training.shape[2]
    model.fit(training.reshape(-1, n_features), np.tile([0, 1], len(training)))
    return model.decision_function(tested.reshape(-1, n_features)).reshape(-1, 2)


def _rows(prepared, where, infill, view, scores):
    table = prepared.who(np.repeat(where, 2))
    edited = np.tile([0, 1], len(where))
    return table.assign(infill=infill, edited=edited, view=view, score=scores.ravel())


# -- where the truth is known ---------------------------------------------------------


def measure(prepared, rows, *, n_places=2, progress=False) -> pd.DataFrame:
    """Mean absolute error of every infill on the first sham places of each slice.

    Places are the first `n_places` without a flag (not over scalp or air) at which all infills were
    audited. mae is over the region, in standard deviations of the slice; lower is better."""
    chosen = _chosen_places(rows, n_places)
    positions = pd.Index(prepared.table["slice_id"]).get_indexer(chosen["slice_id"])
    errors = []
    pairs = zip(positions, chosen.to_dict("records"), strict=True)
    for i, row in tqdm(pairs, desc="infills", total=len(chosen), disable=not progress):
        slice, mask = np.asarray(prepared.slices[i]), np.asarray(prepared.masks[i])
        filled, region = plan.recreate(slice, mask, row), plan.region_of(mask, row)
        errors.append(np.abs(filled[region] - slice[region]).mean(dtype=np.float64))
    return chosen.assign(mae=np.array(errors, float))[list(QUALITY)].reset_index(drop=True)


def _chosen_places(rows, n_places):
    """The sham rows to make again, in the order of the audit's slices, places and infills."""
    shams = rows[(rows["edit"] == "sham") & (rows["dilation_px"] == 0)]
    made = shams[(shams["reason"] == "") & (shams["place"] >= 0) & (shams["flag"] == "")]
    n_infills = made.groupby(["slice_id", "place"], sort=False).size()
    everywhere = n_infills.index[n_infills == shams["infill"].nunique()].to_frame(index=False)
    everywhere = everywhere.sort_values("place", kind="stable")
    first = everywhere.groupby("slice_id", sort=False).head(n_places)
    return made.merge(first, on=["slice_id", "place"], how="inner")
