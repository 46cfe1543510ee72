"""Claims about the figures: they show the numbers they were given."""

import numpy as np
import pandas as pd
import pytest
from figure_checks import assert_tag_stands_below_all_else
from matplotlib import colors as mpl_colors
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tumorcf_lib import figures as plotting
from tumorcf_lib.config import CLASSES
from tumorcf_lib.data.cohort import from_arrays
from tumorcf_lib.figures import style
from tumorcf_lib.stats.claims import FORMS, TITLES, all_claims

TAG = "phantom"


def _slices(n=9, size=24):
    """Slices of rising brightness with square tumors of rising size."""
    masks = np.zeros((n, size, size), bool)
    for k in range(n):
        masks[k, 4 : 6 + k, 4 : 6 + k] = True
    slices = np.arange(n)[:, None, None] + np.random.default_rng(0).random((n, size, size))
    return slices + 3 * masks, masks


def _scores(n_persons=12):
    rng = np.random.default_rng(0)
    n = 3 * n_persons
    correct = rng.random(n) < 0.8
    return pd.DataFrame({
        "label": np.tile(CLASSES, n_persons), "person_id": [f"p{i // 2}" for i in range(n)],
        "correct": correct, "p_orig": np.where(correct, 0.9, 0.3),
        **{name: rng.uniform(0, 0.9, n) for name in
           ("delta_drop", "delta_focus", "sham_drop", "net_drop")},
    })


def _means(scores):
    rows = []
    for score in ("delta_drop", "sham_drop", "net_drop", "delta_focus"):
        for group in ("all", *CLASSES):
            own = scores if group == "all" else scores[scores["label"] == group]
            value = own[score].mean()
            rows.append({"score": score, "group": group, "effect": value, "low": value - 0.1,
                         "high": value + 0.05})
    return pd.DataFrame(rows)


def _findings():
    rng = np.random.default_rng(1)
    verdicts = list(plotting.VERDICT_COLORS)
    rows = []
    for k, claim in enumerate(all_claims(CLASSES)):
        effect = rng.uniform(-0.5, 0.5)
        rows.append({"finding": claim.finding, "form": claim.form, "group": claim.group,
                     "quantity": claim.quantity, "effect": effect, "low": effect - 0.1,
                     "high": effect + 0.2, "margin": claim.margin, "side": claim.side,
                     "n_persons": 20, "verdict": verdicts[k % 3]})
    return pd.DataFrame(rows)


def _reliability():
    edges = np.linspace(0, 1, 6)
    parts = []
    for kind, temperature in (("slices", 1.0), ("persons", 1.0), ("slices, temperature", 1.7)):
        parts.append(pd.DataFrame({
            "kind": kind, "temperature": temperature, "ece": 0.08, "low": edges[:-1],
            "high": edges[1:], "n": [0, 2, 5, 10, 20], "confidence": edges[:-1] + 0.1,
            "accuracy": [np.nan, 0.5, 0.4, 0.7, 0.95]}))
    return pd.concat(parts, ignore_index=True)


def _fall_to():
    shares = np.array([[0.5, 0.3, 0.2], [0.0, 1.0, 0.0], [0.1, 0.2, 0.7]])
    return pd.DataFrame([
        {"edit": edit, "label": label, "to": to, "n": int(20 * shares[i, j]),
         "share": shares[i, j]}
        for edit in ("blank", "original", "remove") for i, label in enumerate(CLASSES)
        for j, to in enumerate(CLASSES)])


def _edit_rows():
    slices, masks = _slices(2)
    rows = []
    for image, mask in zip(slices, masks, strict=True):
        removed = np.where(mask, 0.5, image)
        rows.append({"title": "glioma", "images": {"original": image, "remove": removed},
                     "p": {"original": 0.9, "remove": 0.25}, "masks": {"remove": mask}})
    return rows


HISTORY = {"loss": [1.0, 0.6, 0.5], "val_loss": [1.1, 0.7, 0.8],
           "accuracy": [0.4, 0.7, 0.8], "val_accuracy": [0.5, 0.6, 0.7], "lr": [1, 1, 1],
           "best": [False, True, False]}


def _cohort(n=9, classes=CLASSES):
    slices, masks = _slices(n)
    labels = np.arange(n) % len(classes)
    return from_arrays(slices, masks, labels, [f"p{k}" for k in range(n)], classes=classes,
                       name="test", source="Squares.")


def _errors(n=9):
    names = [CLASSES[k % 3] for k in range(n)]
    return pd.DataFrame({"label": names, "predicted": names[::-1], "person_id": "7",
                         "confidence": np.linspace(0.876, 0.5, n)})


