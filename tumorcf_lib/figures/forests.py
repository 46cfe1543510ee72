"""The forest that eight figures share, and the two that tell the answer: claims and headline."""

import textwrap
from dataclasses import dataclass

import numpy as np

from tumorcf_lib.figures import style
from tumorcf_lib.stats.rows import ALL, classes_of
from tumorcf_lib.tables.primary import CLAIMS

NUMBER_AT, N_AT = 6, 158  # points right of the panel
VERDICT_LOOKS = {
    name: {"color": color, "marker": marker}
    for (name, color), marker in zip(style.VERDICT_COLORS.items(), "osD", strict=True)
}

ARROWS = {"above": "→", "below": "←"}


@dataclass(frozen=True)
class Panel:
    """A column of a forest: marks are (row, look, record with effect, low and high)."""

    title: str
    marks: list
    line: float | None = 0.0  # where nothing is: no effect, or chance
    band: float = 0.0  # half the width of a gray band around the line


def forest(names, panels, looks, *, height=0.3, numbers="", xlabel="", sharex=False, size=4.5):
    """A row a name, a panel a score; marks of one row stand below each other in their order.

    ``looks``: name in the legend -> color, marker, filled; a record's own "color" goes first, and
    either can say that it is not "filled". ``numbers``: the head of those that are written at the
    right of the last panel.
    """
    shared = {"sharey": True, "sharex": sharex}
    fig, axes = style.panels(len(panels), height * len(names) + 1.25, **shared)
    for ax, panel in zip(axes, panels, strict=True):
        draw_panel(ax, panel, looks, size=size)
    axes[0].set_ylim(len(names) - 0.4, -0.6)
    axes[0].set_yticks(range(len(names)), names)
    if numbers:
        write_numbers(axes[-1], panels[-1], head=numbers)
    if looks:
        style.legend(fig, [style.dot(name, **look) for name, look in looks.items()])
    if xlabel:
        fig.supxlabel(xlabel, fontsize=8)
    if len(panels) > 1:
        style.letter(axes)
    return fig


def occurring(looks, names):
    """The looks of the names that occur."""
    return {name: look for name, look in looks.items() if name in set(names)}


def marks(table, names, row, look):
    """Marks of a table, which names their row and their look in two of its columns."""
    return [(names.index(one[row]), one[look], one) for one in table.to_dict("records")]


def draw_panel(ax, panel, looks, *, size=4.5):
    """The marks of one panel, without names; nothing for a missing value."""
    if panel.band:
        ends = panel.line - panel.band, panel.line + panel.band
        ax.axvspan(*ends, color=style.BAND, lw=0, zorder=0)
    if panel.line is not None:
        ax.axvline(panel.line, color=style.SOFT, lw=0.9, ls="--" if panel.line else "-", zorder=1)
    for y, look, row in placed(panel.marks):
        if np.isfinite(row["effect"]):
            look = {"color": style.SOFT, "filled": True, "marker": "o"} | looks.get(look, {})
            color = row.get("color", look["color"])
            face = color if look["filled"] and row.get("filled", True) else "white"
            options = {"fmt": look["marker"], "color": color, "mfc": face, "markersize": size}
            options |= {"lw": min(1.6, size / 3.2), "capsize": 2 if size > 4 else 0}
            ends = style.reach(row["effect"], row["low"], row["high"])
            ends = ends if np.isfinite(ends).all() else None
            ax.errorbar(row["effect"], y, xerr=ends, **options)
    ax.set_title(panel.title)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color=style.FAINT, linewidth=0.5)
    ax.set_axisbelow(True)


def placed(marks):
    """Marks with their height: those of one row share its space."""
    for line in dict.fromkeys(row for row, _, _ in marks):
        own = [mark for mark in marks if mark[0] == line]
        half = min(0.3, 0.13 * (len(own) - 1))
        for shift, (_, look, row) in zip(np.linspace(-half, half, len(own)), own, strict=True):
            yield line + (shift if len(own) > 1 else 0), look, row


def say_what_is_missing(ax, panel):
    """Words at the place of each mark that a panel lacks."""
    for y, _, row in placed(panel.marks):
        if not np.isfinite(row["effect"]):
            at = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
            white = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
            ax.annotate(number(row), (panel.line, y), fontsize=6.5, bbox=white, **at)


def write_numbers(ax, panel, *, head):
    """Columns right of a panel: each mark's estimate and interval, its slices and patients."""

    def write(text, y, points, **more):
        at = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points"}
        ax.annotate(text, (1, y), (points, 0), va="center", fontsize=7, **at, **more)

    shown = list(placed(panel.marks))
    write(head, ax.get_ylim()[1], NUMBER_AT, color=style.SOFT)
    if any("n_slices" in row for _, _, row in shown):
        write("slices / patients", ax.get_ylim()[1], N_AT, ha="right", color=style.SOFT)
    for y, _, row in shown:
        write(number(row), y, NUMBER_AT)
        if np.isfinite(row["effect"]):
            write(style.with_n("", row, between=""), y, N_AT, ha="right", color=style.SOFT)


