"""Does the answer hang on how the tumor is taken out? Infill and dilation, one at a time.

Every table compares like with like. The headline setting (Navier-Stokes, dilation 0) has more
shams a slice than the other settings; here it gets as many of its places, the first ones, which
are the others' places too. And since a setting may be impossible on some slices, every mean is
given twice: over the setting's ``own`` slices, and over the ``common`` slices of all settings.
"""

import numpy as np
import pandas as pd

from tumorcf_lib.edits.infills import HEADLINE_INFILL, SPARSE_INFILLS
from tumorcf_lib.stats import concordance, findings, metrics, persons
from tumorcf_lib.stats.claims import ALL

OWN, COMMON, COMMON_SPARSE = "own", "common", "common, mirror too"
SCORES = (
    "delta_drop", "sham_drop", "net_drop", "delta_drop_lo", "sham_drop_lo", "net_drop_lo",
)  # fmt: skip
RANKED = {"net_drop": 1e-4, "delta_drop": 1e-4, "net_drop_lo": 1e-3, "delta_drop_lo": 1e-3}
"""Scores whose ranking is compared, and the difference that counts as a tie: less is the dust
of single precision and of rows published with five digits."""

_MEANS = (
    "slices", "score", "group", "effect", "low", "high", "mean_of_person_means", "n_slices",
    "n_persons", "n_places", "share_with_shams", "note",
)  # fmt: skip
AGREEMENT_COLUMNS = (
    "score", "slices", "group", "kendall_w", "low", "high", "chance", "spearman",
    "spearman_low", "spearman_high", "infills", "n_infills", "n_slices", "n_persons",
)  # fmt: skip


def infill_scores(rows, *, n_resamples: int) -> pd.DataFrame:
    """Delta-, Sham- and Net-Drop by infill, in probability and log-odds.

    Parameters
    ----------
    rows : DataFrame
        An audit's rows, one network's: original, and remove and sham of each infill.
    n_resamples : int

    Returns
    -------
    DataFrame
        infill; slices: "own" (where this infill exists), "common" (where all infills but the
        sparse mirror do) or "common, mirror too"; score, group ("all" or a class), effect,
        low, high (95 percent, persons resampled within class), mean_of_person_means, n_slices,
        n_persons; n_places (shams a slice at most); share_with_shams, of the group's slices at
        this infill; note: why the others have none, such as "not symmetric: 12". Numbers are NaN
        in a group without such slices.

    Notes
    -----
    The mirror's shams are those of the same places at which a mirror image exists. So its
    "own" line has other slices *and* fewer places; "common, mirror too" has the same slices.
    """
    by_infill = _by_setting(rows, "infill")
    sets = {infill: _slice_sets(by_infill, infill) for infill in by_infill}
    return _score_table(rows, "infill", by_infill, sets, n_resamples)


def infill_agreement(rows, *, n_resamples: int) -> pd.DataFrame:
    """Do the infills agree on *which* slices lean on the tumor? Kendall's W of their rankings.

    Parameters
    ----------
    rows, n_resamples
        As in :func:`infill_scores`.

    Returns
    -------
    DataFrame
        score, slices ("common" or "common, mirror too"), group, kendall_w with low and high
        (95 percent, persons resampled within class), chance, spearman (mean correlation of
        the pairs of infills) with its interval, infills, n_infills, n_slices, n_persons. No
        rows with fewer than two infills.

    Notes
    -----
    W is 1 if all infills rank the slices alike. Unrelated rankings of m infills do not give 0
    but 1 / m on average: that is ``chance``. The mean correlation is 0 there.
    """
    by_infill = _by_setting(rows, "infill")
    found = []
    for score, grain in RANKED.items():
        for name, infills, keep in _rater_sets(by_infill):
            first = by_infill[infills[0]]
            values = np.column_stack([by_infill[infill][score] for infill in infills])
            values = np.round(values / grain)  # (n_slices, n_infills)
            for group in (ALL, *metrics.class_names(rows)):
                own = keep & ((group == ALL) | (first["label"] == group).to_numpy())
                if own.any():
                    line = _agreement(values[own], first[own], n_resamples)
                    found.append({"score": score, "slices": name, "group": group, **line,
                                  "infills": " ".join(infills)})  # fmt: skip
    return pd.DataFrame(found, columns=AGREEMENT_COLUMNS)


