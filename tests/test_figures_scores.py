"""Figures of scores and of a classifier: bars, points and means are those of their tables."""

import figure_cases as cases
import numpy as np
import pandas as pd
import pytest
from matplotlib import colors as mpl_colors

from tumorcf_lib.config import CLASSES
from tumorcf_lib.figures import style, training

HISTORY = {
    "loss": [1.0, 0.6, 0.5],
    "val_loss": [1.1, 0.7, 0.8],
    "accuracy": [0.4, 0.7, 0.8],
    "val_accuracy": [0.5, 0.6, 0.7],
    "best": [False, True, False],
}


def _bars(ax):
    return [round(float(bar.get_height()), 6) for bar in ax.patches]


def test_the_answers_bars_are_the_shares_in_percent_in_the_order_of_the_table():
    (table,) = cases.tables("answer")
    ax = cases.draw("answer").axes[0]
    by_class = table.sort_values("label", key=lambda names: names.map(CLASSES.index), kind="stable")
    assert _bars(ax) == pytest.approx((100 * by_class["share"]).tolist(), abs=1e-5)
    names = [label.get_text().replace("\n", " ") for label in ax.get_xticklabels()]
    assert names == [style.EDIT_NAMES[edit] for edit in dict.fromkeys(table["edit"])]
    assert [text.get_text() for text in ax.texts[:-1]] == [f"{x:.0f}" for x in _bars(ax)]
    (line,) = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert line.get_ydata()[0] == pytest.approx(100 / 3)
    first = table[table["label"] == "glioma"].iloc[0]
    assert f"glioma, {first['n_slices']} / {first['n_persons']}" in cases.texts(ax.figure)
    bars = [c for c in ax.containers if hasattr(c, "has_yerr")]
    ends = np.array([bar[2][0].get_segments()[0][:, 1] for bar in bars])
    np.testing.assert_allclose(ends, 100 * by_class[["low", "high"]])


def test_correct_and_wrong_slices_stand_apart_and_are_counted_with_their_means():
    (scored,) = cases.tables("correct_vs_wrong")
    fig = cases.draw("correct_vs_wrong")
    own = scored[scored["label"] == "meningioma"]
    right, wrong = own[own["correct"]]["delta_drop"], own[~own["correct"]]["delta_drop"]
    label = f"meningioma\n{len(right)} / {len(wrong)}\n{right.mean():.2f} / {wrong.mean():.2f}"
    assert label in [tick.get_text() for tick in fig.axes[1].get_xticklabels()]
    clouds = [c.get_offsets() for c in fig.axes[1].collections if len(c.get_offsets()) > 1]
    drawn = [sorted(c[:, 1]) for c in clouds if c[:, 0].min() > 0 and c[:, 0].max() < 0.5]
    assert drawn == [pytest.approx(sorted(wrong))]


def test_scatter_holds_every_slice_once_in_the_panel_of_its_class():
    (scored,) = cases.tables("drop_vs_focus")
    for ax, name in zip(cases.draw("drop_vs_focus").axes, CLASSES, strict=True):
        points = np.concatenate([c.get_offsets() for c in ax.collections])
        own = scored.loc[scored["label"] == name, ["delta_drop", "delta_focus"]]
        np.testing.assert_allclose(sorted(points.tolist()), sorted(own.to_numpy().tolist()))
        assert ax.lines[-1].get_xydata() == pytest.approx(own.mean().to_numpy()[None])


def test_fall_to_stacks_shares_to_one_in_the_order_of_edits():
    (table,) = cases.tables("fall_to")
    known = [edit for edit in style.EDIT_NAMES if edit in set(table["edit"])]
    axes = cases.draw("fall_to").axes
    titles = [ax.get_title(loc="left") for ax in axes]
    assert titles == [style.EDIT_NAMES[edit] for edit in known]
    share = table.set_index(["edit", "label", "to"])["share"]
    for ax, edit in zip(axes, known, strict=True):
        widths = np.array([bar.get_width() for bar in ax.patches]).reshape(3, 3)
        wanted = [[share.get((edit, label, to), 0.0) for to in CLASSES] for label in CLASSES]
        np.testing.assert_allclose(widths, wanted)
    colors = [mpl_colors.to_hex(bar.get_facecolor()).upper() for bar in axes[0].patches[:3]]
    assert colors == list(style.CLASS_COLORS.values())


def test_dilations_run_from_small_to_large_on_common_slices():
    (table,) = cases.tables("dilations")
    table = table[table["slices"] == "common"].sort_values("dilation_px")
    for ax, group in zip(cases.draw("dilations").axes, cases.GROUPS, strict=True):
        curves = [line for line in ax.lines if line.get_marker() in ("s", "o")]
        for line, score in zip(curves, ("sham_drop", "net_drop"), strict=True):
            own = table[(table["group"] == group) & (table["score"] == score)]
            assert line.get_xdata().tolist() == own["dilation_px"].tolist()
            assert line.get_ydata().tolist() == own["effect"].tolist()


def test_learning_curves_show_the_history_of_each_fold_and_mark_the_kept_epoch():
    train, validation, kept = training.learning_curves(HISTORY).axes[0].lines
    assert train.get_ydata().tolist() == HISTORY["loss"]
    assert validation.get_ydata().tolist() == HISTORY["val_loss"]
    assert (kept.get_xdata().tolist(), kept.get_ydata().tolist()) == ([2], [0.7])
    parts = [pd.DataFrame({**HISTORY, "epoch": [4, 5, 6], "fold": f}) for f in (0, 1)]
    history = pd.concat(parts, ignore_index=True)
    history["best"] = [False, True, False, False, False, True]
    lines = training.learning_curves(history).axes[0].lines
    assert [lines[k].get_xdata().tolist() for k in (2, 5)] == [[5], [6]]


def test_confusion_writes_counts_and_shares_of_the_true_class():
    names = [f"predicted {name}" for name in CLASSES]
    table = pd.DataFrame(((8, 2, 0), (0, 5, 5), (0, 0, 0)), columns=names)
    table.insert(0, "true", CLASSES)
    cells = [text.get_text() for text in training.confusion(table).axes[0].texts]
    none = "0\n0.0%"
    assert cells == ["8\n80.0%", "2\n20.0%", none, none, "5\n50.0%", "5\n50.0%", *[none] * 3]


def test_reliability_bars_are_the_accuracies_of_filled_bins_and_titles_differ():
    (table,) = cases.tables("reliability")
    fig = cases.draw("reliability")
    own = table[(table["kind"] == table["kind"].iloc[0]) & (table["n"] > 0)]
    assert _bars(fig.axes[0]) == pytest.approx(own["accuracy"].tolist(), abs=1e-6)
    assert _bars(fig.axes[3]) == pytest.approx((own["n"] / own["n"].sum()).tolist(), abs=1e-6)
    titles = [ax.get_title(loc="left") for ax in fig.axes[:3]]
    assert f"ECE {own['ece'].iloc[0]:.3f}, n = {own['n'].sum()}" in titles[0]
    assert "temperature" in titles[2] and len(set(titles)) == 3
