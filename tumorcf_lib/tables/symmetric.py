"""What no default class can fool: loss of ranking, and whose cue a transplant follows.

Three classes have no "nothing there", so a slice without its tumor is called *something*. A class
that is named by default loses nothing then, whatever the network looks at. How well a class is
told from the others (one-vs-rest AUC) does not know defaults, and a transplant has no empty slice.
"""

import itertools

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from tumorcf_lib.config import CLASSES
from tumorcf_lib.edits import conflicts, scores
from tumorcf_lib.edits.infills import HEADLINE_INFILL
from tumorcf_lib.edits.transplants import REMOVAL_DILATION_PX
from tumorcf_lib.stats import classification, networks, nulls
from tumorcf_lib.stats.persons import CONFIDENCE
from tumorcf_lib.stats.rows import answered, headline_rows
from tumorcf_lib.tables.fold_scores import SHUFFLED, UNIT, is_of_mr_site, outputs_of

WHOSE = ("own", "others'", "all")
"""Whose tumors are removed: those of the class that is told apart, of the others, of all."""

ALL_IDS, WITHOUT_MR = "all", "without MR..."


def auc_table(rows):
    """How much worse each class is told from the others once tumors are removed.

    Within each fold and seed, slices of one class against all others, by the probability of that
    class; every patient counts the same. Loss: AUC with shams (mean over a slice's places) less
    AUC with removals, of the same slices.

    Columns: network, patients ("all", "without MR..."), group, whose, auc (nothing edited), loss,
    low, high, null_low, null_high (where networks that know nothing fall),
    n_patients, n_seeds, n_null.

    The error is that of a two-sample U statistic over patients (DeLong et al., Biometrics 1988,
    patients in the place of cases) and of the networks, put together as in
    :func:`stats.networks.mean`: patients by their mean over seeds; networks by the variance
    between seeds less what patients add to it, or, of a single seed, by the spread of networks
    that know nothing.
    """
    found = []
    for (network, naming, fold), own in headline_rows(rows).groupby(["network", "naming", "fold"]):
        for patients, part in ((ALL_IDS, own), (WITHOUT_MR, own[~is_of_mr_site(own)])):
            for group in CLASSES:
                line = {"network": network, "naming": naming, "fold": fold}
                line |= {"patients": patients, "group": group}
                found += [line | losses for losses in _losses(part, group)]
    units = pd.DataFrame(found)
    keys = ["patients", "group", "whose"]
    of_nothing = units[units["network"] == SHUFFLED].groupby(keys)
    nothing = {key: _null(own) for key, own in of_nothing}
    rows, units = [], units[units["naming"] == 0]
    for key, own in units.groupby(["network", *keys], sort=False):
        line = dict(zip(["network", *keys], key, strict=True))
        rows.append(line | _pooled(own, nothing.get(key[1:], nulls.NO_NULL)))
    return pd.DataFrame(rows)


def _losses(rows, group):
    """Of one fold: AUC, each seed's loss, and its variance by patients and by chance of seeds."""
    edits, keys = ["original", "sham", "remove"], ["slice_id", "person_id", "label", "edit"]
    if not set(edits) <= set(rows["edit"]):
        return
    seeds = []
    for seed, one in rows.groupby("training_seed"):
        p = one.groupby(keys)[f"p_{group}"].mean().unstack("edit")  # places averaged
        table = p.dropna(subset=edits).reset_index()
        is_own = table["label"] == group
        seeds.append((seed, table[is_own], table[~is_own]))
    if min(part["person_id"].nunique() for _, *pair in seeds for part in pair) < 2:
        return
    auc = np.mean([_pairs(own, "original", others, "original").mean() for _, own, others in seeds])
    for whose in WHOSE:
        loss = np.stack([_loss(own, others, whose) for _, own, others in seeds])  # (seeds, n, m)
        apart = loss - loss.mean(axis=0)
        yield {
            "whose": whose,
            "auc": auc,
            "losses": loss.mean(axis=(1, 2)),
            "training_seed": [seed for seed, *_ in seeds],
            "variance": _variance(loss.mean(axis=0)),
            "by_chance": sum(map(_variance, apart)) / max(1, len(apart) - 1),
            "n_pairs": loss[0].size,
            "n_patients": loss.shape[1],
        }


def _loss(own, others, whose):
    """AUC's terms with shams less those with removals, of whose tumors; (n_own, n_others)."""

    def terms(edit):
        of_own = "original" if whose == "others'" else edit
        of_others = "original" if whose == "own" else edit
        return _pairs(own, of_own, others, of_others)

    return terms("sham") - terms("remove")


def _variance(terms):
    """Variance of the mean of a two-sample U statistic's terms (n, m)."""
    n, m = terms.shape
    return terms.mean(axis=1).var(ddof=1) / n + terms.mean(axis=0).var(ddof=1) / m


def _pairs(own, own_edit, others, others_edit):
    """How often a patient's slice ranks above another's: (n_own, n_others), ties count half."""
    p, q = own[own_edit].to_numpy(), others[others_edit].to_numpy()
    above = (p[:, None] > q) + 0.5 * (p[:, None] == q)  # (slices, slices)
    return _averaging(own) @ above @ _averaging(others).T


def _averaging(table):
    """Matrix from slices to their patients' means, (n_patients, n_slices)."""
    _, owner = np.unique(table["person_id"], return_inverse=True)
    matrix = (np.arange(owner.max() + 1)[:, None] == owner).astype(float)
    return matrix / matrix.sum(axis=1, keepdims=True)


