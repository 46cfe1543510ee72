import subprocess
import sys
import time

import pytest

from tumorcf_lib import locks, paths

HOLD = """
import sys, time
from tumorcf_lib import locks
locks.hold(locks.Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds a lock file."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True,
        cwd=paths.ROOT,
    )  # fmt: skip
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_held_file_is_refused_by_the_number_of_its_holder_until_that_is_killed(other, tmp_path):
    with pytest.raises(locks.InUseError) as error:
        locks.hold(tmp_path / "lock")
    assert error.value.holder == other.pid
    other.kill()
    locks.hold(tmp_path / "lock", wait_s=10)
    assert (tmp_path / "lock").read_text() == f"{locks.os.getpid()}\n"
    locks.release(tmp_path / "lock")


def test_waiting_for_a_holder_takes_as_long_as_asked(other, tmp_path):
    started = time.monotonic()
    with pytest.raises(locks.InUseError):
        locks.hold(tmp_path / "lock", wait_s=0.3)
    assert time.monotonic() - started >= 0.3


def test_a_process_may_hold_a_file_twice_and_let_go_of_what_it_never_held(tmp_path):
    (tmp_path / "lock").write_text("12345678901\n")  # of a longer number that held it once
    locks.hold(tmp_path / "lock")
    locks.hold(tmp_path / "lock")
    assert (tmp_path / "lock").read_text() == f"{locks.os.getpid()}\n"
    locks.release(tmp_path / "lock")
    locks.release(tmp_path / "lock")
    assert tmp_path / "lock" not in locks._held


def test_a_file_system_without_locks_holds_nothing_and_stops_nobody(tmp_path, monkeypatch):
    def refused(file, how):
        raise OSError("no locks available")

    monkeypatch.setattr(locks.fcntl, "flock", refused)
    locks.hold(tmp_path / "lock")
    assert not locks._held.get(tmp_path / "lock")


def test_a_context_is_refused_while_another_process_holds_the_file(other, tmp_path):
    with pytest.raises(locks.InUseError, match=str(other.pid)):
        with locks.held(tmp_path / "lock"):
            pass
    other.kill()
    with locks.held(tmp_path / "lock", wait_s=30.0) as is_held:
        assert is_held


def test_a_context_gives_its_file_back_after_an_error(tmp_path):
    with pytest.raises(KeyError):
        with locks.held(tmp_path / "lock"):
            raise KeyError
    with locks.held(tmp_path / "lock") as is_held:
        assert is_held


def test_a_system_without_locks_goes_on_without(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    with locks.held(tmp_path / "lock") as is_held:
        assert not is_held
