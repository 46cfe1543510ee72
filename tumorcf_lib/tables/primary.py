"""The study's answer: the primary claims read against networks that know nothing.

From the folds' rows alone. Two claims have no such networks: finding 3 is read against 0, finding 5
against one half. Every patient counts the same; intervals are over patients and
networks. What has no claim is an estimate without verdict words.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tumorcf_lib.config import CLASSES
from tumorcf_lib.stats import networks
from tumorcf_lib.stats.verdicts import holm
from tumorcf_lib.tables.fold_scores import EDITS, PLAIN, SHUFFLED, by_group, of_group

SCORES = (
    "delta_drop sham_drop net_drop net_drop_like_energy net_drop_grown net_drop_lo delta_focus "
    "net_focus focus_over_background"
).split()


@dataclass(frozen=True)
class Claim:
    """One sentence of the paper with the number that decides it.

    ``groups``: the class whose mean of ``score`` is claimed to be above its null; of two, the
    first's less the second's. Other kinds than "mean" have computations of their own.
    """

    finding: int
    claim: str
    score: str
    groups: tuple[str, ...]
    kind: str = "mean"
    side: str = "above"


TUMORS = {name: f"{name} tumor" if name == "pituitary" else name for name in CLASSES}
FINDINGS = {
    1: "Removing a {} lowers its probability more than a sham does",
    2: "A {} alone keeps more probability than tumor-free tissue of its shape",
    3: "Slices called wrong lean less on the tumor than slices called right",
    4: "Pituitary tumors are leaned on more than {}s",
    5: "Most errors are between meningioma and glioma",
    6: "The tumor alone tells more than the background alone",
}
ALIKE = f"{FINDINGS[3]} of equal P(original)"
"""The control of finding 3: a slice called wrong has less probability that it could lose."""
OTHERS = [name for name in CLASSES if name != "pituitary"]

CLAIMS = (
    *(Claim(1, FINDINGS[1].format(TUMORS[name]), "net_drop", (name,)) for name in CLASSES),
    *(Claim(2, FINDINGS[2].format(TUMORS[name]), "net_focus", (name,)) for name in CLASSES),
    Claim(3, FINDINGS[3], "delta_drop", ("all",), "wrong", "below"),
    Claim(3, ALIKE, "delta_drop", ("of equal P(original)",), "alike", "below"),
    *(Claim(4, FINDINGS[4].format(name), "net_drop", ("pituitary", name)) for name in OTHERS),
    Claim(5, FINDINGS[5], "share of errors", ("all",), "errors"),
    Claim(6, FINDINGS[6], "focus_over_background", ("all",)),
)
"""The primary claims; all other numbers are estimates without verdict words."""


def still_right_table(scores):
    """Share of slices still called right after each edit, by network and group.

    Columns: network, group, edit, share, low, high, n_patients, n_slices, n_seeds, no_tumor (share
    called so, by a network that can; else 0). Every patient counts the same.
    """
    rows = []
    for line, own in by_group(scores):
        for edit in EDITS:
            e = networks.mean(own, f"right_{edit}")
            line |= {"edit": edit} | e.columns("share", bounds=(0, 1)) | e.counts
            rows.append(line | {"no_tumor": networks.mean(own, f"no_tumor_{edit}").value})
    return pd.DataFrame(rows)


def estimates_table(scores):
    """Every score of every kind of network and group, with its null band.

    Columns: network, group, score, effect, low, high (over patients and networks), network_error,
    null_low, null_high (where as many networks that know nothing would fall), n_patients, n_slices,
    n_seeds, n_null.
    """
    nothing = scores[scores["network"] == SHUFFLED]
    rows = []
    for line, own in by_group(scores):
        for score in SCORES:
            null = networks.null_of(score, of_group(nothing, line["group"]))
            of_null = line["network"] == SHUFFLED
            e = networks.mean(own, score, null=networks.NO_NULL if of_null else null)
            rows.append(line | {"score": score} | _columns(e, null))
    return pd.DataFrame(rows)


def _columns(e, null):
    band = dict(zip(("null_low", "null_high"), null.band(max(1, e.n_networks)), strict=True))
    error = {"network_error": e.network_error}
    return e.columns() | error | band | e.counts | {"n_null": null.n}


def primary_table(scores):
    """The primary claims of the plain networks: estimate, null band, Holm's p, verdict.

    Columns: finding, claim, score, group, those of :func:`estimates_table`, p (two-sided, of the
    estimate being one of networks that know nothing), p_holm (over all claims), verdict
    (:data:`stats.networks.HOLDS`, ``FAILS`` or ``OPEN``) and reason. Closed form: nothing is drawn,
    so no seed of a bootstrap can change a verdict.
    """
    own, nothing = (scores[scores["network"] == name] for name in (PLAIN, SHUFFLED))
    found = [_claimed(claim, own, nothing) for claim in CLAIMS]
    p = np.array([networks.against_null(e, null) for e, null in found])
    corrected = holm(p)
    rows = []
    for claim, (e, null), one, p_holm in zip(CLAIMS, found, p, corrected, strict=True):
        verdict, reason = networks.verdict(e, null, p_holm, claim.side, alone=one)
        if claim.finding == 3 and e.n_seeds < 2:
            reason = "one training seed"
        line = {"finding": claim.finding, "claim": claim.claim, "score": claim.score}
        line |= {"group": " less ".join(claim.groups)} | _columns(e, null)
        rows.append(line | {"p": one, "p_holm": p_holm, "verdict": verdict, "reason": reason})
    return pd.DataFrame(rows)


def claims_of_run(scores):
    """The primary claims' numbers by the one network of a run: estimates, no verdicts.

    From :func:`edits.scores.slice_scores`. Columns: finding, claim, score, group, effect, low, high
    (over patients, for this one network), n_patients, n_slices. Every patient counts the same, so
    means differ from ``table_scores``. Finding 3 needs another training to judge who is right: NaN,
    and its control is left out.
    """
    own = scores.assign(network=PLAIN, training_seed=0, fold=0)
    own["focus_over_background"] = own["p_only"] - own["p_background"]
    said = ["finding", "claim", "score", "group"]
    table = primary_table(own)[[*said, "effect", "low", "high", "n_patients", "n_slices"]]
    return table[table["claim"] != ALIKE].reset_index(drop=True)


def _claimed(claim, own, nothing):
    """Estimate and null of a claim."""
    if claim.kind == "errors":
        return share_of_errors(own), networks.fixed(1 / 2)
    if claim.kind in ("wrong", "alike"):
        alike = claim.kind == "alike"
        return wrong_less_right(own, claim.score, alike=alike), networks.fixed(0)
    parts = [of_group(nothing, group) for group in claim.groups]
    found = [
        networks.mean(of_group(own, group), claim.score, null=networks.null_of(claim.score, part))
        for group, part in zip(claim.groups, parts, strict=True)
    ]
    return _difference(*found), networks.null_of(claim.score, *parts)


def _difference(e, *other):
    """An estimate, or the first less the second, of different patients."""
    if not other:
        return e
    (f,) = other
    error = float(np.hypot(e.error, f.error))
    df = error**4 / (e.error**4 / e.df + f.error**4 / f.df) if error else min(e.df, f.df)
    network_error = float(np.hypot(e.network_error, f.network_error))
    found = {"value": e.value - f.value, "error": error, "df": df, "network_error": network_error}
    n = {"n_patients": e.n_patients + f.n_patients, "n_slices": e.n_slices + f.n_slices}
    return replace(e, **found, **n)


def share_of_errors(scores):
    """Which share of the errors lies between meningioma and glioma; a ratio over patients.

    Its error is that of a ratio estimate: residuals of the patients' errors between the two
    classes from the share times all their errors.
    """
    wrong, between = scores["predicted"] != scores["label"], ("meningioma", "glioma")
    among = wrong & scores["label"].isin(between) & scores["predicted"].isin(between)
    table = scores.assign(wrong=wrong.astype(float), among=among.astype(float))
    parts = [networks.by_patient(table, name)[0] for name in ("among", "wrong")]
    n, n_seeds = parts[0].shape
    among, wrong = (part.mean(axis=1) for part in parts)
    if not wrong.sum():
        return _estimate(np.nan, np.nan, np.nan, n, 0, n_seeds)
    share = among.sum() / wrong.sum()
    error = np.sqrt(((among - share * wrong) ** 2).sum() * n / (n - 1)) / wrong.sum()
    n_errors = int(table["wrong"].sum() / max(1, n_seeds))
    return _estimate(share, error, n - 1.0, int((wrong > 0).sum()), n_errors, n_seeds)


def _estimate(value, error, df, n_patients, n_slices, n_seeds):
    """An Estimate whose error is the patients' alone."""
    return networks.Estimate(float(value), float(error), df, np.nan, n_patients, n_slices, n_seeds)


