"""Accuracy and Net-Drop within sites, as the form of the patients' IDs shows them."""

import numpy as np
import pandas as pd

from tumorcf_lib.controls.covariates import COVARIATES, with_scores
from tumorcf_lib.stats import classification, estimates, networks, nulls
from tumorcf_lib.stats.persons import CONFIDENCE
from tumorcf_lib.stats.rows import ALL, means
from tumorcf_lib.tables import fold_scores
from tumorcf_lib.tables.classifiers import against_chance
from tumorcf_lib.tables.fold_scores import MR, PLAIN, WITHOUT_MR, is_of_mr_site

OTHERS = "others"
ADJUSTED = ("nothing", "plane", "plane and tumor")
"""What a difference between the sites is adjusted for."""
CHANGED = ("right_original", "right_remove", "right_background", "net_drop")


def site_accuracy_table(predictions, *, n_resamples: int):
    """How much of the accuracy is due to the site: with and without the ``MR...`` patients.

    Columns: group ("all" or a class of both sites), site ("MR...", "others"), metric ("accuracy",
    which of a class is its recall, or "balanced accuracy"), value, low, high, n_slices, n_persons.
    Of "all" there are only the others: whether site or tumor shows the class cannot be known where
    all are of one class.
    """
    is_mr = is_of_mr_site(predictions)
    without = against_chance(predictions[~is_mr], n_resamples).assign(site=OTHERS)
    right = (classification.predicted(predictions) == predictions["label"]).astype(float)
    rows = predictions.assign(site=np.where(is_mr, MR, OTHERS), right=right)
    both = rows[rows.groupby("label")["site"].transform("nunique") == 2]
    options = {"how": estimates.share, "groups": [ALL], "n_resamples": n_resamples}
    within = means(both, "right", ["label", "site"], **options)
    within = within.assign(group=within["label"], metric="accuracy", value=within["effect"])
    columns = ["group", "site", "metric", "value", "low", "high", "n_slices", "n_persons"]
    return pd.concat([without, within], ignore_index=True)[columns]


def by_slice(scores):
    """One row a slice: the mean of its scores over the seeds of one kind of network."""
    same = ["slice_id", "person_id", "label"]
    return scores.groupby(same, sort=False)[["net_drop", "net_drop_lo"]].mean().reset_index()


def difference_table(scores, covariates, planes):
    """Is the sites' difference in Net-Drop one of their tumors and planes?

    Least squares over the slices of each class that both sites have, every patient counting the
    same: on the site alone, with the imaging plane, and with area, contrast and depth of the tumor,
    too. Errors are cluster-robust, patients being the clusters: the sites' patients need not
    scatter alike, and they do not (Cameron & Miller, J. Human Resources 2015).

    From :func:`by_slice`, :func:`controls.covariates.with_depth` and
    :func:`controls.planes.estimate_planes`. Columns: group (a class), adjusted_for, effect
    (Net-Drop of ``MR...`` patients less that of the others), low, high, n_slices, n_persons, reason
    (why there is no number).
    """
    data = with_scores(scores, covariates).merge(planes[["slice_id", "plane"]], on="slice_id")
    data = data[np.isfinite(data[["net_drop", *COVARIATES]].to_numpy(float)).all(axis=1)]
    data["is_mr"] = is_of_mr_site(data)
    data, lines = data[data.groupby("label")["is_mr"].transform("nunique") == 2], []
    for group, own in data.groupby("label", sort=False):
        plane = pd.get_dummies(own["plane"], dtype=float).to_numpy()[:, 1:]
        z = own[list(COVARIATES)].to_numpy(float)
        z = (z - z.mean(axis=0)) / z.std(axis=0)
        site = np.column_stack([own["is_mr"], np.ones(len(own))]).astype(float)
        designs = [site], [site, plane], [site, plane, z]
        for words, columns in zip(ADJUSTED, designs, strict=True):
            line = {"group": group, "adjusted_for": words, "reason": ""}
            line |= {"n_slices": len(own), "n_persons": own["person_id"].nunique()}
            lines.append(line | _of_site(own, np.column_stack(columns)))
    columns = ["group", "adjusted_for", "effect", "low", "high", "n_slices", "n_persons"]
    return pd.DataFrame(lines, columns=[*columns, "reason"])


