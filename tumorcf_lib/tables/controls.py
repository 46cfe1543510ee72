"""Does the answer hang on how the tumor is taken out? Infills, dilations, and what they leave.

Every table compares like with like. The headline setting (Navier-Stokes, dilation 0) has more
shams a slice than the other settings; here it gets as many of its places, the first ones, which
are the others' places too. And since a setting may be impossible on some slices, every mean is
given twice: over the setting's ``own`` slices, and over the ``common`` slices of all settings.
"""

import numpy as np
import pandas as pd

from tumorcf_lib.edits.infills import HEADLINE_INFILL
from tumorcf_lib.edits.scores import class_names, slice_scores
from tumorcf_lib.stats import estimates, rows as stats_rows
from tumorcf_lib.stats.estimates import rank_agreement
from tumorcf_lib.tables.energy import weighted_medians

OWN, COMMON = "own", "common"
DROPS = ("sham_drop", "net_drop")
TIE = 1e-4
"""A smaller difference of two Net-Drops is a tie in their ranking: it is the dust of single
precision and of rows published with five digits."""

LEAST_LEFT = 0.05  # of a tumor's contrast, at which the headline is asked again
FOREIGN = "others"


def tables(rows, *, n_resamples):
    """What the score owes to infill and dilation."""
    return {
        "table_infills": setting_scores(rows, "infill", n_resamples=n_resamples),
        "table_infill_agreement": infill_agreement(rows, n_resamples=n_resamples),
        "table_dilations": setting_scores(rows, "dilation_px", n_resamples=n_resamples),
    }


def setting_scores(rows, factor, *, n_resamples: int) -> pd.DataFrame:
    """Sham- and Net-Drop by infill or dilation.

    Columns: ``factor``, which is "infill" or "dilation_px" (at the working size; 0 is the
    headline); slices: "common" (where all settings exist) or "own" (where this one does); score,
    group ("all" or a class), effect, low, high, n_slices, n_persons. Numbers are NaN in a group
    without such slices.
    """
    options = {"groups": (stats_rows.ALL, *class_names(rows)), "n_resamples": n_resamples}
    parts = []
    for name, own in _common_and_own(_by_setting(rows, factor), factor):
        part = stats_rows.means(own, DROPS, [factor], **options)
        parts.append(part.assign(slices=name))
    return stats_rows.stacked(parts, [factor, "slices", "score", "group", *stats_rows.NUMBERS])


def contrast_table(rows, *, n_resamples):
    """What removals leave of the tumor's contrast: 0 nothing, 1 all, below 0 reversed.

    Columns: infill, dilation_px, group, effect (median over patients of the median over their
    slices), low, high, n_slices, n_persons. From :func:`edits.audit.contrast_rows`.
    """

    def how(own, column, n_resamples):
        people, counts = estimates.drawn(own, n_resamples)
        of_patients = own[column].groupby(people.owner).median().to_numpy()
        return estimates.from_replicates(weighted_medians(of_patients, counts), people)

    known, by = rows.dropna(subset="contrast_left"), ["infill", "dilation_px"]
    table = stats_rows.means(known, "contrast_left", by, how=how, n_resamples=n_resamples)
    return table[[*by, "group", "effect", "low", "high", "n_slices", "n_persons"]]


def grown_px(contrast):
    """Smallest dilation at which the headline's infill leaves less than :data:`LEAST_LEFT` of every
    class, from :func:`contrast_table`; None if there is none."""
    own = contrast[(contrast["infill"] == HEADLINE_INFILL) & (contrast["group"] != stats_rows.ALL)]
    most = own["effect"].abs().groupby(own["dilation_px"]).max()
    return min(most.index[most < LEAST_LEFT], default=None)


def infill_agreement(rows, *, n_resamples: int) -> pd.DataFrame:
    """Do the infills agree on *which* slices lean on the tumor? Kendall's W of their rankings.

    Of the slices that all infills have, by Net-Drop. Columns: score, group,
    kendall_w with low and high (95 percent, patients resampled within class), chance, n_infills,
    n_slices, n_persons. No rows with fewer than two infills.

    W is 1 if all infills rank the slices alike. Unrelated rankings of m infills do not give 0
    but 1 / m on average: that is ``chance``.
    """
    (_, common), _ = _common_and_own(_by_setting(rows, "infill"), "infill")
    who, infills = ["slice_id", "person_id", "label"], list(common["infill"].unique())
    ranked = (common.pivot(index=who, columns="infill", values="net_drop") / TIE).round()

    def how(own, column, n_resamples):
        people, counts = estimates.drawn(own, n_resamples)
        owner = np.eye(len(people.names))[people.owner]  # (n_slices, n_persons)
        return estimates.from_replicates(rank_agreement(own[infills], owner, counts), people)

    options = {"how": how, "n_resamples": n_resamples, "groups": [] if len(infills) < 2 else None}
    table = stats_rows.means(ranked.reset_index(), "net_drop", **options)
    table["n_infills"] = len(infills)
    table["chance"] = 1 / table["n_infills"]
    return table.rename(columns={"effect": "kendall_w"})


