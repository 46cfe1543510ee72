import numpy as np
import pandas as pd
import pytest
from fake_rows import audit_rows

from tumorcf_lib.controls import covariates
from tumorcf_lib.edits.scores import slice_scores
from tumorcf_lib.stats import estimates, persons


@pytest.fixture(scope="module")
def planted():
    """Scores that rise by 0.02 per unit of log area and fall by 0.01 per unit of contrast."""
    scores = slice_scores(audit_rows({"meningioma": 0.3}, n_persons=11, n_slices=4))
    rng, n = np.random.default_rng(0), len(scores)
    drawn = {"area_px": rng.integers(50, 900, n), "contrast": rng.normal(1, 0.5, n)}
    table = scores[["slice_id"]].assign(**drawn, depth_px=rng.uniform(5, 50, n))
    codes, names = pd.factorize(scores["person_id"])
    noise = rng.normal(0, 0.05, len(names))[codes] + rng.normal(0, 0.002, n)
    scores["net_drop"] = 0.02 * np.log(table["area_px"]) - 0.01 * table["contrast"] + noise
    found = covariates.covariate_table(scores, table, n_resamples=40)
    return scores, table, found[found["score"] == "net_drop"]


def test_contrast_is_inside_minus_the_ring_and_nothing_beyond():
    slice, mask = np.full((1, 60, 60), -2, np.float32), np.zeros((1, 60, 60), bool)
    mask[0, 22:28, 22:28] = True
    slice[0, 5:55, 5:55] = -1
    slice[0, 17:33, 17:33] = 1  # 5 px around the tumor
    slice[mask] = 3
    row = covariates.slice_covariates(slice, mask, ["a"]).iloc[0]
    assert row["contrast"] == pytest.approx(2.0)
    assert (row["area_px"], row["area_share"]) == (36, 0.01)


def test_depth_is_that_of_the_tumor_not_of_a_sham_or_a_grown_mask():
    rows = audit_rows({}, n_persons=1, n_slices=2)
    rows.loc[rows["edit"] == "sham", "depth_px"] = 99
    grown = rows.assign(dilation_px=4, depth_px=77)
    table = pd.DataFrame({"slice_id": ["glioma0-1", "glioma0-0", "none"]})
    found = covariates.with_depth(table, pd.concat([grown, rows]))["depth_px"]
    assert found.iloc[:2].tolist() == [11, 10] and np.isnan(found.iloc[2])


def test_planted_slopes_are_found_per_standard_deviation(planted):
    _, table, found = planted
    rows = found[found["group"] == "all"].set_index("covariate")
    log_area = np.log(table["area_px"])
    assert rows.loc["area", "unit"] == pytest.approx(log_area.std(ddof=0))
    assert rows.loc["area", "effect"] == pytest.approx(0.02 * log_area.std(ddof=0), abs=1e-3)
    expected = -0.01 * table["contrast"].std(ddof=0)
    assert rows.loc["contrast", "effect"] == pytest.approx(expected, abs=1e-3)
    assert rows.loc["area", "low"] > 0 > rows.loc["contrast", "high"]
    assert rows.loc["depth", "low"] < 0 < rows.loc["depth", "high"]


def test_least_squares_and_its_resamples_agree_with_a_slow_loop(planted):
    scores, table, found = planted
    own = scores.merge(table, on="slice_id")
    own = own[own["label"] == "glioma"].reset_index(drop=True)
    x = np.column_stack([np.log(own["area_px"]), own["contrast"], own["depth_px"]])
    x = np.column_stack([(x - x.mean(axis=0)) / x.std(axis=0), np.ones(len(x))])
    people, counts = estimates.drawn(own, 40)
    slow = []
    for row in counts[1:]:
        i = np.repeat(np.arange(len(own)), row[people.owner].astype(int))
        slow.append(np.linalg.lstsq(x[i], own["net_drop"].to_numpy()[i], rcond=None)[0][0])
    row = found[(found["group"] == "glioma") & (found["covariate"] == "area")].iloc[0]
    value = np.linalg.lstsq(x, own["net_drop"], rcond=None)[0][0]
    low, high = persons.interval(np.array(slow), 11)
    assert (row["ols"], row["boot_low"], row["boot_high"]) == pytest.approx((value, low, high))
