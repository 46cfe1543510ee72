"""Claims about classification and calibration scores, against hand counts and loops."""

import warnings

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib.stats import classification as c

CLASSES = ("a", "b", "c")


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=300)
    logits = rng.normal(size=(300, 3)) + 1.5 * np.eye(3)[labels]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels, p


def test_confusion_and_table_agree_with_counting(predictions):
    labels, p = predictions
    predicted = [max(range(3), key=lambda k, row=row: row[k]) for row in p]
    counts = [[0] * 3 for _ in range(3)]
    for truth, guess in zip(labels, predicted, strict=True):
        counts[truth][guess] += 1
    assert c.confusion(labels, predicted, 3).tolist() == counts
    table = c.classification_table(labels, p, CLASSES)
    f1s, recalls = [], []
    for k, name in enumerate(CLASSES):
        precision = counts[k][k] / sum(counts[j][k] for j in range(3))
        recalls.append(counts[k][k] / sum(counts[k]))
        f1s.append(2 * precision * recalls[k] / (precision + recalls[k]))
        wanted = [precision, recalls[k], f1s[k], sum(counts[k])]
        assert table.loc[name].tolist() == pytest.approx(wanted)
    assert c.accuracy(labels, p) == pytest.approx(sum(counts[k][k] for k in range(3)) / 300)
    assert c.balanced_accuracy(labels, p) == pytest.approx(sum(recalls) / 3)
    assert c.macro_f1(labels, p) == pytest.approx(sum(f1s) / 3)


def test_roc_auc_is_the_share_of_pairs_in_the_right_order(predictions):
    labels, p = predictions
    labels, p = labels[:60], p[:60].round(1)  # with ties
    areas = []
    for k in range(3):
        pairs = [
            1.0 if p[i, k] > p[j, k] else 0.5 if p[i, k] == p[j, k] else 0.0
            for i in np.flatnonzero(labels == k)
            for j in np.flatnonzero(labels != k)
        ]
        areas.append(sum(pairs) / len(pairs))
    assert c.roc_auc(labels, p) == pytest.approx(sum(areas) / 3)


def test_absent_classes_raise_no_warning_and_have_no_curve():
    p = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert c.roc_auc([0, 1, 0], p) == 1
        assert np.isnan(c.roc_auc([0, 0, 0], p))
        assert c.balanced_accuracy([0, 1, 0], p) == 1
        assert c.balanced_accuracy([0, 0, 0], p) == pytest.approx(2 / 3)
        assert c.classification_table([0, 1, 0], p, CLASSES).loc["c"].tolist() == [0, 0, 0, 0]
        assert c.confusion([0, 1, 0], [0, 1, 0], 3).sum() == 3


@pytest.mark.parametrize("n_bins", [1, 7, 15])
def test_ece_and_bins_agree_with_a_loop_over_slices(predictions, n_bins):
    labels, p = predictions
    bins = [[] for _ in range(n_bins)]
    for label, row in zip(labels, p, strict=True):
        top = int(np.argmax(row))
        for b in range(n_bins):
            if b / n_bins < row[top] <= (b + 1) / n_bins:
                bins[b].append((row[top], top == label))
    error = 0
    found = c.reliability_bins(labels, p, n_bins=n_bins)
    for b, members in enumerate(bins):
        assert found.loc[b, "n"] == len(members)
        if not members:
            assert found.loc[b, ["confidence", "accuracy"]].isna().all()
            continue
        confidence, right = (sum(column) / len(members) for column in zip(*members, strict=True))
        assert found.loc[b, "confidence"] == pytest.approx(confidence)
        assert found.loc[b, "accuracy"] == pytest.approx(right)
        error += len(members) / 300 * abs(right - confidence)
    assert c.ece(labels, p, n_bins=n_bins) == pytest.approx(error)


def test_a_probability_just_above_1_falls_into_the_last_bin():
    p = np.array([[1.0000001, 0.0]])
    assert c.reliability_bins([0], p)["n"].tolist() == [0] * 14 + [1]


def test_brier_agrees_with_a_loop_and_has_known_ends(predictions):
    labels, p = predictions
    total = sum((p[i, k] - (labels[i] == k)) ** 2 for i in range(300) for k in range(3))
    assert c.brier(labels, p) == pytest.approx(total / 300)
    assert c.brier([0, 1], np.eye(2)) == 0 and c.brier([1, 0], np.eye(2)) == 2


def test_the_fitted_temperature_undoes_a_known_sharpening():
    rng = np.random.default_rng(1)
    honest = rng.dirichlet([1, 1, 1], size=20000)
    labels = (rng.uniform(size=(20000, 1)) > honest.cumsum(axis=1)).sum(axis=1)
    assert c.fit_temperature(labels, honest) == pytest.approx(1, abs=0.05)
    sharp = c.apply_temperature(honest, 1 / 3)
    assert c.fit_temperature(labels, sharp) == pytest.approx(3, abs=0.15)
    assert c.ece(labels, c.apply_temperature(sharp, 3)) < 0.02 < 0.1 < c.ece(labels, sharp)


def test_temperature_is_the_best_of_a_grid_and_survives_exact_zeros(predictions):
    labels, p = predictions
    p = np.where(p < 0.02, 0, p).astype(np.float32)

    def loss(temperature):
        scaled = c.apply_temperature(p, temperature)
        return -np.log(scaled[np.arange(300), labels]).mean()

    best = c.fit_temperature(labels, p)
    assert loss(best) <= min(loss(t) for t in np.geomspace(0.1, 10, 200)) + 1e-6
    scaled = c.apply_temperature(p, best)
    np.testing.assert_allclose(scaled.sum(axis=1), 1)
    assert (scaled.argmax(axis=1) == p.argmax(axis=1)).all()


def test_a_persons_prediction_is_the_mean_over_its_slices():
    rng = np.random.default_rng(2)
    person = np.array(["x", "y", "z", "x", "y", "x"])
    label = np.array(["a", "b", "c", "a", "b", "a"])
    p = rng.dirichlet([1, 1, 1], size=6)
    rows = pd.DataFrame({"person_id": person, "label": label, "edit": "original"})
    rows[["p_a", "p_b", "p_c"]] = p
    noise = rows.assign(edit="remove", p_a=0.0, p_b=0.0, p_c=1.0)
    found = c.person_predictions(pd.concat([noise, rows]))
    assert found["person_id"].tolist() == ["x", "y", "z"]
    for row in found.itertuples():
        mine = person == row.person_id
        mean = [sum(p[mine, k]) / mine.sum() for k in range(3)]
        assert [row.p_a, row.p_b, row.p_c] == pytest.approx(mean)
        assert row.n_slices == mine.sum()
        assert row.predicted == CLASSES[int(np.argmax(mean))]
        assert row.correct == (row.predicted == row.label)
