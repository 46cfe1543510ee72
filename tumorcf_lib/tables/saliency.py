"""Where a map is bright, and what a U-Net finds, beside what the edits say of the same slices.

Of the audit where nobody drew a tumor: scores with predicted masks beside those with true ones.
"""

import numpy as np
import pandas as pd
from scipy.special import ndtri

from tumorcf_lib.config import CLASSES
from tumorcf_lib.stats import networks
from tumorcf_lib.stats.persons import CONFIDENCE
from tumorcf_lib.tables.fold_scores import KEYS, of_group, slice_scores

ALL, KEEPS, LOSES = "all", "right without their tumor", "wrong without their tumor"
"""Slices that are told apart: of those called right, whether removing the tumor changes that."""
MASK_SCORES = ("delta_drop", "net_drop")
FOUND_DICE = 0.1
"""A tumor counts as found if its predicted mask overlaps it by more than this."""


def saliency_table(rows, scores):
    """How much denser Grad-CAM is on the tumor, and whether dense maps go with a high Net-Drop.

    Columns: network, group, slices (:data:`ALL`, :data:`KEEPS`, :data:`LOSES`), map_tumor (share of
    the map within the head that lies on the tumor), area_tumor (the tumor's share of the head),
    density with low and high (their ratio; 1: no brighter there than elsewhere), spearman with its
    low and high (rank correlation over patients of density and Net-Drop), n_patients, n_slices,
    n_seeds.
    Every patient counts the same; slices whose map is 0 within the head are left out.

    Interval of a rank correlation: Bonett and Wright, Psychometrika 2000.
    """
    keys = [*KEYS, "slice_id"]
    scored = scores.loc[
        scores["naming"] == 0, [*keys, "net_drop", "right_original", "right_remove"]
    ]
    table = rows.merge(scored, on=keys)
    table = table[(table["map_outside"] < 1) & (table["area_tumor"] > 0)]
    table["in_head"] = table["map_tumor"] / (1 - table["map_outside"])
    table["density_of_slice"] = table["in_head"] / table["area_tumor"]
    right = table["right_original"] == 1
    parts = {
        ALL: table,
        KEEPS: table[right & (table["right_remove"] == 1)],
        LOSES: table[right & (table["right_remove"] == 0)],
    }
    found = []
    for network in table["network"].unique():
        for group in (ALL, *CLASSES):
            for slices, part in parts.items():
                own = of_group(part[part["network"] == network], group)
                if len(own):
                    start = {"network": network, "group": group, "slices": slices}
                    found.append(start | _density(own) | _spearman(own))
    return pd.DataFrame(found)


def _density(rows):
    """Ratio of two means over patients, with the error of its linearization."""
    bright, area = networks.mean(rows, "in_head"), networks.mean(rows, "area_tumor")
    ratio = bright.value / area.value
    rest = rows.assign(rest=(rows["in_head"] - ratio * rows["area_tumor"]) / area.value)
    low, high = networks.mean(rest, "rest").interval
    means = {"map_tumor": bright.value, "area_tumor": area.value, "density": ratio}
    return means | {"low": ratio + low, "high": ratio + high} | bright.counts


def _spearman(rows):
    means = rows.groupby("person_id")[["density_of_slice", "net_drop"]].mean().dropna()
    n = len(means)
    varies = n > 3 and (means.nunique() > 1).all()
    r = means.corr("spearman").iloc[0, 1] if varies else np.nan
    low = high = np.nan
    if varies and abs(r) < 1:
        reach = ndtri((1 + CONFIDENCE) / 2) * np.sqrt((1 + r**2 / 2) / (n - 3))
        low, high = np.tanh(np.arctanh(r) + np.array([-reach, reach]))
    return {"spearman": r, "spearman_low": low, "spearman_high": high}


# -- where nobody drew a tumor --------------------------------------------------------


def predicted_masks_table(masks, rows, scores):
    """Dice by class, and Delta-Drop and Net-Drop of the same slices with either mask.

    Columns: group, dice with low and high, found (share of tumors with a Dice above
    :data:`FOUND_DICE`), score, with_true and with_predicted (means of the same slices, those with a
    predicted mask and legal sham places by either), difference (predicted less true) with its low
    and high, spearman (over those slices), n_patients, n_slices. Every patient counts the same;
    intervals are over patients.
    """
    keys = [*KEYS, "slice_id"]
    both = slice_scores(rows)[[*keys, *MASK_SCORES]].merge(scores, on=keys, suffixes=("_by", ""))
    for name in MASK_SCORES:
        both[f"{name}_more"] = both[f"{name}_by"] - both[name]
    masks = masks.assign(found=(masks["dice"] > FOUND_DICE).astype(float))
    found = []
    for group in ("all", *CLASSES):
        dice, seen = (networks.mean(of_group(masks, group), name) for name in ("dice", "found"))
        dice = dice.columns("dice", ends="dice_", bounds=(0, 1))
        start = {"group": group} | dice | {"found": seen.value}
        own = of_group(both, group)
        found += [start | {"score": name} | _compared(own, name) for name in MASK_SCORES]
    return pd.DataFrame(found)


def _compared(scores, name):
    own = scores[np.isfinite(scores[f"{name}_more"])]
    true, by, more = (networks.mean(own, f"{name}{end}") for end in ("", "_by", "_more"))
    rank = own[name].corr(own[f"{name}_by"], "spearman") if len(own) > 2 else np.nan
    means = {"with_true": true.value, "with_predicted": by.value}
    of = {"spearman": rank, "n_patients": more.n_patients, "n_slices": more.n_slices}
    return means | more.columns("difference", ends="difference_") | of
