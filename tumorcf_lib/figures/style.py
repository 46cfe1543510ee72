"""What all figures share: colors, fonts, how a slice and a mask are drawn."""

import functools

import matplotlib.colors
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import Bbox

CLASS_COLORS = {"meningioma": "#E69F00", "glioma": "#0072B2", "pituitary": "#009E73"}
"""Fixed class colors from the palette of Okabe and Ito, safe for color-blind readers."""

OTHER_COLORS = ("#CC79A7", "#56B4E9", "#D55E00", "#999999", "#F0E442")
VERDICT_COLORS = {"supported": "#0072B2", "refuted": "#D55E00", "undecided": "#8C8C8C"}
MASK_COLOR = "#F0E442"
INK, SOFT, FAINT = "#222222", "#707070", "#DDDDDD"
WIDTH = 7.0  # inches: two journal columns
LAYOUT_DECIMALS = 7  # of a figure's width and height: far finer than a pixel

EDIT_NAMES = {
    "original": "original", "original_refit": "original, refitted",
    "remove": "tumor removed", "remove_refit": "removed, refitted",
    "only": "tumor only", "background": "background only", "silhouette": "silhouette",
    "sham": "sham removed", "sham_only": "sham only", "blank": "blank",
}  # fmt: skip
SCORE_NAMES = {
    "p_orig": "P of the true class", "delta_drop": "Delta-Drop", "delta_focus": "Delta-Focus",
    "sham_drop": "Sham-Drop", "net_drop": "Net-Drop", "net_focus": "Net-Focus",
    "delta_drop_pred": "Delta-Drop, predicted class",
    "delta_focus_pred": "Delta-Focus, predicted class",
}  # fmt: skip

STYLE = {
    "font.size": 9, "font.family": "DejaVu Sans", "axes.titlesize": 9, "axes.labelsize": 9,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "legend.fontsize": 8, "figure.titlesize": 10,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8,
    "axes.edgecolor": INK, "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK,
    "ytick.color": INK, "axes.titlelocation": "left", "legend.frameon": False,
    "figure.dpi": 110, "savefig.dpi": 200, "figure.facecolor": "white", "pdf.fonttype": 42,
    "figure.constrained_layout.use": True, "axes.grid": False, "lines.linewidth": 1.4,
}  # fmt: skip


class PlotInputError(ValueError):
    """Data that a figure cannot show."""


def figure(draw):
    """Make a function that returns a Figure follow the house style.

    The wrapped function runs under ``STYLE``, takes ``tag``, and its figure is laid out
    and closed, so that a notebook shows it once, as the cell's last line. Layout has to
    happen under the style because Matplotlib makes tick labels only then.
    """

    @functools.wraps(draw)
    def styled(*args, tag="", **kwargs):
        with plt.rc_context(STYLE):
            fig = draw(*args, **kwargs)
            fig.set_layout_engine(RoundLayout(**fig.get_layout_engine().get()))
            if tag:
                _write_tag(fig, tag)
            fig.draw_without_rendering()
            plt.close(fig)
        return fig

    return styled


class RoundLayout(ConstrainedLayoutEngine):
    """Constrained layout with every panel at a round place, so that equal figures are equal bytes.

    The solver behind Matplotlib's layout meets its unknowns in the order of their memory
    addresses. The last bits of its answer therefore differ from run to run, and with them the
    gray of some pixels along an outline. Rounding takes those bits away.
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


def _write_tag(fig, tag):
    strip = 0.18 / fig.get_figheight()  # of the figure's height, kept free for the tag
    fig.get_layout_engine().set(rect=(0, strip, 1, 1 - strip))
    fig.text(0.995, 0.02 / fig.get_figheight(), tag, ha="right", va="bottom", fontsize=7,
             color=SOFT, style="italic", gid="tag")


def class_colors(classes):
    """Color of each class: the fixed ones, and further ones in order for other classes.

    Examples
    --------
    >>> class_colors(["glioma", "no tumor"])
    {'glioma': '#0072B2', 'no tumor': '#CC79A7'}
    """
    others = [name for name in classes if name not in CLASS_COLORS]
    if len(others) > len(OTHER_COLORS):
        raise PlotInputError(
            f"There are colors for {len(OTHER_COLORS)} classes beside {tuple(CLASS_COLORS)}, "
            f"got {len(others)}: {others}."
        )
    extra = dict(zip(others, OTHER_COLORS, strict=False))
    return {name: CLASS_COLORS.get(name) or extra[name] for name in classes}


def order_classes(names):
    """Known classes in their fixed order, then the others as they come.

    Examples
    --------
    >>> order_classes(["pituitary", "none", "glioma", "glioma"])
    ['glioma', 'pituitary', 'none']
    """
    names = list(dict.fromkeys(names))
    return [c for c in CLASS_COLORS if c in names] + [c for c in names if c not in CLASS_COLORS]


def lighten(color, share):
    """A color mixed with white; ``share`` 0 keeps it, 1 is white."""
    rgb = np.array(matplotlib.colors.to_rgb(color))
    return tuple(rgb + (1 - rgb) * share)


def window(images, *, percentile=98.5):
    """One gray window for several slices: from air to a percentile of all pixels above air.

    Below 100, since the fat of the scalp outshines the brain.

    Returns
    -------
    low, high : float

    Examples
    --------
    >>> window([np.array([[0, 0], [10, 30]])], percentile=100)
    (0.0, 30.0)
    """
    pixels = np.concatenate([np.asarray(image, float).ravel() for image in images])
    pixels = pixels[np.isfinite(pixels)]
    above_air = pixels[pixels > pixels.min()] if len(pixels) else pixels
    if not len(above_air):
        return 0.0, 1.0
    return float(pixels.min()), float(np.percentile(above_air, percentile))


def show_slice(ax, image, limits=None, mask=None, *, color=MASK_COLOR):
    """A slice in gray without ticks, its mask as a thin outline."""
    low, high = limits or window([image])
    ax.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    if mask is not None:
        outline(ax, mask, color=color)
    bare(ax)


def outline(ax, mask, *, color=MASK_COLOR):
    """The border of a mask; a mask that touches the image's edge is closed there."""
    mask = np.pad(np.asarray(mask, float), 1)
    if mask.any():
        rows, columns = (np.arange(-1, n - 1) for n in mask.shape)
        ax.contour(columns, rows, mask, [0.5], colors=color, linewidths=0.9)
        height, width = mask.shape
        ax.set(xlim=(-0.5, width - 2.5), ylim=(height - 2.5, -0.5))


def reach(effect, low, high):
    """An interval as Matplotlib wants it, never negative by a rounding bit.

    Examples
    --------
    >>> reach(0.5, 0.25, 0.5 - 1e-17)
    [[0.25], [0.0]]
    """
    return [[max(0.0, effect - low)], [max(0.0, high - effect)]]


def bare(ax):
    """No ticks, no frame: for pictures."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def letter(axes):
    """Mark panels a, b, c, ... for captions, in front of their titles."""
    for ax, mark in zip(axes, "abcdefghij", strict=False):
        ax.set_title(f"{mark}  {ax.get_title(loc='left')}", loc="left")


def class_ticks(ax, classes, rows=None):
    """Class names along x, with the number of slices and persons if rows are given."""
    labels = []
    for name in classes:
        labels.append(name)
        if rows is not None:
            own = rows[rows["label"] == name]
            labels[-1] += f"\n{len(own)} / {own['person_id'].nunique()}"
    ax.set_xticks(range(len(classes)), labels)
    ax.tick_params(axis="x", length=0)
