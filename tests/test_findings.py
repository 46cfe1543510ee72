"""Claims about the six findings: each can be supported and each can be refuted."""

import itertools

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib.config import CLASSES
from tumorcf_lib.edits.scores import SCORED_EDITS, slice_scores
from tumorcf_lib.stats import claims, findings
from tumorcf_lib.stats.rows import score_means
from tumorcf_lib.stats.verdicts import MIN_PERSONS, holm


def _log_odds(p):
    p = np.clip(p, 1e-7, 1 - 1e-7)
    return np.log(p / (1 - p))


def make_scores(seed=0, *, n_persons=60, per_person=4, accuracy=0.8, orig=0.9, remove=0.2,
                only=0.8, background=0.3, sham=0.85, sham_only=0.3, blank=0.34):
    """A frame as ``slice_scores`` documents it, around the stated probabilities.

    Wrong slices are pushed below one half, and errors swap meningioma and glioma.
    """
    rng = np.random.default_rng(seed)
    n = n_persons * per_person
    person = np.repeat(np.arange(n_persons), per_person)
    label = np.array(CLASSES)[person % 3]
    correct = rng.random(n) < accuracy
    shift = rng.normal(0, 0.02, n_persons)[person]

    def near(p):
        return np.clip(p + shift + rng.normal(0, 0.03, n), 0.001, 0.999)

    p = {"orig": np.where(correct, near(orig), near(0.3)), "remove": near(remove),
         "only": near(only), "background": near(background), "silhouette": near(0.5),
         "blank": np.full(n, blank), "sham": near(sham), "sham_only": near(sham_only)}
    wrong_class = {"meningioma": "glioma", "glioma": "meningioma", "pituitary": "glioma"}
    table = pd.DataFrame({
        "slice_id": [f"s{i}" for i in range(n)], "person_id": [f"p{k}" for k in person],
        "label": label, "correct": correct,
        "predicted": [c if ok else wrong_class[c] for c, ok in zip(label, correct, strict=True)],
        "removed_to": rng.choice(CLASSES, n, p=[0.2, 0.7, 0.1]),
    })
    for name, values in p.items():
        table[f"p_{name}"], table[f"lo_{name}"] = values, _log_odds(values)
    for suffix, stem in (("", "p"), ("_lo", "lo")):
        table[f"delta_drop{suffix}"] = table[f"{stem}_orig"] - table[f"{stem}_remove"]
        table[f"sham_drop{suffix}"] = table[f"{stem}_orig"] - table[f"{stem}_sham"]
        table[f"net_drop{suffix}"] = table[f"{stem}_sham"] - table[f"{stem}_remove"]
        table[f"net_focus{suffix}"] = table[f"{stem}_only"] - table[f"{stem}_sham_only"]
    table["delta_focus"], table["delta_focus_lo"] = table["p_only"], table["lo_only"]
    return table


def run(scores, n_resamples=200):
    return findings.findings(scores, n_resamples=n_resamples)


def row_of(table, **wanted):
    chosen = table[np.logical_and.reduce([table[k] == v for k, v in wanted.items()])]
    assert len(chosen) == 1, chosen[["finding", "form", "group", "score", "kind"]]
    return chosen.iloc[0]


@pytest.fixture(scope="module")
def scores():
    return make_scores()


@pytest.fixture(scope="module")
def table(scores):
    return run(scores)


def test_the_table_has_the_documented_columns_and_all_claims(table):
    assert tuple(table.columns) == findings.COLUMNS
    assert set(table["finding"]) == {1, 2, 3, 4, 5, 6}
    assert set(table["form"]) == set(claims.FORMS)
    assert len(table) == len(claims.all_claims(CLASSES))
    assert not table.duplicated(["form", "group", "claim"]).any()


