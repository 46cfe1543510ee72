"""Units put together: the rows of all folds, seeds and kinds of network, as they come."""

import json

import pandas as pd

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.study import fold_controls, folds, predicted_masks
from tumorcf_lib.study.side_studies import UnfinishedStudyError
from tumorcf_lib.study.unit import ROWS

BESIDE = {
    "recipes/*/*": {"rows_inner": "rows_recipes"},
    f"{predicted_masks.FOLDER}/*": {name: name for name in predicted_masks.FILES},
    f"{fold_controls.FOLDER}/*": {name: name for name in fold_controls.FILES},
    f"{fold_controls.CONTRAST}/*": {"rows_contrast": "rows_contrast"},
}
"""Folders beside the units' -> a file there, and the file that it is pooled to."""
COLUMNS = [*folds.UNIT, "minutes", "device", "trained_by"]


def pool(study, folder=None, *, published=None, progress=print):
    """Put the rows of all finished units together, for publishing: seed by seed, as they come.

    Writes ``rows_predictions`` (network, training_seed, fold, slice_id, patient_id, person_id,
    label, p_<class>), ``rows_edits_<network>_seed<k>`` and ``rows_transplants_...`` (the audit),
    ``history``, ``rows_recipes`` (inner folds of every recipe tried), the rows of
    :mod:`predicted_masks` and :mod:`fold_controls` where made, and ``units.csv`` (minutes, device,
    and a digest of what the unit was trained on and by), which is returned. They go to ``folder``,
    by default the study's. Units in the folder ``published`` that are not here are kept if they
    are of the same recipe, slices and split. ``progress`` is told which packages differ between
    units, and what was pooled. UnitError if units come from other slices, splits or settings."""
    folder = folder or study.folder
    found = [
        _told(rows) for kind in folds.NETWORKS.values() for rows in _finished(study, f"{kind}/*")
    ]
    if not found:
        raise UnfinishedStudyError(
            f"No unit is finished. Run\n"
            f"    python -m tumorcf_lib train --profile {study.profile.name} --fold 0"
        )
    units = pd.DataFrame(found)
    _check_kinship(units, study.profile)
    for line in differences(units):
        progress(line)
    kept = _published_units(published, units)
    for name in ("rows_predictions", "history"):
        _write_units(folder, name, units, kept, published)
    for (network, seed), own in pd.concat([units, kept]).groupby(folds.SETS):
        here, before = own[own["folder"].notna()], own[own["folder"].isna()]
        for name in folds.AUDITED_ROWS:
            _write_units(folder, name, here, before, published, f"_{network}_seed{seed}")
    for where, files in BESIDE.items():
        _pool_beside(study, folder, published, where, files)
    units = pd.concat([kept, units[COLUMNS]], ignore_index=True)
    units = units.sort_values(folds.UNIT, ignore_index=True)
    rowfiles.write_table(units, folder / "units.csv")
    progress(f"Rows of {len(units)} units are put together in {config.shown(folder)}.")
    return units


def _finished(study, pattern):
    """Folders of finished units' rows; one that was changed since, or cut off, is named."""
    for rows in sorted(study.folder.glob(f"{pattern}/{ROWS}")):
        changed = steps.changed_file(rows)
        if changed:
            raise folds.UnitError(
                f"{config.shown(rows / changed)} is not as it was made: cut off while it was "
                "copied, or changed since. Copy that folder anew, or run its fold again."
            )
        if "hashes" in steps.read_record(rows):
            yield rows


def _told(rows):
    told = steps.read_json(rows / folds.TOLD)
    shared = json.dumps(kinship(told["made_of"]), sort_keys=True)
    return told | {"trained_by": steps.sha256(shared.encode())[:12], "folder": rows}


def kinship(made_of) -> dict:
    """What units must share to be pooled: recipe, slices, masks and split.

    Settings at their default are left out, so that one that is added later with a default that
    changes nothing does not part units of before from those of after; so are the edits, since
    every unit's rows show what it was asked.
    """
    settings = made_of["settings"].items()
    own = {name: value for name, value in settings if value != getattr(config.Profile, name, None)}
    return {"settings": own} | {name: made_of[name] for name in folds.ALIKE}


