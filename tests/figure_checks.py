"""Checks that hold for every figure of the house style."""

from matplotlib.backends.backend_agg import FigureCanvasAgg


def assert_tag_stands_below_all_else(fig):
    renderer = FigureCanvasAgg(fig).get_renderer()
    fig.draw_without_rendering()  # as saving does
    (tag,) = [text for text in fig.texts if text.get_gid() == "tag"]
    drawn = [text.get_window_extent(renderer) for text in fig.texts if text is not tag]
    drawn += [ax.get_tightbbox(renderer) for ax in fig.axes if ax.get_visible()]
    assert min(box.y0 for box in drawn) > tag.get_window_extent(renderer).y1 - 1  # pixel
