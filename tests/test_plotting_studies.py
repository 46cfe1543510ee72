"""Claims about the figures of the studies without notebooks: they show their tables' numbers."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import colors as mpl_colors

from tumorcf_lib import figures
from tumorcf_lib.figures.leak import ARM_NAMES, CANARY_COLOR, KEPT_COLOR, LEAK_COLOR
from tumorcf_lib.tables.near_duplicates_tables import KINDS

NAN = float("nan")


def _folds():
    return pd.DataFrame({"training_seed": [0, 0, 1], "fold": [0, 1, 1],
                         "slice_accuracy": [0.91, 0.94, 0.8], "person_accuracy": [0.9, 1.0, 0.97]})


def _elsewhere():
    return pd.DataFrame({
        "source": ["this project: five folds", "somebody: a network"],
        "slices": [0.93, NAN], "slices_low": [0.9, NAN], "slices_high": [0.95, NAN],
        "persons": [0.92, 0.897], "persons_low": [0.88, NAN], "persons_high": [0.96, NAN]})


def _points(ax):
    return {(round(float(x), 3), round(float(y), 3)) for line in ax.lines
            for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)}


def test_every_fold_and_seed_is_drawn_at_its_accuracy():
    left = figures.pooled_folds(_folds(), _elsewhere()).axes[0]
    heights = {y for _, y in _points(left)}
    assert heights == set(_folds()["slice_accuracy"]) | set(_folds()["person_accuracy"])
    assert left.get_ylim()[0] < 0.8 < 1 < left.get_ylim()[1]


def test_what_nobody_published_has_no_mark():
    right = figures.pooled_folds(_folds(), _elsewhere()).axes[1]
    marks = {x for x, _ in _points(right) if x in (0.93, 0.92, 0.897)}
    assert marks == {0.93, 0.92, 0.897} and len(right.get_yticklabels()) == 2


def _leak():
    arms = {"slice": (0.86, 0.9), "person": (0.83, 0.0), "canary slice": (0.43, 0.9)}
    assert set(arms) <= set(ARM_NAMES)
    return pd.DataFrame([
        {"arm": arm, "level": "slice", "metric": metric, "value": value - shift,
         "low": value - 0.1, "high": value + 0.1, "chance": 1 / 3, "share_person_trained": known}
        for arm, (value, known) in arms.items()
        for metric, shift in (("balanced accuracy", 0.0), ("accuracy", 0.01))])


def _duplicates(kinds=()):
    rows = [(kind, 20 + 3 * i) for kind in kinds for i in range(4)]
    return pd.DataFrame(rows, columns=["kind", "distance"])


def _summary():
    return pd.DataFrame({"kind": [], "threshold": []})


@pytest.mark.parametrize(("arm", "value", "color"), [
    ("slice", 0.86, LEAK_COLOR), ("person", 0.83, KEPT_COLOR), ("canary slice", 0.43, CANARY_COLOR),
])  # fmt: skip
def test_an_arm_stands_at_its_accuracy_in_the_color_of_its_leak(arm, value, color):
    left = figures.leak_and_duplicates(_leak(), _duplicates(), _summary()).axes[0]
    row = list(dict.fromkeys(_leak()["arm"])).index(arm)
    own = [line for line in left.lines if line.get_marker() in "oD"
           and np.allclose(line.get_xydata(), [[value, row]])]
    assert own and mpl_colors.same_color(own[0].get_color(), color)


def test_near_duplicates_are_told_by_kind_and_the_nearer_kind_lies_left():
    summary = pd.DataFrame({"kind": list(KINDS), "threshold": 24})
    rows = _duplicates(KINDS[:2])
    rows.loc[rows["kind"] == KINDS[1], "distance"] += 10
    right = figures.leak_and_duplicates(_leak(), rows, summary).axes[1]
    curves = {line.get_label(): line for line in right.lines if line.get_label() in KINDS}
    assert list(curves) == list(KINDS[:2])
    assert [curve.get_xdata()[1] for curve in curves.values()] == [20, 30]
    assert all(curve.get_ydata()[-1] == 1 for curve in curves.values())


def test_without_two_ids_of_one_stem_the_figure_says_so():
    fig = figures.leak_and_duplicates(_leak(), _duplicates(), _summary())
    assert "no two IDs share a stem" in [text.get_text() for text in fig.axes[1].texts]
