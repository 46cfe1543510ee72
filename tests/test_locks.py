import subprocess
import sys

import pytest

from tumorcf_lib import locks
from tumorcf_lib.locks import LockedError

HOLDER = """
import sys, time
from pathlib import Path
from tumorcf_lib import locks
with locks.held(Path(sys.argv[1])) as is_held:
    print(is_held, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "True\n"
        yield process
        process.kill()


def test_a_lock_is_held_by_one_process_at_a_time(tmp_path, holder):
    with pytest.raises(LockedError, match="lock"):
        with locks.held(tmp_path / "lock"):
            pass


def test_a_killed_holder_holds_nothing(tmp_path, holder):
    holder.kill()
    with locks.held(tmp_path / "lock", wait_s=30.0) as is_held:
        assert is_held


def test_a_lock_is_given_back_after_an_error(tmp_path):
    with pytest.raises(KeyError):
        with locks.held(tmp_path / "lock"):
            raise KeyError
    with locks.held(tmp_path / "lock") as is_held:
        assert is_held


def test_a_system_without_locks_goes_on_without(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    with locks.held(tmp_path / "lock") as is_held:
        assert not is_held
