"""The published weights in place of a training: notebooks 04 to 06 without 03.

``figures/<profile>/`` holds the networks of the run whose tables are published. Where 03 was
never run they can stand in for it: the same networks, without the minutes of a training. A
network must never be tested on persons that it learned from, so they are taken only where notebook
01 drew the very split that they were trained with.
"""

import json

import numpy as np

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.config import CLASSES, Profile
from tumorcf_lib.study import by_fold, results, stages

STAGE = "03_training"
NETWORKS = ("", "hardened", "looking")
"""Kinds of network that the later notebooks read, as ``by_fold.weights_name`` names them."""

HISTORIES = ("history.csv", "history_finetune.csv")
NOTE = "reference.json"
"""Among the files of a stage 03 that was not trained, and only there."""

LATER_SETTINGS = (
    "name purpose n_places matches_energy n_control_places infills dilations_at_512 probe_size_px "
    "probe_epochs n_resamples predict_batch_size"
).split()
"""Settings of a profile that do not change its networks; all others have to agree."""

TOLERANCE = 1e-3
"""Largest difference of a probability from its published row. Another processor rounds sums in
another order; GPUs that multiply in TensorFloat-32 come closest to it."""

ROWS = {
    "04_evaluation": ("rows_predictions", "rows_validation"),
    "05_counterfactuals": ("rows_edits", "rows_networks"),
}
KEYS = ("fold", "network", "slice_id", "edit", "infill", "dilation_px", "place")


def why_not(study) -> str | None:
    """Why the published weights cannot stand in for this study's 03, in words; None if they can.

    Says nothing of the split, which :func:`install` checks.
    """
    published = config.published(study.profile.name)
    shown = config.shown(published)
    if not (published / "manifest.json").is_file():
        return f"{shown} holds no published run"
    manifest = steps.read_json(published / "manifest.json")
    own, theirs = _settings(study.profile), _settings(Profile(**manifest["profile"]))
    theirs["seed"] = manifest["seed"]
    for name, value in (own | {"seed": study.seed}).items():
        if name not in LATER_SETTINGS and theirs[name] != value:
            return f"they were trained with {name} {theirs[name]!r}, not {value!r}"
    files = ("split.csv", "numbers.json", *HISTORIES, *_weights())
    changed = steps.why_foreign(published, {name: manifest["sha256"].get(name) for name in files})
    return changed and f"of {shown}, {changed}"


def wanted(study, names) -> bool:
    """Whether these notebooks need networks that nobody began to train here and that are published.

    ``names`` are the notebooks to be run."""
    needed = STAGE not in names and any(STAGE in stages.NEEDS[name] for name in names)
    if not needed or stages.why_stale(study, STAGE) is None:
        return False
    own_folder = study.folder / STAGE
    was_begun = (own_folder / steps.RECORD).exists() or any(own_folder.glob("fold*"))
    return (not was_begun or is_installed(study)) and why_not(study) is None


def is_installed(study) -> bool:
    """Whether this study's 03 is the published weights, not a training."""
    record = study.folder / STAGE / steps.RECORD
    return record.is_file() and NOTE in stages.record(study, STAGE)["hashes"]


def install(study) -> None:
    """Make the published weights, which :func:`why_not` lets pass, this study's stage 03.

    Writes weights, histories and numbers as 03 does, and a note that says where they are from.
    StageError if 01 or 02 is not up to date, or made another split."""
    published = config.published(study.profile.name)
    manifest = steps.read_json(published / "manifest.json")
    stage = results.open_stage(study, STAGE)
    check_split(stage.path_in("01_data", "split.csv"), published)
    for name in (*_weights(), *HISTORIES):
        stage.keep_copy(published / name, name)
    for name, entry in steps.read_json(published / "numbers.json")[STAGE].items():
        stage.save_number(name, **entry)
    note = {
        "note": "published weights, not trained here",
        "from": config.shown(published),
        "source": manifest["source"],
        "sha256": {n: manifest["sha256"][n] for n in _weights()},
    }
    steps.write_json(stage.folder / NOTE, note)
    stage.keep(stage.folder / NOTE)
    stage.finish()


def check_split(path, published) -> None:
    """Refuse a run's ``split.csv`` that is not the one the published weights were trained with:
    a StageError says how many of the tested persons the networks have seen."""
    if steps.file_sha256(path) == steps.file_sha256(published / "split.csv"):
        return
    own, theirs = rowfiles.read_table(path), rowfiles.read_table(published / "split.csv")
    tested = set(own.loc[own["part"] == "test", "person_id"])
    seen = tested & set(theirs.loc[theirs["part"] != "test", "person_id"])
    raise stages.StageError(
        f"Expected the split that the published weights were trained with, "
        f"{config.shown(published / 'split.csv')}, got another in {config.shown(path)}: the "
        f"networks learned from, or were chosen by, {len(seen)} of its {len(tested)} tested "
        "patients. A network must not be tested on patients it has seen. Use the dataset and the "
        "version of the code that they were published with, or train: run from 03 on."
    )


def compared(study) -> list[str]:
    """How far this study's rows are from the published ones, whose networks they share: a
    sentence a file that both have."""
    published, told = config.published(study.profile.name), []
    for stage, names in ROWS.items():
        for name in names:
            files = [folder / f"{name}.csv.gz" for folder in (study.folder / stage, published)]
            if stages.why_stale(study, stage) is None and all(file.is_file() for file in files):
                told.append(f"{name}: {in_words(*largest_gap(*map(rowfiles.read_table, files)))}")
    return told


def largest_gap(own, theirs) -> tuple[int, int, float]:
    """Rows of two tables that are in both, in one only, and the largest difference: infinite where
    an edit could be made in one run only.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"slice_id": [1, 2], **{f"p_{name}": [0.5, 0.2] for name in CLASSES}})
    >>> largest_gap(rows, rows.assign(p_glioma=[0.5, 0.3]).head(1))
    (1, 1, 0.0)
    """
    keys = [name for name in KEYS if name in own and name in theirs]
    p = [f"p_{name}" for name in CLASSES]
    own, theirs = own.set_index(keys)[p], theirs.set_index(keys)[p]
    shared = own.index.intersection(theirs.index)
    a, b = own.loc[shared], theirs.loc[shared]
    gap = (a - b).abs().where(a.notna() | b.notna(), 0.0).fillna(np.inf).to_numpy()
    return len(shared), len(own) + len(theirs) - 2 * len(shared), float(gap.max(initial=0))


def in_words(n, n_unmatched, largest) -> str:
    """A :func:`largest_gap` as a sentence, and what may be why."""
    why = " Other slices, another plan of edits, or another kind of processor may be why."
    return (
        f"{n} rows are in both runs, {n_unmatched} in one only; probabilities differ by at most "
        f"{largest:.2g} (tolerance {TOLERANCE:g}).{why * (n_unmatched > 0 or largest > TOLERANCE)}"
    )


def _weights():
    return [by_fold.weights_name(network) for network in NETWORKS]


def _settings(profile):
    """A profile's settings as JSON has them: lists for tuples."""
    return json.loads(json.dumps(profile.as_dict()))
