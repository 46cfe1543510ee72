"""Net-Drop under every control: does it hang on one choice of the edit, the slices, the scale?

A specification curve (Simonsohn, Simmons and Nelson, Nature Human Behaviour 2020): every
variant of the analysis that a skeptic might ask for, each with its estimate and verdict, and
per class one sentence on what survives. Variants change one factor at a time.

Holm's correction runs over the variants of a group and family (all infills of a class, say):
a family asks one question in several ways. It does not run over all families, since "holds
under every control" is a claim about all of them at once, which fails if any fails and so
needs no correction; and with ten persons, whose p is never below 1 / 512, no variant among
thirty could pass.
"""

from dataclasses import dataclass

import pandas as pd

from tumorcf_lib.edits.infills import HEADLINE_INFILL
from tumorcf_lib.stats import answers, estimates, metrics, mixed, stats
from tumorcf_lib.stats.answers import OUTCOMES
from tumorcf_lib.stats.claims import ALL
from tumorcf_lib.stats.estimates import LOG_ODDS, NOTHING, PROBABILITY
from tumorcf_lib.stats.stats import Estimate
from tumorcf_lib.tables import energy
from tumorcf_lib.tables.three_networks import LOOKING, networks_table, of_network

__all__ = ["FAMILIES", "networks_table", "robustness_table", "survival"]

FAMILIES = (
    "headline", "slices", "shams", "energy", "infill", "dilation", "scale", "model", "network",
)  # fmt: skip
COLUMNS = (
    "variant", "family", "scale", "group", "effect", "low", "high", "mean_of_person_means",
    "n_slices", "n_persons", "p", "p_holm", "verdict", "relevance", "note",
)  # fmt: skip
DROP_EDITS = ("original", "remove", "original_refit", "remove_refit", "sham")
CONCLUSIONS = {
    "holds": "holds under every control",
    "except": "holds except",
    "negligible": f"no drop beyond {stats.RELEVANT} under any control",
    "small": f"no drop beyond {stats.RELEVANT} except",
    "depends": "depends on the control",
    "refuted": "no fall of the probability, it rises",
    "undecided": "undecided",
}
"""How a class's specification curve can end, see :func:`survival`."""

SURVIVAL_COLUMNS = (
    "group", "conclusion", "n_variants", *OUTCOMES, "agree", "breaks", "not_counted", "sentence",
)  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """One way to look at Net-Drop, with its estimate for each group."""

    name: str
    family: str
    estimates: dict  # group -> Estimate
    scale: str = PROBABILITY


def robustness_table(rows, rows_networks=None, *, n_resamples):
    """Net-Drop by every variant of the analysis, overall and by class.

    Parameters
    ----------
    rows : DataFrame
        The plain network's audit rows: headline, other infills, other dilations.
    rows_networks : DataFrame, optional
        The same of further networks, with a column ``network``.
    n_resamples : int

    Returns
    -------
    DataFrame
        variant, family, scale ("probability" or "log-odds"), group, effect, low, high,
        mean_of_person_means, n_slices, n_persons, p (two-sided, against 0), p_holm (among the
        group's variants of the family), verdict, relevance ("negligible" if the interval lies
        within +-0.05; probabilities only), note. Every variant has a row for every group;
        without usable slices it is undecided, and the note says so. Other infills and
        dilations are held against shams of their own; "map refitted" gives the original and
        the removed slice intensity maps of their own, the shams keep the frozen one.

    Examples
    --------
    >>> rows = pd.DataFrame({
    ...     "slice_id": [i for i in range(12) for _ in range(3)], "patient_id": "",
    ...     "person_id": [c for c in "abcdefghijkl" for _ in range(3)], "label": "glioma",
    ...     "edit": ["original", "remove", "sham"] * 12, "place": [-1, -1, 0] * 12,
    ...     "infill": ["", "navier_stokes", "navier_stokes"] * 12, "dilation_px": 0,
    ...     "edit_rms": [0, 0.2, 0.1] * 12, "p_glioma": [0.9, 0.3, 0.8] * 12,
    ...     "p_none": [0.1, 0.7, 0.2] * 12, "log_odds": [2.2, -0.8, 1.4] * 12})
    >>> robustness_table(rows, n_resamples=50).loc[0, ["variant", "verdict"]].tolist()
    ['headline', 'supported']
    """
    rows = rows[rows["edit"].isin(DROP_EDITS)]
    variants = [*_variants(rows, n_resamples), *_network_variants(rows_networks, n_resamples)]
    groups = estimates.groups(rows)
    found = {
        group: _judged([(v, v.estimates.get(group, NOTHING)) for v in variants], group)
        for group in groups
    }
    lines = [found[group][k] for k in range(len(variants)) for group in groups]
    return pd.DataFrame(lines, columns=list(COLUMNS))


