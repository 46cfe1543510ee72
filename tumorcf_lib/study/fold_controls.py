"""Controls of every fold that ask slices, masks and IDs, but not the fold's network.

Row files: ``rows_probes`` (networks retrained on what an edit leaves, and statistics),
``rows_detector`` (can an edit be seen), ``rows_planes`` and ``rows_covariates``, of each fold's
tested slices; and in a folder of its own ``rows_contrast`` (what removals leave of the tumor).
"""

from dataclasses import replace
from functools import partial

from tumorcf_lib import config, rowfiles
from tumorcf_lib.edits.infills import HEADLINE_INFILL
from tumorcf_lib.study import by_fold, controls, folds, made_by, unit

FOLDER, CONTRAST = "controls", "contrast"
FILES = ("rows_probes", "rows_detector", "rows_planes", "rows_covariates")
SHORT = (
    *("validates", "freeze_norms", "frozen_blocks", "freeze_depthwise", "stochastic_depth"),
    *("learning_rate", "weight_decay", "ema_momentum", "label_smoothing", "focal_gamma", "infills"),
)
"""Settings in which the folds' controls follow ``paper-lite``: probes take a third of a unit's
time, and the detector looks at every infill."""
N_DETECTED = 400
"""Slices that a fold's detector learns from."""


def run(study, fold_numbers=None, only_contrast=False, *, progress=print):
    """Make the controls of some folds (default: all); UnitError if one does not exist."""
    shared, fold_numbers = folds.Folds(study), folds.check(study, fold_numbers)
    for fold in fold_numbers:
        _make(_contrast(shared, fold), f"contrast of fold {fold}", progress)
    if only_contrast:
        return
    planes = controls.planes(shared.source, shared.prepared)
    for fold in fold_numbers:
        _make(_controls(shared, fold, planes), f"controls of fold {fold}", progress)


def _make(control, words, progress):
    """Bring a unit without a network up to date, given with what asks it and what decides that."""
    own, ask, depends_on = control
    how = {"network": lambda own, progress: None, "progress": progress}
    unit.bring_up_to_date(own, partial(ask, own), depends_on, words, **how)


def _contrast(shared, fold):
    """What each infill, those of one split, too, and each dilation of the headline's, leaves of
    the tested tumors."""
    plain, asked = shared.unit(fold)
    every = replace(plain.profile, infills=config.get("paper-lite").infills)
    removals = [edit for edit in by_fold.edits_of(every) if edit.name == "remove"]
    known = {name: plain.depends_on[name] for name in ("fold", "split", "inputs", "packages")}
    folder = shared.study.folder / CONTRAST / f"fold{fold}"
    own = replace(plain, folder=folder, depends_on=known | {"masks": asked["masks"]})

    def ask(own, _, folder):
        from tumorcf_lib.edits import contrast

        rows = contrast.rows_of(own.part("test"), removals).assign(fold=int(fold))
        rowfiles.write_table(rows, folds.file_of(folder, "rows_contrast"))

    return own, ask, {"contrast by": made_by.code("contrast"), "edits": list(map(repr, removals))}


def _controls(shared, fold, planes):
    """Probes, detector, planes and covariates of the tested slices, by a shorter recipe."""
    plain, asked = shared.unit(fold)
    settings = {name: getattr(config.get("paper-lite"), name) for name in SHORT}
    shown = {"masks": asked["masks"], "settings": plain.depends_on["settings"] | settings}
    own = replace(
        plain,
        folder=shared.study.folder / FOLDER / f"fold{fold}",
        profile=replace(plain.profile, **settings),
        depends_on=plain.depends_on | shown,
        names={"fold": int(fold)},
    )
    depends_on = {
        "controls by": made_by.code("probes", "detector", "planes"),
        "probes": [own.profile.probe_size_px, own.profile.probe_epochs],
        "detector": [*own.profile.infills, N_DETECTED],
    }
    return own, partial(_ask, planes), depends_on


def _ask(planes, own, _, folder):
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
