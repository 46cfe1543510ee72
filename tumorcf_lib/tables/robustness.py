"""Net-Drop under every control: does it hang on one choice of the edit, the slices, the scale?

A specification curve (Simonsohn, Simmons and Nelson, Nature Human Behaviour 2020): every
variant of the analysis that a skeptic might ask for, each with its estimate and verdict, and
per class one sentence on what survives. Variants change one factor at a time.

Holm's correction runs over the variants of a group and family (all infills of a class, say):
a family asks one question in several ways. It does not run over all families, since "holds
under every control" is a claim about all of them at once, which fails if any fails and so
needs no correction; and with ten patients, whose p is never below 1 / 512, no variant among
thirty could pass.
"""

import pandas as pd

from tumorcf_lib.edits.infills import HEADLINE_INFILL
from tumorcf_lib.edits.scores import slice_scores
from tumorcf_lib.stats import estimates, mixed
from tumorcf_lib.stats.answers import OUTCOMES, outcomes
from tumorcf_lib.stats.rows import (
    ALL,
    LOG_ODDS,
    NO_SLICES,
    NUMBERS,
    PROBABILITY,
    as_columns,
    groups,
    judged,
    means,
    of_group,
)
from tumorcf_lib.stats.verdicts import MIN_PERSONS, NEGLIGIBLE, REFUTED, RELEVANT, SUPPORTED
from tumorcf_lib.tables import energy
from tumorcf_lib.tables.classifiers import LOOKING, of_network

FAMILIES = (
    "headline", "slices", "shams", "energy", "infill", "dilation", "scale", "model", "network",
)
COLUMNS = (
    "variant", "family", "scale", "group", *NUMBERS, "p", "p_holm", "verdict", "relevance", "note",
)
DROP_EDITS = ("original", "remove", "original_refit", "remove_refit", "sham")
CONCLUSIONS = {
    "holds": "holds under every control",
    "except": "holds except",
    "negligible": f"no drop beyond {RELEVANT} under any control",
    "small": f"no drop beyond {RELEVANT} except",
    "depends": "depends on the control",
    "refuted": "no fall of the probability, it rises",
    "undecided": "undecided",
}
"""How a class's specification curve can end, see :func:`survival`."""

SURVIVAL_COLUMNS = (
    "group", "conclusion", "n_variants", *OUTCOMES, "agree", "breaks", "not_counted", "sentence",
)


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
        dilations are compared with shams of their own; "map refitted" gives the original and
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
    rows, named = rows[rows["edit"].isin(DROP_EDITS)], groups(rows)
    variants = [*_variants(rows, named, n_resamples),
                *_network_variants(rows_networks, named, n_resamples)]
    table = pd.concat(
        [part.assign(variant=name, family=family, scale=scale)
         for name, family, scale, part in variants], ignore_index=True,
    )
    table = judged(table, ["group", "family"], probability=table["scale"] == PROBABILITY)
    note = table.get("no_fit", pd.Series("", table.index)).fillna("")
    note = note.where(note != "", table["reason"]).where(table["n_slices"] > 0, NO_SLICES)
    return table.assign(note=note)[list(COLUMNS)]


def survival(table):
    """What survives of each class's Net-Drop, in a word, in counts and in one sentence.

    Each variant has one outcome: "negligible" where its interval lies within +-0.05, whatever
    its sign; else its verdict. The network that was trained to need the tumor ("looking")
    is no control of the study's network: it is reported, not counted. Conclusions:

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
    - "undecided": all else; also whenever the headline has fewer than 10 patients.

    Parameters
    ----------
    table : DataFrame
        From :func:`robustness_table`, fresh or read back.

    Returns
    -------
    DataFrame
        group, conclusion, n_variants, supported, negligible, refuted, undecided (counts); agree
        (how many variants say what the headline says: supported as it is, or, of a negligible
        headline, an interval below 0.05 with ten patients or more); breaks (the others, and how
        they end); not_counted (the looking network's outcomes); sentence.
    """
    lines = []
    for group, own in table.groupby("group", sort=False):
        own = own.assign(outcome=outcomes(own))
        looking = (own["family"] == "network") & own["variant"].str.startswith(LOOKING)
        counted = own[~looking]
        headline = counted.loc[counted["family"] == "headline", "outcome"].iloc[0]
        asked = counted
        if headline == NEGLIGIBLE:  # on log-odds nothing is negligible
            asked = counted[counted["scale"] == PROBABILITY]
        small = (asked["high"] <= RELEVANT) & (asked["n_persons"] >= MIN_PERSONS)
        agree = small if headline == NEGLIGIBLE else asked["outcome"] == headline
        line = {
            "group": group, "conclusion": _conclusion(headline, counted, asked, small),
            "n_variants": len(asked), **_counts(asked), "agree": int(agree.sum()),
            "breaks": _breaks(headline, asked[~agree]),
            "not_counted": _words(_counts(own[looking])),
        }
        lines.append({**line, "sentence": _sentence(line)})
    holding = (CONCLUSIONS["holds"], CONCLUSIONS["except"])
    fails = [r["group"] for r in lines if r["group"] != ALL and r["conclusion"] not in holding]
    for line in lines:
        if fails and line["group"] == ALL and line["conclusion"] in holding:
            line["sentence"] += (
                f" An average over unlike classes: it does not hold for {', '.join(fails)} alone."
            )
    return pd.DataFrame(lines, columns=list(SURVIVAL_COLUMNS))


