"""Claims about the controls: infills, dilations, drifts, the energy of edits, and variants."""

import itertools

import numpy as np
import pandas as pd
import pytest
from fake_rows import audit_rows, one_slice, with_classes

from tumorcf_lib.config import CLASSES
from tumorcf_lib.edits.scores import slice_scores
from tumorcf_lib.stats import estimates, persons
from tumorcf_lib.stats.estimates import rank_agreement
from tumorcf_lib.tables import controls, energy, fold_scores, robustness

INFILLS = ("navier_stokes", "telea", "ring_mean")
P = [f"p_{name}" for name in CLASSES]


def rows_of(i, p_orig, p_remove, p_shams, **at):
    """Rows of slice i at one setting; person and class (the first or the second) follow from i."""
    edits = [] if p_orig is None else [("original", -1, p_orig, 0.0)]
    edits += [("remove", -1, p_remove, 0.1), *(("sham", k, p, 0.1) for k, p in enumerate(p_shams))]
    who = {"slice_id": i, "person": f"p{i // 2}{'ab'[i % 2]}", "label": "ab"[i % 2]}
    return one_slice(edits, **who, **at)


def table_of(rows):
    return with_classes(pd.DataFrame(rows), ("a", "b"))


def line(table, **wanted):
    keep = np.all([table[name] == value for name, value in wanted.items()], axis=0)
    assert keep.sum() == 1
    return table[keep].iloc[0]


def test_infills_are_compared_at_as_many_places_each():
    rows = rows_of(0, 0.9, 0.2, [0.8, 0.6, 0.1]) + rows_of(0, None, 0.4, [0.7, 0.5], infill="telea")
    table = controls.setting_scores(table_of(rows), "infill", n_resamples=10)
    # Navier-Stokes: shams 0.8 and 0.6 (not 0.1), so net 0.7 - 0.2; Telea: 0.6 - 0.4.
    for infill, net in (("navier_stokes", 0.5), ("telea", 0.2)):
        own = line(table, infill=infill, slices="own", score="net_drop", group="all")
        assert own["effect"] == pytest.approx(net)


def test_contrast_left_is_a_median_over_patients_and_the_first_clean_size_is_so_in_every_class():
    left = {("ring_mean", 0): (0.0, 0.0), ("navier_stokes", 0): (0.3, 0.01)}
    left |= {("navier_stokes", 2): (0.04, -0.06), ("navier_stokes", 4): (-0.04, 0.03)}
    made = [
        (f"{label}{k % 5}", label, infill, px, share + (k == 0) * 9)
        for (infill, px), shares in left.items()
        for label, share in zip("ab", shares)
        for k in range(15)
    ]
    columns = ["person_id", "label", "infill", "dilation_px", "contrast_left"]
    rows = pd.DataFrame(made, columns=columns)
    more = rows[rows["person_id"] == "a4"].assign(contrast_left=0.9)  # one patient with many slices
    rows = pd.concat([rows, *[more] * 9, rows[:1].assign(contrast_left=np.nan)])
    table = controls.contrast_table(rows, n_resamples=20)
    found = line(table, infill="navier_stokes", dilation_px=0, group="a")
    assert found["effect"] == pytest.approx(0.3) and found["low"] <= 0.3 <= found["high"]
    assert (found["n_persons"], found["n_slices"]) == (5, 15 + 9 * 3)
    assert controls.grown_px(table) == 4
    assert controls.grown_px(table[table["dilation_px"] < 4]) is None


def test_net_drop_with_grown_masks_is_against_shams_grown_alike_and_missing_where_not_asked():
    rows = table_of(rows_of(0, 0.9, 0.5, [0.8]) + rows_of(0, None, 0.2, [0.7], dilation_px=2))
    rows = rows.assign(network="plain", training_seed=0, fold=0)
    for px, wanted in ((2, 0.7 - 0.2), (0, 0.8 - 0.5), (4, np.nan), (None, np.nan)):
        (found,) = fold_scores.slice_scores(rows, grown_px=px)["net_drop_grown"]
        assert found == pytest.approx(wanted, nan_ok=True)


