"""What the tested findings say, in counts and in plain words, read from their table alone."""

import math

from tumorcf_lib.stats.claims import FORMS, MOST_CONSISTENT
from tumorcf_lib.stats.rows import ALL
from tumorcf_lib.stats.verdicts import NEGLIGIBLE, REFUTED, RELEVANT, SUPPORTED, UNDECIDED

OUTCOMES = (SUPPORTED, NEGLIGIBLE, REFUTED, UNDECIDED)
MR, OTHERS = "MR...", "others"
"""Patients by the form of their IDs, which on the real slices shows the site."""


def listed(words):
    """Words as a sentence lists them.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    *first, last = [str(word) for word in words]
    return f"{', '.join(first)} and {last}" if first else last


def outcomes(table):
    """"negligible" where a claim's interval lies within +-0.05, else its verdict."""
    return table["verdict"].where(table["relevance"] != NEGLIGIBLE, NEGLIGIBLE)


def overview(table):
    """How the claims of each finding ended, in each form.

    Findings as index, forms as columns, counts "supported / negligible / refuted / undecided";
    empty where a finding has no claim of that form.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({
    ...     "finding": [1, 1, 1, 2], "form": ["paper", "paper", "net", "paper"],
    ...     "verdict": ["supported", "supported", "refuted", "undecided"],
    ...     "relevance": ["", "negligible", "", ""]})
    >>> overview(table)["paper"].tolist()
    ['1 / 1 / 0 / 0', '0 / 0 / 0 / 1']
    """
    def counts(found):
        return " / ".join(str(int((found == kind).sum())) for kind in OUTCOMES)

    table = table.assign(outcome=outcomes(table))
    wide = table.groupby(["finding", "form"])["outcome"].agg(counts).unstack("form")
    wide = wide.reindex(columns=list(FORMS)).astype(object)
    return wide.where(wide.notna(), "")


def by_class(table, sites=None):
    """For each class: does the true class's probability fall with the tumor?

    Read from the net claims of finding 1, on correctly classified slices. ``sites`` is from
    :func:`tables.sites.site_table`: a class whose two sites differ by more than chance is
    reported site by site. Class to words without a full stop, with Net-Drop, interval, patients.
    """
    net = table[(table["finding"] == 1) & (table["form"] == "net") & (table["kind"] == "mean")]
    return {
        row.group: f"{_fall(row)} (Net-Drop {_number(row)}){_by_site(sites, row.group)}"
        for row in net[net["group"] != ALL].itertuples()
    }


def by_finding(table):
    """What became of each finding, {number: sentence without its full stop}.

    Outcome, effect and interval of its main claims. The claims in log-odds, and those on
    matched slices but one, are left out.
    """
    table = table.assign(outcome=outcomes(table))
    means = table[table["kind"] == "mean"]
    sentences = {
        1: "net of the sham, on correct slices: "
           + _each(means, 1, "net", ["Net-Drop"], _classes(table)),
        2: "the tumor alone against a blank slice: "
           + _each(means, 2, "net", ["P_only - P_blank"], _classes(table))
           + "; against tumor-free tissue of its shape: "
           + _each(means, 2, "net", ["Net-Focus"], _classes(table)),
        3: "misclassified less correct slices: "
           + _each(table, 3, "paper", ["Delta-Drop", "Delta-Focus"])
           + "; among slices of alike P_orig: "
           + _each(table, 3, "net", ["Delta-Drop, alike P_orig", "Delta-Focus, alike P_orig"]),
        4: _most_consistent(table),
        5: _each(table, 5, "paper", ["share of errors"]) + _largest_cell(table),
        6: "the tumor alone less the background alone: "
           + _each(means, 6, "paper", ["P_only - P_background"], [ALL, *_classes(table)])
           + "; each net of its control: "
           + _each(means, 6, "net", ["Net-Focus - (P_background - P_blank)"],
                   [ALL, *_classes(table)]),
    }
    return {number: sentences[number] for number in sorted(set(table["finding"]) & set(sentences))}


