"""Accuracy within sites, as the form of the patients' IDs shows them."""

import pandas as pd

from tumorcf_lib.stats import classification, estimates
from tumorcf_lib.stats.rows import ALL, means, of_group
from tumorcf_lib.tables.classifiers import BALANCED, against_chance
from tumorcf_lib.tables.fold_scores import MR, is_of_mr_site

OTHERS = "others"


def site_accuracy_table(predictions, *, n_resamples: int):
    """How much of the accuracy is due to the site: with and without the ``MR...`` patients.

    Columns: group ("all" or a class of both sites), site ("MR...", "others"), metric ("accuracy",
    which of a class is its recall, or "balanced accuracy"), value, low, high, n_slices, n_persons.
    Of "all" there are only the others: whether site or tumor shows the class cannot be known where
    all are of one class.
    """
    is_mr = is_of_mr_site(predictions)
    right = (classification.predicted(predictions) == predictions["label"]).astype(float)
    rows = predictions.assign(right=right)
    table = against_chance(predictions[~is_mr], n_resamples)
    table = table[(table["group"] == ALL) & table["metric"].isin(("accuracy", BALANCED))]
    parts, options = [table.assign(site=OTHERS)], {"groups": [ALL], "n_resamples": n_resamples}
    for group in pd.unique(rows["label"]):
        own = {MR: of_group(rows[is_mr], group), OTHERS: of_group(rows[~is_mr], group)}
        if all(map(len, own.values())):
            for site, of in own.items():
                part = means(of, "right", how=estimates.share, **options)
                part = part.rename(columns={"effect": "value"})
                parts.append(part.assign(group=group, site=site, metric="accuracy"))
    columns = ["group", "site", "metric", "value", "low", "high", "n_slices", "n_persons"]
    return pd.concat(parts, ignore_index=True)[columns]
