"""Copy what git may hold of a run to ``figures/<profile>/``, and check it again later.

Published are tables, rows, numbers, statistical plots and the reference weights; never a
picture that shows a patient's slice. Everything derived can be recomputed from the rows.
"""

import json
import shutil
from pathlib import Path

import nbformat
import pandas as pd

from tumorcf_lib import config, paths, readme, results, runner, runtime, sources, stages, tables

MANIFEST = "manifest.json"
NUMBERS = "numbers.json"
MAX_WEIGHTS_BYTES = 10_000_000
TOLERANCE = 1.5 * 10 ** -(results.SIGNIFICANT_DIGITS - 1)  # relative; covers the last digit


class PublishError(RuntimeError):
    """A run that cannot be published, or published files that do not hold."""


def publish(profile_name: str, *, seed: int = 0) -> Path:
    """Replace ``figures/<profile>/`` by what git may hold of the finished run.

    Raises
    ------
    PublishError
        For ``smoke``, or if a stage of the run is not up to date.
    """
    profile = config.get(profile_name)
    if profile.name == "smoke":
        raise PublishError("The smoke profile only tests that everything runs: not for publishing.")
    study = runtime.Study(profile, seed, paths.run(profile.name))
    for name in stages.NAMES:
        reason = stages.why_stale(study, name)
        if reason:
            raise PublishError(f"{name} of profile {profile.name!r} is not up to date: {reason}.")
    target = paths.published(profile.name)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in stages.NAMES:
        _copy_stage(study, name, target)
    _write_numbers(study, target)
    shutil.copyfile(study.folder / readme.MINUTES, target / readme.MINUTES)
    _write_manifest(study, target)
    for name in stages.NAMES:
        committed = paths.NOTEBOOKS / f"{name}.ipynb"
        source = runner.executed_copy(study, name) if profile.name == "demo" else committed
        notebook = json.loads(source.read_text())
        notebook = cleaned(notebook) if profile.name == "demo" else notebook
        _write_notebook(readme.with_runtime(notebook, name), committed)
    readme.update()
    print(f"Published {sum(1 for _ in target.iterdir())} files: {target.relative_to(paths.ROOT)}")
    return target


def may_publish(profile: config.Profile, *, shows_slices: bool) -> bool:
    """Whether a figure may enter git: a patient's slice never does.

    >>> may_publish(config.get("paper-lite"), shows_slices=True)
    False
    >>> may_publish(config.get("demo"), shows_slices=True)
    True
    """
    return profile.is_phantom or not shows_slices


def cleaned(notebook: dict) -> dict:
    """An executed notebook without times, machine names and injected cells.

    Raises
    ------
    PublishError
        If a cell ended in an error or was not run.
    """
    kept = []
    for cell in notebook["cells"]:
        if "injected-parameters" in cell["metadata"].get("tags", []):
            continue
        tags = cell["metadata"].get("tags")
        cell["metadata"] = {"tags": tags} if tags else {}
        if cell["cell_type"] == "code":
            if any(output["output_type"] == "error" for output in cell["outputs"]):
                raise PublishError("A cell of the executed notebook ended in an error.")
            if cell["execution_count"] is None:
                raise PublishError("A cell of the executed notebook was not run.")
            for output in cell["outputs"]:
                output.get("metadata", {}).clear()
        kept.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": kept, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def verify_all(folders) -> int:
    """Verify published folders, print a line for each, return 1 if one does not hold."""
    folders = [Path(f) for f in folders] or sorted(p.parent for p in paths.FIGURES.glob(f"*/{MANIFEST}"))
    if not folders:
        print("Nothing is published yet.")
    n_bad = 0
    for folder in folders:
        problems, n_checked = verify(folder)
        n_bad += bool(problems)
        print(f"{folder.name}: {n_checked} files checked, {len(problems)} problems")
        print("".join(f"  {problem}\n" for problem in problems), end="")
    return int(n_bad > 0)


