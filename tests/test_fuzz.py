"""Files damaged at random: an error of ours or a valid slice, never a crash, hang or nonsense.

The cases are the same each time. For many more: ``TUMORCF_FUZZ=50000 pytest tests/test_fuzz.py``.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tumorcf_lib import config

MORE = int(os.environ.get("TUMORCF_FUZZ") or 0)
BATCH = 2000
BATCH_LIMIT_S = 600


def outcomes(kind, n_cases):
    """How many cases ended how; in processes of their own, which may crash without harm."""
    script, counts = Path(__file__).with_name("fuzz_cases.py"), Counter()
    environment = {**os.environ, "PYTHONPATH": str(config.ROOT)}
    for first in range(0, n_cases, BATCH):
        last = min(first + BATCH, n_cases)
        try:
            done = subprocess.run(
                [sys.executable, script, kind, str(first), str(last)],
                env=environment,
                capture_output=True,
                text=True,
                timeout=BATCH_LIMIT_S,
            )
        except subprocess.TimeoutExpired as error:
            pytest.fail(f"hangs: {error.stdout.decode().splitlines()[-1]}")
        *_, before, final = done.stdout.splitlines()
        assert done.returncode == 0, f"{final} ended with {done.returncode}:\n{done.stderr[-2000:]}"
        assert before == f"case {kind} {last - 1}"
        counts += Counter(json.loads(final))
    assert counts.total() == n_cases
    return counts


def test_a_damaged_slice_is_refused_or_valid():
    counts = outcomes("mat", MORE or 400)
    assert counts["refused"] > 0.4 * counts.total() and counts["same pixels"] > 10


def test_a_damaged_archive_is_refused_or_gives_the_very_slices():
    counts = outcomes("zip", MORE or 150)
    assert set(counts) == {"refused", "same slices"}
    assert counts["refused"] > 0.5 * counts.total()


def test_a_damaged_picture_of_a_reader_is_refused_or_valid():
    counts = outcomes("picture", MORE or 100)
    assert set(counts) == {"refused", "valid"}
