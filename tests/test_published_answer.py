"""The published primary table, computed again from the published rows in another, plainer way.

Nothing of ``stats`` or ``tables`` is used: files are read row by row, formulas are written out.
"""

import csv
import gzip
import math
from collections import defaultdict

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import t as student
from statsmodels.stats.multitest import multipletests

from tumorcf_lib import config, rowfiles

FOLDER = config.published("paper-lite-cv")
CLASSES = ("meningioma", "glioma", "pituitary")
ASKED = ("remove", "sham", "only", "sham_only", "background")  # at the headline infill, dilation 0


def rows_of(path):
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def logs_of(row):
    """Logarithms of a row's probabilities of the three classes; None where nothing was asked."""
    p = [row[f"p_{name}"] for name in CLASSES]
    return [math.log(max(float(one), 1e-12)) for one in p] if all(p) else None


def p_true(row, temperature):
    logs = logs_of(row)
    if logs is None:
        return math.nan
    weights = [math.exp(one / temperature) for one in logs]
    return weights[CLASSES.index(row["label"])] / sum(weights)


@pytest.fixture(scope="module")
def predictions():
    return list(rows_of(FOLDER / "rows_predictions.csv.gz"))


@pytest.fixture(scope="module")
def temperatures(predictions):
    """Of each unit, fitted on what the other folds' networks of its seed said."""
    logs, labels = defaultdict(list), defaultdict(list)
    for row in predictions:
        if row["network"] == "plain":
            logs[row["training_seed"], row["fold"]].append(logs_of(row))
            labels[row["training_seed"], row["fold"]].append(CLASSES.index(row["label"]))
    found = {}
    for seed, fold in logs:
        others = [unit for unit in logs if unit[0] == seed and unit[1] != fold]
        x = np.concatenate([logs[unit] for unit in others])
        y = np.concatenate([labels[unit] for unit in others])

        def loss(log_t, x=x, y=y):
            scaled = x / math.exp(log_t)
            return (np.log(np.exp(scaled).sum(axis=1)) - scaled[range(len(y)), y]).mean()

        found["plain", seed, fold] = math.exp(
            minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-7}).x
        )
    for network, seed, fold in {(r["network"], r["training_seed"], r["fold"]) for r in predictions}:
        if network == "shuffled":
            plain = [value for unit, value in found.items() if unit[::2] == ("plain", fold)]
            found[network, seed, fold] = sum(plain) / len(plain)
    return found


@pytest.fixture(scope="module")
def patients(temperatures):
    """``[network, score][seed, fold][label, patient]``: a patient's mean over slices."""
    asked = defaultdict(lambda: defaultdict(list))
    for network in ("plain", "shuffled"):
        for path in sorted(FOLDER.glob(f"rows_edits_{network}_seed*.csv.gz")):
            for row in rows_of(path):
                infilled = row["edit"] in ("remove", "sham")
                if row["edit"] in ASKED and row["dilation_px"] == "0":
                    if row["infill"] == "navier_stokes" or not infilled:
                        unit = row["network"], row["training_seed"], row["fold"]
                        slice_ = (*unit, row["label"], row["person_id"], row["slice_id"])
                        p = p_true(row, temperatures[unit])
                        if not math.isnan(p):
                            asked[slice_][row["edit"]].append(p)
    formulas = {
        "net_drop": ("sham", "remove"),
        "net_focus": ("only", "sham_only"),
        "focus_over_background": ("only", "background"),
    }
    slices = defaultdict(list)
    for (network, seed, fold, label, person, _), p in asked.items():
        for score, (first, second) in formulas.items():
            if p[first] and p[second]:
                value = np.mean(p[first]) - np.mean(p[second])
                slices[network, score, seed, fold, label, person].append(value)
    found = defaultdict(lambda: defaultdict(dict))
    for (network, score, seed, fold, label, person), values in slices.items():
        found[network, score][seed, fold][label, person] = np.mean(values)
    return found


def of_group(units, group):
    """``[seed, fold]`` -> patients' means of a group, in one order for all seeds."""
    own = {
        unit: {who: value for who, value in found.items() if group in ("all", who[0])}
        for unit, found in units.items()
    }
    return {unit: [found[who] for who in sorted(found)] for unit, found in own.items()}


def null_of(units):
    """Mean, spread and its networks' part over networks that know nothing; how many."""
    values = [np.asarray(own) for own in units.values()]
    if len(values) < 4:
        return math.nan, math.nan, math.nan, len(values)
    means = np.array([own.mean() for own in values])
    of_patients = np.mean([own.var(ddof=1) / len(own) for own in values])
    sd = means.std(ddof=1)
    return means.mean(), sd, math.sqrt(max(0.0, sd**2 - of_patients)), len(means)


