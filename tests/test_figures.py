"""What holds for every figure: its panels, its tag, nothing cut off or covered, equal bytes."""

import inspect
import io
import itertools
import os
import subprocess
import sys

import figure_cases
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib import colors as mpl_colors
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox

from tumorcf_lib import config
from tumorcf_lib.config import CLASSES
from tumorcf_lib.figures import controls, forests, scores, slices, studies, style, training
from tumorcf_lib.study import results

NAMES = [*figure_cases.OF_SLICES, *figure_cases.PUBLISHED]
TABLES = ("primary", "energy", "probes", "networks", "infills", "covariates", "robustness")
DRAW = """
import hashlib, sys
from pathlib import Path
sys.path.insert(0, "tests")
import figure_cases
from tumorcf_lib.study import results
for suffix, options in results.FIGURE_FORMATS.items():
    path = Path(sys.argv[1]) / f"figure{suffix}"
    figure_cases.draw("edits", tag="phantom").savefig(path, **options)
    print(suffix, hashlib.sha256(path.read_bytes()).hexdigest())
"""


@pytest.fixture(scope="module")
def figures():
    """Each figure, drawn once."""
    before, settings = plt.get_fignums(), dict(plt.rcParams)
    drawn = {name: figure_cases.draw(name, tag="phantom") for name in NAMES}
    assert plt.get_fignums() == before, "a notebook would show these twice"
    assert dict(plt.rcParams) == settings, "settings leak into the notebook"
    return drawn


def test_every_figure_is_tested_but_the_calibration():
    modules = (controls, forests, scores, slices, studies, training)
    found = {
        name
        for module in modules
        for name, value in vars(module).items()
        if inspect.isfunction(value) and hasattr(value, "__wrapped__")
    }
    assert found - {"known_answers"} == set(NAMES)  # that one is drawn in test_calibration.py


def boxes(texts, renderer):
    return [text.get_window_extent(renderer).padded(-0.5) for text in texts if text.get_text()]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_cut_off_or_covered_and_the_tag_is_below(figures, name):
    fig = figures[name]
    renderer = FigureCanvasAgg(fig).get_renderer()
    fig.draw_without_rendering()  # as saving does
    box, (width, height) = fig.get_tightbbox(renderer), fig.get_size_inches()
    assert box.x0 > -0.02 and box.y0 > -0.02 and box.x1 < width + 0.02 and box.y1 < height + 0.02
    shown = [ax for ax in fig.axes if ax.get_visible() and ax.axison]
    (tag,) = [text for text in fig.texts if text.get_gid() == "tag"]
    drawn = [text.get_window_extent(renderer) for text in fig.texts if text is not tag]
    drawn += [ax.get_tightbbox(renderer) for ax in shown]
    assert tag.get_text() == "phantom"
    assert min(box.y0 for box in drawn) > tag.get_window_extent(renderer).y1 - 1  # pixel
    titles = boxes([title for ax in shown for title in (ax.title, ax._left_title)], renderer)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(titles, 2))
    for ax in shown:
        names = boxes(ax.get_yticklabels(), renderer)
        assert not any(a.overlaps(b) for a, b in itertools.pairwise(names))
    assert all(ax.get_legend() is None for ax in fig.axes)
    assert name not in TABLES or len(fig.axes[0].get_yticks()) <= 12


def test_missing_numbers_and_empty_tables_are_drawn_without_a_crash():
    for name in TABLES:
        draw = figure_cases.PUBLISHED[name][1].function
        tables = [table.copy() for table in figure_cases.tables(name)]
        empty = draw(*(table.iloc[:0] for table in tables))
        assert "no values" in figure_cases.texts(empty), name
        for table in tables:
            numbers = [c for c in ("effect", "value", "auc", "low", "high", "ols") if c in table]
            table.loc[table.index[::2], numbers] = np.nan
        draw(*tables)


def test_colors_of_classes_mean_classes_only_and_all_colors_are_apart():
    others = list(style.class_colors([*CLASSES, "no tumor", "a", "b"]).values())
    verdicts, methods = list(style.VERDICT_COLORS.values()), style.METHOD_COLORS
    for palette in (others, verdicts, methods, [*verdicts, *others[:3]], [*methods, *others[:3]]):
        rgb = np.array([mpl_colors.to_rgb(color) for color in palette])
        gaps = np.linalg.norm(rgb[:, None] - rgb[None], axis=-1)
        assert gaps[np.triu_indices(len(rgb), 1)].min() > 0.25
    assert set(style.CLASS_COLORS) == set(CLASSES)


def test_masks_are_outlines_around_exactly_their_pixels_closed_at_the_edge():
    fig, ax = plt.subplots()
    mask = np.zeros((8, 8), bool)
    style.show_slice(ax, np.zeros((8, 8)), (0, 1), mask)
    assert not ax.collections  # of an empty one
    mask[:2, 3:5] = True
    style.show_slice(ax, np.zeros((8, 8)), (0, 1), mask)
    vertices = ax.collections[0].get_paths()[0].vertices
    # the border runs half a pixel outside, and along the image's edge
    assert vertices.min(axis=0) == pytest.approx([2.5, -0.5])
    assert vertices.max(axis=0) == pytest.approx([4.5, 1.5])
    assert (vertices[0] == vertices[-1]).all()
    assert ax.get_xlim() == (-0.5, 7.5) and ax.get_ylim() == (7.5, -0.5)
    plt.close(fig)


def test_two_processes_draw_the_same_bytes(tmp_path):
    said = []
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", DRAW, str(tmp_path)],
            cwd=config.ROOT,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
        )
        said.append(done.stdout.split())
    assert [said[0][k] for k in (0, 2)] == [".png", ".svg"]
    assert said[0] == said[1]


def test_every_panel_stands_at_a_round_place_and_counts_in_the_layout(figures):
    edits, leak = figures["edits"], figures["leak"]
    assert all(ax.get_in_layout() for ax in edits.axes)
    places = [ax.get_position(original=True) for ax in edits.axes]
    places += [part.bbox_relative for part in leak.subfigs]
    for place in places:
        points = place.get_points()
        np.testing.assert_array_equal(points, points.round(style.LAYOUT_DECIMALS))


def _outlines(nudge, monkeypatch, *, rounded):
    """Outlines in a panel whose place the solver gives but for a nudge of its last bits."""
    fig, ax = plt.subplots(figsize=(2, 2), layout="none")
    y, x = np.mgrid[:96, :96]
    for radius in (8, 15, 22, 29, 36, 43):
        style.outline(ax, np.hypot(y - 47.3, x - 48.1) < radius)
    place = Bbox([[1 / 3, 1 / 3], [2 / 3 + nudge, 2 / 3 + nudge]])
    engine = style.ConstrainedLayoutEngine
    monkeypatch.setattr(engine, "execute", lambda *_: ax.set_position(place, which="original"))
    fig.set_layout_engine(style.RoundLayout() if rounded else engine())
    plt.close(fig)
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", **(results.FIGURE_FORMATS[".png"] | {"dpi": 150}))
    return buffer.getvalue()


def test_places_that_differ_in_the_last_bit_give_the_same_picture(monkeypatch):
    nudges = (-1.2e-16, 0, 1.2e-16)
    plain = {_outlines(nudge, monkeypatch, rounded=False) for nudge in nudges}
    assert len(plain) > 1, "these outlines do not show the nudge, so this test says nothing"
    assert len({_outlines(nudge, monkeypatch, rounded=True) for nudge in nudges}) == 1