def wrong_less_right(scores, score, *, alike=False):
    """A score on slices called wrong less that on slices called right, within classes.

    With ``alike``, among slices of equal P(original): what a slice could lose is part of the fit, a
    line for each class.

    Whether a slice is called right is judged by *another* seed's network of its fold: chosen by
    the network whose fall is measured, slices called right would fall by chance alone. Weighted
    least squares with a level for each class, every patient counting the same, and an error
    that counts patients (clustered sandwich).
    """
    seeds = sorted(scores["training_seed"].unique())
    nothing = _estimate(np.nan, np.nan, np.nan, 0, 0, len(seeds))
    if len(seeds) < 2:
        return nothing
    after = dict(zip(seeds, [*seeds[1:], seeds[0]], strict=True))
    judge = scores.set_index(["training_seed", "slice_id"])["correct"]
    at = pd.MultiIndex.from_arrays([scores["training_seed"].map(after), scores["slice_id"]])
    table = scores.assign(wrong=1.0 - judge.reindex(at).to_numpy(float))
    table = table[np.isfinite(table[score]) & np.isfinite(table["wrong"])]
    if table["wrong"].nunique() < 2:
        return nothing
    from statsmodels.regression.linear_model import WLS  # takes a second to import

    levels = pd.get_dummies(table["label"], dtype=float)
    lines = [levels.mul(table["p_orig"], axis=0)] if alike else []
    x = np.column_stack([table["wrong"], levels, *lines])
    by = table.groupby("person_id")
    n, weights = by.ngroups, 1 / by["label"].transform("size").to_numpy()
    clusters = {"groups": by.ngroup().to_numpy(), "use_correction": False}
    model = WLS(table[score].to_numpy(float), x, weights=weights)
    fit = model.fit(cov_type="cluster", cov_kwds=clusters)
    error = fit.bse[0] * np.sqrt(n / (n - 1))
    n_wrong = table.loc[table["wrong"] == 1, "person_id"].nunique()
    return _estimate(fit.params[0], error, n_wrong - 1.0, n, len(table) // len(seeds), len(seeds))