def _slice_table():
    return pd.DataFrame({
        "slice_id": list("uvwxyz"), "person_id": list("aabcde"),
        "label": np.array(CLASSES)[[0, 0, 0, 1, 1, 2]], "tumor_share": 0.02})


def _split(n_folds=1):
    parts = ["train", "train", "test", "train", "validation", "test"]
    return pd.concat([pd.DataFrame({"slice_id": list("uvwxyz"), "fold": fold,
                                    "part": np.roll(parts, fold)}) for fold in range(n_folds)])


def _all_figures():
    """Name, number of axes, and a call that draws it."""
    slices, masks = _slices()
    scores = _scores()
    steps = [{"as stored": image, "resized": image[::2, ::2]} for image in slices[:2]]
    return [
        ("examples", 9, lambda **k: plotting.examples(_cohort(), captions=["axial"] * 9, **k)),
        ("cohort_overview", 4, lambda **k: plotting.cohort_overview(
            _slice_table(), _split(2), **k)),
        ("preprocessing_steps", 6, lambda **k: plotting.preprocessing_steps(
            steps, CLASSES[:2], masks=masks, **k)),
        ("intensity_histograms", 2, lambda **k: plotting.intensity_histograms(
            slices, slices / 9, list(CLASSES) * 3, **k)),
        ("learning_curves", 2, lambda **k: plotting.learning_curves(HISTORY, **k)),
        ("confusion", 2, lambda **k: plotting.confusion(np.diag([5, 6, 7]), CLASSES, **k)),
        ("reliability", 6, lambda **k: plotting.reliability(_reliability(), **k)),
        ("errors_gallery", 12, lambda **k: plotting.errors_gallery(_cohort(), _errors(), **k)),
        ("edits_side_by_side", 6, lambda **k: plotting.edits_side_by_side(
            _edit_rows(), differences=("remove",), **k)),
        ("delta_by_class", 4, lambda **k: plotting.delta_by_class(scores, _means(scores), **k)),
        ("correct_vs_wrong", 3, lambda **k: plotting.correct_vs_wrong(scores, **k)),
        ("drop_vs_focus", 3, lambda **k: plotting.drop_vs_focus(scores, **k)),
        ("fall_to", 3, lambda **k: plotting.fall_to(_fall_to(), **k)),
        ("findings_forest", 3, lambda **k: plotting.findings_forest(_findings(), **k)),
        ("headline", 1, lambda **k: plotting.headline(_means(scores), **k)),
    ]


def _texts(fig):
    return [text.get_text() for text in fig.findobj(plt.Text) if text.get_text()]


def _bars(ax):
    return [(round(p.get_x(), 6), round(p.get_height(), 6)) for p in ax.patches]


@pytest.fixture(scope="module")
def figures():
    """Each figure, drawn once."""
    before, settings = plt.get_fignums(), dict(plt.rcParams)
    drawn = {name: (n_axes, draw(tag=TAG)) for name, n_axes, draw in _all_figures()}
    assert plt.get_fignums() == before, "a notebook would show these twice"
    assert dict(plt.rcParams) == settings, "settings leak into the notebook"
    return drawn


NAMES = [name for name, _, _ in _all_figures()]


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_its_panels_and_carries_its_tag(figures, name):
    n_axes, fig = figures[name]
    assert isinstance(fig, Figure) and len(fig.axes) == n_axes
    assert TAG in _texts(fig)


def test_every_public_figure_is_tested_here():
    helpers = {"CLASS_COLORS", "VERDICT_COLORS", "class_colors"}
    elsewhere = {  # test_plotting_controls.py, test_plotting_studies.py, test_calibration.py
        "covariates", "dilation_curves", "energy", "infill_comparison", "known_answers",
        "leak_and_duplicates", "pooled_folds", "probe_bars", "robustness_forest", "three_networks",
    }  # fmt: skip
    assert set(NAMES) == set(plotting.__all__) - helpers - elsewhere


def test_without_a_tag_nothing_is_written():
    fig = plotting.confusion(np.diag([5, 6, 7]), CLASSES)
    assert not [t for t in fig.texts if t.get_gid() == "tag"]


@pytest.mark.parametrize("name", NAMES)
def test_the_tag_stands_below_all_else(figures, name):
    assert_tag_stands_below_all_else(figures[name][1])


