import pandas as pd
import pytest

from tumorcf_lib import rowfiles
from tumorcf_lib.tables import quality_tables


def quality_rows(*entries):
    columns = ["slice_id", "person_id", "label", "infill", "place", "mae"]
    table = pd.DataFrame(entries, columns=columns)
    return table.assign(n_pixels=9, rmse=2 * table["mae"], ssim=1 - table["mae"])


def test_a_slice_counts_with_the_mean_of_its_places():
    table = quality_tables.quality_table(
        quality_rows(
            (1, "p", "a", "telea", 0, 0.1), (1, "p", "a", "telea", 1, 0.3),
            (2, "q", "a", "telea", 0, 0.6),
        ), n_resamples=20,
    )  # fmt: skip
    row = table[(table["score"] == "mae") & (table["group"] == "all")].iloc[0]
    assert row["effect"] == pytest.approx(0.4)  # mean of 0.2 and 0.6
    assert (row["n_slices"], row["n_persons"], row["slices"]) == (2, 2, "own")


def test_the_mirror_is_compared_at_its_own_places_only():
    table = quality_tables.quality_table(
        quality_rows(
            (1, "p", "a", "telea", 0, 0.1), (1, "p", "a", "telea", 1, 0.3),
            (1, "p", "a", "ring_mean", 0, 0.2), (1, "p", "a", "ring_mean", 1, 0.2),
            (1, "p", "a", "mirror", 1, 0.5),
        ), n_resamples=20,
    )  # fmt: skip
    mae = table[(table["score"] == "mae") & (table["group"] == "a")]
    effects = mae.set_index(["infill", "slices"])["effect"]
    assert effects["telea", "own"] == pytest.approx(0.2)
    assert effects["telea", "common, mirror too"] == pytest.approx(0.3)
    assert effects["mirror", "common, mirror too"] == pytest.approx(0.5)
    assert ("mirror", "common") not in effects


def test_published_rows_give_the_same_table():
    rows = quality_rows(*((i, f"p{i}", "a", "telea", 0, 1 / (i + 3)) for i in range(12)))
    tables = [
        quality_tables.quality_table(r, n_resamples=50) for r in (rows, rowfiles.round_trip(rows))
    ]
    pd.testing.assert_frame_equal(*tables, atol=1e-4)
