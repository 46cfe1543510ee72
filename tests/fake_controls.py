"""Made-up row files of every control, in miniature: what ``derived.derive`` reads."""

import numpy as np
import pandas as pd

from tumorcf_lib.config import CLASSES
from tumorcf_lib.edits import infills, plan
from tumorcf_lib.edits.scores import class_log_odds
from tumorcf_lib.stats.classification import apply_temperature

INFILLS = ("telea", "mirror")
DILATIONS_PX = (4,)
N_PLACES = 2
P = [f"p_{name}" for name in CLASSES]
PLANES = ("axial", "coronal", "sagittal")
PROBES = "original background remove silhouette mask plane intensity place area".split()


def predictions(seed=1, n_slices=72):
    """Rows of an evaluation: two slices a person, every fourth person from the MR... site."""
    rng = np.random.default_rng(seed)
    label = np.arange(n_slices) % 3
    rows = pd.DataFrame({"slice_id": np.arange(n_slices)})
    person = np.arange(n_slices) % (n_slices // 2)
    rows["patient_id"] = [f"MR{i}" if i // 3 % 4 == 0 else f"{i}" for i in person]
    rows["person_id"] = rows["patient_id"]
    rows["label"] = np.array(CLASSES)[label]
    rows["fold"] = 0
    rows[P] = _probabilities(rows, 0.7, rng)
    return rows


def edits(predictions, seed=2):
    """An audit's rows: the headline, two other infills, two other dilations.

    Untouched slices have the predictions' probabilities; one class has no place for its last
    slice's shams.
    """
    control = plan.control_edits(INFILLS, (), 224, N_PLACES)
    removals = [
        plan.Edit(name, infills.HEADLINE_INFILL, dilation_px, n_places=N_PLACES)
        for dilation_px in DILATIONS_PX
        for name in ("remove", "sham")
    ]
    rows = _audited(predictions, (*plan.HEADLINE_EDITS, *control, *removals), seed)
    last = (rows["slice_id"] == rows["slice_id"].max()) & rows["edit"].isin(("sham", "sham_only"))
    numbers = ["depth_px", "edit_rms", *P, "log_odds"]
    rows.loc[last, numbers] = np.nan
    rows.loc[last, ["place", "n_pixels"]] = -1, 0
    rows.loc[last, "reason"] = "no legal place"
    return rows.drop_duplicates(
        ["slice_id", "edit", "place", "infill", "dilation_px"], ignore_index=True
    )


def networks(predictions, seed=3):
    """The audits of two further networks."""
    chosen = plan.network_edits(INFILLS, N_PLACES)
    parts = [
        _audited(predictions, chosen, seed + k).assign(network=name)
        for k, name in enumerate(("hardened", "looking"))
    ]
    return pd.concat(parts, ignore_index=True)


def probes(predictions, seed=5):
    """What networks and statistics that see a part of the slice say."""
    rng = np.random.default_rng(seed)
    keys = predictions[["slice_id", "person_id", "label"]]
    parts = []
    for k, name in enumerate(PROBES):
        part = keys.assign(probe=name)
        part[P] = _probabilities(keys, 0.1 * k, rng)
        parts.append(part)
    return pd.concat(parts, ignore_index=True).assign(fold=0)


def planes(predictions, seed=6):
    """Estimated planes, some of them known, one of those wrong."""
    rng = np.random.default_rng(seed)
    rows = predictions[["slice_id", "person_id", "label"]].copy()
    p = rng.dirichlet([1, 1, 1], len(rows))
    rows["plane"] = np.array(PLANES, object)[p.argmax(axis=1)]
    rows[[f"p_{name}" for name in PLANES]] = p
    rows["known_plane"] = rows["plane"].where(rows["slice_id"] % 2 == 0)
    rows.loc[0, "known_plane"] = next(name for name in PLANES if name != rows.loc[0, "plane"])
    return rows


def quality(edits, seed=7):
    """Errors of every infill at the audited sham places."""
    rng = np.random.default_rng(seed)
    made = edits[(edits["edit"] == "sham") & (edits["dilation_px"] == 0) & (edits["reason"] == "")]
    rows = made[["slice_id", "person_id", "label", "infill", "place", "n_pixels"]]
    rows = rows.reset_index(drop=True)
    rows[["mae", "rmse", "ssim"]] = rng.uniform(0.2, 0.6, (len(rows), 3))
    return rows


def detector(predictions, seed=8):
    """Scores of untouched and edited slices, the edited ones somewhat higher."""
    rng = np.random.default_rng(seed)
    keys = predictions[["slice_id", "person_id", "label"]]
    parts = [
        keys.assign(infill=infill, edited=edited, view=view, score=rng.normal(edited, 1, len(keys)))
        for infill in (infills.HEADLINE_INFILL, *INFILLS)
        for view in ("slice", "patch")
        for edited in (0, 1)
    ]
    return pd.concat(parts, ignore_index=True).assign(fold=0)


def covariates(predictions, seed=9):
    """Area and contrast of each slice's tumor."""
    rng = np.random.default_rng(seed)
    area = rng.integers(50, 900, len(predictions))
    return pd.DataFrame(
        {
            "slice_id": predictions["slice_id"],
            "area_px": area,
            "area_share": area / 224**2,
            "contrast": rng.normal(1, 0.5, len(predictions)),
        }
    )


def study(n_slices=72):
    """Every row file of one made-up study, by name."""
    predicted = predictions(1, n_slices)
    edited = edits(predicted)
    return {
        "rows_predictions": predicted,
        "rows_validation": predictions(2, n_slices),
        "rows_edits": edited,
        "rows_networks": networks(predicted),
        "rows_probes": probes(predicted),
        "rows_planes": planes(predicted),
        "rows_quality": quality(edited),
        "rows_detector": detector(predicted),
        "covariates": covariates(predicted),
    }


def _audited(predictions, chosen, seed):
    """One row a slice, edit and place, each edit colder or hotter than the one before."""
    rng = np.random.default_rng(seed)
    n = len(predictions)
    parts = []
    for number, edit in enumerate(chosen):
        action = plan.ACTIONS[edit.name]
        for place in range(N_PLACES) if action.at_places else (-1,):
            part = predictions[["slice_id", "patient_id", "person_id", "label"]].copy()
            part = part.assign(edit=edit.name, place=place, infill=edit.infill)
            part = part.assign(dilation_px=edit.dilation_px, offset_y=3 * (place + 1), offset_x=0)
            part = part.assign(mirrored=False, seed=0, flag="")
            if action.at_places and place == 1:
                part["flag"] = np.where(part["slice_id"] % 5 == 0, "scalp", "")
            part["depth_px"] = rng.uniform(5, 30, n) if action.uses_region else np.nan
            part["n_pixels"] = 0 if edit.name == "original" else 100
            spread = rng.uniform(0.7, 1.4, n)
            part["edit_rms"] = 0.0 if edit.name == "original" else 0.1 * (2 + place) * spread
            p = predictions[P].to_numpy()
            if edit.name != "original":
                p = 0.9 * apply_temperature(p, 1 + number / 4)
                p = p + 0.1 * rng.dirichlet([1, 1, 1], n)
            part[P] = p
            part["log_odds"] = class_log_odds(p, pd.Index(CLASSES).get_indexer(part["label"]))
            part["reason"] = ""
            parts.append(part.assign(fold=0))
    return pd.concat(parts, ignore_index=True)


def _probabilities(rows, lift, rng):
    """Random probabilities, that of the true class lifted."""
    p = rng.dirichlet([1, 1, 1], len(rows))
    p[np.arange(len(rows)), pd.Index(CLASSES).get_indexer(rows["label"])] += lift
    return p / p.sum(axis=1, keepdims=True)
