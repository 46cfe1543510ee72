"""The study's answer: the primary claims read against networks that know nothing.

From the folds' rows alone. Only finding 5, of whose errors such networks say nothing, is read
against a fixed number, one half. Every patient counts the same; intervals are over patients and
networks. What has no claim is an estimate without verdict words.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tumorcf_lib.config import CLASSES
from tumorcf_lib.stats import networks, nulls
from tumorcf_lib.tables.fold_scores import EDITS, PLAIN, SHUFFLED, WITHOUT_MR, by_group, of_group

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
    null_low, null_high (where networks that know nothing fall), n_patients, n_slices, n_seeds,
    n_null.
    """
    nothing = scores[scores["network"] == SHUFFLED]
    rows = []
    for line, own in by_group(scores):
        for score in SCORES:
            null = nulls.null_of(score, of_group(nothing, line["group"]))
            e = networks.mean(own, score, null=null)
            rows.append(line | {"score": score} | _columns(e, null))
    return pd.DataFrame(rows)


def _columns(e, null):
    of_networks = {"network_error": e.network_error} | null.columns
    return e.columns() | of_networks | e.counts | {"n_null": null.n}


def primary_table(scores):
    """The primary claims of each kind of network: estimate, null band, Holm's p, verdict.

    Columns: network (the plain ones, then every other kind but those of one site), finding, claim,
    score, group, those of :func:`estimates_table`, p (two-sided, of the estimate being one of
    networks that know nothing), p_holm (over all claims of a kind), verdict
    (:data:`stats.nulls.HOLDS`, ``FAILS`` or ``OPEN``), reason, and verdict_as_dealt: against the
    shuffles under the names as dealt alone, should an output's name be no chance after all. Closed
    form: nothing is drawn, so no seed of a bootstrap can change a verdict.
    """
    by = dict(list(scores.groupby("network")))
    plain, nothing = by.pop(PLAIN), by.pop(SHUFFLED, scores[:0])
    by.pop(WITHOUT_MR, None)
    parts = [_claims(name, own, nothing, plain) for name, own in ({PLAIN: plain} | by).items()]
    return pd.concat(parts, ignore_index=True)


def _claims(network, own, nothing, plain):
    """The lines of one kind of network; ``plain`` judge what is called wrong in finding 3."""
    found = [_claimed(claim, own, nothing, plain) for claim in CLAIMS]
    is_single = own["training_seed"].nunique() < 2
    as_dealt = [_claimed(claim, own, nothing[nothing["naming"] == 0], plain) for claim in CLAIMS]
    p, p_dealt = ([nulls.against_null(*pair) for pair in pairs] for pairs in (found, as_dealt))
    rows, each = [], (CLAIMS, found, as_dealt, p, holm(p), holm(p_dealt))
    for claim, (e, null), dealt, one, p_holm, p_alone in zip(*each, strict=True):
        verdict, reason = nulls.verdict(e, null, p_holm, claim.side, alone=one)
        if is_single and claim.kind != "mean" and not (null.n and e.n_patients):
            reason = "one training seed"
        line = {"network": network, "finding": claim.finding, "claim": claim.claim}
        line |= {"score": claim.score, "group": " less ".join(claim.groups)} | _columns(e, null)
        line |= {"p": one, "p_holm": p_holm, "verdict": verdict, "reason": reason}
        verdict, _ = nulls.verdict(*dealt, p_alone, claim.side)
        rows.append(line | {"verdict_as_dealt": verdict})
    return pd.DataFrame(rows)


def claims_of_run(scores):
    """The primary claims' numbers by the one network of a run: estimates, no verdicts.

    From :func:`edits.scores.slice_scores`. Columns: finding, claim, score, group, effect, low, high
    (over patients, for this one network), n_patients, n_slices. Every patient counts the same, so
    means differ from ``table_scores``. Finding 3 needs another training to judge who is right: NaN,
    and its control is left out.
    """
    own = scores.assign(network=PLAIN, training_seed=0, fold=0, naming=0)
    own["focus_over_background"] = own["p_only"] - own["p_background"]
    said = ["finding", "claim", "score", "group"]
    table = primary_table(own)[[*said, "effect", "low", "high", "n_patients", "n_slices"]]
    return table[table["claim"] != ALIKE].reset_index(drop=True)


