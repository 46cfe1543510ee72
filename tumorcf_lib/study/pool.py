"""Units put together: the rows of all folds, seeds and kinds of network, as they come."""

import json
from functools import partial

import pandas as pd

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.stats.rows import in_front
from tumorcf_lib.study import fold_controls, folds
from tumorcf_lib.study.side_studies import UnfinishedStudyError
from tumorcf_lib.study.unit import ROWS
from tumorcf_lib.tables.fold_scores import KEYS, UNIT

BESIDE = {
    "recipes/*/*": {"rows_inner": "rows_recipes"},
    **{f"{kind}/*": {name: name for name in own} for kind, own in fold_controls.FILES.items()},
}
"""Folders beside the units' -> a file there, and the file that it is pooled to."""
COLUMNS = [*UNIT, "minutes", "device", "trained_by"]


def pool(study, *, published=None):
    """Put the rows of all finished units together, for publishing: seed by seed, as they come.

    Writes ``rows_predictions`` (network, training_seed, fold, slice_id, patient_id, person_id,
    label, p_<class>), ``rows_edits_<network>_seed<k>`` and ``rows_transplants_...`` (the audit),
    ``history``, ``rows_recipes`` (inner folds of every recipe tried), the rows of
    :mod:`fold_controls` where made, and ``units.csv`` (minutes, device, and a digest of what the
    unit was trained on and by), which is returned. Units in the folder ``published`` that are not
    here, and what lies beside them, are kept if they are of the same recipe, slices and split.
    Packages that differ between units are printed. UnitError if units come from other slices,
    splits or settings."""
    kinds = folds.NETWORKS.values()
    units = pd.DataFrame(_told(rows) for kind in kinds for rows in _finished(study, f"{kind}/*"))
    if units.empty:
        raise UnfinishedStudyError(
            f"No unit is finished. Run\n"
            f"    python -m tumorcf_lib train --profile {study.profile.name} --fold 0"
        )
    _check_kinship(units, study.profile)
    for line in differences(units):
        print(line)
    published = _of_one_making(published, units["trained_by"].iloc[0])
    write = partial(_write, study.folder, published)
    for name in ("rows_predictions", "history"):
        write(name, _rows_of(units, name))
    every = write("units", [units[COLUMNS]])
    for (network, seed), _ in every.groupby(KEYS):
        own = units[(units["network"] == network) & (units["training_seed"] == seed)]
        for name in folds.AUDITED_ROWS:
            write(f"{name}_{network}_seed{seed}", _rows_of(own, name))
    for where, files in BESIDE.items():
        finished = list(_finished(study, where))
        for name, pooled in files.items():
            own = [rowfiles.read_table(folds.file_of(rows, name)) for rows in finished]
            write(pooled, own)
    print(f"Rows of {len(every)} units are put together in {config.shown(study.folder)}.")
    return every


def _write(folder, published, name, tables):
    """A pooled file: of what is here, and of what was published before and is not replaced."""
    before = published and folds.file_of(published, name)
    if before and before.is_file():
        earlier = rowfiles.read_table(before)
        for replaced in tables:
            earlier = earlier[~_units_of(earlier).isin(_units_of(replaced))]
        tables = [*tables, earlier] if len(earlier) else tables
    if tables:
        table = pd.concat(tables)
        table = table.sort_values(_keys(table), kind="stable", ignore_index=True)
        rowfiles.write_table(table, folds.file_of(folder, name))
        return table


def _rows_of(units, name):
    """A file of each of some units, with the kind of its network in front."""
    files = [(unit, folds.file_of(unit.folder, name)) for unit in units.itertuples()]
    return [in_front(rowfiles.read_table(file), network=unit.network) for unit, file in files]


def _keys(table):
    """The columns that say which unit, or which of what lies beside them, a row is of."""
    return [key for key in ("recipe", "inner_fold", *UNIT) if key in table]


def _units_of(table):
    return pd.MultiIndex.from_frame(table[_keys(table)])


def _finished(study, pattern):
    """Folders of finished units' rows; one that was changed since, or cut off, is named."""
    for record in sorted(study.folder.glob(f"{pattern}/{ROWS}/{steps.RECORD}")):
        rows = record.parent
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


def _of_one_making(published, trained_by):
    """The published folder if all of its units go with those that are here; else it is said."""
    if published is None or not (published / "units.csv").is_file():
        return None
    if (rowfiles.read_table(published / "units.csv")["trained_by"] == trained_by).all():
        return published
    words = "holds units of another recipe, slices or split"
    print(f"Nothing is taken from {config.shown(published)}: it {words}.")
    return None


def lacking(units, n_folds) -> list[str]:
    """Seeds of which not all folds are pooled, a sentence each."""
    lines = []
    for (network, seed), own in units.groupby(KEYS):
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


def _check_kinship(units, profile):
    """UnitError for a unit that was made of other things than the first, or than is asked now."""
    first, now = units["made_of"].iloc[0], json.loads(json.dumps(profile.as_dict()))
    asked = first | {"settings": {name: now.get(name) for name in first["settings"]}}
    for unit in units.itertuples():
        other = _other(unit.made_of, asked)
        if other:
            raise folds.UnitError(
                f"{_name(unit).capitalize()} ({config.shown(unit.folder)}) was made from other "
                f"settings than profile {profile.name} has now, or other slices than "
                f"{_name(units.iloc[0])}: {other}. Run it again with the same version of this "
                "repository and the same dataset."
            )


def _other(made_of, asked):
    """What differs, in words: settings by their values, files by their names."""
    names = {**asked["settings"], **made_of["settings"]}
    usual = {name: getattr(config.Profile, name, None) for name in names}
    here, there = (usual | one["settings"] for one in (made_of, asked))
    words = [
        f"{name} is {here[name]!r}, there {there[name]!r}"
        for name in names
        if here[name] != there[name]
    ]
    return "; ".join(words + [f"other {key}" for key in folds.ALIKE if made_of[key] != asked[key]])
