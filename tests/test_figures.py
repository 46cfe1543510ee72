"""What holds for every figure: its panels, its tag, nothing cut off or covered, equal bytes."""

import itertools
import os
import subprocess
import sys

import figure_cases as cases
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib import colors as mpl_colors
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tumorcf_lib import config
from tumorcf_lib.config import CLASSES
from tumorcf_lib.figures import slices, style

TABLES = ("primary", "energy", "probes", "networks", "infills", "covariates", "robustness")
DRAW = """
import sys
sys.path.insert(0, "tests")
import figure_cases as cases
print(cases.digests(cases.draw("edits", tag="phantom")))
"""


@pytest.fixture(scope="module")
def figures():
    """Each figure, drawn once."""
    before, settings = plt.get_fignums(), dict(plt.rcParams)
    drawn = {k: cases.draw(k, tag="phantom") for k in (*cases.OF_SLICES, *cases.PUBLISHED)}
    assert plt.get_fignums() == before, "a notebook would show these twice"
    assert dict(plt.rcParams) == settings, "settings leak into the notebook"
    return drawn


def overlapping(texts, renderer):
    boxes = [text.get_window_extent(renderer).padded(-0.5) for text in texts if text.get_text()]
    return any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_nothing_is_cut_off_or_covered_and_the_tag_is_below(figures):
    for name, fig in figures.items():
        renderer = FigureCanvasAgg(fig).get_renderer()
        fig.draw_without_rendering()  # as saving does
        box, (width, height) = fig.get_tightbbox(renderer), fig.get_size_inches()
        assert box.x0 > -0.02 and box.y0 > -0.02, name
        assert box.x1 < width + 0.02 and box.y1 < height + 0.02, name
        shown = [ax for ax in fig.axes if ax.get_visible() and ax.axison]
        (tag,) = [text for text in fig.texts if text.get_gid() == "tag"]
        drawn = [text.get_window_extent(renderer) for text in fig.texts if text is not tag]
        drawn += [ax.get_tightbbox(renderer) for ax in shown]
        assert tag.get_text() == "phantom", name
        assert min(box.y0 for box in drawn) > tag.get_window_extent(renderer).y1 - 1, name  # pixel
        titles = [title for ax in shown for title in (ax.title, ax._left_title)]
        for texts in (titles, *(ax.get_yticklabels() for ax in shown)):
            assert not overlapping(texts, renderer), name
        assert all(ax.get_legend() is None for ax in fig.axes), name
        assert name not in TABLES or len(fig.axes[0].get_yticks()) <= 12, name


def test_missing_numbers_and_empty_tables_are_drawn_without_a_crash():
    for name in TABLES:
        draw = cases.PUBLISHED[name][1].function
        tables = [table.copy() for table in cases.tables(name)]
        empty = draw(*(table.iloc[:0] for table in tables))
        assert "no values" in cases.texts(empty), name
        for table in tables:
            numbers = [c for c in ("effect", "value", "auc", "low", "high", "ols") if c in table]
            table.loc[table.index[::2], numbers] = np.nan
        draw(*tables)


def test_colors_of_classes_mean_classes_only_and_all_colors_are_apart():
    others = list(style.class_colors([*CLASSES, "no tumor", "a", "b"]).values())
    meanings = [*style.VERDICT_COLORS.values(), *style.METHOD_COLORS, *others[:3]]
    for palette in (others, meanings):
        rgb = np.array([mpl_colors.to_rgb(color) for color in palette])
        gaps = np.linalg.norm(rgb[:, None] - rgb[None], axis=-1)
        assert gaps[np.triu_indices(len(rgb), 1)].min() > 0.25
    assert set(style.CLASS_COLORS) == set(CLASSES)