@pytest.mark.parametrize("name", NAMES)
def test_text_stays_inside_the_figure(figures, name):
    fig = figures[name][1]
    fig.draw_without_rendering()  # as saving does
    box = fig.get_tightbbox(FigureCanvasAgg(fig).get_renderer())  # inches
    width, height = fig.get_size_inches()
    assert box.x0 > -0.02 and box.y0 > -0.02
    assert box.x1 < width + 0.02 and box.y1 < height + 0.02


def test_class_and_verdict_colors_are_distinct_also_in_brightness_or_hue():
    for palette in (plotting.CLASS_COLORS, plotting.VERDICT_COLORS,
                    plotting.class_colors([*CLASSES, "no tumor", "a", "b"])):
        rgb = np.array([mpl_colors.to_rgb(c) for c in palette.values()])
        gaps = np.linalg.norm(rgb[:, None] - rgb[None], axis=-1)
        assert gaps[np.triu_indices(len(rgb), 1)].min() > 0.25
    assert set(plotting.CLASS_COLORS) == set(CLASSES)


def test_too_many_classes_are_refused():
    with pytest.raises(style.PlotInputError, match="got 9"):
        plotting.class_colors([f"class {k}" for k in range(9)])


def test_examples_are_a_row_a_class_and_share_its_window():
    cohort = _cohort(8, classes=("glioma", "pituitary", "none"))
    fig = plotting.examples(cohort, captions=[f"choice {k}" for k in range(8)])
    for ax, i in zip(fig.axes[:8], (0, 3, 6, 1, 4, 7, 2, 5), strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), cohort.slices[i])
        assert ax.get_title() == f"choice {i}"
    windows = [ax.images[0].get_clim() for ax in fig.axes[:8]]
    assert len(set(windows[:3])) == len(set(windows[3:6])) == 1 and len(set(windows)) == 3
    assert not fig.axes[8].get_visible()


def test_masks_are_outlines_around_exactly_their_pixels():
    fig, ax = plt.subplots()
    slices, masks = _slices(1)
    style.show_slice(ax, slices[0], mask=masks[0])
    plt.close(fig)
    (outline,) = ax.collections
    corners = outline.get_paths()[0].vertices
    # the tumor's pixels are 4 and 5: their shared border runs half a pixel outside
    assert corners.min(axis=0) == pytest.approx([3.5, 3.5])
    assert corners.max(axis=0) == pytest.approx([5.5, 5.5])


def test_a_mask_at_the_edge_is_closed_and_an_empty_one_draws_nothing():
    fig, ax = plt.subplots()
    mask = np.zeros((8, 8), bool)
    style.show_slice(ax, np.zeros((8, 8)), mask=mask)
    assert not ax.collections
    mask[:2, :2] = True
    style.show_slice(ax, np.zeros((8, 8)), mask=mask)
    vertices = ax.collections[0].get_paths()[0].vertices
    assert (vertices[0] == vertices[-1]).all()
    assert ax.get_xlim() == (-0.5, 7.5) and ax.get_ylim() == (7.5, -0.5)
    plt.close(fig)


def test_overview_bars_count_slices_and_persons():
    fig = plotting.cohort_overview(_slice_table(), _split())
    heights = [[h for _, h in _bars(ax)] for ax in fig.axes[:2]]
    assert heights[0] == [2, 0, 1, 1, 1, 0, 0, 0, 1]  # class by class: train, validation, test
    assert heights[1] == [1, 0, 1, 1, 1, 0, 0, 0, 1]
    points = np.concatenate([c.get_offsets()[:, 1] for c in fig.axes[3].collections[::2]])
    np.testing.assert_allclose(points, 2.0)  # percent


def test_every_preprocessing_step_keeps_its_pixels_and_gets_the_outline():
    slices, masks = _slices(1)
    steps = {"a": slices[0], "b": slices[0][::2, ::2]}
    fig = plotting.preprocessing_steps([steps], masks=masks)
    np.testing.assert_array_equal(fig.axes[1].images[0].get_array(), steps["b"])
    assert all(len(ax.collections) == 1 for ax in fig.axes[:2])
    assert len(fig.axes[3].patches) == 1


def test_learning_curves_show_the_history_and_mark_the_kept_epoch():
    fig = plotting.learning_curves(HISTORY)
    train, validation, kept = fig.axes[0].lines
    assert train.get_ydata().tolist() == HISTORY["loss"]
    assert validation.get_ydata().tolist() == HISTORY["val_loss"]
    assert (kept.get_xdata().tolist(), kept.get_ydata().tolist()) == ([2], [0.7])


