"""Parts of README.md, RESULTS.md and the model card that are tables with a rule of their own.

All other parts are written out in ``templates/``.
"""

import itertools

import jinja2

from tumorcf_lib.config import CLASSES
from tumorcf_lib.stats.rows import listed
from tumorcf_lib.study import pooled
from tumorcf_lib.study.side_studies import band, interval, p_value, published
from tumorcf_lib.tables import classifiers, sites, study
from tumorcf_lib.tables.fold_scores import PLAIN, SHUFFLED
from tumorcf_lib.tables.folds import read_if_there

MISSING = "Not published yet."
GROUPS = ("all", *CLASSES)
SCORES = {
    "delta_drop": "Delta-Drop",
    "sham_drop": "Sham-Drop (control)",
    "net_drop": "**Net-Drop**",
    "delta_focus": "Delta-Focus",
    "net_focus": "Net-Focus",
}
MASKS = ("true", "predicted")
ALONE = "P of the tumor alone minus P of a sham's tissue alone"
FINDINGS = {
    "Removing the tumor lowers confidence": ("Net-Drop", "06_metrics"),
    "The tumor alone keeps substantial probability": (ALONE, "06_metrics"),
    "Misclassified slices lean less on the tumor": ("Delta-Drop, wrong minus right", "06_metrics"),
    "Pituitary is the most consistent": ("Net-Drop, pituitary minus", "06_metrics"),
    "Errors are mostly meningioma-glioma": ("share of errors between the two", "06_metrics"),
    "The tumor counts more than the background": (
        "tumor alone minus background alone",
        "06_metrics",
    ),
}
"""The paper's findings: what it says, what decides it here, and the notebook to read it in."""

SHORT_GROUPS = {"pituitary less ": "", "^all$": "as it stands"}


def table(heads, rows):
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def render(template, **values):
    """A template of this package with some values; a value that is missing is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tumorcf_lib.publish"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    known = {"interval": interval, "band": band, "p_value": p_value}
    known |= {"groups": GROUPS, "classes": CLASSES}
    return environment.get_template(template).render(known | values)


def part(name) -> str:
    """A part that notebooks show, too: "answer", "site_difference", "never_shown" or "recipes"."""
    read = published(study.POOLED)
    own = {"read": read, "pooled": pooled, "of_table": of_table, "missing": MISSING}
    return render("parts.md.j2", name=name, adjusted_for=sites.ADJUSTED, **own).strip()


def findings() -> str:
    """The paper's six findings: what it says, our network's number, the verdict, and where."""
    read = published(study.POOLED)
    if not read:
        return MISSING
    claims, rows = pooled.plain(read("table_primary")), []
    claims["name"] = claims["group"].replace(SHORT_GROUPS, regex=True)
    claims["told"] = claims.apply(verdict, axis=1)
    for number, (words, (decides, notebook)) in enumerate(FINDINGS.items(), start=1):
        own = claims[claims["finding"] == number]
        several = len(own) > 1
        numbers = own.assign(number=own.apply(interval, axis=1)).query("number != ''")
        numbers = numbers["name"] + " " + numbers["number"] if several else numbers["number"]
        verdicts = [
            f"{told}: {', '.join(names)}" if several else told
            for told, names in own.groupby("told", sort=False)["name"]
        ]
        rows.append(
            [
                f"{number}. {words}",
                f"{decides}: {', '.join(numbers) or 'not measured'}",
                "; ".join(verdicts),
                f"[{notebook[:2]}](notebooks/{notebook}.ipynb)",
            ]
        )
    return table(["the paper says", "our network", "verdict", "where"], rows)


def verdict(row):
    """A claim's verdict, and its reason if there is one."""
    return row["verdict"] + (f" ({row['reason']})" if row["reason"] else "")


def scores():
    """The scores on all folds and on one split."""
    sources = {"all folds": published(study.POOLED), "one split": published(study.REFERENCE)}
    tables = {
        words: read("table_scores").set_index(["score", "group"])
        for words, read in sources.items()
        if read
    }
    rows = [
        [f"{words}, {group}", *(interval(own.loc[score, group]) for own in tables.values())]
        for score, words in SCORES.items()
        for group in GROUPS
    ]
    return table(["score", *tables], rows) if tables else MISSING


def headline(name, keys):
    """A published table of the folds, of the kind of network that the answer is about."""
    return pooled.plain(published(study.POOLED)(name)).set_index(keys)


