"""Copy what git may hold of a run to ``figures/<profile>/``, and check it again later.

Published are tables, rows, numbers, statistical plots and the reference weights; never a
picture that shows a patient's slice. Everything derived can be recomputed from the rows.
"""

import runpy
import shutil
import tempfile
import zlib
from pathlib import Path

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.publish import PublishError, card, texts
from tumorcf_lib.publish.card import NUMBERS
from tumorcf_lib.publish.from_rows import SIDE_STUDIES, finish, renew, write_gallery
from tumorcf_lib.study import (
    notebooks,
    pooled,
    progress,
    reference,
    results,
    runtime,
    side_studies,
    stages,
)
from tumorcf_lib.study.side_studies import COHORT_COLUMN, MANIFEST
from tumorcf_lib.tables import derived, study as study_tables

EVIDENCE = "evidence"  # the notebook that shows studies without notebooks
READ_OUT = (*stages.NAMES[2:], "controls", EVIDENCE)  # show published rows where nothing was run
DEMO = "demo"  # the profile whose run is what readers see in the notebooks
MAX_WEIGHTS_BYTES = 10_000_000
DAMAGED = (PublishError, OSError, EOFError, ValueError, TypeError, LookupError, zlib.error)
"""What reading a file raises that was cut off or edited, or what is made of it."""


def publish(profile_name: str, *, seed: int = 0, from_rows: bool = False) -> Path:
    """Replace ``figures/<profile>/`` by what git may hold of the finished run.

    Also of a study without notebooks. With ``from_rows``, from the published rows, without a run.
    """
    if side := SIDE_STUDIES.get(profile_name):
        publish_run = pooled.publish if side is pooled.STUDY else side.publish
        folder = config.run(profile_name)
        target = side.derive_again() if from_rows else publish_run(folder, seed=seed)
    elif from_rows:
        target = renew(config.published(config.get(profile_name).name))
    else:
        target = _publish_run(config.get(profile_name), seed)
    _update_pages()
    print(f"Published {sum(1 for _ in target.iterdir())} files: {config.shown(target)}")
    return target


def _publish_run(profile, seed):
    """Replace the published folder of a run with notebooks."""
    if profile.name.startswith("smoke"):
        words = "only tests that everything runs: not for publishing."
        raise PublishError(f"Profile {profile.name!r} {words}")
    study = runtime.Study(profile, seed, config.run(profile.name))
    for name in stages.NAMES:
        if reason := stages.why_stale(study, name):
            raise PublishError(f"{name} of profile {profile.name!r} is not up to date: {reason}.")
    if reference.is_installed(study):
        raise PublishError(
            f"03_training of profile {profile.name!r} is the published weights, not a training; "
            "publish a run that trained."
        )
    if missing := [name for name in stages.NAMES if not notebooks.is_executed(study, name)]:
        raise PublishError(f"{missing} were run outside ./run_all.sh since; run it once more.")
    guides = stages.GUIDES if profile.name == DEMO else ()
    for name in guides:
        notebooks.run_guide(study, name)
    target = config.published(profile.name)
    with steps.being_filled(target) as new:
        numbers, figures = {}, {}
        for name in stages.NAMES:
            kept = _copy_stage(study, name, new)
            figures |= kept["figures"]
            if NUMBERS in kept["hashes"]:
                numbers[name] = steps.read_json(study.folder / name / NUMBERS)
        steps.write_json(new / NUMBERS, numbers, sort_keys=True)
        shutil.copyfile(study.folder / notebooks.MINUTES, new / notebooks.MINUTES)
        told = {"profile": profile.as_dict(), "seed": study.seed}
        finish(new, told | {"source": runtime.describe(profile), "figures": figures}, study.tag)
    if profile.name == DEMO:  # its outputs, and the website's page to edit a slice on
        for name in (*stages.NAMES, *guides):
            _publish_outputs(study, name)
        runpy.run_path(str(config.ROOT / "docs" / "make_edits.py"), run_name="__main__")
    return target


