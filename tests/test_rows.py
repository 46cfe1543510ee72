"""Claims about the one table of estimates that every published table is made of."""

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib.stats import estimates
from tumorcf_lib.stats.rows import means


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(30), 3)
    return pd.DataFrame(
        {
            "person_id": [f"p{k}" for k in person],
            "network": np.where(person % 2, "b", "a"),
            "label": np.array(["glioma", "meningioma", "other"])[person % 3],
            "delta_drop": rng.normal(0.5, 0.1, 90),
        }
    )


def test_each_row_is_the_mean_and_interval_of_its_group_and_of_the_split_before(scores):
    scores.loc[:3, "delta_drop"] = np.nan
    groups = ["all", "meningioma", "glioma", "other", "pituitary"]
    table = means(scores, "delta_drop", by=["network"], groups=groups, n_resamples=50)
    assert list(table["group"][:5]) == groups and (table["n_slices"] == 0).sum() == 2
    assert table.loc[table["group"] == "pituitary", "effect"].isna().all()  # nobody has one
    table = table[table["n_slices"] > 0]
    for row in table.itertuples():
        own = scores[scores["network"] == row.network]
        own = own if row.group == "all" else own[own["label"] == row.group]
        own = own[own["delta_drop"].notna()]
        e = estimates.mean(own, "delta_drop", n_resamples=50)
        assert (row.effect, row.low, row.high) == (e.value, e.low, e.high)
        assert (row.n_slices, row.n_persons) == (len(own), own["person_id"].nunique())
