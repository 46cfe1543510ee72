"""What is made of every fold beside its units, in folders of their own.

Controls ask slices, masks and IDs, but not the fold's network: networks retrained on what an edit
leaves, and statistics (``rows_probes``), whether an edit can be seen, planes and covariates of each
fold's tested slices; and what removals leave of the tumor. Masks are for an audit where nobody
drew a tumor: a U-Net on the encoder of the fold's finished unit finds the tumors (``rows_masks``:
Dice of every tested slice), then the edits follow (``rows_masked_edits``: removal and shams).
"""

from dataclasses import replace
from functools import partial

import numpy as np

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.data.cohort import IDS
from tumorcf_lib.edits import audit as audits, plan
from tumorcf_lib.edits.infills import HEADLINE_INFILL
from tumorcf_lib.stats.rows import in_front
from tumorcf_lib.study import by_fold, controls, folds, made_by, unit

FILES = {
    "controls": ("rows_probes", "rows_detector", "rows_planes", "rows_covariates"),
    "contrast": ("rows_contrast",),
    "masks": ("rows_masks", "rows_masked_edits"),
}
"""Folder of each kind -> its row files."""
SHORT = (
    *("validates", "freeze_norms", "frozen_blocks", "freeze_depthwise", "stochastic_depth"),
    *("learning_rate", "weight_decay", "ema_momentum", "label_smoothing", "focal_gamma", "infills"),
)
"""Settings in which the folds' controls follow ``paper-lite``: probes take a third of a unit's
time, and the detector looks at every infill."""
N_DETECTED = 400
"""Slices that a fold's detector learns from."""
EDITS = (
    plan.Edit("original"),
    plan.Edit("remove", HEADLINE_INFILL),
    plan.Edit("sham", HEADLINE_INFILL),
)
"""What is asked of predicted masks, with so many places:"""
N_PLACES = 5
SETTINGS = {"epochs": 6, "batch_size": 16}


def run(study, fold_numbers=None, only_contrast=False):
    """Make the controls of some folds (default: all); UnitError if one does not exist."""
    shared, fold_numbers = folds.Folds(study), folds.check(study, fold_numbers)
    for fold in fold_numbers:
        _contrast(shared, fold)
    if only_contrast:
        return
    planes = controls.planes(shared.source, shared.prepared)
    for fold in fold_numbers:
        _controls(shared, fold, planes)


def find_masks(study, fold_numbers=None, seed=0):
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
            folder=study.folder / "masks" / plain.folder.name,
            depends_on=plain.depends_on | starts_from,
        )
        depends_on = {"masks by": made_by.code("predicted masks"), "edits": list(map(repr, EDITS))}
        ask, words = partial(_ask_masks, weights), f"masks of fold {fold}, seed {seed}"
        network = partial(_find, weights)
        unit.bring_up_to_date(own, ask, depends_on, words, network=network)


def _no_network(own, progress):
    """In place of a network, for what asks none."""


def _contrast(shared, fold):
    """What each infill, those of one split, too, and each dilation of the headline's, leaves of
    the tested tumors."""
    plain, asked = shared.unit(fold)
    every = replace(plain.profile, infills=config.get("paper-lite").infills)
    removals = [edit for edit in by_fold.edits_of(every) if edit.name == "remove"]
    known = {name: plain.depends_on[name] for name in ("fold", "split", "inputs", "packages")}
    folder = shared.study.folder / "contrast" / f"fold{fold}"
    own = replace(plain, folder=folder, depends_on=known | {"masks": asked["masks"]})

    def ask(own, _, folder):
        rows = audits.contrast_rows(own.part("test"), removals).assign(fold=fold)
        rowfiles.write_table(rows, folds.file_of(folder, "rows_contrast"))

    depends_on = {"contrast by": made_by.code("contrast"), "edits": list(map(repr, removals))}
    words = f"contrast of fold {fold}"
    unit.bring_up_to_date(own, ask, depends_on, words, network=_no_network)


def _controls(shared, fold, planes):
    """Probes, detector, planes and covariates of the tested slices, by a shorter recipe."""
    plain, asked = shared.unit(fold)
    settings = {name: getattr(config.get("paper-lite"), name) for name in SHORT}
    shown = {"masks": asked["masks"], "settings": plain.depends_on["settings"] | settings}
    own = replace(
        plain,
        folder=shared.study.folder / "controls" / f"fold{fold}",
        profile=replace(plain.profile, **settings),
        depends_on=plain.depends_on | shown,
        names={"fold": fold},
    )
    depends_on = {
        "controls by": made_by.code("probes", "detector", "planes"),
        "probes": [own.profile.probe_size_px, own.profile.probe_epochs],
        "detector": [*own.profile.infills, N_DETECTED],
    }
    ask, words = partial(_ask_controls, planes), f"controls of fold {fold}"
    unit.bring_up_to_date(own, ask, depends_on, words, network=_no_network)


def _ask_controls(planes, own, _, folder):
    from tumorcf_lib.controls import covariates, detector, probes

    tested, given = own.part("test"), (own.profile, own.prepared, own.parts)
    ids, how = tested.table["slice_id"], {"seed": own.seed}
    infills = (HEADLINE_INFILL, *own.profile.infills)
    makers = {
        "rows_probes": lambda: probes.all_probes(*given, planes, folder=folder, **how),
        "rows_detector": lambda: detector.detect(
            *given, infills, n_training=N_DETECTED, progress=True, **how
        ),
        "rows_planes": lambda: planes[planes["slice_id"].isin(ids)],
        "rows_covariates": lambda: covariates.slice_covariates(tested.slices, tested.masks, ids),
    }
    folds.make_missing(makers, own.names, folder)


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


def _ask_masks(weights, own, find, folder):
    from tumorcf_lib.networks import segmentation

    tested = own.part("test")
    found = find(tested.slices, desc="finding tumors")
    table = tested.who(ids=IDS)
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
    for name, rows in zip(FILES["masks"], (table, audited), strict=True):
        rowfiles.write_table(
            in_front(rows, network="plain", **own.names), folds.file_of(folder, name)
        )