def dilation_curve(rows, *, n_resamples: int) -> pd.DataFrame:
    """Delta-, Sham- and Net-Drop against the dilation of the removed region.

    Parameters
    ----------
    rows : DataFrame
        An audit's rows, one network's: original, and Navier-Stokes remove and sham at each
        dilation.
    n_resamples : int

    Returns
    -------
    DataFrame
        dilation_px (at the working size; 0 is the headline), then as :func:`infill_scores`;
        slices are "own" (with shams at this dilation) or "common" (at every dilation).
    """
    by_dilation = _by_setting(rows, "dilation_px")
    sets = {
        dilation_px: [(OWN, _have(by_dilation, [dilation_px])), (COMMON, _have(by_dilation))]
        for dilation_px in by_dilation
    }
    return _score_table(rows, "dilation_px", by_dilation, sets, n_resamples)


def drops_per_slice(rows, *, infill=HEADLINE_INFILL, dilation_px=0, n_places=None):
    """Scores of each slice at one setting, from the first ``n_places`` shams.

    Parameters
    ----------
    rows : DataFrame
        An audit's rows, one network's.
    infill, dilation_px
        The setting.
    n_places : int, optional
        As many as :func:`control_places` says if not given.

    Returns
    -------
    DataFrame
        slice_id, person_id, label, `SCORES`, n_sham, and why: the reason for missing scores,
        empty otherwise. All slices, in the order of the rows.
    """
    n_places = control_places(rows) if n_places is None else n_places
    setting = (rows["infill"] == infill) & (rows["dilation_px"] == dilation_px)
    setting &= rows["edit"].isin(("remove", "sham")) & (rows["place"] < n_places)
    own = rows[setting | (rows["edit"] == "original")]
    scores = metrics.slice_scores(own, infill=infill, dilation_px=dilation_px)
    scores = scores[["slice_id", "person_id", "label", *SCORES, "n_sham"]]
    failed = own[own["reason"] != ""].drop_duplicates("slice_id").set_index("slice_id")["reason"]
    why = scores["slice_id"].map(failed).astype(object).fillna("not audited")
    return scores.assign(why=why.where(scores["net_drop"].isna(), ""))


def control_places(rows) -> int:
    """Shams a slice that all settings have: those of the other infills and dilations.

    The headline's own number if there are no other settings; 0 without any sham.

    Examples
    --------
    >>> rows = pd.DataFrame({"edit": "sham", "infill": ["navier_stokes"] * 3 + ["telea"],
    ...                      "dilation_px": 0, "place": [0, 1, 2, 0]})
    >>> control_places(rows)
    1
    """
    shams = rows[rows["edit"] == "sham"]
    other = (shams["infill"] != HEADLINE_INFILL) | (shams["dilation_px"] != 0)
    places = [own["place"].max() + 1 for own in (shams[other], shams[~other]) if len(own)]
    return int(min(places, default=0))


# -- inner parts -------------------------------------------------------------


def _by_setting(rows, factor):
    """Scores per slice of every level of one factor, the headline's first, mirror last."""
    headline = {"infill": HEADLINE_INFILL, "dilation_px": 0}
    removed = rows["edit"] == "remove"
    for name, value in headline.items():
        if name != factor:
            removed &= rows[name] == value
    levels = rows.loc[removed, factor].unique().tolist()
    if factor == "dilation_px":
        levels.sort()
    else:
        levels.sort(key=lambda name: (name in SPARSE_INFILLS, name != HEADLINE_INFILL))
    n_places = control_places(rows)
    return {
        level: drops_per_slice(rows, **(headline | {factor: level}), n_places=n_places)
        for level in levels
    }


