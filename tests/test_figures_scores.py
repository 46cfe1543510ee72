"""What a figure shows is what its tables say: bars, points, means, counts and printed numbers."""

import figure_cases as cases
import numpy as np
import pandas as pd
import pytest

from tumorcf_lib.config import CLASSES
from tumorcf_lib.controls import covariates
from tumorcf_lib.figures import controls, forests, readings, scores, studies, style, training
from tumorcf_lib.study import calibration
from tumorcf_lib.study.side_studies import published
from tumorcf_lib.tables.leak import KINDS
from tumorcf_lib.tables.primary import CLAIMS


def heights(ax):
    return [bar.get_height() for bar in ax.patches]


def pick(table, value="effect", **keys):
    """Known values of the rows that have these, or one of these, in their columns."""
    for name, wanted in keys.items():
        table = table[table[name].isin(wanted if isinstance(wanted, tuple) else (wanted,))]
    return sorted(table[value].dropna())


def marked(fig):
    """Of each panel, all effects that have a mark."""
    return [sorted(x for x, _ in cases.marks(ax)) for ax in fig.axes]


def test_the_answers_bars_are_the_shares_in_percent_in_the_order_of_the_table():
    (table,) = cases.tables("answer")
    ax = cases.draw("answer").axes[0]
    by_class = table.sort_values("label", key=lambda names: names.map(CLASSES.index), kind="stable")
    assert heights(ax) == pytest.approx(100 * by_class["share"])
    names = [label.get_text().replace("\n", " ") for label in ax.get_xticklabels()]
    assert names == [style.EDIT_NAMES[edit] for edit in dict.fromkeys(table["edit"])]
    assert [text.get_text() for text in ax.texts] == [f"{x:.0f}" for x in heights(ax)]
    first = table[table["label"] == "glioma"].iloc[0]
    assert f"glioma, {first['n_slices']} / {first['n_persons']}" in cases.texts(ax.figure)
    bars = [c[2][0].get_segments() for c in ax.containers if hasattr(c, "has_yerr")]
    ends = np.concatenate(bars)[:, :, 1]
    np.testing.assert_allclose(ends, 100 * by_class[["low", "high"]])


def test_correct_and_wrong_slices_stand_apart_and_are_counted_with_their_means():
    (scored,) = cases.tables("correct_vs_wrong")
    ax = cases.draw("correct_vs_wrong").axes[1]
    own = scored[scored["label"] == "meningioma"]
    right, wrong = own[own["correct"]]["delta_drop"], own[~own["correct"]]["delta_drop"]
    label = f"meningioma\n{len(right)} / {len(wrong)}\n{right.mean():.2f} / {wrong.mean():.2f}"
    assert label in [tick.get_text() for tick in ax.get_xticklabels()]
    clouds = [c.get_offsets() for c in ax.collections if len(c.get_offsets()) > 1]
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
    assert [ax.get_title(loc="left") for ax in axes] == [style.EDIT_NAMES[edit] for edit in known]
    share = table.set_index(["edit", "label", "to"])["share"]
    for ax, edit in zip(axes, known, strict=True):
        widths = np.array([bar.get_width() for bar in ax.patches]).reshape(3, 3)
        wanted = [[share.get((edit, label, to), 0.0) for label in CLASSES] for to in CLASSES]
        np.testing.assert_allclose(widths, wanted)


def test_dilations_run_from_small_to_large_on_common_slices():
    (table,) = cases.tables("dilations")
    table = table[table["slices"] == "common"].sort_values("dilation_px")
    for ax, group in zip(cases.draw("dilations").axes, cases.GROUPS, strict=True):
        curves = [line for line in ax.lines if line.get_marker() in ("s", "o")]
        for line, score in zip(curves, ("sham_drop", "net_drop"), strict=True):
            own = table[(table["group"] == group) & (table["score"] == score)]
            np.testing.assert_array_equal(line.get_xydata(), own[["dilation_px", "effect"]])


