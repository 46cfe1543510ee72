"""Cross-validation: every slice tested once, by a network that never saw its person.

A *unit* is one fold and one training seed: train, predict, audit. Units are independent, so
they may be run one at a time, in any order, or on several machines, and their folders copied
together; each goes on where it was killed. What is pooled from them is in
:mod:`study.pooled`.
"""

import json
import sys
import time
from dataclasses import replace

import numpy as np

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.data import preprocess
from tumorcf_lib.data import split as splits
from tumorcf_lib.edits import audit as audits
from tumorcf_lib.edits import conflicts, infills, plan
from tumorcf_lib.networks import memory
from tumorcf_lib.study import notebooks, results, stages
from tumorcf_lib.study import unit as folds
from tumorcf_lib.study.recipes import RECIPES

RECORD = "unit.json"
RECORDED = {"fold": int, "seed": int, "finished": bool, "depends_on": dict}
CHANGED = "changed since"
INTERRUPTED = "it was interrupted"
AUDITED = ("audit", "masks", "n_places")
"""What only the audit of a unit depends on: if one of these changes, the network is kept."""

NETWORKS = {"plain": "units", "shuffled": "shuffled"}
"""Kinds of network, and the folder of their units: the study's own, and those trained on classes
dealt anew to the patients, which know nothing."""

AUDITED_ROWS = ("rows_edits", "rows_transplants", "rows_saliency")

EDITS = (
    *plan.HEADLINE_EDITS, *plan.matched_shams(),
    plan.Edit("remove", infills.HEADLINE_INFILL, 1),
    plan.Edit("sham", infills.HEADLINE_INFILL, 1, n_places=2),
    *(plan.Edit("remove", other) for other in ("ring_mean", "gaussian_blur", "noisy_linear")),
)  # fmt: skip
"""What every unit's network is asked about each tested slice, beside transplants: the headline,
shams of the removal's energy, a removal that leaves hardly any contrast, and other infills."""


class UnitError(RuntimeError):
    """A fold or recipe that does not exist, or units that do not belong together."""


def run(study, *, fold_numbers=None, seed=0, recipe="", shuffled=False, progress=print):
    """Run the units of one training seed; those that are finished are left as they are.

    Parameters
    ----------
    study : runtime.Study
        Of a profile with several folds. Its notebooks 01 and 02 are run first if they are
        not up to date; the study's own seed stays 0, so that all units share them.
    fold_numbers : sequence of int, optional
        Default: all.
    seed : int
        Of the training. Folds and sham places are the same for all seeds.
    recipe : str
        A key of :data:`study.recipes.RECIPES`. Recipes are tried on validation persons
        only: tested slices are neither predicted nor audited.
    shuffled : bool
        Train on classes dealt anew to the patients: a network that knows nothing of the
        classes, audited on the same slices by the same plan. ``seed`` also chooses the deal.
    progress : callable

    Raises
    ------
    UnitError
        If the profile has no folds, or a fold or the recipe does not exist.
    """
    n_folds = study.profile.n_folds
    if n_folds < 2:
        raise UnitError(
            f"Profile {study.profile.name!r} has one hold-out split and no folds; choose "
            "paper-lite-cv, or use `run`."
        )
    fold_numbers = range(n_folds) if fold_numbers is None else fold_numbers
    strange = [fold for fold in fold_numbers if not 0 <= fold < n_folds]
    if strange:
        raise UnitError(f"There is no fold {strange[0]}; choose of 0 to {n_folds - 1}.")
    if recipe and recipe not in RECIPES:
        raise UnitError(f"There is no recipe {recipe!r}; choose one of: {', '.join(RECIPES)}.")
    if any(stages.why_stale(study, name, shown=False) for name in stages.NAMES[:2]):
        notebooks.run(study, last="02")
    source = results.Results(study, "03_training", study.folder / "03_training")
    prepared = folds.load_prepared(source)
    split = splits.check(source.read("01_data", "split"))
    for fold in fold_numbers:
        folder = unit_folder(study, fold, seed, recipe, shuffled)
        with notebooks.only_run(folder.parent, f"{folder.name}.in_use"):
            _run_unit(study, source, prepared, split, fold, seed, recipe, shuffled, progress)


