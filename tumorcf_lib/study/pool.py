"""Units put together: the rows of all folds, seeds and kinds of network, as they come."""

import json

import pandas as pd

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.study import folds as units_of
from tumorcf_lib.study.folds import AUDITED_ROWS, NETWORKS, RECORD, UnitError
from tumorcf_lib.study.side_studies import UnfinishedStudyError

SETS = ["network", "training_seed"]
UNIT = [*SETS, "fold"]


def pool(study, folder=None, *, published=None):
    """Put the rows of all finished units together, for publishing: seed by seed, as they come.

    Writes ``rows_predictions`` (network, training_seed, fold, slice_id, patient_id, person_id,
    label, p_<class>), ``rows_edits_<network>_seed<k>`` and ``rows_transplants_...`` (the audit),
    ``history``, ``rows_recipes`` (validation rows of every recipe tried) and ``units.csv``
    (minutes, device, and a digest of what the unit was trained on and by). Units that were
    published before and are not here are kept if they are of the same recipe, slices and split.

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
             if units_of.record(path.parent)["finished"]]  # fmt: skip
    if not found:
        raise UnfinishedStudyError(
            f"No unit is finished. Run\n"
            f"    python -m tumorcf_lib train --profile {study.profile.name} --fold 0"
        )
    units = pd.DataFrame(found)
    _check_files(units["folder"])
    _check_kinship(units)
    kept = _published_units(published, units)
    for name in ("rows_predictions", "history"):
        _write_units(folder, name, units, kept, published)
    for row in pd.concat([units, kept])[SETS].drop_duplicates().itertuples(index=False):
        here, before = (
            own[(own["network"] == row.network) & (own["training_seed"] == row.training_seed)]
            for own in (units, kept)
        )
        for name in AUDITED_ROWS:
            _write_units(folder, name, here, before, published, f"_{row[0]}_seed{row[1]}")
    _pool_recipes(study, folder, published)
    units = pd.concat([kept, units.drop(columns="folder")], ignore_index=True)
    units = units.sort_values(UNIT, ignore_index=True)
    rowfiles.write_table(units, folder / "units.csv")
    return units


def _unit(network, folder):
    record = units_of.record(folder)
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


def _write_units(folder, name, units, kept, published, end=""):
    """A pooled row file: of the units that are here, and of those published before."""
    tables = [rowfiles.read_table(units_of.file_of(row.folder, name)).assign(network=row.network)
              for row in units.itertuples()]  # fmt: skip
    if len(kept) and units_of.file_of(published, name + end).is_file():
        earlier = rowfiles.read_table(units_of.file_of(published, name + end))
        wanted = pd.MultiIndex.from_frame(kept[UNIT])
        tables.append(earlier[pd.MultiIndex.from_frame(earlier[UNIT]).isin(wanted)])
    if tables:
        table = pd.concat(tables, ignore_index=True)
        table.insert(0, "network", table.pop("network"))
        table = table.sort_values(UNIT, kind="stable", ignore_index=True)
        rowfiles.write_table(table, units_of.file_of(folder, name + end))


def _pool_recipes(study, folder, published):
    """Trials that are here, and those published before of recipes that were not tried again."""
    parts = []
    for path in sorted((study.folder / "recipes").glob(f"*/*/{RECORD}")):
        if units_of.record(path.parent)["finished"]:
            rows = rowfiles.read_table(units_of.file_of(path.parent, "rows_validation"))
            rows.insert(0, "recipe", path.parent.parent.name)
            parts.append(rows)
    before = published and units_of.file_of(published, "rows_recipes")
    if before and before.is_file():
        rows = rowfiles.read_table(before)
        again = {name for part in parts for name in part["recipe"]}
        parts.insert(0, rows[~rows["recipe"].isin(again)])
    if parts:
        table = pd.concat(parts, ignore_index=True)
        rowfiles.write_table(table, units_of.file_of(folder, "rows_recipes"))


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