def transplants():
    """Whether a slice is called by its transplanted tumor's class or by its head's."""
    by = published(study.POOLED)("table_transplants")
    by = by.set_index(["network", "kind", "donor", "host"])
    kinds = [kind for kind in (PLAIN, SHUFFLED) if kind in by.index]
    own, rows = by.loc[PLAIN], []
    for donor, host in [("all", "all"), *itertools.permutations(CLASSES, 2)]:
        row, *nothing = (by.loc[kind, "conflict", donor, host] for kind in kinds)
        known = [f"{one[whose]:.0%}" for one in nothing for whose in ("tumor", "head")]
        called = [interval(row, whose, ".0%") for whose in ("tumor", "head")]
        rows.append([donor, host, *called, f"{row['neither']:.0%}", *known])
    heads = ["tumor of class", "in a head of class", "called the tumor's", "the head's", "neither"]
    heads += ["networks that know nothing: the tumor's", "the head's"] if SHUFFLED in kinds else []
    kept, gaps = [], []
    for name in CLASSES:
        kept.append(f"{name} {interval(own.loc['control', name, name], 'tumor', '.0%')}")
        gaps.append(f"{name} {own.loc['conflict', name, 'all']['depth_gap_px']:.1f} px")
    return (
        f"An own tumor moved within its head keeps its class: {listed(kept)}. Transplants lie "
        "about as deep as the tumor did, where there is such a place; median difference: "
        f"{listed(gaps)}."
        "\n\n"
        f"{table(heads, rows)}"
    )


def predicted_masks():
    """How well a network finds the tumors, the scores with its masks beside those with true ones,
    and whether Net-Drop lies beyond the null band with either.

    MISSING before ``train`` and ``masks`` of all folds.
    """
    own = of_table(published(study.POOLED), "table_predicted_masks")
    if own is None:
        return MISSING
    rows, told, by = [], [], own.set_index(["score", "group"])
    for group, net in by.loc["net_drop"].iterrows():
        both = by.loc["delta_drop", group], net
        means = [f"{row['with_true']:z.3f} / {row['with_predicted']:z.3f}" for row in both]
        line = [group, interval(net, "dice"), f"{net['found']:.0%}", *means]
        rows.append([*line, interval(net, "difference"), f"{net['spearman']:.2f}"])
    bands = headline("table_estimates", ["score", "group"]).loc["net_drop"].loc[list(CLASSES)]
    for group, null in bands.dropna(subset="null_low").iterrows():
        drops = by.loc["net_drop", group]
        is_within = {k: null["null_low"] <= drops[f"with_{k}"] <= null["null_high"] for k in MASKS}
        beyond = [k for k in MASKS if not is_within[k]]
        by_which = f"{' and '.join(beyond)} masks" if beyond else "neither"
        told.append(f"{group} by {by_which} ({band(null)})")
    heads = ["class", "Dice", "tumors found", "Delta-Drop, true / predicted masks"]
    heads += ["Net-Drop, true / predicted masks", "predicted less true", "rank correlation"]
    verdict = (
        "Net-Drop lies beyond the null band of finding 1 (networks that know nothing, edited by "
        f"true masks): {'; '.join(told)}."
    )
    return f"{table(heads, rows)}\n\n{verdict if told else ''}".rstrip()


def three_networks(read):
    """A row a score, a column a network: of the folds where they are published, else of a split."""
    found, keys = read("table_networks"), ["score", "infill", "group"]
    found["told"] = [interval(row) for row in found.to_dict("records")]
    shown = found.pivot(index=keys, columns="network", values="told").fillna("")
    shown = shown[found["network"].unique()]
    lines = [
        ["Accuracy, slices", *shown.loc["accuracy", "", "all"]],
        ["Accuracy, patients", *shown.loc["person_accuracy", "", "all"]],
    ]
    for words, score, infill in (
        ("**Net-Drop**", "net_drop", "navier_stokes"),
        ("Net-Drop, infills that none was shown", "net_drop", "unseen"),
        ("Sham-Drop (control)", "sham_drop", "navier_stokes"),
        ("Delta-Focus", "delta_focus", ""),
    ):
        lines += [[f"{words}, {group}", *shown.loc[score, infill, group]] for group in GROUPS]
    for words, name, column, keys in (
        ("Still right, tumor painted out", "table_still_right", "share", {"edit": "remove"}),
        ('"No tumor", tumor painted out', "table_still_right", "no_tumor", {"edit": "remove"}),
        ('"No tumor", sham', "table_still_right", "no_tumor", {"edit": "sham"}),
        ("Class kept, own tumor moved", "table_transplants", "tumor", {"kind": "control"}),
    ):
        can = [column != "no_tumor" or name == classifiers.LOOKING for name in shown.columns]
        own = of_table(read, name, **keys)
        for group in GROUPS if own is not None else ():
            by = own[own["donor" if "donor" in own else "group"] == group].set_index("network")
            told = by.loc[shown.columns, column].map("{:.0%}".format).where(can, "")
            lines.append([f"{words}, {group}", *told])
    return table(["", *shown.columns], lines)


def of_table(read, name, **keys):
    """The lines of a table with these values; None without the table."""
    found = read_if_there(read, name)
    return None if found is None else found[(found[list(keys)] == list(keys.values())).all(axis=1)]
