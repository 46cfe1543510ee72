"""Copy what git may hold of a run to ``figures/<profile>/``, and check it again later.

Published are tables, rows, numbers, statistical plots and the reference weights; never a
picture that shows a patient's slice. Everything derived can be recomputed from the rows.
"""

import json
import runpy
import shutil
from pathlib import Path

import pandas as pd

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.publish import card, crate, texts
from tumorcf_lib.study import (
    calibration,
    leak,
    notebooks,
    pooled,
    progress,
    reference,
    results,
    runtime,
    scratch,
    side_studies,
    stages,
)
from tumorcf_lib.study.side_studies import COHORT_COLUMN, MANIFEST
from tumorcf_lib.tables import derived

EVIDENCE = "evidence"  # the notebook that shows studies without notebooks
DEMO = "demo"  # the profile whose run is what readers see in the notebooks
NUMBERS = "numbers.json"
ROW_TOLERANCE = 1e-3
MAX_WEIGHTS_BYTES = 10_000_000
SIDE_STUDIES = {module.STUDY.name: module for module in (calibration, pooled, leak, scratch)}
"""Studies without notebooks, by the name of their folders."""

TOLERANCE = 1.5 * 10 ** -(rowfiles.SIGNIFICANT_DIGITS - 1)  # relative; covers the last digit


class PublishError(RuntimeError):
    """A run that cannot be published, or published files that do not hold."""


def publish(profile_name: str, *, seed: int = 0, from_rows: bool = False) -> Path:
    """Replace ``figures/<profile>/`` by what git may hold of the finished run.

    Also of a study without notebooks. With ``from_rows``, from the published rows, without a run.
    """
    if profile_name in SIDE_STUDIES:
        study = SIDE_STUDIES[profile_name]
        if from_rows:
            target = study.STUDY.derive_again()
        else:
            target = study.publish(config.run(profile_name), seed=seed)
        if all((config.published(name) / MANIFEST).is_file() for name in SIDE_STUDIES):
            demo = runtime.Study(config.get(DEMO), 0, config.run(DEMO))
            notebooks.run_guide(demo, EVIDENCE)
            _publish_notebook(demo, EVIDENCE)
        _update_pages()
        print(f"Published {sum(1 for _ in target.iterdir())} files: {config.shown(target)}")
        return target
    profile = config.get(profile_name)
    if from_rows:
        from tumorcf_lib.publish import from_rows as renewing  # draws, which verify need not

        target = renewing.renew(config.published(profile.name))
        _update_pages()
        return target
    if profile.name == "smoke":
        raise PublishError("The smoke profile only tests that everything runs: not for publishing.")
    study = runtime.Study(profile, seed, config.run(profile.name))
    for name in stages.NAMES:
        reason = stages.why_stale(study, name)
        if reason:
            raise PublishError(f"{name} of profile {profile.name!r} is not up to date: {reason}.")
    if reference.is_installed(study):
        raise PublishError(
            f"03_training of profile {profile.name!r} is the published weights, not a training; "
            "publish a run that trained."
        )
    missing = [n for n in stages.NAMES if not notebooks.is_executed(study, n)]
    if missing:
        raise PublishError(f"{missing} were run outside ./run_all.sh since; run it once more.")
    if profile.name == DEMO:
        for name in stages.GUIDES:
            notebooks.run_guide(study, name)
    from tumorcf_lib.publish import from_rows as drawing

    target = config.published(profile.name)
    with steps.being_filled(target) as new:
        for name in stages.NAMES:
            _copy_stage(study, name, new)
        drawn = drawing.draw(new, study.tag)
        _write_numbers(study, new)
        shutil.copyfile(study.folder / notebooks.MINUTES, new / notebooks.MINUTES)
        source = runtime.describe(profile)
        card.write(new, profile.as_dict(), study.seed, source)
        _write_manifest(study, new, source, drawn)
    for name in (*stages.NAMES, *(stages.GUIDES if profile.name == DEMO else ())):
        _publish_notebook(study, name)
    edits = config.ROOT / "docs" / "make_edits.py"  # the website's page to edit a slice on
    if profile.name == DEMO and edits.is_file():
        runpy.run_path(str(edits), run_name="__main__")
    _update_pages()
    print(f"Published {sum(1 for _ in target.iterdir())} files: {config.shown(target)}")
    return target


def _update_pages():
    """README, the notebooks' openings, the gallery of figures, and what the folders are."""
    from tumorcf_lib.publish import gallery, openings  # draws, which verify need not

    texts.update()
    openings.update()
    gallery.write(SIDE_STUDIES)
    crate.write()


def may_publish(profile: config.Profile, *, shows_slices: bool) -> bool:
    """Whether a figure may enter git: a patient's slice never does.

    >>> may_publish(config.get("paper-lite"), shows_slices=True)
    False
    >>> may_publish(config.get("demo"), shows_slices=True)
    True
    """
    return profile.is_phantom or not shows_slices


def verify_all(folders) -> int:
    """Verify published folders, print a line for each, return 1 if one does not hold."""
    folders = [Path(f) for f in folders] or sorted(
        p.parent
        for p in config.FIGURES.glob(f"*/{MANIFEST}")
        if not p.parent.name.startswith(steps.UNFINISHED)
    )
    if not folders:
        raise PublishError("Nothing is published yet under figures/.")
    n_bad = 0
    for folder in folders:
        try:
            with progress.clock(f"verifying {folder.name}"):
                problems, n_checked = verify(folder)
        except (PublishError, FileNotFoundError) as error:
            problems, n_checked = [str(error)], 0
        n_bad += bool(problems)
        told = [f"{folder.name}: {n_checked} files checked, {len(problems)} problems", *problems]
        print("\n  ".join(told), flush=True)
    return int(n_bad > 0)


