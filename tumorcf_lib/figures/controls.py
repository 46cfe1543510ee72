"""Forests of the controls: energy, probes, other networks, infills, covariates, variants."""

import numpy as np

from tumorcf_lib.figures import style
from tumorcf_lib.figures.forests import VERDICT_LOOKS, Panel, forest
from tumorcf_lib.stats.rows import ALL
from tumorcf_lib.stats.verdicts import RELEVANT
from tumorcf_lib.tables.classifiers import PLAIN, UNSEEN
from tumorcf_lib.tables.robustness import ABOVE, AROUND, BELOW

INTERVALS = "95 % intervals over patients"
INFILL_NAMES = {"navier_stokes": "Navier-Stokes", "telea": "Telea"}
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
VIEW_NAMES = {"slice": "detector sees the slice", "patch": "detector sees the patch"}
ENERGY_NAMES = {
    "net_drop": "all shams",
    "net_drop_matched": "shams of like energy",
    "net_drop_residual": "adjusted by regression",
}
FAMILY_NAMES = {
    "headline": "as the study does it",
    "slices": "other choices of slices",
    "shams": "shams off the skull",
    "energy": "energy of the edit",
    "infill": "other infills",
    "dilation": "mask grown or shrunk",
    "scale": "intensity map refitted",
    "hardened": "hardened network",
    "looking": "looking network",
}
"""Rows of the forest of variants; those of family "network" are named by their network."""

NO_INTERVAL = "too few patients for an interval"
LIES = dict(zip((ABOVE, BELOW, AROUND), ("supported", "refuted", "undecided"), strict=True))
INTERVAL_LOOKS = {f"interval {lies}": VERDICT_LOOKS[word] for lies, word in LIES.items()}
INTERVAL_LOOKS[NO_INTERVAL] = {"marker": "x"}
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
    if table.empty:
        return style.nothing()
    ratio = table[table["quantity"] == "rms_ratio"].set_index("group")["effect"]
    own = table[table["scale"] == "probability"].set_index(["group", "quantity"])
    names, marks = [], []
    for group, color in style.groups_of(table).items():
        rms = f" (removal: {ratio[group]:.1f} × a sham's change)" if group in ratio else ""
        names.append(style.with_n(group, {}) + rms)
        for quantity in (q for q in ENERGY_NAMES if (group, q) in own.index):
            marks.append((len(names), "", own.loc[(group, quantity)].to_dict() | {"color": color}))
            names.append(ENERGY_NAMES[quantity])
    panel = Panel("", marks, band=RELEVANT)
    label = f"Net-Drop, {INTERVALS}; band: ±{RELEVANT}"
    return forest(names, [panel], {}, numbers=True, height=0.2, xlabel=label)


@style.figure
def probes(table):
    """How well networks and statistics that see less than the slice find the class.

    ``table`` is ``table_probes``; its first metric of group "all" is shown.
    """
    own = table[table["group"] == ALL]
    if own.empty:
        return style.nothing()
    metric = own["metric"].iloc[0]
    own = own[own["metric"] == metric].rename(columns={"value": "effect"})
    names = list(dict.fromkeys(own["probe"]))
    looks = _method_looks(own["network"])
    looks = {NETWORK_NAMES.get(name, name): look for name, look in looks.items()}
    marks = [
        (names.index(r["probe"]), NETWORK_NAMES.get(r["network"], r["network"]), r)
        for r in own.to_dict("records")
    ]
    shown = [style.EDIT_NAMES.get(n) or PROBE_NAMES.get(n, n.replace("_", " ")) for n in names]
    panel = Panel("", marks, line=own["chance"].iloc[0])
    label = f"{metric}, {INTERVALS}; dashed: chance"
    return forest(shown, [panel], looks, numbers=True, height=0.42, xlabel=label)


def _method_looks(names):
    """Color and marker of each method in its order."""
    kinds = zip(dict.fromkeys(names), style.METHOD_COLORS, "osD^v", strict=False)
    return {name: {"color": color, "marker": marker} for name, color, marker in kinds}


@style.figure
def networks(table):
    """The study's network beside the hardened and the looking one: accuracy, drop, focus.

    ``table`` is ``table_networks``. Open: under infills that a network never saw.
    """
    if table.empty:
        return style.nothing()
    groups = list(style.groups_of(table))
    lines = {"accuracy": None, "net_drop": 0.0, "delta_focus": 1 / max(len(groups) - 1, 1)}
    seen = _method_looks(table["network"])
    unseen = {(name, UNSEEN): look | {"filled": False} for name, look in seen.items()}
    table = table[table["infill"].isin(("", "navier_stokes", UNSEEN))]
    panels = []
    for score, line in lines.items():
        marks = []
        for row in table[table["score"] == score].to_dict("records"):
            name = row["network"]
            look = (name, UNSEEN) if row["infill"] == UNSEEN else name
            marks.append((groups.index(row["group"]), look, row))
        panels.append(Panel(style.SCORE_NAMES[score], marks, line=line))
    plain = table[(table["network"] == PLAIN) & (table["score"] == "accuracy")]
    n = plain.set_index("group").to_dict("index")
    names = [style.with_n(group, n.get(group, {})) for group in groups]
    label = f"{INTERVALS}; slices / patients below each group; dashed: chance"
    fig = forest(names, panels, seen | unseen, height=0.75, size=4, xlabel=label)
    fig.legends[0].remove()
    handles = [style.dot(label=name, **look) for name, look in seen.items()]
    style.legend(
        fig, [*handles, style.dot(style.SOFT, "open: infills that it never saw", filled=False)]
    )
    return fig