def _fall(row):
    """Whether a class's probability falls, by how the claim ended."""
    negligible = row.relevance == NEGLIGIBLE
    if row.verdict == SUPPORTED:
        words = "taking the tumor out lowers the probability"
        return f"{words} by less than {RELEVANT} on average" if negligible else words
    if row.verdict == REFUTED:
        little = f", by less than {RELEVANT} on average" if negligible else ""
        return f"taking the tumor out does not lower the probability: it rises{little}"
    if negligible:
        return (
            "taking the tumor out moves the probability by less than "
            f"{RELEVANT} on average, in neither direction for certain"
        )
    return "undecided whether taking the tumor out lowers the probability"


def _by_site(sites, group):
    """The sites of a class whose difference is more than chance; empty for all others."""
    if sites is None:
        return ""
    own = sites[(sites["score"] == "net_drop") & (sites["group"] == group)]
    own = own[own["slices"] == "correct"].set_index("site")
    if f"{MR} less {OTHERS}" not in own.index:
        return ""
    gap = own.loc[f"{MR} less {OTHERS}"]
    if not (gap["low"] > 0 or gap["high"] < 0):
        return ""
    words = {MR: f"IDs `{MR}`", OTHERS: "all other IDs"}
    told = ", ".join(f"{words[site]} {_number(own.loc[site])}" for site in (MR, OTHERS))
    return f", but that is a mean over unlike sites: {told}"


def _classes(table):
    return [g for g in dict.fromkeys(table.loc[table["finding"] == 1, "group"]) if g != ALL]


def _each(table, finding, form, quantities, groups=None):
    """The outcome of some claims, those of one outcome together: "supported for a 0.3 [...]"."""
    own = table[(table["finding"] == finding) & (table["form"] == form)]
    own = own[own["quantity"].isin(quantities)].drop_duplicates(["quantity", "group"])
    if groups is not None:
        own = own[own["group"].isin(groups)]
    parts = []
    for outcome in OUTCOMES:
        rows = own[own["outcome"] == outcome]
        if len(rows):
            names = rows["group"] if groups is not None else rows["quantity"].str.split(",").str[0]
            told = (f"{name} {_number(row, persons=False)}"
                    for name, row in zip(names, rows.itertuples(), strict=True))
            parts.append(f"**{outcome}** for {', '.join(told)}")
    return ", ".join(parts)


def _most_consistent(table):
    """Consistent needs a larger mean and a smaller spread, against every other class."""
    own = table[(table["finding"] == 4) & (table["form"] == "net")]
    parts, holds = [], []
    for group, rows in own.groupby("group", sort=False):
        both = rows.set_index("kind")["verdict"]
        holds.append((both == SUPPORTED).all())
        other = group.removeprefix(f"{MOST_CONSISTENT} - ")
        parts.append(f"larger Net-Drop than {other} {both['difference']}, "
                     f"smaller spread {both['spread']}")
    if not parts:
        return ""
    so = "holds against both" if all(holds) else (
        "holds against one only" if any(holds) else "holds against neither")
    return f"it needs both a larger and a more even drop, and **{so}**: {'; '.join(parts)}"


def _largest_cell(table):
    """The note on the largest cell of the confusion, if finding 5 has one."""
    notes = table.loc[(table["finding"] == 5) & (table["form"] == "paper"), "note"]
    cells = [part for note in notes for part in str(note).split("; ") if "largest cell" in part]
    return f"; {cells[0]}" if cells else ""


def _number(row, persons=True):
    get = row.get if hasattr(row, "get") else row._asdict().get
    if not math.isfinite(get("effect")):
        return "not measured"
    text = f"{get('effect'):.3f}"
    if math.isfinite(get("low")):
        text += f" [{get('low'):.3f}, {get('high'):.3f}]"
    return f"{text}, {get('n_persons')} persons" if persons else text