def number(row, *, sign=""):
    """An estimate as it is printed beside its mark."""
    if not np.isfinite(row["effect"]):
        return "no estimate"
    # + 0.0 turns a rounded -0.0 into 0.0
    effect, low, high = (round(row[name], 3) + 0.0 for name in ("effect", "low", "high"))
    return f"{effect:{sign}.3f}" + (f" [{low:.3f}, {high:.3f}]" if np.isfinite(low) else "")


@style.figure
def primary(table):
    """The primary claims with their intervals and, gray, where networks that know nothing fall.

    An arrow behind a claim points to the side that it claims. ``table``: finding, claim, effect,
    low, high, network_error, null_low, null_high, n_slices, n_patients, verdict.
    """
    rows = table.to_dict("records")
    arrows = {claim.claim: ARROWS[claim.side] for claim in CLAIMS}
    names = [
        textwrap.fill(f"{row['finding']}  {row['claim']}", 46) + f" {arrows[row['claim']]}"
        for row in rows
    ]
    label = "arrow: the claimed side\neffect, 95 % interval over patients"
    label += " and networks" if table["network_error"].notna().any() else ""
    label += "; gray: networks that know nothing" if table["null_low"].notna().any() else ""
    label += "\nslices: of findings 1, 2 and 4, those with a place for a sham"
    label += "; of finding 5, those called wrong (dashed: one half)"
    panel = Panel("", [(y, row["verdict"], row) for y, row in enumerate(rows)])
    looks = occurring(VERDICT_LOOKS, table["verdict"])
    fig = forest(names, [panel], looks, numbers="effect [95 %]", height=0.36, xlabel=label)
    fig.axes[0].tick_params(axis="y", labelsize=7)
    for y, row in enumerate(rows):
        sides = [y - 0.42, y + 0.42]
        if row["finding"] == 5:
            fig.axes[0].plot([0.5, 0.5], sides, color=style.SOFT, linewidth=0.9, ls="--")
        band = [row["null_low"], row["null_high"]]
        fig.axes[0].fill_betweenx(sides, *band, color=style.FAINT, linewidth=0, zorder=0)
    return fig


@style.figure
def headline(means):
    """Delta-Drop beside Sham-Drop for each class: does removing the *tumor* matter?

    Parameters
    ----------
    means : DataFrame
        Of delta_drop, sham_drop and net_drop: score, group, effect, low, high, n_slices and
        n_persons or n_patients.

    Returns
    -------
    Figure
        The number is the difference, Net-Drop; "no sham" where no slice of a class has a place.
    """
    groups = classes_of(g for g in means["group"] if g != ALL)
    colors = {**style.class_colors(groups), ALL: style.INK}
    names = f"{style.EDIT_NAMES['remove']} (Delta-Drop)", f"{style.EDIT_NAMES['sham']} (Sham-Drop)"
    looks = dict(zip(names, ({}, {"filled": False}), strict=True))
    known = means.dropna(subset="effect").to_dict("records")
    rows = {(row["group"], row["score"]): row for row in known}
    n = {g: rows.get((g, "net_drop"), rows.get((g, "delta_drop"), {})) for g in colors}
    names = [style.with_n(group, row) for group, row in n.items()]
    marks = [
        (y, look, rows[group, score] | {"color": color})
        for y, (group, color) in enumerate(colors.items())
        for look, score in zip(looks, ("delta_drop", "sham_drop"), strict=True)
        if (group, score) in rows
    ]
    label = "below each group, slices with a place for a sham / patients"
    fig = forest(names, [Panel("", marks)], looks, height=0.52, size=7.5, xlabel=label)
    ax = fig.axes[0]
    beside = {"transform": ax.get_yaxis_transform(), "va": "center", "fontsize": 8.5}
    for y, (group, color) in enumerate(colors.items()):
        delta, sham, net = (rows.get((group, f"{name}_drop")) for name in ("delta", "sham", "net"))
        if delta and sham:
            ends = [sham["effect"], delta["effect"]]
            ax.plot(ends, [y, y], color=color, alpha=0.25, lw=7, solid_capstyle="butt", zorder=1)
        text = number(net, sign="+") if net else "no sham"
        ax.text(1.02, y, text, color=color, fontweight="bold", **beside)
    ax.text(1.02, 1.02, "Net-Drop [95 %]", transform=ax.transAxes, fontsize=8, color=style.SOFT)
    ax.set_xlabel("fall in the probability of the true class")
    return fig