def _of_site(own, design):
    """The first column's coefficient with its 95 percent interval, or why there is none."""
    from statsmodels.regression.linear_model import WLS  # takes a second to import

    persons, k = pd.factorize(own["person_id"])[0], design.shape[1]
    if persons.max() < k or np.linalg.matrix_rank(design) < k:
        return {"reason": "too few patients, or the columns are collinear"}
    fit = WLS(own["net_drop"].to_numpy(), design, weights=1 / np.bincount(persons)[persons])
    found = fit.fit(cov_type="cluster", cov_kwds={"groups": persons}, use_t=True)
    low, high = found.conf_int(1 - CONFIDENCE)[0]
    return {"effect": found.params[0], "low": low, "high": high}


def difference_bands(scores):
    """Where the sites' difference in Net-Drop falls for networks that know nothing.

    From :func:`fold_scores.slice_scores`. Columns: group (a class that both sites have), null_low,
    null_high; every patient counts the same, adjusted for nothing.
    """
    own, nothing = (scores[scores["network"] == name] for name in (PLAIN, fold_scores.SHUFFLED))
    rows = []
    for name in fold_scores.groups(own):
        group, _, site = name.partition(", ")
        if site == MR:
            of_sites = (f"{group}, {one}" for one in (MR, fold_scores.OTHER_IDS))
            parts = [fold_scores.of_group(nothing, one) for one in of_sites]
            rows.append((group, *nulls.null_of("net_drop", *parts).band))
    return pd.DataFrame(rows, columns=["group", "null_low", "null_high"])


def never_shown_table(scores):
    """What becomes of each slice when its network was shown no patient ``MR...``.

    From :func:`fold_scores.slice_scores` of networks of both kinds. Columns: score (of
    :data:`CHANGED`), group (as of :func:`fold_scores.groups`), plain, never_shown, change (of the
    slices, from the plain network of the same seed; every patient counts the same), low, high (over
    patients and networks), null_low, null_high (where the change from one plain training to another
    falls in 95 of 100 cases), n_patients, n_slices, n_seeds.
    """
    never = scores[scores["network"] == WITHOUT_MR]
    plain = scores[scores["network"] == PLAIN]
    is_same = plain["training_seed"] == never["training_seed"].iloc[0]
    before = plain[is_same]
    every, rows = (before, never, _less(never, before), plain), []
    for group in fold_scores.groups(before):
        parts = [fold_scores.of_group(own, group) for own in every]
        for score in CHANGED:
            null = _trained_anew(parts[-1], score)
            e = networks.mean(parts[2], score, null=null)
            means_of = {"plain": parts[0], "never_shown": parts[1]}
            line = {name: networks.mean(own, score).value for name, own in means_of.items()}
            line = {"score": score, "group": group} | line
            rows.append(line | e.columns("change") | null.columns | e.counts)
    return pd.DataFrame(rows)


def _trained_anew(plain, score):
    """Where the change from one training to another falls: it has the networks' variance twice."""
    means, folds, _ = networks.by_patient(plain, score)
    n_seeds, n_folds = means.shape[1], len(np.unique(folds))
    if n_seeds < 2:
        return nulls.NO_NULL
    of_networks, total, df = networks.network_variance(means, folds)  # of a mean over seeds
    sd, network_sd = np.sqrt(2 * n_seeds * np.array([total, n_folds * of_networks]))
    return nulls.Null(0.0, sd, df, n_folds * n_seeds, network_sd, df)


def _less(scores, before):
    """Scores less those of the same slice before."""
    names = list(CHANGED)
    at_first = before.set_index("slice_id")[names].reindex(scores["slice_id"])
    return scores.assign(**{name: scores[name] - at_first[name].to_numpy() for name in names})
