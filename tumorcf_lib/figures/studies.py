"""Figures of cohorts, and of the studies without notebooks: folds, leak, calibration."""

import itertools
import textwrap

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FuncFormatter

from tumorcf_lib.figures import forests, style
from tumorcf_lib.figures.style import INK, METHOD_COLORS, SOFT, WIDTH, dot, figure, legend, letter
from tumorcf_lib.phantoms.planted import LOOKS, MARKERS
from tumorcf_lib.stats.rows import ALL, classes_of
from tumorcf_lib.tables import calibration as tables
from tumorcf_lib.tables.fold_scores import PLAIN
from tumorcf_lib.tables.leak import APART, DIFFERENCE, KINDS, KNOWN, N_BITS

PART_SHADES = {"train": 1.0, "validation": 0.55, "test": 0.25}  # opacity
LEAK_LOOKS = {
    "trained on other patients only": {"color": METHOD_COLORS[0]},
    "on the tested patients' other slices, too": {"color": METHOD_COLORS[1], "marker": "s"},
}
ARMS = dict(zip((APART, KNOWN), LEAK_LOOKS, strict=True))


@figure
def cohort(slices, split):
    """How many slices and patients, slices per patient, and how large the tumors are.

    ``slices``: slice_id, person_id, label, tumor_share (of the slice's pixels). ``split``:
    slice_id, fold, part; bars are split by part, that of the first fold.
    """
    colors = style.class_colors(classes_of(slices["label"]))
    first = split[split["fold"] == split["fold"].min()].set_index("slice_id")["part"]
    slices = slices.assign(part=slices["slice_id"].map(first))
    fold = " (first fold)" if split["fold"].nunique() > 1 else ""
    groups = [slices[slices["label"] == name] for name in colors]
    fig, axes = plt.subplots(2, 2, figsize=(WIDTH, 4.6))
    for ax, column, title in zip(axes[0], ("slice_id", "person_id"), ("slices", "patients")):
        n = slices.groupby(["part", "label"])[column].nunique().unstack(fill_value=0)
        n = n.reindex(index=list(PART_SHADES), columns=list(colors), fill_value=0)
        for part, bottom in (n.cumsum() - n).iterrows():
            faces = [(color, PART_SHADES[part]) for color in colors.values()]
            look = {"color": faces, "edgecolor": list(colors.values()), "lw": 0.6}
            ax.bar(range(len(colors)), n.loc[part], bottom=bottom, width=0.65, **look)
        for x, total in enumerate(n.sum()):
            at = {"textcoords": "offset points", "ha": "center", "fontsize": 8}
            ax.annotate(f"{total}", (x, total), (0, 2), **at)
        ax.set(title=title, ylim=(0, 1.15 * n.sum().max()))
        ax.yaxis.get_major_locator().set_params(integer=True)
    per_patient = [own["person_id"].value_counts() for own in groups]
    _dots(axes[1, 0], per_patient, colors, "slices per patient")
    areas = [100 * own["tumor_share"] for own in groups]
    _dots(axes[1, 1], areas, colors, "tumor area (% of the slice)", log=True)
    for ax in axes.flat:
        ax.set_xticks(range(len(colors)), colors)
        ax.tick_params(axis="x", length=0)
    shades = PART_SHADES.items()
    legend(fig, [dot(part + fold, (SOFT, shade), marker="s", size=9) for part, shade in shades])
    letter(axes.flat)
    return fig


def _dots(ax, groups, colors, title, *, log=False):
    """Jittered points with a bar at the median, one column a class."""
    rng = np.random.default_rng(0)  # the jitter only
    for x, (values, color) in enumerate(zip(groups, colors.values(), strict=True)):
        if len(values):
            jitter, many = rng.uniform(-0.26, 0.26, len(values)), len(values) > style.MANY
            ax.scatter(x + jitter, values, s=5, color=color, alpha=0.45, lw=0, rasterized=many)
            median = np.median(values)
            ax.hlines(median, x - 0.3, x + 0.3, color=INK, linewidth=1.6)
            ax.text(x + 0.33, median, f"{median:.3g}", fontsize=7, va="center")
    ax.set_xlim(-0.5, len(groups) - 0.3)
    if log:
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    elif all(len(set(values)) <= 1 for values in groups):
        ax.set_ylim(bottom=0)
    ax.set(title=f"{title}, bar: median")