def test_rankings_are_compared_over_the_slices_that_all_infills_have():
    rng, made = np.random.default_rng(5), []
    for i in range(24):
        made += rows_of(i, rng.uniform(0.5, 1), rng.uniform(), rng.uniform(size=3))
        for infill in INFILLS[1 : 3 if i < 22 else 2]:
            made += rows_of(i, None, rng.uniform(), rng.uniform(size=2), infill=infill)
    rows = table_of(made)
    common = line(controls.infill_agreement(rows, n_resamples=50), group="all")
    assert (common["n_infills"], common["chance"]) == (3, 1 / 3)
    drops = [controls.drops_per_slice(rows, infill=name) for name in INFILLS]
    drops = [own.set_index("slice_id")["net_drop"] for own in drops]
    values = pd.concat(drops, axis=1).dropna().to_numpy()
    assert common["n_slices"] == len(values) == 22
    # But for differences below 1e-4, which are ties.
    slow = rank_agreement(values, np.eye(22), np.ones((1, 22)))[0]
    assert common["kendall_w"] == pytest.approx(slow, abs=0.02)
    alone = rows[rows["infill"].isin(["", "navier_stokes"])]
    assert controls.infill_agreement(alone, n_resamples=10).empty


def test_dilations_are_compared_on_their_own_slices_and_on_those_that_have_shams_at_all():
    made = []
    for i in range(6):
        made += rows_of(i, 0.9, 0.5, [0.8, 0.8])
        made += rows_of(i, None, 0.3, [0.7, 0.7] if i < 4 else [np.nan], dilation_px=9)
    table = controls.setting_scores(table_of(made), "dilation_px", n_resamples=10)
    table = table[(table["score"] == "net_drop") & (table["group"] == "all")]
    n = table.set_index(["dilation_px", "slices"])["n_slices"]
    assert n.to_dict() == {(0, "common"): 4, (9, "common"): 4, (0, "own"): 6, (9, "own"): 4}
    assert line(table, dilation_px=9, slices="own")["effect"] == pytest.approx(0.4)


def test_the_error_of_an_infill_is_that_of_a_slice_over_its_places():
    entries = [("telea", 0, 0.1), ("telea", 1, 0.3), ("ring_mean", 0, 0.2)]
    rows = pd.DataFrame(entries, columns=["infill", "place", "mae"])
    rows = rows.assign(slice_id=1, person_id="p", label="a")
    table = controls.quality_table(rows, n_resamples=20)
    for infill in ("telea", "ring_mean"):
        assert line(table, group="a", infill=infill)["effect"] == pytest.approx(0.2)


def test_a_drift_shows_on_other_classes_and_the_fall_on_own_slices_is_their_net_drop():
    rows = []
    edits = [("original", -1, 0.5, 0), ("remove", -1, 0.2, 0.1)]
    edits += [("sham", 0, 0.5, 0.1), ("sham", 1, 0.51, 0.1)]
    for label, person, k in itertools.product("abc", range(12), range(2)):
        who = {"slice_id": f"{label}{person}-{k}", "person": f"{label}{person}", "label": label}
        rows += one_slice(edits, **who)
    rows = pd.DataFrame(rows).rename(columns={"p": "p_a"})  # falls on all alike, to c's profit
    rows = rows.assign(p_b=0.1, p_c=0.9 - rows["p_a"], log_odds=0.0)
    rows = rows[~((rows["slice_id"] == "a0-0") & (rows["edit"] == "sham"))]
    unmade = (rows["slice_id"] == "a0-1") & (rows["edit"] == "remove")
    rows.loc[unmade, ["p_a", "p_b", "p_c"]] = np.nan
    table = controls.drift_table(rows, n_resamples=50)
    for slices, counts in (("own", (22, 11)), ("others", (48, 24))):
        found = line(table, group="a", slices=slices)
        assert found["effect"] == pytest.approx((0.5 + 0.51) / 2 - 0.2)
        assert (found["n_slices"], found["n_persons"]) == counts
    net = slice_scores(rows).groupby("label")["net_drop"].mean()
    own = table[table["slices"] == "own"].set_index("group")["effect"]
    assert own.to_dict() == pytest.approx(net.to_dict())


