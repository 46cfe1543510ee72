"""Forests of the controls: energy, probes, other networks, infills, covariates, variants."""

import textwrap

import pandas as pd

from tumorcf_lib.edits.infills import HEADLINE_INFILL
from tumorcf_lib.figures import style
from tumorcf_lib.figures.forests import Panel, forest, marks, occurring, say_what_is_missing
from tumorcf_lib.stats.rows import ALL
from tumorcf_lib.tables import saliency
from tumorcf_lib.tables.classifiers import LOOKING, PLAIN, UNSEEN
from tumorcf_lib.tables.fold_scores import SHUFFLED
from tumorcf_lib.tables.robustness import ABOVE, AROUND, BELOW

INTERVALS = "95 % intervals over patients"
PROBE_NAMES = {
    "mask": "mask alone",
    "intensity": "gray values outside the tumor",
    "place": "the tumor's place",
    "plane": "the imaging plane",
    "area": "the tumor's area",
}
NETWORK_NAMES = {
    "as it is": "the study's network",
    "retrained": "small network trained on it",
    "statistics": "classifier of a few numbers",
}
NOTHING = "networks that know nothing"
VIEW_NAMES = {"slice": "detector sees the slice", "patch": "detector sees the patch"}
ENERGY_NAMES = {
    "net_drop": "all shams",
    "net_drop_matched": "shams of 0.8 to 1.25 × its change",
    "net_drop_residual": "adjusted by regression",
}
FAMILY_NAMES = {
    "headline": "as the study does it",
    "slices": "other choices of slices",
    "shams": "shams off the skull",
    "energy": "energy of the edit",
    "infill": "other infills",
    "dilation": "mask grown (below 0: shrunk)",
    "scale": "intensity map refitted",
    "hardened": "hardened network",
}
"""Rows of the forest of variants; those of family "network" are named by their network."""

SHORTER = {
    "^mask grown by ": "+",
    "^mask shrunk by ": "\N{MINUS SIGN}",
    r"^\w+ \(|\)$": "",  # a network's name around its infill's
}
"""Names of variants behind the name of their row."""

NO_INTERVAL = "too few patients for an interval"
INTERVAL_LOOKS = {
    f"interval {ABOVE}": {"color": style.INK, "marker": ">"},
    f"interval {BELOW}": {"color": style.INK, "marker": "<"},
    f"interval {AROUND}": {"filled": False},
    NO_INTERVAL: {"marker": "x"},
}
"""No verdicts, so neither their colors nor their markers."""
SPEARMAN = {"spearman": "effect", "spearman_low": "low", "spearman_high": "high"}
COVARIATE_TITLES = {
    "area": "larger (log area)",
    "contrast": "brighter than its ring",
    "depth": "deeper",
}


@style.figure
def energy(table):
    """Net-Drop as it is and adjusted for how much more a removal changes than a sham.

    ``table`` is ``table_energy``.
    """
    ratio = table[table["quantity"] == "rms_ratio"].set_index("group")["effect"]
    colors = style.groups_of(table)
    own = table[(table["scale"] == "probability") & table["quantity"].isin(ENERGY_NAMES)]
    own = own.assign(way=own["quantity"].map(ENERGY_NAMES), color=own["group"].map(colors))
    names = [
        f"{style.with_n(group, {})}\nmedian removal:\n{ratio[group]:.1f} × a sham's change"
        for group in colors
    ]
    label = f"Net-Drop, {INTERVALS}; slices: those that have such shams"
    looks = {way: {"marker": one} for way, one in zip(ENERGY_NAMES.values(), "osD", strict=True)}
    how = {"numbers": "Net-Drop [95 %]", "height": 0.75, "xlabel": label}
    return forest(names, [Panel("", marks(own, list(colors), "group", "way"))], looks, **how)


@style.figure
def probes(table):
    """How well networks and statistics that see less than the slice find the class.

    ``table`` is ``table_probes``; its first metric of group "all" is shown.
    """
    own = table[table["group"] == ALL]
    metric = own["metric"].iloc[0]
    own = own[own["metric"] == metric].rename(columns={"value": "effect"})
    own = own.assign(network=own["network"].replace(NETWORK_NAMES))
    names = list(dict.fromkeys(own["probe"]))
    shown = [style.EDIT_NAMES.get(n) or PROBE_NAMES.get(n, n.replace("_", " ")) for n in names]
    panel = Panel("", marks(own, names, "probe", "network"), line=own["chance"].iloc[0])
    how = {"numbers": f"{metric.split()[-1]} [95 %]", "height": 0.42}
    how["xlabel"] = f"{metric}, {INTERVALS}; dashed: chance"
    return forest(shown, [panel], _method_looks(own["network"]), **how)