def survival(table):
    """What survives of each class's Net-Drop, in a word, in counts and in one sentence.

    Each variant has one outcome: "negligible" where its interval lies within +-0.05, whatever
    its sign; else its verdict. The network that was trained to need the tumor ("looking")
    is no control of the study's network: it is told, not counted. Conclusions:

    - "holds under every control": all are supported.
    - "holds except": the headline is supported, more than half of the variants are, and
      none is refuted.
    - "depends on the control": the headline is supported, but one refutes it, or half or
      more do not support it.
    - "no drop beyond 0.05 under any control": all variants on the probability scale lie
      below 0.05 with their whole interval, the headline and more than half are negligible.
    - "no drop beyond 0.05 except": the headline and more than half of the variants on
      the probability scale are negligible. On log-odds there is no such margin: that variant is
      not asked.
    - "no fall of the probability, it rises": the headline is refuted.
    - "undecided": all else; also whenever the headline has fewer than 10 persons.

    Parameters
    ----------
    table : DataFrame
        From :func:`robustness_table`, fresh or read back.

    Returns
    -------
    DataFrame
        group, conclusion, n_variants, supported, negligible, refuted, undecided (counts); agree
        (how many variants say what the headline says: supported as it is, or, of a negligible
        headline, an interval below 0.05 with ten persons or more); breaks (the others, and how
        they end); not_counted (the looking network's outcomes); sentence.
    """
    rows = []
    for group in dict.fromkeys(table["group"]):
        own = table[table["group"] == group]
        own = own.assign(outcome=answers.outcomes(own))
        looking = (own["family"] == "network") & own["variant"].str.startswith(LOOKING)
        counted, told = own[~looking], own[looking]
        asked = _asked(counted)
        agree = _agree(asked)
        line = {
            "group": group, "conclusion": _conclusion(counted), "n_variants": len(asked),
            **_counts(asked), "agree": int(agree.sum()), "breaks": _breaks(asked, agree),
            "not_counted": _in_words(_counts(told)),
        }  # fmt: skip
        rows.append({**line, "sentence": _sentence(line)})
    for row in rows:
        if row["group"] == ALL:
            row["sentence"] += _only_an_average(row, rows)
    return pd.DataFrame(rows, columns=list(SURVIVAL_COLUMNS))


def _variants(rows, n_resamples):
    """Variants of the plain network, one factor at a time."""
    options = {"n_resamples": n_resamples}
    scores = metrics.slice_scores(rows)
    yield Variant("headline", "headline", _means(scores, "net_drop", **options))
    correct = scores[scores["correct"].to_numpy(bool)]
    yield Variant("correct slices only", "slices", _means(correct, "net_drop", **options))
    yield Variant("every person alike", "slices",
                  _means(scores, "net_drop", how=estimates.mean_of_persons, **options))
    if "flag" in rows:
        flagged = (rows["edit"] == "sham") & (rows["flag"].fillna("") != "")
        unflagged = metrics.slice_scores(rows[~flagged])
        yield Variant("shams off the skull", "shams", _means(unflagged, "net_drop", **options))
    yield from _energy_variants(rows, n_resamples)
    for infill in _others(rows, "infill", ("", HEADLINE_INFILL)):
        values = metrics.slice_scores(rows, infill=infill)
        yield Variant(_words(infill), "infill", _means(values, "net_drop", **options))
    for dilation in _others(rows, "dilation_px", (0,)):
        values = metrics.slice_scores(rows, dilation_px=dilation)
        grown = f"mask {'grown' if dilation > 0 else 'shrunk'} by {abs(dilation)} px"
        yield Variant(grown, "dilation", _means(values, "net_drop", **options))
    yield Variant("log-odds", "scale", _means(scores, "net_drop_lo", **options), LOG_ODDS)
    if scores["delta_drop_refit"].notna().any():
        refit = scores.assign(value=scores["delta_drop_refit"] - scores["sham_drop"])
        yield Variant("map refitted", "scale", _means(refit, "value", **options))
    yield Variant("mixed model", "model", _mixed(scores))


def _energy_variants(rows, n_resamples):
    own = energy.slice_energy(rows)
    yield Variant("energy-matched shams", "energy",
                  _means(own, "net_drop_matched", n_resamples=n_resamples))
    residual = {g: energy.residual(estimates.of_group(own, g), n_resamples=n_resamples)
                for g in estimates.groups(own)}
    yield Variant("energy residual", "energy", residual)


def _network_variants(rows_networks, n_resamples):
    """Each further network at the headline infill, then under each other one."""
    if rows_networks is None:
        return
    for network in dict.fromkeys(rows_networks["network"]):
        own = of_network(rows_networks, network)
        own = own[own["edit"].isin(DROP_EDITS)]
        for infill in (HEADLINE_INFILL, *_others(own, "infill", ("", HEADLINE_INFILL))):
            values = metrics.slice_scores(own, infill=infill)
            name = network if infill == HEADLINE_INFILL else f"{network} ({_words(infill)})"
            yield Variant(name, "network", _means(values, "net_drop", n_resamples=n_resamples))


def _means(scores, column, *, n_resamples, how=estimates.mean):
    return {group: how(estimates.of_group(scores, group), column, n_resamples=n_resamples)
            for group in estimates.groups(scores)}


