"""Claims about the verdict: it is earned by reading the tumor, and by nothing else."""

import itertools

import foreign
import numpy as np
import pytest

from tumorcf_lib.edits import plan
from tumorcf_lib.your_model import nulls, verdict
from tumorcf_lib.your_model.verdict import DOES_NOT, LEANS, UNKNOWN, Answers

N_NETWORKS = 40


class Scene:
    """A cohort with its edits, so that many networks can be audited on them."""

    def __init__(self, n):
        self.cohort = foreign.cohort(n)
        edits = (plan.Edit("original"), plan.Edit("remove", "navier_stokes"),
                 plan.Edit("sham", "navier_stokes", n_places=2))  # fmt: skip
        stacks, at = [], []
        for i in range(len(self.cohort)):
            made = plan.edits_of(self.cohort.slices[i], self.cohort.masks[i], edits, 2, (0, i))
            images = [edited for _, edited in made]
            if len(images) == 4:
                stacks.append(images)
                at.append(i)
        self.images = [np.stack(stack) for stack in zip(*stacks, strict=True)]
        self.labels, self.persons = self.cohort.labels[at], self.cohort.persons[at]
        rng = np.random.default_rng(1)
        self.some = nulls.chosen(self.labels, self.persons, 150, rng)
        few = [stack[self.some] for stack in self.images[:3]]
        owners = self.labels[self.some], self.persons[self.some]
        self.bank = list(itertools.islice(nulls.random_networks(few, *owners, 3, rng), 40))

    def judged(self, predict):
        original, removed, *shams = (predict(stack) for stack in self.images)
        answers = Answers(foreign.CLASSES, self.labels, self.persons, original, removed,
                          np.stack(shams, axis=1))  # fmt: skip
        null = []
        for logits in self.bank:
            o, r, s = nulls.matched(logits, original.max(axis=1).mean())
            owners = self.labels[self.some], self.persons[self.some]
            null.append(Answers(foreign.CLASSES, *owners, o, r, s[:, None]))
        return verdict.judged(answers, {"random networks": null}, n_resamples=500)


@pytest.fixture(scope="module", params=[180, pytest.param(2000, marks=pytest.mark.monthly)])
def scene(request):
    return Scene(request.param)


def test_a_planted_reader_of_the_tumor_earns_it(scene):
    judged = scene.judged(foreign.tumor_reader)
    assert judged.word == LEANS, str(judged)


@pytest.mark.parametrize("kind", ["random", "shuffled"])
def test_networks_that_know_nothing_do_not_earn_it(scene, kind):
    trained_on, words = foreign.cohort(300, seed=9), []
    for k in range(N_NETWORKS):
        rng = np.random.default_rng([k, len(kind)])
        network = (foreign.random_network(rng, scene.cohort.slices[:60]) if kind == "random"
                   else foreign.shuffled_network(rng, trained_on))  # fmt: skip
        words.append(scene.judged(network).word)
    assert words.count(LEANS) <= 2, words


def made(original, removed, shams, labels, n_patients=None):
    n = len(labels)
    persons = np.array([f"P{i % (n_patients or n)}-{labels[i]}" for i in range(n)])
    pairs = [np.stack([1 - np.array(p), np.array(p)], axis=1) for p in (original, removed, shams)]
    return Answers(("a", "b"), np.array(labels), persons, *pairs[:2], pairs[2][:, None])


def knows_nothing():
    rng = np.random.default_rng(0)
    labels = [0, 1] * 20
    return [made(*rng.uniform(0.4, 0.6, (3, 40)), labels) for _ in range(20)]


LABELS = [0, 1] * 30
SURE = np.where(np.array(LABELS) == 1, 0.9, 0.1) + 0.01 * np.sin(np.arange(60))


def judged(original, removed, shams, labels=LABELS, **options):
    answers = made(original, removed, shams, labels, **options)
    return verdict.judged(answers, {"random networks": knows_nothing()}, n_resamples=200)


