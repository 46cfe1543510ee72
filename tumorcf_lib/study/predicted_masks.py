"""The audit where nobody drew a tumor: each fold's U-Net finds the tumors, then the edits follow.

It needs the fold's finished unit, on whose encoder it stands. Row files: ``rows_masks`` (Dice of
every tested slice) and ``rows_masked_edits`` (removal and shams of what was found).
"""

from dataclasses import replace
from functools import partial

import numpy as np

from tumorcf_lib import rowfiles, steps
from tumorcf_lib.edits import audit as audits, infills, plan
from tumorcf_lib.study import folds, made_by, unit

FOLDER = "masks"
FILES = ("rows_masks", "rows_masked_edits")
EDITS = (
    plan.Edit("original"),
    plan.Edit("remove", infills.HEADLINE_INFILL),
    plan.Edit("sham", infills.HEADLINE_INFILL),
)
SETTINGS = {"epochs": 6, "batch_size": 16}
N_PLACES = 5


def run(study, fold_numbers=None, seed=0, *, progress=print):
    """Find tumors of the tested slices of some folds (default: all), and audit by what was found.

    UnitError if a fold does not exist, or its plain network of this seed is not finished."""
    shared = folds.Folds(study)
    for fold in folds.check(study, fold_numbers):
        plain, asked = shared.unit(fold, seed)
        is_finished = unit.why_stale(plain, asked) is None
        weights = folds.weights_of(study, fold, seed, is_finished=is_finished)
        starts_from = {"network": steps.file_sha256(weights), "masks": asked["masks"]}
        own = replace(
            plain,
            folder=study.folder / FOLDER / plain.folder.name,
            depends_on=plain.depends_on | starts_from,
        )
        depends_on = {"masks by": made_by.code("predicted masks"), "edits": list(map(repr, EDITS))}
        how = {"network": partial(_find, weights), "progress": progress}
        ask, words = partial(_ask, own, weights), f"masks of fold {fold}, seed {seed}"
        unit.bring_up_to_date(own, ask, depends_on, words, **how)


def _find(weights, own, *, progress):
    """A function from slices to masks: a decoder trained on the training patients of a unit."""
    from tumorcf_lib.networks import classifier, segmentation

    classifier.set_up(own.seed)
    network = segmentation.build(classifier.load_float16(own.profile, weights), seed=own.seed)
    segmentation.train(
        network,
        own.prepared.slices,
        own.prepared.masks,
        np.flatnonzero(own.parts == "train"),
        seed=own.seed,
        progress=progress,
        **SETTINGS,
    )
    return partial(segmentation.predict, network)


def _ask(own, weights, find, folder):
    from tumorcf_lib.networks import segmentation

    tested = own.part("test")
    found = find(tested.slices, desc="finding tumors")
    table = tested.table[["slice_id", "patient_id", "person_id"]].reset_index(drop=True)
    table["label"] = np.array(tested.classes, object)[tested.labels]
    pairs = list(zip(tested.masks, found, strict=True))
    table["dice"] = [segmentation.dice(true, mask) for true, mask in pairs]
    table["n_true"] = [np.count_nonzero(true) for true, _ in pairs]
    table["n_predicted"] = [np.count_nonzero(mask) for _, mask in pairs]
    audited = audits.audit(
        unit.predictor(own.profile, weights),
        replace(tested, masks=found),
        edits=EDITS,
        n_places=N_PLACES,
        batch_size=own.profile.predict_batch_size,
        progress=True,
    )
    for name, rows in zip(FILES, (table, audited), strict=True):
        rowfiles.write_table(
            unit.named(rows, network="plain", **own.names), folds.file_of(folder, name)
        )
