"""A kept result is whole or not there, has one writer, and is checked when it is read."""

import contextlib
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from tumorcf_lib import config, steps

HOLD = """
import sys, time
from tumorcf_lib import steps
steps.hold(steps.Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    path, write = tmp_path / "numbers.json", Path.write_bytes
    steps.write_whole(path, "{}")

    def half_then_killed(self, data):
        write(self, data[: len(data) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", half_then_killed)
    for each in (path, tmp_path / "new.json"):
        with pytest.raises(KeyboardInterrupt):
            steps.write_whole(each, '{"a": 1}')
    assert path.read_text() == "{}" and names(tmp_path) == [path.name]


@pytest.mark.parametrize(("n_renames", "there"), [(0, ["old"]), (1, None), (2, ["new"])])
def test_a_kill_amid_a_replacement_leaves_no_mixture(tmp_path, monkeypatch, n_renames, there):
    folder, rename, left = tmp_path / "demo", Path.rename, list(range(n_renames))

    def killed_after_some(self, target):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return rename(self, target)

    with steps.being_filled(folder) as new:
        (new / "old").write_text("")
    monkeypatch.setattr(Path, "rename", killed_after_some)
    monkeypatch.setattr(steps.shutil, "rmtree", lambda *_, **__: None)  # the dead clear nothing up
    with contextlib.suppress(KeyboardInterrupt), steps.being_filled(folder) as new:
        (new / "new").write_text("")
    monkeypatch.undo()
    assert (names(folder) if folder.exists() else None) == there
    with steps.being_filled(folder) as new:
        (new / "again").write_text("")
    assert names(tmp_path) == ["demo"] and names(folder) == ["again"]


def test_a_kill_while_a_folder_is_removed_leaves_nothing_that_is_not_cleared(tmp_path, monkeypatch):
    for name in ("fold0/kept", "deep/unfinished-x.csv", "deep/kept"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    with monkeypatch.context() as patch:  # killed before a file of it is gone
        patch.setattr(steps.shutil, "rmtree", lambda *_, **__: None)
        steps.remove_whole(tmp_path / "fold0")
    assert names(tmp_path) == ["deep", "unfinished-removal-fold0"]
    steps.clear_unfinished(tmp_path)
    assert names(tmp_path) == ["deep"] and names(tmp_path / "deep") == ["kept"]


def test_a_held_file_is_refused_by_the_number_of_its_holder_until_that_is_killed(tmp_path):
    lock = tmp_path / "lock"
    words = [sys.executable, "-c", HOLD, str(lock)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=config.ROOT) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(steps.InUseError, match=str(other.pid)):
            steps.hold(lock)
        other.kill()
        with steps.held(lock, wait_s=10) as is_held:
            assert is_held and lock.read_text() == f"{steps.os.getpid()}\n"
            with pytest.raises(steps.InUseError), steps.held(lock):
                pass
        steps.hold(lock)
        steps.release(lock)


def test_a_file_system_without_locks_holds_nothing_and_stops_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr(steps.fcntl, "flock", mock.Mock(side_effect=OSError("no locks")))
    with steps.held(tmp_path / "lock") as is_held:
        assert not is_held


@pytest.fixture
def done(tmp_path):
    """A sealed result of two files, and a training's state that a kill left."""
    folder = steps.begin(tmp_path / "fold0", {"epochs": 3})
    (folder / "deep").mkdir()
    for name in ("weights", "deep/history", steps.CHECKPOINT, f"deep/{steps.CHECKPOINT}"):
        (folder / name).write_text("1 2 3")
    steps.seal(folder)
    return folder


def test_a_result_is_kept_while_its_dependencies_hold_and_replaced_otherwise(tmp_path, done):
    assert steps.why_stale(done, {"epochs": 3}) is None and steps.changed_file(done) is None
    assert steps.begin(done, {"epochs": 3}) == done
    assert names(done) == ["deep", steps.RECORD, "weights"] and names(done / "deep") == ["history"]
    assert names(steps.begin(done, {"epochs": 4})) == [steps.RECORD]
    assert names(tmp_path) == ["fold0"]


@pytest.mark.parametrize("name", ["deep/history", steps.RECORD])
def test_what_was_changed_after_the_seal_is_said_and_made_again(done, capsys, name):
    (done / name).write_text("7 8 9")
    assert names(steps.begin(done, {"epochs": 3})) == [steps.RECORD]
    assert f"{name} is not as it was made: made again." in capsys.readouterr().out


def test_what_changed_is_said_in_words(tmp_path):
    made_of = {"seed": 1, "code": "a"}
    folder = steps.begin(tmp_path / "x", made_of)
    assert steps.why_stale(folder, made_of) == steps.INTERRUPTED
    assert steps.why_stale(folder, made_of | {"code": "b"}) == "code changed since"
    assert steps.why_stale(folder, made_of | {"new": 0}) == "new changed since"
    assert steps.why_stale(folder, {"seed": 1}) == "code changed since"
    assert steps.why_stale(tmp_path / "y", {}) == "it was never finished"
