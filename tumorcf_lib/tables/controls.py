"""Does the answer hang on how the tumor is taken out? Infills, dilations, and what they leave.

Every table compares like with like. The headline setting (Navier-Stokes, dilation 0) has more
shams a slice than the other settings; here it gets as many of its places, the first ones, which
are the others' places too. And since a setting may be impossible on some slices, every mean is
given twice: over the setting's ``own`` slices, and over the ``common`` slices of all settings.
"""

import numpy as np
import pandas as pd

from tumorcf_lib.edits.infills import HEADLINE_INFILL, SPARSE_INFILLS
from tumorcf_lib.edits.scores import class_names, slice_scores
from tumorcf_lib.stats import estimates, rows as stats_rows
from tumorcf_lib.stats.agreement import rank_agreement
from tumorcf_lib.tables.energy import weighted_medians

OWN, COMMON, COMMON_SPARSE = "own", "common", "common, mirror too"
RANKED = {"net_drop": 1e-4, "delta_drop": 1e-4, "net_drop_lo": 1e-3, "delta_drop_lo": 1e-3}
"""Scores whose ranking is compared, and the difference that counts as a tie: less is the dust
of single precision and of rows published with five digits."""

LEAST_LEFT = 0.05  # of a tumor's contrast, at which the headline is asked again
MEASURES = ("mae", "rmse", "ssim")
FOREIGN = "others"


def tables(rows, *, n_resamples):
    """What the score owes to infill and dilation."""
    return {
        "table_infills": setting_scores(rows, "infill", n_resamples=n_resamples),
        "table_infill_agreement": infill_agreement(rows, n_resamples=n_resamples),
        "table_dilations": setting_scores(rows, "dilation_px", n_resamples=n_resamples),
    }


def setting_scores(rows, factor, *, n_resamples: int) -> pd.DataFrame:
    """Delta-, Sham- and Net-Drop by infill or dilation, in probability and log-odds.

    Columns: ``factor``, which is "infill" or "dilation_px" (at the working size; 0 is the
    headline); slices: "own" (where this setting exists), "common" (at every dilation, or where all
    infills but the sparse mirror do) or "common, mirror too"; score, group ("all" or a class),
    effect, low, high, mean_of_person_means, n_slices, n_persons; n_places (shams a slice at most);
    share_with_shams, of the group's slices at this setting; note: why the others have none, such as
    "not symmetric: 12". Numbers are NaN in a group without such slices.

    The mirror's shams are those of the same places at which a mirror image exists. So its
    "own" line has other slices *and* fewer places; "common, mirror too" has the same slices.
    """
    named, parts = (stats_rows.ALL, *class_names(rows)), []
    by_level, n_places = _by_setting(rows, factor), control_places(rows)
    common = _rater_sets(by_level) if factor == "infill" else [(COMMON, list(by_level))]
    for level, scores in by_level.items():
        of = {group: stats_rows.of_group(scores, group) for group in named}
        share = {group: own["net_drop"].notna().mean() for group, own in of.items()}
        why = {group: _counted(own.loc[own["net_drop"].isna(), "why"]) for group, own in of.items()}
        for name, levels in ((OWN, [level]), *common):
            if level in levels:
                own, n = scores[_have(by_level, levels)], {"n_resamples": n_resamples}
                part = stats_rows.means(own, stats_rows.DROPS, groups=named, **n)
                setting = {factor: level, "slices": name, "n_places": n_places}
                group = part["group"]
                part = part.assign(share_with_shams=group.map(share), note=group.map(why))
                parts.append(part.assign(**setting))
    columns = [factor, "slices", "score", "group", *stats_rows.NUMBERS]
    return stats_rows.stacked(parts, [*columns, "n_places", "share_with_shams", "note"])


def contrast_table(rows, *, n_resamples):
    """What removals leave of the tumor's contrast: 0 nothing, 1 all, below 0 reversed.

    Columns: infill, dilation_px, group, effect (median over patients of the median over their
    slices), low, high, n_slices, n_persons. From :func:`edits.contrast.rows_of`.
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

    Columns: score, slices ("common" or "common, mirror too"), group, kendall_w with low and high
    (95 percent, patients resampled within class), chance, spearman (mean correlation of the pairs
    of infills) with its interval, infills, n_infills, n_slices, n_persons. No rows with fewer than
    two infills.

    W is 1 if all infills rank the slices alike. Unrelated rankings of m infills do not give 0
    but 1 / m on average: that is ``chance``. The mean correlation is 0 there.
    """
    by_infill, found = _by_setting(rows, "infill"), []
    for score, grain in RANKED.items():
        for name, infills in _rater_sets(by_infill):
            keep, first = _have(by_infill, infills), by_infill[infills[0]]
            values = np.column_stack([by_infill[infill][score] for infill in infills])
            values = np.round(values / grain)  # (n_slices, n_infills)
            for group in stats_rows.groups(first[keep]) if keep.any() else ():
                chosen = keep & first.index.isin(stats_rows.of_group(first, group).index)
                people, counts = estimates.drawn(first[chosen], n_resamples)
                owner = np.eye(len(people.names))[people.owner]  # (n_slices, n_persons)
                agreement = rank_agreement(values[chosen], owner, counts)
                w, rho = (estimates.from_replicates(of, people) for of in agreement)
                line = {"score": score, "slices": name, "group": group}
                line |= w.columns("kendall_w") | {"chance": 1 / len(infills)}
                line |= rho.columns("spearman", ends="spearman_")
                line |= {"infills": " ".join(infills), "n_infills": len(infills)}
                found.append(line | {"n_slices": w.n_slices, "n_persons": w.n_persons})
    return pd.DataFrame(found)


