"""A figure's bytes depend on what it shows alone: not on memory addresses, hashes or the date."""

import io
import os
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.transforms import Bbox

from tumorcf_lib import config, figures
from tumorcf_lib.figures import style
from tumorcf_lib.study import results

DRAW = """
import hashlib, sys
from pathlib import Path
sys.path.insert(0, "tests")
import test_plotting_layout as layout
from tumorcf_lib.study import results
for suffix, options in results.FIGURE_FORMATS.items():
    path = Path(sys.argv[1]) / f"figure{suffix}"
    layout.edits().savefig(path, **options)
    print(suffix, hashlib.sha256(path.read_bytes()).hexdigest())
"""


def edits(n_rows=2, size=64):
    """A row of eight pictures for each of some slices, as notebook 05 shows them."""
    rng = np.random.default_rng(0)
    mask = np.zeros((size, size), bool)
    mask[20:30, 25:40] = True
    names = list(style.EDIT_NAMES)[:6]
    rows = [
        {"title": f"glioma\n{k}th", "images": {name: rng.random((size, size)) for name in names},
         "p": dict.fromkeys(names, 0.5), "masks": {"original": mask}}
        for k in range(n_rows)
    ]  # fmt: skip
    return figures.edits_side_by_side(rows, differences=("remove", "only"), tag="phantom")


def png(fig):
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", **results.FIGURE_FORMATS[".png"])
    return buffer.getvalue()


def test_two_processes_draw_the_same_bytes(tmp_path):
    said = []
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", DRAW, str(tmp_path)], cwd=config.ROOT, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed}, stdout=subprocess.PIPE,
        )  # fmt: skip
        said.append(done.stdout.split())
    assert [said[0][k] for k in (0, 2)] == [".png", ".pdf"]
    assert said[0] == said[1]


def test_every_panel_stands_at_a_round_place_and_counts_in_the_layout():
    fig = edits()
    places = np.array([ax.get_position(original=True).get_points() for ax in fig.axes])
    np.testing.assert_array_equal(places, places.round(style.LAYOUT_DECIMALS))
    assert all(ax.get_in_layout() for ax in fig.axes)


def outlines(nudge, monkeypatch, *, rounded):
    """Outlines in a panel whose place the solver gives but for a nudge of its last bits."""
    fig, ax = plt.subplots(figsize=(2, 2), layout="none")
    y, x = np.mgrid[:96, :96]
    for radius in (8, 15, 22, 29, 36, 43):
        style.outline(ax, np.hypot(y - 47.3, x - 48.1) < radius)
    place = Bbox([[1 / 3, 1 / 3], [2 / 3 + nudge, 2 / 3 + nudge]])
    monkeypatch.setattr(
        style.ConstrainedLayoutEngine, "execute",
        lambda engine, fig: ax.set_position(place, which="original"),
    )  # fmt: skip
    fig.set_layout_engine(style.RoundLayout() if rounded else style.ConstrainedLayoutEngine())
    plt.close(fig)
    return png(fig)


def test_places_that_differ_in_the_last_bit_give_the_same_picture(monkeypatch):
    nudges = (-1.2e-16, 0, 1.2e-16)
    plain = {outlines(nudge, monkeypatch, rounded=False) for nudge in nudges}
    assert len(plain) > 1, "these outlines do not show the nudge, so this test says nothing"
    assert len({outlines(nudge, monkeypatch, rounded=True) for nudge in nudges}) == 1


def test_a_figure_of_subfigures_stands_at_round_places_too():
    fig = plt.figure(figsize=(2, 2))
    for part in fig.subfigures(1, 2, width_ratios=(1, 2)):
        part.subplots().plot([1, 2])
    fig.set_layout_engine(style.RoundLayout())
    fig.draw_without_rendering()
    plt.close(fig)
    for part in fig.subfigs:
        points = part.bbox_relative.get_points()
        np.testing.assert_array_equal(points, points.round(style.LAYOUT_DECIMALS))
