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
import pandas as pd

from tumorcf_lib import rowfiles, steps
from tumorcf_lib.data import preprocess, split as splits
from tumorcf_lib.edits import audit as audits, conflicts
from tumorcf_lib.stats.rows import in_front
from tumorcf_lib.study import by_fold, controls, made_by, notebooks, results, stages, unit
from tumorcf_lib.study.unit import NETWORK, WEIGHTS, UnitError

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
OTHERS = ("shuffled", "without_mr", "lighter", *FINETUNED)
NETWORKS = {"plain": "units"} | {name: name for name in OTHERS}
"""Kinds of network, and the folder of their units: the study's own; those trained on classes dealt
anew to the patients, which know nothing; those that were shown no patient ``MR...``, all of
whom have a glioma, so that no trace of their site can stand for the class; those of another recipe,
the lighter views; and fine-tuned copies of the study's own."""

TOLD = "unit.json"
"""A unit's file that says which it is, what it was made of, how long it took and by what."""

AUDITED_ROWS = ("rows_edits", "rows_transplants", "rows_saliency")
ALIKE = ("split", "inputs", "masks")
MADE_OF = ("settings", *ALIKE, "edits")
SHARD = 128
"""So many slices of an audit, a minute or two, are lost by a kill at most."""

PREPARING_S = 4 * 3600  # as long as others may take for 01 and 02, before a unit gives up


def prepare(study):
    """Make the slices, the split and the network inputs of a profile's folds, for all its units.

    Units that begin together wait for the one that prepares.
    """
    check(study)
    study.folder.mkdir(parents=True, exist_ok=True)
    with steps.held(study.folder / f"prepare.{steps.LOCK}", wait_s=PREPARING_S):
        if any(stages.why_stale(study, name, shown=False) for name in stages.NAMES[:2]):
            notebooks.run(study, last="02")


def run(study, fold_numbers=None, *, seed=0, recipe="", network="plain"):
    """Run the units of one training seed; those that are finished are left as they are.

    ``study`` is of a profile with several folds; its own seed stays 0, so that all units share its
    slices and split. ``seed`` is of the training. With ``recipe``, a key of :data:`RECIPES`, that
    is tried on the inner fold ``seed``: tested slices are neither predicted nor audited.
    ``network`` is a key of :data:`NETWORKS`, all audited on the same slices by the same plan; of
    "shuffled", ``seed`` also chooses the deal. UnitError for what does not exist."""
    fold_numbers = check(study, fold_numbers, seed, recipe, network)
    shared = Folds(study)
    for fold in fold_numbers:
        own, asked = shared.unit(fold, seed, recipe, network)
        words = f"fold {fold}, seed {seed}" + (f", recipe {recipe!r}" if recipe else "")
        words += f", network {network!r}" if network != "plain" else ""
        how = None
        if network in FINETUNED:
            how = partial(controls.finetuned, network, weights_of(study, fold, seed))
        ask = partial(_ask, network, recipe, asked)
        unit.bring_up_to_date(own, ask, asked, words, network=how)


def check(study, fold_numbers=None, seed=0, recipe="", network="plain"):
    """The folds of these units, by default all; UnitError for what does not exist."""
    n_folds = study.profile.n_folds
    if n_folds < 2:
        raise UnitError(
            f"Profile {study.profile.name!r} has one hold-out split and no folds; choose "
            "paper-lite-cv, or use `run`."
        )
    if recipe and recipe not in RECIPES:
        raise UnitError(f"There is no recipe {recipe!r}; choose one of: {', '.join(RECIPES)}.")
    if recipe and not 0 <= seed < N_INNER:
        raise UnitError(f"There is no inner fold {seed}; choose --seed of 0 to {N_INNER - 1}.")
    if network not in NETWORKS:
        raise UnitError(f"There is no network {network!r}; choose one of: {', '.join(NETWORKS)}.")
    strange = [fold for fold in fold_numbers or () if not 0 <= fold < n_folds]
    if strange:
        raise UnitError(f"There is no fold {strange[0]}; choose of 0 to {n_folds - 1}.")
    return range(n_folds) if fold_numbers is None else fold_numbers


def unit_folder(study, fold, seed, recipe="", network="plain"):
    """Folder of one unit."""
    where = study.folder / "recipes" / recipe if recipe else study.folder / NETWORKS[network]
    return where / f"fold{fold}_seed{seed}"


def weights_of(study, fold, seed, *, is_finished=True):
    """File of a plain unit's finished network, from which others start; UnitError without it."""
    weights = unit_folder(study, fold, seed) / NETWORK / WEIGHTS
    if not (is_finished and weights.is_file()):
        raise UnitError(
            f"Fold {fold}, seed {seed} has no finished network to start from. Run\n    python "
            f"-m tumorcf_lib train --profile {study.profile.name} --fold {fold} --seed {seed}"
        )
    return weights