def test_masks_are_outlines_around_exactly_their_pixels_closed_at_the_edge():
    ax, mask = Figure().subplots(), np.zeros((8, 8), bool)
    mask[:2, 3:5] = True
    style.show_slice(ax, np.zeros((8, 8)), (0, 1), mask)
    vertices = ax.collections[0].get_paths()[0].vertices
    # the border runs half a pixel outside, and along the image's edge
    assert vertices.min(axis=0) == pytest.approx([2.5, -0.5])
    assert vertices.max(axis=0) == pytest.approx([4.5, 1.5])
    assert (vertices[0] == vertices[-1]).all()


def test_another_process_draws_the_same_bytes():
    draw, env = [sys.executable, "-c", DRAW], {**os.environ, "PYTHONHASHSEED": "1"}
    said = subprocess.check_output(draw, cwd=config.ROOT, text=True, env=env)
    assert said.strip() == str(cases.digests(cases.draw("edits", tag="phantom")))


def test_every_panel_stands_at_a_round_place(figures):
    places = [ax.get_position(original=True) for ax in figures["edits"].axes]
    for place in [*places, *(part.bbox_relative for part in figures["leak"].subfigs)]:
        points = place.get_points()
        np.testing.assert_array_equal(points, points.round(style.LAYOUT_DECIMALS))


def test_examples_are_a_row_a_class_and_share_its_window():
    cohort = cases.cohort(8, classes=("glioma", "pituitary", "none"))
    fig = slices.examples(cohort, captions=[f"choice {k}" for k in range(8)])
    for ax, i in zip(fig.axes[:8], (0, 3, 6, 1, 4, 7, 2, 5), strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), cohort.slices[i])
        assert ax.get_title() == f"choice {i}"
    windows = [ax.images[0].get_clim() for ax in fig.axes[:8]]
    assert len(set(windows[:3])) == len(set(windows[3:6])) == 1 and len(set(windows)) == 3
    assert not fig.axes[8].get_visible()


def test_the_gallery_of_errors_names_truth_answer_and_probability():
    fig = slices.errors(cases.cohort().subset([3]), cases.errors().iloc[:1])
    said = cases.texts(fig)
    assert "true: meningioma" in said and "called pituitary, p = 0.88\npatient 7" in said
    np.testing.assert_array_equal(fig.axes[0].images[0].get_array(), cases.cohort().slices[3])


def test_an_edited_slice_has_its_originals_window_and_no_outline():
    row = cases.edits()[0]
    before, after, close, control, _ = slices.edits(cases.edits()).axes[:5]
    np.testing.assert_array_equal(before.images[0].get_array(), row["images"]["original"])
    np.testing.assert_array_equal(after.images[0].get_array(), row["images"]["remove"])
    np.testing.assert_array_equal(control.images[0].get_array(), row["images"]["sham"])
    limits = {ax.images[0].get_clim() for ax in (before, after, close, control)}
    assert len(limits) == 1
    assert [len(ax.collections) for ax in (before, after, close, control)] == [1, 0, 0, 1]
    picture = close.images[0].get_array().filled(np.nan)  # the tumor before, and below it after
    line = np.flatnonzero(np.isnan(picture).all(axis=1))
    before, after = picture[: line[0]], picture[line[-1] + 1 :]
    assert before.shape == after.shape == (picture.shape[1],) * 2
    changed = before != after
    assert changed.sum() == row["masks"]["original"].sum() == 4
    np.testing.assert_allclose(after[changed], 0.5)


def test_bars_are_the_probabilities_and_only_the_originals_has_the_classs_color():
    fig = slices.edits(cases.edits())
    first, second = fig.axes[4], fig.axes[9]
    assert [bar.get_width() for bar in first.patches] == [0.9, 0.25, 0.85, 0.4]
    colors = [mpl_colors.to_hex(bar.get_facecolor()).upper() for bar in first.patches]
    assert colors == [style.CLASS_COLORS["meningioma"], *[slices.BAR_COLOR.upper()] * 3]
    assert {"0.90", "0.25", "0.85", "0.40"} <= set(cases.texts(fig))
    assert len(second.patches) == 3 and "no legal place" in cases.texts(fig)
