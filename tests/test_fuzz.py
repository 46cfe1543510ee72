"""Files damaged at random: an error of ours or a valid slice, never a crash, hang or nonsense.

The cases are the same each time. For many more: ``TUMORCF_FUZZ=50000 pytest tests/test_fuzz.py``.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tumorcf_lib import config

MORE = int(os.environ.get("TUMORCF_FUZZ") or 0)
SECONDS_A_CASE = 0.5  # and a minute to begin


@pytest.mark.parametrize(
    "kind, n_cases, ends, least_refused",
    [
        ("mat", 400, {"refused", "valid", "same pixels"}, 0.4),
        ("zip", 150, {"refused", "same slices"}, 0.5),
        ("picture", 100, {"refused", "valid"}, 0.1),
    ],
)
def test_a_damaged_file_is_refused_or_valid(kind, n_cases, ends, least_refused):
    """In a process of its own, which may crash without harm."""
    n_cases = MORE or n_cases
    script = [sys.executable, Path(__file__).with_name("fuzz_cases.py"), kind, f"{n_cases}"]
    done = subprocess.run(
        script,
        env={**os.environ, "PYTHONPATH": str(config.ROOT)},
        capture_output=True,
        text=True,
        timeout=60 + n_cases * SECONDS_A_CASE,
    )
    *_, last = done.stdout.splitlines()
    assert done.returncode == 0, f"{last} ended with {done.returncode}:\n{done.stderr[-2000:]}"
    counts = json.loads(last)
    assert set(counts) == ends and sum(counts.values()) == n_cases
    assert counts["refused"] > least_refused * n_cases
