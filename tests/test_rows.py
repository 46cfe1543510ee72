"""Claims about the one table of estimates that every published table is made of."""

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib.stats import estimates
from tumorcf_lib.stats.rows import judged, means, score_means
from tumorcf_lib.stats.verdicts import holm


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
            "sham_drop": rng.normal(0.1, 0.1, 90),
        }
    ).assign(net_drop=lambda own: own["delta_drop"] - own["sham_drop"])


def test_each_row_is_the_mean_and_interval_of_its_group_and_of_the_split_before(scores):
    scores.loc[:3, "delta_drop"] = np.nan
    table = means(scores, "delta_drop", by=["network"], n_resamples=50)
    assert list(table["group"][:4]) == ["all", "meningioma", "glioma", "other"]
    for row in table.itertuples():
        own = scores[scores["network"] == row.network]
        own = own if row.group == "all" else own[own["label"] == row.group]
        own = own[own["delta_drop"].notna()]
        e = estimates.mean(own, "delta_drop", n_resamples=50)
        assert (row.effect, row.low, row.high, row.p) == (e.value, e.low, e.high, e.p)
        assert (row.n_slices, row.n_persons) == (len(own), own["person_id"].nunique())


def test_a_group_without_values_has_a_row_without_numbers_and_none_among_score_means(scores):
    groups = ("all", "glioma", "pituitary")
    table = means(scores, "net_drop", groups=groups, n_resamples=5).set_index("group")
    assert table.loc["pituitary", "n_slices"] == 0 and np.isnan(table.loc["pituitary", "effect"])
    shown = score_means(scores, ["net_drop"], groups=groups, n_resamples=5)
    assert shown["group"].tolist() == ["all", "glioma"]


def test_complete_means_add_up_and_a_class_without_shams_keeps_its_drop(scores):
    lost = (scores["label"] == "glioma") | (scores.index % 5 == 0)
    scores.loc[lost, ["sham_drop", "net_drop"]] = np.nan
    columns = ["delta_drop", "sham_drop", "net_drop"]
    table = score_means(scores, columns, complete=True, n_resamples=20)
    wide = table.pivot(index="group", columns="score", values="effect").drop("glioma")
    difference = wide["delta_drop"] - wide["sham_drop"]
    assert difference.to_numpy() == pytest.approx(wide["net_drop"].to_numpy(), abs=1e-12)
    glioma = table[table["group"] == "glioma"].set_index("score")["n_slices"]
    assert glioma.to_dict() == {"delta_drop": (scores["label"] == "glioma").sum()}
    plain = score_means(scores, columns, n_resamples=20).set_index(["score", "group"])
    assert plain.loc[("delta_drop", "all"), "n_slices"] == len(scores)


def test_holm_runs_within_a_family_over_the_rows_that_make_a_claim(scores):
    table = means(scores, ["delta_drop", "sham_drop"], n_resamples=50)
    claimed = table["group"] != "all"
    found = judged(table, ["score"], claimed=claimed)
    assert found.loc[~claimed, "p_holm"].isna().all()
    assert (found.loc[~claimed, "verdict"] == "").all()
    for _, family in found[claimed].groupby("score"):
        assert family["p_holm"].to_numpy() == pytest.approx(holm(family["p"]))


def test_side_and_scale_may_differ_from_row_to_row(scores):
    scores["tiny"] = 0.01 * scores["delta_drop"]
    columns = ["delta_drop", "sham_drop", "tiny"]
    table = means(scores, columns, groups=["all"], n_resamples=50)
    found = judged(table, side=["below", "above", "above"], probability=[False, True, True])
    assert found["verdict"].tolist() == ["refuted", "supported", "supported"]
    assert found["relevance"].tolist() == ["", "", "negligible"]