def _mixed(scores):
    known = scores[scores["net_drop"].notna()]
    found = {}
    for group, line in mixed.class_means(scores, "net_drop").items():
        own = estimates.of_group(known, group)
        n_persons = own["person_id"].nunique()
        found[group] = Estimate(line["effect"], line["low"], line["high"], len(own), n_persons,
                                n_persons, p=line["p"]), line["reason"]
    return found


def _others(rows, column, without):
    """Values of a column in the order of the rows, dilations by size."""
    values = [value for value in dict.fromkeys(rows[column]) if value not in without]
    return values if column == "infill" else sorted(values)


def _words(infill):
    return infill.replace("_", " ")


def _judged(found, group):
    """Rows of one group; the variants of a family are one family of tests."""
    found = [(variant, *(e if isinstance(e, tuple) else (e, ""))) for variant, e in found]
    p = pd.Series([estimate.p for _, estimate, _ in found], dtype=float)
    p_holm = p.groupby([variant.family for variant, _, _ in found]).transform(stats.holm)
    rows = []
    for (variant, estimate, note), holm in zip(found, p_holm, strict=True):
        note = note or stats.why_undecided(estimate, 0, "above", holm)
        rows.append({
            "variant": variant.name, "family": variant.family, "scale": variant.scale,
            "group": group, **estimates.columns_of(estimate), "p": estimate.p, "p_holm": holm,
            "verdict": stats.verdict(estimate, 0, "above", holm),
            "relevance": stats.relevance(estimate) if variant.scale == PROBABILITY else "",
            "note": note if estimate.n_slices else estimates.NO_SLICES,
        })
    return rows


def _conclusion(own):
    """The word for one group's counted variants, never kinder than they are."""
    supported = own["outcome"] == stats.SUPPORTED
    headline = _headline(own)
    if supported.all():
        return CONCLUSIONS["holds"]
    if headline == stats.SUPPORTED:
        mostly = supported.mean() > 1 / 2 and not (own["outcome"] == stats.REFUTED).any()
        return CONCLUSIONS["except" if mostly else "depends"]
    if headline == stats.REFUTED:
        return CONCLUSIONS["refuted"]
    own = _asked(own)
    if headline == stats.NEGLIGIBLE and (own["outcome"] == stats.NEGLIGIBLE).mean() > 1 / 2:
        return CONCLUSIONS["negligible" if _small(own).all() else "small"]
    return CONCLUSIONS["undecided"]


def _headline(own):
    return own.loc[own["family"] == "headline", "outcome"].iloc[0]


def _asked(own):
    """The variants that can say what the headline says: on log-odds nothing is negligible."""
    return own[own["scale"] == PROBABILITY] if _headline(own) == stats.NEGLIGIBLE else own


def _small(own):
    """Whether each variant shows that there is no drop beyond the margin."""
    return (own["high"] <= stats.RELEVANT) & (own["n_persons"] >= stats.MIN_PERSONS)


def _agree(own):
    """Whether each variant says what the headline says."""
    headline = _headline(own)
    return _small(own) if headline == stats.NEGLIGIBLE else own["outcome"] == headline


def _breaks(own, agree):
    """The variants that do not say what the headline says, as "how: which, which; ..."."""
    if _headline(own) == stats.NEGLIGIBLE:
        few = own["n_persons"] < stats.MIN_PERSONS
        how = {"under ten persons": few, f"the interval reaches beyond {stats.RELEVANT}": ~few}
    else:
        how = {name: own["outcome"] == name for name in OUTCOMES}
    parts = []
    for name, chosen in how.items():
        variants = own.loc[chosen & ~agree, "variant"]
        if len(variants):
            parts.append(f"{name}: {', '.join(variants)}")
    return "; ".join(parts)


def _only_an_average(row, rows):
    """What the line about all classes must not hide: the classes it does not hold for."""
    holding = (CONCLUSIONS["holds"], CONCLUSIONS["except"])
    others = [r["group"] for r in rows if r["group"] != ALL and r["conclusion"] not in holding]
    if row["conclusion"] not in holding or not others:
        return ""
    return f" An average over unlike classes: it does not hold for {', '.join(others)} alone."


def _counts(own):
    return {name: int((own["outcome"] == name).sum()) for name in OUTCOMES}


def _in_words(counts):
    return ", ".join(f"{n} {name}" for name, n in counts.items() if n)


def _sentence(line):
    """One row of the survival table as plain English."""
    who = "All classes together" if line["group"] == ALL else line["group"].capitalize()
    text = f"{who}: {line['conclusion']}"
    if line["conclusion"] == CONCLUSIONS["undecided"]:
        counts = _in_words({name: line[name] for name in OUTCOMES})
        text += f"; {line['n_variants']} variants: {counts}"
    else:
        text += f" ({line['breaks']})" if line["breaks"] else ""
        text += f"; {line['agree']} of {line['n_variants']} variants agree"
    if line["not_counted"]:
        text += f"; the {LOOKING} network, not counted: {line['not_counted']}"
    return f"{text}."
