"""Cross-validation: every slice tested once, by a network that never saw its patient.

A unit is one fold and one training seed of one kind of network. Units are independent: they may be
run one at a time, in any order, or on several machines, and their folders copied together. Three
commands do all: :func:`prepare` once, :func:`run` per unit, then :func:`pool`. Each may be given
again: it does what is missing, and returns when all it was asked for is whole.
"""

import platform
import time
from dataclasses import replace
from functools import partial

import numpy as np

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.data import preprocess, split as splits
from tumorcf_lib.edits import audit as audits, conflicts, plan
from tumorcf_lib.study import by_fold, controls, made_by, notebooks, results, stages
from tumorcf_lib.study.unit import (
    NETWORK,
    WEIGHTS,
    Unit,
    deal,
    history_of,
    make,
    named,
    prediction_rows,
    why_stale as why_unfinished,
)

LIGHT = {"augmentation": 0.6}
RECIPES: dict[str, dict] = {
    "kept": {},
    "lighter views": LIGHT,
    "lightest views": {"augmentation": 0.3},
    "lighter views, frozen": LIGHT | {"frozen_blocks": 3, "freeze_depthwise": True},
    "lighter views, patients alike": LIGHT | {"weighing_alike": "patients"},
}
"""Recipes to be tried, by what differs from the profile. A trial is an inner fold: the patients
outside a fold's tested ones are dealt to :data:`N_INNER` folds, each predicted by a network of the
recipe's last step that was trained on the others. The fold's tested patients have no part in it."""
N_INNER = 3
TRIAL_PX = 128  # at most: a third of the time of 224 px

FINETUNED = controls.NETWORKS
NETWORKS = {"plain": "units"} | {name: name for name in ("shuffled", "without_mr", *FINETUNED)}
"""Kinds of network, and the folder of their units: the study's own; those trained on classes dealt
anew to the patients, which know nothing; those that were shown no patient ``MR...``, all of
whom have a glioma, so that no trace of their site can stand for the class; and fine-tuned copies
of the study's own."""

TOLD = "unit.json"
"""A unit's file that says which it is, what it was made of, how long it took and by what."""

SETS = ["network", "training_seed"]
UNIT = [*SETS, "fold"]
AUDITED_ROWS = ("rows_edits", "rows_transplants", "rows_saliency")
MADE_OF = ("settings", "split", "inputs", "masks", "edits")
PREPARING_S = 4 * 3600  # as long as others may take for 01 and 02, before a unit gives up


class UnitError(RuntimeError):
    """A fold or recipe that does not exist, or units that do not belong together."""


def prepare(study):
    """Make the slices, the split and the network inputs of a profile's folds, for all its units.

    Units that begin together wait for the one that prepares.
    """
    if study.profile.n_folds < 2:
        raise UnitError(
            f"Profile {study.profile.name!r} has one hold-out split and no folds; choose "
            "paper-lite-cv, or use `run`."
        )
    study.folder.mkdir(parents=True, exist_ok=True)
    with steps.held(study.folder / f"prepare.{steps.LOCK}", wait_s=PREPARING_S):
        if any(stages.why_stale(study, name, shown=False) for name in stages.NAMES[:2]):
            notebooks.run(study, last="02")


