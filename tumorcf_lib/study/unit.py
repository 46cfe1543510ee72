"""The study's work on every fold: train its network, predict with it, audit it."""

import shutil
import sys

import numpy as np
import pandas as pd

from tumorcf_lib import steps
from tumorcf_lib.config import CLASSES
from tumorcf_lib.data import cohort as cohorts
from tumorcf_lib.data import split as splits
from tumorcf_lib.edits import audit as audits
from tumorcf_lib.edits import plan
from tumorcf_lib.networks import memory
from tumorcf_lib.study import made_by, stages
from tumorcf_lib.study import results as results_of

OUTLINED_EDITS = ("original", "remove", "sham")
SHOWN_EDITS = ("original", "remove", "sham", "only")


def load_prepared(results) -> cohorts.Cohort:
    """The cohort as the network sees it: inputs and masks of 02, table of 01.

    Returns
    -------
    Cohort
        Slices float32 (n, size, size) and masks bool, both memory-mapped.
    """
    table = results.read("01_data", "slices")
    table["label"] = pd.Index(CLASSES).get_indexer(table["label"])
    return cohorts.Cohort(
        name=results.study.profile.cohort,
        slices=results.read_array("02_preprocessing", "inputs"),
        masks=results.read_array("02_preprocessing", "masks"),
        table=table,
        classes=CLASSES,
        source=results.study.tag,
    )


def slices_of(prepared, slice_ids) -> cohorts.Cohort:
    """The slices of these IDs, in this order."""
    positions = pd.Index(prepared.table["slice_id"]).get_indexer(slice_ids)
    return prepared.subset(positions)


def parts_of(prepared, rows) -> np.ndarray:
    """Part ("train", "validation", "test") of each prepared slice, from one fold's split rows."""
    part_of = rows.set_index("slice_id")["part"]
    return part_of.loc[prepared.table["slice_id"]].to_numpy(str)


def train(results, prepared, split) -> pd.DataFrame:
    """Train one network a fold and keep its weights as ``weights_fold<k>.npz``.

    A killed training goes on after its last finished epoch, and a finished one is not
    repeated, as long as recipe, code, inputs, split and seed are the same.

    Returns
    -------
    DataFrame
        One row per fold and epoch: fold, epoch, loss, accuracy, val_loss, val_accuracy,
        val_person_accuracy, learning_rate, and ``best``: whether this epoch's weights
        were kept.
    """
    histories = []
    for fold, rows in split.groupby("fold"):
        seed = results.study.seed + int(fold)
        folder = results.workspace(f"fold{fold}", training_depends(results, seed))
        parts = parts_of(prepared, rows)
        if not (folder / "weights.npz").exists():
            _train_one(results.study.profile, prepared, parts, seed, folder)
            memory.forget_networks()
        shutil.copyfile(folder / "weights.npz", results.folder / weights_name(fold))
        results.keep(results.folder / weights_name(fold))
        history = pd.read_csv(folder / "history.csv").assign(fold=fold)
        results_of.note_seconds(folder, history["seconds"].sum())
        histories.append(history)
    history = pd.concat(histories, ignore_index=True)
    # Seconds differ from run to run; what is hashed and published must not.
    return history[["fold", *history.columns.drop(["fold", "seconds"])]]


def _train_one(profile, prepared, parts, seed, folder):
    from tumorcf_lib.networks import classifier, training

    model = classifier.build(profile, seed=seed)
    done = training.train(
        model, profile, prepared.slices, prepared.labels, prepared.persons, parts,
        seed=seed, folder=folder,
    )  # fmt: skip
    steps.write_whole(folder / "history.csv", done.marked_history.to_csv(index=False))
    classifier.save_float16(done.model, folder / "weights.npz", max_bytes=sys.maxsize)
    steps.forget_checkpoints(folder)


def training_depends(results, seed) -> dict:
    """All that a training's result depends on."""
    from tumorcf_lib.networks import checkpoint

    settings = results.study.profile.as_dict()
    return {
        "settings": {name: settings[name] for name in checkpoint.SETTINGS},
        "seed": seed,
        "split": results.input_digest("01_data", "split.csv"),
        "inputs": results.input_digest("02_preprocessing", "inputs.npy"),
        "code": made_by.code("training"),
        "packages": made_by.packages(),
    }


def predict(results, prepared, *, part: str) -> pd.DataFrame:
    """Probabilities of every slice of a part, by the network of the fold it belongs to.

    Parameters
    ----------
    part : {"test", "validation"}

    Returns
    -------
    DataFrame
        slice_id, patient_id, person_id, label (class name), fold, p_<class>.
    """
    parts = []
    for fold, own, predictor in _each_fold(results, prepared, part):
        table = prediction_rows(own, predictor(own.slices, desc=f"predicting {part}"))
        table.insert(4, "fold", fold)
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def prediction_rows(own, probabilities) -> pd.DataFrame:
    """Rows of some slices: slice_id, patient_id, person_id, label (class name), p_<class>.

    Parameters
    ----------
    own : Cohort
        Of the study's three classes.
    probabilities : ndarray, shape (n, 3)
    """
    table = own.table[["slice_id", "patient_id", "person_id"]].copy()
    table["label"] = np.array(CLASSES)[own.labels]
    table[[f"p_{name}" for name in CLASSES]] = probabilities
    return table


