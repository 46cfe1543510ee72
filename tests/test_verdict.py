"""Claims about the verdict: it is earned by reading the tumor, and by nothing else."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pictures import named
from scipy import stats as laws

from benchmarks import audit_null, foreign
from tumorcf_lib.edits import audit, edits, plan
from tumorcf_lib.stats import estimates, persons
from tumorcf_lib.your_model import nulls, verdict
from tumorcf_lib.your_model.verdict import DOES_NOT, LEANS, UNKNOWN, Answers


def test_a_reader_of_the_tumor_earns_it_and_networks_that_know_nothing_do_not():
    scene, trained_on, found = audit_null.Scene(180), foreign.cohort(300, seed=9), {}
    for name, n in (("planted reader", 1), ("random weights", 12), ("shuffled labels", 12)):
        rngs = (np.random.default_rng([k, 1]) for k in range(n))
        networks = (audit_null.functions(scene, name, rng, trained_on) for rng in rngs)
        found[name] = [scene.judged(predict).word for predict in networks].count(LEANS)
    assert found.pop("planted reader") == 1 and max(found.values()) <= 1, found


def test_of_tumor_or_none_too_only_a_reader_of_the_tumor_earns_it():
    """Of heads with a tumor (class 1) and as many without (0); a marker in a corner tells which."""
    drawn, words = foreign.cohort(90, seed=5), []
    normal = [edits.remove(s, m) for s, m in zip(drawn.slices, drawn.masks, strict=True)]
    slices = np.concatenate([drawn.slices, normal])
    slices[: len(drawn), :2, :2] = 1.0
    persons = np.concatenate([drawn.persons, [f"N{name}" for name in drawn.persons]])
    masks = np.concatenate([drawn.masks, np.zeros_like(drawn.masks)])
    labels = np.repeat([1, 0], len(drawn))
    cohort = named(slices, masks, labels, persons, classes=("normal", "tumor"))

    def word(logit):
        def predict(slices):
            p = 1 / (1 + np.exp(-logit(slices)))
            return np.stack([1 - p, p], axis=1)

        rows = audit.audit(predict, cohort, edits=plan.network_edits([], 2), n_places=2)
        answers = verdict.answers_of(rows, cohort.classes)
        null = nulls.of_audit(answers, cohort.subset)
        return verdict.judged(answers, null, n_resamples=300).word

    def bright(slices):
        return 6 * (slices[:, 8:-8, 8:-8].max(axis=(1, 2)) - 2.1)

    for k in range(8):  # right by the marker, and as sensitive to anything else as chance has it
        network = foreign.random_network(np.random.default_rng(k), cohort.slices[:60])
        words.append(word(lambda s, f=network: 8 * s[:, 0, 0] - 4 + 4 * (f(s)[:, 0] - f(s)[:, 1])))
    assert word(bright) == LEANS and words.count(LEANS) == 0, words


def test_published_counts_of_the_simulation_keep_the_limit():
    found = pd.read_csv(audit_null.RESULTS)
    knows = found["network"] == "planted reader"
    kinds = set(found[~knows & (found["networks"] == 40)].set_index(["kind", "slices"]).index)
    assert {("function", 180), ("function", 2000), ("onnx", 180)} <= kinds
    assert (found.loc[~knows, "leans"] <= 2).all() and (found.loc[knows, "leans"] > 0).all()


LABELS = np.array([0, 1] * 30)
SURE = np.where(LABELS == 1, 0.9, 0.1) + 0.01 * np.sin(np.arange(60))


def made(original, removed, shams, labels=LABELS, n_patients=None):
    """Answers with these probabilities of class b; one sham a slice."""
    n = len(labels)
    persons = np.array([f"P{i % (n_patients or n)}-{labels[i]}" for i in range(n)])
    pairs = [np.stack([1 - np.array(p), np.array(p)], axis=1) for p in (original, removed, shams)]
    return Answers(("a", "b"), np.array(labels), persons, *pairs[:2], pairs[2][:, None])


def judged(*p, **options):
    """The verdict beside twenty networks that know nothing."""
    rng = np.random.default_rng(0)
    nothing = [made(*rng.uniform(0.4, 0.6, (3, 40)), LABELS[:40]) for _ in range(20)]
    return verdict.judged(made(*p, **options), nothing, n_resamples=200)


def test_the_effect_is_the_fall_beyond_shams_and_beyond_other_classes_drift():
    drop = np.where(LABELS == 1, 0.3, 0.1)  # of P(b), on b and on a
    found = judged(SURE, SURE - drop, SURE)
    # own: b falls 0.3 on its slices, a rises (falls -0.1); drift: b 0.1, a -0.3
    assert found.numbers["own"][0] == pytest.approx((0.3 - 0.1) / 2)
    assert found.numbers["drift"][0] == pytest.approx((0.1 - 0.3) / 2)
    assert found.numbers["effect"][0] == pytest.approx(0.2)
    moved = judged(SURE, np.clip(SURE - 0.05, 0, 1), SURE)  # the same on every slice: only drift
    assert moved.numbers["effect"][0] == pytest.approx(0, abs=1e-9)
    assert moved.word == DOES_NOT


def test_where_slices_have_one_sham_none_is_measured_against_others():
    answers = made(SURE, SURE, SURE)
    drop = np.where(LABELS == 1, 0.2, -0.1)  # one sham moves b's slices by 0.2, a's by 0.1
    moved = made(SURE, SURE, SURE - drop).shams
    two = replace(answers, shams=np.concatenate([answers.shams, moved], axis=1))
    assert np.isnan(verdict.judged(answers, [answers], n_resamples=2).numbers["sham_effect"])
    # own: (0.2 + 0.1) / 2; drift, of the other class: the same, reversed
    assert verdict.judged(two, [two], n_resamples=2).numbers["sham_effect"] == pytest.approx(0.3)


def test_each_gate_says_what_is_missing():
    half = np.full(60, 0.5) + 0.01 * np.cos(np.arange(60) * 7)
    assert judged(SURE, half, SURE).word == LEANS
    assert judged(SURE, SURE, SURE).word == DOES_NOT
    answers = made(SURE, half, SURE)
    wide = [made(SURE, SURE - k * (SURE - 0.5), SURE) for k in np.linspace(-1, 0.8, 12)]
    for found, words in (
        (judged(half, half - 0.1 * (SURE - 0.5), half), "not clearly above the 50% of chance"),
        (judged(SURE, half, SURE, n_patients=8), "of 4 patients, 10 are needed"),
        (verdict.judged(answers, wide), "which know nothing and are as confident, the largest"),
        (judged(SURE, np.full(60, np.nan), SURE), "no slice has a tumor"),
    ):
        assert found.word == UNKNOWN and words in found.why


def test_numbers_that_are_compared_are_shown_with_digits_that_differ():
    numbers = {"effect": (0.58001, 0, 1), "null": (40, 0.54, 0.58002)}
    assert "0.58001, is not beyond 0.58002: of 40" in verdict.compared(numbers)


def test_log_odds_lead_where_probabilities_cannot_move():
    sure, less = np.where(LABELS == 1, 0.9999, 0.0001), np.where(LABELS == 1, 0.98, 0.02)
    found = judged(sure, less, sure)
    assert found.numbers["scale"] == "log-odds"
    gap = np.log(0.9999 / 0.0001) - np.log(0.98 / 0.02)
    assert found.numbers["effect"][0] == pytest.approx(2 * gap, rel=1e-3)
    hard = LABELS * 1.0
    assert judged(hard, 1 - hard, hard).numbers["effect"][0] == 2  # 1 on its own class, 1 on others


def test_the_first_line_counts_answers_that_are_kept_and_those_that_are_no_tumor():
    original, removed = [0.9, 0.8, 0.2, 0.7], [0.6, 0.1, 0.1, 0.4]  # of class b, index 1
    answers = made(original, removed, [0.9, 0.9, 0.1, 0.4], [1, 1, 0, 1])
    answers.classes = ("Healthy", "b")  # "no tumor" by its name
    told = verdict.first_line(answers)
    assert told.startswith("50% of the slices keep") and "(75% with a sham" in told
    assert told.endswith("; 3 of 4 are called 'Healthy'.")
    answers = made([0.1] * 4, [0.1, 0.1, 0.5, 0.5], [0.1] * 4, [0, 0, 0, 0])
    assert verdict.kept(answers)["kept"].mean() == 0.5  # between two classes is no answer
    answers = made([0.5] * 4, [0.5, np.nan] * 2, [0.5] * 4, [0, 1, 0, 1])
    assert verdict.no_tumor_class(answers) == 1  # by having no tumors


def test_networks_that_know_nothing_have_the_confidence_of_the_classifier():
    logits = list(np.random.default_rng(0).normal(size=(3, 50, 3)) + 5)
    for confidence in (0.4, 0.9, 0.999):
        p = nulls.matched(logits, confidence)
        assert p[0].max(axis=1).mean() == pytest.approx(confidence, abs=1e-3)
        np.testing.assert_allclose(p[1].sum(axis=1), 1)


def test_a_slice_without_a_sham_is_not_edited_whatever_the_others_have():
    answers = made(SURE, SURE, [np.nan, *SURE[1:]])
    assert answers.edited.tolist() == [False] + [True] * 59


def test_the_class_with_the_fewest_patients_decides_whether_they_are_enough():
    half = 0.5 + 0.01 * np.cos(np.arange(60) * 7)
    answers = made(SURE, half, SURE)
    few = [f"P{i % 9}-a" for i in range(60)]
    answers = replace(answers, persons=np.where(LABELS == 0, few, answers.persons))
    found = verdict.judged(answers, [made(half, half, half)] * 2, n_resamples=20)
    assert found.word == UNKNOWN and "tumors of 9 patients" in found.why


def test_the_bound_is_students_upper_percent_for_one_more_network():
    # mean 1, standard deviation 1, of three networks: two degrees of freedom
    wanted = 1 + laws.t.ppf(0.99, 2) * math.sqrt(1 + 1 / 3)
    assert verdict.bound([0.0, 1.0, 2.0]) == pytest.approx(wanted)


def test_of_three_classes_two_that_tie_at_the_top_are_no_answer():
    p = np.array([[0.5, 0.5, 0.0], [0.5, 0.25, 0.25], [0.4, 0.3, 0.3]])
    assert verdict._is_answer(p, np.array([0, 0, 1])).tolist() == [False, True, False]


def test_where_no_class_means_no_tumor_that_is_said_and_none_is_guessed():
    assert verdict.first_line(made(SURE, SURE, SURE)).endswith("no answer 'no tumor'.")
    untouched = made([0.1] * 4, [np.nan] * 4, [0.1] * 4, [0, 0, 0, 0])  # no tumor anywhere
    assert verdict.no_tumor_class(untouched) is None


def test_skill_is_accuracy_above_that_of_the_same_answers_dealt_anew_in_every_resample():
    labels = np.repeat([0, 1], [45, 15])
    given = np.where(np.arange(60) % 6 == 0, 1 - labels, labels)  # 8 of 45 and 2 of 15 are wrong
    answers = made(given * 0.6 + 0.2, SURE, SURE, labels)

    def skill(i):
        dealt = sum(np.mean(given[i] == k) * np.mean(labels[i] == k) for k in (0, 1))
        return np.mean(given[i] == labels[i]) - dealt

    found = verdict._accuracy(answers, 80)
    assert found["chance"] == pytest.approx((39 * 45 + 21 * 15) / 60**2)
    people, counts = estimates.drawn(answers.table(), 80)
    drawn = [np.repeat(np.arange(60), row[people.owner].astype(int)) for row in counts[1:]]
    ends = persons.interval(np.array([skill(i) for i in drawn]), *people.free)
    assert found["skill"] == pytest.approx((skill(np.arange(60)), *ends))


def test_the_permuted_share_is_that_of_all_signs_or_all_deals_of_the_labels():
    p, falls = np.full(4, 0.5), np.array([0.1, 0.1, 0.1, -0.1])
    one_class = made(p, p - falls, p, [1, 1, 1, 1])
    signs = itertools.product((-1, 1), repeat=4)
    slow = np.mean([falls @ s >= falls.sum() - 1e-9 for s in signs])  # 5 of 16; falls are alike
    assert verdict._permuted(one_class, "probability") == pytest.approx(slow, abs=0.07)
    answers = made(p, p - np.array([0.3, 0.1, 0.2, -0.1]), p, [0, 1, 1, 0])
    seen = verdict.effect(answers, "probability")
    deals = sorted(set(itertools.permutations([0, 1, 1, 0])))
    moved = [verdict.effect(replace(answers, labels=np.array(d)), "probability") for d in deals]
    slow = np.mean([one >= seen - 1e-9 for one in moved])
    assert verdict._permuted(answers, "probability") == pytest.approx(slow, abs=0.07)
