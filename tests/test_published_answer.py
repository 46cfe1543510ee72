"""The published primary table, computed again from the published rows in another, plainer way.

Nothing of ``stats`` or ``tables`` is used: formulas are written out.
"""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import t as student
from statsmodels.stats.multitest import multipletests

from tumorcf_lib import config

FOLDER = config.published("paper-lite-cv")
CLASSES = ["meningioma", "glioma", "pituitary"]
P = [f"p_{name}" for name in CLASSES]
UNIT = ["network", "training_seed", "fold"]
KINDS = ("plain", "hardened")  # of three seeds, and of one
SCORES = {  # at the headline infill and dilation 0
    "net_drop": ("sham", "remove"),
    "net_focus": ("only", "sham_only"),
    "focus_over_background": ("only", "background"),
}


def p_true(rows, temperature):
    """Of the true class, among these three, at a temperature; NaN where nothing was asked."""
    weights = np.maximum(rows[P].to_numpy(), 1e-12) ** (1 / temperature)
    answer = (rows["label"].map(CLASSES.index) + rows.get("naming", 0)) % 3
    own = weights[range(len(rows)), answer]
    return own / weights.sum(axis=1)


@pytest.fixture(scope="module")
def predictions():
    return pd.read_csv(FOLDER / "rows_predictions.csv.gz", dtype={"person_id": str})


@pytest.fixture(scope="module")
def temperatures(predictions):
    """Of each unit, fitted on what the other folds' networks of its seed said."""
    rows, found = predictions[predictions["network"].isin(KINDS)], {}
    for network, seed, fold in rows[UNIT].drop_duplicates().itertuples(index=False):
        own = rows[(rows["network"] == network) & (rows["training_seed"] == seed)]

        def loss(log_t, others=own[own["fold"] != fold]):
            return -np.log(p_true(others, math.exp(log_t))).mean()

        best = minimize_scalar(loss, bounds=(-3, 3), options={"xatol": 1e-7})
        found[network, seed, fold] = math.exp(best.x)
    found = pd.Series(found)
    shuffled = predictions.loc[predictions["network"] == "shuffled", UNIT].drop_duplicates()
    for unit in shuffled.itertuples(index=False, name=None):
        found[unit] = found["plain", :, unit[2]].mean()
    return found


def headline_rows(network):
    """Rows at the headline infill and dilation of one kind of network."""
    files = FOLDER.glob(f"rows_edits_{network}_seed*")
    options = {"dtype": {"person_id": str}, "low_memory": False}
    rows = pd.concat(pd.read_csv(file, **options) for file in files)
    infill = rows["infill"].fillna("navier_stokes")
    return rows[(rows["dilation_px"] == 0) & (infill == "navier_stokes")].copy()


@pytest.fixture(scope="module")
def slices(temperatures):
    """P of the true class by edit, mean over places; by unit, naming, label, patient and slice.

    Networks that know nothing are also asked for the next class, and the one after."""
    nothing = headline_rows("shuffled")
    named = [nothing.assign(naming=k) for k in range(3)]
    rows = pd.concat([*(headline_rows(kind).assign(naming=0) for kind in KINDS), *named])
    temperature = temperatures.loc[pd.MultiIndex.from_frame(rows[UNIT])].to_numpy()
    rows = rows.assign(p=p_true(rows, temperature[:, None]))
    keys = [*UNIT, "naming", "label", "person_id", "slice_id", "edit"]
    return rows.groupby(keys)["p"].mean().unstack()


@pytest.fixture(scope="module")
def scores(slices):
    return pd.DataFrame({name: slices[a] - slices[b] for name, (a, b) in SCORES.items()})


@pytest.fixture(scope="module")
def patients(scores):
    """Each patient's mean over slices, by score, unit, naming, label and patient."""
    return scores.groupby([*UNIT, "naming", "label", "person_id"]).mean()


def of_group(scores, network, group):
    """Patients' means of a kind of network and a group."""
    own = scores.loc[network].dropna()
    return own if group == "all" else own.xs(group, level="label", drop_level=False)


DEAL = ["training_seed", "naming"]


def null_of(known, *less):
    """Of what a deal's networks score together: mean, mean square and degrees of freedom; how many
    networks, and the networks' own variance within a deal."""
    parts = (known, *less)
    of_network = [own.groupby([*DEAL, "fold"]).mean() for own in parts]
    of_deal = [own.groupby(DEAL).mean() for own in parts]
    of_network, of_deal = (first - sum(rest) for first, *rest in (of_network, of_deal))
    assert of_deal.groupby("training_seed").sum().abs().max() < 1e-3  # names differ, no more
    errors2 = [own.groupby([*DEAL, "fold"]).agg(["var", "size"]) for own in parts]
    of_patients = sum((own["var"] / own["size"]).mean() for own in errors2)
    between = of_network.groupby(DEAL).var().mean() - of_patients
    n = len(of_network) // 3
    return of_deal.mean(), (of_deal**2).mean(), 2 * len(of_deal) // 3, n, max(0.0, between)