def verify(folder: Path) -> tuple[list[str], int]:
    """Recompute every derived table and number from the published rows.

    No images, network or TensorFlow are needed. Files that are not derived must have the
    SHA-256 of the manifest.

    Returns
    -------
    problems : list of str
        Empty if all holds; else file and cell, expected and found.
    n_checked : int
    """
    if not (folder / MANIFEST).is_file():
        raise PublishError(f"{folder} holds no {MANIFEST}; name a folder under figures/.")
    manifest = json.loads((folder / MANIFEST).read_text())
    derived = tables.derive(lambda name: _read(folder, name), manifest["profile"]["n_resamples"])
    problems = []
    for name, table in derived.items():
        problems += _compare(name, _read(folder, name), results.round_trip(table))
    problems += _compare_numbers(folder, derived)
    checked = {f"{name}.csv" for name in derived} | {NUMBERS, MANIFEST}
    for name, digest in manifest["sha256"].items():
        if not (folder / name).is_file():
            problems.append(f"{name} is missing")
        elif name not in checked and stages.file_sha256(folder / name) != digest:
            problems.append(f"{name} has another SHA-256 than the manifest says")
    strange = {p.name for p in folder.iterdir()} - set(manifest["sha256"]) - {MANIFEST}
    problems += [f"{name} is not in the manifest" for name in sorted(strange)]
    return problems, len(manifest["sha256"])


def _read(folder, name):
    for end in (".csv", ".csv.gz"):
        if (folder / f"{name}{end}").is_file():
            return results.read_table(folder / f"{name}{end}")
    raise PublishError(f"{folder} holds no {name}.csv or {name}.csv.gz.")


def _compare(name, published: pd.DataFrame, recomputed: pd.DataFrame) -> list[str]:
    if list(published.columns) != list(recomputed.columns) or len(published) != len(recomputed):
        return [
            f"{name}.csv has {len(published)} rows and columns {list(published.columns)}; "
            f"recomputed: {len(recomputed)} and {list(recomputed.columns)}"
        ]
    problems = []
    for column in published:
        for row, (was, now) in enumerate(zip(published[column], recomputed[column], strict=True)):
            if not _same(was, now):
                problems.append(f"{name}.csv, row {row + 1}, {column}: {was}, recomputed {now}")
    return problems


def _same(was, now) -> bool:
    if pd.isna(was) or pd.isna(now):
        return pd.isna(was) and pd.isna(now)
    if isinstance(was, str) or isinstance(now, str):
        return str(was) == str(now)
    return abs(float(was) - float(now)) <= TOLERANCE * max(abs(float(now)), 1e-4)


def _compare_numbers(folder, derived) -> list[str]:
    published = json.loads((folder / NUMBERS).read_text())
    problems = []
    for stage, name, expected in tables.derived_numbers(derived):
        for key, now in expected.items():
            was = published.get(stage, {}).get(name, {}).get(key)
            if was is None or not _same(was, now):
                problems.append(f"{NUMBERS}, {stage}.{name}.{key}: {was}, recomputed {now}")
    return problems


def _copy_stage(study, name, target):
    kept, folder = stages.record(study, name), study.folder / name
    for file in kept["hashes"]:
        path = folder / file
        small_weights = path.suffix == ".npz" and path.stat().st_size < MAX_WEIGHTS_BYTES
        if file.endswith((".csv", ".csv.gz")) or small_weights:
            shutil.copyfile(path, target / path.name)
    for figure, properties in kept["figures"].items():
        if may_publish(study.profile, shows_slices=properties["shows_slices"]):
            shutil.copyfile(folder / "figures" / f"{figure}.png", target / f"{figure}.png")


def _write_numbers(study, target):
    numbers = {}
    for name in stages.NAMES:
        path = study.folder / name / NUMBERS
        if path.exists():
            numbers[name] = json.loads(path.read_text())
    (target / NUMBERS).write_text(json.dumps(numbers, indent=1, sort_keys=True) + "\n")


def _write_manifest(study, target):
    hashes = {p.name: stages.file_sha256(p) for p in sorted(target.iterdir())}
    shown = {p.stem for p in target.glob("*.png")}
    figures = {
        figure: properties
        for name in stages.NAMES
        for figure, properties in stages.record(study, name)["figures"].items()
        if figure in shown
    }
    manifest = {
        "profile": study.profile.as_dict(), "seed": study.seed,
        "source": sources.describe(study.profile),
        "figures": figures, "sha256": hashes,
    }  # fmt: skip
    (target / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")


def _write_notebook(notebook, path):
    nbformat.write(nbformat.from_dict(notebook), path)
