"""Net-Drop and accuracy within sites."""

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib.tables import sites as tables


def scores_of(values, persons, labels, slice_ids=None, correct=None):
    return pd.DataFrame({
        "slice_id": range(len(values)) if slice_ids is None else slice_ids, "person_id": persons,
        "label": labels, "net_drop": values, "net_drop_lo": np.array(values) * 10,
        "correct": True if correct is None else correct,
    })


def test_sites_are_told_by_the_persons_ids():
    persons = [f"MR{i}" for i in range(12)] + [f"10{i}" for i in range(11)]
    values = [0.5, 0.3] * 6 + [0.1] * 11
    table = tables.site_table(scores_of(values, persons, "glioma"), n_resamples=300)
    table = table[table["slices"] == "all"].set_index(["score", "site"])
    mr = table.loc[("net_drop", "MR...")]
    assert mr["effect"] == pytest.approx(0.4) and mr["n_persons"] == 12
    assert mr["verdict"] == "supported" and mr["relevance"] == ""
    assert table.loc[("net_drop", "others"), "effect"] == pytest.approx(0.1)
    difference = table.loc[("net_drop", "MR... less others")]
    assert difference["effect"] == pytest.approx(0.3) and 0.2 < difference["low"] < 0.3
    assert difference["verdict"] == "no claim" and np.isnan(difference["p_holm"])
    assert table.loc[("net_drop_lo", "MR..."), "effect"] == pytest.approx(4)


def test_a_site_of_few_persons_is_undecided_and_an_empty_one_has_no_numbers():
    table = tables.site_table(
        scores_of([0.4] * 9, [f"MR{i}" for i in range(9)], "glioma"), n_resamples=50
    )
    table = table[table["slices"] == "all"].set_index(["score", "site"])
    assert table.loc[("net_drop", "MR..."), "verdict"] == "undecided"
    others = table.loc[("net_drop", "others")]
    assert others["n_persons"] == 0 and np.isnan(others["effect"])
    assert others["verdict"] == "undecided"


def test_correct_slices_are_told_apart_from_all():
    persons = [f"MR{i}" for i in range(12)] + [f"10{i}" for i in range(12)]
    scores = scores_of([0.5, 0.1] * 12, persons, "glioma", correct=[True, False] * 12)
    table = tables.site_table(scores, n_resamples=50).set_index(["slices", "score", "site"])
    assert table.loc[("all", "net_drop", "others"), "effect"] == pytest.approx(0.3)
    correct = table.loc[("correct", "net_drop", "others")]
    assert correct["effect"] == pytest.approx(0.5) and correct["n_persons"] == 6
    assert correct["verdict"] == "undecided"  # under ten persons


def predictions(rights):
    """Two slices a person: rights maps (label, ID) to how many of them are right."""
    rows = []
    for (label, person), n_right in rights.items():
        for k in range(2):
            right = k < n_right
            rows.append({
                "slice_id": f"{person}-{k}", "person_id": person, "label": label,
                "p_glioma": 0.9 if right == (label == "glioma") else 0.1,
                "p_pituitary": 0.1 if right == (label == "glioma") else 0.9,
            })
    return pd.DataFrame(rows)


def test_accuracy_without_the_site_of_one_class_is_told():
    rights = {("glioma", f"MR{i}"): 2 for i in range(10)}
    rights |= {("glioma", f"g{i}"): i % 2 for i in range(10)}  # 5 of 20 right
    rights |= {("pituitary", f"p{i}"): 2 if i < 9 else 0 for i in range(10)}  # 18 of 20 right
    table = tables.site_accuracy_table(predictions(rights), n_resamples=200)
    table = table.set_index(["group", "site", "metric"])
    mr = table.loc[("glioma", "MR...", "accuracy")]
    assert mr["value"] == 1 and mr["low"] == pytest.approx(0.025 ** (1 / 10))
    other = table.loc[("glioma", "others", "accuracy")]
    assert other["value"] == pytest.approx(5 / 20) and other["n_persons"] == 10
    assert table.loc[("all", "others", "accuracy"), "value"] == pytest.approx(23 / 40)
    balanced = table.loc[("all", "others", "balanced accuracy")]
    assert balanced["value"] == pytest.approx((5 / 20 + 18 / 20) / 2)
    assert balanced["low"] < balanced["value"] < balanced["high"]
    assert ("pituitary", "others", "accuracy") not in table.index  # it has one site only


def test_without_any_such_site_there_is_accuracy_of_all_alone():
    rights = {("glioma", f"g{i}"): 2 for i in range(3)} | {("pituitary", "p0"): 1}
    table = tables.site_accuracy_table(predictions(rights), n_resamples=20)
    assert table["group"].tolist() == ["all", "all"]