def _null(folds):
    """What networks that know nothing lose, each on the patients of its fold."""
    losses = folds.explode(["losses", "training_seed"])
    by_network = losses.set_index([*nulls.DEAL, "fold"])["losses"].astype(float)
    of_deal = losses.assign(part=losses["losses"].astype(float) * losses["n_pairs"])
    of_deal = of_deal.groupby(nulls.DEAL)[["part", "n_pairs"]].sum()
    n_seeds = folds["losses"].map(len)
    of_patients = (folds["variance"] + (1 - 1 / n_seeds) * folds["by_chance"]).mean()
    return nulls.null_from(of_deal["part"] / of_deal["n_pairs"], by_network, of_patients)


def _pooled(folds, null):
    """Folds by their numbers of pairs, seeds alike."""
    weight = (folds["n_pairs"] / folds["n_pairs"].sum()).to_numpy()
    losses, n_folds = folds["losses"], len(folds)
    n_seeds = min(map(len, losses))  # networks that know nothing may lack some of a fold
    n_patients = int(folds["n_patients"].sum())
    of_networks, total, df = np.zeros(n_folds), np.zeros(n_folds), 1
    if n_seeds > 1:
        total = np.array([own.var(ddof=1) for own in losses]) / n_seeds
        df = n_folds * (n_seeds - 1)
        of_networks = np.maximum(0, total - folds["by_chance"].to_numpy() / n_seeds)
    elif null.n >= nulls.FEWEST:
        of_networks = total = of_networks + null.network_sd**2
        df = null.network_df
    squares = folds["variance"].to_numpy(), of_networks, total
    of_patients, of_networks, total = (float(weight**2 @ own) for own in squares)
    error2, free = of_patients + of_networks, max(1, n_patients - n_folds)
    if of_networks:
        free = nulls.freedom(error2, (of_patients, free), (total, df))
    auc, loss = float(weight @ folds["auc"].to_numpy()), float(weight @ losses.map(np.mean))
    reach = stdtrit(free, (1 + CONFIDENCE) / 2) * np.sqrt(error2)
    found = {"auc": auc, "loss": loss, "low": loss - reach, "high": loss + reach}
    band = null.columns
    return found | band | {"n_patients": n_patients, "n_seeds": n_seeds, "n_null": null.n}


def transplants_table(rows, removed=None, *, by="network", classes=CLASSES):
    """Whether transplants follow the tumor, the head, or neither, by pair of classes.

    Columns: ``by``, kind ("conflict": a tumor of another class; "control": the own tumor elsewhere
    in its own head), donor (class of the tumor, or "all"), host (class of the head, or "all"),
    tumor, tumor_low, tumor_high, head, head_low, head_high, neither (shares, every host patient
    counting the same), n_patients, n_slices, n_seeds, depth_gap_px (median absolute difference
    between the place's depth below the head's surface and the tumor's own). In the control "tumor"
    means that the class was kept, and "head" is empty.

    With ``removed``, the rows of the same networks' audit, also without (the share of the same
    heads that are called the tumor's class with their own tumor painted out as it was for the
    transplant, and nothing set in), and gain, gain_low, gain_high: what the tumor adds to that.
    """
    made = rows[rows["reason"] == ""].copy()
    made["control"] = made["slice_id"].astype(str) == made["donor_slice_id"].astype(str)
    found = []
    for network, own in made.groupby(by):
        followed = conflicts.followed(own, scores.class_names(outputs_of(own)))
        own = own.assign(**{name: followed == name for name in ("tumor", "head", "neither")})
        if removed is not None:
            own["without"] = _empty_heads(own, removed)
            own["gain"] = own["tumor"] - own["without"]
        each = [(name, "all") for name in classes]
        pairs = list(itertools.permutations(classes, 2))
        for kind, part, wanted in (
            ("conflict", own[~own["control"]], each + pairs),
            ("control", own[own["control"]], [(name, name) for name in classes]),
        ):
            for pair in [("all", "all"), *wanted]:
                found.append({by: network, "kind": kind} | _shares(part, kind, *pair))
    return pd.DataFrame(found)


def _empty_heads(made, removed):
    """Whether each transplant's head, its tumor painted out, is called by the donor's class."""
    grown = (removed["edit"] == "remove") & (removed["dilation_px"] == REMOVAL_DILATION_PX)
    grown &= (removed["infill"] == HEADLINE_INFILL) & removed["network"].isin(made["network"])
    grown = answered(outputs_of(removed[grown]))
    keys = [*UNIT, "slice_id"]
    called = pd.Series(classification.predicted(grown), pd.MultiIndex.from_frame(grown[keys]))
    found = called.reindex(pd.MultiIndex.from_frame(made[keys])).to_numpy()
    return np.where(pd.isna(found), np.nan, found == made["donor_label"].to_numpy())


def _shares(rows, kind, donor, host):
    rows = rows if donor == "all" else rows[rows["donor_label"] == donor]
    rows = rows if host == "all" else rows[rows["label"] == host]
    tumor, head, neither = (networks.mean(rows, name) for name in ("tumor", "head", "neither"))
    line = {"donor": donor, "host": host}
    for name, e in (("tumor", tumor), ("head", head)):
        line |= e.columns(name, ends=f"{name}_", bounds=(0, 1))
    if kind == "control":
        line |= dict.fromkeys(("head", "head_low", "head_high"), np.nan)
    gap = (rows["depth_px"] - rows["donor_depth_px"]).abs().median()
    line |= {"neither": neither.value} | tumor.counts | {"depth_gap_px": gap}
    if "gain" in rows:
        line["without"] = networks.mean(rows, "without").value
        line |= networks.mean(rows, "gain").columns("gain", ends="gain_")
    return line