def test_learning_curves_draw_a_line_per_fold():
    history = pd.concat([pd.DataFrame({**HISTORY, "epoch": [4, 5, 6], "fold": f})
                         for f in (0, 1)], ignore_index=True)
    history["best"] = [False, True, False, False, False, True]
    fig = plotting.learning_curves(history)
    kept = fig.axes[0].lines[2], fig.axes[0].lines[5]
    assert [line.get_xdata().tolist() for line in kept] == [[5], [6]]


def test_a_history_without_validation_is_refused():
    with pytest.raises(style.PlotInputError, match="val_loss"):
        plotting.learning_curves({"loss": [1.0]})


def test_confusion_writes_counts_and_shares_of_the_true_class():
    fig = plotting.confusion([[8, 2, 0], [0, 5, 5], [0, 0, 0]], CLASSES)
    cells = [t.get_text() for t in fig.axes[0].texts]
    assert cells == ["8\n80.0%", "2\n20.0%", "0\n0.0%", "0\n0.0%", "5\n50.0%", "5\n50.0%",
                     "0\n0.0%", "0\n0.0%", "0\n0.0%"]


def test_reliability_bars_are_the_accuracies_of_filled_bins():
    fig = plotting.reliability(_reliability())
    assert [h for _, h in _bars(fig.axes[0])] == [0.5, 0.4, 0.7, 0.95]
    shares = [h for _, h in _bars(fig.axes[3])]
    assert shares == pytest.approx([2 / 37, 5 / 37, 10 / 37, 20 / 37], abs=1e-6)
    assert any("temperature 1.70" in t for t in _texts(fig))


def test_no_errors_is_said_in_words():
    none = _cohort().subset(np.arange(0))
    fig = plotting.errors_gallery(none, _errors().iloc[:0])
    assert "No slice was misclassified." in _texts(fig)


def test_gallery_names_truth_answer_and_probability():
    fig = plotting.errors_gallery(_cohort().subset([3]), _errors().iloc[:1])
    texts = _texts(fig)
    assert "true: meningioma" in texts and "called pituitary, p = 0.88\nperson 7" in texts
    np.testing.assert_array_equal(fig.axes[0].images[0].get_array(), _cohort().slices[3])


def test_a_gallery_with_other_slices_than_errors_is_refused():
    with pytest.raises(style.PlotInputError, match="9 slices but 2 rows"):
        plotting.errors_gallery(_cohort(), _errors(2))


def test_edits_share_the_originals_window_and_changes_are_centered_on_zero():
    fig = plotting.edits_side_by_side(_edit_rows(), differences=("remove",))
    original, removed, change = (ax.images[0] for ax in fig.axes[:3])
    assert original.get_clim() == removed.get_clim()
    low, high = change.get_clim()
    assert low == -high
    row = _edit_rows()[0]["images"]
    np.testing.assert_allclose(change.get_array(), row["remove"] - row["original"])
    assert {"P = 0.90", "P = 0.25"} <= set(_texts(fig))


def test_every_slice_is_a_point_in_its_class_and_the_mean_is_marked():
    scores = _scores()
    means = _means(scores)
    fig = plotting.delta_by_class(scores, means, columns=("delta_drop", "net_drop"))
    ax = fig.axes[1]
    drawn = np.sort(np.concatenate([c.get_offsets()[:, 1] for c in ax.collections
                                    if len(c.get_offsets()) == 12]))
    np.testing.assert_allclose(drawn, np.sort(scores["net_drop"]))
    marks = [c[0].get_ydata()[0] for c in ax.containers]
    wanted = means[(means["score"] == "net_drop") & (means["group"] != "all")]["effect"]
    assert marks == pytest.approx(wanted.to_list())


def test_a_score_without_values_leaves_a_panel_that_says_so():
    scores = _scores().assign(net_drop=np.nan)
    fig = plotting.delta_by_class(scores, _means(_scores()))
    assert "no values" in _texts(fig)


def test_correct_and_wrong_slices_are_told_apart_and_counted():
    scores = _scores()
    fig = plotting.correct_vs_wrong(scores)
    wrong = mpl_colors.to_rgb("#D55E00")
    points = [c for c in fig.axes[1].collections if len(c.get_facecolor())
              and np.allclose(c.get_facecolor()[0][:3], wrong)]
    drawn = np.sort(np.concatenate([c.get_offsets()[:, 1] for c in points]))
    np.testing.assert_allclose(drawn, np.sort(scores.loc[~scores["correct"], "delta_drop"]))
    own = scores[scores["label"] == "glioma"]["correct"]
    assert f"glioma\n{own.sum()} / {(~own).sum()}" in _texts(fig)