def _update_pages():
    """README, notebooks that read out what is published, the gallery, and what the folders are."""
    needed = (*SIDE_STUDIES, DEMO, study_tables.REFERENCE)
    if all((config.published(name) / MANIFEST).is_file() for name in needed):
        with tempfile.TemporaryDirectory() as place:
            demo = runtime.Study(config.get(DEMO), 0, Path(place, DEMO))
            for name in READ_OUT:
                notebooks.run_guide(demo, name)
                _publish_outputs(demo, name)
    texts.update()
    write_gallery()
    card.write_crate()


def verify_all(folders) -> int:
    """Verify published folders, print a line for each, return 1 if one does not hold."""
    folders = [Path(folder) for folder in folders] or side_studies.published_folders()
    if not folders:
        raise PublishError("Nothing is published yet under figures/.")
    n_bad = 0
    for folder in folders:
        try:
            with progress.clock(f"verifying {folder.name}"):
                problems, n_checked = verify(folder)
        except PublishError as error:
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
    try:
        manifest = steps.read_json(folder / MANIFEST)
    except (OSError, ValueError):
        words = f"holds no {MANIFEST} that can be read; name a folder under figures/."
        raise PublishError(f"{config.shown(folder)} {words}") from None
    try:
        problems, tables = _recomputed(folder, SIDE_STUDIES.get(manifest.get("study")))
    except DAMAGED as error:  # the file is named below
        words = f"its tables cannot be recomputed: {type(error).__name__}: {error}"
        problems, tables = [words], {}
    for name, digest in manifest["sha256"].items():
        if not (folder / name).is_file():
            problems.append(f"{name} is missing")
        elif name.removesuffix(".csv") not in tables and steps.file_sha256(folder / name) != digest:
            problems.append(f"{name} has another SHA-256 than the manifest says")
    strange = {p.name for p in folder.iterdir()} - set(manifest["sha256"]) - {MANIFEST}
    problems += [f"{name} is not in the manifest" for name in sorted(strange)]
    return problems, len(manifest["sha256"])


def _recomputed(folder, side):
    """What differs from what the published rows give, and the tables by name."""
    problems, tables = side_studies.wrong_tables(folder, side.derive if side else derived.derive)
    if not side:
        read = side_studies.reader(folder)
        problems += _compare_numbers(folder, tables)
        problems += _compare_rows(read("rows_predictions"), read("rows_edits"))
        problems += card.problems(folder)
    return problems, tables


def _compare_rows(predictions, edits) -> list[str]:
    """The audit's unedited slices have to be the evaluation's slices, with its probabilities."""
    columns = [name for name in predictions if name.startswith("p_")]
    original = edits[edits["edit"] == "original"].set_index("slice_id")[columns]
    gaps = (predictions.set_index("slice_id")[columns] - original).abs().max(axis=1)
    # Slices meet other neighbors in a batch, which moves the last digits of a float32 sum.
    wrong = gaps[~(gaps <= reference.TOLERANCE)]
    words = "rows_edits and rows_predictions differ for slice"
    return [f"{words} {slice_id} by {gap:.2g}" for slice_id, gap in wrong.items()]


def _compare_numbers(folder, made) -> list[str]:
    published, problems = steps.read_json(folder / NUMBERS), []
    for stage, name, expected in derived.numbers(made):
        kept = published.get(stage, {}).get(name, {})
        for key, now in expected.items():
            if key not in kept or not side_studies.same(kept[key], now):
                words = f"{NUMBERS}, {stage}.{name}.{key}: {kept.get(key)}"
                problems.append(f"{words}, recomputed {now}")
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
        if study.profile.is_phantom or not properties["shows_slices"]:  # a patient's never
            for end in results.FIGURE_FORMATS:
                shutil.copyfile(folder / "figures" / f"{figure}{end}", target / f"{figure}{end}")
    return kept


def _is_reference_weights(study, path):
    """Networks that are small enough for git. Of a phantom the plain one, which notebooks ask; of
    patients all three, with which notebooks 04 to 06 need no training."""
    wanted = "weights_fold*.npz" if study.profile.is_phantom else "weights_*.npz"
    return path.match(wanted) and path.stat().st_size < MAX_WEIGHTS_BYTES


def _publish_outputs(study, name):
    """Take a committed notebook's outputs from the demo run."""
    path = config.NOTEBOOKS / f"{name}.ipynb"
    executed = steps.read_json(notebooks.executed_copy(study, name))
    texts.write_notebook(path, texts.with_outputs(steps.read_json(path), executed))
