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
import pandas as pd

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.data import preprocess
from tumorcf_lib.data import split as splits
from tumorcf_lib.edits import audit as audits
from tumorcf_lib.edits import plan
from tumorcf_lib.networks import memory
from tumorcf_lib.study import notebooks, results, stages
from tumorcf_lib.study import unit as folds
from tumorcf_lib.study.recipes import RECIPES
from tumorcf_lib.study.side_studies import UnfinishedStudyError

RECORD = "unit.json"
RECORDED = {"fold": int, "seed": int, "finished": bool, "depends_on": dict}
CHANGED = "changed since"
INTERRUPTED = "it was interrupted"
AUDITED = ("audit", "masks", "n_places")
"""What only the audit of a unit depends on: if one of these changes, the network is kept."""

NETWORKS = {"plain": "units", "shuffled": "shuffled"}
"""Kinds of network, and the folder of their units: the study's own, and those trained on classes
dealt anew to the patients, which know nothing."""

PER_NETWORK = "rows_edits"  # one file a kind of network and seed, so that finished ones stay
POOLED = ("rows_predictions", "history")


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
        kept = _record(folder)
    except UnitError:
        return f"its record {RECORD} is damaged"
    changed = steps.changed_file(folder)
    if changed:
        return f"its file {changed} is not as it was made"
    for key, now in _depends_on(study, source, fold, seed, recipe, shuffled).items():
        if kept["depends_on"].get(key) != now:
            return f"{key} {CHANGED}"
    return None if kept["finished"] else INTERRUPTED


def _record(folder) -> dict:
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


def pool(study, folder=None, *, published=None):
    """Put the rows of all finished units together, for publishing: seed by seed, as they come.

    Writes ``rows_predictions`` (network, training_seed, fold, slice_id, patient_id, person_id,
    label, p_<class>), ``rows_edits_<network>_seed<k>`` (the audit), ``history``,
    ``rows_recipes`` (validation rows of every recipe tried) and ``units.csv`` (minutes, device,
    and a digest of what the unit was trained on and by). Units that were published before and
    are not here are kept if they are of the same recipe, slices and split.

    Parameters
    ----------
    study : runtime.Study
    folder : pathlib.Path, optional
        Takes the files; default: the study's.
    published : pathlib.Path, optional
        Folder of rows that were published before.

    Returns
    -------
    DataFrame
        The pooled units, as in ``units.csv``.

    Raises
    ------
    UnfinishedStudyError
        If no unit is finished.
    UnitError
        If units come from other slices, splits or settings than the others.
    """
    folder = folder or study.folder
    found = [_unit(network, path.parent) for network, name in NETWORKS.items()
             for path in sorted((study.folder / name).glob(f"fold*_seed*/{RECORD}"))
             if _record(path.parent)["finished"]]  # fmt: skip
    if not found:
        raise UnfinishedStudyError(
            f"No unit is finished. Run\n"
            f"    python -m tumorcf_lib train --profile {study.profile.name} --fold 0"
        )
    units = pd.DataFrame(found)
    _check_files(units["folder"])
    _check_kinship(units)
    kept = _published_units(published, units)
    for name in POOLED:
        tables = [rowfiles.read_table(_file(row.folder, name)).assign(network=row.network)
                  for row in units.itertuples()]
        _write_units(folder, name, tables, kept, published)
    for (network, seed), own in units.groupby(["network", "training_seed"]):
        tables = [rowfiles.read_table(_file(path, PER_NETWORK)).assign(network=network)
                  for path in own["folder"]]
        same = kept[(kept["network"] == network) & (kept["training_seed"] == seed)]
        _write_units(folder, f"{PER_NETWORK}_{network}_seed{seed}", tables, same, published)
    for network, seed in sorted(set(map(tuple, kept[SETS].to_numpy())) -
                                set(map(tuple, units[SETS].to_numpy()))):
        name = f"{PER_NETWORK}_{network}_seed{seed}"
        steps.copy_whole(_file(published, name), _file(folder, name))
    _pool_recipes(study, folder)
    units = pd.concat([kept, units.drop(columns="folder")], ignore_index=True)
    units = units.sort_values(UNIT, ignore_index=True)
    rowfiles.write_table(units, folder / "units.csv")
    return units


SETS = ["network", "training_seed"]
UNIT = [*SETS, "fold"]


def _unit(network, folder):
    record = _record(folder)
    shared = {key: record["depends_on"][key] for key in ("settings", "split", "inputs", "masks")}
    digest = steps.sha256(json.dumps(shared, sort_keys=True).encode())[:12]
    return {"network": network, "training_seed": record["seed"], "fold": record["fold"],
            "minutes": record["minutes"], "device": record["device"], "trained_by": digest,
            "folder": folder}  # fmt: skip