def test_scatter_holds_every_slice_once():
    scores = _scores()
    fig = plotting.drop_vs_focus(scores)
    points = np.concatenate([c.get_offsets() for c in fig.axes[0].collections])
    drawn = points[np.argsort(points[:, 0])]
    wanted = scores[["delta_drop", "delta_focus"]].sort_values("delta_drop").to_numpy()
    np.testing.assert_allclose(drawn, wanted)


def test_fall_to_stacks_shares_to_one_in_the_order_of_edits():
    fig = plotting.fall_to(_fall_to())
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["original", "tumor removed", "blank"]
    widths = np.array([p.get_width() for p in fig.axes[0].patches]).reshape(3, 3)
    np.testing.assert_allclose(widths, [[0.5, 0.3, 0.2], [0, 1, 0], [0.1, 0.2, 0.7]])
    colors = [mpl_colors.to_hex(p.get_facecolor()).upper() for p in fig.axes[0].patches[:3]]
    assert colors == list(plotting.CLASS_COLORS.values())


@pytest.mark.parametrize("form", FORMS)
def test_forest_points_lie_right_of_the_line_when_the_effect_is_as_claimed(form):
    table = _findings()
    fig = plotting.findings_forest(table, form=form)
    rows = table[table["form"] == form].sort_values("finding", kind="stable")
    points = [line for line in fig.axes[1].lines if line.get_marker() in ("o", "D")]
    sign = np.where(rows["side"] == "above", 1, -1)
    wanted = sorted(zip((sign * (rows["effect"] - rows["margin"])).round(9),
                        rows["verdict"].map(plotting.VERDICT_COLORS), strict=True))
    drawn = sorted((round(float(line.get_xdata()[0]), 9), line.get_color()) for line in points)
    assert drawn == wanted
    headings = [t for t in _texts(fig) if t[3:] in TITLES.values()]
    assert len(headings) == rows["finding"].nunique()


def test_forest_without_a_form_shows_stated_and_net_claims_of_no_single_class():
    table = _findings()
    fig = plotting.findings_forest(table)
    shown = [line for line in fig.axes[1].lines if line.get_marker() in ("o", "D")]
    wanted = table[(table["form"] != "log-odds") & ~table["group"].isin(CLASSES)]
    assert len(shown) == len(wanted)
    n_net = sum(line.get_marker() == "D" for line in shown)
    assert n_net == (wanted["form"] == "net").sum()


def test_forest_lists_a_claim_without_an_estimate():
    table = _findings()
    table.loc[0, ["effect", "low", "high"]] = np.nan
    assert "no estimate" in _texts(plotting.findings_forest(table))


def test_headline_dots_are_the_means_and_the_text_is_the_net_drop():
    means = _means(_scores())
    fig = plotting.headline(means)
    dots = [c[0].get_xdata()[0] for c in fig.axes[0].containers]
    wide = means.pivot(index="group", columns="score", values="effect")
    wanted = [wide.loc[g, s] for g in (*CLASSES, "all") for s in ("delta_drop", "sham_drop")]
    assert dots == pytest.approx(wanted)
    net = means.set_index(["score", "group"]).loc[("net_drop", "all")]
    text = f"{net['effect']:+.3f} [{net['low']:.3f}, {net['high']:.3f}]"
    assert text in _texts(fig)


def test_headline_of_a_class_without_shams_shows_its_drop_and_says_so():
    means = _means(_scores())
    lost = (means["group"] == "glioma") & means["score"].isin(["sham_drop", "net_drop"])
    empty = means.copy()
    empty.loc[lost, ["effect", "low", "high"]] = np.nan
    for table in (means[~lost], empty):
        fig = plotting.headline(table)
        assert _texts(fig).count("no sham") == 1
        assert len(fig.axes[0].containers) == 2 * 4 - 1


def test_headline_without_any_sham_is_still_drawn():
    means = _means(_scores())
    fig = plotting.headline(means[means["score"] == "delta_drop"])
    assert _texts(fig).count("no sham") == len(fig.axes[0].containers) == 4


def test_forest_leaves_the_marks_of_negligible_effects_open():
    table = _findings().assign(relevance="")
    table.loc[table["form"].eq("paper").idxmax(), "relevance"] = "negligible"
    fig = plotting.findings_forest(table, form="paper")
    faces = [line.get_markerfacecolor() for line in fig.axes[1].lines if line.get_marker() == "o"]
    assert faces.count("white") == 1
    assert "within ±0.05" in [t.get_text() for t in fig.legends[0].get_texts()]