def drops_per_slice(rows, *, infill=HEADLINE_INFILL, dilation_px=0):
    """Scores at one setting of each slice that has a Net-Drop there, from as many shams as all
    settings have: slice_id, person_id, label, :data:`DROPS`."""
    setting = (rows["infill"] == infill) & (rows["dilation_px"] == dilation_px)
    setting &= rows["edit"].isin(("remove", "sham")) & (rows["place"] < control_places(rows))
    own = rows[setting | (rows["edit"] == "original")]
    scores = slice_scores(own, infill=infill, dilation_px=dilation_px).dropna(subset="net_drop")
    return scores[["slice_id", "person_id", "label", *DROPS]]


def control_places(rows) -> int:
    """Shams a slice that all settings have: those of the other infills and dilations.

    The headline's own number if there are no other settings; 0 without any sham.
    """
    shams = rows[rows["edit"] == "sham"]
    other = (shams["infill"] != HEADLINE_INFILL) | (shams["dilation_px"] != 0)
    places = [own["place"].max() + 1 for own in (shams[other], shams[~other]) if len(own)]
    return int(min(places, default=0))


def quality_table(rows_quality, *, n_resamples: int) -> pd.DataFrame:
    """Mean absolute error by infill where the truth is known, with intervals over patients.

    Columns: infill, group, effect (lower is better), low, high, n_slices, n_persons. A slice counts
    with the mean over its places, which are the same for all infills.
    """
    by_slice = rows_quality.groupby(["infill", "slice_id", "person_id", "label"], sort=False)
    of_slices = by_slice["mae"].mean().reset_index()
    table = stats_rows.score_means(of_slices, "mae", by=["infill"], n_resamples=n_resamples)
    return table[["infill", "group", *stats_rows.NUMBERS]]


def drift_table(rows, *, n_resamples):
    """Net fall of each class's probability, on its own slices and on those of other classes.

    Does it fall because *its* tumor is gone, or on any slice? Probabilities of a slice sum to 1,
    so what removal takes from one class it gives to others. A network that drifts away from a
    class whenever something of a tumor's shape is taken out scores a Net-Drop in that class
    without reading its tumor; averaged over the classes such drifts cancel out, within a class
    they do not. A drift shows on the slices of the other classes, too.

    Columns: group (the class whose probability is followed), slices ("own" or "others"), effect,
    low, high, n_slices, n_persons. Above 0 on "others": a drift away from the
    class, and as much of its Net-Drop may be no more than that. Below 0: the class gains where
    other classes lose their tumor.
    """
    falls, parts = net_falls(rows), []
    options = {"groups": [stats_rows.ALL], "n_resamples": n_resamples}
    for group in stats_rows.classes_of(falls["label"]):
        slices = np.where(falls["label"] == group, OWN, FOREIGN)
        part = stats_rows.means(falls.assign(slices=slices), group, ["slices"], **options)
        parts.append(part.assign(group=group))
    return stats_rows.stacked(parts, ["group", "slices", *stats_rows.NUMBERS])


def net_falls(rows):
    """One row per slice: slice_id, person_id, label, and each class's net fall by its name.

    The net fall is the mean over a slice's shams of P(class), minus P(class) with the tumor taken
    out; on own slices it is Net-Drop. Slices without a removal or a sham are left out.
    """
    classes = class_names(rows)
    columns = [f"p_{name}" for name in classes]
    by_edit = stats_rows.headline_rows(rows).groupby(["edit", "slice_id"])[columns].mean()
    edits = by_edit.index.unique("edit")
    if not {"remove", "sham"} <= set(edits):
        return pd.DataFrame(columns=["slice_id", "person_id", "label", *classes])
    falls = (by_edit.loc["sham"] - by_edit.loc["remove"]).dropna()
    falls.columns = classes
    about = rows.drop_duplicates("slice_id").set_index("slice_id")[["person_id", "label"]]
    return about.loc[falls.index].join(falls).reset_index()


def _by_setting(rows, factor):
    """:func:`drops_per_slice` at every level of one factor, the headline's first."""
    headline = {"infill": HEADLINE_INFILL, "dilation_px": 0}
    removed = rows["edit"] == "remove"
    for name, value in headline.items():
        removed &= (rows[name] == value) | (name == factor)
    levels = sorted(rows.loc[removed, factor].unique(), key=lambda level: level != headline[factor])
    return pd.concat(
        drops_per_slice(rows, **(headline | {factor: level})).assign(**{factor: level})
        for level in levels
    )


def _common_and_own(table, factor):
    """Name and rows: of the slices that all levels have; and all rows."""
    n_levels = table.groupby("slice_id")[factor].transform("nunique")
    return (COMMON, table[n_levels == table[factor].nunique()]), (OWN, table)
