"""What no default class can fool: loss of ranking, and whose cue a transplant follows.

Three classes have no "nothing there", so a slice without its tumor is called *something*. A class
that is named by default loses nothing then, whatever the network looks at. How well a class is
told from the others (one-vs-rest AUC) does not know defaults, and a transplant has no empty slice.
"""

import numpy as np
import pandas as pd

from tumorcf_lib.config import CLASSES
from tumorcf_lib.edits import conflicts
from tumorcf_lib.stats import networks
from tumorcf_lib.stats.rows import headline_rows
from tumorcf_lib.tables.fold_scores import KEYS, SHUFFLED

WHOSE = ("own", "others'", "all")
"""Whose tumors are removed: those of the class that is told apart, of the others, of all."""

ALL_IDS, WITHOUT_MR = "all", "without MR..."


def auc_table(rows):
    """How much worse each class is told from the others once tumors are removed.

    Within each fold and seed, slices of one class against all others, by the probability of that
    class; every patient counts the same. Loss: AUC with shams (mean over a slice's places) less
    AUC with removals, of the same slices.

    Parameters
    ----------
    rows : DataFrame
        Audit rows of :func:`fold_scores.scaled`.

    Returns
    -------
    DataFrame
        network, patients ("all", "without MR..."), group, whose, auc (nothing edited), loss, low,
        high, n_patients, n_seeds. The error is that of a two-sample U statistic over patients
        (DeLong et al., Biometrics 1988, patients in the place of cases), and of the networks
        where there are several seeds.
    """
    found = []
    for key, own in headline_rows(rows).groupby([*KEYS, "fold"]):
        for name, part in ((ALL_IDS, own), (WITHOUT_MR, _without_mr(own))):
            for group in CLASSES:
                found += _losses(_by_slice(part, group), group, [*key, name])
    columns = [*KEYS, "fold", "patients", "group", "whose", "auc", "loss", "variance", "weight",
               "n_patients"]
    units = pd.DataFrame(found, columns=columns)
    keys = ["network", "patients", "group", "whose"]
    return pd.DataFrame([
        dict(zip(keys, key, strict=True)) | _pooled(own)
        for key, own in units.groupby(keys, sort=False)
    ])


def _without_mr(rows):
    return rows[~rows["person_id"].astype(str).str.startswith("MR")]


def _by_slice(rows, group):
    """A class's probability by slice (index: slice, person, label) and edit, places averaged."""
    keys = ["slice_id", "person_id", "label"]
    return rows.groupby([*keys, "edit"])[f"p_{group}"].mean().unstack("edit").reset_index()


def _losses(table, group, key):
    edits = ["original", "sham", "remove"]
    if not set(edits) <= set(table):
        return
    table = table.dropna(subset=edits)
    own, others = table[table["label"] == group], table[table["label"] != group]
    if min(own["person_id"].nunique(), others["person_id"].nunique()) < 2:
        return
    plain = _pairs(own, "original", others, "original")
    for whose in WHOSE:
        control, removed = (
            _pairs(own, edit if whose != WHOSE[1] else "original",
                   others, edit if whose != WHOSE[0] else "original")
            for edit in ("sham", "remove")
        )
        loss = control - removed
        n, m = loss.shape
        variance = loss.mean(axis=1).var(ddof=1) / n + loss.mean(axis=0).var(ddof=1) / m
        yield [*key, group, whose, plain.mean(), loss.mean(), variance, n * m, n]


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


def _pooled(units):
    """Folds by their numbers of pairs, seeds alike."""
    by = units.pivot(index="fold", columns="training_seed", values="loss").dropna()
    first = units.drop_duplicates("fold").set_index("fold").loc[by.index]
    weight = (first["weight"] / first["weight"].sum()).to_numpy()
    variance = units.groupby("fold")["variance"].mean().loc[by.index].to_numpy()
    auc = units.groupby("fold")["auc"].mean().loc[by.index].to_numpy()
    of_networks = 0.0
    if by.shape[1] > 1:
        of_networks = (weight**2 * by.var(axis=1, ddof=1).to_numpy() / by.shape[1]).sum()
    error = np.sqrt((weight**2 * variance).sum() + of_networks)
    loss = float(weight @ by.mean(axis=1).to_numpy())
    return {
        "auc": float(weight @ auc), "loss": loss, "low": loss - 1.96 * error,
        "high": loss + 1.96 * error, "n_patients": int(first["n_patients"].sum()),
        "n_seeds": by.shape[1],
    }


def transplants_table(rows):
    """Whether transplants follow the tumor, the head, or neither, by pair of classes.

    Parameters
    ----------
    rows : DataFrame
        Of :func:`edits.conflicts.audit_transplants`, with network, training_seed and fold.

    Returns
    -------
    DataFrame
        network, kind ("conflict": a tumor of another class; "control": the own tumor elsewhere
        in its own head), donor (class of the tumor, or "all"), host (class of the head, or
        "all"), tumor, tumor_low, tumor_high, head, head_low, head_high, neither (shares, every
        host patient counting the same), n_patients, n_slices, n_seeds. In the control "tumor"
        means that the class was kept, and "head" is empty.
    """
    made = rows[rows["reason"] == ""].copy()
    made["followed"] = conflicts.followed(made, CLASSES)
    for name in ("tumor", "head", "neither"):
        made[name] = (made["followed"] == name).astype(float)
    made["control"] = made["slice_id"].astype(str) == made["donor_slice_id"].astype(str)
    found = []
    for network, own in made.groupby("network"):
        if network == SHUFFLED:
            continue
        for kind, part in (("conflict", own[~own["control"]]), ("control", own[own["control"]])):
            pairs = [("all", "all"), *((d, "all") for d in CLASSES), *(
                (d, h) for d in CLASSES for h in CLASSES if d != h)]
            if kind == "control":
                pairs = [("all", "all"), *((name, name) for name in CLASSES)]
            found += [_shares(part, network, kind, *pair) for pair in pairs]
    return pd.DataFrame(found)


def _shares(rows, network, kind, donor, host):
    rows = rows if donor == "all" else rows[rows["donor_label"] == donor]
    rows = rows if host == "all" else rows[rows["label"] == host]
    tumor, head, neither = (networks.mean(rows, name) for name in ("tumor", "head", "neither"))
    line = {"network": network, "kind": kind, "donor": donor, "host": host}
    for name, e in (("tumor", tumor), ("head", head)):
        low, high = np.clip(e.interval, 0, 1)
        line |= {name: e.value, f"{name}_low": low, f"{name}_high": high}
    if kind == "control":
        line |= dict.fromkeys(("head", "head_low", "head_high"), np.nan)
    return line | {"neither": neither.value, "n_patients": tumor.n_patients,
                   "n_slices": tumor.n_slices, "n_seeds": tumor.n_seeds}