def run(study, *, fold_numbers=None, seed=0, recipe="", network="plain", progress=print):
    """Run the units of one training seed; those that are finished are left as they are.

    Parameters
    ----------
    study : runtime.Study
        Of a profile with several folds. Its own seed stays 0, so that all units share its slices
        and split.
    fold_numbers : sequence of int, optional
        Default: all.
    seed : int
        Of the training. Folds and sham places are the same for all seeds.
    recipe : str
        A key of :data:`RECIPES`, to be tried on the inner fold ``seed``: tested slices are neither
        predicted nor audited.
    network : str
        A key of :data:`NETWORKS`, all audited on the same slices by the same plan. Of "shuffled",
        ``seed`` also chooses the deal.
    progress : callable

    Raises
    ------
    UnitError
        If the profile has no folds, or a fold or the recipe does not exist.
    """
    fold_numbers = checked_folds(study, fold_numbers)
    if recipe and recipe not in RECIPES:
        raise UnitError(f"There is no recipe {recipe!r}; choose one of: {', '.join(RECIPES)}.")
    if recipe and not 0 <= seed < N_INNER:
        raise UnitError(f"There is no inner fold {seed}; choose --seed of 0 to {N_INNER - 1}.")
    if network not in NETWORKS:
        raise UnitError(f"There is no network {network!r}; choose one of: {', '.join(NETWORKS)}.")
    source, prepared, split = prepared_of(study)
    for fold in fold_numbers:
        rows = split[split["fold"] == fold]
        unit, asked = unit_of(study, source, prepared, rows, fold, seed, recipe, network)
        words = f"fold {fold}, seed {seed}" + (f", recipe {recipe!r}" if recipe else "")
        words += f", network {network!r}" if network != "plain" else ""
        reason = why_unfinished(unit, asked)
        progress(f"{words}: {reason or 'up to date, skipped'}")
        if reason:
            told = {"network": network, **unit.names}
            how = None
            if network in FINETUNED:
                plain, _ = unit_of(study, source, prepared, rows, fold, seed)
                how = partial(controls.finetuned, network, plain.folder / NETWORK / WEIGHTS)
            make(unit, _asking(unit, told, asked, recipe), asked, network=how)
            progress(f"{words}: finished, {config.shown(unit.folder)}")


def edits_of(profile):
    """What every unit's network is asked about each tested slice, beside transplants: the headline,
    shams of the removal's energy, and the profile's other infills and dilations with their shams.
    """
    controls_of = profile.infills, profile.dilations_at_512, profile.size_px
    others = plan.control_edits(*controls_of, profile.n_control_places)
    return *plan.HEADLINE_EDITS, *plan.matched_shams(), *others


def checked_folds(study, numbers=None):
    """These folds, by default all; a UnitError if one does not exist."""
    n_folds = study.profile.n_folds
    strange = [fold for fold in numbers or () if not 0 <= fold < n_folds]
    if strange and n_folds > 1:
        raise UnitError(f"There is no fold {strange[0]}; choose of 0 to {n_folds - 1}.")
    return range(n_folds) if numbers is None else numbers


def prepared_of(study):
    """What all units share, made now or before: reader of 01 and 02, the cohort, the split."""
    prepare(study)
    source = source_of(study)
    split = splits.check(source.read("01_data", "split"))
    return source, by_fold.load_prepared(source), split


def source_of(study):
    """Reader of what 01 and 02 made for all units."""
    return results.Results(study, "03_training", study.folder / "03_training")


def unit_folder(study, fold, seed, recipe="", network="plain"):
    """Folder of one unit."""
    where = study.folder / "recipes" / recipe if recipe else study.folder / NETWORKS[network]
    return where / f"fold{fold}_seed{seed}"


def unit_of(study, source, prepared, rows, fold, seed, recipe="", network="plain"):
    """A unit of these split rows, and all that its rows depend on beside its training."""
    training_seed = 1000 * seed + int(fold)
    names = {"training_seed": int(seed), "fold": int(fold)}
    depends_on = by_fold.training_depends(source, training_seed) | {"fold": int(fold)}
    profile, labels, asked = study.profile, None, {}
    parts = by_fold.parts_of(prepared, rows)
    if network == "shuffled":
        depends_on["labels"] = "shuffled"
        n_persons = len(np.unique(prepared.persons))
        labels = deal(prepared.persons, prepared.labels, [seed, n_persons])
    if network == "without_mr":
        depends_on["without"] = "MR"
        of_site = np.char.startswith(prepared.persons.astype(str), "MR")
        parts[of_site & (parts != "test")] = "left out"
    if network in FINETUNED:
        weights = unit_folder(study, fold, seed) / NETWORK / WEIGHTS
        if not weights.is_file():
            raise UnitError(
                f"Fold {fold}, seed {seed} has no finished network to start from. Run\n    python "
                f"-m tumorcf_lib train --profile {profile.name} --fold {fold} --seed {seed}"
            )
        depends_on |= {
            "kind": network,
            "start": steps.file_sha256(weights),
            "masks": source.input_digest("02_preprocessing", "masks.npy"),
            "code": made_by.code("finetuning"),
        }
    if recipe:
        changed = {"size_px": min(profile.size_px, TRIAL_PX)} | RECIPES[recipe]
        profile = replace(profile, **changed)
        depends_on["settings"] = depends_on["settings"] | changed
        depends_on["inner_fold"] = seed
        parts = inner_parts(prepared.persons, prepared.labels, parts, seed)
        names = {"recipe": recipe, "inner_fold": int(seed), "fold": int(fold)}
    else:
        audited = by_fold.depends(source, "audit", "transplants", "saliency")
        asked = {"audit": audited["code"], "masks": audited["masks"], "n_places": profile.n_places}
        asked["edits"] = list(map(repr, edits_of(profile)))
    if profile.size_px != prepared.slices.shape[-1]:  # a recipe's; it needs no masks
        slices = np.stack([preprocess.resize_slice(s, profile.size_px) for s in prepared.slices])
        prepared = replace(prepared, slices=slices)
    unit = Unit(
        unit_folder(study, fold, seed, recipe, network),
        profile,
        prepared,
        parts,
        training_seed,
        depends_on,
        labels,
        names=names,
    )
    return unit, asked