def _variants(rows, named, n_resamples):
    """(name, family, scale, means by group) of the plain network, one factor at a time."""
    n = {"n_resamples": n_resamples}

    def variant(name, family, scores, column="net_drop", scale=PROBABILITY, **options):
        return name, family, scale, means(scores, column, groups=named, **n, **options)

    scores = slice_scores(rows)
    yield variant("headline", "headline", scores)
    yield variant("correct slices only", "slices", scores[scores["correct"].to_numpy(bool)])
    yield variant("every person alike", "slices", scores, how=estimates.mean_of_persons)
    if "flag" in rows:
        flagged = (rows["edit"] == "sham") & (rows["flag"].fillna("") != "")
        yield variant("shams off the skull", "shams", slice_scores(rows[~flagged]))
    own = energy.slice_energy(rows)
    yield variant("energy-matched shams", "energy", own, "net_drop_matched")
    residual = [energy.residual(of_group(own, group), **n) for group in named]
    yield "energy residual", "energy", PROBABILITY, pd.DataFrame(
        [{"group": group} | as_columns(e) for group, e in zip(named, residual, strict=True)]
    )
    for infill in _other_infills(rows):
        yield variant(infill.replace("_", " "), "infill", slice_scores(rows, infill=infill))
    for dilation in sorted(set(rows["dilation_px"]) - {0}):
        grown = f"mask {'grown' if dilation > 0 else 'shrunk'} by {abs(dilation)} px"
        yield variant(grown, "dilation", slice_scores(rows, dilation_px=dilation))
    yield variant("log-odds", "scale", scores, "net_drop_lo", LOG_ODDS)
    if scores["delta_drop_refit"].notna().any():
        refit = scores.assign(value=scores["delta_drop_refit"] - scores["sham_drop"])
        yield variant("map refitted", "scale", refit, "value")
    yield "mixed model", "model", PROBABILITY, _mixed(scores, named)


def _network_variants(rows_networks, named, n_resamples):
    """Each further network at the headline infill, then under each other one."""
    for network in [] if rows_networks is None else dict.fromkeys(rows_networks["network"]):
        own = of_network(rows_networks, network)
        own = own[own["edit"].isin(DROP_EDITS)]
        for infill in (HEADLINE_INFILL, *_other_infills(own)):
            values = slice_scores(own, infill=infill)
            other = "" if infill == HEADLINE_INFILL else f" ({infill.replace('_', ' ')})"
            part = means(values, "net_drop", groups=named, n_resamples=n_resamples)
            yield network + other, "network", PROBABILITY, part


def _other_infills(rows):
    return [name for name in dict.fromkeys(rows["infill"]) if name not in ("", HEADLINE_INFILL)]


def _mixed(scores, named):
    """Means by group of the mixed model, as of :func:`stats.rows.means`; no_fit says why not."""
    found, lines = mixed.class_means(scores, "net_drop"), []
    known = scores[scores["net_drop"].notna()]
    for group in named:
        own = of_group(known, group)
        line = found.get(group, {})
        n_persons = own["person_id"].nunique() if line else 0
        lines.append({
            "group": group, **as_columns(estimates.NOTHING), **line, "no_fit": line.get("reason"),
            "n_slices": len(own), "n_persons": n_persons, "n_persons_smallest": n_persons,
        })
    return pd.DataFrame(lines)


def _conclusion(headline, counted, asked, small):
    """The word for one group's counted variants, never kinder than they are."""
    supported = counted["outcome"] == SUPPORTED
    if supported.all():
        return CONCLUSIONS["holds"]
    if headline == SUPPORTED:
        mostly = supported.mean() > 1 / 2 and not (counted["outcome"] == REFUTED).any()
        return CONCLUSIONS["except" if mostly else "depends"]
    if headline == REFUTED:
        return CONCLUSIONS["refuted"]
    if headline == NEGLIGIBLE and (asked["outcome"] == NEGLIGIBLE).mean() > 1 / 2:
        return CONCLUSIONS["negligible" if small.all() else "small"]
    return CONCLUSIONS["undecided"]


def _breaks(headline, other):
    """The variants that do not say what the headline says, as "how: which, which; ..."."""
    how = {name: other["outcome"] == name for name in OUTCOMES}
    if headline == NEGLIGIBLE:
        few = other["n_persons"] < MIN_PERSONS
        how = {"under ten persons": few, f"the interval reaches beyond {RELEVANT}": ~few}
    return "; ".join(
        f"{name}: {', '.join(other.loc[chosen, 'variant'])}"
        for name, chosen in how.items() if chosen.any()
    )


def _counts(own):
    return {name: int((own["outcome"] == name).sum()) for name in OUTCOMES}


def _words(counts):
    return ", ".join(f"{n} {name}" for name, n in counts.items() if n)


def _sentence(line):
    """One row of the survival table as plain English."""
    who = "All classes together" if line["group"] == ALL else line["group"].capitalize()
    text = f"{who}: {line['conclusion']}"
    if line["conclusion"] == CONCLUSIONS["undecided"]:
        text += f"; {line['n_variants']} variants: {_words({k: line[k] for k in OUTCOMES})}"
    else:
        text += f" ({line['breaks']})" if line["breaks"] else ""
        text += f"; {line['agree']} of {line['n_variants']} variants agree"
    if line["not_counted"]:
        text += f"; the {LOOKING} network, not counted: {line['not_counted']}"
    return f"{text}."
