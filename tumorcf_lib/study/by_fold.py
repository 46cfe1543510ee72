"""The networks of notebooks 03 to 05: trained, asked, audited, and examples.

Notebooks have one hold-out split, fold 0; several folds are units of their own, see
:mod:`study.folds`.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from tumorcf_lib.config import CLASSES, NO_TUMOR
from tumorcf_lib.data import cohort as cohorts, split as splits
from tumorcf_lib.edits import audit as audits, plan
from tumorcf_lib.study import made_by, stages, unit

SHOWN_EDITS = ("original", "remove", "sham", "only")


def load_prepared(results) -> cohorts.Cohort:
    """The cohort as the network sees it: inputs and masks of 02 (memory-mapped), table of 01."""
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
    return prepared.subset(pd.Index(prepared.table["slice_id"]).get_indexer(slice_ids))


def parts_of(prepared, rows) -> np.ndarray:
    """Part ("train", "validation", "test") of each prepared slice, from one fold's split rows."""
    part_of = rows.set_index("slice_id")["part"]
    return part_of.loc[prepared.table["slice_id"]].to_numpy(str)


def train(results, prepared, split) -> pd.DataFrame:
    """Train the network of the split; its weights go to ``weights_fold0.npz``.

    Returns
    -------
    DataFrame
        One row per epoch: fold, epoch, loss, accuracy, val_loss, val_accuracy,
        val_person_accuracy, learning_rate, and ``best``: whether this epoch's weights
        were kept.
    """
    profile, seed = results.study.profile, results.study.seed
    depends_on = training_depends(profile, seed, **inputs_of(results))
    folder = results.workspace("fold0", depends_on)
    known = profile, prepared, parts_of(prepared, split), seed, depends_on
    unit.fit(unit.Unit(folder, *known, names={"fold": 0}), folder)
    results.keep_copy(folder / unit.WEIGHTS, weights_name())
    return unit.history_of(folder)


def training_depends(profile, seed, **inputs) -> dict:
    """All that a training's result depends on; ``inputs``: hashes of slices and split."""
    from tumorcf_lib.networks import checkpoint

    settings = profile.as_dict()
    return {
        "settings": {name: settings[name] for name in checkpoint.SETTINGS},
        "seed": seed,
        **inputs,
        "code": made_by.code("training"),
        "packages": made_by.packages(),
    }


def inputs_of(results) -> dict:
    """Hashes of what a stage's trainings see."""
    return {
        "split": results.input_digest("01_data", "split.csv"),
        "inputs": results.input_digest("02_preprocessing", "inputs.npy"),
    }


def predict(results, prepared, *, part: str) -> pd.DataFrame:
    """Probabilities of a part's ("test", "validation") slices, by the network of the split.

    Returns
    -------
    DataFrame
        slice_id, patient_id, person_id, label (class name), fold, p_<class>.
    """
    own, predictor = _asked(results, prepared, part)
    rows = unit.prediction_rows(own, predictor(own.slices, desc=f"predicting {part}"))
    rows.insert(4, "fold", 0)
    return rows


def audit(results, prepared) -> pd.DataFrame:
    """Audit every tested slice; rows as ``audit.audit`` makes them."""
    edits = edits_of(results.study.profile)
    depends_on = depends(results, "audit") | weights_of(results) | {"plan": list(map(repr, edits))}

    def make(_):
        return audit_by(results, prepared, edits, [""])[0]

    return results.make_rows("rows_edits", make, depends_on)


def edits_of(profile):
    """What a network is asked about each tested slice: the headline, shams of the removal's
    energy, and the profile's other infills and dilations with their shams."""
    controls_of = profile.infills, profile.dilations_at_512, profile.size_px
    matched = plan.matched_shams() if profile.matches_energy else ()
    controls = plan.control_edits(*controls_of, profile.n_control_places)
    return *plan.HEADLINE_EDITS, *matched, *controls


def audit_by(results, prepared, edits, networks) -> list:
    """The tested slices' rows of a plan, by the network of each of these kinds."""
    profile = results.study.profile
    how = {"edits": edits, "n_places": profile.n_places, "seed": results.study.seed}
    how |= {"batch_size": profile.predict_batch_size, "progress": True}
    asked = [_asked(results, prepared, "test", network)[::-1] for network in networks]
    return [rows.assign(fold=0) for rows in audits.audit_all(asked, **how)]


def at_percentiles(scores, score: str, percentiles) -> pd.DataFrame:
    """In each class, the slices at these percentiles of a score: examples by rule, not by eye.

    Returns
    -------
    DataFrame
        slice_id, label, percentile and the score; classes in order.
    """
    chosen = []
    for name in CLASSES:
        own = scores[scores["label"] == name].dropna(subset=score).sort_values(score)
        rows = own.iloc[[round((len(own) - 1) * q / 100) for q in percentiles]]
        chosen.append(rows.assign(percentile=percentiles))
    return pd.concat(chosen, ignore_index=True)[["slice_id", "label", "percentile", score]]


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
        made = made.drop_duplicates("edit").set_index("edit", drop=False)  # of shams, the first
        shown = {name: made.loc[name] for name in SHOWN_EDITS if name in made.index}
        outlined = {name: row for name, row in shown.items() if name != "only"}
        example = {
            "images": {name: plan.recreate(slice, mask, row) for name, row in shown.items()},
            "p": {name: row[f"p_{choice['label']}"] for name, row in shown.items()},
            "masks": {name: plan.region_of(mask, row) for name, row in outlined.items()},
            "value": choice.iloc[-1],
        }
        examples.append(example | choice[["label", "percentile"]].to_dict())
    return examples


def depends(results, *kinds) -> dict:
    """All that rows of these kinds depend on but weights, for ``results.make_rows``.

    Kinds are those of :data:`study.made_by.CODE`.
    """
    if results.is_published:
        return {}
    settings = results.study.profile.as_dict()
    unrelated = ("purpose", "n_resamples")
    return {
        "settings": {k: v for k, v in settings.items() if k not in unrelated},
        "seed": results.study.seed,
        **inputs_of(results),
        "masks": results.input_digest("02_preprocessing", "masks.npy"),
        "code": made_by.code(*kinds),
        "packages": made_by.packages(made_by.ALL_PACKAGES),
    }


def weights_of(results) -> dict:
    """Hashes of all weights of 03, for ``results.make_rows``."""
    stage = "03_training"
    if results.is_published:
        return {}
    names = [n for n in stages.record(results.study, stage)["hashes"] if n.startswith("weights_")]
    return {name: results.input_digest(stage, name) for name in names}


def seen_by(n_outputs, own) -> cohorts.Cohort:
    """The slices as a network of so many outputs sees them; the looking one has "no tumor", too."""
    names = (*own.classes, NO_TUMOR)
    return replace(own, classes=names[: max(n_outputs, len(own.classes))])


def weights_name(network="") -> str:
    """File of the split's weights; ``network`` names a fine-tuned copy."""
    return f"weights_{network}_fold0.npz" if network else "weights_fold0.npz"


def _asked(results, prepared, part, network=""):
    """The slices of a part, and the predictor of the network of that kind."""
    from tumorcf_lib.networks import classifier, speed

    profile = results.study.profile
    split = splits.check(results.read("01_data", "split"))
    own = slices_of(prepared, split.loc[split["part"] == part, "slice_id"])
    weights = results.path_in("03_training", weights_name(network))
    model = classifier.load_float16(profile, weights)
    own, model = seen_by(model.output_shape[-1], own), speed.folded(model)
    return own, classifier.as_predictor(model, batch_size=profile.predict_batch_size)