def verify(folder: Path) -> tuple[list[str], int]:
    """Problems (file and cell, expected and found), and the number of files that were checked.

    Every derived table and number is recomputed from the published rows; all other files must
    have the SHA-256 of the manifest. No images, network or TensorFlow are needed.
    """
    if not (folder / MANIFEST).is_file():
        raise PublishError(f"{folder} holds no {MANIFEST}; name a folder under figures/.")
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    side = SIDE_STUDIES.get(manifest.get("study"))
    problems, recomputed = (side.STUDY.verify if side else _verify)(folder, _compare)
    for name, digest in manifest["sha256"].items():
        if not (folder / name).is_file():
            problems.append(f"{name} is missing")
        elif name not in recomputed and steps.file_sha256(folder / name) != digest:
            problems.append(f"{name} has another SHA-256 than the manifest says")
    strange = {p.name for p in folder.iterdir()} - set(manifest["sha256"]) - {MANIFEST}
    problems += [f"{name} is not in the manifest" for name in sorted(strange)]
    return problems, len(manifest["sha256"])


def _verify(folder, compare):
    """Problems of a study's tables, numbers and rows, and the files compared by content."""
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    read = side_studies.reader(folder)
    made = derived.derive(read, manifest["profile"]["n_resamples"])
    problems = []
    for name, table in made.items():
        problems += compare(name, read(name), rowfiles.round_trip(table))
    problems += _compare_numbers(folder, made)
    problems += _compare_rows(read("rows_predictions"), read("rows_edits"))
    problems += card.problems(folder)
    return problems, {f"{name}.csv" for name in made}


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


def _compare_rows(predictions, edits) -> list[str]:
    """The audit's unedited slices have to be the evaluation's slices, with its probabilities."""
    columns = [name for name in predictions if name.startswith("p_")]
    original = edits[edits["edit"] == "original"].set_index("slice_id")[columns]
    gaps = (predictions.set_index("slice_id")[columns] - original).abs().max(axis=1)
    # Slices meet other neighbors in a batch, which moves the last digits of a float32 sum.
    return [
        f"rows_edits and rows_predictions differ for slice {slice_id} by {gap:.2g}"
        for slice_id, gap in gaps.items()
        if not gap <= ROW_TOLERANCE
    ]


def _compare_numbers(folder, made) -> list[str]:
    published = json.loads((folder / NUMBERS).read_text(encoding="utf-8"))
    problems = []
    for stage, name, expected in derived.numbers(made):
        for key, now in expected.items():
            was = published.get(stage, {}).get(name, {}).get(key)
            if was is None or not _same(was, now):
                problems.append(f"{NUMBERS}, {stage}.{name}.{key}: {was}, recomputed {now}")
    return problems


def _copy_stage(study, name, target):
    kept, folder = stages.record(study, name), study.folder / name
    for file in kept["hashes"]:
        path = folder / file
        if file.endswith((".csv", ".csv.gz")) or _is_reference_weights(study, path):
            shutil.copyfile(path, target / path.name)
        if study.profile.is_phantom and path.suffix == ".csv":
            marked = rowfiles.read_table(path).assign(**{COHORT_COLUMN: "phantom"})
            rowfiles.write_table(marked, target / path.name)
    for figure, properties in kept["figures"].items():
        if may_publish(study.profile, shows_slices=properties["shows_slices"]):
            for end in results.FIGURE_FORMATS:
                shutil.copyfile(folder / "figures" / f"{figure}{end}", target / f"{figure}{end}")


def _is_reference_weights(study, path):
    """Networks of one split that are small enough for git. Of a phantom the plain one, which
    notebooks ask; of patients all three, with which notebooks 04 to 06 need no training."""
    wanted = "weights_fold*.npz" if study.profile.is_phantom else "weights_*.npz"
    small = path.stat().st_size < MAX_WEIGHTS_BYTES
    return study.profile.n_folds == 1 and path.match(wanted) and small


def _write_numbers(study, target):
    numbers = {}
    for name in stages.NAMES:
        if NUMBERS in stages.record(study, name)["hashes"]:
            numbers[name] = json.loads((study.folder / name / NUMBERS).read_text(encoding="utf-8"))
    text = json.dumps(numbers, indent=1, sort_keys=True) + "\n"
    (target / NUMBERS).write_text(text, encoding="utf-8")


def _write_manifest(study, target, source, drawn):
    hashes = {p.name: steps.file_sha256(p) for p in sorted(target.iterdir())}
    shown = {p.stem for p in target.glob("*.png")}
    figures = {
        figure: properties
        for name in stages.NAMES
        for figure, properties in stages.record(study, name)["figures"].items()
        if figure in shown
    } | {figure: {"shows_slices": False} for figure in drawn}
    manifest = {
        "profile": study.profile.as_dict(),
        "seed": study.seed,
        "source": source,
        "figures": figures,
        "sha256": hashes,
    }
    (target / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _publish_notebook(study, name):
    """Renew a committed notebook's minutes and, from the demo run, its outputs."""
    from tumorcf_lib.publish import openings  # figures and nbformat, which verify need not

    path = config.NOTEBOOKS / f"{name}.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    if study.profile.name == DEMO:
        executed = notebooks.executed_copy(study, name).read_text(encoding="utf-8")
        notebook = openings.with_outputs(notebook, json.loads(executed))
    openings.write_notebook(path, openings.with_opening(notebook, name))
