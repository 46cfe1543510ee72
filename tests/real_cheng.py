"""The real slices, for tests that need them: read once per test run, or a visible skip."""

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tumorcf_lib.data import published


@functools.cache
def cohort():
    """All real slices, of the folder that TUMORCF_DATA names."""
    if not os.environ.get("TUMORCF_DATA"):
        pytest.skip("needs the real slices: set TUMORCF_DATA to their folder")
    cache = tempfile.mkdtemp(prefix="tumorcf-test-")
    atexit.register(shutil.rmtree, cache, ignore_errors=True)
    return published.read(Path(os.environ["TUMORCF_DATA"]), cache_dir=cache, progress=False)