@figure
def intensities(raw, inputs, labels):
    """Intensities of slices as stored, and as the network gets them: a line from air to the top.

    ``raw``, ``inputs``: the same slices before and after preprocessing, of these ``labels``. A line
    a slice, from its minimum (air) to its 99th percentile, a dot at the median of what is brighter.
    """
    colors = style.class_colors(classes_of(labels))
    tops = [np.percentile(image, 99) for image in raw]
    order = sorted(range(len(raw)), key=lambda i: ([*colors].index(labels[i]), tops[i]))
    fig, axes = style.panels(2, 2.8)
    for ax, images, title in zip(axes, (raw, inputs), ("as stored", "network input"), strict=True):
        for x, i in enumerate(order):
            image = np.asarray(images[i], float)
            air, top = image.min(), np.percentile(image, 99)
            head = image[image > air + 0.05 * (top - air)]
            ax.plot([x, x], [air, top], color=colors[labels[i]], linewidth=1.3)
            ax.plot(x, np.median(head) if head.size else air, "o", color=INK, markersize=2)
        ax.set(title=title, xticks=[], xlabel=f"{len(raw)} slices, by stored brightness")
    axes[0].set_ylabel("intensity")
    lines = [dot(name, color, marker="", line="-") for name, color in colors.items()]
    legend(fig, [*lines, dot("median", INK, size=3)])
    letter(axes)
    return fig


@figure
def folds(table, elsewhere):
    """Accuracy of the study's own networks, and the pooled one beside those published elsewhere.

    ``table``: network, training_seed, fold, slice_accuracy, person_accuracy. ``elsewhere``:
    source, slices, persons and the ends of their intervals.
    """
    table = table[table["network"] == PLAIN]
    fig, (left, right) = style.panels(2, 1.4 + 0.34 * len(elsewhere), width_ratios=(1, 1.25))
    seeds = dict(zip(sorted(table["training_seed"].unique()), itertools.cycle(METHOD_COLORS)))
    for k, (seed, color) in enumerate(seeds.items()):
        own = table[table["training_seed"] == seed]
        x = own["fold"] + 0.16 * (k - (len(seeds) - 1) / 2)
        left.plot(x, own["slice_accuracy"], "o", color=color, markersize=5)
        left.plot(x, own["person_accuracy"], "D", color=color, markersize=5, mfc="white")
    label = "accuracy\n(the axis does not begin at 0)"
    left.set(xlabel="fold, its slices and its patients", ylabel=label, title="Each fold")
    n = table.drop_duplicates("fold").sort_values("fold").to_dict("records")
    names = [style.with_n(f"{row['fold']}", row).replace(" / ", "\n") for row in n]
    left.set_xticks([row["fold"] for row in n], names, fontsize=7)
    left.set_xlim(-0.5, len(n) - 0.5)
    left.grid(axis="y", color=style.FAINT, linewidth=0.5)
    looks = {"slices": {}, "persons": {"marker": "D", "filled": False}}
    marks = []
    for y, row in enumerate(elsewhere.to_dict("records")):
        color = INK if row["source"].startswith("this project") else SOFT
        for kind in looks:
            ends = {end: row[f"{kind}_{end}"] for end in ("low", "high")}
            marks.append((y, kind, {"effect": row[kind], "color": color, **ends}))
    forests.draw_panel(right, forests.Panel("All folds, beside others", marks, line=None), looks)
    sources = [textwrap.fill(source, 31) for source in elsewhere["source"]]
    right.set_yticks(range(len(sources)), sources, fontsize=7)
    label = "accuracy, patients kept apart\n(the axis does not begin at 0)"
    right.set(xlabel=label, ylim=(len(sources) - 0.5, -0.5))
    handles = [dot("slices", INK), dot("patients", INK, **looks["persons"])]
    handles += [dot(f"seed {seed}", color, marker="s") for seed, color in seeds.items()]
    legend(fig, handles)
    letter((left, right))
    return fig