def _have(by_level, levels=None):
    """Which slices have a Net-Drop at all of these levels, bool (n_slices,)."""
    tables = [by_level[level] for level in (by_level if levels is None else levels)]
    return np.all([np.isfinite(table["net_drop"].to_numpy(float)) for table in tables], axis=0)


def _rater_sets(by_infill):
    """Name, infills, and which slices have all of them: without the sparse, and with them."""
    dense = [infill for infill in by_infill if infill not in SPARSE_INFILLS]
    sets = [(COMMON, dense)]
    if len(dense) < len(by_infill):
        sets.append((COMMON_SPARSE, list(by_infill)))
    return [(name, own, _have(by_infill, own)) for name, own in sets if len(own) > 1]


def _slice_sets(by_infill, infill):
    common = [(name, keep) for name, infills, keep in _rater_sets(by_infill) if infill in infills]
    return [(OWN, _have(by_infill, [infill])), *common]


def _score_table(rows, factor, by_level, sets, n_resamples):
    """Means of all scores at each level of a factor, over each of the level's slice sets."""
    classes = metrics.class_names(rows)
    grid = pd.MultiIndex.from_product([SCORES, [ALL, *classes]], names=["score", "group"])
    parts = []
    for level, scores in by_level.items():
        missing = scores["net_drop"].isna()
        in_group = {group: (group == ALL) | (scores["label"] == group) for group in grid.levels[1]}
        share = {group: 1 - missing[own].mean() for group, own in in_group.items()}
        why = {group: _counts(scores.loc[missing & own, "why"]) for group, own in in_group.items()}
        for name, keep in sets[level]:
            part = findings.score_means(
                scores[keep], list(SCORES), classes=classes, n_resamples=n_resamples
            )
            # Groups without a slice keep their line: it says why they have none.
            part = part if len(part) else pd.DataFrame(columns=_MEANS[1:9])
            part = part.set_index(["score", "group"]).reindex(grid).reset_index()
            part = part.fillna({"n_slices": 0, "n_persons": 0})
            part[factor], part["slices"] = level, name
            part["share_with_shams"] = part["group"].map(share)
            part["note"] = part["group"].map(why)
            parts.append(part)
    if not parts:
        return pd.DataFrame(columns=[factor, *_MEANS])
    table = pd.concat(parts, ignore_index=True).assign(n_places=control_places(rows))
    numbers = dict.fromkeys(_MEANS[3:7], float) | dict.fromkeys(_MEANS[7:10], int)
    return table[[factor, *_MEANS]].astype(numbers)


def _counts(reasons):
    return ", ".join(f"{reason}: {n}" for reason, n in reasons.value_counts().items())


def _agreement(values, table, n_resamples):
    """W and mean correlation of one group's rankings, with intervals over persons."""
    _, people = persons.checked(values[:, 0], table["person_id"], table["label"])
    owner = np.eye(len(people.names))[people.owner]  # (n_slices, n_persons)
    n_persons = len(people.names)
    draws = people.draw(n_resamples)
    counts = np.vstack([np.ones(n_persons), draws])
    free = n_persons, n_persons - len(np.unique(people.stratum))
    w, rho = concordance.rank_agreement(values, owner, counts)
    low, high = persons.interval(w[1:], *free)
    rho_low, rho_high = persons.interval(rho[1:], *free)
    return {
        "kendall_w": w[0], "low": low, "high": high,
        "chance": 1 / values.shape[1], "spearman": rho[0], "spearman_low": rho_low,
        "spearman_high": rho_high, "n_infills": values.shape[1], "n_slices": len(values),
        "n_persons": n_persons,
    }  # fmt: skip