def test_effects_are_plain_averages_over_the_named_slices(scores, table):
    correct, glioma = scores["correct"], scores["label"] == "glioma"
    wanted = {
        (1, "paper", "all", "mean", "delta_drop"): scores["delta_drop"][correct].mean(),
        (1, "net", "glioma", "mean", "net_drop"): scores["net_drop"][correct & glioma].mean(),
        (1, "net", "glioma", "share", "net_drop"):
            (scores["net_drop"][correct & glioma] > findings.SMALLEST_DROP).mean(),
        (2, "net", "glioma", "mean", "p_only - p_blank"):
            (scores["p_only"] - scores["p_blank"])[glioma].mean(),
        (3, "paper", "wrong - correct", "difference", "delta_drop"):
            scores["delta_drop"][~correct].mean() - scores["delta_drop"][correct].mean(),
        (6, "paper", "all", "mean", "p_only - p_background"):
            (scores["p_only"] - scores["p_background"]).mean(),
        (6, "log-odds", "glioma", "mean", "delta_drop_lo - (lo_orig - lo_only)"):
            (scores["lo_only"] - scores["lo_remove"])[glioma].mean(),
    }
    for (finding, form, group, kind, score), effect in wanted.items():
        row = row_of(table, finding=finding, form=form, group=group, kind=kind, score=score,
                     **({"margin": 0.0} if kind == "mean" else {}))
        assert row["effect"] == pytest.approx(effect), score


def test_pituitary_is_compared_by_mean_and_by_spread_between_persons(scores, table):
    correct = scores[scores["correct"]]
    mean = correct.groupby("label")["delta_drop"].mean()
    spread = {}
    for label, own in correct.groupby("label"):
        persons = [p["delta_drop"].to_numpy() for _, p in own.groupby("person_id")]
        within = (sum(((p - p.mean()) ** 2).sum() for p in persons)
                  / sum(len(p) - 1 for p in persons))
        scatter = within * np.mean([1 / len(p) for p in persons])
        spread[label] = np.sqrt(max(np.var([p.mean() for p in persons], ddof=1) - scatter, 0))
    for other in ("meningioma", "glioma"):
        row = {"finding": 4, "form": "paper", "group": f"pituitary - {other}"}
        assert row_of(table, **row, kind="difference")["effect"] == pytest.approx(
            mean["pituitary"] - mean[other])
        assert row_of(table, **row, kind="spread")["effect"] == pytest.approx(
            spread["pituitary"] - spread[other])
        assert row_of(table, **row, kind="spread")["side"] == "below"


def test_errors_between_meningioma_and_glioma_by_hand():
    scores = make_scores(accuracy=1)
    scores.loc[:4, "correct"] = False  # persons p0 (meningioma) and p1 (glioma)
    scores.loc[:4, "predicted"] = ["glioma", "glioma", "pituitary", "pituitary", "meningioma"]
    scores.loc[8, ["correct", "predicted"]] = [False, "glioma"]  # p2, pituitary
    table = run(scores)
    paper, net = (row_of(table, finding=5, form=form) for form in ("paper", "net"))
    assert paper["effect"] == pytest.approx(3 / 6)
    # 80 slices of each class; called so: meningioma 77, glioma 82, pituitary 81
    chance = (80 * 82 + 80 * 77) / (240 * 240 - 80 * 240)
    assert net["effect"] == pytest.approx(3 / 6 - chance)
    assert f"chance is {chance:.2f}" in net["note"]
    assert (paper["n_slices"], paper["n_persons"], paper["verdict"]) == (6, 3, "undecided")
    assert "3 persons in the smallest group" in paper["note"]
    assert "2 of 6 errors are meningioma called" in paper["note"]


def test_a_network_with_one_answer_is_not_said_to_confuse_meningioma_and_glioma():
    for answer in ("meningioma", "glioma"):
        scores = make_scores(accuracy=1, n_persons=90)
        keep = (scores["label"] != "pituitary") | (scores.index % 4 == 0)  # few pituitary slices
        scores = scores[keep].assign(predicted=answer, correct=lambda t: t["label"] == answer)
        table = run(scores)
        paper, net = (row_of(table, finding=5, form=form) for form in ("paper", "net"))
        assert paper["effect"] == pytest.approx(0.8) and paper["verdict"] == "supported"
        assert net["effect"] == pytest.approx(0) and net["verdict"] == "undecided"
        other = "glioma" if answer == "meningioma" else "meningioma"
        assert f"120 of 150 errors are {other} called {answer}" in net["note"]


