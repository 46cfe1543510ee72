"""The calibration figure: what the audit says when we know the answer."""

import matplotlib.pyplot as plt
import numpy as np

from tumorcf_lib.figures.style import (
    FAINT,
    INK,
    SOFT,
    WIDTH,
    class_colors,
    figure,
    letter,
    show_slice,
    window,
)
from tumorcf_lib.phantoms.planted import LOOKS, MARKERS
from tumorcf_lib.tables import calibration as tables

READER_COLOR, SHORTCUT_COLOR = "#0072B2", "#D55E00"
TITLE = "What the score says where the answer is known"


@figure
def known_answers(examples, scores, derived):
    """Slices with both carriers, the null spread, Net-Drop against rho, and the separation.

    Parameters
    ----------
    examples : Cohort
        One slice of each class with marker and look in agreement; phantoms may be shown.
    scores : DataFrame
        From ``calibration_tables.network_scores``.
    derived : dict of str to DataFrame
        ``table_networks``, ``table_null``, ``table_planted`` and ``table_separation``.
    """
    fig = plt.figure(figsize=(WIDTH, 5.4))
    fig.suptitle(TITLE, fontweight="bold")
    top, bottom = fig.subfigures(2, 1, height_ratios=(1, 1.2))
    left, right = top.subfigures(1, 2, width_ratios=(1.25, 1))
    slices, null = left.subplots(1, 3), right.subplots()
    falls = bottom.subplots(1, 3, width_ratios=(1, 1, 1.25))
    _examples(slices, examples)
    _null(null, derived["table_networks"], derived["table_null"])
    for ax, scale in zip(falls, tables.SCALES, strict=False):
        _against_rho(ax, derived["table_planted"], scale)
    _apart(falls[2], scores, derived["table_separation"])
    letter([slices[0], null, *falls])
    return fig


def _examples(axes, examples):
    limits = window(list(examples.slices))
    for ax, name in zip(axes, examples.classes, strict=True):
        i = int(np.flatnonzero(examples.labels == examples.classes.index(name))[0])
        show_slice(ax, examples.slices[i], limits)
        k = examples.classes.index(name)
        ax.set_title(f"class {name}")
        ax.set_xlabel(f"tumor: {LOOKS[k]}\nmarker: {MARKERS[k]}", fontsize=7.5, labelpad=3)


def _null(ax, networks, null):
    """Mean Net-Drop of every network that knows nothing, by kind; below, the planted ones.

    Ticks under the dots are the same networks class by class.
    """
    own = networks[networks["score"] == "net_drop"]
    classes, own = own[own["group"] != "all"], own[own["group"] == "all"]
    null = null[(null["scale"] == "probability") & (null["group"] == "all")].set_index("kind")
    ax.axvspan(-tables.MARGIN, tables.MARGIN, color=FAINT, linewidth=0, zorder=0)
    ax.axvline(0, color=SOFT, linewidth=0.8, zorder=0)
    rng = np.random.default_rng(0)  # the jitter only
    for y, (kind, row) in enumerate(null.iterrows(), start=1):
        values = own.loc[own["kind"] == kind, "effect"]
        ax.scatter(values, y + rng.uniform(-0.12, 0.12, len(values)), s=9, color=SOFT,
                   alpha=0.7, linewidths=0)
        by_class = classes.loc[classes["kind"] == kind, "effect"]
        ax.scatter(by_class, np.full(len(by_class), y - 0.28), s=22, marker="|", color=SOFT,
                   alpha=0.6, linewidths=0.7)
        ax.errorbar(row["effect"], y + 0.28, xerr=[[row["effect"] - row["low"]],
                    [row["high"] - row["effect"]]], fmt="o", color=INK, markersize=3.5, capsize=2.5)
        ax.text(0.99, y + 0.34, f"{row['effect']:+.4f}, {row['verdict']}", fontsize=7,
                ha="right", transform=ax.get_yaxis_transform())
    known_nothing = classes.loc[classes["kind"].isin(null.index), "effect"]
    furthest = max(null[["smallest", "largest"]].abs().max().max(), known_nothing.abs().max())
    edge = 1.15 * max(1.5 * tables.MARGIN, furthest)
    planted = own[own["kind"] == tables.PLANTED].sort_values("effect")
    inside = planted[planted["effect"].abs() < edge]
    ax.scatter(inside["effect"], np.zeros(len(inside)), s=20, color=READER_COLOR, zorder=3)
    beyond = [f"ρ {r.network[4:]}: {r.effect:+.2f}" for r in planted.itertuples()
              if abs(r.effect) >= edge]
    ax.text(0.99, -0.27, f"{', '.join(beyond)} beyond →" if beyond else "", fontsize=7, ha="right",
            va="center", color=READER_COLOR, transform=ax.get_yaxis_transform())
    ax.set_yticks(range(len(null) + 1), ["planted", *(k.replace(" ", "\n") for k in null.index)])
    ax.set(xlim=(-edge, edge), ylim=(-0.4, len(null) + 0.65),
           xlabel="mean Net-Drop of a network\n(ticks: of its single classes)",
           title="Networks that know nothing")


def _against_rho(ax, planted, scale):
    """Net-Drop by rho: all slices with the interval over persons, and each class."""
    own = planted[planted["score"] == tables.SCALES[scale]]
    ax.axhline(0, color=SOFT, linewidth=0.8, zorder=0)
    groups = [group for group in dict.fromkeys(own["group"]) if group != "all"]
    for group, color in class_colors(groups).items():
        rows = own[own["group"] == group]
        ax.plot(rows["rho"], rows["effect"], color=color, linewidth=0.9, marker=".",
                markersize=4, label=f"class {group}", alpha=0.85)
    rows = own[own["group"] == "all"]
    reach = [rows["effect"] - rows["low"], rows["high"] - rows["effect"]]
    ax.errorbar(rows["rho"], rows["effect"], reach, color=INK, marker="o", markersize=4,
                capsize=2.5, label="all, 95 %")
    ax.set(xlabel="ρ: share of labels that\nthe marker carries", ylabel=f"Net-Drop ({scale})",
           title="Net-Drop by ρ" if scale == "probability" else "the same, log-odds")
    ax.set_xticks(rows["rho"], [f"{rho:g}" for rho in rows["rho"]], fontsize=7)
    if scale == "probability":
        ax.legend(fontsize=7, handlelength=1.2)


def _apart(ax, scores, separation):
    """Per-slice Net-Drop in log-odds of tumor-reader and shortcut-reader."""
    names = tables.planted_networks(scores)
    column = tables.SCALES["log-odds"]
    values = {
        label: scores.loc[scores["network"] == name, column].dropna()
        for label, name in (("tumor-reader (ρ 0)", names[0]), ("shortcut-reader (ρ 1)", names[-1]))
    }
    edges = np.histogram_bin_edges(np.concatenate(list(values.values())), 36)
    for (label, own), color in zip(values.items(), (READER_COLOR, SHORTCUT_COLOR), strict=True):
        ax.hist(own, edges, color=color, alpha=0.65, label=label)
    row = separation[(separation["scale"] == "log-odds") & (separation["group"] == "all")].iloc[0]
    ax.set(xlabel="Net-Drop of a slice (log-odds)", ylabel="slices",
           title="Single slices, two readers")
    ax.legend(fontsize=7, title=f"AUC {row['auc']:.3f} [{row['low']:.3f}, {row['high']:.3f}]",
              title_fontsize=7.5, loc="upper right")
