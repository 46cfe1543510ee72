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
    rows = []
    hard = {}  # whether a slice is hard to call is the slice's, and alike for all seeds
    for seed in range(seeds):
        for fold in range(FOLDS):
            for label in CLASSES:
                moved = rng.normal(0, shift)
                for who in range(PATIENTS):
                    for k in range(SLICES):
                        slice_id = f"{label}{fold}-{who}-{k}"
                        is_hard = hard.setdefault(slice_id, rng.random() < wrong)
                        other = CLASSES[(CLASSES.index(label) + 1) % 3]
                        drop = net + moved + rng.normal(0, 0.05) - leans_less * is_hard
                        rows.append(
                            {
                                "network": network,
                                "training_seed": seed,
                                "fold": fold,
                                "slice_id": slice_id,
                                "person_id": f"{label}{fold}-{who}",
                                "label": label,
                                "predicted": other if is_hard else label,
                                "correct": not is_hard,
                                **dict.fromkeys(primary.SCORES, drop),
                                **{f"right_{edit}": float(not is_hard) for edit in primary.EDITS},
                            }
                        )
    return pd.DataFrame(rows)


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


def test_with_one_seed_who_is_called_wrong_cannot_be_judged_by_another():
    rng = np.random.default_rng(2)
    row = of_finding(primary.primary_table(scores(rng, seeds=1)), 3).iloc[0]
    assert (row["verdict"], row["reason"]) == (networks.OPEN, "one training seed")


def test_wrong_less_right_is_weighted_least_squares_with_a_level_for_each_class(both):
    own = both[both["network"] == "plain"]
    e = primary.wrong_less_right(own, "delta_drop")
    n_of = own.groupby("person_id")["slice_id"].transform("size")
    x = np.column_stack([1.0 - own["correct"], *(own["label"] == c for c in CLASSES)])
    root = np.sqrt(1 / n_of.to_numpy())
    x = x.astype(float) * root[:, None]
    slope = np.linalg.lstsq(x, own["delta_drop"].to_numpy() * root, rcond=None)[0][0]
    assert e.value == pytest.approx(slope)


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
    table = primary.estimates_table(both)
    plain = table[(table["network"] == "plain") & (table["group"] == "all")]
    assert (plain["n_null"] == 10).all() and (plain["n_seeds"] == 2).all()
    assert (plain["null_low"] < 0).all() and (plain["null_high"] > 0).all()
    fewer = both[both["fold"] < 3]  # as many networks as there are, not as many as usual
    own = fewer[fewer["network"] == "plain"]
    null = networks.null_of(fewer[fewer["network"] == "shuffled"], "net_drop")
    row = (
        primary.estimates_table(fewer)
        .query("network == 'plain' and group == 'all' and score == 'net_drop'")
        .iloc[0]
    )
    assert (row["null_low"], row["null_high"]) == pytest.approx(null.band(2 * 3))
    assert networks.mean(own, "net_drop").n_networks == 6
    right = primary.still_right_table(both)
    assert right["share"].between(0, 1).all() and right["high"].max() <= 1
