"""Pictures keep their pixels, outlines lie where they belong, counts are those of the cohort."""

import figure_cases as cases
import numpy as np
from matplotlib import colors as mpl_colors

from tumorcf_lib.config import CLASSES
from tumorcf_lib.figures import slices, studies, style
from tumorcf_lib.tables.duplicates import KINDS


def test_examples_are_a_row_a_class_and_share_its_window():
    cohort = cases.cohort(8, classes=("glioma", "pituitary", "none"))
    fig = slices.examples(cohort, captions=[f"choice {k}" for k in range(8)])
    for ax, i in zip(fig.axes[:8], (0, 3, 6, 1, 4, 7, 2, 5), strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), cohort.slices[i])
        assert ax.get_title() == f"choice {i}"
    windows = [ax.images[0].get_clim() for ax in fig.axes[:8]]
    assert len(set(windows[:3])) == len(set(windows[3:6])) == 1 and len(set(windows)) == 3
    assert not fig.axes[8].get_visible()


def test_every_preprocessing_step_keeps_its_pixels_and_gets_the_outline():
    images, masks = cases.squares(1)
    steps = {"a": images[0], "b": images[0][::2, ::2]}
    fig = slices.preprocessing([steps], ["glioma"], masks=masks)
    np.testing.assert_array_equal(fig.axes[1].images[0].get_array(), steps["b"])
    assert all(len(ax.collections) == 1 for ax in fig.axes[:2])
    assert len(fig.axes[3].patches) == 1


def test_the_gallery_of_errors_names_truth_answer_and_probability():
    fig = slices.errors(cases.cohort().subset([3]), cases.errors().iloc[:1])
    said = cases.texts(fig)
    assert "true: meningioma" in said and "called pituitary, p = 0.88\npatient 7" in said
    np.testing.assert_array_equal(fig.axes[0].images[0].get_array(), cases.cohort().slices[3])
    none = slices.errors(cases.cohort().subset(np.arange(0)), cases.errors().iloc[:0])
    assert "No slice was misclassified." in cases.texts(none)


def test_an_edited_slice_has_its_originals_window_and_no_outline():
    row = cases.edits()[0]
    before, after, close, control, _ = slices.edits(cases.edits()).axes[:5]
    np.testing.assert_array_equal(before.images[0].get_array(), row["images"]["original"])
    np.testing.assert_array_equal(after.images[0].get_array(), row["images"]["remove"])
    np.testing.assert_array_equal(control.images[0].get_array(), row["images"]["sham"])
    limits = {ax.images[0].get_clim() for ax in (before, after, close, control)}
    assert len(limits) == 1
    assert [len(ax.collections) for ax in (before, after, close, control)] == [1, 0, 0, 1]


def test_the_close_up_holds_the_tumor_before_and_after_at_one_place():
    row = cases.edits()[0]
    picture = slices.edits(cases.edits()).axes[2].images[0].get_array().filled(np.nan)
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


def test_overview_bars_count_slices_and_patients():
    table, split = cases.tables("cohort")
    table = table.merge(split[split["fold"] == 0][["slice_id", "part"]], on="slice_id")
    axes = cases.draw("cohort").axes
    for ax, column in zip(axes, ("slice_id", "person_id"), strict=False):
        n = table.groupby(["label", "part"])[column].nunique()
        wanted = [n.get((name, part), 0) for name in CLASSES for part in studies.PART_SHADES]
        assert [bar.get_height() for bar in ax.patches] == wanted
    points = np.concatenate([c.get_offsets()[:, 1] for c in axes[3].collections[::2]])
    np.testing.assert_allclose(sorted(points), sorted(100 * table["tumor_share"]))


def test_a_slices_line_runs_from_its_air_to_its_99th_percentile():
    images = [np.linspace(0, 100, 101), np.linspace(-50, 50, 101)]
    axes = studies.intensities(images, [image / 10 for image in images], ["a", "a"]).axes
    ends = [tuple(line.get_ydata()) for line in axes[0].lines if len(line.get_ydata()) == 2]
    assert ends == [(-50, 49), (0, 99)]  # the darker slice first
    medians = [line.get_ydata()[0] for line in axes[0].lines if len(line.get_ydata()) == 1]
    assert medians == [2.5, 52.5]  # of 6 to 100: what is brighter than air


def test_every_fold_and_seed_of_the_study_is_drawn_at_its_accuracy():
    table, elsewhere = cases.tables("folds")
    left, right = cases.draw("folds").axes
    heights = {y for line in left.lines for y in line.get_ydata()}
    own = table[table["network"] == "plain"]  # not those that know nothing
    assert heights == set(own["slice_accuracy"]) | set(own["person_accuracy"])
    found = sorted(x for x, _ in cases.marks(right))  # what nobody published has no mark
    assert found == sorted([*elsewhere["slices"].dropna(), *elsewhere["persons"].dropna()])


def test_twins_stand_at_their_share_and_near_duplicates_are_drawn_by_kind():
    table, duplicates, summary = cases.tables("leak")
    left, right = cases.draw("leak").axes
    own = table[(table["score"] == "right") & (table["group"] == "all")]
    own = own.set_index(["labels", "arm"])["effect"]
    twins = [own[labels, arm] for labels in ("own", "shuffled") for arm in ("apart", "known")]
    assert cases.marks(left) == [(effect, k) for k, effect in enumerate(twins)]
    colors = [look["color"] for look in studies.LEAK_LOOKS.values()]
    assert [mark[0].get_color() for mark in left.containers] == colors * 2
    curves = {line.get_label(): line for line in right.lines}
    for kind in KINDS:
        curve = curves[kind.replace("person", "patient")]
        distances = duplicates.loc[duplicates["kind"] == kind, "distance"]
        assert curve.get_xdata()[1:].tolist() == sorted(distances)
        assert curve.get_ydata()[-1] == 1
    fig = studies.leak(table, duplicates.iloc[:0], summary)
    assert "no two IDs share a stem" in cases.texts(fig.axes[1])
