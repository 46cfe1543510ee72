"""The primary claims say what their numbers say, and of one training they do not say too much."""

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib.config import CLASSES
from tumorcf_lib.stats import networks
from tumorcf_lib.tables import primary

FOLDS, PATIENTS, SLICES = 5, 6, 3


def scores(rng, *, network="plain", seeds=2, net=0.0, wrong=0.2, leans_less=0.0, shift=0.05):
    """Scores of a class's patients; slices called wrong drop by ``leans_less`` less."""
    at = list(np.ndindex(FOLDS, len(CLASSES), PATIENTS, SLICES))
    own = pd.DataFrame(at, columns=["fold", "label", "who", "k"])
    true, is_hard = own["label"].to_numpy(), rng.random(len(own)) < wrong  # alike for all seeds
    own["label"], names = np.array(CLASSES)[true], np.array(CLASSES)
    own["person_id"] = own["label"] + own["fold"].astype(str) + "-" + own["who"].astype(str)
    own["slice_id"] = own["person_id"] + "-" + own["k"].astype(str)
    own = own.assign(predicted=np.where(is_hard, names[(true + 1) % 3], names[true]))
    right = {f"right_{edit}": (~is_hard).astype(float) for edit in primary.EDITS}
    own = own.assign(correct=~is_hard, network=network, **right)
    parts = []
    for seed in range(seeds):
        moved = rng.normal(0, shift, (FOLDS, len(CLASSES)))[own["fold"], true]
        drop = net + moved + rng.normal(0, 0.05, len(own)) - leans_less * is_hard
        of_seed = own.assign(training_seed=seed)
        parts.append(of_seed.assign(**dict.fromkeys(primary.SCORES, drop)))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def both():
    rng = np.random.default_rng(0)
    return pd.concat([scores(rng, net=0.4, leans_less=0.2), scores(rng, network="shuffled")])


def of_finding(table, number):
    return table[table["finding"] == number]


def test_a_real_drop_holds_and_a_difference_that_is_none_cannot_be_told(both):
    table = primary.primary_table(both)
    assert len(table) == len(primary.CLAIMS) == 11
    assert of_finding(table, 1)["verdict"].tolist() == [networks.HOLDS] * 3
    assert of_finding(table, 4)["verdict"].tolist() == [networks.OPEN] * 2
    assert (table["p_holm"] >= table["p"]).all()
    assert of_finding(table, 1)["effect"].between(0.25, 0.5).all()


def test_networks_that_know_nothing_hold_no_claim_of_their_own():
    rng, earned, n = np.random.default_rng(1), 0, 30
    for _ in range(n):
        table = primary.primary_table(
            pd.concat([scores(rng, seeds=1), scores(rng, network="shuffled")])
        )
        means = table[table["score"].isin(primary.SCORES) & (table["finding"] != 3)]
        earned += (means["verdict"] != networks.OPEN).sum()
    assert earned / (9 * n) <= 0.05


def test_slices_called_wrong_by_another_seed_lean_less_by_what_was_planted(both):
    row = of_finding(primary.primary_table(both), 3).iloc[0]
    assert row["effect"] == pytest.approx(-0.2, abs=0.03)
    assert row["verdict"] == networks.HOLDS
    own = both[both["network"] == "plain"]  # weighted least squares, a level for each class
    x = np.column_stack([1.0 - own["correct"], *(own["label"] == c for c in CLASSES)])
    root = np.sqrt(1 / own.groupby("person_id")["slice_id"].transform("size").to_numpy())
    y = own["delta_drop"].to_numpy() * root
    slope = np.linalg.lstsq(x.astype(float) * root[:, None], y, rcond=None)[0][0]
    assert row["effect"] == pytest.approx(slope)
    one_seed = both[both["training_seed"] == 0]
    row = of_finding(primary.primary_table(one_seed), 3).iloc[0]
    assert (row["verdict"], row["reason"]) == (networks.OPEN, "one training seed")


def test_the_share_of_errors_counts_every_patient_the_same():
    rows = pd.DataFrame(
        {
            "training_seed": 0,
            "fold": 0,
            "person_id": list("aaab") + ["c"],
            "label": ["meningioma"] * 3 + ["glioma", "pituitary"],
            "predicted": ["glioma", "glioma", "meningioma", "pituitary", "pituitary"],
        }
    )  # a: 2 / 3 wrong, all of it among the two; b: wrong, not among them; c: right
    assert primary.share_of_errors(rows).value == pytest.approx((2 / 3) / (2 / 3 + 1))


def test_estimates_have_the_band_of_as_many_networks_and_shares_stay_shares(both):
    fewer = both[both["fold"] < 3]  # as many networks as there are, not as many as usual
    for own, n in ((both, 10), (fewer, 6)):
        table = primary.estimates_table(own)
        plain = table[(table["network"] == "plain") & (table["group"] == "all")]
        assert (plain["n_null"] == n).all() and (plain["n_seeds"] == 2).all()
        null = networks.null_of(own[own["network"] == "shuffled"], "net_drop")
        (band,) = plain.loc[plain["score"] == "net_drop", ["null_low", "null_high"]].to_numpy()
        assert tuple(band) == pytest.approx(null.band(n))
    right = primary.still_right_table(both)
    assert right["share"].between(0, 1).all() and right["high"].max() <= 1
