"""Accuracy and Net-Drop within sites."""

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib.tables import sites as tables


def predictions(rights):
    """Two slices a person: rights maps (label, ID) to how many of them are right."""
    rows = []
    for (label, person), n_right in rights.items():
        for k in range(2):
            p = 0.9 if (k < n_right) == (label == "glioma") else 0.1
            about = {"slice_id": f"{person}-{k}", "person_id": person, "label": label}
            rows.append(about | {"p_glioma": p, "p_pituitary": 1 - p})
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


@pytest.mark.parametrize("of_site", [0.0, -0.1])
def test_a_difference_of_sites_is_adjusted_for_planes_and_tumors_and_what_is_left_is_the_sites(
    of_site,
):
    rng = np.random.default_rng(0)
    n_persons, n_slices = 60, 8
    person = np.repeat(np.arange(n_persons), n_slices)
    is_mr = person < 30
    axial = rng.random(len(person)) < np.where(is_mr, 0.8, 0.2)
    area = np.exp(rng.normal(6 + is_mr, 0.3))
    net_drop = of_site * is_mr + 0.2 * axial + 0.1 * np.log(area)
    net_drop += 0.05 * rng.normal(size=n_persons)[person] + rng.normal(0, 0.02, len(person))
    ids = {"slice_id": np.arange(len(person))}
    scores = pd.DataFrame(ids | {"net_drop": net_drop, "label": "glioma"})
    scores["person_id"] = [f"{'MR' if mr else ''}{who}" for mr, who in zip(is_mr, person)]
    others = rng.normal(size=(2, len(person)))
    measured = {"area_px": area, "contrast": others[0], "depth_px": others[1]}
    planes = pd.DataFrame(ids | {"plane": np.where(axial, "axial", "coronal")})
    table = tables.difference_table(scores, pd.DataFrame(ids | measured), planes)
    found = table.set_index("adjusted_for")
    assert found.loc["nothing", "effect"] > of_site + 0.15
    assert found.loc["plane", "effect"] == pytest.approx(of_site + 0.1, abs=0.05)
    assert found.loc["plane and tumor", "effect"] == pytest.approx(of_site, abs=0.04)
    low, high = found.loc["plane and tumor", ["low", "high"]]
    assert low < of_site < high
    assert found["n_persons"].tolist() == [60] * 3
    one_site = scores.assign(person_id="1")
    assert tables.difference_table(one_site, pd.DataFrame(ids | measured), planes).empty