class Folds:
    """What all units of a study share, made now or before: slices, masks and the split."""

    def __init__(self, study):
        prepare(study)
        self.study = study
        self.source = results.Results(study, "03_training", study.folder / "03_training")
        self.split = splits.check(self.source.read("01_data", "split"))
        self.prepared = by_fold.load_prepared(self.source)

    def unit(self, fold, seed=0, recipe="", network="plain"):
        """A unit, and all that its rows depend on beside its training."""
        profile, prepared = self.study.profile, self.prepared
        training_seed, labels, asked = 1000 * seed + fold, None, {}
        names = {"training_seed": seed, "fold": fold}
        inputs = by_fold.inputs_of(self.source)
        depends_on = by_fold.training_depends(profile, training_seed, fold=fold, **inputs)
        parts = by_fold.parts_of(prepared, self.split[self.split["fold"] == fold])
        if network == "shuffled":
            depends_on["labels"] = "shuffled"
            n_persons = len(np.unique(prepared.persons))
            labels = unit.deal(prepared.persons, prepared.labels, [seed, n_persons])
        if network == "without_mr":
            depends_on["without"] = "MR"
            of_site = np.char.startswith(prepared.persons.astype(str), "MR")
            parts[of_site & (parts != "test")] = "left out"
        if network == "lighter":
            profile, depends_on["views"] = replace(profile, **LIGHT), LIGHT
        if network in FINETUNED:
            depends_on |= {
                "kind": network,
                "start": steps.file_sha256(weights_of(self.study, fold, seed)),
                "masks": self.source.input_digest("02_preprocessing", "masks.npy"),
                "finetuning": [profile.finetune_epochs, profile.finetune_learning_rate],
                "code": made_by.code("finetuning"),
            }
        if recipe:
            changed = {"size_px": min(profile.size_px, TRIAL_PX)} | RECIPES[recipe]
            profile = replace(profile, **changed)
            depends_on["settings"] = depends_on["settings"] | changed
            depends_on["inner_fold"] = seed
            parts = inner_parts(prepared.persons, prepared.labels, parts, seed)
            names = {"recipe": recipe, "inner_fold": seed, "fold": fold}
            if profile.size_px != self.study.profile.size_px:  # masks are not asked for
                size_px = profile.size_px
                slices = [preprocess.resize_slice(s, size_px) for s in prepared.slices]
                prepared = replace(prepared, slices=np.stack(slices))
        else:
            audited = by_fold.depends(self.source, "audit", "transplants", "saliency")
            asked = {"audit": audited["code"], "masks": audited["masks"]}
            asked |= {
                "n_places": profile.n_places,
                "edits": list(map(repr, by_fold.edits_of(profile))),
            }
        folder = unit_folder(self.study, fold, seed, recipe, network)
        known = profile, prepared, parts, training_seed, depends_on, labels
        return unit.Unit(folder, *known, names=names), asked


def inner_parts(persons, labels, parts, inner_fold):
    """Parts of a trial: "test" stays; of the others, "inner" are predicted, "train" trained on."""
    outside = parts != "test"
    dealt = splits.k_folds(persons[outside], labels[outside], n_folds=N_INNER, seed=0)[inner_fold]
    parts = parts.copy()
    parts[outside] = np.where(dealt == "test", "inner", "train")
    return parts


def _ask(network, recipe, asked, own, predict, folder):
    """Write what a unit's network is asked: predictions, and the audit of the tested slices."""
    from tumorcf_lib.networks import classifier

    started, device = time.perf_counter(), classifier.set_up(own.seed)
    # Tested patients choose no recipe
    part, name = ("inner", "rows_inner") if recipe else ("test", "rows_predictions")
    asked_about = own.part(part)
    p = predict(asked_about.slices, desc="predicting")
    table = unit.prediction_rows(by_fold.seen_by(p.shape[1], asked_about), p)
    rowfiles.write_table(in_front(table, **own.names), file_of(folder, name))
    if not recipe:
        _audit(own, predict, folder)
    history = unit.history_of(own.folder / NETWORK)
    if network in FINETUNED:
        history = history.loc[history["epoch"] > 0, [*own.names, "epoch", "loss"]]
    rowfiles.write_table(history, file_of(folder, "history"))
    seconds = time.perf_counter() - started + results.kept_seconds(own.folder)
    told = {
        "network": network,
        **own.names,
        "minutes": round(seconds / 60, 1),
        "device": device,
        "made_of": {key: (own.depends_on | asked)[key] for key in MADE_OF if not recipe},
        "versions": {"Python": platform.python_version(), **stages.versions()},
    }
    steps.write_json(folder / TOLD, told, sort_keys=True)


def _audit(own, predict, folder):
    from tumorcf_lib.networks import classifier, saliency

    profile = own.profile
    model = classifier.load_float16(profile, own.folder / NETWORK / WEIGHTS)
    tested = by_fold.seen_by(model.output_shape[-1], own.part("test"))
    shown = model, tested.slices, tested.labels
    how = {"batch_size": profile.predict_batch_size, "seed": 0, "progress": True}
    edits = {"edits": by_fold.edits_of(profile), "n_places": profile.n_places}
    makers = {
        "rows_edits": lambda: _in_shards(
            lambda shard: audits.audit(predict, shard, **edits, **how), tested, folder
        ),
        "rows_transplants": lambda: conflicts.audit_transplants(predict, tested, **how),
        "rows_saliency": lambda: saliency.map_rows(
            tested, saliency.grad_cam(*shown, desc="Grad-CAM")
        ),
    }
    make_missing(makers, own.names, folder)


def _in_shards(make_rows, tested, folder):
    """Rows of all tested slices, kept a shard at a time: a killed audit goes on with the next."""
    rows = []
    for start in range(0, len(tested), SHARD):
        shard = folder / f"shard{start}.csv.gz"
        if not shard.is_file():
            own = tested.subset(np.arange(start, min(start + SHARD, len(tested))))
            rowfiles.write_table(make_rows(own), shard)
        rows.append(rowfiles.read_table(shard))
    return pd.concat(rows, ignore_index=True)


def make_missing(makers, names, folder):
    """Write the rows that ``makers`` make, by their names; a killed call goes on with the next."""
    for name, make_rows in makers.items():
        if not file_of(folder, name).is_file():
            rows = make_rows().assign(**dict(reversed(names.items())))
            rowfiles.write_table(rows, file_of(folder, name))
    for shard in folder.glob("shard*"):
        shard.unlink()


def file_of(folder, name):
    """A unit's or a pool's file of rows, or table."""
    return folder / (f"{name}.csv.gz" if name.startswith("rows_") else f"{name}.csv")