def test_learning_curves_show_the_history_of_each_fold_and_mark_the_kept_epoch():
    loss, val_loss, epoch = [1.0, 0.6, 0.5], [1.1, 0.7, 0.8], [4, 5, 6]
    history = pd.DataFrame({"loss": loss * 2, "val_loss": val_loss * 2, "epoch": epoch * 2})
    history = history.assign(fold=[0] * 3 + [1] * 3, best=np.arange(6) % 4 == 1)
    lines = training.learning_curves(history).axes[0].lines
    assert [lines[k].get_ydata().tolist() for k in (0, 1)] == [loss, val_loss]
    assert [lines[k].get_xydata().tolist() for k in (2, 5)] == [[[5, 0.7]], [[6, 0.8]]]


def test_confusion_writes_counts_and_shares_of_the_true_class():
    names = [f"predicted {name}" for name in CLASSES]
    table = pd.DataFrame(((8, 2, 0), (0, 5, 5), (0, 0, 0)), columns=names)
    table.insert(0, "true", CLASSES)
    cells = [text.get_text() for text in training.confusion(table).axes[0].texts]
    none = "0\n0.0%"
    assert cells == ["8\n80.0%", "2\n20.0%", none, none, "5\n50.0%", "5\n50.0%", *[none] * 3]


def test_reliability_bars_are_the_accuracies_of_filled_bins():
    (table,) = cases.tables("reliability")
    axes = cases.draw("reliability").axes
    own = table[(table["kind"] == table["kind"].iloc[0]) & (table["n"] > 0)]
    assert heights(axes[0]) == pytest.approx(own["accuracy"])
    assert heights(axes[3]) == pytest.approx(own["n"] / own["n"].sum())
    assert f"ECE {own['ece'].iloc[0]:.3f}" in axes[0].get_title(loc="left")


def test_overview_bars_count_slices_and_patients():
    table, split = cases.tables("cohort")
    table = table.merge(split[split["fold"] == 0][["slice_id", "part"]], on="slice_id")
    axes = cases.draw("cohort").axes
    for ax, column in zip(axes, ("slice_id", "person_id"), strict=False):
        n = table.groupby(["label", "part"])[column].nunique()
        wanted = [n.get((name, part), 0) for part in studies.PART_SHADES for name in CLASSES]
        assert heights(ax) == wanted
    points = np.concatenate([c.get_offsets()[:, 1] for c in axes[3].collections[::2]])
    np.testing.assert_allclose(sorted(points), sorted(100 * table["tumor_share"]))


def test_every_fold_and_seed_of_the_study_is_drawn_at_its_accuracy():
    table, elsewhere = cases.tables("folds")
    left, right = cases.draw("folds").axes
    own = table[table["network"] == "plain"]  # not those that know nothing
    drawn = {y for line in left.lines for y in line.get_ydata()}
    assert drawn == set(own["slice_accuracy"]) | set(own["person_accuracy"])
    found = sorted(x for x, _ in cases.marks(right))  # what nobody published has no mark
    assert found == sorted([*elsewhere["slices"].dropna(), *elsewhere["persons"].dropna()])


def test_twins_stand_at_their_share_and_near_duplicates_are_drawn_by_kind():
    table, duplicates, _ = cases.tables("leak")
    left, right = cases.draw("leak").axes
    own = table[(table["score"] == "right") & (table["group"] == "all")].set_index("arm")
    twins = [
        own[own["labels"] == labels]["effect"][["apart", "known"]] for labels in ("own", "shuffled")
    ]
    assert [x for x, _ in cases.marks(left)] == np.concatenate(twins).tolist()
    assert [round(y) for _, y in cases.marks(left)] == [0, 0, 1, 1]
    names = [label.get_text().split("\n")[-1] for label in left.get_yticklabels()]
    differences = own.loc["known minus apart"].to_dict("records")
    assert names == [forests.number(row) for row in differences]
    curves = {line.get_label(): line for line in right.lines}
    for kind in KINDS:
        curve = curves[kind.replace("person", "patient")]
        distances = duplicates.loc[duplicates["kind"] == kind, "distance"]
        assert curve.get_xdata()[1:].tolist() == sorted(distances) and curve.get_ydata()[-1] == 1


