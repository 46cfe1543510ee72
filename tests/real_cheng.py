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
    """The folder that TUMORCF_DATA names."""
    if not os.environ.get("TUMORCF_DATA"):
        pytest.skip("TUMORCF_DATA does not name the folder of the real slices")
    return Path(os.environ["TUMORCF_DATA"])


def cohort():
    """All real slices."""
    return _read(folder())


@functools.cache
def _read(folder):
    cache = tempfile.mkdtemp(prefix="tumorcf-test-")
    atexit.register(shutil.rmtree, cache, ignore_errors=True)
    return published.read(folder, cache_dir=cache, progress=False)
