"""What all figures share: colors, names, layout, how a slice and a mask are drawn."""

import functools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import Bbox

from tumorcf_lib.stats.rows import ALL, classes_of

CLASS_COLORS = {"meningioma": "#E69F00", "glioma": "#0072B2", "pituitary": "#009E73"}
"""Fixed class colors from the palette of Okabe and Ito, safe for color-blind readers."""

OTHER_COLORS = ("#CC79A7", "#56B4E9", "#D55E00", "#999999", "#F0E442")
VERDICT_COLORS = {"holds": "#5B2A86", "does not hold": "#B0123B", "cannot be told": "#8C8C8C"}
METHOD_COLORS = ("#222222", "#A0522D", "#C9A66B", "#7A8A3C", "#B9A3D0")
"""Networks, seeds, ways of splitting: whatever is neither a class nor a verdict."""

MASK_COLOR = "#F0E442"
INK, SOFT, FAINT, BAND = "#222222", "#707070", "#DDDDDD", "#F0F0F0"
WIDTH = 7.0  # inches: two journal columns
LAYOUT_DECIMALS = 7  # of a figure's width and height: far finer than a pixel
MANY = 400  # marks; more of them are kept as pixels in an SVG

EDIT_NAMES = {
    "original": "original",
    "original_refit": "original, refitted",
    "remove": "tumor painted out",
    "remove_refit": "painted out, refitted",
    "sham": "same shape painted out elsewhere",
    "background": "tumor cut out",
    "only": "tumor alone",
    "sham_only": "same shape elsewhere alone",
    "silhouette": "silhouette",
    "blank": "empty slice",
}
INFILL_NAMES = {
    "navier_stokes": "Navier-Stokes",
    "telea": "Telea",
    "gaussian_blur": "Gaussian blur",
}
SCORE_NAMES = {
    "p_orig": "P of the true class",
    "delta_drop": "Delta-Drop",
    "delta_focus": "Delta-Focus",
    "sham_drop": "Sham-Drop",
    "net_drop": "Net-Drop",
    "accuracy": "Accuracy (slices)",
}
STYLE = {  # what differs from Matplotlib's own defaults
    "font.size": 9,
    "axes.titlesize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "lines.linewidth": 1.4,
}
SAVING = {"svg.hashsalt": "tumorcf"}  # names inside an SVG: the same in every process


def figure(draw):
    """Make a function that returns a Figure follow the house style.

    It runs under ``STYLE`` and takes ``tag``; of a table without rows it says so. Its figure is
    laid out, since Matplotlib makes tick labels only then, and closed: a notebook shows it once.
    """

    @functools.wraps(draw)
    def styled(*args, tag="", **kwargs):
        with plt.style.context(["default", STYLE]):
            is_empty = isinstance(args[0], pd.DataFrame) and args[0].empty
            fig = nothing() if is_empty else draw(*args, **kwargs)
            fig.set_layout_engine(RoundLayout(**fig.get_layout_engine().get()))
            if tag:
                _write_tag(fig, tag)
            fig.draw_without_rendering()
            plt.close(fig)
        fig.savefig = plt.rc_context(SAVING)(fig.savefig)
        return fig

    return styled


class RoundLayout(ConstrainedLayoutEngine):
    """Constrained layout with every panel at a round place, so that equal figures are equal bytes.

    The solver behind it meets its unknowns in the order of their memory addresses; rounding takes
    away the last bits, which differ from run to run.
    """

    def execute(self, fig):
        result = super().execute(fig)
        parts = list(fig.subfigs)
        while parts:
            part = parts.pop()
            parts += part.subfigs
            part.bbox_relative.set_points(part.bbox_relative.get_points().round(LAYOUT_DECIMALS))
        for ax in fig.axes:
            points, counts = ax.get_position(original=True).get_points(), ax.get_in_layout()
            ax.set_position(Bbox(points.round(LAYOUT_DECIMALS)), which="original")
            ax.set_in_layout(counts)  # a place set by hand would take it out of the layout
        for text in fig.texts:  # the label below all panels is put below the layout's rectangle
            if text.get_text() and text.get_text() == fig.get_supxlabel():
                text.set_y(text.get_position()[1] + self.get()["rect"][1])
        return result


def panels(n, height, **shape):
    """A figure of the full width, and its panels in one row."""
    fig, (axes,) = plt.subplots(1, n, figsize=(WIDTH, height), squeeze=False, **shape)
    return fig, axes