def unit_folder(study, fold, seed, recipe="", shuffled=False):
    """Folder of one unit."""
    name = f"fold{fold}_seed{seed}"
    if shuffled:
        return study.folder / "shuffled" / name
    return study.folder / "recipes" / recipe / name if recipe else study.folder / "units" / name


def why_unfinished(study, source, fold, seed, recipe="", shuffled=False) -> str | None:
    """Why a unit has to be run (again), in words; None if it holds."""
    folder = unit_folder(study, fold, seed, recipe, shuffled)
    if not (folder / RECORD).is_file():
        return "it was never begun"
    try:
        kept = record(folder)
    except UnitError:
        return f"its record {RECORD} is damaged"
    changed = steps.changed_file(folder)
    if changed:
        return f"its file {changed} is not as it was made"
    for key, now in _depends_on(study, source, fold, seed, recipe, shuffled).items():
        if kept["depends_on"].get(key) != now:
            return f"{key} {CHANGED}"
    return None if kept["finished"] else INTERRUPTED


def record(folder) -> dict:
    """What a unit's folder says of itself; an error names the file if it is no such record."""
    try:
        kept = json.loads((folder / RECORD).read_text(encoding="utf-8", errors="replace"))
        if all(isinstance(kept[name], kind) for name, kind in RECORDED.items()):
            return kept
    except (ValueError, KeyError, TypeError):
        pass
    raise UnitError(
        f"{config.shown(folder / RECORD)} is damaged. Remove {config.shown(folder)}, or copy it "
        "anew, and run that fold again."
    )


def _depends_on(study, source, fold, seed, recipe, shuffled=False):
    trained = folds.training_depends(source, _training_seed(fold, seed))
    if shuffled:
        trained["labels"] = "shuffled"
    if recipe:
        trained["settings"] |= RECIPES[recipe]
        return trained | {"fold": fold}
    audited = folds.depends(source, "audit", "transplants", "saliency")
    own = {"audit": audited["code"], "masks": audited["masks"], "n_places": study.profile.n_places}
    return trained | {"fold": fold} | own


def _training_seed(fold, seed):
    return 1000 * seed + int(fold)


def _run_unit(study, source, prepared, split, fold, seed, recipe, shuffled, progress):
    folder = unit_folder(study, fold, seed, recipe, shuffled)
    reason = why_unfinished(study, source, fold, seed, recipe, shuffled)
    words = f"fold {fold}, seed {seed}" + (f", recipe {recipe!r}" if recipe else "")
    words += ", labels shuffled" if shuffled else ""
    if reason is None:
        progress(f"{words}: up to date, skipped")
        return
    progress(f"{words}: {reason}")
    if reason.endswith(CHANGED) and reason.removesuffix(f" {CHANGED}") in AUDITED:
        steps.unseal(folder)
        for name in AUDITED_ROWS:
            file_of(folder, name).unlink(missing_ok=True)
    elif reason != INTERRUPTED:
        steps.remove_whole(folder)  # what a folder without a record holds is of nobody knows what
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "fold": int(fold), "seed": int(seed), "recipe": recipe, "finished": False,
        "depends_on": _depends_on(study, source, fold, seed, recipe, shuffled),
    }  # fmt: skip
    _write(folder, record)
    profile = replace(study.profile, **RECIPES[recipe]) if recipe else study.profile
    started = time.perf_counter()
    device = _make(
        profile, prepared, split[split["fold"] == fold], fold, seed, recipe, shuffled, folder
    )
    minutes = (time.perf_counter() - started) / 60
    _write(folder, record | {"finished": True, "minutes": round(minutes, 1), "device": device})
    steps.seal(folder)
    progress(f"{words}: finished in {minutes:.1f} minutes, {config.shown(folder)}")


def _write(folder, record):
    steps.write_whole(folder / RECORD, json.dumps(record, indent=1, sort_keys=True) + "\n")