def test_errors_of_pituitary_slices_count_against_finding_5():
    scores = make_scores(accuracy=1, n_persons=90)
    wrong = (scores["label"] == "pituitary") & (scores.index % 4 == 0)
    scores.loc[wrong, "correct"] = False
    scores.loc[wrong, "predicted"] = "glioma"
    net = row_of(run(scores), finding=5, form="net")
    assert net["verdict"] == "refuted"
    # 120 slices of each class; called so: meningioma 120, glioma 150, pituitary 90
    assert net["effect"] == pytest.approx(0 - (120 * 150 + 120 * 120) / (360 * 360 - 120 * 360))


def test_a_tumor_reader_is_supported_and_a_background_reader_refuted():
    reader = run(make_scores(1, n_persons=90))
    shortcut = run(make_scores(1, n_persons=90, remove=0.89, only=0.2, background=0.9,
                               sham=0.7, sham_only=0.3))
    for finding in (2, 6):
        group = {"finding": finding, "group": "all"}
        for form in claims.FORMS:
            chosen = [t[(t["finding"] == finding) & (t["group"] == "all") & (t["form"] == form)]
                      for t in (reader, shortcut)]
            assert (chosen[0]["verdict"] == "supported").all(), (group, form)
            assert (chosen[1]["verdict"] == "refuted").all(), (group, form)
    assert row_of(shortcut, finding=1, form="net", group="all", kind="mean")[
        "verdict"] == "refuted"


def test_a_network_that_answers_all_alike_is_never_said_to_move():
    scores = make_scores()
    dust = np.random.default_rng(0).normal(2e-8, 1e-8, (len(scores), 4))
    for column in [c for c in scores if c.startswith(("p_", "lo_"))]:
        scores[column] = 0.4 if column.startswith("p_") else -0.405
    for k, column in enumerate(("delta_drop", "net_drop", "net_focus", "p_only")):
        scores[column] = (0.4 if column == "p_only" else 0) + dust[:, k]
    table = run(scores)
    moved = table[table["finding"].isin([1, 2, 6]) & (table["kind"] == "mean")
                  & (table["form"] != "log-odds") & (table["margin"] == 0)]
    assert len(moved) and (moved["verdict"] == "undecided").all()
    shares = table[table["kind"].eq("share") & table["finding"].eq(1)]
    assert len(shares) == 8 and (shares["effect"] == 0).all()
    assert (shares["verdict"] == "refuted").all()


def test_a_share_counts_no_drops_that_rounding_to_five_digits_could_make():
    scores = make_scores(accuracy=1)
    scores["net_drop"] = np.tile([2e-5, 9e-5, -0.1, 2e-4], 60)
    row = row_of(run(scores), finding=1, form="net", group="all", kind="share")
    assert row["effect"] == 1 / 4


@pytest.mark.parametrize("shift, verdict, words", [
    (0.02, "supported", "statistically above 0, yet within +-0.05: negligible"),
    (-0.02, "refuted", "statistically below 0, yet within +-0.05: negligible"),
    (0.2, "supported", "removed"),
])
def test_a_small_effect_is_called_negligible_beside_its_verdict(shift, verdict, words):
    scores = make_scores()
    scores["delta_drop"] = shift + np.random.default_rng(0).normal(0, 0.01, len(scores))
    row = row_of(run(scores), finding=1, form="paper", group="all", kind="mean")
    assert row["verdict"] == verdict and row["note"].startswith(words)
    assert row["relevance"] == ("negligible" if abs(shift) < 0.05 else "")


def test_relevance_is_only_judged_for_means_of_probabilities_against_0(table):
    scores = make_scores()
    scores[["delta_drop", "delta_drop_lo", "p_only"]] = [0.0, 0.0, 1 / 3]
    judged = run(scores).query("relevance == 'negligible'")
    assert len(judged) and set(judged["kind"]) == {"mean"} and set(judged["margin"]) == {0}
    assert "log-odds" not in set(judged["form"])
    assert set(table["relevance"]) <= {"", "negligible"}


