"""Accuracy within sites."""

import pandas as pd
import pytest

from tumorcf_lib.tables import sites as tables


def predictions(rights):
    """Two slices a person: rights maps (label, ID) to how many of them are right."""
    rows = []
    for (label, person), n_right in rights.items():
        for k in range(2):
            right = k < n_right
            rows.append(
                {
                    "slice_id": f"{person}-{k}",
                    "person_id": person,
                    "label": label,
                    "p_glioma": 0.9 if right == (label == "glioma") else 0.1,
                    "p_pituitary": 0.1 if right == (label == "glioma") else 0.9,
                }
            )
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