def _make(profile, prepared, rows, fold, seed, recipe, shuffled, folder):
    """Train, predict and audit one unit; returns the device's name."""
    from tumorcf_lib.networks import classifier, speed

    device = classifier.set_up(_training_seed(fold, seed))
    if profile.size_px != prepared.slices.shape[-1]:  # a recipe's
        prepared = _resized(prepared, profile.size_px)
    parts = folds.parts_of(prepared, rows)
    weights = folder / "weights.npz"
    if not weights.is_file():
        labels = shuffled_labels(prepared, seed) if shuffled else prepared.labels
        _train(profile, prepared, labels, parts, fold, seed, folder)
        memory.forget_networks()
    model = classifier.load_float16(profile, weights)
    predict = classifier.as_predictor(speed.folded(model), batch_size=profile.predict_batch_size)
    for part, name in (("validation", "rows_validation"), ("test", "rows_predictions")):
        if part == "test" and recipe:
            continue  # recipes are chosen on validation persons alone
        if part == "validation" and not profile.validates:
            continue  # these slices were trained on
        table = _predictions(predict, prepared.subset(np.flatnonzero(parts == part)), fold, seed)
        rowfiles.write_table(table, file_of(folder, name))
    if not recipe:
        tested = prepared.subset(np.flatnonzero(parts == "test"))
        _audit(profile, model, predict, tested, fold, seed, folder)
    memory.forget_networks()
    return device


def _resized(prepared, size_px):
    """The cohort at another size of the network input; masks, which no recipe needs, stay."""
    slices = np.stack([preprocess.resize_slice(s, size_px) for s in prepared.slices])
    return replace(prepared, slices=slices)


def _audit(profile, model, predict, tested, fold, seed, folder):
    from tumorcf_lib.networks import saliency

    options = {"batch_size": profile.predict_batch_size, "seed": 0, "progress": True}
    makers = {
        "rows_edits": lambda: audits.audit(
            predict, tested, edits=EDITS, n_places=profile.n_places, **options
        ),
        "rows_transplants": lambda: conflicts.audit_transplants(predict, tested, **options),
        "rows_saliency": lambda: saliency.map_rows(
            tested, saliency.grad_cam(model, tested.slices, tested.labels, desc="Grad-CAM")
        ),
    }
    for name, make in makers.items():
        if not file_of(folder, name).is_file():
            rows = make().assign(fold=fold, training_seed=seed)
            rowfiles.write_table(rows, file_of(folder, name))


def shuffled_labels(prepared, seed):
    """Classes dealt anew to the patients: each has one, and as many have each class as before.

    Returns
    -------
    ndarray of int, shape (n,)
    """
    persons, first, row = np.unique(prepared.persons, return_index=True, return_inverse=True)
    return np.random.default_rng([seed, len(persons)]).permutation(prepared.labels[first])[row]


def _train(profile, prepared, labels, parts, fold, seed, folder):
    from tumorcf_lib.networks import classifier, training

    training_seed = _training_seed(fold, seed)
    done = training.train(
        classifier.build(profile, seed=training_seed), profile, prepared.slices, labels,
        prepared.persons, parts, seed=training_seed, folder=folder,
    )  # fmt: skip
    history = done.marked_history
    history.insert(0, "fold", fold)
    history.insert(0, "training_seed", seed)
    # Seconds differ from run to run; what is hashed and published must not.
    rowfiles.write_table(history.drop(columns="seconds"), file_of(folder, "history"))
    classifier.save_float16(done.model, folder / "weights.npz", max_bytes=sys.maxsize)


def _predictions(predict, own, fold, seed):
    """Rows of some slices and their network's answers."""
    table = folds.prediction_rows(own, predict(own.slices, desc="predicting"))
    table.insert(0, "fold", fold)
    table.insert(0, "training_seed", seed)
    return table


def file_of(folder, name):
    """A unit's or a pool's file of rows, or table."""
    return folder / (f"{name}.csv.gz" if name.startswith("rows_") else f"{name}.csv")
