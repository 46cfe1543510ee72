"""Claims about the table of maps: ratios and ranks that a hand calculation gives."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from tumorcf_lib.tables import saliency


def tables(n=24, seed=0):
    rng = np.random.default_rng(seed)
    keys = pd.DataFrame({"slice_id": [str(i) for i in range(n)], "label": "glioma"})
    keys["person_id"] = [f"P{i // 2}" for i in range(n)]
    keys = keys.assign(network="plain", training_seed=0, fold=np.arange(n) // 2 % 2)
    area = rng.uniform(0.02, 0.1, n)
    maps = keys.assign(map_tumor=3 * area * 0.8, map_outside=0.2, area_tumor=area)
    scores = keys.drop(columns="label").assign(
        net_drop=rng.normal(size=n), right_original=1.0, right_remove=(np.arange(n) % 3 > 0) * 1.0
    )
    return maps, scores


def line(table, slices="all"):
    return table[(table["group"] == "glioma") & (table["slices"] == slices)].iloc[0]


def test_a_map_three_times_as_dense_on_every_tumor_has_density_three_without_error():
    found = line(saliency.saliency_table(*tables()))
    assert found["density"] == pytest.approx(3)
    assert found["low"] == pytest.approx(3) and found["high"] == pytest.approx(3)
    assert (found["n_patients"], found["n_slices"]) == (12, 24)


def test_the_rank_correlation_is_that_of_the_patients_means():
    maps, scores = tables()
    maps["map_tumor"] *= np.random.default_rng(1).uniform(0.2, 1, len(maps))
    found = line(saliency.saliency_table(maps, scores))
    density = maps["map_tumor"] / 0.8 / maps["area_tumor"]
    by = maps["person_id"]
    slow = scipy.stats.spearmanr(
        density.groupby(by).mean(), scores["net_drop"].groupby(by).mean()
    ).statistic
    assert found["spearman"] == pytest.approx(slow)
    assert found["spearman_low"] < slow < found["spearman_high"]


def test_slices_without_a_map_and_networks_of_shuffled_labels_are_left_out():
    maps, scores = tables()
    maps.loc[:1, "map_tumor"] = np.nan
    table = saliency.saliency_table(pd.concat([maps, maps.assign(network="shuffled")]), scores)
    assert set(table["network"]) == {"plain"} and line(table)["n_slices"] == 22
    keep, lose = (line(table, slices)["n_slices"] for slices in (saliency.KEEPS, saliency.LOSES))
    assert (keep, lose) == (15, 7)
