"""The controls of notebooks 03 to 05: more networks, probes, detectors, infills held to truth.

Each of them takes minutes on the real slices. So each is made once for equal settings, code and
inputs, and only read again afterwards (see ``results.make_rows``).
"""

import pandas as pd

from tumorcf_lib import steps
from tumorcf_lib.edits import plan
from tumorcf_lib.edits.infills import HEADLINE_INFILL
from tumorcf_lib.stats.rows import in_front
from tumorcf_lib.study import by_fold, stages, unit

NETWORKS = ("hardened", "looking")
"""Fine-tuned copies of the trained network, see :mod:`networks.finetune` and ``looking``."""

N_DETECTED = {False: 600, True: 150}
"""Slices that a detector learns from, on patients and on phantoms (where minutes count)."""


def finetune(results, prepared, split) -> pd.DataFrame:
    """Fine-tune the network twice; weights go to ``weights_<network>_fold0.npz``.

    Returns
    -------
    DataFrame
        One row per network and epoch: network, fold, and ``finetune.HISTORY_COLUMNS`` but
        the seconds.
    """
    from tumorcf_lib.networks import memory

    histories, start = [], results.folder / by_fold.weights_name()
    depends_on = by_fold.depends(results, "finetuning") | {"start": steps.file_sha256(start)}
    known = results.study.profile, prepared, by_fold.parts_of(prepared, split), results.study.seed
    for kind in NETWORKS:
        folder = results.workspace(f"{kind}_fold0", depends_on)
        if not (folder / unit.WEIGHTS).exists():
            _finetune_one(unit.Unit(folder, *known, depends_on), start, kind, folder)
            memory.forget_networks()
        results.keep_copy(folder / unit.WEIGHTS, by_fold.weights_name(kind))
        histories.append(in_front(unit.history_of(folder), network=kind, fold=0))
    return pd.concat(histories, ignore_index=True)


def finetuned(kind, start, own, *, progress=print):
    """As :func:`unit.trained`, of a unit that starts from the weights of a plain one."""
    from tumorcf_lib.networks import classifier

    def teach(own, folder, *, progress):
        classifier.set_up(own.seed)
        _finetune_one(own, start, kind, folder, progress=progress)

    return unit.trained(own, teach=teach, progress=progress)


def _finetune_one(own, start, kind, folder, *, progress=print):
    from tumorcf_lib.networks import classifier, finetune, looking

    tune = {"hardened": finetune.harden, "looking": looking.look}[kind]
    model, cohort = classifier.load_float16(own.profile, start), own.prepared
    data = (cohort.slices, cohort.masks, cohort.labels, cohort.persons, own.parts)
    done = tune(model, own.profile, *data, seed=own.seed, folder=folder, progress=progress)
    unit.store(folder, done.model, in_front(done.history, **own.names))
    steps.forget_checkpoints(folder)


def audit_networks(results, prepared) -> pd.DataFrame:
    """Audit the tested slices by the fine-tuned networks: rows as an audit's, and ``network``."""
    profile = results.study.profile
    edits = plan.network_edits(profile.infills, profile.n_control_places)

    def make(_):
        parts = by_fold.audit_by(results, prepared, edits, NETWORKS)
        parts = [rows.assign(network=kind) for rows, kind in zip(parts, NETWORKS, strict=True)]
        return pd.concat(parts, ignore_index=True)

    depends_on = by_fold.depends(results, "audit") | by_fold.weights_of(results)
    depends_on |= {"plan": list(map(repr, edits))}
    return results.make_rows("rows_networks", make, depends_on)


def planes(results, prepared) -> pd.DataFrame:
    """Estimated plane of every slice; see :func:`controls.planes.estimate_planes`."""
    from tumorcf_lib.controls import planes as library

    def make(_):
        reason = library.why_not(prepared)
        if reason:
            raise stages.StageError(f"Planes cannot be estimated: {reason}. Use a larger cohort.")
        return library.estimate_planes(prepared)

    return results.make_rows("rows_planes", make, by_fold.depends(results, "planes"))


def probes(results, prepared, split, rows_planes) -> pd.DataFrame:
    """Networks retrained on what an edit leaves, and simple statistics: the tested slices' rows."""
    from tumorcf_lib.controls import probes as library

    study, planes_file = results.study, results.folder / "rows_planes.csv.gz"

    def make(folder):
        given = study.profile, prepared, by_fold.parts_of(prepared, split), rows_planes
        how = {"seed": study.seed, "folder": folder / "fold0"}
        return library.all_probes(*given, **how).assign(fold=0)

    depends_on = by_fold.depends(results, "probes") | {"planes": steps.file_sha256(planes_file)}
    return results.make_rows("rows_probes", make, depends_on)


def detector(results, prepared, split) -> pd.DataFrame:
    """How sure a classifier is that a tested slice, or patch, was edited; by infill."""
    from tumorcf_lib.controls import detector as library

    profile = results.study.profile
    n_training, infills = N_DETECTED[profile.is_phantom], (HEADLINE_INFILL, *profile.infills)

    def make(_):
        given = profile, prepared, by_fold.parts_of(prepared, split), infills
        how = {"seed": results.study.seed, "n_training": n_training, "progress": True}
        return library.detect(*given, **how).assign(fold=0)

    depends_on = by_fold.depends(results, "detector") | {"n_training": n_training}
    return results.make_rows("rows_detector", make, depends_on)


def quality(results, prepared, rows) -> pd.DataFrame:
    """Each infill against the true tissue at sham places of the tested slices."""
    from tumorcf_lib.controls import detector as library

    depends_on = by_fold.depends(results, "quality") | by_fold.weights_of(results)

    def make(_):
        return library.measure(prepared, rows, progress=True)

    return results.make_rows("rows_quality", make, depends_on)


def covariates(prepared, rows) -> pd.DataFrame:
    """Area and contrast of the tumor on each audited slice."""
    from tumorcf_lib.controls import covariates as library

    own = by_fold.slices_of(prepared, rows["slice_id"].drop_duplicates())
    return library.slice_covariates(own.slices, own.masks, own.table["slice_id"])