def test_shams_of_like_energy_are_usual_and_extra_ones_of_0_8_to_1_25_times_the_removals():
    """One and the same number in every table; extra shams of other energy count nowhere."""
    shams = [("sham", 0, 0.8, 0.1), ("sham", 1, 0.9, 0.28), ("sham", 2, 0.75, 0.24)]
    extra = [("sham_matched", 0, 0.65, 0.17), ("sham_matched", 1, 0.1, 0.15)]
    edits = [("original", -1, 0.9, 0.0), ("remove", -1, 0.3, 0.2), *shams, *extra]
    rows = with_classes(pd.DataFrame(one_slice(edits)))
    rows.loc[rows["edit"] == "sham_matched", "infill"] = "navier_stokes"
    row = energy.slice_energy(rows).iloc[0]
    assert row["rms_ratio"] == pytest.approx(0.2 / (0.1 * 0.28 * 0.24) ** (1 / 3))
    assert row["net_drop"] == pytest.approx((0.8 + 0.9 + 0.75) / 3 - 0.3)
    assert row["net_drop_matched"] == pytest.approx((0.75 + 0.65) / 2 - 0.3)
    by_fold = fold_scores.slice_scores(rows.assign(network="plain", training_seed=0, fold=0))
    assert by_fold["net_drop_like_energy"].item() == pytest.approx(row["net_drop_matched"])
    table = robustness.robustness_table(rows, n_resamples=10)
    found = of_variant(table, "shams of like energy", "glioma")
    assert found["effect"] == pytest.approx(row["net_drop_matched"])


def test_slopes_are_least_squares_with_a_level_for_each_slice_and_those_of_each_resample():
    rows, rng = audit_rows({}, n_persons=4, n_slices=2, n_places=3), np.random.default_rng(0)
    rows["edit_rms"] *= rng.uniform(0.5, 1.5, len(rows))
    rows[P] *= 1 - rows[["edit_rms"]].to_numpy() / 2
    own, shams = energy.slice_energy(rows), rows[rows["edit"] == "sham"]
    for label, part in own.groupby("label"):
        of_class = shams[shams["label"] == label]
        levels = pd.get_dummies(of_class["slice_id"], dtype=float)
        design = np.column_stack([np.log(of_class["edit_rms"]), levels])
        slope = np.linalg.lstsq(design, 0.9 - of_class[f"p_{label}"], rcond=None)[0][0]
        expected = part["net_drop"] - slope * part["log_gap"]
        assert part["net_drop_residual"].to_numpy() == pytest.approx(expected.to_numpy())
    people, counts = estimates.drawn(own, 60)
    slow = []
    for row in counts[1:]:
        again = own.loc[np.repeat(own.index, row[people.owner].astype(int))]
        sums = again.groupby("label")[["sxy", "sxx"]].transform("sum")
        slow.append((again["net_drop"] - sums["sxy"] / sums["sxx"] * again["log_gap"]).mean())
    n, strata = len(people.names), own["label"].nunique()
    low, high = persons.interval(np.array(slow), n, n - strata)
    found = energy.residual(own, n_resamples=60)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.value == pytest.approx(own["net_drop_residual"].mean())


def test_with_one_sham_a_slice_there_is_no_slope_and_no_residual():
    table = energy.energy_table(audit_rows({}, n_places=1), n_resamples=20)
    known = table.groupby("quantity")["effect"].count()
    assert known["net_drop_residual"] == 0 and known["net_drop"] == 4


DROPS = {"meningioma": 0.4, "glioma": 0.0, "pituitary": 0.02}


@pytest.fixture(scope="module")
def variants():
    """Headline, another infill, a dilation, and two more networks."""
    others = [audit_rows(DROPS, infill="telea", seed=1, sham_drop=0.1)]
    others = pd.concat([*others, audit_rows(DROPS, dilation_px=4, seed=9)])
    rows = pd.concat([audit_rows(DROPS), others[others["edit"].isin(("remove", "sham"))]])
    looking = audit_rows(dict.fromkeys(CLASSES, 0.5), seed=10).assign(network="looking")
    networks = pd.concat([audit_rows(DROPS, seed=10).assign(network="hardened"), looking])
    return robustness.robustness_table(rows.reset_index(drop=True), networks, n_resamples=100)


def of_variant(table, variant, group="meningioma"):
    return table[(table["variant"] == variant) & (table["group"] == group)].iloc[0]