def lacking(units, n_folds) -> list[str]:
    """Seeds of which not all folds are pooled, a sentence each."""
    lines = []
    for (network, seed), own in units.groupby(folds.SETS):
        missing = sorted(set(range(n_folds)) - set(own["fold"]))
        if missing:
            lines.append(f"{network}, seed {seed}: lacks fold {', '.join(map(str, missing))}.")
    return lines


def differences(units) -> list[str]:
    """Packages, and the project itself, of which units were made by several versions."""
    lines = []
    for name in sorted(set().union(*units["versions"])):
        by = units.groupby(units["versions"].map(lambda own, name=name: own.get(name, "none")))
        if len(by) > 1:
            each = (f"{version} ({', '.join(map(_name, own.itertuples()))})" for version, own in by)
            lines.append(f"Units were made by several versions of {name}: {'; '.join(each)}.")
    return lines


def _name(unit):
    return f"{unit.network} fold {unit.fold}, seed {unit.training_seed}"


def _published_units(published, units):
    """Units of earlier publications that are not here, and of the same making."""
    if published is None or not (published / "units.csv").is_file():
        return units.iloc[:0][COLUMNS]
    kept = rowfiles.read_table(published / "units.csv")
    kept = kept[kept["trained_by"] == units["trained_by"].iloc[0]]
    return kept[~_is_of(kept, units, folds.UNIT)]


def _is_of(rows, units, keys):
    """Whether each row is one of these units'."""
    return pd.MultiIndex.from_frame(rows[keys]).isin(pd.MultiIndex.from_frame(units[keys]))


def _write_units(folder, name, units, kept, published, end=""):
    """A pooled row file: of the units that are here, and of those published before."""
    tables = [
        rowfiles.read_table(folds.file_of(row.folder, name)).assign(network=row.network)
        for row in units.itertuples()
    ]
    if len(kept) and folds.file_of(published, name + end).is_file():
        earlier = rowfiles.read_table(folds.file_of(published, name + end))
        tables.append(earlier[_is_of(earlier, kept, folds.UNIT)])
    if tables:
        table = pd.concat(tables)
        table.insert(0, "network", table.pop("network"))
        _write_sorted(table, folds.UNIT, folds.file_of(folder, name + end))


def _pool_beside(study, folder, published, where, files):
    """Row files beside the units': of what is here, and of what was published and is not here."""
    finished = list(_finished(study, where))
    for name, pooled in files.items():
        tables = [rowfiles.read_table(folds.file_of(rows, name)) for rows in finished]
        before = published and folds.file_of(published, pooled)
        if before and before.is_file():
            earlier = rowfiles.read_table(before)
            here = pd.concat([earlier.iloc[:0], *tables])
            tables.append(earlier[~_is_of(earlier, here, _keys(earlier))])
        if tables:
            _write_sorted(pd.concat(tables), _keys(tables[0]), folds.file_of(folder, pooled))


def _keys(table):
    return [key for key in ("recipe", "inner_fold", *folds.UNIT) if key in table]


def _write_sorted(table, keys, path):
    rowfiles.write_table(table.sort_values(keys, kind="stable", ignore_index=True), path)


def _check_kinship(units, profile):
    first = units.iloc[0]
    asked = first["made_of"]["settings"]
    now = json.loads(json.dumps({name: getattr(profile, name, None) for name in asked}))
    if asked != now:
        raise folds.UnitError(
            f"{_name(first).capitalize()} ({config.shown(first['folder'])}) was made from other "
            f"settings than profile {profile.name} has now: "
            f"{_other(first['made_of'], first['made_of'] | {'settings': now})}. Run it again."
        )
    for unit in units.itertuples():
        if unit.trained_by != first["trained_by"]:
            raise folds.UnitError(
                f"{_name(unit).capitalize()} ({config.shown(unit.folder)}) was made from other "
                f"settings or slices than {_name(first)}: {_other(unit.made_of, first['made_of'])}."
                " Run it again with the same version of this repository and the same dataset."
            )


def _other(made_of, first):
    """What differs, in words: settings by their values, files by their names."""
    names = {**first["settings"], **made_of["settings"]}
    usual = {name: getattr(config.Profile, name, None) for name in names}
    here, there = (usual | one["settings"] for one in (made_of, first))
    words = [
        f"{name} is {here[name]!r}, there {there[name]!r}"
        for name in names
        if here[name] != there[name]
    ]
    files = [key for key in folds.ALIKE if made_of[key] != first[key]]
    return "; ".join(words + [f"other {name}" for name in files])
