"""In which plane a slice was cut: axial, coronal or sagittal, estimated from the picture.

The published slices do not say. ``plane_labels.csv`` holds the plane of 209 of them: one
slice of each person, drawn at random by seed, read from the pictures alone by one reader
who is no clinician, once, without a second reader. Phantoms know their plane. Either way
every slice is estimated by a model that has seen no slice of its person.
"""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from tumorcf_lib.edits.scores import class_names
from tumorcf_lib.stats import estimates

LABELS = Path(__file__).with_name("plane_labels.csv")
PLANES = ("axial", "coronal", "sagittal")
N_FOLDS = 10
MIN_PERSONS = 3
"""Of each plane, with a known one, to learn from: fewer leave some fold without an example."""

THUMBNAIL_PX = 64
N_CELLS = 8  # cells along a side
N_BINS = 8  # directions in half a turn
BRIGHTEST = 2.0
"""Thumbnails are cut here (z-score), so that a bright tumor has no brighter edges than skin."""

REGULARIZATION = 0.1  # scikit-learn's C; 0.01 to 1 do alike


def estimate_planes(prepared):
    """Plane of every slice, each estimated from the known planes of other patients.

    Patients are split into at most `N_FOLDS` folds; those of one fold are estimated by a logistic
    regression on :func:`edge_directions`, fitted to the slices of known plane of all others.

    Returns
    -------
    DataFrame or None
        slice_id, person_id, label (class name), plane, p_<plane>, and known_plane (NaN where
        none is known). None where there is nothing to learn from, see :func:`why_not`."""
    if why_not(prepared):
        return None
    from sklearn.linear_model import LogisticRegression  # half a second, for who only reads tables
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known = known_planes(prepared)
    names = [name for name in PLANES if (known == name).any()]
    labeled = known.notna().to_numpy()
    features = np.stack([edge_directions(image) for image in prepared.slices])
    persons = prepared.persons
    probabilities = np.zeros((len(known), len(names)))
    for held_out in _folds(known[labeled], persons[labeled], set(persons)):
        test = np.isin(persons, held_out)
        fit_on = labeled & ~test
        model = make_pipeline(StandardScaler(), LogisticRegression(C=REGULARIZATION, max_iter=2000))
        with threadpool_limits(1, "blas"):  # so small, threads wait for each other: 24 times slower
            model.fit(features[fit_on], known[fit_on].to_numpy())
        columns = pd.Index(names).get_indexer(model.classes_)
        probabilities[np.ix_(test, columns)] = model.predict_proba(features[test])
    rows = prepared.who().assign(plane=np.array(names, object)[probabilities.argmax(axis=1)])
    rows[[f"p_{name}" for name in names]] = probabilities
    return rows.assign(known_plane=known.to_numpy())


def why_not(prepared) -> str:
    """Why the planes of a cohort cannot be estimated, in a few words; "" if they can."""
    known = known_planes(prepared)
    if known.isna().all():
        return f"no slice of cohort {prepared.name!r} has a known plane"
    n_persons = known.groupby(prepared.persons).first().value_counts()
    if len(n_persons) < 2 or n_persons.min() < MIN_PERSONS:
        return f"too few patients of each known plane: {n_persons.to_dict()}"
    return ""


def known_planes(prepared):
    """Plane of each slice where it is known, the cohort's own or read by hand, else NaN; (n,)."""
    if "plane" in prepared.table:
        return prepared.table["plane"].astype(object).reset_index(drop=True)
    if prepared.name != "cheng":
        return pd.Series(np.nan, range(len(prepared)), dtype=object)
    read = pd.read_csv(LABELS, index_col="slice_id")["plane"]
    return prepared.table["slice_id"].map(read).astype(object).reset_index(drop=True)


def edge_directions(slice):
    """How much edge of which direction lies where: a small histogram of oriented gradients.

    The slice (a z-scored network input) is shrunk to 64 pixels; in each of 8 x 8 cells the
    gradients' lengths are summed by direction (8 bins of half a turn), float64 (512,) with mean 1;
    zeros without edges. Dalal and Triggs, CVPR 2005, here without their overlapping blocks."""
    image = np.minimum(np.asarray(slice, np.float32), BRIGHTEST)
    side = (THUMBNAIL_PX, THUMBNAIL_PX)
    thumbnail = cv2.resize(image, side, interpolation=cv2.INTER_AREA)
    down, right = np.gradient(thumbnail.astype(np.float64))
    turn = np.arctan2(down, right) % np.pi / np.pi  # in [0, 1], direction without sign
    direction = np.minimum((turn * N_BINS).astype(int), N_BINS - 1)
    row, column = np.indices(side) * N_CELLS // THUMBNAIL_PX
    cell = (row * N_CELLS + column) * N_BINS + direction  # (64, 64)
    sums = np.bincount(cell.ravel(), np.hypot(down, right).ravel(), N_CELLS**2 * N_BINS)
    return sums / sums.mean() if sums.any() else sums


def accuracy_table(rows_planes, *, n_resamples: int):
    """Share of known planes that were estimated right by other patients' slices.

    group ("all", each class, then each known plane), accuracy, low, high (over patients, as
    :func:`stats.estimates.share` has it), n_slices, n_persons."""
    known = rows_planes[rows_planes["known_plane"].notna()]
    known = known.assign(right=(known["plane"] == known["known_plane"]).astype(float))
    labels, planes = pd.unique(rows_planes["label"]), class_names(rows_planes)
    groups = {"all": known} | {name: known[known["label"] == name] for name in labels}
    groups |= {name: known[known["known_plane"] == name] for name in planes}
    lines = []
    for name, own in groups.items():
        e = estimates.share(own, "right", n_resamples=n_resamples)
        line = {"group": name, "accuracy": e.value, "low": e.low, "high": e.high}
        lines.append(line | {"n_slices": e.n_slices, "n_persons": e.n_persons})
    return pd.DataFrame(lines)


def _folds(known, persons, everybody):
    """Lists of persons that together hold everybody once; planes alike in each list."""
    from sklearn.model_selection import StratifiedGroupKFold

    first = known.groupby(persons).first()
    n_folds = min(N_FOLDS, first.value_counts().min())
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=0)
    names = first.index.to_numpy()
    folds = [list(names[test]) for _, test in splitter.split(names, first.to_numpy(), names)]
    folds[0] += sorted(everybody - set(names))  # nothing of theirs is learned from anyway
    return folds