def _published_units(published, units):
    """Units of earlier publications that are not here, and of the same making."""
    nothing = units.iloc[:0].drop(columns="folder")
    if published is None or not (published / "units.csv").is_file():
        return nothing
    kept = rowfiles.read_table(published / "units.csv")
    if "trained_by" not in kept:
        return nothing
    same = kept["trained_by"] == units["trained_by"].iloc[0]
    kept = kept[same | ~kept["network"].isin(NETWORKS)]
    here = pd.MultiIndex.from_frame(units[UNIT])
    return kept[~pd.MultiIndex.from_frame(kept[UNIT]).isin(here)]


def _write_units(folder, name, tables, kept, published):
    """A pooled row file: the units that are here, and those published before."""
    if len(kept):
        earlier = rowfiles.read_table(_file(published, name))
        wanted = pd.MultiIndex.from_frame(kept[UNIT])
        tables = [*tables, earlier[pd.MultiIndex.from_frame(earlier[UNIT]).isin(wanted)]]
    table = pd.concat(tables, ignore_index=True)
    table.insert(0, "network", table.pop("network"))
    table = table.sort_values(UNIT, kind="stable", ignore_index=True)
    rowfiles.write_table(table, _file(folder, name))


def _file(folder, name):
    return folder / (f"{name}.csv.gz" if name.startswith("rows_") else f"{name}.csv")


def _pool_recipes(study, folder):
    parts = []
    for path in sorted((study.folder / "recipes").glob(f"*/*/{RECORD}")):
        if _record(path.parent)["finished"]:
            rows = rowfiles.read_table(_file(path.parent, "rows_validation"))
            rows.insert(0, "recipe", path.parent.parent.name)
            parts.append(rows)
    if parts:
        rowfiles.write_table(pd.concat(parts, ignore_index=True), _file(folder, "rows_recipes"))


def _check_files(units):
    for unit in units:
        changed = steps.changed_file(unit)
        if changed:
            raise UnitError(
                f"{config.shown(unit / changed)} is not as it was made: cut off while it was "
                "copied, or changed since. Copy that folder anew, or run its fold again."
            )


def _check_kinship(units):
    first = units.iloc[0]
    for unit in units.itertuples():
        if unit.trained_by != first["trained_by"]:
            raise UnitError(
                f"{config.shown(unit.folder)} was made from other settings or slices than "
                f"{config.shown(first['folder'])}. Run it again with the same version of this "
                "repository and the same dataset."
            )


def _depends_on(study, source, fold, seed, recipe, shuffled=False):
    trained = folds.training_depends(source, _training_seed(fold, seed))
    if shuffled:
        trained["labels"] = "shuffled"
    if recipe:
        trained["settings"] |= RECIPES[recipe]
        return trained | {"fold": fold}
    audited = folds.depends(source, "audit")
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
        _file(folder, "rows_edits").unlink(missing_ok=True)
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
    model = speed.folded(classifier.load_float16(profile, weights))
    predict = classifier.as_predictor(model, batch_size=profile.predict_batch_size)
    for part, name in (("validation", "rows_validation"), ("test", "rows_predictions")):
        if part == "test" and recipe:
            continue  # recipes are chosen on validation persons alone
        if part == "validation" and not profile.validates:
            continue  # these slices were trained on
        table = _predictions(predict, prepared.subset(np.flatnonzero(parts == part)), fold, seed)
        rowfiles.write_table(table, _file(folder, name))
    if not recipe and not _file(folder, "rows_edits").is_file():
        audited = audits.audit(
            predict, prepared.subset(np.flatnonzero(parts == "test")),
            edits=plan.HEADLINE_EDITS, n_places=profile.n_places, seed=0,
            batch_size=profile.predict_batch_size, progress=True,
        ).assign(fold=fold, training_seed=seed)  # fmt: skip
        rowfiles.write_table(audited, _file(folder, "rows_edits"))
    memory.forget_networks()
    return device


def _resized(prepared, size_px):
    """The cohort at another size of the network input; masks, which no recipe needs, stay."""
    slices = np.stack([preprocess.resize_slice(s, size_px) for s in prepared.slices])
    return replace(prepared, slices=slices)


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
    rowfiles.write_table(history.drop(columns="seconds"), _file(folder, "history"))
    classifier.save_float16(done.model, folder / "weights.npz", max_bytes=sys.maxsize)


def _predictions(predict, own, fold, seed):
    """Rows of some slices and their network's answers."""
    table = folds.prediction_rows(own, predict(own.slices, desc="predicting"))
    table.insert(0, "fold", fold)
    table.insert(0, "training_seed", seed)
    return table
