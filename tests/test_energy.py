"""Claims about Net-Drop held against how much an edit changes."""

import itertools

import numpy as np
import pandas as pd
import pytest
from fake_rows import audit_rows, one_slice, with_classes

from tumorcf_lib.config import CLASSES
from tumorcf_lib.edits.scores import arrays
from tumorcf_lib.stats import estimates, persons
from tumorcf_lib.stats.rows import of_group
from tumorcf_lib.tables import energy


def _unlike(n_persons=11, tumor=0.0, seed=0):
    """Drops that follow log RMS with a known slope around a level of each slice."""
    rng = np.random.default_rng(seed)
    rows = []
    for label, person, k in itertools.product(CLASSES, range(n_persons), range(2)):
        rms = rng.uniform(0.05, 0.3, 4)
        drop = rng.uniform(0, 0.2) + 0.1 * np.log(rms / 0.05) + np.array([tumor, 0, 0, 0])
        edits = [("original", -1, 0.9, 0.0), ("remove", -1, 0.9 - drop[0], rms[0])]
        edits += [("sham", j, 0.9 - drop[j + 1], rms[j + 1]) for j in range(3)]
        who = {"slice_id": f"{label}{person}{k}", "person": f"{label}{person}", "label": label}
        rows += one_slice(edits, **who)
    return with_classes(pd.DataFrame(rows))


def _noisy():
    rows = _unlike(n_persons=4, tumor=0.2, seed=3)
    noise = np.random.default_rng(5).normal(0, 0.05, len(rows)) * (rows["edit"] == "sham")
    p = arrays(rows)[1][np.arange(len(rows)), arrays(rows)[0]]
    keep = rows.drop(columns=[c for c in rows if c.startswith("p_") or c == "log_odds"])
    return with_classes(keep.assign(p=np.clip(p + noise, 0.01, 0.99)))


def test_one_slice_agrees_with_a_hand_calculation():
    shams = [("sham", 0, 0.8, 0.1), ("sham", 1, 0.6, 0.4), ("sham", 2, 0.7, 0.2)]
    made = one_slice([("original", -1, 0.9, 0.0), ("remove", -1, 0.3, 0.2), *shams])
    row = energy.slice_energy(with_classes(pd.DataFrame(made))).iloc[0]
    assert row["rms_ratio"] == pytest.approx(0.2 / (0.1 * 0.4 * 0.2) ** (1 / 3))
    assert (row["n_sham"], row["n_matched"], row["within"]) == (3, 1, 1)
    assert row["net_drop"] == pytest.approx((0.8 + 0.6 + 0.7) / 3 - 0.3)
    assert row["net_drop_matched"] == pytest.approx(0.7 - 0.3)


@pytest.mark.parametrize("tumor", [0.0, 0.25])
def test_a_drop_that_only_follows_the_energy_has_no_residual_and_what_a_tumor_adds_stays(tumor):
    own = energy.slice_energy(_unlike(tumor=tumor))
    assert own["net_drop"].std() > 0.03
    assert own["net_drop_residual"].to_numpy() == pytest.approx(tumor, abs=1e-12)
    for group in ("all", *CLASSES):
        e = energy.residual(of_group(own, group), n_resamples=50)
        assert (e.value, e.low, e.high) == pytest.approx((tumor,) * 3, abs=1e-12)


def test_the_slope_is_that_of_least_squares_with_a_level_for_each_slice():
    rows = _noisy()
    rows = rows[rows["label"] == "glioma"]
    own = energy.slice_energy(rows)
    shams = rows[rows["edit"] == "sham"]
    design = np.column_stack([np.log(shams["edit_rms"]), pd.get_dummies(shams["slice_id"])])
    expected = np.linalg.lstsq(design.astype(float), 0.9 - shams["p_glioma"], rcond=None)[0][0]
    assert energy.slope(own, n_resamples=20).value == pytest.approx(expected)


@pytest.mark.parametrize("group", ["glioma", "all"])
def test_every_resample_estimates_the_slopes_anew(group):
    own = of_group(energy.slice_energy(_noisy()), group)
    people, counts = estimates.drawn(own, 60)
    slow = []
    for row in counts[1:]:
        again = own.loc[np.repeat(own.index, row[people.owner].astype(int))]
        total = 0.0
        for _, part in again.groupby("label"):
            slope = part["sxy"].sum() / part["sxx"].sum()
            total += (part["net_drop"] - slope * part["log_gap"]).sum()
        slow.append(total / len(again))
    n, strata = len(people.names), own["label"].nunique()
    low, high = persons.interval(np.array(slow), n, n - strata)
    found = energy.residual(own, n_resamples=60)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.value == pytest.approx(own["net_drop_residual"].mean())
    frozen = estimates.mean(own, "net_drop_residual", n_resamples=60)
    assert (found.low, found.high) != pytest.approx((frozen.low, frozen.high), rel=1e-6)


def test_with_one_sham_a_slice_there_is_no_slope_and_the_table_says_so():
    table = energy.energy_table(audit_rows({}, n_places=1), n_resamples=20)
    own = table[table["quantity"] == "net_drop_residual"]
    assert own["effect"].isna().all() and set(own["note"]) == {energy.NO_SLOPE}