def test_the_effect_is_the_fall_beyond_shams_and_beyond_other_classes_drift():
    drop = np.where(np.array(LABELS) == 1, 0.3, 0.1)  # of P(b), on b and on a
    found = judged(SURE, SURE - drop, SURE)
    # own: b falls 0.3 on its slices, a rises (falls -0.1); drift: b 0.1, a -0.3
    assert found.numbers["own"][0] == pytest.approx((0.3 - 0.1) / 2)
    assert found.numbers["drift"][0] == pytest.approx((0.1 - 0.3) / 2)
    assert found.numbers["effect"][0] == pytest.approx(0.2)
    moved = judged(SURE, np.clip(SURE - 0.05, 0, 1), SURE)  # the same on every slice: only drift
    assert moved.numbers["effect"][0] == pytest.approx(0, abs=1e-9)
    assert moved.word == DOES_NOT


def test_each_gate_says_what_is_missing():
    half = np.full(60, 0.5) + 0.01 * np.cos(np.arange(60) * 7)
    assert judged(SURE, half, SURE).word == LEANS
    assert judged(SURE, SURE, SURE).word == DOES_NOT
    found = judged(half, half - 0.1 * (SURE - 0.5), half)
    assert found.word == UNKNOWN and "not clearly above the 50% of chance" in found.why
    found = judged(SURE, half, SURE, n_patients=8)
    assert found.word == UNKNOWN and "of 4 patients, 10 are needed" in found.why
    answers = made(SURE, half, SURE, LABELS)
    wide = [made(SURE, SURE - k * (SURE - 0.5), SURE, LABELS) for k in np.linspace(-1, 0.8, 12)]
    found = verdict.judged(answers, {"random networks": wide}, n_resamples=200)
    assert found.word == UNKNOWN and "which know nothing, the largest" in found.why
    assert verdict.judged(answers, {}).word == UNKNOWN  # nothing to compare with
    nothing = made(SURE, np.full(60, np.nan), SURE, LABELS)
    assert "no slice has a tumor" in verdict.judged(nothing, {}).why


def test_log_odds_lead_where_probabilities_cannot_move():
    sure = np.where(np.array(LABELS) == 1, 0.9999, 0.0001)
    less = np.where(np.array(LABELS) == 1, 0.98, 0.02)
    found = judged(sure, less, sure)
    assert found.numbers["scale"] == "log-odds"
    gap = np.log(0.9999 / 0.0001) - np.log(0.98 / 0.02)
    assert found.numbers["effect"][0] == pytest.approx(2 * gap, rel=1e-3)


def test_the_first_line_counts_answers_that_are_kept():
    original, removed = [0.9, 0.8, 0.2, 0.7], [0.6, 0.1, 0.1, 0.4]  # of class b, index 1
    answers = made(original, removed, [0.9, 0.9, 0.1, 0.4], [1, 1, 0, 1])
    assert verdict.first_line(answers, no_tumor=0) == (
        "50% of the slices keep their answer without their tumor (75% with a sham of the same "
        "shape); 3 of 4 are called 'a'."
    )
    assert "no answer 'no tumor'" in verdict.first_line(answers)


def test_the_class_without_tumors_is_found_by_name_or_by_having_none():
    answers = made([0.5] * 4, [0.5] * 4, [0.5] * 4, [0, 1, 0, 1])
    assert verdict.no_tumor_class(answers) is None
    answers.classes = ("Healthy", "b")
    assert verdict.no_tumor_class(answers) == 0
    answers = made([0.5] * 4, [0.5, np.nan, 0.5, np.nan], [0.5] * 4, [0, 1, 0, 1])
    assert verdict.no_tumor_class(answers) == 1


def test_networks_that_know_nothing_have_the_confidence_of_the_classifier():
    logits = list(np.random.default_rng(0).normal(size=(3, 50, 3)) + 5)
    for confidence in (0.4, 0.9, 0.999):
        p = nulls.matched(logits, confidence)
        assert p[0].max(axis=1).mean() == pytest.approx(confidence, abs=1e-3)
        np.testing.assert_allclose(p[1].sum(axis=1), 1)