@figure
def leak(table, duplicates, summary):
    """What a leak is worth: how right twins are, and how near slices of other IDs are.

    ``table``, ``duplicates`` (may be empty) and ``summary`` are ``table_leak``,
    ``rows_duplicates`` and ``table_duplicates``.
    """
    fig = plt.figure(figsize=(WIDTH, 3.4))
    parts = fig.subfigures(1, 2, width_ratios=(1.45, 1))
    left, right = (part.subplots() for part in parts)
    own = table[(table["score"] == "right") & (table["group"] == ALL)]
    own = own.replace({"labels": {"own": "true labels", "shuffled": "shuffled labels"}})
    more, labels = own[own["arm"] == DIFFERENCE], list(dict.fromkeys(own["labels"]))
    own = own.assign(look=own["arm"].map(ARMS)).dropna(subset="look").drop(columns="n_slices")
    marks = forests.marks(own, labels, "labels", "look")
    panel = forests.Panel("The same slices, asked of twins", marks, line=None)
    counted = zip(style.names_with_n(labels, more, "labels"), more.to_dict("records"), strict=True)
    names = [f"{name}\ndifference\n{forests.number(row)}" for name, row in counted]
    forests.draw_panel(left, panel, LEAK_LOOKS)
    left.set_yticks(range(len(names)), names, fontsize=7)
    left.set_ylim(len(names) - 0.5, -0.5)
    forests.write_numbers(left, panel, head="")
    left.set(xlim=(0, 1), xticks=[0, 0.5, 1])
    left.set_xlabel("share of slices called right\nbelow the labels: slices / patients", fontsize=8)
    legend(parts[0], [dot(name, **look) for name, look in LEAK_LOOKS.items()], ncols=1)
    _distances(right, parts[1], duplicates, summary)
    letter([left, right])
    return fig


def _distances(ax, fig, duplicates, summary):
    """Share of comparisons whose nearest slice is at most so far, by kind of the other ID."""
    ax.set_title("Nearest slice of one ID")
    if not len(duplicates):
        ax.text(0.5, 0.5, "no two IDs share a stem", ha="center", va="center", color=SOFT)
        ax.axis("off")
        return
    for kind, color, line in zip(KINDS, METHOD_COLORS, ("-", "--", "-.", ":"), strict=False):
        distances = duplicates.loc[duplicates["kind"] == kind, "distance"]
        if len(distances):
            name = kind.replace("person", "patient")
            ax.ecdf(distances, color=color, linestyle=line, label=name)
    handles = ax.get_legend_handles_labels()[0]
    threshold, label = summary["threshold"].iloc[0], f"bits of {N_BITS} that differ"
    if threshold >= 0:
        ax.axvline(threshold, color=SOFT, linestyle=(0, (1, 3)), linewidth=0.9)
        label += f"\n(dotted: near, at most {threshold:g})"
    ax.set_xlabel(label, fontsize=8)
    ax.set(ylabel="cumulative share of slices", xlim=(0, None), ylim=(0, 1.01))
    legend(fig, handles, ncols=2, fontsize=7)


@figure
def known_answers(examples, scores, derived):
    """What the score says where the answer is known: networks of nothing, and a planted cause.

    ``examples`` (a congruent slice a class), ``scores`` and ``derived`` (tables by name) are from
    ``study.calibration``.
    """
    fig = plt.figure(figsize=(WIDTH, 5.4))
    top, bottom = fig.subfigures(2, 1, height_ratios=(1, 1.15))
    slices = top.subplots(1, 4, width_ratios=(1, 1, 1, 1.9))
    null, (rho, apart, moved) = slices[3], bottom.subplots(1, 3)
    limits = style.window(list(examples.slices))
    for k, (ax, name) in enumerate(zip(slices, examples.classes, strict=False)):
        i = int(np.flatnonzero(examples.labels == k)[0])
        style.show_slice(ax, examples.slices[i], limits)
        ax.set_title(f"class {name}")
        ax.set_xlabel(f"tumor: {LOOKS[k]}\nmarker: {MARKERS[k]}", fontsize=7.5, labelpad=3)
    _null(null, derived["table_networks"], derived["table_null"])
    _against_rho(rho, derived["table_planted"])
    _apart(apart, scores, derived["table_separation"])
    _followed(moved, derived["table_transplants"])
    for ax, place in ((rho, "best"), (apart, "best"), (moved, "center right")):
        ax.legend(fontsize=7, handlelength=1.2, loc=place)
    letter([slices[0], null, rho, apart, moved])
    return fig