def audit(results, prepared) -> pd.DataFrame:
    """Audit every tested slice by the network of its fold; rows as ``audit.audit`` makes them.

    Headline edits with the profile's ``n_places`` shams, then every other infill and every
    other dilation with ``n_control_places``.
    """
    profile = results.study.profile
    edits = plan.HEADLINE_EDITS + plan.control_edits(
        profile.infills, profile.dilations_at_512, profile.size_px, profile.n_control_places
    )
    depends_on = depends(results, "audit") | weights_of(results) | {"plan": list(map(repr, edits))}
    return results.make_rows("rows_edits", lambda _: audit_by(results, prepared, edits), depends_on)


def audit_by(results, prepared, edits, *, network="") -> pd.DataFrame:
    """The tested slices' rows of a plan, by each fold's network of that kind."""
    profile = results.study.profile
    parts = [
        audits.audit(
            predictor, own, edits=edits, n_places=profile.n_places, seed=results.study.seed,
            batch_size=profile.predict_batch_size, progress=True,
        ).assign(fold=fold)
        for fold, own, predictor in _each_fold(results, prepared, "test", network)
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def at_percentiles(scores, score: str, percentiles) -> pd.DataFrame:
    """In each class, the slices at these percentiles of a score: examples by rule, not by eye.

    Returns
    -------
    DataFrame
        slice_id, label, percentile and the score; classes in order.
    """
    chosen = []
    for name in CLASSES:
        own = scores[(scores["label"] == name) & scores[score].notna()].sort_values(score)
        for q in percentiles:
            row = own.iloc[round((len(own) - 1) * q / 100)]
            chosen.append(
                {"slice_id": row["slice_id"], "label": name, "percentile": q, score: row[score]}
            )
    return pd.DataFrame(chosen)


def example_edits(prepared, rows, chosen) -> list[dict]:
    """Pictures, probabilities and outlines of some slices' edits, for ``figures``.

    Parameters
    ----------
    rows : DataFrame
        The audit's rows.
    chosen : DataFrame
        From :func:`at_percentiles`.
    """
    examples = []
    for _, choice in chosen.iterrows():
        own = slices_of(prepared, [choice["slice_id"]])
        slice, mask = np.asarray(own.slices[0]), np.asarray(own.masks[0])
        made = rows[(rows["slice_id"] == choice["slice_id"]) & (rows["reason"] == "")]
        made = made.drop_duplicates("edit").set_index("edit")  # of shams, the first
        example = {
            "label": choice["label"],
            "images": {},
            "p": {},
            "masks": {},
        }
        for edit in (name for name in SHOWN_EDITS if name in made.index):
            row = made.loc[edit].copy()
            row["edit"] = edit
            example["images"][edit] = plan.recreate(slice, mask, row)
            example["p"][edit] = row[f"p_{choice['label']}"]
            if edit in OUTLINED_EDITS:
                example["masks"][edit] = plan.region_of(mask, row)
        examples.append(example)
    return examples


def depends(results, *kinds) -> dict:
    """All that rows of these kinds depend on but weights, for ``results.make_rows``.

    Kinds are those of :data:`study.made_by.CODE`.
    """
    settings = results.study.profile.as_dict()
    unrelated = ("purpose", "n_resamples")
    return {
        "settings": {k: v for k, v in settings.items() if k not in unrelated},
        "seed": results.study.seed,
        "split": results.input_digest("01_data", "split.csv"),
        "inputs": results.input_digest("02_preprocessing", "inputs.npy"),
        "masks": results.input_digest("02_preprocessing", "masks.npy"),
        "code": made_by.code(*kinds),
        "packages": made_by.packages(made_by.ALL_PACKAGES),
    }


def weights_of(results) -> dict:
    """Hashes of all weights of 03, for ``results.make_rows``."""
    stage = "03_training"
    names = [n for n in stages.record(results.study, stage)["hashes"] if n.startswith("weights_")]
    return {name: results.input_digest(stage, name) for name in names}


def weights_name(fold, network="") -> str:
    """File of a fold's weights; ``network`` names a fine-tuned copy."""
    return f"weights_{network}_fold{fold}.npz" if network else f"weights_fold{fold}.npz"


def _each_fold(results, prepared, part, network=""):
    """Fold, the slices of its part, and the predictor of its network of that kind."""
    from tumorcf_lib.networks import classifier, speed

    profile = results.study.profile
    split = splits.check(results.read("01_data", "split"))
    for fold, rows in split.groupby("fold"):
        own = slices_of(prepared, rows.loc[rows["part"] == part, "slice_id"])
        weights = results.path_in("03_training", weights_name(fold, network))
        model = speed.folded(classifier.load_float16(profile, weights))
        yield fold, own, classifier.as_predictor(model, batch_size=profile.predict_batch_size)