def estimate(own, null):
    """Value, squared errors of patients and of networks, degrees of freedom, and n."""
    wide = own.unstack("training_seed")  # a line a patient
    by_fold, (n, n_seeds) = wide.groupby("fold"), wide.shape
    mean, free = wide.mean(axis=1), n - len(by_fold)
    within = mean - mean.groupby("fold").transform("mean")
    of_patients = (within**2).sum() / free / n
    if n_seeds > 1:
        share = by_fold.size() / n
        total = (share**2 * by_fold.mean().var(axis=1)).sum() / n_seeds
        apart = wide.sub(mean, axis=0)
        rest = (apart - apart.groupby("fold").transform("mean")).to_numpy()
        of_networks = total - (rest**2).sum() / (free * (n_seeds - 1)) / n / n_seeds
        of_networks, df = max(0.0, of_networks), len(by_fold) * (n_seeds - 1)
    else:  # how far another training lies, networks that know nothing show
        of_networks = total = null[4] / len(by_fold)
        df = null[3] - null[2] // 2
    if of_networks:
        both = (of_patients + of_networks) ** 2 / (of_patients**2 / free + total**2 / df)
        free = max(min(free, df), both)  # never fewer than those of one part
    errors = {"patients2": of_patients, "networks2": of_networks, "df": free}
    return {"value": mean.mean(), "n": n, "n_seeds": n_seeds, **errors}


def difference(e, f):
    errors = [one["patients2"] + one["networks2"] for one in (e, f)]
    both = {name: e[name] + f[name] for name in ("patients2", "networks2", "n")}
    df = sum(errors) ** 2 / (errors[0] ** 2 / e["df"] + errors[1] ** 2 / f["df"])
    return both | {"value": e["value"] - f["value"], "n_seeds": e["n_seeds"], "df": df}


def p_of(e, null):
    """Two-sided, of the estimate lying as far from the mean of those that know nothing."""
    mean, variance, free, *_ = null
    own = e["patients2"] + e["networks2"]
    df = (own + variance) ** 2 / (own**2 / e["df"] + variance**2 / free)
    return 2 * student.sf(abs(e["value"] - mean) / math.sqrt(own + variance), df)


@pytest.fixture(scope="module")
def every():
    return pd.read_csv(FOLDER / "table_primary.csv")


def same(row, e, null):
    """Whether a published row's interval, p, counts and null's band are what is found here."""
    reach = student.ppf(0.975, e["df"]) * math.sqrt(e["patients2"] + e["networks2"])
    assert row.effect == pytest.approx(e["value"], abs=2e-5)
    assert (row.low, row.high) == pytest.approx((e["value"] - reach, e["value"] + reach), abs=5e-5)
    assert row.network_error == pytest.approx(math.sqrt(e["networks2"]), rel=1e-3, abs=1e-5)
    assert row.p == pytest.approx(p_of(e, null), rel=0.01)
    assert row.n_seeds == e["n_seeds"]
    if len(null) > 3:
        reach = student.ppf(0.975, null[2]) * math.sqrt(null[1])
        band = null[0] - reach, null[0] + reach
        assert (row.null_low, row.null_high) == pytest.approx(band, abs=5e-5)
        assert (row.n_patients, row.n_null) == (e["n"], null[3])


@pytest.mark.parametrize("network", KINDS)
def test_every_mean_null_band_and_p_of_the_primary_table_is_found_again(
    every, patients, scores, network
):
    seed = 0 if network == "plain" else 1
    means = every[(every["network"] == network) & every["score"].isin(SCORES)]
    assert len(means) == 9
    for row in means.itertuples():
        groups = row.group.split(" less ")
        known = [of_group(patients[row.score], "shuffled", group) for group in groups]
        parts = [
            estimate(of_group(patients[row.score], network, group), null_of(own))
            for group, own in zip(groups, known, strict=True)
        ]
        same(row, parts[0] if len(parts) == 1 else difference(*parts), null_of(*known))
        own = scores.xs((network, seed), level=["network", "training_seed"])[row.score].dropna()
        own = own.index.get_level_values("label").isin(CLASSES if groups == ["all"] else groups)
        assert row.n_slices == own.sum()


def test_estimates_are_those_of_the_primary_table_where_both_have_them(every):
    found = pd.read_csv(FOLDER / "table_estimates.csv")
    own, keys = every[every["finding"] != 3], ["network", "score", "group"]
    both = own.merge(found, on=keys, suffixes=("", "_again"))
    for name in every.loc[:, "effect":"n_null"]:
        assert len(both) and both[name].equals(both[f"{name}_again"]), name