def _write_tag(fig, tag):
    strip = 0.18 / fig.get_figheight()  # of the figure's height, kept free for the tag
    fig.get_layout_engine().set(rect=(0, strip, 1, 1 - strip))
    at = (0.995, 0.02 / fig.get_figheight())
    fig.text(*at, tag, ha="right", fontsize=7, color=SOFT, style="italic", gid="tag")


def class_colors(classes):
    """Color of each class: the fixed ones, and further ones in order for other groups.

    >>> class_colors(["glioma", "no tumor"])
    {'glioma': '#0072B2', 'no tumor': '#CC79A7'}
    """
    others = iter(OTHER_COLORS)
    return {name: CLASS_COLORS.get(name) or next(others) for name in classes}


def groups_of(table):
    """Colors of "all", then of the classes of a table in their fixed order."""
    groups = list(dict.fromkeys(table["group"]))
    classes = classes_of(g for g in groups if g != ALL)
    return {**({ALL: INK} if ALL in groups else {}), **class_colors(classes)}


def with_n(group, row, *, between="\n"):
    """A group's name with its slices and patients, if the row has them."""
    name = "all classes" if group == ALL else group
    patients = row.get("n_persons", row.get("n_patients"))
    if "n_slices" not in row or patients is None:
        return name
    return f"{name}{between}{int(row['n_slices'])} / {int(patients)}"


def infill_name(infill):
    """An infill in words."""
    return INFILL_NAMES.get(infill, infill.replace("_", " "))


def names_with_n(names, table, column):
    """Names with their slices and patients, from the first of their rows in a table."""
    rows = table.drop_duplicates(column).set_index(column).to_dict("index")
    return [with_n(infill_name(name), rows.get(name, {})) for name in names]


def window(images, *, percentile=98.5):
    """One gray window for several slices: from air to a percentile of all pixels above air.

    >>> window([np.array([[0, 0], [10, 30]])], percentile=100)
    (0.0, 30.0)
    """
    # Below 100 per cent, since the fat of the scalp outshines the brain.
    pixels = np.concatenate([np.asarray(image, float).ravel() for image in images])
    air = pixels.min()
    above = pixels[pixels > air]
    return float(air), float(np.percentile(above, percentile) if len(above) else air + 1)


def show_slice(ax, image, limits=None, mask=None):
    """A slice in gray without ticks, its mask as a thin outline."""
    low, high = limits or window([image])
    ax.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    if mask is not None:
        outline(ax, mask)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def outline(ax, mask):
    """The border of a mask; a mask that touches the image's edge is closed there."""
    height, width = mask.shape
    if mask.any():
        places = np.arange(-1, width + 1), np.arange(-1, height + 1)
        look = {"colors": MASK_COLOR, "linewidths": 0.9}
        ax.contour(*places, np.pad(np.asarray(mask, float), 1), [0.5], **look)
        ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def reach(effect, low, high):
    """Intervals as Matplotlib wants them, never negative by a rounding bit.

    >>> reach(0.5, 0.25, 0.5 - 1e-17).tolist()
    [[0.25], [0.0]]
    """
    return np.maximum(0.0, np.reshape([effect - low, high - effect], (2, -1)))


def dot(label, color=SOFT, *, marker="o", filled=True, line="", size=5):
    """A legend's entry."""
    look = {"color": color, "marker": marker, "markersize": size, "linestyle": line}
    return plt.Line2D([], [], label=label, markerfacecolor=color if filled else "white", **look)


def legend(fig, handles, *, ncols=None, **how):
    """A legend above all panels, where it covers nothing."""
    how |= {"loc": "outside upper center", "columnspacing": 1.4}
    fig.legend(handles=handles, ncols=ncols or len(handles), **how)


def letter(axes):
    """Mark panels a, b, c, ... for captions, in front of their titles."""
    for ax, mark in zip(axes, "abcdefghij", strict=False):
        ax.set_title(f"{mark}  {ax.get_title(loc='left')}", loc="left")


def nothing(text="no values"):
    """A figure that says so, for a table without rows."""
    fig, ax = plt.subplots(figsize=(WIDTH, 1.2))
    ax.text(0.5, 0.5, text, ha="center", va="center", color=SOFT)
    ax.axis("off")
    return fig
