"""A class that falls on every slice alike has a Net-Drop and no tumor behind it."""

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib.stats import metrics
from tumorcf_lib.tables import drift

CLASSES = ("a", "b", "c")


def rows_of(falls, n_persons=12, n_slices=2, n_places=2):
    """Audit rows in which P(a) falls by falls[label], to the profit of c."""
    rows, rng = [], np.random.default_rng(1)
    for label in CLASSES:
        for person in range(n_persons):
            for k in range(n_slices):
                base = 0.5 + rng.uniform(-0.05, 0.05)
                shams = [("sham", place, base + 0.01 * place) for place in range(n_places)]
                for edit, place, p_a in (
                    ("original", -1, base), ("remove", -1, base - falls[label]), *shams,
                ):
                    rows.append({
                        "slice_id": f"{label}{person}-{k}", "patient_id": "",
                        "person_id": f"{label}{person}", "label": label, "edit": edit,
                        "place": place, "infill": "" if edit == "original" else "navier_stokes",
                        "dilation_px": 0, "p_a": p_a, "p_b": 0.1, "p_c": 0.9 - p_a,
                        "log_odds": 0.0,
                    })  # fmt: skip
    return pd.DataFrame(rows)


def lines_of(falls, **options):
    table = drift.drift_table(rows_of(falls, **options), n_resamples=300)
    return table.set_index(["group", "slices"])


def test_a_fall_on_all_slices_alike_shows_on_those_of_other_classes():
    lines = lines_of({"a": 0.3, "b": 0.3, "c": 0.3})
    # Shams at places 0 and 1 lie at +0 and +0.01 of the original: their mean is 0.005 above it
    own, others = lines.loc[("a", "own")], lines.loc[("a", "others")]
    assert own["effect"] == pytest.approx(0.305) and others["effect"] == pytest.approx(0.305)
    assert (own["n_slices"], own["n_persons"]) == (24, 12)
    assert (others["n_slices"], others["n_persons"]) == (48, 24)


def test_a_fall_on_own_slices_alone_does_not():
    lines = lines_of({"a": 0.3, "b": -0.005, "c": -0.005})
    assert lines.loc[("a", "own"), "effect"] == pytest.approx(0.305)
    assert lines.loc[("a", "others"), "effect"] == pytest.approx(0)
    assert lines.loc[("a", "others"), "relevance"] == "negligible"
    assert lines.loc[("a", "own"), "relevance"] == ""


def test_what_one_class_loses_another_gains():
    lines = lines_of({"a": 0.3, "b": 0.1, "c": 0.0})
    assert lines.loc[("c", "own"), "effect"] == pytest.approx(-0.005)
    assert lines.loc[("c", "others"), "effect"] == pytest.approx(-0.205)


def test_the_fall_on_own_slices_is_net_drop():
    rows = rows_of({"a": 0.3, "b": 0.2, "c": 0.1})
    net = metrics.slice_scores(rows).groupby("label")["net_drop"].mean()
    own = drift.drift_table(rows, n_resamples=20).query("slices == 'own'").set_index("group")
    assert own["effect"].to_dict() == pytest.approx(net.to_dict())


def test_slices_without_a_sham_or_a_removal_are_left_out():
    rows = rows_of({"a": 0.3, "b": 0.2, "c": 0.1}, n_persons=1, n_slices=3)
    lost = (rows["slice_id"] == "a0-0") & (rows["edit"] == "sham")
    unmade = (rows["slice_id"] == "a0-1") & (rows["edit"] == "remove")
    rows = rows[~lost]
    rows.loc[unmade, ["p_a", "p_b", "p_c"]] = np.nan
    falls = drift.net_falls(rows)
    assert sorted(falls["slice_id"]) == ["a0-2", *(f"{c}0-{k}" for c in "bc" for k in range(3))]


def test_other_infills_and_dilations_do_not_count():
    rows = rows_of({"a": 0.3, "b": 0.2, "c": 0.1})
    other = rows[rows["edit"] != "original"].assign(p_a=0.0, p_b=1.0, p_c=0.0)
    both = [rows, other.assign(infill="telea"), other.assign(dilation_px=3)]
    pd.testing.assert_frame_equal(drift.net_falls(pd.concat(both)), drift.net_falls(rows))


def test_one_class_alone_has_no_others_to_be_held_against():
    rows = rows_of({"a": 0.3, "b": 0.2, "c": 0.1})
    table = drift.drift_table(rows[rows["label"] == "a"], n_resamples=20)
    table = table.set_index(["group", "slices"])
    assert table.loc[("a", "own"), "n_slices"] == 24
    assert table.loc[("a", "others"), "n_slices"] == 0
