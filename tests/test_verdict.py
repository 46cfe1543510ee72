"""Claims about the verdict: it is earned by reading the tumor, and by nothing else."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import audit_null, foreign
from tumorcf_lib.your_model import nulls, verdict
from tumorcf_lib.your_model.verdict import DOES_NOT, LEANS, UNKNOWN, Answers


@pytest.fixture(scope="module")
def scene():
    return audit_null.Scene(180)


@pytest.mark.parametrize(
    ("network", "n", "leans"),
    [
        ("planted reader", 1, [1, 1]),
        ("random weights", 40, [0, 2]),
        ("shuffled labels", 40, [0, 2]),
    ],
)
def test_a_reader_of_the_tumor_earns_it_and_networks_that_know_nothing_do_not(
    scene, network, n, leans
):
    trained_on = foreign.cohort(300, seed=9)
    words = [
        scene.judged(
            audit_null.functions(scene, network, np.random.default_rng([k, 1]), trained_on)
        )[0].word
        for k in range(n)
    ]
    assert leans[0] <= words.count(LEANS) <= leans[1], words


@pytest.mark.parametrize("kind", ["onnx", "keras", "torch"])
def test_a_file_is_compared_with_copies_of_its_own_weights_redrawn(
    scene, tmp_path, monkeypatch, kind
):
    pytest.importorskip(kind, reason=f"needs the package {kind}")
    monkeypatch.setattr(nulls, "N_COPIES", 10)
    made = audit_null.counted(kind, 180, tmp_path, 1, scene=scene).set_index(["network", "null"])
    assert (made.loc["planted reader", "leans"] == 1).all(), made
    assert made.loc[["random weights", "shuffled labels"], "leans"].sum() == 0, made
    assert set(made.loc["planted reader"].index) == {"random networks", "copies", "both"}


def test_published_counts_of_the_simulation_keep_the_limit():
    found = pd.read_csv(audit_null.RESULTS)
    full = found[found["network"] != "planted reader"]
    assert {("function", 180), ("function", 2000), ("onnx", 180)} <= set(
        full[full["networks"] == 40][["kind", "slices"]].itertuples(index=False, name=None)
    )
    assert (full["leans"] <= 2).all()
    assert (found.loc[found["network"] == "planted reader", "leans"] > 0).all()


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
    hard = np.array(LABELS) * 1.0
    assert judged(hard, 1 - hard, hard).numbers["effect"][0] == 2  # 1 on its own class, 1 on others


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