def test_the_headline_and_another_infill_are_means_of_net_drop_by_their_own_shams(variants):
    rows = audit_rows(DROPS, infill="telea", seed=1, sham_drop=0.1)
    scores = slice_scores(rows, infill="telea").query("label == 'meningioma'")
    e, row = estimates.mean(scores, "net_drop", n_resamples=100), of_variant(variants, "telea")
    assert (row["effect"], row["low"], row["high"]) == pytest.approx((e.value, e.low, e.high))
    headline = of_variant(variants, "headline")
    assert headline["lies"] == robustness.ABOVE and headline["effect"] > row["effect"] + 0.05


def test_flagged_shams_do_not_count_among_those_in_the_brain():
    rows = audit_rows(DROPS, n_places=3)
    flagged = (rows["edit"] == "sham") & (rows["place"] == 0)
    rows.loc[flagged, ["flag", "p_meningioma"]] = "scalp", 0.0
    table = robustness.robustness_table(rows, n_resamples=20)
    clean = robustness.robustness_table(rows[~flagged], n_resamples=20)
    wanted = of_variant(clean, "headline")["effect"]
    assert of_variant(table, "shams off the skull")["effect"] == pytest.approx(wanted)
    assert of_variant(table, "headline")["effect"] < wanted - 0.1


def test_correct_slices_are_those_that_another_network_calls_right():
    rows = audit_rows(DROPS)
    scores = slice_scores(rows).set_index("slice_id")
    judged = scores.index.to_series().str.endswith("-1")  # whatever the network itself says

    def correct(**options):
        table = robustness.robustness_table(rows, n_resamples=20, **options)
        return of_variant(table, robustness.CORRECT)

    own = scores[judged & (scores["label"] == "meningioma")]
    assert correct(judged=judged)["effect"] == pytest.approx(own["net_drop"].mean())
    assert (correct(judged=judged)["n_slices"], correct()["n_slices"]) == (12, 36)
    assert np.isnan(correct(judged=judged[:0])["effect"])  # the folds leave it out


def test_how_far_the_variants_go_leaves_out_the_network_made_to_look(variants):
    sentence = robustness.survival(variants).set_index("group")["sentence"]["glioma"]
    own = variants[(variants["group"] == "glioma") & (variants["scale"] == "probability")]
    is_looking = own["variant"].str.startswith("looking")
    looking, rest = own[is_looking], own[~is_looking]
    low, high = rest["effect"].min(), rest["effect"].max()
    assert looking["effect"].min() > high
    n_above, n_below = (rest["low"] > 0).sum(), (rest["high"] < 0).sum()
    assert f"over {len(rest)} variants of the analysis {low:.3f} to {high:.3f}," in sentence
    assert sentence.endswith(f"above 0 in {n_above}, below 0 in {n_below}.")


def test_what_changes_nothing_has_no_energy_to_compare():
    shams = [("sham", 0, 0.8, 0.2), ("sham", 1, 0.1, 0.0)]
    edits = [("original", -1, 0.9, 0.0), ("remove", -1, 0.3, 0.2), *shams]
    row = energy.slice_energy(with_classes(pd.DataFrame(one_slice(edits)))).iloc[0]
    assert (row["rms_ratio"], row["net_drop"]) == pytest.approx((1, 0.8 - 0.3))


def test_scaling_leaves_the_given_rows_as_they_are():
    rows = with_classes(pd.DataFrame(one_slice([("original", -1, 0.9, 0.0)])))
    rows = rows.assign(network="plain", training_seed=0, fold=0)
    before = rows.copy()
    found = pd.Series({("plain", 0, 0): 2.0}).rename_axis(fold_scores.UNIT)
    p = fold_scores.scaled(rows, found)[f"p_{CLASSES[1]}"].item()
    weights = np.sqrt([0.9, 0.05, 0.05])
    assert p == pytest.approx(weights[0] / weights.sum())
    pd.testing.assert_frame_equal(rows, before)


@pytest.mark.parametrize("edit", [("remove", -1, 0.3, 0.2), ("sham", 0, 0.3, 0.2)])
def test_where_no_slice_has_both_a_removal_and_a_sham_there_is_no_energy(edit):
    rows = with_classes(pd.DataFrame(one_slice([("original", -1, 0.9, 0.0), edit])))
    assert energy.slice_energy(rows).empty
    assert energy.energy_table(rows, n_resamples=5)["effect"].isna().all()