def inner_parts(persons, labels, parts, inner_fold):
    """Parts of a trial: "test" stays; of the others, "inner" are predicted, "train" trained on."""
    outside = parts != "test"
    dealt = splits.k_folds(persons[outside], labels[outside], n_folds=N_INNER, seed=0)[inner_fold]
    parts = parts.copy()
    parts[outside] = np.where(dealt == "test", "inner", "train")
    return parts


def _asking(unit, told, asked, recipe):
    """What a unit's network is asked: its predictions, and the audit of the tested slices."""

    def ask(predict, folder):
        from tumorcf_lib.networks import classifier

        started, device = time.perf_counter(), classifier.set_up(unit.seed)
        # Tested patients choose no recipe
        parts = {"inner": "rows_inner"} if recipe else {"test": "rows_predictions"}
        if unit.profile.validates:  # else these slices were trained on
            parts["validation"] = "rows_validation"
        for part, name in parts.items():
            own = unit.part(part)
            probabilities = predict(own.slices, desc="predicting")
            own = by_fold.seen_by(probabilities.shape[1], own)
            table = prediction_rows(own, probabilities)
            rowfiles.write_table(named(table, **unit.names), file_of(folder, name))
        if not recipe:
            _audit(unit, predict, folder)
        history = history_of(unit.folder / NETWORK)
        if told["network"] in FINETUNED:
            history = history.loc[history["epoch"] > 0, [*unit.names, "epoch", "loss"]]
        rowfiles.write_table(history, file_of(folder, "history"))
        seconds = time.perf_counter() - started + results.kept_seconds(unit.folder)
        made_of = {key: (unit.depends_on | asked)[key] for key in MADE_OF if not recipe}
        told_of_it = told | {
            "minutes": round(seconds / 60, 1),
            "device": device,
            "made_of": made_of,
            "versions": {"Python": platform.python_version(), **stages.versions()},
        }
        steps.write_json(folder / TOLD, told_of_it, sort_keys=True)

    return ask


def _audit(unit, predict, folder):
    from tumorcf_lib.networks import classifier, saliency

    model = classifier.load_float16(unit.profile, unit.folder / NETWORK / WEIGHTS)
    tested = by_fold.seen_by(model.output_shape[-1], unit.part("test"))
    options = {"batch_size": unit.profile.predict_batch_size, "seed": 0, "progress": True}
    makers = {
        "rows_edits": lambda: audits.audit(
            predict, tested, edits=edits_of(unit.profile), n_places=unit.profile.n_places, **options
        ),
        "rows_transplants": lambda: conflicts.audit_transplants(predict, tested, **options),
        "rows_saliency": lambda: saliency.map_rows(
            tested, saliency.grad_cam(model, tested.slices, tested.labels, desc="Grad-CAM")
        ),
    }
    for name, make_rows in makers.items():
        if not file_of(folder, name).is_file():
            rows = make_rows().assign(**dict(reversed(unit.names.items())))
            rowfiles.write_table(rows, file_of(folder, name))


def file_of(folder, name):
    """A unit's or a pool's file of rows, or table."""
    return folder / (f"{name}.csv.gz" if name.startswith("rows_") else f"{name}.csv")
