"""Accuracy and Net-Drop within sites, as the form of the patients' IDs shows them."""

import numpy as np
import pandas as pd

from tumorcf_lib.controls.covariates import COVARIATES, with_scores
from tumorcf_lib.stats import classification, estimates, mixed
from tumorcf_lib.stats.rows import ALL, means, of_group
from tumorcf_lib.tables.classifiers import BALANCED, against_chance
from tumorcf_lib.tables.fold_scores import MR, is_of_mr_site

OTHERS = "others"
ADJUSTED = ("nothing", "plane", "plane and tumor")
"""What a difference between the sites is adjusted for."""


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


def by_slice(scores):
    """One row a slice: the mean of its scores over the seeds of one kind of network."""
    same = ["slice_id", "person_id", "label"]
    return scores.groupby(same, sort=False)[["net_drop", "net_drop_lo"]].mean().reset_index()


def difference_table(scores, covariates, planes):
    """Is the sites' difference in Net-Drop one of their tumors and planes?

    A mixed model of the slices of each class that both sites have, slices within patients: with
    the site alone, with the imaging plane, and with area, contrast and depth of the tumor, too.

    From :func:`by_slice`, :func:`controls.covariates.with_depth` and
    :func:`controls.planes.estimate_planes`. Columns: group (a class), adjusted_for, effect
    (Net-Drop of ``MR...`` patients less that of the others), low, high, p, n_slices, n_persons,
    reason (why there is no number).
    """
    data = with_scores(scores, covariates).merge(planes[["slice_id", "plane"]], on="slice_id")
    data = data[np.isfinite(data[["net_drop", *COVARIATES]].to_numpy(float)).all(axis=1)]
    lines = []
    for group, own in data.groupby("label", sort=False):
        is_mr = is_of_mr_site(own)
        if is_mr.all() or not is_mr.any():
            continue
        plane = pd.get_dummies(own["plane"], dtype=float).to_numpy()[:, 1:]
        z = own[list(COVARIATES)].to_numpy(float)
        z = (z - z.mean(axis=0)) / z.std(axis=0)
        site = np.column_stack([is_mr, np.ones(len(own))]).astype(float)
        designs = [site], [site, plane], [site, plane, z]
        for words, columns in zip(ADJUSTED, designs, strict=True):
            line = {"group": group, "adjusted_for": words, "reason": ""}
            line |= {"n_slices": len(own), "n_persons": own["person_id"].nunique()}
            design = np.column_stack(columns)
            try:
                found = mixed.fit(own["net_drop"], design, own["person_id"].to_numpy())
                line |= found.estimate(0)
            except mixed.NoFitError as error:
                line["reason"] = str(error)
            lines.append(line)
    columns = ["group", "adjusted_for", "effect", "low", "high", "p", "n_slices", "n_persons"]
    return pd.DataFrame(lines, columns=[*columns, "reason"])