@style.figure
def infills(scores, quality=None, detector=None):
    """Each infill's Net-Drop, its error where the truth is known, and whether it can be seen.

    Parameters
    ----------
    scores, quality : DataFrame
        infill, score, group, effect, low, high; of net_drop and, on sham places, of mae. With a
        column ``slices`` ("own", "common"), common slices where an infill has them.
    detector : DataFrame, optional
        infill, view, group, auc, low, high: finding edited among untouched slices.
    """
    scores = of_common_slices(scores[scores["score"] == "net_drop"], "infill")
    names = list(dict.fromkeys(scores["infill"]))
    if not names:
        return style.nothing()
    looks = {group: {"color": color} for group, color in style.groups_of(scores).items()}
    panels = [Panel("Net-Drop\n", _marks(scores, names, "group", looks))]
    if quality is not None:
        own = of_common_slices(quality[quality["score"] == "mae"], "infill")
        title = "Error where the truth\nis known (MAE)"
        panels.append(Panel(title, _marks(own, names, "group", looks), None))
    if detector is not None:
        own = detector[detector["group"] == ALL].rename(columns={"auc": "effect"})
        own = own.assign(view=own["view"].replace(VIEW_NAMES))
        views = zip(dict.fromkeys(own["view"]), "s^vP", strict=False)
        views = {name: {"color": style.SOFT, "marker": marker} for name, marker in views}
        title = "Can the edit be seen?\n(AUC of a detector)"
        panels.append(Panel(title, _marks(own, names, "view", views), 0.5))
        looks = looks | views
    n = scores[scores["group"] == ALL].set_index("infill").to_dict("index")
    shown = [style.with_n(INFILL_NAMES.get(k, k.replace("_", " ")), n.get(k, {})) for k in names]
    label = f"{INTERVALS}; slices / patients below each infill; dashed: chance"
    return forest(shown, panels, looks, height=0.55, size=4, xlabel=label)


def _marks(table, names, column, looks):
    """Marks of each infill, in the order of looks."""
    rows = [row for look in looks for row in table[table[column] == look].to_dict("records")]
    return [(names.index(r["infill"]), r[column], r) for r in rows if r["infill"] in names]


def of_common_slices(table, level):
    """One line per level, score and group: of the common slices, else of the level's own."""
    if "slices" not in table:
        return table
    known = table[np.isfinite(table["effect"].to_numpy(float))]
    known = known[known["slices"].isin(("common", "own"))]
    known = known.sort_values("slices", kind="stable")  # "common" goes first
    return known.drop_duplicates([level, "score", "group"]).sort_index()


@style.figure
def covariates(table):
    """Change of Net-Drop per standard deviation of a tumor's area, contrast and depth.

    ``table`` is ``table_covariates``.
    """
    table = table[table["score"] == "net_drop"]
    if table.empty:
        return style.nothing()
    colors = style.groups_of(table)
    groups = list(colors)
    mixed, least = "mixed model, 95 % Wald", "least squares, patients resampled"
    looks = {mixed: {}, least: {"filled": False, "marker": "s"}}
    panels = []
    for name in dict.fromkeys(table["covariate"]):
        marks = []
        for row in table[table["covariate"] == name].to_dict("records"):
            y, row["color"] = groups.index(row["group"]), colors[row["group"]]
            other = {"effect": row["ols"], "low": row["boot_low"], "high": row["boot_high"]}
            marks += [(y, mixed, row), (y, least, row | other)]
        panels.append(Panel(COVARIATE_TITLES.get(name, name), marks))
    n = table.drop_duplicates("group").set_index("group").to_dict("index")
    names = [style.with_n(group, n[group]) for group in groups]
    label = "change of Net-Drop (probability) per standard deviation; association, not cause"
    return forest(names, panels, looks, height=0.5, sharex=True, xlabel=label)


@style.figure
def robustness(table):
    """Net-Drop under every variant of the analysis, a row a kind of variant.

    ``table`` is ``table_robustness``. Log-odds have no place on this axis; they are in the table.
    """
    table = table[table["scale"] == "probability"]
    if table.empty:
        return style.nothing()
    network = table["variant"].str.split(" ").str[0]
    table = table.assign(row=table["family"].where(table["family"] != "network", network))
    rows = sorted(dict.fromkeys(table["row"]), key=[*FAMILY_NAMES, *table["row"]].index)
    panels = []
    for group in style.groups_of(table):
        own = table[table["group"] == group]
        marks = [
            (rows.index(r["row"]), f"interval {r['lies']}" if r["lies"] in LIES else NO_INTERVAL, r)
            for r in own.to_dict("records")
        ]
        panels.append(Panel(style.with_n(group, own.iloc[0]), marks, band=RELEVANT))
    n = table.groupby("row")["variant"].nunique()
    names = [FAMILY_NAMES.get(row, row) + (f" ({n[row]})" if n[row] > 1 else "") for row in rows]
    label = f"Net-Drop, {INTERVALS}; (n): variants of a row; band: ±{RELEVANT}"
    return forest(names, panels, INTERVAL_LOOKS, height=0.4, size=3, sharex=True, xlabel=label)
