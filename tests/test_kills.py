"""A run that is killed at random moments ends with the bytes of one that is not."""

import kill_runs
import pandas as pd
import pytest


@pytest.mark.monthly
def test_six_kills_leave_no_difference(tmp_path):
    table = tmp_path / "kills.csv"
    words = ["--kills", "6", "--work", str(tmp_path / "work"), "--table", str(table)]
    assert kill_runs.main(words) == 0
    kills = pd.read_csv(table)
    assert len(kills) == 6 and kills["differs_after_rerun"].isna().all()