def _method_looks(names):
    """Color and marker of each method in its order."""
    kinds = zip(dict.fromkeys(names), style.METHOD_COLORS, "osD^v", strict=False)
    return {name: {"color": color, "marker": marker} for name, color, marker in kinds}


@style.figure
def networks(table):
    """The study's network beside the hardened and the looking one: accuracy, drop, focus.

    ``table`` is ``table_networks``. Open: under infills that a network never saw.
    """
    groups = list(style.groups_of(table))
    looks = _method_looks(table["network"])
    looks["open: infills that it never saw"] = {"filled": False}
    table = table[table["infill"].isin(("", HEADLINE_INFILL, UNSEEN))]
    table = table.assign(filled=table["infill"] != UNSEEN)
    panels = []
    for score in ("accuracy", "net_drop", "delta_focus"):
        shown = marks(table[table["score"] == score], groups, "group", "network")
        line = 0.0 if score == "net_drop" else None
        panels.append(Panel(style.SCORE_NAMES[score], shown, line))
    plain = table[(table["network"] == PLAIN) & (table["score"] == "accuracy")]
    names = style.names_with_n(groups, plain, "group")
    label = f"{INTERVALS}; slices / patients below each group; each panel has its own axis"
    return forest(names, panels, looks, height=0.75, size=4, xlabel=label)


@style.figure
def maps(table):
    """How much denser Grad-CAM is on the tumor, and whether that goes with Net-Drop.

    ``table`` is ``table_saliency``; gray: networks that know nothing.
    """
    plain, nothing = (table[table["network"] == name] for name in (PLAIN, SHUFFLED))
    nothing = nothing[nothing["slices"] == saliency.ALL].assign(slices=NOTHING)
    plain = plain.replace({"slices": {saliency.ALL: "all slices"}})
    density = pd.concat([plain, nothing]).rename(columns={"density": "effect"})
    spearman = density[density["slices"].isin(("all slices", NOTHING))]
    spearman = spearman.drop(columns=["effect", "low", "high"]).rename(columns=SPEARMAN)
    looks = _method_looks(plain["slices"]) | {NOTHING: {"color": style.SOFT, "marker": "s"}}
    groups = list(style.groups_of(plain))
    panels = [
        Panel(title, marks(own, groups, "group", "slices"), line)
        for title, own, line in (
            ("Density on the tumor\n(times that of the head)", density, 1.0),
            ("Rank correlation of density\nand Net-Drop, patients", spearman, 0.0),
        )
    ]
    shown = style.names_with_n(groups, plain, "group")
    label = "95 % intervals; below each group, slices with a map that is not 0 / patients; "
    label += "dashed: no brighter than elsewhere"
    return forest(shown, panels, looks, height=0.75, size=4, xlabel=label)


@style.figure
def infills(scores, quality, detector):
    """Each infill's Net-Drop, its error where the truth is known, and whether it can be seen.

    ``table_infills``, ``table_quality`` (sham places) and ``table_detector`` (finding edited among
    untouched slices). Shown are common slices, where an infill has them.
    """
    scores = of_common_slices(scores[scores["score"] == "net_drop"], "infill")
    seen = detector[detector["group"] == ALL].rename(columns={"auc": "effect"})
    seen = seen.assign(view=seen["view"].replace(VIEW_NAMES))
    groups = {group: {"color": color} for group, color in style.groups_of(scores).items()}
    views = zip(dict.fromkeys(seen["view"]), "s^vP", strict=False)
    views = {name: {"marker": marker} for name, marker in views}
    names = list(dict.fromkeys(scores["infill"]))
    panels = []
    for title, table, column, looks, line in (
        ("Net-Drop\n", scores, "group", groups, 0.0),
        ("Error where the truth\nis known (MAE, SD)", quality, "group", groups, None),
        ("Can the edit be seen?\n(AUC of a detector)", seen, "view", views, 0.5),
    ):
        own = table[table["infill"].isin(names)]
        parts = pd.concat(own[own[column] == name] for name in looks)  # in the legend's order
        panels.append(Panel(title, marks(parts, names, "infill", column), line))
    shown = style.names_with_n(names, scores[scores["group"] == ALL], "infill")
    label = f"{INTERVALS}; below each infill, slices that have all / patients; dashed: chance"
    return forest(shown, panels, groups | views, height=0.55, size=4, xlabel=label)