def drops_per_slice(rows, *, infill=HEADLINE_INFILL, dilation_px=0):
    """Scores of each slice at one setting, from as many shams as all settings have.

    All slices, in the order of the rows: slice_id, person_id, label, `DROPS`, n_sham, and why: the
    reason for missing scores.
    """
    n_places = control_places(rows)
    setting = (rows["infill"] == infill) & (rows["dilation_px"] == dilation_px)
    setting &= rows["edit"].isin(("remove", "sham")) & (rows["place"] < n_places)
    own = rows[setting | (rows["edit"] == "original")]
    scores = slice_scores(own, infill=infill, dilation_px=dilation_px)
    scores = scores[["slice_id", "person_id", "label", *stats_rows.DROPS, "n_sham"]]
    failed = own[own["reason"] != ""].drop_duplicates("slice_id").set_index("slice_id")["reason"]
    why = scores["slice_id"].map(failed).astype(object).fillna("not audited")
    return scores.assign(why=why.where(scores["net_drop"].isna(), ""))


def control_places(rows) -> int:
    """Shams a slice that all settings have: those of the other infills and dilations.

    The headline's own number if there are no other settings; 0 without any sham.
    """
    shams = rows[rows["edit"] == "sham"]
    other = (shams["infill"] != HEADLINE_INFILL) | (shams["dilation_px"] != 0)
    places = [own["place"].max() + 1 for own in (shams[other], shams[~other]) if len(own)]
    return int(min(places, default=0))


def quality_table(rows_quality, *, n_resamples: int) -> pd.DataFrame:
    """Error and similarity by infill where the truth is known, with intervals over patients.

    Columns: infill; slices: "own" (all places of this infill), "common" (places that all infills
    but the sparse mirror have) or "common, mirror too"; score ("mae", "rmse": lower is better;
    "ssim": higher is), group, effect, low, high, mean_of_person_means, n_slices, n_persons. A slice
    counts with the mean over its places.
    """
    key, parts = ["slice_id", "place"], []
    infills = sorted(rows_quality["infill"].unique(), key=lambda name: name in SPARSE_INFILLS)
    infills_at = rows_quality.groupby(key)["infill"].agg(set)
    at = pd.MultiIndex.from_frame(rows_quality[key])
    for infill in infills:
        of_infill = (rows_quality["infill"] == infill).to_numpy()
        for name, needed in ((OWN, [infill]), *_rater_sets(infills)):
            if infill not in needed:
                continue
            have = infills_at.index[[set(needed) <= found for found in infills_at]]
            at_these = rows_quality[of_infill & at.isin(have)]
            by_slice = at_these.groupby(["slice_id", "person_id", "label"], sort=False)
            means_of = by_slice[list(MEASURES)].mean().reset_index()
            part = stats_rows.score_means(means_of, MEASURES, n_resamples=n_resamples)
            parts.append(part.assign(infill=infill, slices=name))
    return stats_rows.stacked(parts, ["infill", "slices", "score", "group", *stats_rows.NUMBERS])


def drift_table(rows, *, n_resamples):
    """Net fall of each class's probability, on its own slices and on those of other classes.

    Does it fall because *its* tumor is gone, or on any slice? Probabilities of a slice sum to 1,
    so what removal takes from one class it gives to others. A network that drifts away from a
    class whenever something of a tumor's shape is taken out scores a Net-Drop in that class
    without reading its tumor; averaged over the classes such drifts cancel out, within a class
    they do not. A drift shows on the slices of the other classes, too.

    Columns: group (the class whose probability is followed), slices ("own" or "others"), effect,
    low, high, mean_of_person_means, n_slices, n_persons. Above 0 on "others": a drift away from the
    class, and as much of its Net-Drop may be no more than that. Below 0: the class gains where
    other classes lose their tumor.
    """
    falls, parts = net_falls(rows), []
    for group in stats_rows.classes_of(falls["label"]):
        own = falls["label"] == group
        for name, part in ((OWN, falls[own]), (FOREIGN, falls[~own])):
            mean = stats_rows.means(part, group, groups=[stats_rows.ALL], n_resamples=n_resamples)
            parts.append(mean.assign(group=group, slices=name))
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
    """Scores per slice of every level of one factor, the headline's first, mirror last."""
    headline = {"infill": HEADLINE_INFILL, "dilation_px": 0}
    removed = rows["edit"] == "remove"
    for name, value in headline.items():
        removed &= (rows[name] == value) | (name == factor)
    levels = rows.loc[removed, factor].unique().tolist()
    if factor == "dilation_px":
        levels.sort()
    else:
        levels.sort(key=lambda level: (level in SPARSE_INFILLS, level != HEADLINE_INFILL))
    return {level: drops_per_slice(rows, **(headline | {factor: level})) for level in levels}


def _have(by_level, levels):
    """Which slices have a Net-Drop at all of these levels, bool (n_slices,)."""
    return np.all([by_level[level]["net_drop"].notna() for level in levels], axis=0)


def _rater_sets(levels):
    """Name and levels of the sets to compare within: without the sparse infills, and with them."""
    dense = [level for level in levels if level not in SPARSE_INFILLS]
    sets = [(COMMON, dense)] + [(COMMON_SPARSE, list(levels))] * (len(dense) < len(levels))
    return [(name, own) for name, own in sets if len(own) > 1]


def _counted(words):
    return ", ".join(f"{word}: {n}" for word, n in words.value_counts().items())