def estimate(units, null):
    """Value, squared errors of patients and of networks, degrees of freedom, and n."""
    seeds, folds = sorted({s for s, _ in units}), sorted({f for _, f in units})
    by_fold = {f: np.array([units[s, f] for s in seeds]) for f in folds}  # (seeds, patients)
    n = sum(own.shape[1] for own in by_fold.values())
    value = sum(own.mean(axis=0).sum() for own in by_fold.values()) / n
    within = sum(((m := own.mean(axis=0)) - m.mean()) @ (m - m.mean()) for own in by_fold.values())
    of_patients = within / (n - len(folds)) / n
    if len(seeds) > 1:
        before = sum(
            (own.shape[1] / n) ** 2 * own.mean(axis=1).var(ddof=1) / len(seeds)
            for own in by_fold.values()
        )
        rest = 0.0
        for own in by_fold.values():
            apart = own - own.mean(axis=0)
            rest += ((apart - apart.mean(axis=1, keepdims=True)) ** 2).sum()
        rest /= (n - len(folds)) * (len(seeds) - 1)
        of_networks, total = max(0.0, before - rest / n / len(seeds)), before
        df = len(folds) * (len(seeds) - 1)
    elif null[3] >= 4:
        of_networks, total, df = null[2] ** 2 / len(folds), null[1] ** 2 / len(folds), null[3] - 1
    else:
        of_networks, total, df = 0.0, 0.0, 1
    error2 = of_patients + of_networks
    free = n - len(folds)
    if of_networks:
        free = error2**2 / (of_patients**2 / free + total**2 / df)
    errors = {"patients2": of_patients, "networks2": of_networks, "df": free}
    return {"value": value, "n": n, "n_networks": len(units), **errors}


def difference(first, second):
    e, f = first[0], second[0]
    errors = [one["patients2"] + one["networks2"] for one in (e, f)]
    both = {name: e[name] + f[name] for name in ("patients2", "networks2", "n")}
    df = sum(errors) ** 2 / (errors[0] ** 2 / e["df"] + errors[1] ** 2 / f["df"])
    both |= {"value": e["value"] - f["value"], "df": df, "n_networks": e["n_networks"]}
    null, other = first[1], second[1]
    sds = [math.hypot(null[k], other[k]) for k in (1, 2)]
    return both, (null[0] - other[0], *sds, min(null[3], other[3]))


def p_of(e, null):
    """Two-sided, of the estimate lying as far from the mean of those that know nothing."""
    mean, sd, _, n = null
    of_networks = max(e["networks2"], sd**2 / e["n_networks"]) + sd**2 / n
    error2 = e["patients2"] + of_networks
    df = error2**2 / (e["patients2"] ** 2 / (e["n"] - 1) + of_networks**2 / (n - 1))
    return 2 * student.sf(abs(e["value"] - mean) / math.sqrt(error2), df)


@pytest.fixture(scope="module")
def published():
    return rowfiles.read_table(FOLDER / "table_primary.csv")


@pytest.fixture(scope="module")
def again(patients, published):
    """Each claim about a mean: its estimate and its null, computed here."""
    found = {}
    for row in published[published["score"].isin({score for _, score in patients})].itertuples():
        parts = []
        for group in row.group.split(" less "):
            null = null_of(of_group(patients["shuffled", row.score], group))
            parts.append((estimate(of_group(patients["plain", row.score], group), null), null))
        found[row.claim] = parts[0] if len(parts) == 1 else difference(*parts)
    return found


def test_every_mean_of_the_primary_table_is_found_again(published, again):
    assert len(again) == 9
    for claim, (e, _) in again.items():
        row = published.set_index("claim").loc[claim]
        reach = student.ppf(0.975, e["df"]) * math.sqrt(e["patients2"] + e["networks2"])
        assert row["n_patients"] == e["n"]
        assert row["effect"] == pytest.approx(e["value"], abs=2e-5)
        assert row["low"] == pytest.approx(e["value"] - reach, abs=5e-5)
        assert row["high"] == pytest.approx(e["value"] + reach, abs=5e-5)


def test_every_null_band_and_p_of_the_primary_table_is_found_again(published, again):
    for claim, (e, null) in again.items():
        row = published.set_index("claim").loc[claim]
        assert row["n_null"] == null[3]
        if null[3] >= 4:
            spread = null[1] * math.sqrt(1 / e["n_networks"] + 1 / null[3])
            reach = student.ppf(0.975, null[3] - 1) * spread
            assert row["null_low"] == pytest.approx(null[0] - reach, abs=5e-5)
            assert row["null_high"] == pytest.approx(null[0] + reach, abs=5e-5)
            assert row["p"] == pytest.approx(p_of(e, null), rel=0.01)


def test_the_share_of_errors_is_found_again(published, predictions):
    found = defaultdict(lambda: [0, 0, 0])  # patient -> slices, wrong, of these in question
    for row in predictions:
        if row["network"] == "plain":
            called = CLASSES[int(np.argmax(logs_of(row)))]
            own = found[row["person_id"]]
            own[0] += 1
            own[1] += called != row["label"]
            own[2] += called != row["label"] and "pituitary" not in (called, row["label"])
    n = np.array(list(found.values()), float)
    wrong, among = n[:, 1] / n[:, 0], n[:, 2] / n[:, 0]
    share = among.sum() / wrong.sum()
    residuals = among - share * wrong
    error = math.sqrt((residuals**2).sum() * len(n) / (len(n) - 1)) / wrong.sum()
    row = published.set_index("score").loc["share of errors"]
    assert row["effect"] == pytest.approx(share, abs=1e-5)
    assert row["p"] == pytest.approx(2 * student.sf(abs(share - 0.5) / error, len(n) - 1), rel=0.01)


def test_holm_and_the_verdicts_follow_from_the_printed_numbers(published):
    known = published[published["p"].notna()]
    assert multipletests(known["p"], method="holm")[1] == pytest.approx(
        known["p_holm"].to_numpy(), rel=1e-3
    )
    for row in published.itertuples():
        null = 0.5 if row.score == "share of errors" else (row.null_low + row.null_high) / 2
        null = 0.0 if row.finding == 3 else null
        above = row.effect > null
        if not row.p_holm < 0.05:
            assert row.verdict == "cannot be told" and row.reason
        else:
            assert row.verdict == ("holds" if above != (row.finding == 3) else "does not hold")