def test_holm_is_taken_within_each_finding_and_form(table):
    assert table.groupby(["finding", "form"]).ngroups == 17  # finding 5 has no log-odds
    for _, family in table.groupby(["finding", "form"]):
        known = family["p"].notna()
        assert family["p_holm"][known].to_numpy() == pytest.approx(
            holm(family["p"][known]))


def test_ten_persons_who_agree_can_support_the_largest_family():
    largest = max(itertools.chain.from_iterable(
        [sum((c.finding, c.form) == key for c in claims.all_claims(CLASSES))]
        for key in itertools.product(range(1, 7), claims.FORMS)))
    assert largest * 2.0 ** (1 - MIN_PERSONS) < 0.05


def test_the_class_that_removed_slices_fall_to_is_named(scores, table):
    shares = scores["removed_to"][scores["correct"]].value_counts(normalize=True)
    note = row_of(table, finding=1, form="paper", group="all", kind="mean")["note"]
    assert f"removed slices fall to glioma {shares['glioma']:.0%}" in note
    for group in CLASSES:  # 7 of 10 removed slices of every class fall to glioma
        note = row_of(table, finding=1, form="paper", group=group, kind="mean")["note"]
        assert ("no evidence of ignoring the tumor" in note) == (group == "glioma")
        assert "keep their class" not in note


def test_the_default_class_is_found_from_the_correct_slices_of_all_other_classes(scores):
    moved = scores.assign(removed_to="pituitary")
    moved.loc[scores["label"] == "glioma", "removed_to"] = "glioma"
    moved.loc[~scores["correct"], "removed_to"] = "glioma"  # wrong slices do not count
    table = run(moved)
    glioma, pituitary = (row_of(table, finding=1, form="paper", group=group, kind="mean")["note"]
                         for group in ("glioma", "pituitary"))
    assert "keep their class" in glioma and "no evidence" not in glioma
    others = scores[scores["correct"] & (scores["label"] != "pituitary")]["label"]
    share = (others == "meningioma").mean()
    assert ("no evidence" in pituitary) == (share > 0.5)
    assert f"{share:.0%} of the other classes'" in pituitary


def test_missing_predicted_columns_leave_a_row_that_says_so(table):
    rows = table[table["score"].str.contains("_pred")]
    assert len(rows) == 4 and (rows["verdict"] == "undecided").all()
    assert rows["note"].str.contains("lack a column").all()
    assert rows["p_holm"].isna().all()


def test_every_claim_finds_its_columns_in_the_table_of_scores():
    rng = np.random.default_rng(0)
    rows = []
    for k, edit in itertools.product(range(36), SCORED_EDITS):
        p = rng.dirichlet(np.ones(3))
        rows.append({
            "slice_id": k, "patient_id": k % 18, "person_id": k % 18, "label": CLASSES[k % 3],
            "edit": edit, "place": 0 if "sham" in edit else -1, "infill": "navier_stokes",
            "dilation_px": 0, "log_odds": float(_log_odds(p[k % 3])),
            **{f"p_{name}": value for name, value in zip(CLASSES, p, strict=True)},
        })
    table = run(slice_scores(pd.DataFrame(rows)))
    assert not table["note"].str.contains("lack a column").any()
    assert table["effect"].notna().sum() >= len(table) - 4  # matched ones may have no partner


def test_predicted_class_scores_are_used_when_they_exist():
    scores = make_scores(n_persons=90)
    rng = np.random.default_rng(99)
    scores["p_pred_orig"] = rng.uniform(0.5, 1, len(scores))
    lower = np.where(scores["correct"], 0.5, 0.1)
    scores["delta_drop_pred"] = lower + rng.normal(0, 0.05, len(scores))
    scores["delta_focus_pred"] = lower + rng.normal(0, 0.05, len(scores))
    rows = run(scores).query("score.str.contains('_pred')")
    assert (rows["verdict"] == "supported").all()
    assert rows["effect"].to_numpy() == pytest.approx(np.full(4, -0.4), abs=0.03)


