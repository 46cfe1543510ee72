"""Scores of every slice by every network of the folds, on calibrated probabilities.

Every tested slice is asked of a network that never saw its patient. Probabilities have their
fold's temperature, fitted on the *other* folds' tested patients, so that no slice decides about
itself.
"""

import numpy as np
import pandas as pd

from tumorcf_lib.config import CLASSES, NO_TUMOR
from tumorcf_lib.edits import scores as formulas
from tumorcf_lib.edits.scores import arrays
from tumorcf_lib.stats import classification
from tumorcf_lib.stats.rows import answered, headline_rows, in_front, of_group as rows_of_group
from tumorcf_lib.tables import energy

PLAIN, SHUFFLED, WITHOUT_MR = "plain", "shuffled", "without_mr"

KEYS = ["network", "training_seed"]
UNIT = [*KEYS, "fold"]
P = [f"p_{name}" for name in CLASSES]
MR, OTHER_IDS = "MR...", "other IDs"
"""Patients by the form of their IDs, which on the real slices shows the site."""
EDITS = ("original", "remove", "sham", "only", "sham_only", "background", "silhouette", "blank")


def temperatures(predictions):
    """Temperature of each fold's network, from the slices tested by the other folds' networks.

    A Series by (network, training_seed, fold). Networks of shuffled labels, which no temperature
    can mend, have the mean of the plain ones of their fold: what is done to the plain networks is
    done to those that they are judged by.
    """
    found = {}
    for key, own in predictions[predictions["network"] != SHUFFLED].groupby(KEYS):
        for fold in own["fold"].unique():
            others = outputs_of(own[own["fold"] != fold])
            found[*key, fold] = classification.fit_temperature(*arrays(others))
    plain = pd.Series(found).rename_axis(UNIT)[PLAIN].groupby("fold").mean()
    for unit in predictions.loc[predictions["network"] == SHUFFLED, UNIT].drop_duplicates().values:
        found[tuple(unit)] = plain[unit[-1]]
    return pd.Series(found).rename_axis(UNIT).sort_index()


def renamed(rows):
    """Rows with those of networks of shuffled labels once for each naming of their answers.

    Which of its outputs such a network's answer bears which class's name is by chance, so the
    outputs are also read under each other's names, in a circle. The column ``naming`` is 0 for the
    names as they are.
    """
    nothing = rows[rows["network"] == SHUFFLED]
    parts = [rows.assign(naming=0)]
    for k in range(1, len(P)) if len(nothing) else ():
        names = dict(zip(P, P[k:] + P[:k], strict=True))
        parts.append(nothing.rename(columns=names)[rows.columns].assign(naming=k))
    return pd.concat(parts, ignore_index=True)


def units_of(rows):
    """Each row's network, training seed and fold, as an index to look up."""
    return pd.MultiIndex.from_frame(rows[UNIT])


def scaled(rows, found):
    """Rows with the temperatures of :func:`temperatures` in their probabilities and log-odds."""
    rows = rows.copy()
    for network in rows["network"].unique():
        here = (rows["network"] == network).to_numpy()
        own = outputs_of(rows[here])
        labels, p = arrays(own)
        p = classification.apply_temperature(p, found.reindex(units_of(own)).to_numpy()[:, None])
        rows.loc[here, [f"p_{name}" for name in formulas.class_names(own)]] = p
        if "log_odds" in rows:
            rows.loc[here, "log_odds"] = formulas.class_log_odds(p, labels)
    return rows


def outputs_of(rows):
    """Rows of one kind of network, without the outputs that only other kinds have."""
    names = [f"p_{name}" for name in formulas.class_names(rows)]
    return rows.drop(columns=[name for name in names if rows[name].isna().all()])


def slice_scores(rows, *, grown_px=None):
    """Scores of each slice by each network, from scaled audit rows.

    As of :func:`edits.scores.slice_scores`, with network, training_seed, fold, naming, and
    ``right_<edit>`` and ``no_tumor_<edit>``: the share of an edit's slices (of shams, of its
    places), at the headline infill and dilation, called right or :data:`config.NO_TUMOR` (0 by a
    network without such an output);
    ``net_drop_like_energy``: against shams of the removal's energy alone, NaN where a slice has
    none; ``net_drop_grown``: Net-Drop with masks and shams grown by ``grown_px``, NaN where
    that was not asked; ``focus_over_background``: P_only - P_background.
    """
    parts, rows = [], rows.assign(naming=rows.get("naming", 0))
    for (network, seed, naming), own in rows.groupby([*KEYS, "naming"]):
        own = outputs_of(own)
        table = formulas.slice_scores(own)
        by = table["slice_id"]
        fold = by.map(own.groupby("slice_id")["fold"].first())
        table = in_front(table, network=network, training_seed=seed, fold=fold, naming=naming)
        asked = answered(headline_rows(own))
        called = classification.predicted(asked)
        answers = {"right": called == asked["label"], "no_tumor": called == NO_TUMOR}
        share = asked.assign(**answers).groupby(["slice_id", "edit"])[list(answers)].mean()
        share = share.unstack().reindex(columns=pd.MultiIndex.from_product([answers, EDITS]))
        share.columns = share.columns.map("_".join)
        table = table.join(share, on="slice_id")
        like_energy = energy.slice_energy(own).set_index("slice_id")["net_drop_matched"]
        table["net_drop_like_energy"] = by.map(like_energy)
        again = formulas.slice_scores(own, dilation_px=grown_px) if grown_px is not None else {}
        table["net_drop_grown"] = again.get("net_drop", np.nan)
        table["focus_over_background"] = table["p_only"] - table["p_background"]
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def is_of_mr_site(rows):
    """Whether each row's patient has an ID of the form ``MR...``, as an array of bool.

    >>> is_of_mr_site(pd.DataFrame({"person_id": ["MR0123", "100234"]})).tolist()
    [True, False]
    """
    return rows["person_id"].astype(str).str.startswith("MR").to_numpy(bool)


def of_group(scores, group):
    """Slices of "all", of a class, or of a class and site such as "glioma, MR..."."""
    name, _, site = group.partition(", ")
    own = rows_of_group(scores, name)
    return own[is_of_mr_site(own) == (site == MR)] if site else own


def by_group(scores):
    """Each kind of network and group: the first columns of its lines in a table, and its scores."""
    for network, own in scores[scores["naming"] == 0].groupby("network"):
        for group in groups(own):
            yield {"network": network, "group": group}, of_group(own, group)


def groups(scores):
    """All, the classes, and a class's two sites where it has both."""
    found = ["all", *CLASSES]
    for name in CLASSES:
        sites = [f"{name}, {MR}", f"{name}, {OTHER_IDS}"]
        found += sites if all(len(of_group(scores, site)) for site in sites) else []
    return found