def _claimed(claim, own, nothing, judges):
    """Estimate and null of a claim."""
    if claim.kind == "errors":
        e = share_of_errors(own)  # nothing tells how far another training of one seed would lie
        return e, nulls.ONE_HALF if e.n_seeds > 1 else nulls.NO_NULL
    if claim.kind in ("wrong", "alike"):
        how = {"judges": judges, "alike": claim.kind == "alike"}
        found, known = (wrong_less_right(by, claim.score, **how) for by in (own, nothing))
        null = nulls.null_of("part", known)
        return networks.mean(found, "part", null=null), null
    parts = [of_group(nothing, group) for group in claim.groups]
    found = [
        networks.mean(of_group(own, group), claim.score, null=nulls.null_of(claim.score, part))
        for group, part in zip(claim.groups, parts, strict=True)
    ]
    null = nulls.null_of(claim.score, *parts)
    return found[0] if len(found) == 1 else _difference(*found), null


def _difference(e, f):
    """The first estimate less the second, of different patients."""
    error = float(np.hypot(e.error, f.error))
    parts = (e.error**2, e.df), (f.error**2, f.df)
    df = nulls.freedom(error**2, *parts) if error else min(e.df, f.df)
    network_error = float(np.hypot(e.network_error, f.network_error))
    found = {"value": e.value - f.value, "error": error, "df": df, "network_error": network_error}
    n = {"n_patients": e.n_patients + f.n_patients, "n_slices": e.n_slices + f.n_slices}
    return replace(e, **found, **n)


def share_of_errors(scores):
    """Which share of the errors lies between meningioma and glioma; a ratio over patients.

    Its error is that of the mean of the linearized ratio, ``share + (among - share * wrong) / W``
    with W errors of a patient's slice in the mean. Its counts are those of errors.
    """
    wrong, between = scores["predicted"] != scores["label"], ("meningioma", "glioma")
    among = wrong & scores["label"].isin(between) & scores["predicted"].isin(between)
    patients = [scores["training_seed"], scores["person_id"]]
    mean_among, mean_wrong = (part.groupby(patients).mean().mean() for part in (among, wrong))
    share = mean_among / mean_wrong if mean_wrong else np.nan
    e = networks.mean(scores.assign(part=share + (among - share * wrong) / mean_wrong), "part")
    n_errors = int(wrong.sum() / max(1, e.n_seeds))
    return replace(e, n_patients=scores.loc[wrong, "person_id"].nunique(), n_slices=n_errors)


def wrong_less_right(scores, score, *, judges, alike=False):
    """A score on slices called wrong less that on slices called right, within classes.

    With ``alike``, among slices of equal P(original): what a slice could lose is part of the fit, a
    line for each class.

    Whether a slice is called right is judged by the networks of ``judges`` of its fold and
    *another* seed: chosen by the network whose fall is measured, slices called right would fall by
    chance alone. Networks of shuffled labels, of which none is right but by chance, are
    judged by all of ``judges``.

    Weighted least squares with a level for each class, every patient counting the same. Returned
    is, a row a slice and network, the column "part", whose mean over patients is the slope,
    linearized about all of them together: its mean over a network's patients is nearly what the
    slope would be by that network.
    Empty without another seed, or where none is called wrong.
    """
    of_judge = judges[["training_seed", "slice_id", "correct"]]
    table = scores.merge(of_judge, on="slice_id", suffixes=("", "_of_judge"))
    is_other = table["training_seed"] != table["training_seed_of_judge"]
    table = table[(is_other | (table["network"] == SHUFFLED)) & np.isfinite(table[score])]
    wrong = 1.0 - table["correct_of_judge"].to_numpy(float)
    if len(np.unique(wrong)) < 2:
        return table[:0].assign(part=np.nan)
    levels = pd.get_dummies(table["label"], dtype=float)
    lines = [levels.mul(table["p_orig"], axis=0)] if alike else []
    x, y = np.column_stack([wrong, levels, *lines]), table[score].to_numpy(float)
    patients = table.groupby(["training_seed", "naming", "person_id"])["slice_id"]
    weighted = x / patients.transform("size").to_numpy()[:, None]
    inverse = np.linalg.pinv(weighted.T @ x)
    slopes = inverse @ weighted.T @ y
    part = slopes[0] + patients.ngroups * (x @ inverse[0]) * (y - x @ slopes)
    unit = ["training_seed", "naming", "fold", "person_id", "slice_id"]
    return table[unit].assign(part=part).groupby(unit)["part"].mean().reset_index()


def holm(p_values):
    """Holm's adjustment of one family of p-values; NaN stays NaN and is not counted.

    Examples
    --------
    >>> holm([0.01, 0.04, np.nan, 0.03])
    array([0.03, 0.06,  nan, 0.06])
    """
    p = pd.Series(p_values, dtype=float).dropna().sort_values()
    steps = (p * np.arange(len(p), 0, -1)).cummax()  # m, m - 1, ..., 1 times p
    return steps.clip(upper=1).reindex(range(len(p_values))).to_numpy()
