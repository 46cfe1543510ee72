"""The real slices, for tests that need them: read once per test run, or a visible skip."""

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tumorcf_lib.data import published


def folder():
    """The folder that TUMORCF_DATA names; tests that need it are skipped, visibly, without it."""
    if not os.environ.get("TUMORCF_DATA"):
        pytest.skip("needs the real slices: set TUMORCF_DATA to their folder")
    return Path(os.environ["TUMORCF_DATA"])


@functools.cache
def cohort():
    """All real slices."""
    cache = tempfile.mkdtemp(prefix="tumorcf-test-")
    atexit.register(shutil.rmtree, cache, ignore_errors=True)
    return published.read(folder(), cache_dir=cache, progress=False)
