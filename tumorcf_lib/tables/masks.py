"""The audit where nobody drew a tumor: scores with predicted masks beside those with true ones."""

import numpy as np
import pandas as pd

from tumorcf_lib.config import CLASSES
from tumorcf_lib.stats import networks
from tumorcf_lib.tables.fold_scores import KEYS, of_group, slice_scores

SCORES = ("delta_drop", "net_drop")
FOUND_DICE = 0.1
"""A tumor counts as found if its predicted mask overlaps it by more than this."""


def predicted_masks_table(masks, rows, scores):
    """Dice by class, and Delta-Drop and Net-Drop of the same slices with either mask.

    Columns: group, dice with low and high, found (share of tumors with a Dice above
    :data:`FOUND_DICE`), score, with_true and with_predicted (means of the same slices, those with a
    predicted mask and legal sham places by either), difference (predicted less true) with its low
    and high, spearman (over those slices), n_patients, n_slices. Every patient counts the same;
    intervals are over patients.
    """
    keys = [*KEYS, "slice_id"]
    both = slice_scores(rows)[[*keys, *SCORES]].merge(scores, on=keys, suffixes=("_by", ""))
    for name in SCORES:
        both[f"{name}_more"] = both[f"{name}_by"] - both[name]
    masks = masks.assign(found=(masks["dice"] > FOUND_DICE).astype(float))
    found = []
    for group in ("all", *CLASSES):
        dice, seen = (networks.mean(of_group(masks, group), name) for name in ("dice", "found"))
        dice = dice.columns("dice", ends="dice_", bounds=(0, 1))
        start = {"group": group} | dice | {"found": seen.value}
        own = of_group(both, group)
        found += [start | {"score": name} | _compared(own, name) for name in SCORES]
    return pd.DataFrame(found)


def _compared(scores, name):
    own = scores[np.isfinite(scores[f"{name}_more"])]
    true, by, more = (networks.mean(own, f"{name}{end}") for end in ("", "_by", "_more"))
    rank = own[name].corr(own[f"{name}_by"], "spearman") if len(own) > 2 else np.nan
    means = {"with_true": true.value, "with_predicted": by.value}
    of = {"spearman": rank, "n_patients": more.n_patients, "n_slices": more.n_slices}
    return means | more.columns("difference", ends="difference_") | of