def test_every_forest_marks_the_effects_of_its_tables_and_no_others():
    (table,) = cases.tables("energy")
    own = pick(table, scale="probability", quantity=tuple(controls.ENERGY_NAMES))
    assert marked(cases.draw("energy")) == [own]
    (table,) = cases.tables("probes")
    own = pick(table, "value", metric=table["metric"].iloc[0], group="all")
    assert marked(cases.draw("probes")) == [own]
    (table,) = cases.tables("networks")  # seen and unseen infills, but no single other one
    fig = cases.draw("networks")
    accuracy, drop, focus = marked(fig)
    assert accuracy == pick(table, score="accuracy")
    assert drop == pick(table, score="net_drop", infill=("navier_stokes", "unseen"))
    assert focus == pick(table, score="delta_focus")
    faces = [container[0].get_markerfacecolor() for container in fig.axes[1].containers]
    assert faces.count("white") == len(pick(table, score="net_drop", infill="unseen")) > 0
    (table,) = cases.tables("covariates")
    for found, name in zip(marked(cases.draw("covariates")), covariates.COVARIATES, strict=True):
        own = {"score": "net_drop", "covariate": name}
        assert found == sorted(pick(table, **own) + pick(table, "ols", **own))
    (table,) = cases.tables("robustness")
    table = table[~table["variant"].str.startswith("looking")]  # no control of our network
    wanted = [pick(table, group=group, scale="probability") for group in cases.GROUPS]
    assert marked(cases.draw("robustness")) == wanted
    table, quality, detector = cases.tables("infills")
    drops, errors, seen = marked(cases.draw("infills"))
    assert drops == pick(table, score="net_drop", slices="common")
    assert errors == pick(quality)
    assert seen == pick(detector, "auc", group="all")


def test_primary_claims_name_their_side_and_stand_beside_the_band_of_networks_of_nothing():
    (table,) = cases.tables("primary")
    fig = cases.draw("primary")
    assert marked(fig) == [pick(table)]
    bands = [
        band.get_paths()[0].get_extents().intervalx
        for band in fig.axes[0].collections
        if band.get_paths() and np.isfinite(band.get_paths()[0].vertices).all()
    ]
    for row in table[table["null_low"].notna()].itertuples():
        assert [row.null_low, row.null_high] in [pytest.approx(list(band)) for band in bands]
    labels = [label.get_text() for label in fig.axes[0].get_yticklabels()]
    sides = [{"→": "above", "←": "below"}[label[-1]] for label in labels]
    assert sides == [claim.side for claim in CLAIMS] and "below" in sides


def test_headline_dots_are_the_means_and_the_text_is_the_net_drop_or_that_there_is_no_sham():
    (means,) = cases.tables("headline")
    fig = cases.draw("headline")
    by = means.set_index(["group", "score"])
    both = ("delta_drop", "sham_drop")
    wanted = [by.loc[(g, score), "effect"] for g in (*CLASSES, "all") for score in both]
    assert [x for x, _ in cases.marks(fig.axes[0])] == pytest.approx(wanted)
    assert len({y for _, y in cases.marks(fig.axes[0])}) == len(wanted), "one mark hides another"
    net = by.loc[("all", "net_drop")]
    assert f"all classes\n{net['n_slices']:.0f} / {net['n_persons']:.0f}" in cases.texts(fig)
    assert f"{net['effect']:+.3f} [{net['low']:.3f}, {net['high']:.3f}]" in cases.texts(fig)
    by.loc[[("glioma", "sham_drop"), ("glioma", "net_drop")], ["effect", "low", "high"]] = np.nan
    fig = forests.headline(by.reset_index())
    assert cases.texts(fig).count("no sham") == 1 and len(cases.marks(fig.axes[0])) == 7


def test_energy_prints_the_three_net_drops_of_each_group_and_probes_their_chance():
    (table,) = cases.tables("energy")
    own = table[(table["scale"] == "probability") & table["quantity"].isin(controls.ENERGY_NAMES)]
    (ratio,) = pick(table, quantity="rms_ratio", group="all")
    said = cases.texts(cases.draw("energy"))
    assert {forests.number(row) for row in own.to_dict("records")} <= set(said)
    assert any(f"\nmedian removal:\n{ratio:.1f} ×" in text for text in said)
    chance = cases.tables("probes")[0]["chance"].iloc[0]
    dashed = [line for line in cases.draw("probes").axes[0].lines if line.get_linestyle() == "--"]
    assert chance in [line.get_xdata()[0] for line in dashed]