def _null(ax, networks, null):
    """Mean Net-Drop of every network that knows nothing, by kind; ticks: its single classes."""
    own = networks[networks["score"] == "net_drop"]
    classes, own = own[own["group"] != "all"], own[own["group"] == "all"]
    null = null[(null["score"] == "net_drop") & (null["group"] == "all")]
    rng, marks, names = np.random.default_rng(0), [], []  # the jitter only
    for y, row in enumerate(null.to_dict("records")):
        values = own.loc[own["kind"] == row["kind"], "effect"]
        dots = {"s": 9, "color": SOFT, "alpha": 0.7, "linewidths": 0}
        ax.scatter(values, y + rng.uniform(-0.1, 0.1, len(values)), **dots)
        singles = classes.loc[classes["kind"] == row["kind"], "effect"]
        ticks = {"s": 22, "marker": "|", "color": SOFT, "alpha": 0.6, "linewidths": 0.7}
        ax.scatter(singles, np.full(len(singles), y + 0.25), **ticks)
        marks.append((y - 0.25, "", row | {"color": INK}))
        mean = f"{row['effect']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
        names.append(f"{row['kind']}\n{row['n_networks']} networks\n{mean}")
    title, margin = "Networks that know nothing", null["margin"].iloc[0]
    forests.draw_panel(ax, forests.Panel(title, marks, band=margin), {}, size=4)
    ax.yaxis.tick_right()
    ax.set_yticks(range(len(names)), names, fontsize=7)
    ax.set_ylim(len(names) - 0.5, -0.6)
    ax.set_xlabel(f"mean Net-Drop of a network, 90 %\n(ticks: single classes; band: ±{margin:g})")


def _against_rho(ax, planted):
    """Net-Drop by rho: all slices with the interval over patients and networks, and each class."""
    own = planted[planted["score"] == tables.SCALES["probability"]]
    ax.axhline(0, color=SOFT, linewidth=0.8, zorder=0)
    for group, color in style.groups_of(own).items():
        rows = own[own["group"] == group]
        name = f"class {group}" if group != "all" else "all, 95 %"
        ends = style.reach(rows["effect"], rows["low"], rows["high"])
        look = {"color": color, "marker": ".", "label": name}
        look |= {"yerr": ends, "marker": "o", "capsize": 2.5} if group == "all" else {"lw": 0.9}
        ax.errorbar(rows["rho"], rows["effect"], markersize=4, **look)
    ax.set(ylabel="Net-Drop (probability)", title="Net-Drop falls with ρ")
    _along_rho(ax, rows["rho"], own["n_networks"], own["n_patients"])


def _followed(ax, transplants):
    """Whose class a planted network names by rho: the transplanted tumor's, or the head's."""
    own = transplants.query("kind == 'conflict' and donor == host == 'all'")
    for name, color, label in ("tumor", INK, "the tumor"), ("head", METHOD_COLORS[2], "the marker"):
        ends = style.reach(own[name], own[f"{name}_low"], own[f"{name}_high"])
        look = {"color": color, "marker": "o", "markersize": 4, "capsize": 2.5}
        ax.errorbar(own["rho"], own[name], yerr=ends, label=label, **look)
    ax.set(ylim=(-0.02, 1.02), ylabel="share called by the class of", title="Transplanted tumors")
    _along_rho(ax, own["rho"], own["n_seeds"], own["n_patients"])


def _along_rho(ax, rho, n_networks, n_patients):
    """The axis of rho, and how many networks each rho has, tested on how many patients."""
    n = f"{n_networks.max()} networks, {n_patients.max()} patients"
    ax.set_title(f"{ax.get_title(loc='left')}\n{n}")
    ax.set_xlabel("ρ: share of labels\nthat the marker carries")
    ax.set_xticks(rho, [f"{one:g}" for one in rho])


def _apart(ax, scores, separation):
    """Per-slice Net-Drop in log-odds of tumor-readers and shortcut-readers."""
    by = tables.planted_scores(scores).groupby("rho")[tables.SCALES["log-odds"]]
    first, *_, last = (own.dropna() for _, own in by)
    edges = np.histogram_bin_edges(np.concatenate([first, last]), 36)
    kinds = (
        ("reads the tumor (ρ 0)", first, INK),
        ("reads the marker (ρ 1)", last, METHOD_COLORS[2]),
    )
    for label, own, color in kinds:
        ax.hist(own, edges, color=color, alpha=0.75, label=f"{label}\nn = {len(own)}")
    row = separation[(separation["scale"] == "log-odds") & (separation["group"] == "all")].iloc[0]
    ax.set(xlabel="Net-Drop of a slice (log-odds)", ylabel="slices, by each network")
    ax.set_title(f"Single slices\nAUC {forests.number(row.rename({'auc': 'effect'}))}")
