"""The whole audit, against the bare network, and against a loop of one edit at a time."""

import dataclasses

import numpy as np

from benchmarks import slices
from benchmarks.measure import compare
from tumorcf_lib import config
from tumorcf_lib.data import preprocess
from tumorcf_lib.edits import audit as audits, edits, infills, plan
from tumorcf_lib.edits.infills import Hole
from tumorcf_lib.study import by_fold

SIZES = {"full": ("paper-lite", 4), "tiny": ("smoke", 1)}
TOLERANCE = 1e-4
"""Of probabilities: a network rounds differently by the size of its batch."""


def run(size, repeats):
    """Rows: the study's plan on its network, of weights of ImageNet and an untrained head."""
    from tumorcf_lib.networks import classifier, speed

    name, n_slices = SIZES[size]
    profile = config.get(name)
    if size == "tiny":
        profile = dataclasses.replace(profile, weights=None, size_px=64)
    model = speed.folded(classifier.build(profile))
    predict = classifier.as_predictor(model, batch_size=profile.predict_batch_size)
    return rows(predict, slices.prepared(n_slices, profile.size_px), profile, repeats)


def rows(predict, cohort, profile, repeats):
    """Rows for any ``predict``; see :func:`edits.audit.audit`."""
    planned = by_fold.edits_of(profile)
    batch_size = profile.predict_batch_size
    table = _audit(predict, cohort, planned, profile)
    predicted = table[table["reason"] == ""]
    n = len(predicted)
    ready = cohort.slices[np.arange(min(batch_size, n)) % len(cohort)]
    cases = {
        "bare: predict alone, on as many slices in batches": lambda: [
            predict(ready[: min(batch_size, n - start)]) for start in range(0, n, batch_size)
        ],
        "audit": lambda: _audit(predict, cohort, planned, profile),
        "naive: one edit at a time, filled in on the whole slice, places given": lambda: one_by_one(
            predict, cohort, predicted
        ),
    }

    alike = fills_alike(cohort, predicted)
    assert alike.any()

    def agree(results):
        _, made, naive = results.values()
        p = made.loc[made["reason"] == "", [f"p_{name}" for name in cohort.classes]].to_numpy()
        assert np.abs(p - naive)[alike].max() < TOLERANCE

    setting = f"{len(cohort)} slices, {profile.size_px} px, {n} edits"
    return compare("audit", setting, cases, n=n, unit="edits", repeats=repeats, agree=agree)


def one_by_one(predict, cohort, table):
    """Probabilities of each row's edit, in an obvious loop; (n_rows, n_classes)."""
    position = {slice_id: i for i, slice_id in enumerate(cohort.table["slice_id"])}
    found = []
    for row in table.to_dict("records"):
        i = position[row["slice_id"]]
        edited = edit_whole(cohort.slices[i], cohort.masks[i], row)
        found.append(predict(edited[None])[0])
    return np.array(found)


def fills_alike(cohort, table):
    """Which rows' edits are the same on a crop and on the whole slice, (n_rows,) bool.

    Not Telea's, whose gray levels span the range of what it is given; nor those of regions that
    reach the slice's border, where OpenCV reads the mean that stands in for the removed pixels.
    """
    position = {slice_id: i for i, slice_id in enumerate(cohort.table["slice_id"])}
    alike = []
    for row in table.to_dict("records"):
        region = plan.region_of(cohort.masks[position[row["slice_id"]]], row)
        inner = region[1:-1, 1:-1].sum() == region.sum()
        alike.append(row["infill"] == "" or (row["infill"] != "telea" and inner))
    return np.array(alike)


def edit_whole(slice, mask, row):
    """The edited slice behind a row, infills working on the whole slice instead of a crop."""
    infill = infills.INFILLS.get(row["infill"])
    if infill is None or infill.needs_whole_slice:
        return plan.recreate(slice, mask, row)
    region = plan.region_of(mask, row)
    filled = infill.fill(Hole(slice.copy(), region, edits.RADIUS_PX))
    edited = np.where(region, filled, slice)
    return preprocess.refit(edited) if row["edit"] == "remove_refit" else edited


def _audit(predict, cohort, planned, profile):
    return audits.audit(
        predict,
        cohort,
        edits=planned,
        n_places=profile.n_places,
        batch_size=profile.predict_batch_size,
    )