def test_matching_on_p_orig_says_how_many_slices_have_a_partner():
    scores = make_scores(n_persons=90, accuracy=0.7)
    scores["p_orig"] = np.where(scores["correct"], 0.92, 0.12)
    wrong = np.flatnonzero(~scores["correct"])
    scores.loc[np.flatnonzero(scores["correct"])[:3], "p_orig"] = 0.43
    scores.loc[wrong[:5], "p_orig"] = 0.44
    row = row_of(run(scores), finding=3, form="net", quantity="Delta-Drop, alike P_orig")
    assert f"5 of {len(wrong)} misclassified slices have a partner" in row["note"]
    assert row["n_slices"] == 8 and row["verdict"] == "undecided"
    expected = (scores["delta_drop"][wrong[:5]].mean()
                - scores["delta_drop"][scores["p_orig"] == 0.43].mean())
    assert row["effect"] == pytest.approx(expected)


def test_errors_are_compared_within_their_true_class():
    scores = make_scores(n_persons=90, accuracy=0.7)
    glioma, correct = scores["label"] == "glioma", scores["correct"]
    keep = correct | glioma | (scores.index % 7 == 0)  # errors gather in glioma, which drops least
    scores = scores[keep].reset_index(drop=True)
    glioma, correct = scores["label"] == "glioma", scores["correct"]
    scores["delta_drop"] = np.where(glioma, 0.1, 0.6)
    scores["p_orig"] = np.where(correct & ~glioma, 0.91, np.where(glioma, 0.42, 0.33))
    table = run(scores)
    raw = row_of(table, finding=3, form="paper", score="delta_drop")
    alike = row_of(table, finding=3, form="net", quantity="Delta-Drop, alike class")
    both = row_of(table, finding=3, form="net", quantity="Delta-Drop, alike class, P_orig")
    assert raw["verdict"] == "supported" and raw["effect"] < -0.1
    assert alike["effect"] == pytest.approx(0) and alike["verdict"] == "undecided"
    n_wrong, n_glioma = (~correct).sum(), (~correct & glioma).sum()
    assert f"{n_wrong} of {n_wrong} misclassified slices have a partner of their class" in (
        alike["note"])
    assert f"{n_glioma} of {n_wrong} misclassified slices have a partner of their class and" in (
        both["note"])
    assert both["n_slices"] == glioma.sum()


def test_slices_without_shams_are_left_out_and_counted(scores):
    holes = scores.copy()
    correct = np.flatnonzero(scores["correct"])
    holes.loc[correct[:7], ["net_drop", "net_drop_lo"]] = np.nan
    row = row_of(run(holes), finding=1, form="net", group="all", kind="share")
    assert row["n_slices"] == len(correct) - 7
    assert row["effect"] == pytest.approx((
        scores["net_drop"].iloc[correct[7:]] > findings.SMALLEST_DROP).mean())
    assert "7 slices without this score left out" in row["note"]


def test_a_classifier_without_errors_leaves_findings_3_and_5_undecided():
    scores = make_scores(accuracy=1.0)
    table = run(scores)
    rows = table[table["finding"].isin([3, 5]) & ~table["score"].str.contains("_pred")]
    assert (rows["verdict"] == "undecided").all()
    assert set(rows.loc[rows["finding"] == 5, "note"]) == {"there are no such slices"}
    assert rows.loc[rows["finding"] == 3, "note"].str.startswith("the first group").all()


def test_every_row_has_a_sentence_with_its_numbers_and_verdict(table):
    for _, row in table.iterrows():
        text = findings.sentence(row)
        assert text.startswith(f"Finding {row['finding']} (") and row["claim"] in text
        assert row["verdict"].capitalize() in text
        assert "nan" not in text
        assert not np.isfinite(row["low"]) or f"[{row['low']:.3f}, {row['high']:.3f}]" in text


def test_a_claim_and_a_mean_of_the_same_slices_have_the_same_interval(scores):
    claims = row_of(run(scores), finding=2, form="net", quantity="Net-Focus", group="glioma")
    means = score_means(scores, ["p_orig", "net_focus"], n_resamples=200)
    mean = row_of(means, score="net_focus", group="glioma")
    assert mean[["effect", "low", "high"]].tolist() == claims[["effect", "low", "high"]].tolist()
