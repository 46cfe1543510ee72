"""Three networks side by side: the study's own, one hardened to edits, one made to look.

All are scored on the same slices, so each difference to the plain network is taken slice by
slice. The other networks saw Navier-Stokes edits in training; "unseen" means every other infill.
"""

import numpy as np
import pandas as pd

from tumorcf_lib.edits.infills import HEADLINE_INFILL
from tumorcf_lib.stats import estimates, metrics
from tumorcf_lib.stats.claims import ALL

PLAIN, HARDENED, LOOKING = "plain", "hardened", "looking"
UNSEEN = "unseen"
SCORES = (
    "accuracy", "person_accuracy", "p_orig", "delta_drop", "sham_drop", "net_drop",
    "delta_focus", "net_focus", "net_drop_lo",
)  # fmt: skip
SHARES = ("accuracy", "person_accuracy")
COLUMNS = (
    "network", "score", "infill", "group", "effect", "low", "high", "mean_of_person_means",
    "n_slices", "n_persons", "change", "change_low", "change_high", "change_p", "n_paired",
)  # fmt: skip


def networks_table(rows, rows_networks=None, *, n_resamples):
    """How accurate each network is, and how much it leans on the tumor, overall and by class.

    Parameters
    ----------
    rows : DataFrame
        The plain network's audit rows.
    rows_networks : DataFrame, optional
        The same of further networks, with a column ``network``.
    n_resamples : int

    Returns
    -------
    DataFrame
        network, score, infill, group, effect, low, high, mean_of_person_means, n_slices,
        n_persons; change: this network minus the plain one on the slices that both have a score
        of, with its interval, p against 0 and n_paired (slices, for person_accuracy
        persons); NaN for the plain network. Scores: accuracy (share of slices called right),
        person_accuracy (of persons, by mean probability; n_slices counts persons there), and those
        of ``metrics.slice_scores``; net_drop comes for every infill and for "unseen", the
        mean over each slice's infills but Navier-Stokes. ``net_drop_gap``: unseen minus
        Navier-Stokes on the slices that have both; below 0, the drop is partly bound to the
        infill trained on. Delta-, Sham- and Net-Drop are means over slices that have shams.
    """
    own = {PLAIN: rows}
    if rows_networks is not None:
        own |= {name: of_network(rows_networks, name)
                for name in dict.fromkeys(rows_networks["network"])}
    values = {name: _values(of) for name, of in own.items()}
    groups = estimates.groups(rows)
    lines = []
    for network, scores in values.items():
        for (score, infill), table in scores.items():
            partner = values[PLAIN].get((score, infill)) if network != PLAIN else None
            for group in groups:
                how = estimates.share if score in SHARES else estimates.mean
                found = how(estimates.of_group(table, group), "value", n_resamples=n_resamples)
                lines.append({
                    "network": network, "score": score, "infill": infill, "group": group,
                    **estimates.columns_of(found),
                    **_change(table, partner, group, n_resamples),
                })
    return pd.DataFrame(lines, columns=list(COLUMNS))


def of_network(rows_networks, network):
    """The rows of one network."""
    return rows_networks[rows_networks["network"] == network].drop(columns="network")


def _values(rows):
    """(score, infill) -> table of slice_id, person_id, label, value."""
    scores = metrics.slice_scores(rows)
    scores["accuracy"] = scores["correct"].astype(float)
    for suffix in ("", "_lo"):
        # Delta, Sham and Net add up only over the same slices.
        for name in ("delta_drop", "sham_drop"):
            has_sham = scores[f"net_drop{suffix}"].notna()
            scores[f"{name}{suffix}"] = scores[f"{name}{suffix}"].where(has_sham)
    found = {}
    for name in SCORES:
        if name == "person_accuracy":
            found[name, ""] = _persons(rows)
        else:
            found[name, HEADLINE_INFILL if "drop" in name else ""] = _column(scores, name)
    others = [i for i in dict.fromkeys(rows["infill"]) if i not in ("", HEADLINE_INFILL)]
    if others:
        found |= _unseen(rows, scores, others)
    return found


def _unseen(rows, scores, infills):
    """Net-Drop under each infill that is no headline, and their mean on each slice."""
    rows = rows[rows["edit"].isin(("original", "remove", "sham"))]
    found, drops = {}, []
    for infill in infills:
        own = metrics.slice_scores(rows, infill=infill)
        found["net_drop", infill] = _column(own, "net_drop")
        drops.append(own.set_index("slice_id")["net_drop"].reindex(scores["slice_id"]).to_numpy())
    # Missing infills of a slice (no mirror image) leave its mean to the others.
    drops = np.stack(drops, axis=1)  # (n_slices, n_infills)
    mean, _ = metrics.mean_over_places(drops)
    found["net_drop", UNSEEN] = _column(scores.assign(unseen=mean), "unseen")
    gap = scores.assign(gap=mean - scores["net_drop"])
    found["net_drop_gap", UNSEEN] = _column(gap, "gap")
    return found


def _column(scores, name):
    return scores[["slice_id", "person_id", "label"]].assign(value=scores[name].astype(float))


def _persons(rows):
    """One row per person: whether its mean probability names its class."""
    persons = metrics.person_predictions(rows[rows["edit"] == "original"])
    classes = np.array(metrics.class_names(rows), object)
    p = persons[[f"p_{name}" for name in classes]].to_numpy()
    value = (classes[p.argmax(axis=1)] == persons["label"]).astype(float)
    return persons.assign(slice_id=persons["person_id"], value=value)[
        ["slice_id", "person_id", "label", "value"]
    ]


def _change(table, partner, group, n_resamples):
    if partner is None:
        return {}
    both = table.merge(partner[["slice_id", "value"]], on="slice_id", suffixes=("", "_plain"))
    both["change"] = both["value"] - both["value_plain"]
    e = estimates.mean(estimates.of_group(both, group), "change", n_resamples=n_resamples)
    low, high = e.low, e.high
    if low == high:  # no person changed, so resampling cannot tell how far persons might
        low = high = np.nan
    return {"change": e.value, "change_low": low, "change_high": high, "change_p": e.p,
            "n_paired": e.n_slices}


def beside_plain(table, *, group=ALL):
    """The table of one group as a reader wants it: a row a score, a column a network, as text.

    Examples
    --------
    >>> table = pd.DataFrame({
    ...     "network": ["plain", "looking"], "score": "net_drop", "infill": "telea",
    ...     "group": "all", "effect": [0.1, 0.4], "low": [0.0, np.nan], "high": [0.2, np.nan]})
    >>> beside_plain(table).to_dict("records")
    [{'plain': '0.100 [0.000, 0.200]', 'looking': '0.400'}]
    """
    own = table[table["group"] == group].copy()
    own["text"] = [
        f"{e:.3f} [{low:.3f}, {high:.3f}]" if np.isfinite(low) else f"{e:.3f}"
        for e, low, high in zip(own["effect"], own["low"], own["high"], strict=True)
    ]
    wide = own.pivot(index=["score", "infill"], columns="network", values="text")
    order = own.drop_duplicates(["score", "infill"]).set_index(["score", "infill"]).index
    return wide.reindex(index=order, columns=list(dict.fromkeys(own["network"]))).fillna("")
