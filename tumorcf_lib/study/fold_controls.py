"""Controls of every fold that ask slices, masks and IDs, but not the fold's network.

Row files: ``rows_probes`` (networks retrained on what an edit leaves, and statistics),
``rows_detector`` (can an edit be seen), ``rows_planes`` and ``rows_covariates``, of each fold's
tested slices.
"""

from dataclasses import replace
from functools import partial

from tumorcf_lib import config, rowfiles
from tumorcf_lib.edits.infills import HEADLINE_INFILL
from tumorcf_lib.study import controls, folds, made_by, unit

FOLDER = "controls"
FILES = ("rows_probes", "rows_detector", "rows_planes", "rows_covariates")
SHORT = (
    *("validates", "freeze_norms", "frozen_blocks", "freeze_depthwise", "stochastic_depth"),
    *("learning_rate", "weight_decay", "ema_momentum", "label_smoothing", "focal_gamma", "infills"),
)
"""Settings in which the folds' controls follow ``paper-lite``: probes take a third of a unit's
time, and the detector looks at every infill."""
N_DETECTED = 400
"""Slices that a fold's detector learns from."""


def run(study, fold_numbers=None, *, progress=print):
    """Make the controls of some folds (default: all); UnitError if one does not exist."""
    shared = folds.Folds(study)
    planes = controls.planes(shared.source, shared.prepared)
    for fold in folds.checked_folds(study, fold_numbers):
        plain, asked = shared.unit(fold)
        settings = {name: getattr(config.get("paper-lite"), name) for name in SHORT}
        shown = {"masks": asked["masks"], "settings": plain.depends_on["settings"] | settings}
        own = replace(
            plain,
            folder=study.folder / FOLDER / f"fold{fold}",
            profile=replace(study.profile, **settings),
            depends_on=plain.depends_on | shown,
            names={"fold": int(fold)},
        )
        depends_on = {
            "controls by": made_by.code("probes", "detector", "planes"),
            "probes": [own.profile.probe_size_px, own.profile.probe_epochs],
            "detector": [*own.profile.infills, N_DETECTED],
        }
        how = {"network": lambda own, progress: None, "progress": progress}
        ask, words = partial(_ask, own, planes), f"controls of fold {fold}"
        unit.bring_up_to_date(own, ask, depends_on, words, **how)


def _ask(own, planes, _, folder):
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
    for name in FILES:
        path = folds.file_of(folder, name)
        if not path.is_file():
            rowfiles.write_table(makers[name]().assign(**own.names), path)