def test_a_model_without_an_estimate_is_told_at_its_place():
    table = cases.tables("covariates")[0].copy()
    table.loc[table["group"] == "glioma", ["effect", "low", "high"]] = np.nan
    assert cases.texts(controls.covariates(table)).count("no estimate") == 3  # covariates


def test_a_variant_stands_in_the_row_of_its_kind_and_no_mark_looks_like_a_verdict():
    table = cases.tables("robustness")[0]
    table = table[~table["variant"].str.startswith("looking")].copy()
    below = (table["variant"] == "biharmonic") & (table["group"] == "glioma")
    table.loc[below, ["effect", "low", "high", "lies"]] = -0.2, -0.3, -0.1, "below 0"
    fig = controls.robustness(table)
    names = [" ".join(label.get_text().split()) for label in fig.axes[0].get_yticklabels()]
    assert names[0] == "as the study does it" and "other infills: noisy linear, biharmonic" in names
    assert "hardened network: Navier-Stokes, noisy linear, biharmonic" in names
    looks = {float(c[0].get_xdata()[0]): c[0] for ax in fig.axes for c in ax.containers}
    wanted = {"above 0": ">", "below 0": "<", "includes 0": "o"}
    own = table[(table["scale"] == "probability") & table["lies"].isin(list(wanted))]
    for row in own.to_dict("records"):
        mark = looks[row["effect"]]
        assert mark.get_marker() == wanted[row["lies"]]
        assert mark.get_color() not in style.VERDICT_COLORS.values()
        assert (mark.get_markerfacecolor() == "white") == (row["lies"] == "includes 0")


def test_the_band_around_networks_that_know_nothing_is_said():
    read = published("calibration")
    margin = read("table_null")["margin"].dropna().iloc[0]
    assert f"band: ±{margin:g}" in " ".join(cases.texts(calibration.FIGURE.figure(read)))


def test_sentences_leave_out_estimates_without_an_interval():
    energy, robust = (cases.tables(name)[0].copy() for name in ("energy", "robustness"))
    lost = (energy["group"] == "glioma") & (energy["quantity"] == "net_drop_matched")
    energy.loc[lost & (energy["scale"] == "probability"), ["effect", "low"]] = 0.777, np.nan
    told = readings.energy(energy)
    assert "glioma (too few slices)" in told and "0.777" not in told
    robust.loc[robust["variant"] == "biharmonic", ["effect", "low"]] = 9.0, np.nan
    assert "9.0" not in readings.robustness(robust)
    assert "Over 0 variants" in readings.robustness(robust.assign(low=np.nan))


def test_patients_are_told_by_their_ids_and_networks_of_two_kinds_have_a_panel_and_a_sentence():
    share = [0.9, 0.7, 0.8, 0.5, 0.6, 0.1]
    table = pd.DataFrame({"label": ["glioma, A", "glioma, B"] * 3, "share": share})
    table["edit"] = np.repeat(["original", "remove", "background"], 2)
    table = table.assign(low=np.nan, high=np.nan, n_slices=4, n_persons=2)
    told = ": glioma, A 90%, 80%, 60%; glioma, B 70%, 50%, 10%"
    assert readings.answer(table).endswith(f"{told}.")
    other = table.assign(share=0.2, networks="shown B only")
    both = pd.concat([table.assign(networks="shown all"), other])
    axes = [ax for ax in scores.answer(both).axes if ax.patches]
    titles = [ax.get_title(loc="left") for ax in axes]
    assert titles == ["a  networks shown all", "b  networks shown B only"]
    assert heights(axes[1]) == pytest.approx([20] * 6)
    assert f"{told} (networks shown all)" in readings.answer(both)
    assert readings.answer(both).endswith("20%, 20% (networks shown B only).")