@pytest.mark.parametrize("network", ["plain", "looking"])
def test_every_share_called_right_or_no_tumor_is_found_again(network):
    rows = headline_rows(network)  # a temperature changes no order
    answers = rows.reindex(columns=[*P, "p_no tumor"]).fillna(-1).to_numpy()
    called = np.array([*CLASSES, "no tumor"])[answers.argmax(axis=1)]
    rows = rows.assign(share=called == rows["label"], no_tumor=called == "no tumor")
    by_patient = ["training_seed", "edit", "label", "person_id"]
    by_slice = rows[rows[P[0]].notna()].groupby([*by_patient, "slice_id"])
    by_slice = by_slice[["share", "no_tumor"]].mean()
    found = by_slice.groupby(by_patient).mean().groupby(["edit", "label"]).mean()
    table = pd.read_csv(FOLDER / "table_still_right.csv")
    table = table[(table["network"] == network) & table["group"].isin(CLASSES)]
    for row in table.itertuples():
        wanted = tuple(found.loc[row.edit, row.group])
        assert (row.share, row.no_tumor) == pytest.approx(wanted, abs=2e-5), row
    assert table["low"].min() >= 0 and table["high"].max() <= 1


def test_the_share_of_errors_is_found_again(every, predictions):
    rows = predictions[predictions["network"] == "plain"]
    called = np.array(CLASSES)[rows[P].to_numpy().argmax(axis=1)]
    wrong = called != rows["label"]
    among = wrong & (called != "pituitary") & (rows["label"] != "pituitary")
    patient = [rows[name] for name in ("training_seed", "fold", "person_id")]
    wrong_of, among_of = (one.groupby(patient).mean() for one in (wrong, among))
    share = among_of.mean() / wrong_of.mean()
    e = estimate(share + (among_of - share * wrong_of) / wrong_of.mean(), None)
    row = every[every["network"] == "plain"].set_index("score").loc["share of errors"]
    same(row, e, null=(0.5, 0.0, 1))
    assert row["effect"] == pytest.approx(share, abs=1e-5)
    assert row["n_slices"] == int(wrong.sum() / rows["training_seed"].nunique())
    assert row["n_patients"] == rows.loc[wrong, "person_id"].nunique()


def linear_slopes(table, right, alike):
    """The slope on "called wrong", and its linearized patients' means."""
    table = table.merge(right, on="slice_id")
    table = table[(table["judge"] != table["training_seed"]) | (table["network"] == "shuffled")]
    levels = np.array([table["label"] == name for name in CLASSES], float).T
    lines = [levels * table[["original"]].to_numpy()] if alike else []
    x = np.column_stack([~table["right"].to_numpy(bool), levels, *lines])
    y = (table["original"] - table["remove"]).to_numpy()
    patient = table.groupby(["training_seed", "fold", "naming", "person_id"])
    root = np.sqrt(1 / patient["slice_id"].transform("size").to_numpy())
    slopes = np.linalg.lstsq(x * root[:, None], y * root, rcond=None)[0]
    first = np.linalg.inv((x * root[:, None]).T @ (x * root[:, None]))[0]
    table["linear"] = slopes[0] + patient.ngroups * (x @ first) * (y - x @ slopes)
    return slopes[0], patient["linear"].mean()


@pytest.mark.parametrize("network", KINDS)
def test_slices_called_wrong_are_compared_by_another_seeds_judgment_and_at_equal_p(
    every, slices, predictions, network
):
    plain = predictions[predictions["network"] == "plain"]
    right = plain.assign(judge=plain["training_seed"])
    right["right"] = np.array(CLASSES)[plain[P].to_numpy().argmax(axis=1)] == plain["label"]
    right, table = right[["judge", "slice_id", "right"]], slices.reset_index()
    rows = every[(every["network"] == network) & (every["finding"] == 3)]
    for row, alike in zip(rows.itertuples(), (False, True), strict=True):
        (slope, own), (_, known) = (
            linear_slopes(table[table["network"] == kind], right, alike)
            for kind in (network, "shuffled")
        )
        null = null_of(known)
        e = estimate(own, null)
        assert e["value"] == pytest.approx(slope)
        same(row, e, null)


def test_holm_and_the_verdicts_of_every_kind_follow_from_the_printed_numbers(every, predictions):
    kinds = set(predictions["network"]) - {"shuffled", "without_mr"}
    assert every["network"].iloc[0] == "plain"
    assert every.groupby("network").size().to_dict() == dict.fromkeys(kinds, 12)
    for _, own in every.groupby("network"):
        known = own[own["p"].notna()]
        assert multipletests(known["p"], method="holm")[1] == pytest.approx(
            known["p_holm"].to_numpy(), rel=1e-3
        )
    for row in every.itertuples():
        null = 0.5 if row.score == "share of errors" else (row.null_low + row.null_high) / 2
        above = row.effect > null
        if not row.p_holm < 0.05:
            assert row.verdict == "cannot be told" and isinstance(row.reason, str)
            is_alone = row.finding == 5 and row.n_seeds == 1
            assert (row.reason == "one training seed") == is_alone
        else:
            assert row.verdict == ("holds" if above != (row.finding == 3) else "does not hold")