def of_common_slices(table, level):
    """One line per level, score and group: of the common slices, else of the level's own."""
    known = table[table["slices"].isin(("common", "own"))].dropna(subset="effect")
    known = known.sort_values("slices", kind="stable")  # "common" goes first
    return known.drop_duplicates([level, "score", "group"]).sort_index()


@style.figure
def covariates(table):
    """Change of Net-Drop per standard deviation of a tumor's area, contrast and depth.

    ``table`` is ``table_covariates``.
    """
    table = table[table["score"] == "net_drop"]
    colors = style.groups_of(table)
    groups = list(colors)
    mixed, least = "mixed model, 95 % Wald", "least squares, patients resampled"
    looks = {mixed: {}, least: {"filled": False, "marker": "s"}}
    panels = []
    for name in dict.fromkeys(table["covariate"]):
        shown = []
        for row in table[table["covariate"] == name].to_dict("records"):
            y, row["color"] = groups.index(row["group"]), colors[row["group"]]
            other = {"effect": row["ols"], "low": row["boot_low"], "high": row["boot_high"]}
            shown += [(y, mixed, row), (y, least, row | other)]
        panels.append(Panel(COVARIATE_TITLES.get(name, name), shown))
    names = style.names_with_n(groups, table, "group")
    label = "change of Net-Drop (probability) per standard deviation; association, not cause\n"
    label += "below each group, slices with a place for a sham / patients"
    fig = forest(names, panels, looks, height=0.5, sharex=True, xlabel=label)
    for ax, panel in zip(fig.axes, panels, strict=True):
        say_what_is_missing(ax, panel)
    return fig


@style.figure
def robustness(table):
    """Net-Drop under every variant of the analysis, a row a kind of variant.

    ``table`` is ``table_robustness``. Log-odds have no place on this axis, and the looking network
    is no control of the study's; both are in the table.
    """
    is_looking = table["variant"].str.startswith(LOOKING)
    table = table[(table["scale"] == "probability") & ~is_looking]
    network = table["variant"].str.split(" ").str[0]
    table = table.assign(row=table["family"].where(table["family"] != "network", network))
    rows = sorted(set(table["row"]), key=[*FAMILY_NAMES, *table["row"]].index)
    lies = "interval " + table["lies"]
    table["lies"] = lies.where(lies.isin(INTERVAL_LOOKS), NO_INTERVAL)
    panels = []
    for group in style.groups_of(table):
        own = table[table["group"] == group]
        title = style.with_n(group, own.iloc[0])
        panels.append(Panel(title, marks(own, rows, "row", "lies")))
    names = [_with_variants(row, table.loc[table["row"] == row, "variant"]) for row in rows]
    label = f"Net-Drop, {INTERVALS}; a row's variants stand below each other as they are named;\n"
    label += "above each panel, slices with a place for a sham / patients; each has its own axis"
    looks = occurring(INTERVAL_LOOKS, table["lies"])
    fig = forest(names, panels, looks, height=0.44, size=3, xlabel=label)
    fig.axes[0].tick_params(axis="y", labelsize=7)
    return fig


def _with_variants(row, variants):
    """A row's name and, if there are several, its variants in their order, in few words."""
    name, variants = FAMILY_NAMES.get(row, row), variants.drop_duplicates()
    if len(variants) > 1:
        variants = variants.replace(row, HEADLINE_INFILL)
        for pattern, short in SHORTER.items():
            variants = variants.str.replace(pattern, short, regex=True)
        variants = variants.str.replace(" ", "_").map(style.infill_name)
        variants = variants.str.replace(" ", "\N{NO-BREAK SPACE}")
        name += f": {', '.join(variants)}"
    return textwrap.fill(name, 34, break_on_hyphens=False)
